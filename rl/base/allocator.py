"""Keeps memory that was freed, on a CPU, and lets it be used again for other sizes, on a GPU.

On a CPU, by default the C library hands large tensors back to the system and asks for new ones, whose pages the kernel
has to clear again: that took up to a third of the learner's time (benchmarks/NOTES.md).

On a GPU, torch's allocator keeps blocks of the sizes that were asked for. Passes of many sizes leave holes that none of
the next fits. Segments that grow have no such holes.
"""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt(3)
LARGEST_INT = 2**31 - 1
GPU_OPTIONS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # either of them may be set


def keep_freed_memory() -> bool:
    """Let the process reuse what it has freed; False where the C library is not glibc, and nothing changes."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, LARGEST_INT))


def let_segments_grow(*, sleeps: bool) -> None:
    """Let torch's allocator of GPU memory grow its segments. To be called before the first of that memory is used.

    What the user has set stays. `sleeps`: vLLM hands its memory back between steps, from pools whose segments cannot
    grow (pytorch/pytorch#147851), so nothing changes.
    """
    if not sleeps and not any(os.environ.get(name) for name in GPU_OPTIONS):
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
