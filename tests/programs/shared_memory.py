"""multiprocessing.shared_memory between processes that share only a name."""

import multiprocessing
import os
import subprocess
import sys
from multiprocessing import shared_memory

SIZE = 1 << 20

CHILD = """
import sys
from multiprocessing import resource_tracker, shared_memory
block = shared_memory.SharedMemory(name=sys.argv[1])
# An attaching process must not unlink at its end (bpo-38119).
resource_tracker.unregister(block._name, "shared_memory")
assert bytes(block.buf[:5]) == b"hello", bytes(block.buf[:5])
assert block.size >= int(sys.argv[2])
block.buf[-5:] = b"world"
block.close()
"""


def fill(name, index):
    """In a spawned process: writes its own slice."""
    numbers = shared_memory.ShareableList(name=name)
    for _ in range(1000):
        numbers[index] += 1
    numbers.shm.close()


def unrelated_process():
    block = shared_memory.SharedMemory(create=True, size=SIZE)
    assert os.path.exists("/dev/shm/" + block.name)
    block.buf[:5] = b"hello"
    subprocess.run([sys.executable, "-c", CHILD, block.name, str(SIZE)], check=True)
    assert bytes(block.buf[-5:]) == b"world"
    try:
        shared_memory.SharedMemory(name=block.name, create=True, size=1)
        raise AssertionError("created twice")
    except FileExistsError:
        pass
    block.close()
    block.unlink()
    try:
        shared_memory.SharedMemory(name=block.name)
        raise AssertionError("opened after unlink")
    except FileNotFoundError:
        pass


def spawned_processes():
    context = multiprocessing.get_context("spawn")
    numbers = shared_memory.ShareableList([0, 0, 0, 0])
    workers = [
        context.Process(target=fill, args=(numbers.shm.name, index)) for index in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert list(numbers) == [1000] * 4, list(numbers)
    numbers.shm.close()
    numbers.shm.unlink()


if __name__ == "__main__":
    unrelated_process()
    spawned_processes()
