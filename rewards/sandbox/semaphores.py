"""Locks of `multiprocessing`, where programs do not get the folder in which the system keeps named semaphores.

In the tier `landlock` that folder, /dev/shm, belongs to all users. Processes that come from each other by `fork` need
no names: they share memory without a file. Values and arrays of `multiprocessing` use the program's own folder.
"""

import _multiprocessing
import ctypes
import mmap
from multiprocessing import heap
from typing import Any


def share_without_names() -> None:
    """Let this process's `multiprocessing` make its locks in memory without a file.

    Each has a page of its own, because parent and child may both make locks.
    """
    library = ctypes.CDLL(None, use_errno=True)

    class SemLock(_multiprocessing.SemLock):
        """A semaphore without a name."""

        def __new__(cls, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> Any:
            page = mmap.mmap(-1, mmap.PAGESIZE)
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))
            if library.sem_init(ctypes.c_void_p(address), 1, ctypes.c_uint(value)):
                raise OSError(ctypes.get_errno(), "the system makes no semaphore")
            made = cls._rebuild(address, kind, maxvalue, None)
            made.page = page  # as long as the semaphore
            return made

    _multiprocessing.SemLock = SemLock
    heap.Arena._dir_candidates = []  # type: ignore[attr-defined]  # then it takes a temporary folder
