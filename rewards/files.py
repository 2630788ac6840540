"""Grading a file of answers: JSON lines in, the same lines with a verdict out.

The file is read, graded and written in chunks, so it may be larger than memory. A row that cannot be graded because it
is no such row comes back as `ungradable` with its line's number, and the others are graded.
"""

import contextlib
import json
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rewards.agreement import Agreement
from rewards.errors import BadInput
from rewards.jsonl import file_lines, plain_size
from rewards.pool import GraderPool
from rewards.rows import FileRow, Kind, read_rows
from rewards.sandbox import Mode
from rewards.verdict import OUTCOMES, Verdict

DEFAULT_SECONDS = 10.0
Grade = Callable[[Sequence[dict[str, Any]], GraderPool], list[Verdict]]

CHUNK = 256  # rows that are graded together; a hanging one delays at most the rest of its chunk


@dataclass
class Summary:
    """What became of a file.

    Attributes:
        rows: all that came back.
        bad_rows: those that could not be read as a row; their verdict is `ungradable` too.
        verdicts: how many rows have each verdict.
        seconds: wall-clock time of the whole.
        agreement: of the rows that have a label, see `rewards.agreement`.
    """

    rows: int = 0
    bad_rows: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    agreement: Agreement = field(default_factory=Agreement)

    def as_dict(self) -> dict[str, Any]:
        """As JSON: counts, `seconds`, `rows_per_second`, and `agreement` if a row has a label."""
        counts: dict[str, int] = {outcome: self.verdicts[outcome] for outcome in OUTCOMES}
        speed = self.rows / self.seconds if self.seconds else 0.0
        times = {"seconds": round(self.seconds, 3), "rows_per_second": round(speed, 1)}
        labels = {"agreement": self.agreement.as_dict()} if self.agreement.total.rows else {}
        return {"rows": self.rows, **counts, "bad_rows": self.bad_rows, **times, **labels}


@dataclass(frozen=True)
class Progress:
    """How far the work got: rows that are done, and the share of the file's bytes (None if its size is not known)."""

    rows: int
    share: float | None


def grade_file(
    kind: Kind,
    source: Path,
    target: Path | None,
    *,
    timeout: float | None = None,
    workers: int = os.cpu_count() or 1,
    sandbox: Mode = "auto",
    extraction: str = "flexible",
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_bad_row: Callable[[str], None] = lambda reason: None,
) -> Summary:
    """Grade each row and write it, other keys kept, with `verdict`, `reward`, `reason` and `seconds`.

    Args:
        kind: `math`: rows `{"gold", "response"}`; `code`: rows `{"completion", "kind", "entry_point", "tests" or
            "check"}`, and `time_limit_s` if a row has its own.
        source: JSONL, plain or gzipped; empty lines are skipped.
        target: JSONL, rows in the order of the source; it appears only when complete. None: standard output.
        timeout: seconds that one row may take; default: 10, or a row's own `time_limit_s`, which it otherwise caps.
        workers: number of grader processes.
        sandbox: how programs are isolated.
        extraction: how answers of `math` are read, `strict` or `flexible`, see `rewards.math.extract`.
        on_progress: called after each chunk.
        on_bad_row: called with the reason for each row that is none, which begins with `line N: `.

    Raises:
        BadInput: a file cannot be read or written, or there is no such `extraction`.
    """
    grade = _grader(kind, sandbox, timeout, extraction)
    summary, began = Summary(), time.monotonic()
    with contextlib.ExitStack() as stack:
        rows, size = read_rows(kind, file_lines(source)), plain_size(source)
        out = stack.enter_context(_whole(target)) if target is not None else sys.stdout
        pool = stack.enter_context(GraderPool(workers, timeout or DEFAULT_SECONDS))
        for chunk in _chunks(rows):
            verdicts = _grade(chunk, grade, pool)
            for row, verdict in zip(chunk, verdicts, strict=True):
                if row.error is not None:
                    summary.bad_rows += 1
                    on_bad_row(verdict.reason)
                else:
                    summary.agreement.add(row.data, verdict)
                summary.rows += 1
                summary.verdicts[verdict.outcome] += 1
            out.writelines(
                json.dumps(row.data | _told(verdict)) + "\n" for row, verdict in zip(chunk, verdicts, strict=True)
            )
            on_progress(Progress(summary.rows, chunk[-1].end / size if size else None))
        out.flush()
    summary.seconds = time.monotonic() - began
    return summary


def _grader(kind: Kind, sandbox: Mode, timeout: float | None, extraction: str) -> Grade:
    """How rows of a kind are graded."""
    if kind == "code":
        from rewards.code import grade_code

        return lambda rows, pool: grade_code(rows, pool, sandbox=sandbox, timeout=timeout)
    from rewards.math import checked_extraction, grade_math

    way = checked_extraction(extraction, "`penny grade math`")
    return lambda rows, pool: grade_math(
        [row["gold"] for row in rows], [row["response"] for row in rows], pool, extraction=way
    )


def _grade(rows: Sequence[FileRow], grade: Grade, pool: GraderPool) -> list[Verdict]:
    """One verdict a row, in order."""
    found = iter(grade([row.data for row in rows if row.error is None], pool))
    return [next(found) if row.error is None else Verdict("ungradable", row.error) for row in rows]


def _told(verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": verdict.outcome,
        "reward": verdict.reward,
        "reason": verdict.reason,
        "seconds": round(verdict.seconds, 6),
    }


def _chunks(rows: Iterable[FileRow]) -> Iterator[list[FileRow]]:
    chunk: list[FileRow] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[IO[str]]:
    """A file that becomes `target` at the end, and never to be if an exception ends the block."""
    target = target.resolve()  # a link stays a link
    if target.exists() and not target.is_file():
        raise BadInput(f"{target} is no regular file; name a new file, or leave out -o for standard output")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise BadInput(f"{target} cannot be written; give a file name in an existing, writable folder")
    temporary = target.with_name(f".tmp-{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:  # an interrupt too must not leave the temporary behind
        temporary.unlink(missing_ok=True)
        raise
