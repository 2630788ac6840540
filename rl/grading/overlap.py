"""Grading beside generating: answers are graded in a thread, in the order in which they end, while others still run."""

import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

MOST_AT_ONCE = 64  # answers of one call: enough to keep all graders busy, few enough that a slow one delays little


class Overlap(Generic[Job, Result]):
    """Hands jobs to a function in a thread, as many at once as have come in the meantime.

    The thread waits on grader processes most of its time, so it takes little from the thread that generates. Leaving
    the block by an exception drops what was not begun.

    Args:
        work: takes some jobs and returns their results, in order.
    """

    def __init__(self, work: Callable[[Sequence[Job]], Sequence[Result]]) -> None:
        self._work = work
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()  # None: there are no more
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._news = threading.Condition()  # there are results, or an error
        self._dropped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="grading", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._dropped.set()
        self._jobs.put(None)
        if kind is None or not issubclass(kind, KeyboardInterrupt):  # a grader that hangs must not hold up a Ctrl-C
            self._thread.join()

    def put(self, job: Job) -> None:
        """Add a job. Raises what `work` has raised by now."""
        if self._error is not None:
            raise self._error
        self._jobs.put(job)

    def result(self, number: int) -> Result:
        """Wait for the result of the job that was put as number `number`, from 0. Raises what `work` raised."""
        with self._news:
            self._news.wait_for(lambda: len(self._results) > number or self._error is not None)
        if self._error is not None:
            raise self._error
        return self._results[number]

    def results(self) -> list[Result]:
        """Wait for all jobs and return their results, in the order of `put`. Raises what `work` raised."""
        self._jobs.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._results

    def _run(self) -> None:
        try:
            while (jobs := self._waiting()) and not self._dropped.is_set():
                results = self._work(jobs)
                with self._news:
                    self._results += results
                    self._news.notify_all()
        except BaseException as error:  # whatever a grader raises belongs to the thread that waits for it
            with self._news:
                self._error = error
                self._news.notify_all()

    def _waiting(self) -> list[Job]:
        """The jobs that are there, at least one; none once there are no more."""
        first = self._jobs.get()
        jobs = [] if first is None else [first]
        while jobs and len(jobs) < MOST_AT_ONCE:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)  # for the next call
                break
            jobs.append(job)
        return jobs
