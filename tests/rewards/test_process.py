"""What one grader process does to its parent when it is starved, killed, greedy or hostile: nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rewards.fairness import ProcessorTime
from rewards.pool import GraderPool

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2, timeout=2) as made:
        made._read_time = lambda process: ProcessorTime(0.0, 0.0)  # never busy, whatever else this machine does
        yield made


def starving(share: float, used: float = 0.0) -> Callable[[int], ProcessorTime]:
    """A stand-in for the system's count: processes wait for this share of the time, and use that of it."""
    return lambda process: ProcessorTime(share * time.monotonic(), used * time.monotonic())


def test_a_job_that_waited_for_a_processor_gets_more_time(pool: GraderPool) -> None:
    pool._read_time = starving(0.6)
    [late, hanging] = pool.map("time:sleep", [(1.2,), (60,)], seconds=0.6)  # at most 0.6 / (1 - 0.6) = 1.5 s
    assert (late.kind, hanging.kind) == ("value", "timed_out")
    assert late.seconds >= 1.2 and hanging.seconds == 0.6


@pytest.mark.slow
def test_a_job_that_never_had_a_processor_is_not_judged(pool: GraderPool) -> None:
    pool._read_time = starving(0.9)
    started = time.monotonic()
    [starved] = pool.map("time:sleep", [(60,)], seconds=0.5)
    assert starved.kind == "ungradable" and "for a processor" in starved.reason
    assert 1.4 < time.monotonic() - started < 15  # three times its limit, and the start of a worker


def test_a_job_that_waits_for_its_own_threads_is_at_fault(pool: GraderPool) -> None:
    pool._read_time = starving(0.9, used=1.1)
    [greedy] = pool.map("time:sleep", [(60,)], seconds=0.5)
    assert (greedy.kind, greedy.seconds) == ("timed_out", 0.5)


def test_without_the_systems_count_the_control_tells(pool: GraderPool) -> None:
    pool._read_time = lambda process: None
    [fault] = pool.map("time:sleep", [(60,)], seconds=0.5)  # the control is quick
    [ours] = pool.map("time:sleep", [(60,)], control="time:sleep", seconds=0.5)
    assert (fault.kind, ours.kind) == ("timed_out", "ungradable")


HOSTILE = """
import os, pathlib, signal, time
def once(path):
    if pathlib.Path(path).exists():
        return "alive"
    pathlib.Path(path).touch()
    os.kill(os.getpid(), signal.SIGKILL)
def always(path):
    with open(path, "a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)
def hang_up(path):
    os.closerange(3, 1024)  # the socket has the number that it had in the process of the tests
    time.sleep(60)
def leave_a_child(path):
    child = os.fork()
    if child == 0: time.sleep(60); os._exit(0)
    pathlib.Path(path).write_text(str(child))
    os._exit(1)
def deep(n): return 1 + deep(n + 1)
def digits(n): return 9**9**n
def regex(n): import re; return bool(re.match("(a+)+$", "a" * n + "b"))
def hoard(mebibytes):
    held = b"x" * (mebibytes << 20)
    time.sleep(30)
"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hostile_jobs.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_worker_killed_from_outside_is_asked_again_once(pool: GraderPool, hostile: Path) -> None:
    [again] = pool.map("hostile_jobs:once", [(str(hostile / "flag"),)])
    assert again.value == "alive"
    [lost] = pool.map("hostile_jobs:always", [(str(hostile / "count"),)])
    assert lost.kind == "ungradable" and "killed from outside (SIGKILL)" in lost.reason
    assert (hostile / "count").read_text() == "xx"


def test_a_worker_that_hangs_up_is_no_victim(pool: GraderPool, hostile: Path) -> None:
    [result] = pool.map("hostile_jobs:hang_up", [("",)], seconds=20)
    assert result.kind == "crashed" and "hung up" in result.reason and result.seconds < 10


@pytest.mark.slow
@linux
def test_what_a_dying_worker_leaves_behind_is_killed(pool: GraderPool, hostile: Path) -> None:
    [result] = pool.map("hostile_jobs:leave_a_child", [(str(hostile / "child"),)], seconds=5)
    assert result.kind in ("crashed", "timed_out")  # the child holds the socket open
    stat = Path("/proc", (hostile / "child").read_text(), "stat")
    deadline = time.monotonic() + 5
    while stat.exists() and " Z " not in stat.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not stat.exists() or " Z " in stat.read_text()


@pytest.mark.parametrize(
    ("function", "argument", "kind", "reason"),
    [
        ("deep", 0, "crashed", "RecursionError"),
        ("digits", 9, "timed_out", "no result within 1 s"),
        ("digits", 5, "crashed", "digits"),  # 56,348 of them: more than Python prints
        ("regex", 60, "timed_out", "no result"),
    ],
)
def test_hostile_work_costs_its_limit_at_most(
    pool: GraderPool, hostile: Path, function: str, argument: int, kind: str, reason: str
) -> None:
    [result, after] = pool.map(f"hostile_jobs:{function}", [(argument,), ("not a number",)], seconds=1)
    assert result.kind == kind and reason in result.reason
    assert after.kind == "crashed" and "Error" in after.reason


@linux
def test_a_worker_that_takes_too_much_memory_is_killed_from_outside(pool: GraderPool, hostile: Path) -> None:
    [result] = pool.map("hostile_jobs:hoard", [(1200,)], seconds=20)
    assert result.kind == "crashed" and "more than 1024 MiB of memory" in result.reason
    assert result.seconds < 15


def test_huge_jobs_pass_and_those_that_cannot_be_sent_are_nobodys_fault(pool: GraderPool) -> None:
    ring: list = []
    ring.append(ring)
    results = pool.map("builtins:len", [("a" * (8 << 20),), (ring,), ([10**5000],)])
    assert [(result.kind, result.value) for result in results] == [
        ("value", 8 << 20),
        ("ungradable", None),
        ("ungradable", None),
    ]
