"""Ends processes with all that they started, so that none keeps memory of a GPU."""

import contextlib
import os
import signal

from rewards.descendants import descendants


def kill_below(process: int) -> None:
    """Kill all processes below one, also those with a session of their own (torchrun gives its ranks one each)."""
    for pid in descendants(process):
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(pid, signal.SIGKILL)


def kill_group(process: int) -> None:
    """Kill a process that leads a group, the rest of its group, and all processes below it."""
    kill_below(process)
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(process, signal.SIGKILL)
