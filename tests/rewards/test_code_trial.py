"""Whose fault it is that a program's time is over."""

import time
from typing import Any

import pytest

from rewards.code.trial import Failed, Starved, TimedOut, Trial
from rewards.sandbox import Exit, Limits, Usage


class FakeSandbox:
    """A sandbox whose programs waited so many seconds for a processor."""

    def __init__(self, waited: float | None, cpu_seconds: float, ended: Exit) -> None:
        self.figures, self.ended, self.ends = Usage(cpu_seconds, waited), ended, 0

    def usage(self, pid: int) -> Usage:
        return self.figures

    def end(self, pid: int, grace: float = 0.0) -> Exit:
        self.ends += 1
        return self.ended


def trial(
    elapsed: float, waited: float | None, ended: Exit | None = None, cpu_seconds: float = 0.1, busy: bool = True
) -> Trial:
    sandbox: Any = FakeSandbox(waited, cpu_seconds, ended or Exit(0, 0, 0.0, ""))
    began = time.monotonic() - elapsed
    return Trial(sandbox, Limits(), 10.0, control=lambda *_: busy, running=[1], started=began)


def test_time_is_left() -> None:
    assert 5 < trial(4, 0).remaining() <= 6


@pytest.mark.parametrize(("waited", "certain"), [(0.0, True), (4.0, True), (None, False)])
def test_timed_out(waited: float | None, certain: bool) -> None:
    with pytest.raises(TimedOut, match="timed out after 10 s") as error:
        trial(10.1, waited).remaining()
    assert error.value.certain == certain


def test_more_time_for_one_that_waited() -> None:
    assert 7 < trial(10.1, 8.0).remaining() < 8


def test_starved() -> None:
    starved = trial(60.1, 55.0)
    with pytest.raises(Starved, match="for a processor"):
        starved.remaining()
    assert starved.running == []  # the control job had the machine without them


def test_starved_is_not_believed_where_another_job_has_its_processor() -> None:
    with pytest.raises(TimedOut) as error:
        trial(60.1, 55.0, busy=False).remaining()
    assert error.value.certain


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (Exit(None, 9, 1.0, "memory"), "more than 1024 MiB of memory"),
        (Exit(None, 9, 1.0, "processes"), "more than 64 processes"),
        (Exit(None, 9, 1.0, "", killed=True), "stopped answering and did not end, so it was killed"),
        (Exit(None, 9, 11.0, ""), "more than 11 s of processor time"),
        (Exit(None, 24, 11.0, ""), "more than 11 s of processor time"),
        (Exit(None, 9, 1.0, ""), "killed (signal 9): by itself, or by the system for lack of memory"),
        (Exit(None, 15, 11.0, ""), "signal 15 (Terminated), which it sent itself"),
        (Exit(None, 11, 1.0, ""), "crashed (signal 11, Segmentation fault)"),
        (Exit(0, 0, 1.0, ""), "exit status 0 before"),
    ],
)
def test_failures(ended: Exit, reason: str) -> None:
    failure = trial(1, 0, ended).failure(1)
    assert isinstance(failure, Failed) and reason in str(failure)


def test_processes_that_keep_each_other_waiting() -> None:
    """All together they had their time."""
    with pytest.raises(TimedOut):
        trial(10.1, 9.0, cpu_seconds=11.0).remaining()


def test_all_are_ended() -> None:
    with pytest.raises(ValueError), trial(1, 0) as running:
        raise ValueError
    assert running.running == [] and running.sandbox.ends == 1  # type: ignore[attr-defined]
