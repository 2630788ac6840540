"""The rows of files that `rewards.files` grades, read one by one and checked before a grader sees them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from rewards.gold import type_fault
from rewards.jsonl import read_lines

Kind = Literal["math", "code"]


@dataclass(frozen=True)
class FileRow:
    """One line of a file.

    Attributes:
        data: its object; empty if it is none.
        error: why it cannot be graded, with the line's number; None if it can.
        end: bytes of the file up to its end.
    """

    data: dict[str, Any]
    error: str | None
    end: int


def read_rows(kind: Kind, lines: Iterable[bytes]) -> Iterator[FileRow]:
    """Read the rows of a file opened in binary mode, which splits at newlines alone. Empty lines are no rows."""
    for line in read_lines(lines, mend_text=True):
        fault = line.fault or (_fault_of_math(line.row) if kind == "math" else _fault_of_code(line.row))
        yield FileRow(line.row, f"line {line.number}: {fault}" if fault else None, line.end)


def _fault_of_math(row: dict[str, Any]) -> str:
    if type_fault(row.get("gold")) is not None:
        return f"no text or finite number under 'gold'{_but(row, 'gold')}"
    return _fault_of_text(row, "response")


def _fault_of_code(row: dict[str, Any]) -> str:
    from rewards.code.rows import BadRow, task_of

    try:
        task_of(row, None)
    except BadRow as error:
        return str(error)
    return _fault_of_text(row, "completion")


def _fault_of_text(row: dict[str, Any], key: str) -> str:
    return "" if isinstance(row.get(key), str) else f"no text under {key!r}{_but(row, key)}"


def _but(row: dict[str, Any], key: str) -> str:
    """What a row has under a key in place of what it should have."""
    return f", but {json.dumps(row[key])[:40]}" if key in row else ""
