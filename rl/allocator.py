"""Keeps memory that was freed, on a CPU.

By default the C library hands large tensors back to the system and asks for new ones, whose pages the kernel has to
clear again: that took up to a third of the learner's time (benchmarks/NOTES.md).
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt(3)
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process reuse what it has freed; False where the C library is not glibc, and nothing changes."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
