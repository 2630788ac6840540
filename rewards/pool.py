"""Grader processes that can be killed: an answer that hangs costs its time limit and nothing else.

Python cannot interrupt `99**98**97`: signals and threads wait for the big-integer loop, which never returns. So such
work runs in other processes, which the parent watches by the wall clock and their memory, kills with SIGKILL and
replaces. A time-out is the job's fault only if it had a processor (`rewards.fairness`), and a worker that somebody else
killed is asked once more in a new one.

Each worker is owned by one thread of the parent, which starts it, talks to it and kills it. The threads live as long
as the pool, because the kernel's "die with your parent" means the starting *thread*.

Not a sandbox: see `rewards.worker` for what a worker can still do.
"""

import atexit
import functools
import logging
import os
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from rewards.fairness import read_processor_time
from rewards.process import GraderProcess, Result

__all__ = ["GraderPool", "Result", "shared"]

START_SECONDS = 60.0  # to start a worker and import what it needs, on a machine under load
JOBS_OF_ONE_WORKER = 2000  # then it is replaced, so that what leaks does not pile up
LARGEST_KEPT = 512 << 20  # bytes of memory in use after a job, above which a worker is replaced
READY = "rewards.worker:ready"
LOAD = "rewards.worker:load"

logger = logging.getLogger(__name__)


class GraderPool:
    """A pool of grader processes, started with the first job.

    Args:
        workers: number of processes.
        timeout: seconds of wall-clock time that one job may take.

    Usable from any thread, by several at once. Close it, or use it as a context manager.
    """

    _threads: ThreadPoolExecutor | None

    def __init__(self, workers: int, timeout: float) -> None:
        self.workers, self.timeout = workers, timeout
        self._read_time = read_processor_time
        self._forget()
        _pools.add(self)

    def map(
        self, function: str, jobs: Sequence[tuple[Any, ...]], control: str = READY, seconds: float | None = None
    ) -> list[Result]:
        """Call a function on each job in the workers; results come in the order of the jobs.

        Args:
            function: `module:qualname`. Its module may define `warm_up()`, which a new worker calls before its first
                job, outside the time limit.
            jobs: arguments of each call, JSON-like.
            control: function that takes the same arguments, is known to be quick, and raises if the job could not
                have been done at all. It is called after a job failed, to tell whose fault that was. The default one
                is not asked after a time-out where the system counts who waited for a processor.
            seconds: wall-clock time that each of these jobs may take; default: the pool's `timeout`.

        Raises:
            RuntimeError: the function cannot be imported in a worker.
        """
        threads = self._started()
        limit = self.timeout if seconds is None else seconds
        futures = [threads.submit(self._do, function, job, control, limit) for job in jobs]
        try:
            results = [future.result() for future in futures]
        finally:  # after an error or Ctrl-C, do not grade the rest
            for future in futures:
                future.cancel()
        if reasons := [result.reason for result in results if result.kind == "ungradable"]:
            logger.warning(
                "%d of %d gradings failed through no fault of theirs: %s", len(reasons), len(jobs), reasons[0]
            )
        return results

    def close(self, now: bool = False) -> None:
        """End every worker, after at most the time that the running jobs may still take; `now`: kill these."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            self._stopping = now
            for worker in list(self._alive) if now else ():
                worker.kill()
            threads.shutdown(wait=True, cancel_futures=True)
            self._stopping = False
        while self._alive:
            self._alive.pop().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(now=kind is not None)  # after an error or Ctrl-C nobody wants the rest

    def _forget(self) -> None:
        """Begin anew: with nothing started yet, or in a forked child, which has none of its parent's threads."""
        self._lock = threading.Lock()
        self._threads = None
        self._stopping = False
        self._mine = threading.local()  # .worker: the worker of this thread
        self._alive: set[GraderProcess] = set()

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="grader")
            return self._threads

    def _do(self, function: str, job: tuple[Any, ...], control: str, seconds: float) -> Result:
        result = self._ask(function, job, seconds)
        if result.kind in ("value", "ungradable"):
            return result
        if result.kind == "timed_out" and control == READY and self._read_time(os.getpid()) is not None:
            return result  # it is known that it had its processor, and this control would tell no more
        check = self._ask(control, job, seconds)
        if check.kind == "value":
            return result
        reason = f"{result.reason}, and so did the control: {check.reason}"
        return Result("ungradable", reason=reason, seconds=result.seconds)

    def _ask(self, function: str, job: tuple[Any, ...], seconds: float, again: bool = True) -> Result:
        """Run one job in this thread's worker, which is started if need be and ended if it came to harm."""
        worker = self._worker()
        if worker is None:
            return Result("ungradable", reason="no grader process could be started")
        if self._stopping:
            return Result("ungradable", reason="the graders are being closed")
        result = self._load(worker, function) or worker.ask(function, job, seconds)
        if worker.broken or _is_worn(worker, result):
            self._end(worker)
        return self._ask(function, job, seconds, again=False) if worker.killed and again else result

    def _load(self, worker: GraderProcess, function: str) -> Result | None:
        """Have a worker import a function that it does not have yet; what went wrong, if anything did."""
        if function in worker.loaded:
            return None
        loaded = worker.ask(LOAD, (function,), START_SECONDS)
        if loaded.kind == "value":
            worker.loaded.add(function)
            return None
        if not worker.broken:
            self._end(worker)
            raise RuntimeError(f"a grader process cannot load {function}: {loaded.reason}")
        return Result("ungradable", reason=f"a grader process did not start: {loaded.reason}")

    def _worker(self) -> GraderProcess | None:
        if not hasattr(self._mine, "worker"):
            try:
                self._mine.worker = GraderProcess(self._read_time)
            except OSError as error:  # no processes, descriptors or memory left: the machine's fault, and it may pass
                logger.warning("a grader process could not be started: %s", error)
                return None
            self._alive.add(self._mine.worker)
        return self._mine.worker

    def _end(self, worker: GraderProcess) -> None:
        del self._mine.worker
        self._alive.discard(worker)
        worker.stop()


def _is_worn(worker: GraderProcess, result: Result) -> bool:
    """Whether a worker that still answers holds too much memory, or may soon."""
    if worker.jobs >= JOBS_OF_ONE_WORKER or result.reason.startswith("MemoryError"):
        return True
    slow = result.seconds > 0.02  # to fill memory takes time: do not look after each quick job
    return slow and worker.resident() > LARGEST_KEPT


_pools: weakref.WeakSet[GraderPool] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in _pools:
        for worker in pool._alive:
            worker.connection.close()  # the parent's: the child must not keep its descriptor
        pool._forget()


os.register_at_fork(after_in_child=_forget_all)


@functools.cache
def shared() -> GraderPool:
    """The pool of reward functions called without one (from TRL or a notebook): 2 workers, 10 seconds a job."""
    pool = GraderPool(workers=2, timeout=10.0)
    atexit.register(pool.close)
    return pool
