"""Python's shared memory through an export that may read only: reader.py NAME map|read"""

import _posixshmem
import errno
import mmap
import os
import sys
from multiprocessing import shared_memory

name, way = sys.argv[1:]


def refused(number, call):
    try:
        call()
    except OSError as error:
        assert error.errno == number, error
        return
    raise AssertionError(f"not refused: {number}")


# SharedMemory always opens for writing.
refused(errno.EACCES, lambda: shared_memory.SharedMemory(name=name))
refused(errno.EACCES, lambda: shared_memory.SharedMemory(name="another", create=True, size=1))
refused(errno.EEXIST, lambda: shared_memory.SharedMemory(name=name, create=True, size=1))
refused(errno.ENOENT, lambda: shared_memory.SharedMemory(name="secret"))
refused(errno.EACCES, lambda: _posixshmem.shm_unlink("/" + name))
descriptor = _posixshmem.shm_open("/" + name, os.O_RDONLY, 0)
size = os.fstat(descriptor).st_size
assert os.pread(descriptor, 5, 0) == b"hello"
assert os.pread(descriptor, 5, size - 5) == b"world"
if way == "map":
    view = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    assert view[:5] == b"hello" and view[-5:] == b"world"
else:
    refused(errno.ENODEV, lambda: mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))
refused(errno.EACCES, lambda: mmap.mmap(descriptor, size, access=mmap.ACCESS_WRITE))
assert os.listdir("/dev/shm") == [name], os.listdir("/dev/shm")
