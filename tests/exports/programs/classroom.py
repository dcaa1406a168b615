"""Students and teachers, who meet in the memory that a school provides: classroom.py ROLE"""

import _posixshmem
import errno
import os
import sys


def opened(name, flags):
    return _posixshmem.shm_open("/" + name, flags, 0o666)


def write(name, text, flags=os.O_CREAT | os.O_WRONLY):
    descriptor = opened(name, flags)
    os.write(descriptor, text)
    os.close(descriptor)


def read(name):
    descriptor = opened(name, os.O_RDONLY)
    return os.read(descriptor, 100)


def refused(number, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == number, (error, arguments)
        return
    raise AssertionError(f"not refused: {arguments}")


def school():
    write("lesson-1", b"one and one")
    write("marks", b"nobody's business")
    write("register", b"who is there")


def teacher():
    assert sorted(os.listdir("/dev/shm")) == ["lesson-1", "marks"]
    write("lesson-2", b"two and two")
    write("lesson-1", b"is two", os.O_WRONLY)
    assert read("marks") == b"nobody's business"
    refused(errno.EACCES, write, "register", b"x")
    refused(errno.ENOENT, read, "register")


def student():
    assert sorted(os.listdir("/dev/shm")) == ["lesson-1", "lesson-2"]
    assert read("lesson-1").startswith(b"is two")
    refused(errno.EACCES, opened, "lesson-1", os.O_RDWR)
    refused(errno.EACCES, _posixshmem.shm_unlink, "/lesson-1")
    refused(errno.ENOENT, read, "marks")
    refused(errno.EACCES, write, "marks", b"better ones")
    refused(errno.EACCES, write, "lesson-3", b"x")
    # Handed in, and not read again: neither one's own nor another's.
    write("answer-me", b"four", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    refused(errno.EACCES, opened, "answer-me", os.O_RDONLY)
    refused(errno.EACCES, os.rename, "/dev/shm/answer-me", "/dev/shm/answer-you")


def marking():
    assert read("answer-me") == b"four"
    refused(errno.EACCES, opened, "answer-me", os.O_RDWR)
    write("marks", b"very good       ", os.O_WRONLY)
    _posixshmem.shm_unlink("/answer-me")
    assert "answer-me" not in os.listdir("/dev/shm")


os.umask(0)
{"school": school, "teacher": teacher, "student": student, "marking": marking}[sys.argv[1]]()
