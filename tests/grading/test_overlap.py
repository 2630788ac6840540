"""Grading in a thread beside generating."""

import threading
from collections.abc import Sequence

import pytest

from rl.grading.overlap import MOST_AT_ONCE, Overlap


def doubled(jobs: Sequence[int]) -> list[int]:
    return [2 * job for job in jobs]


def test_results_come_in_the_order_of_the_jobs() -> None:
    with Overlap(doubled) as overlap:
        for job in range(1000):
            overlap.put(job)
        assert overlap.results() == [2 * job for job in range(1000)]


def test_no_jobs_no_results() -> None:
    with Overlap(doubled) as overlap:
        assert overlap.results() == []


def test_work_goes_on_while_jobs_still_come() -> None:
    """The first job is done before the second is put: were work to begin at the end, this would wait for ever."""
    done = threading.Event()

    def work(jobs: Sequence[int]) -> list[int]:
        done.set()
        return list(jobs)

    with Overlap(work) as overlap:
        overlap.put(1)
        assert done.wait(timeout=10)
        overlap.put(2)
        assert overlap.results() == [1, 2]


def test_what_came_in_the_meantime_is_worked_on_together() -> None:
    free, sizes = threading.Event(), []

    def work(jobs: Sequence[int]) -> list[int]:
        free.wait(timeout=10)
        sizes.append(len(jobs))
        return list(jobs)

    with Overlap(work) as overlap:
        for job in range(2 * MOST_AT_ONCE):
            overlap.put(job)
        free.set()
        assert overlap.results() == list(range(2 * MOST_AT_ONCE))
    assert max(sizes) == MOST_AT_ONCE and sum(sizes) == 2 * MOST_AT_ONCE


def test_an_error_in_the_thread_reaches_the_caller() -> None:
    def fails(jobs: Sequence[int]) -> list[int]:
        raise RuntimeError("the grader broke")

    with pytest.raises(RuntimeError, match="the grader broke"), Overlap(fails) as overlap:
        overlap.put(1)
        overlap.results()


def test_leaving_by_an_exception_drops_what_was_not_begun() -> None:
    begun, free, seen = threading.Event(), threading.Event(), []

    def work(jobs: Sequence[int]) -> list[int]:
        seen.extend(jobs)
        begun.set()
        free.wait(timeout=10)
        return list(jobs)

    with pytest.raises(KeyboardInterrupt), Overlap(work) as overlap:
        overlap.put(0)
        begun.wait(timeout=10)
        for job in range(1, 10):
            overlap.put(job)
        threading.Timer(0.05, free.set).start()
        raise KeyboardInterrupt
    assert seen == [0]


def test_one_result_can_be_waited_for_before_the_rest_is_put() -> None:
    with Overlap(doubled) as overlap:
        for job in range(5):
            overlap.put(job)
        assert overlap.result(3) == 6
        overlap.put(5)
        assert overlap.result(5) == 10
        assert overlap.results() == [0, 2, 4, 6, 8, 10]


def test_who_waits_for_a_result_gets_the_error() -> None:
    def fails(jobs: Sequence[int]) -> list[int]:
        raise RuntimeError("the grader broke")

    with pytest.raises(RuntimeError, match="the grader broke"), Overlap(fails) as overlap:
        overlap.put(1)
        overlap.result(0)
