"""Programs that try to hold more memory than they may: roles for a sandbox.

All sizes are small: unless a program says otherwise, 64 MiB of memory are meant to be allowed. Each
holds about twice as much, and waits to be caught.
"""

import ctypes
import errno
import fcntl
import functools
import mmap
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
PATIENCE = 4.0  # seconds for the watch, on a machine under load; it needs a twentieth of one
CLONE_PARENT, PR_SET_DUMPABLE, MAP_ANONYMOUS = 0x8000, 4, 0x20
SYS_CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine] if sys.platform == "linux" else 0

libc = ctypes.CDLL(None, use_errno=True)


def touch(memory: mmap.mmap | bytearray, first: int = 0, end: int | None = None) -> None:
    for place in range(first, len(memory) if end is None else end, 4096):
        memory[place] = 1


def in_child(action: Callable[[], object], wait: bool = False) -> int:
    if (pid := os.fork()) == 0:
        action()
        os._exit(0)
    if wait:
        os.waitpid(pid, 0)
    return pid


def hold(size: int, seconds: float = PATIENCE) -> None:
    memory = bytearray(size)
    touch(memory)
    time.sleep(seconds)


def map_shared(size: int) -> int:
    libc.mmap.restype = ctypes.c_void_p
    protection, shared = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | MAP_ANONYMOUS
    address = libc.mmap(None, ctypes.c_size_t(size), protection, shared, -1, ctypes.c_long(0))
    assert address not in (None, ctypes.c_void_p(-1).value), ctypes.get_errno()
    ctypes.memset(address, 1, size)
    return address


def unmap(address: int, size: int) -> None:
    assert libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size)) == 0


def fill(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        end.setblocking(False)
        try:
            while True:
                end.send(b"x" * 65536)
        except BlockingIOError:
            pass


def waiting(attack: Callable[[], object]) -> Callable[[], None]:
    """A program that waits after its attack, so that what it started lives on."""

    @functools.wraps(attack)
    def program() -> None:
        attack()
        time.sleep(PATIENCE)

    return program


# Memory.


@waiting
def several_processes() -> None:
    for _ in range(4):
        in_child(lambda: hold(32 * MIB))


@waiting
def grandchildren_in_sessions_of_their_own() -> None:
    for _ in range(4):
        in_child(lambda: (os.setsid(), in_child(lambda: hold(32 * MIB)), time.sleep(PATIENCE)))


@waiting
def orphans() -> None:
    for _ in range(4):
        in_child(lambda: in_child(lambda: (os.setsid(), hold(32 * MIB))), wait=True)


@waiting
def orphans_of_orphans() -> None:
    for _ in range(4):
        in_child(lambda: in_child(lambda: in_child(lambda: hold(32 * MIB))), wait=True)


@waiting
def siblings() -> None:
    """Children of the program's own parent, where it has one; else of its own."""
    for _ in range(4):
        pid = libc.syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if pid < 0:
            pid = os.fork()
        if pid == 0:
            hold(32 * MIB)
            os._exit(0)


@waiting
def unreadable_processes() -> None:
    def hides() -> None:
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        hold(32 * MIB)

    for _ in range(4):
        in_child(hides)


@waiting
def shared_memory_of_a_dead_child() -> None:
    def shares() -> None:
        memory = mmap.mmap(-1, 40 * MIB)
        for first in range(0, 40 * MIB, 10 * MIB):
            in_child(functools.partial(touch, memory, first, first + 10 * MIB), wait=True)
        time.sleep(PATIENCE)

    for _ in range(4):
        in_child(shares)


@waiting
def shared_memory_of_several_processes() -> None:
    def shares() -> None:
        memory = mmap.mmap(-1, 40 * MIB)
        touch(memory)
        time.sleep(PATIENCE)

    for _ in range(4):
        in_child(shares)


@waiting
def shared_memory_with_its_first_page_kept() -> None:
    for _ in range(20):
        address = map_shared(10 * MIB)
        unmap(address + 4096, 10 * MIB - 4096)


@waiting
def shared_memory_with_its_last_page_kept() -> None:
    for _ in range(20):
        unmap(map_shared(10 * MIB), 10 * MIB - 4096)


@waiting
def shared_memory_with_a_page_kept_by_each_of_several() -> None:
    for _ in range(4):
        in_child(shared_memory_with_its_first_page_kept)


@waiting
def shared_memory_without_rights() -> None:
    """Not even its owner may read it any more, but its pages are there."""

    def shares() -> None:
        address = map_shared(40 * MIB)
        libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(40 * MIB), 0)
        time.sleep(PATIENCE)

    for _ in range(4):
        in_child(shares)


def files_beside_memory() -> None:
    """For 128 MiB of memory and 64 of files: none of both is exceeded alone."""
    Path(tempfile.gettempdir(), "file").write_bytes(b"x" * (60 * MIB))
    hold(80 * MIB)


def fill_sockets(kind: int) -> None:
    pairs = []
    try:
        while True:
            pairs.append(socket.socketpair(socket.AF_UNIX, kind))
            fill(pairs[-1])
    except OSError as error:
        assert error.errno == errno.EMFILE
    time.sleep(PATIENCE)


@waiting
def full_sockets() -> None:
    for _ in range(4):
        in_child(lambda: fill_sockets(socket.SOCK_STREAM))


@waiting
def full_sockets_of_packets() -> None:
    for _ in range(4):
        in_child(lambda: fill_sockets(socket.SOCK_SEQPACKET))


def sockets_on_their_way() -> None:
    """Sent through a socket and closed: no process has them any more."""
    here, there = socket.socketpair()
    for _ in range(100):
        pair = socket.socketpair()
        fill(pair)
        socket.send_fds(here, [b"x"], [end.fileno() for end in pair])
        for end in pair:
            end.close()
    time.sleep(PATIENCE)
    there.close()


def connections_that_nobody_accepts() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0penny")
    listener.listen(4096)
    for _ in range(400):
        client = socket.socket(socket.AF_UNIX)
        client.connect("\0penny")
        client.setblocking(False)
        client.send(b"x" * 65536)
        client.close()
    time.sleep(PATIENCE)


def datagrams_whose_senders_have_gone() -> None:
    receivers = []
    for number in range(100):
        receivers.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        receivers[-1].bind(f"\0{number}")
        for _ in range(10):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x" * 65536, f"\0{number}")
    time.sleep(PATIENCE)


@waiting
def full_pipes() -> None:
    def fills() -> None:
        try:
            while True:
                _, end = os.pipe()
                os.set_blocking(end, False)
                os.write(end, b"x" * 65536)
        except OSError as error:
            assert error.errno == errno.EMFILE
        time.sleep(PATIENCE)

    for _ in range(12):
        in_child(fills)


@waiting
def many_locks() -> None:
    """Each on a single byte of a file."""
    kept = [tempfile.TemporaryFile() for _ in range(40)]  # noqa: SIM115 - they stay open
    for file in kept:  # the more locks a file has, the longer it takes to add one
        for place in range(500, 0, -1):
            fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * place)
    time.sleep(PATIENCE)


@waiting
def many_mappings() -> None:
    """The kernel keeps a description of each, which no account shows."""

    def maps() -> None:
        size = 2 * 60_000 * 4096 // 16
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | MAP_ANONYMOUS)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for place in range(0, size, 8192):
            libc.mprotect(ctypes.c_void_p(address + place), ctypes.c_size_t(4096), mmap.PROT_READ)
        time.sleep(PATIENCE)

    for _ in range(20):
        in_child(maps)
