"""The process in which the checks of one group run: `python -m rl.doctor.worker DEVICE RESULTS NAME ...`.

Each finding is written as a line of JSON the moment that it is there, so that a crash loses none before it.
The worker, and all that it started, end when its standard input closes: the command that started it is gone.
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rl.doctor.check import Check, Finding, Row, Subject, failed
from rl.doctor.ending import kill_group
from rl.run.own_gpu import take_own_gpu


def run_checks(checks: Sequence[Check], device: str, results: Path) -> None:
    """Run checks one after the other, and append a line for each to `results`."""
    with tempfile.TemporaryDirectory(prefix="penny-doctor-") as folder:
        subject = Subject(device, Path(folder))
        with subject.stack, results.open("a", encoding="utf-8") as file:
            for check in checks:
                began = time.perf_counter()
                finding = looked_at(check, subject)
                row = Row(check.name, check.about, finding, time.perf_counter() - began)
                file.write(json.dumps(row.as_dict()) + "\n")
                file.flush()


def looked_at(check: Check, subject: Subject) -> Finding:
    """Return the finding of a check; whatever it raises is a FAIL, as that is what a run would end with."""
    try:
        return check.look(subject)
    except Exception as error:  # of any library: the next check is still worth looking at
        lines = str(error).strip().splitlines() or ["it said nothing"]
        return failed(type(error).__name__, lines[0])


def end_with_the_command() -> None:
    """Kill this process and all that it started once standard input ends: they would keep the GPU's memory."""
    sys.stdin.buffer.read()
    kill_group(os.getpid())


SEVERAL = {"driver", "ranks", "server"}  # see all GPUs; the others see the one that a run would use

if __name__ == "__main__":
    threading.Thread(target=end_with_the_command, daemon=True).start()
    if sys.argv[1] == "cuda" and not SEVERAL & set(sys.argv[3:]):
        take_own_gpu(os.environ)
    from rl.doctor.listed import CHECKS  # with all libraries; `run_checks` needs none

    asked = sys.argv[3:]
    run_checks([check for check in CHECKS if check.name in asked], sys.argv[1], Path(sys.argv[2]))
