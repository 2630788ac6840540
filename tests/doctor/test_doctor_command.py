"""`penny doctor gpu` as a whole: processes that crash or hang, the file, the table, and the exit code."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rewards.errors import BadInput
from rl.doctor.check import Check, passed
from rl.doctor.command import examine
from rl.doctor.listed import CHECKS
from rl.doctor.runner import chosen, run

WORKER = """
import os, sys, time
from pathlib import Path
from rl.doctor.check import Check, passed
from rl.doctor.worker import run_checks

def hang(_): time.sleep(60)
def crash(_): print("out of memory"); sys.stdout.flush(); os.abort()
def leave(_): os._exit(7)
def wrong(_): raise ValueError("first line\\nsecond")
def keep(subject): subject.kept["x"] = 1; return passed("kept")
def find(subject): return passed(str(subject.kept.get("x")))

def good(_): return passed("1 s")

device, results, *names = sys.argv[1:]
run_checks([Check(name, "g", "about", 1, globals()[name]) for name in names], device, Path(results))
"""


def rows(tmp_path: Path, *names: str, seconds: float = 60.0) -> list[tuple[str, str, str]]:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    checks = [Check(name, "g", "about", seconds, lambda _: passed("")) for name in names]
    found = run(checks, "cuda", lambda _: None, [sys.executable, str(script)])
    return [(row.name, row.finding.status, row.finding.figure + "|" + row.finding.reason) for row in found]


def test_a_crash_is_a_failure_and_the_rest_goes_on(tmp_path: Path) -> None:
    assert rows(tmp_path, "good", "crash", "leave", "wrong", "good") == [
        ("good", "PASS", "1 s|"),
        ("crash", "FAIL", "SIGABRT|its process ended: out of memory"),
        ("leave", "FAIL", "exit code 7|its process ended: it said nothing"),
        ("wrong", "FAIL", "ValueError|first line"),
        ("good", "PASS", "1 s|"),
    ]


@pytest.mark.slow
def test_what_does_not_end_is_stopped(tmp_path: Path) -> None:
    assert rows(tmp_path, "hang", seconds=4.0) == [("hang", "FAIL", "no end|stopped after 4 s")]


KILLED = """
import sys
from rl.doctor.check import Check, passed
from rl.doctor.runner import run

check = Check("leave_one", "g", "about", 60, lambda _: passed(""))
list(run([check], "cuda", lambda _: None, [sys.executable, *sys.argv[1:]]))
"""
LEAVES_ONE = """
import subprocess, sys, threading, time
from pathlib import Path
from rl.doctor.worker import end_with_the_command

threading.Thread(target=end_with_the_command, daemon=True).start()
session = subprocess.Popen(["sleep", "600"], start_new_session=True)
Path(sys.argv[1]).write_text(f"{session.pid}")
time.sleep(600)
"""


def test_a_killed_command_leaves_no_process(tmp_path: Path) -> None:
    """Also none with a session of its own, as torchrun gives each rank."""
    worker, written = tmp_path / "worker.py", tmp_path / "pid"
    worker.write_text(LEAVES_ONE)
    command = subprocess.Popen([sys.executable, "-c", KILLED, str(worker), str(written)])
    try:
        wait_for(lambda: written.exists() and bool(written.read_text()))
        left = Path(f"/proc/{written.read_text()}")
        assert left.exists()
    finally:
        command.kill()
        command.wait()
    wait_for(lambda: not left.exists() or "\nState:\tZ" in (left / "status").read_text())


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def test_checks_of_a_group_share_what_they_opened(tmp_path: Path) -> None:
    assert [row[2] for row in rows(tmp_path, "keep", "find")] == ["kept|", "1|"]


def test_names_are_checked_and_keep_their_order() -> None:
    assert [check.name for check in chosen(CHECKS, "gap, driver")] == ["driver", "gap"]
    assert chosen(CHECKS, None) == list(CHECKS)
    for wrong in ("nothing", ""):
        with pytest.raises(BadInput, match="use one or more of driver, compiler, "):
            chosen(CHECKS, wrong)


def test_names_are_unique_and_groups_stand_together() -> None:
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))
    groups = [check.group for check in CHECKS]
    assert len(set(groups)) == 1 + sum(one != other for one, other in zip(groups, groups[1:], strict=False))


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "rl.cli", "doctor", "gpu", *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_the_command_writes_what_it_shows(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    done = doctor("--device", "cpu", "--only", "driver,precisions,compiles", "-o", str(file))
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert [row["status"] for row in found["checks"]] == ["SKIP", "PASS", "PASS"]
    assert found["passed"] and found["whole"] and found["device"] == "cpu" and found["versions"]["torch"]
    assert "2 PASS, 0 FAIL, 1 SKIP" in done.stdout and "precisions" in done.stdout


def test_mistakes_are_found_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no check 'speed'"):
        examine("speed", "cpu", tmp_path / "found.json")
    with pytest.raises(BadInput, match="name a file in a folder that exists"):
        examine("driver", "cpu", tmp_path / "no" / "found.json")


@pytest.mark.slow
@pytest.mark.vllm
def test_all_of_it_on_a_cpu(tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed here")
    file = tmp_path / "found.json"
    done = doctor("--device", "cpu", "-o", str(file))
    found = json.loads(file.read_text())
    assert done.returncode == 0, found["failed"]
    status = {row["name"]: row["status"] for row in found["checks"]}
    gpu_only = {"driver", "liger", "adamw-8bit", "shape-0.5b", "shape-1.5b", "shape-3b", "sleep", "graphs", "server"}
    assert {name for name, found in status.items() if found == "SKIP"} - {"compiler"} == gpu_only
