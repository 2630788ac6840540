"""Attempts of a hostile program to take more than its share of memory, disk, processes and time.

As in `rewards.sandbox.reach`, each returns whether it got through, or does something that is seen from outside. Whoever
is to be ended for what it holds waits until it holds it, and then for as long as a watch may need on a busy machine.
"""

import contextlib
import mmap
import os
import resource
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from rewards.sandbox.limits import Limits

LIMITS = Limits(seconds=1, memory_mib=128, disk_mib=8, processes=32)
MIB = 1 << 20
PATIENCE = 20.0  # seconds that an attempt may take before it is ended
WATCH_SECONDS = 3.0  # that a watch gets to see what is too much
SPIN_SECONDS = 5.0
SHARE_OF_TIME = 0.8  # processor seconds that short-lived children of a program use
FORKS = 200

Facts = dict[str, Any]


def takes_memory(facts: Facts) -> bool:
    """Four times its share, by eight processes that each stay below."""
    told = os.pipe()
    for _ in range(8):
        if os.fork() == 0:
            taken = bytearray(b"x") * (LIMITS.memory_mib * MIB // 2)
            _hold(told[1])
            os._exit(len(taken) and 0)
    return _all_hold(told[0], 8)


def keeps_memory_of_the_dead(facts: Facts) -> bool:
    """Shared memory that lives on in a mapping, of which nothing was touched here, after who filled it has ended.

    Twice its share, one part after the other, so that no more than a part is ever in use by living processes.
    """
    size = LIMITS.memory_mib * MIB // 4
    there, told = os.pipe()
    for _ in range(8):
        if os.fork() == 0:
            kept = mmap.mmap(-1, size)
            if (filling := os.fork()) == 0:
                kept.write(b"x" * size)
                os._exit(0)
            os.waitpid(filling, 0)
            _hold(told)
        os.read(there, 1)
    time.sleep(WATCH_SECONDS)
    return True


def fills_sockets(facts: Facts) -> bool:
    """More than its share in buffers of sockets that nobody reads, made larger if they can be."""
    ours, theirs = socket.socketpair()
    before = ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, before // 4)
    if ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) != before:
        return True
    pairs, told = (LIMITS.open_files - 20) // 2, os.pipe()
    processes = 1 + 2 * LIMITS.memory_mib * MIB // (2 * pairs * before)
    for _ in range(processes):
        if os.fork() == 0:
            kept = [socket.socketpair() for _ in range(pairs)]
            for end in [end for pair in kept for end in pair]:
                end.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        end.send(b"x" * (64 << 10))
            _hold(told[1])
    return _all_hold(told[0], processes)


def hides_memory(facts: Facts) -> bool:
    """Memory in files that have no name and are not mapped: no account of a process shows it."""
    kept = [os.memfd_create("hidden") for _ in range(64)]
    block = b"x" * (LIMITS.disk_mib << 20)
    for descriptor in kept:
        os.write(descriptor, block)
    time.sleep(WATCH_SECONDS)
    return True


def fills_disk(facts: Facts) -> bool:
    """Four times its share, in several files."""
    block = b"x" * (LIMITS.disk_mib << 20)
    for number in range(4):
        Path(os.environ["TMPDIR"], f"{number}").write_bytes(block)
    time.sleep(WATCH_SECONDS)
    return True


def multiplies(facts: Facts) -> bool:
    """Many more processes than it may have."""
    for _ in range(FORKS):
        if os.fork() == 0:
            time.sleep(600)
    time.sleep(WATCH_SECONDS)
    return True


def spins(facts: Facts) -> bool:
    """A loop that no signal ends, in several threads, for longer than its CPU time."""
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    threads = [threading.Thread(target=lambda: sum(range(10**11)), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + SPIN_SECONDS
    while time.monotonic() < deadline:
        pass
    return True


def hides_time(facts: Facts) -> bool:
    """Processor time of children that nobody waits for; seen from outside, which must have counted it."""
    with contextlib.suppress(OSError):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(4):
        if (child := os.fork()) == 0:
            while time.process_time() < SHARE_OF_TIME / 4:
                pass
            os._exit(0)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    return False


def outlives(facts: Facts) -> bool:
    """A daemon with a session of its own, whose parents are gone; seen from outside."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    return False


def dumps_core(facts: Facts) -> bool:
    """A core file."""
    return resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


def _hold(told: int) -> None:
    """In a child: say that it holds what it took, and keep it."""
    os.write(told, b"x")
    time.sleep(600)


def _all_hold(told: int, count: int) -> bool:
    """Whether so many children have all taken their part, and kept it for as long as a watch may need to see it."""
    while count:
        count -= len(os.read(told, count))
    time.sleep(WATCH_SECONDS)
    return True
