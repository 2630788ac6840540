"""Logs of one JSON object a line that survive being cut off at any byte."""

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rewards.jsonl import parse
from rl.base import atomic
from rl.base.disk import writing
from rl.base.stored import NOTHING, Kind, damaged


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add one line and push it to the disk. Raises WriteFailed where the file system refuses; then nothing is added."""
    line = atomic.to_json(record).encode("utf-8") + b"\n"
    with writing(path, len(line)), path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            if file.write(line) < len(line):  # without a buffer a disk that gets full takes a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)  # a part of a line would spoil the next one
            raise


def read(path: Path, needs: Mapping[str, Kind] = NOTHING) -> list[dict[str, Any]]:
    """Return the records of a log; a missing file has none, and a half-written last line does not count.

    Raises BadInput for a line in the middle that is no JSON object, or lacks a key of `needs`.
    """
    if not path.exists():
        return []
    try:
        content = path.read_bytes()
    except OSError as error:
        raise damaged(path, error.strerror or str(error), "bring it back from a copy") from error
    records = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        record, _ = parse(line)
        if not isinstance(record, dict):
            raise BadInput(f"{path}, line {number} is not a JSON object: mend or delete that line.")
        if lacking := [key for key, kind in needs.items() if not isinstance(record.get(key), kind)]:
            raise BadInput(f"{path}, line {number} has no {lacking[0]}: mend or delete that line.")
        records.append(record)
    return records


def rewrite(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace the whole log, atomically."""
    atomic.write_text(path, "".join(atomic.to_json(record) + "\n" for record in records))


def mend(path: Path) -> None:
    """Cut off a half-written last line, so that the next one begins on its own; to be called before appending."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        atomic.write_bytes(path, content[:whole])
