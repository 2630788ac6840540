"""Programs that try to fill the disk or to hide the time that they use, and honest ones: roles for a sandbox.

16 MiB of files and 64 of memory are meant to be allowed. Those that hide their time use 0.4 seconds of it, then say so.
"""

import contextlib
import ctypes
import functools
import mmap
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.sandbox_memory import MIB, PATIENCE, SYS_CLONE, hold, in_child, libc, touch

SA_NOCLDWAIT = 2


# Files.


def several_files() -> None:
    for number in range(3):
        Path(tempfile.gettempdir(), str(number)).write_bytes(b"x" * (12 * MIB))
    time.sleep(PATIENCE)


def files_without_a_name() -> None:
    kept = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - they stay open
    for file in kept:
        file.write(b"x" * (12 * MIB))
        file.flush()
    time.sleep(PATIENCE)


def files_that_are_only_mapped() -> None:
    libc.mmap.restype = ctypes.c_void_p
    for _ in range(3):
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * (12 * MIB))
            file.flush()
            libc.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), ctypes.c_long(0))
    time.sleep(PATIENCE)


def files_below_deep_folders() -> None:
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    for number in range(3):
        Path(str(number)).write_bytes(b"x" * (12 * MIB))
    time.sleep(PATIENCE)


def files_in_a_closed_folder() -> None:
    """Its owner may write to it, but not look into it."""
    os.mkdir("closed", 0o300)
    for number in range(3):
        Path("closed", str(number)).write_bytes(b"x" * (12 * MIB))
    time.sleep(PATIENCE)


def many_empty_files() -> None:
    for number in range(9000):  # a name and an inode take a block, or one of 8192 inodes
        os.close(os.open(str(number), os.O_CREAT))
    time.sleep(PATIENCE)


# Time.


def work(seconds: float = 0.1) -> None:
    """Use the processor for so long."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def says(channel: int) -> None:
    """Say that all is used, and wait."""
    os.write(channel, b"1")
    time.sleep(PATIENCE)


def children_that_are_waited_for(channel: int) -> None:
    for _ in range(4):
        in_child(work, wait=True)
    says(channel)


@contextlib.contextmanager
def all_have_ended() -> Iterator[None]:
    """Go on when every process that is started within has ended: its end of a pipe is closed then."""
    ours, theirs = os.pipe()
    yield
    os.close(theirs)
    os.read(ours, 1)
    time.sleep(0.05)


def children_that_nobody_waits_for(channel: int) -> None:
    with all_have_ended():
        for _ in range(4):
            in_child(work)
    says(channel)


def children_of_one_who_ignores_them(channel: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    children_that_nobody_waits_for(channel)


def children_of_one_who_wants_no_zombies(channel: int) -> None:
    """By the flag of sigaction, whose handler stays the default."""
    action = (ctypes.c_char * 152)()
    action[136] = SA_NOCLDWAIT
    libc.sigaction(signal.SIGCHLD, action, None)
    children_that_nobody_waits_for(channel)


def children_that_end_without_a_signal(channel: int) -> None:
    with all_have_ended():
        for _ in range(4):
            if libc.syscall(SYS_CLONE, 0, 0, 0, 0, 0) == 0:
                work()
                os._exit(0)
    says(channel)


def chain(channel: int) -> None:
    """Each starts the next and ends."""
    if os.fork() == 0:
        for _ in range(4):
            work()
            if os.fork() > 0:
                os._exit(0)
        says(channel)
    time.sleep(PATIENCE)


def many_short_lives(channel: int) -> None:
    """Each shorter than the system's clock tick."""
    for _ in range(50):
        in_child(functools.partial(work, 0.008), wait=True)
    says(channel)


def grandchildren_that_nobody_waits_for(channel: int) -> None:
    with all_have_ended():
        for _ in range(4):
            in_child(lambda: in_child(work), wait=True)
    says(channel)


def threads_that_have_ended(channel: int) -> None:
    import threading

    for _ in range(4):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    says(channel)


def alone(channel: int) -> None:
    work(0.4)
    says(channel)


def sleeper(channel: int) -> None:
    time.sleep(0.4)
    says(channel)


# Honest programs that hold much, but less than they may.


def holds_most_of_it() -> None:
    memory = bytearray(40 * MIB)
    touch(memory)
    time.sleep(0.3)


def shares_a_little_again_and_again() -> None:
    for _ in range(200):
        with mmap.mmap(-1, MIB) as shared:
            touch(shared)
            memory = bytearray(2 * MIB)
            touch(memory)


def several_small_processes() -> None:
    children = [in_child(lambda: hold(MIB, 0.2)) for _ in range(8)]
    for child in children:
        os.waitpid(child, 0)


def a_dozen_sockets_and_pipes() -> None:
    kept = [socket.socketpair() for _ in range(6)]
    kept_too = [os.pipe() for _ in range(12)]
    time.sleep(0.2)
    assert kept and kept_too
