"""Grader processes that can be killed: an answer that hangs costs its time limit and nothing else.

Python cannot interrupt `99**98**97`: signals and threads wait for the big-integer loop, which never returns. So such
work runs in other processes, which the parent watches by the wall clock, kills with SIGKILL and replaces.

Each worker is owned by one thread of the parent, which starts it, talks to it and kills it. The threads live as long
as the pool, because the kernel's "die with your parent" means the starting *thread*.

Not a sandbox: see `rewards.worker` for what a worker can still do.
"""

import atexit
import contextlib
import functools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

START_SECONDS = 60.0  # to start a worker and import what it needs, on a machine under load
LARGEST_REPLY = 1 << 20  # bytes
JOBS_OF_ONE_WORKER = 2000  # then it is replaced, so that what leaks does not pile up
READY = "rewards.worker:ready"
LOAD = "rewards.worker:load"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What became of one job.

    Attributes:
        kind: `value`: the function returned; `timed_out` and `crashed`: the job is at fault, since a control job
            passed afterwards; `ungradable`: the control job failed too, so the machine or the control's subject is.
        value: what the function returned (JSON-like).
        reason: why there is no value, for people.
    """

    kind: Literal["value", "timed_out", "crashed", "ungradable"]
    value: Any = None
    reason: str = ""


class GraderPool:
    """A pool of grader processes, started with the first job.

    Args:
        workers: number of processes.
        timeout: seconds of wall-clock time that one job may take.

    Usable from any thread, by several at once. Close it, or use it as a context manager.
    """

    def __init__(self, workers: int, timeout: float) -> None:
        self.workers, self.timeout = workers, timeout
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._process_id = 0
        self._mine = threading.local()  # .worker: the worker of this thread
        self._alive: set[_Worker] = set()

    def map(self, function: str, jobs: Sequence[tuple[Any, ...]], control: str = READY) -> list[Result]:
        """Call a function on each job in the workers; results come in the order of the jobs.

        Args:
            function: `module:qualname`. Its module may define `warm_up()`, which a new worker calls before its first
                job, outside the time limit.
            jobs: arguments of each call, JSON-like.
            control: function that takes the same arguments, is known to be quick, and raises if the job could not
                have been done at all. It is called after a job failed, to tell whose fault that was.

        Raises:
            RuntimeError: the function cannot be imported in a worker.
        """
        threads = self._started()
        futures = [threads.submit(self._do, function, job, control) for job in jobs]
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

    def close(self) -> None:
        """End every worker, after at most the time that the running jobs may still take."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)
        while self._alive:
            self._alive.pop().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if (
                self._threads is None or self._process_id != os.getpid()
            ):  # a forked child has none of its parent's threads
                self._process_id, self._mine, self._alive = os.getpid(), threading.local(), set()
                self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="grader")
            return self._threads

    def _do(self, function: str, job: tuple[Any, ...], control: str) -> Result:
        result = self._ask(function, job)
        if result.kind in ("value", "ungradable"):
            return result
        check = self._ask(control, job)
        if check.kind == "value":
            return result
        return Result("ungradable", reason=f"{result.reason}, and so did the control: {check.reason}")

    def _ask(self, function: str, job: tuple[Any, ...]) -> Result:
        """Run one job in this thread's worker, which is started if need be and ended if it came to harm."""
        worker = self._worker()
        if worker is None:
            return Result("ungradable", reason="no grader process could be started")
        if function not in worker.loaded:
            loaded = worker.ask(LOAD, (function,), START_SECONDS)
            if loaded.kind != "value":
                self._end(worker)
                if not worker.broken:
                    raise RuntimeError(f"a grader process cannot load {function}: {loaded.reason}")
                return Result("ungradable", reason=f"a grader process did not start: {loaded.reason}")
            worker.loaded.add(function)
        result = worker.ask(function, job, self.timeout)
        if worker.broken or worker.jobs >= JOBS_OF_ONE_WORKER or result.reason.startswith("MemoryError"):
            self._end(worker)
        return result

    def _worker(self) -> "_Worker | None":
        if not hasattr(self._mine, "worker"):
            try:
                self._mine.worker = _Worker()
            except OSError as error:  # no processes, descriptors or memory left: the machine's fault, and it may pass
                logger.warning("a grader process could not be started: %s", error)
                return None
            self._alive.add(self._mine.worker)
        return self._mine.worker

    def _end(self, worker: "_Worker") -> None:
        del self._mine.worker
        self._alive.discard(worker)
        worker.stop()


@functools.cache
def shared() -> GraderPool:
    """The pool of reward functions called without one (from TRL or a notebook): 2 workers, 10 seconds a job."""
    pool = GraderPool(workers=2, timeout=10.0)
    atexit.register(pool.close)
    return pool


class _Worker:
    """One grader process and the socket to it. `broken` once it must not be asked again."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.jobs = 0
        self.broken = False
        self.connection, theirs = socket.socketpair()
        with theirs:
            arguments = [str(theirs.fileno()), str(os.getpid())]
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-B", "-m", "rewards.worker", *arguments],
                env=_environment(),
                cwd=tempfile.gettempdir(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is not for it, and its children can be killed with it
            )

    def ask(self, function: str, arguments: Sequence[Any], seconds: float) -> Result:
        """Run one job and wait for its result for so many seconds."""
        request = json.dumps({"function": function, "arguments": arguments, "seconds": seconds}).encode() + b"\n"
        self.jobs += 1
        try:
            line = self._exchange(request, time.monotonic() + seconds)
            reply = json.loads(line)
            if "value" in reply:
                return Result("value", reply["value"])
            return Result("crashed", reason=str(reply["error"]))
        except TimeoutError:
            self.broken = True
            return Result("timed_out", reason=f"no result within {seconds:g} s")
        except OSError as error:
            self.broken = True
            return Result("crashed", reason=f"the process ended ({self.stop() or error})")
        except (ValueError, RecursionError, KeyError, TypeError):  # not what a worker of ours writes
            self.broken = True
            return Result("crashed", reason="the process sent no valid reply")

    def stop(self) -> str:
        """Kill the process and what it started, reap it, and say which signal had ended it, if one other than ours."""
        self.connection.close()
        if self.process.returncode is None:  # not reaped yet, so the number is still its own
            with contextlib.suppress(PermissionError):  # macOS says so for a zombie
                os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        return signal.Signals(-code).name if code < 0 else ""

    def _exchange(self, request: bytes, deadline: float) -> bytes:
        self._wait_until(deadline)
        self.connection.sendall(request)
        line = bytearray()
        while not line.endswith(b"\n"):
            self._wait_until(deadline)
            part = self.connection.recv(1 << 16)
            if not part:
                raise ConnectionError("end of file")
            line += part
            if len(line) > LARGEST_REPLY:
                raise ConnectionError("a reply too large")
        return bytes(line)

    def _wait_until(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)


def _environment() -> dict[str, str]:
    """What Python needs and no more: no token, key or home of the user reaches a worker."""
    return {
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
        "PYTHONHASHSEED": "0",  # sympy orders by hash here and there: grade the same way each time
        "OMP_NUM_THREADS": "1",  # numerical libraries reserve memory for each thread
        "OPENBLAS_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    } | {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
