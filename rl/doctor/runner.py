"""Runs the checks of `penny doctor gpu`: a process for each group, with a limit of time for each check.

A check that crashes its process, or does not end, is a FAIL, and the checks after it go on in a new process.
"""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.doctor.check import Check, Finding, Row, failed, skipped
from rl.doctor.ending import kill_group

ON_CPU = 3.0  # times as long as on a GPU
LONGEST = 15 * 60.0  # seconds of all checks together, on a GPU
Begin = Callable[[Check], None]
WORKER = (sys.executable, "-m", "rl.doctor.worker")


def chosen(checks: Sequence[Check], only: str | None) -> list[Check]:
    """Return the checks that `--only` names, separated by commas; all of them without it. Raises BadInput."""
    if only is None:
        return list(checks)
    asked = [name.strip() for name in only.split(",") if name.strip()]
    names = [check.name for check in checks]
    unknown = [name for name in asked if name not in names]
    if unknown or not asked:
        what = f"There is no check {unknown[0]!r}" if unknown else "--only names no check"
        raise BadInput(f"{what}: use one or more of {', '.join(names)}.")
    return [check for check in checks if check.name in asked]


def run(checks: Sequence[Check], device: str, begin: Begin, worker: Sequence[str] = WORKER) -> Iterator[Row]:
    """Yield a row for each check, in their order; `begin` is called before each, and `worker` runs them."""
    deadline = time.monotonic() + LONGEST * (ON_CPU if device == "cpu" else 1.0)
    with tempfile.TemporaryDirectory(prefix="penny-doctor-") as folder:
        for number, (_, group) in enumerate(groupby(checks, key=lambda check: check.group)):
            left = list(group)
            while left:
                results = Path(folder) / f"{number}-{len(left)}.jsonl"
                done = 0
                command = [*worker, device, str(results), *(check.name for check in left)]
                for row in run_process(left, command, device, results, deadline, begin):
                    done += 1
                    yield row
                left = left[done:]


def run_process(
    checks: Sequence[Check], command: Sequence[str], device: str, results: Path, deadline: float, begin: Begin
) -> Iterator[Row]:
    """Yield the rows of one process, the last of which may be that of the check that ended it."""
    log = results.with_suffix(".log")
    if time.monotonic() > deadline:
        yield from (Row(check.name, check.about, skipped("the time for all checks is over"), 0.0) for check in checks)
        return
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True)
        try:
            for number, check in enumerate(checks):
                begin(check)
                began = time.monotonic()
                limit = min(check.seconds * (ON_CPU if device == "cpu" else 1.0), max(1.0, deadline - began))
                line = await_line(results, number, process, began + limit)
                if line is None:
                    why = ended_how(process, limit, log)
                    yield Row(check.name, check.about, why, time.monotonic() - began)
                    return
                yield as_row(line)
        finally:
            kill_group(process.pid)
            process.wait()


def await_line(results: Path, number: int, process: "subprocess.Popen[bytes]", deadline: float) -> str | None:
    """Wait for a line of the results; None if the process ends, or the deadline comes, before it is there."""
    while True:
        ended = process.poll() is not None
        with contextlib.suppress(OSError):  # not made yet
            whole = results.read_text(encoding="utf-8").split("\n")[:-1]
            if len(whole) > number:
                return whole[number]
        if ended or time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def ended_how(process: "subprocess.Popen[bytes]", limit: float, log: Path) -> Finding:
    """Say why a check has no result."""
    code = process.poll()
    if code is None:
        return failed("no end", f"stopped after {limit:.0f} s")
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return failed(how, f"its process ended: {lines[-1].strip() if lines else 'it said nothing'}")


def as_row(line: str) -> Row:
    """Return a row from its JSON."""
    stored: dict[str, Any] = json.loads(line)
    finding = Finding(stored["status"], stored["figure"], stored["reason"], stored["facts"])
    return Row(stored["name"], stored["about"], finding, stored["seconds"])
