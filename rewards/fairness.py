"""Whose fault a time-out is: the job's, which had its processor, or the machine's, which was too busy to give it one.

Linux counts for each process how long it ran and how long it was ready to run but waited for a processor. A job that
mostly waited gets as much time more as it waited; one that slept, hung or computed does not: sleep counts as if it had
computed. Nor does one that waited only for what it had started itself: what all its threads and children used counts as
its own.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

STARVED_SHARE = 0.5  # of its limit that a job must have waited for a processor before it gets more time
LONGEST = 6.0  # times its limit: then a job is given up, however long it waited
NEGLIGIBLE = 0.02  # of the limit: less than this is not worth another wait
SPIN_SECONDS = 0.05  # of processor time that a control job uses


@dataclass(frozen=True)
class ProcessorTime:
    """What the system counted of a process since it began.

    Attributes:
        waited: seconds that its main thread was ready to run and had no processor.
        used: seconds of processor time of all its threads, and of its children that have ended.
        has_forked: whether children of its have ended.
        nice: its priority: 0 by default, more for one that gives way to others.
    """

    waited: float
    used: float
    has_forked: bool = False
    nice: int = 0

    def since(self, earlier: Self) -> "ProcessorTime":
        """What was counted after `earlier`."""
        waited, used = self.waited - earlier.waited, self.used - earlier.used
        return ProcessorTime(waited, used, self.has_forked, self.nice)


ReadProcessorTime = Callable[[int], ProcessorTime | None]


def read_processor_time(process: int) -> ProcessorTime | None:
    """What the system counted of a process; None where it does not count waiting."""
    try:
        turns = Path(f"/proc/{process}/schedstat").read_text(encoding="ascii").split()
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
        fields = list(map(int, stat.rpartition(")")[2].split()[1:]))  # from the fourth field of proc_pid_stat(5) on
        own, of_children, tick = sum(fields[10:12]), sum(fields[12:14]), os.sysconf("SC_CLK_TCK")
        # The first: nanoseconds that the main thread ran, that it waited, and the number of its turns. Clock ticks are
        # rounded down, which would hide many short lives.
        used = max(own / tick, int(turns[0]) / 1e9) + of_children / tick
        # Any process touches a page, and the pages of a child are added to its parent's account when it is buried.
        return ProcessorTime(int(turns[1]) / 1e9, used, fields[7] > 0 or fields[9] > 0, fields[15])
    except (OSError, ValueError, IndexError):  # no such file (macOS, some containers), or the process has ended
        return None


def allowed_seconds(limit: float, elapsed: float, waited: float, used: float = 0.0) -> float | None:
    """How long a job may take in all, at the moment that its time is over; None if it gets no more.

    Args:
        limit: seconds that it may take on a machine that is not busy.
        elapsed: seconds since it began.
        waited: seconds of these for which it was ready to run and had no processor.
        used: seconds of processor time that it and all it started have used.
    """
    if waited <= STARVED_SHARE * limit or used >= limit:
        return None
    allowed = min(limit + waited, LONGEST * limit)
    return allowed if allowed > elapsed + NEGLIGIBLE * limit else None


def was_starved(limit: float, waited: float, used: float = 0.0) -> bool:
    """Whether a job that got no more time never had its limit's worth of processor: then its time-out says nothing."""
    return waited > (LONGEST - 1) * limit and used < limit


def spin(channel: int) -> None:
    """Use a known time of the processor, then say so: the control job, for a process of its own."""
    while time.process_time() < SPIN_SECONDS:
        pass
    os.write(channel, b"1")
