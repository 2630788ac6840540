"""Grading a file of answers: JSON lines in, the same lines with a verdict out."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rewards.math import grade_math
from rewards.pool import GraderPool


def grade_math_file(
    source: Path, target: Path, *, timeout: float = 10.0, workers: int = os.cpu_count() or 1
) -> dict[str, int]:
    """Grade rows `{"gold", "response"}` by math-verify and write them, other keys kept, with `correct` and `reason`.

    Args:
        source: JSONL, one row a line; empty lines are skipped.
        target: JSONL, rows in the order of the source; appears only when complete.
        timeout: seconds that one row may take.
        workers: number of grader processes.

    Returns:
        Number of `rows`, and how many are `correct`, `wrong` and `ungradable`.

    Raises:
        BadInput: a file cannot be read or written, or a line is no such row.
    """
    rows = _read_rows(source)
    _check_writable(target)
    with GraderPool(workers, timeout) as pool:
        verdicts = grade_math([row["gold"] for row in rows], [row["response"] for row in rows], pool)
    graded = [
        row | {"correct": verdict.correct, "reason": verdict.reason}
        for row, verdict in zip(rows, verdicts, strict=True)
    ]
    _write_rows(target, graded)
    outcomes = [verdict.correct for verdict in verdicts]
    counts = {"correct": True, "wrong": False, "ungradable": None}
    return {"rows": len(rows)} | {name: outcomes.count(outcome) for name, outcome in counts.items()}


def _read_rows(source: Path) -> list[dict[str, Any]]:
    try:
        lines = source.read_text(encoding="utf-8").split("\n")  # not splitlines(), which also splits at U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{source} cannot be read as UTF-8 text: {error}; give a JSONL file") from error
    return [_row(line, f"{source}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error}); write one object a line") from error
    if not isinstance(row, dict):
        raise BadInput(f'{where} is no object; write {{"gold": "...", "response": "..."}}')
    for key in ("gold", "response"):
        if not isinstance(row.get(key), str):
            raise BadInput(f"{where} has no text under {key!r}; add it")
    return row


def _check_writable(target: Path) -> None:
    """Before the work, not after it."""
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK) or target.is_dir():
        raise BadInput(f"{target} cannot be written; give a file name in an existing, writable folder")


def _write_rows(target: Path, rows: list[dict[str, Any]]) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        os.replace(temporary, target)
    except BaseException:  # an interrupt too must not leave the temporary behind
        os.unlink(temporary)
        raise
