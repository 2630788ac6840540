"""Modes and times of a program's own files, where the sandbox's filter refuses to change any.

A filter of system calls cannot tell the program's files from the user's, so in the tier `landlock` it refuses for both.
Honest programs change modes and times without a need, when they copy a file or unpack an archive. For these, and for
files below the program's own folder alone, `os.chmod` and `os.utime` do nothing. This holds nobody: the filter does.
"""

import functools
import os
from collections.abc import Callable
from typing import Any


def pass_over(folder: str) -> None:
    """Let this process's `os.chmod` and `os.utime` do nothing for files below a folder, instead of failing."""
    inside = os.path.realpath(folder)
    for name in ("chmod", "utime"):
        original = getattr(os, name)
        changed = _passed_over(original, inside)
        setattr(os, name, changed)
        for supported in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if original in supported:  # `shutil` and `pathlib` look
                supported.add(changed)


def _passed_over(original: Callable[..., None], folder: str) -> Callable[..., None]:
    @functools.wraps(original)
    def changed(path: Any, *arguments: Any, **options: Any) -> None:
        try:
            original(path, *arguments, **options)
        except PermissionError:
            if not _is_below(path, folder, options.get("dir_fd")):
                raise

    return changed


def _is_below(path: Any, folder: str, dir_fd: int | None) -> bool:
    """Tell whether a file is there and lies below a folder; of an open one too little is known."""
    if isinstance(path, int) or dir_fd is not None or not os.path.lexists(path):
        return False
    return os.path.realpath(os.fsdecode(path)).startswith(folder + os.sep)
