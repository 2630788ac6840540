"""One completion's processes in the sandbox, and the time that is left for them."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rewards.fairness import allowed_seconds, was_starved
from rewards.sandbox import Exit, Limits, Sandbox, SandboxError
from rewards.sandbox.control import is_starved
from rewards.sandbox.limits import cpu_seconds

SHORTEST_WAIT = 0.001  # seconds
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
GRACE = 0.2  # seconds for a process whose channel has closed to be gone


class Failed(Exception):
    """The program is at fault.

    Attributes:
        final: it can be tested no further.
        share: share of its tests that it passed.
    """

    def __init__(self, reason: str, final: bool = True) -> None:
        super().__init__(reason)
        self.final, self.share = final, 0.0


class TimedOut(Failed):
    """The time is over. `certain`: it is known that the program had its processor."""

    def __init__(self, seconds: float, certain: bool) -> None:
        super().__init__(f"timed out after {seconds:g} s")
        self.certain = certain


class Starved(Exception):
    """The machine was too busy to run the program: nothing can be said of it."""


@dataclass
class Trial:
    """Starts processes, tells the time left, and ends them all.

    Args:
        sandbox: where they run.
        limits: what each may use.
        seconds: wall-clock time for all together, on a machine that is not busy.
        control: whether another job is starved as well, at the moment when these processes say that they were.
    """

    sandbox: Sandbox
    limits: Limits
    seconds: float
    control: Callable[[Sandbox, Limits], bool] = is_starved
    running: list[int] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    waited_before: float = 0.0
    cpu_seconds: float = 0.0  # of processes that have ended, with all that they started

    def __post_init__(self) -> None:
        self.allowed = self.seconds

    def start(self, role: str, descriptors: Sequence[int]) -> int:
        """Start a process with these descriptors, which are closed here. Its start does not count as its time."""
        began = time.monotonic()
        try:
            pid = self.sandbox.start(role, descriptors, self.limits)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self.running.append(pid)
        self.started += time.monotonic() - began
        return pid

    def remaining(self) -> float:
        """Seconds left, more than 0.

        Raises:
            TimedOut: none are.
            Starved: none are, because the machine was too busy. All processes have been ended.
        """
        elapsed = time.monotonic() - self.started
        if elapsed >= self.allowed:
            self.allowed = self._more_seconds(elapsed)
        return max(self.allowed - elapsed, SHORTEST_WAIT)

    def _more_seconds(self, elapsed: float) -> float:
        """How long the processes may take in all, now that their time is over; raises if they get no more."""
        figures = [self.sandbox.usage(pid) for pid in self.running]
        known = [figure.waited_seconds for figure in figures if figure.waited_seconds is not None]
        used = self.cpu_seconds + sum(figure.cpu_seconds or 0.0 for figure in figures)
        waited = self.waited_before + sum(known)
        allowed = allowed_seconds(self.seconds, elapsed, waited, used)
        if allowed is not None:
            return allowed
        if was_starved(self.seconds, waited, used) and self._confirmed():
            raise Starved(f"it waited {waited:.1f} of {elapsed:.1f} s for a processor")
        raise TimedOut(self.seconds, certain=bool(known))

    def _confirmed(self) -> bool:
        """Whether the machine is as busy as the processes make it look, once they have ended."""
        while self.running:
            self.sandbox.end(self.running.pop())
        return self.control(self.sandbox, self.limits)

    def end(self, pid: int, grace: float = GRACE) -> Exit:
        """End a process that is about to end by itself, or should be."""
        used = 0.0
        if time.monotonic() - self.started > self.seconds / 4:  # else what it waited does not matter
            usage = self.sandbox.usage(pid)
            self.waited_before += usage.waited_seconds or 0.0
            used = usage.cpu_seconds or 0.0  # also of what it has left behind
        self.running.remove(pid)
        ended = self.sandbox.end(pid, grace)
        self.cpu_seconds += max(used, ended.cpu_seconds)
        return ended

    def failure(self, pid: int) -> Failed:
        """Why a process went away in the middle of its work."""
        ended = self.end(pid)
        if ended.exit_code is not None and not ended.exceeded:
            return Failed(f"it ended with exit status {ended.exit_code} before it had answered")
        return Failed(self.cause(ended))

    def cause(self, ended: Exit) -> str:
        """Why a process was ended by a signal, as far as that is known."""
        if ended.exceeded:
            return self._excess(ended)
        if ended.killed:
            return "it stopped answering and did not end, so it was killed"
        name = signal.strsignal(ended.signal) or "unknown"
        if ended.signal in (signal.SIGKILL, signal.SIGXCPU) and ended.cpu_seconds >= self.limits.seconds:
            return f"it used more than {cpu_seconds(self.limits)} s of processor time"
        if ended.signal == signal.SIGKILL:
            return "it was killed (signal 9): by itself, or by the system for lack of memory"
        if ended.signal in CRASHES:
            return f"it crashed (signal {ended.signal}, {name}): a fault in compiled code, or too deep a recursion"
        return f"it was ended by signal {ended.signal} ({name}), which it sent itself or did not handle"

    def _excess(self, ended: Exit) -> str:
        allowed = {
            "memory": f"{self.limits.memory_mib} MiB of memory",
            "disk": f"{self.limits.disk_mib} MiB of files",
            "processes": f"{self.limits.processes} processes",
        }
        return f"it used more than {allowed[ended.exceeded]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(SandboxError):  # the sandbox is gone, and its processes with it
            while self.running:
                self.sandbox.end(self.running.pop())
