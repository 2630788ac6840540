"""Stopping when asked: at a point where nothing is lost."""

import os
import signal
import types
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequested(Exception):
    """The run was asked to stop, and has saved; `reason` says by what."""


class StopSignal:
    """Remembers the first SIGINT or SIGTERM for the next safe point; a second one interrupts at once."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __call__(self, number: int, _: types.FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        os.write(2, f"\n{self.received.name}: stopping at the next safe point; once more to stop at once\n".encode())

    @contextmanager
    def installed(self) -> Iterator["StopSignal"]:
        """Listen while the block runs."""
        old = {number: signal.signal(number, self) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
