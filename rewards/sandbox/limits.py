"""What a program may use, and how the kernel is told."""

import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
STACK = 64 * MIB  # for deep recursion in C, as sorting programs have it


@dataclass(frozen=True)
class Limits:
    """What one program, with all processes that it starts, may use.

    Attributes:
        seconds: CPU time of one process, rounded up; whoever starts the program watches the clock on the wall.
        memory_mib: address space of one process beyond the interpreter's own, and resident memory of all together.
        disk_mib: files in its private /tmp, all together (without namespaces: each file by itself).
        processes: processes and threads.
        open_files: file descriptors.
    """

    seconds: float = 10.0
    memory_mib: int = 1024
    disk_mib: int = 64
    processes: int = 64
    open_files: int = 256


def cpu_seconds(limits: Limits) -> int:
    """Seconds of processor time after which the kernel kills a process."""
    return math.ceil(limits.seconds) + 1


def apply(limits: Limits, address_space: int) -> None:
    """Limit this process and all that come from it, for good.

    Args:
        limits: what they may use.
        address_space: bytes that the interpreter itself takes, and that are not charged; 0: unknown, no such limit.
    """
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_CPU, cpu_seconds(limits))
    _set(resource.RLIMIT_FSIZE, limits.disk_mib * MIB)
    _set(resource.RLIMIT_NOFILE, limits.open_files)
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]  # stays: programs of contests raise their own limit up to it
    resource.setrlimit(resource.RLIMIT_STACK, (STACK if hard == resource.RLIM_INFINITY else min(STACK, hard), hard))
    if hasattr(resource, "RLIMIT_NPROC"):
        _set(resource.RLIMIT_NPROC, limits.processes)
    if address_space:
        _set(resource.RLIMIT_AS, address_space + limits.memory_mib * MIB)


def address_space() -> int:
    """Bytes that this process takes; 0 where there is no /proc (macOS)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _set(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(limit, (value, value))


def lift_cpu_limit() -> None:
    """Take off the limit that was meant for the process that started this one, as far as that is allowed."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))


def prefer_as_victim() -> None:
    """Should the machine run out of memory, let the kernel end this process before any other."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(descriptor, b"1000")
    finally:
        os.close(descriptor)
