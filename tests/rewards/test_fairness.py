"""Time-outs are judged by processor time: each line of the tables is worked out by hand."""

import os
import sys
import time

import pytest

from rewards.fairness import ProcessorTime, allowed_seconds, read_processor_time, was_starved


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
