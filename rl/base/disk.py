"""What happens when a disk is full: every write of a run that fails ends as one `WriteFailed` with the file's name."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rl.base.errors import WriteFailed

SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSALS = (*SPACE, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
NOTHING = 64 * 1024  # bytes; a disk with less than this is full


@contextmanager
def writing(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn whatever a block that only writes `path` raises for the disk's sake into WriteFailed.

    Args:
        path: the file or folder.
        needed: bytes that it takes; None where nobody knows.
    """
    try:
        yield
    except WriteFailed:
        raise
    except Exception as error:  # libraries in C++ and Rust raise types of their own for a full disk
        number = error.errno if isinstance(error, OSError) else _number(error, path)
        if number is None:
            raise
        room = _room(path, needed) if number in SPACE else ""
        raise WriteFailed(number, os.strerror(number), str(path), room) from error


@contextmanager
def filling(path: Path, temporary: Path, needed: int | None = None) -> Iterator[None]:
    """Do as `writing` for a block that reads other files, too: what does not concern `temporary` stays as it is."""
    try:
        with writing(path, needed):
            yield
    except WriteFailed as error:
        cause = error.__cause__
        name = cause.filename if isinstance(cause, OSError) else None
        foreign = name is not None and not Path(str(name)).is_relative_to(temporary)
        if cause is not None and (error.errno not in REFUSALS or foreign):
            raise cause from None
        raise


def _number(error: Exception, path: Path) -> int | None:
    """Return the number of the disk's refusal that a library's exception reports; None: it reports something else."""
    link: BaseException | None = error
    while link is not None:  # torch raises an error of its own after that of the file
        said = str(link)
        for number in REFUSALS:
            if os.strerror(number) in said or f"os error {number})" in said:
                return number
        link = link.__cause__ or link.__context__
    return errno.ENOSPC if _free(path) < NOTHING else None  # torch does not say why it could not write


def _room(path: Path, needed: int | None) -> str:
    takes = f"it takes {_size(needed)}, and " if needed is not None else ""
    return f"{takes}{_size(_free(path))} are free there"


def _free(path: Path) -> int:
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def _size(count: int) -> str:
    """Return bytes as text: `3 KiB`, `1.2 GiB`."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{-(-count // 1024)} KiB"
