"""Files and folders that are either there whole or not there at all.

Everything is written under a temporary name beside its target, pushed to the disk, and renamed. A process killed at any
moment leaves the old content, or the new, and perhaps a temporary that `remove_leftovers` takes away.
"""

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rl.base.caches import as_umask_says
from rl.base.disk import filling, writing

TEMPORARY = ".tmp-"  # how the name of every temporary file and folder begins


def to_json(value: Any, indent: int | None = None) -> str:
    """Return `value` as standard JSON; floats round-trip exactly, and NaN and infinities become null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically and durably.

    Raises WriteFailed where the file system refuses; the old file is then untouched.
    """
    temporary = _beside(path)
    with writing(path, len(data)):
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # an interrupt too must not leave the temporary behind
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically and durably."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically and durably."""
    write_text(path, to_json(value, indent=2) + "\n")


@contextmanager
def folder(path: Path, needed: int | None = None) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `path` when the block ends without an exception.

    A folder already at `path` is replaced. Files and folders get the rights that the user's umask says. Every file is
    pushed to the disk before the rename, so that a power cut does not leave the folder there with empty files.

    Args:
        path: the folder.
        needed: bytes that it takes; None where nobody knows.

    Raises:
        WriteFailed: the file system refuses; a folder already at `path` is then untouched.
    """
    temporary = _beside(path)
    with filling(path, temporary, needed):
        try:
            temporary.mkdir()
            yield temporary
            as_umask_says(temporary)
            for entry in (*temporary.rglob("*"), temporary):
                sync(entry)
            _put_in_place(temporary, path)
        except BaseException:  # an interrupt too must not leave the temporary behind
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _put_in_place(temporary: Path, path: Path) -> None:
    if path.exists():  # a folder cannot be renamed over a non-empty one
        aside = _beside(path)
        os.replace(path, aside)
        os.replace(temporary, path)
        shutil.rmtree(aside)
    else:
        os.replace(temporary, path)
    sync(path.parent)


def remove_leftovers(parent: Path) -> None:
    """Delete the temporaries that a killed writer left in `parent`; only for the one process that writes there."""
    for entry in parent.glob(f"{TEMPORARY}*"):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def sync(path: Path) -> None:
    """Push a file, or the list of names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{path.name}-{uuid.uuid4().hex[:8]}")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value
