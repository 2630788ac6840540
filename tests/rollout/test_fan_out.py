"""Calls in threads."""

import threading
import time

import pytest

from rl.rollout.fan_out import fan_out


def test_nothing_to_do() -> None:
    assert list(fan_out(lambda i, halt: i, 0, 4, 1.0)) == []


def test_each_call_once_with_its_index() -> None:
    assert sorted(fan_out(lambda i, halt: i * i, 100, 8, 1.0)) == [(i, i * i) for i in range(100)]


def test_after_a_failure_what_runs_is_yielded_and_nothing_new_begins() -> None:
    begun = []

    def call(i: int, halt: threading.Event) -> int:
        begun.append(i)
        if i == 1:
            raise ZeroDivisionError
        assert halt.wait(5)
        return i

    came = []
    with pytest.raises(ZeroDivisionError):
        for i, _ in fan_out(call, 100, 3, 5.0):
            came.append(i)
    assert sorted(came) == sorted(set(begun) - {1})
    assert len(begun) <= 3


def test_patience_bounds_the_wait_for_calls_that_hang() -> None:
    over = threading.Event()

    def call(i: int, halt: threading.Event) -> int:
        if i == 0:
            over.wait(10)
        else:
            raise ZeroDivisionError("one failed")
        return i

    began = time.monotonic()
    with pytest.raises(ZeroDivisionError, match="one failed"):
        list(fan_out(call, 2, 2, patience=0.05))
    assert 0.05 <= time.monotonic() - began < 5
    over.set()


def test_of_several_failures_the_first_is_raised() -> None:
    def call(i: int, halt: threading.Event) -> int:
        if i == 0:
            halt.wait(5)  # until the other has failed
            time.sleep(0.02)
        raise ValueError(f"call {i}")

    with pytest.raises(ValueError, match="call 1"):
        list(fan_out(call, 2, 2, 1.0))


def test_results_that_are_there_are_yielded_whatever_the_patience() -> None:
    failed = threading.Event()

    def call(i: int, halt: threading.Event) -> int:
        if i == 2:
            failed.set()
            raise ZeroDivisionError
        return i

    came = []
    with pytest.raises(ZeroDivisionError):
        for i, _ in fan_out(call, 3, 1, patience=0.0):
            came.append(i)
            assert failed.wait(5)
    assert came == [0, 1]


def test_further_calls_run_beside_the_rest_until_there_are_none() -> None:
    further = iter([2, 0, 1])

    def more() -> int:
        return next(further, 0)

    def call(i: int, halt: threading.Event) -> int:
        time.sleep(0.15 if i == 0 else 0)  # long enough for `more` to be asked meanwhile
        return i * i

    assert sorted(fan_out(call, 1, 2, 1.0, more)) == [(0, 0), (1, 1), (2, 4), (3, 9)]


def test_further_calls_after_all_others_are_done() -> None:
    came: list[int] = []
    for i, _ in fan_out(lambda i, halt: i, 1, 4, 1.0, lambda: 1 if len(came) == 1 else 0):
        came.append(i)
    assert came == [0, 1]


def test_what_asks_for_more_may_end_it_all() -> None:
    def more() -> int:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        list(fan_out(lambda i, halt: halt.wait(5), 1, 1, 1.0, more))
