"""The rows of files that `rewards.files` grades, read one by one and checked before a grader sees them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["math", "code"]
BOM = b"\xef\xbb\xbf"


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
    """The rows of a file opened in binary mode, which splits at newlines alone. Empty lines are no rows."""
    end = 0
    for number, line in enumerate(lines, start=1):
        end += len(line)
        text = line.removeprefix(BOM).strip() if number == 1 else line.strip()
        if text:
            data, fault = _parsed(text)
            fault = fault or (_fault_of_math(data) if kind == "math" else _fault_of_code(data))
            yield FileRow(data, f"line {number}: {fault}" if fault else None, end)


def _parsed(text: bytes) -> tuple[dict[str, Any], str]:
    """The object of a line, or what is wrong with it."""
    try:
        row = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError:
        return {}, "not UTF-8 text"
    except (ValueError, RecursionError) as error:
        return {}, f"not JSON ({error})"
    return (row, "") if isinstance(row, dict) else ({}, "not a JSON object")


def _fault_of_math(row: dict[str, Any]) -> str:
    gold = row.get("gold")
    if not isinstance(gold, str | int | float) or isinstance(gold, bool):
        return f"no text or number under 'gold'{_but(row, 'gold')}"
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
