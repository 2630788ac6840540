"""One grader process as its parent sees it: started, asked, watched, killed.

It is killed from outside when a job takes too long or too much memory. It also limits itself (`rewards.worker`), but a
limit that the process sets is one that a job could get around.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rewards.fairness import ProcessorTime, ReadProcessorTime, allowed_seconds, read_processor_time, was_starved

LARGEST_REPLY = 1 << 20  # bytes
LARGEST_RESIDENT = 1 << 30  # bytes of memory in use; sympy and math-verify take a tenth of it
LOOK_SECONDS = 0.25  # between two looks at a process that works: in that time it gets a gigabyte at most
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)  # what the kernel short of memory, and people, send

Kind = Literal["value", "timed_out", "crashed", "ungradable"]


@dataclass(frozen=True)
class Result:
    """What became of one job.

    Attributes:
        kind: `value`: the function returned; `timed_out` and `crashed`: the job is at fault; `ungradable`: the machine
            or the control's subject is.
        value: what the function returned (JSON-like).
        reason: why there is no value, for people.
        seconds: wall-clock time that the job took in its worker; of a time-out, its limit.
    """

    kind: Kind
    value: Any = None
    reason: str = ""
    seconds: float = 0.0


class GraderProcess:
    """A process that runs one job after the other.

    Args:
        read_time: reads how long a process had a processor and waited for one.

    Attributes:
        loaded: functions that it has imported.
        jobs: how many it was asked.
        broken: it must not be asked again.
        killed: somebody else killed it, so the job it had is not at fault.

    Raises:
        OSError: there are no processes, descriptors or memory left.
    """

    def __init__(self, read_time: ReadProcessorTime = read_processor_time) -> None:
        self.loaded: set[str] = set()
        self.jobs = 0
        self.broken = self.killed = False
        self._read_time = read_time
        self.connection, theirs = socket.socketpair()
        with contextlib.ExitStack() as on_failure, theirs:
            on_failure.callback(self.connection.close)
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-B", "-m", "rewards.worker", str(theirs.fileno()), str(os.getpid())],
                env=environment(),
                cwd=tempfile.gettempdir(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is not for it, and its children can be killed with it
            )
            on_failure.pop_all()

    def ask(self, function: str, arguments: Sequence[Any], seconds: float) -> Result:
        """Run one job and wait for its result for so many seconds, or longer if the machine is too busy to run it."""
        try:
            request = json.dumps({"function": function, "arguments": arguments, "seconds": seconds}).encode() + b"\n"
        except (ValueError, RecursionError) as error:  # an integer of more digits than Python prints, a ring, a depth
            return Result("ungradable", reason=f"the job cannot be sent to a grader process: {error}")
        self.jobs += 1
        started = time.monotonic()
        try:
            reply = json.loads(self._exchange(request, seconds))
            took = time.monotonic() - started
            if "value" in reply:
                return Result("value", reply["value"], seconds=took)
            return Result("crashed", reason=str(reply["error"]), seconds=took)
        except _Over as over:
            self.broken = True
            return Result(over.kind, reason=over.reason, seconds=min(seconds, time.monotonic() - started))
        except OSError as error:
            kind, reason = self._end_of(error)
        except (ValueError, RecursionError, KeyError, TypeError):  # not what a worker of ours writes
            kind, reason = "crashed", "the process sent no valid reply"
        self.broken = True
        return Result(kind, reason=reason, seconds=time.monotonic() - started)

    def resident(self) -> int:
        """Bytes of memory that the process has in use; 0 where that cannot be read."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, ValueError, IndexError):  # no /proc (macOS), or it has ended
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """Kill the process and what it started; whoever waits for its reply will see that it has ended."""
        if self.process.returncode is None:  # not reaped yet, so the number is still its own
            with contextlib.suppress(PermissionError, ProcessLookupError):  # macOS says the first for a zombie
                os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self) -> signal.Signals | None:
        """Kill the process and what it started, reap it, and return the signal that had ended it, if one had."""
        self.connection.close()
        self.kill()
        code = self.process.wait()
        return signal.Signals(-code) if code < 0 else None

    def _end_of(self, error: OSError) -> tuple[Kind, str]:
        """Whose fault it is that a process went away in the middle of a job, and how it went."""
        by_itself = self._has_ended()
        ended = self.stop()
        if not by_itself:
            return "crashed", f"the process hung up ({error})"
        if ended in FROM_OUTSIDE:
            self.killed = True
            return "ungradable", f"the process was killed from outside ({ended.name})"
        if ended == signal.SIGXCPU:
            return "timed_out", "no result within its processor time"
        return "crashed", f"the process ended ({ended.name if ended else error})"

    def _has_ended(self) -> bool:
        """Whether the process ends within a moment, as one does whose socket has ended. It is not reaped yet."""
        if not hasattr(os, "waitid"):  # macOS with an older Python
            return True
        deadline = time.monotonic() + LOOK_SECONDS
        while not os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True

    def _exchange(self, request: bytes, limit: float) -> bytes:
        """Send a request and return the line of the reply, looking after the process meanwhile."""
        before, started = self._read_time(self.process.pid), time.monotonic()
        deadline, look = started + limit, started + LOOK_SECONDS
        self.connection.settimeout(limit)
        self.connection.sendall(request)
        line = bytearray()
        while True:
            line += self._receive(min(deadline, look))
            if line.endswith(b"\n"):  # also one that came while this thread had no processor to see it
                return bytes(line)
            if len(line) > LARGEST_REPLY:
                raise _Over("crashed", f"it sent more than {LARGEST_REPLY >> 10} KiB")
            now = time.monotonic()
            if now >= deadline:
                deadline = started + self._more_seconds(limit, now - started, before)
            if now >= look:
                look = now + LOOK_SECONDS
                if self.resident() > LARGEST_RESIDENT:
                    raise _Over("crashed", f"it used more than {LARGEST_RESIDENT >> 20} MiB of memory")

    def _receive(self, until: float) -> bytes:
        """What came until that time; nothing, if nothing did."""
        self.connection.settimeout(max(until - time.monotonic(), 0.0001))  # 0 would mean: do not even look
        try:
            part = self.connection.recv(1 << 16)
        except TimeoutError:
            return b""
        if not part:
            raise ConnectionError("end of file")
        return part

    def _more_seconds(self, limit: float, elapsed: float, before: ProcessorTime | None) -> float:
        """How long the job may take in all, now that its time is over; raises _Over if it gets no more."""
        now = self._read_time(self.process.pid)
        if before is not None and now is not None:
            spent = now.since(before)
            allowed = allowed_seconds(limit, elapsed, spent.waited, spent.used)
            if allowed is not None:
                return allowed
            if was_starved(limit, spent.waited, spent.used):
                raise _Over("ungradable", f"it waited {spent.waited:.1f} of {elapsed:.1f} s for a processor")
        raise _Over("timed_out", f"no result within {limit:g} s")


class _Over(Exception):
    """The parent ends a job."""

    def __init__(self, kind: Kind, reason: str) -> None:
        self.kind, self.reason = kind, reason


def environment() -> dict[str, str]:
    """What Python needs and no more: no token, key or home of the user reaches a worker."""
    return {
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
        "PYTHONHASHSEED": "0",  # sympy orders by hash here and there: grade the same way each time
        "OMP_NUM_THREADS": "1",  # numerical libraries reserve memory for each thread
        "OPENBLAS_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    } | {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
