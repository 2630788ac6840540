"""What users' rewards write to standard output and standard error is shown where the run writes, up to a limit."""

import codecs
import contextlib
import logging
import os
import sys
import threading
from typing import IO, Any

MOST_SHOWN = 4 << 20  # bytes of one batch
KEPT = 2_000  # characters of the end
CLOSE_SECONDS = 1.0  # to show what came last; a process elsewhere may hold the pipe open for ever

logger = logging.getLogger(__name__)


class Relay:
    """Shows what comes out of a pipe, in a thread of its own.

    Args:
        pipe: read until its end.
        stream: the name of the stream of `sys` that it is written to, at the time of writing: a live panel replaces it.
        quiet: nothing is shown.
    """

    def __init__(self, pipe: IO[bytes] | None, stream: str, quiet: bool) -> None:
        assert pipe is not None  # the process was started with one
        self._pipe, self._stream, self._quiet = pipe, stream, quiet
        self._shown = 0
        self._end = ""
        self._thread = threading.Thread(target=self._show, name=f"reward-{stream}", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Count from here: another batch has begun."""
        self._shown = 0

    def last_line(self) -> str:
        """Return the last line that was written, as far as it is kept."""
        return self._end.strip().rpartition("\n")[2]

    def close(self) -> None:
        """Show what is left."""
        self._thread.join(CLOSE_SECONDS)

    def _show(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with self._pipe:
            while part := os.read(self._pipe.fileno(), 1 << 16):
                text = decoder.decode(part)
                self._end = (self._end + text)[-KEPT:]
                before, self._shown = self._shown, self._shown + len(part)
                if before <= MOST_SHOWN < self._shown:
                    logger.warning(
                        "a reward writes more than %d MiB in one batch; the rest is dropped", MOST_SHOWN >> 20
                    )
                if self._shown <= MOST_SHOWN and not self._quiet:
                    _write(getattr(sys, self._stream), text)


def _write(stream: Any, text: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or there is none: nobody wants to see it
        stream.write(text)
        stream.flush()
