"""Stopping when asked: at a point where nothing is lost."""

import os
import signal
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopRequested(Exception):
    """The run was asked to stop, and nothing is lost; `reason` says by what."""


def say_on_standard_error(text: str) -> None:
    """Write a line at once; a signal handler may call it."""
    os.write(2, f"\n{text}\n".encode())


class StopSignal:
    """Listens for SIGINT and SIGTERM.

    The first one waits for the next safe point while work is done that is to be saved (`safe_points`), and otherwise
    ends the work at once, by KeyboardInterrupt. A second one always ends it at once. `say` shows that the first one
    waits; the signal handler calls it.
    """

    def __init__(self, say: Callable[[str], None] = say_on_standard_error) -> None:
        self._say = say
        self.received: signal.Signals | None = None
        self._saves = False
        self._repeated = False

    def __call__(self, number: int, _: types.FrameType | None) -> None:
        """Handle a signal."""
        if self.received:
            self._repeated = True
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        if not self._saves:
            raise KeyboardInterrupt
        self._say(f"{self.received.name}: the run stops as soon as its work is saved; once more stops it at once")

    @contextmanager
    def safe_points(self) -> Iterator[None]:
        """While the block runs, only remember the first signal: the block looks at `received` where it has saved."""
        self._saves = True
        try:
            yield
        finally:
            self._saves = False

    @contextmanager
    def installed(self) -> Iterator["StopSignal"]:
        """Listen while the block runs; outside the main thread, which alone gets signals, do nothing.

        Raises:
            StopRequested: the first signal ended the block at once.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        old = {number: signal.signal(number, self) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        except KeyboardInterrupt:
            if self.received is None or self._repeated:
                raise
            raise StopRequested(self.received.name) from None
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
