"""Time-outs are judged by processor time: each line of the tables is worked out by hand."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rewards.fairness import SPIN_SECONDS, ProcessorTime, allowed_seconds, read_processor_time, spin, was_starved

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("elapsed", "waited", "allowed"),
    [
        (10, 0, None),  # it slept or computed all the time
        (10, 5, None),  # half is not the larger part
        (10, 6, 16),  # as much more as it waited
        (16, 9.6, 19.6),
        (25, 15.1, None),  # 0.1 s more is not worth another wait: it had 9.9 s of processor
        (10, 9.9, 19.9),
        (58, 57, 60),  # six times the limit at most
        (60, 59, None),
    ],
)
def test_a_job_gets_as_much_more_time_as_it_waited(elapsed: float, waited: float, allowed: float | None) -> None:
    found = allowed_seconds(10, elapsed, waited)
    assert found == (None if allowed is None else pytest.approx(allowed))


def test_starved_is_what_never_had_its_limit_of_processor_time() -> None:
    assert was_starved(10, 50.1)
    assert not was_starved(10, 50)
    assert not was_starved(10, 45)


def test_what_a_job_used_itself_is_no_excuse() -> None:
    """Eight threads of its own on two cores: the main one waits three quarters of the time."""
    assert allowed_seconds(10, 10, waited=7.5, used=20) is None
    assert not was_starved(10, 52.5, used=60)
    assert allowed_seconds(10, 10, waited=7.5, used=2.5) == 17.5
    assert was_starved(10, 52.5, used=7.5)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_system_counts_waiting() -> None:
    before = read_processor_time(os.getpid())
    assert before is not None and before.waited >= 0 and before.used > 0
    began = time.process_time()
    while time.process_time() < began + 0.2:
        pass
    after = read_processor_time(os.getpid())
    assert after is not None
    spent = after.since(before)
    assert 0.15 < spent.used < 2 and spent.waited >= 0
    assert read_processor_time(2**30) is None  # no such process
    assert ProcessorTime(3, 5).since(ProcessorTime(1, 2)) == ProcessorTime(2, 3)


REAPS = """
import os
from rewards.fairness import read_processor_time
print(read_processor_time(os.getpid()).has_forked)
if os.fork() == 0:
    os._exit(0)
print(read_processor_time(os.getpid()).has_forked)
os.wait()
print(read_processor_time(os.getpid()).has_forked)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_that_has_ended_leaves_a_trace() -> None:
    """One that lives, or that nobody has waited for, is seen itself."""
    done = subprocess.run([sys.executable, "-c", REAPS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_lowered_priority_is_seen() -> None:
    code = (
        "import os; os.nice(7); from rewards.fairness import read_processor_time as read; print(read(os.getpid()).nice)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == min(os.nice(0) + 7, 19)


def test_sleep_lengthens_nothing() -> None:
    """It slept for 4 s, used 2 s and waited for 6 s: at 12 s, 6 s of the machine's fault and 6 of 10 s are over."""
    assert allowed_seconds(10, 12, waited=6, used=2) == 16
    assert allowed_seconds(10, 16, waited=6, used=2) is None


def test_the_control_job_uses_its_time_and_says_so() -> None:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        spin(theirs)
        os._exit(0)
    _, _, used = os.wait4(pid, 0)
    assert os.read(ours, 2) == b"1" and SPIN_SECONDS <= used.ru_utime + used.ru_stime < 1
    os.close(ours)
    os.close(theirs)
