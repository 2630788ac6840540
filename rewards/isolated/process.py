"""The process of users' rewards as the run sees it: started, asked, watched, killed.

It has the working folder, the environment and the folders of modules of the run, and writes to the same terminal, but
it is a session of its own: a Ctrl-C is not for it, and what it starts is killed with it.
"""

import contextlib
import functools
import json
import mmap
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from rewards.descendants import descendants
from rewards.isolated.carried import from_line, line_of
from rewards.isolated.ended import LARGEST_REPLY, ProcessEnded, how_it_ended
from rewards.isolated.output import Relay
from rewards.shapes import NO_ROW

START = "import json, sys; sys.path[:] = json.loads(sys.argv[4]); from rewards.isolated.child import main; main()"
ROW_BYTES = 8  # the completion that a function works on; NO_ROW: it is not known
LOOK_SECONDS = 0.25  # between two looks whether the process still is there: others may keep its socket open
TRACE_SECONDS = 1.0  # that a process which hangs gets to write where it is
FORGED = "wrote to the connection to the run, which is not its own"
FAREWELL_SECONDS = 2.0  # that a process which is not needed any more gets to end by itself


class RewardProcess:
    """A process that answers one request after the other.

    Args:
        quiet: what it writes is not shown.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._places = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
        self._places.truncate(ROW_BYTES)
        self._row = mmap.mmap(self._places.fileno(), ROW_BYTES)
        self._dump = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
        self._connection, theirs = socket.socketpair()
        self._hung_up = self._gone = False
        self._asked = 0
        with theirs:
            try:
                self._process = _in_lasting_thread(lambda: self._started(theirs.fileno()))
            except BaseException:
                self._close_files()
                raise
        self._relays = [
            Relay(self._process.stdout, "stdout", quiet),
            Relay(self._process.stderr, "stderr", quiet),
        ]

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._hung_up and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def said(self) -> str:
        """The last line that it has written to standard error."""
        return self._relays[1].last_line()

    def ask(self, request: dict[str, Any], seconds: float) -> Any:
        """Send a request, whose parts are packed, and return the answer. Raises ProcessEnded."""
        self._asked += 1
        message = line_of(request | {"number": self._asked})
        for relay in self._relays:
            relay.begin()
        self._row[:] = NO_ROW.to_bytes(ROW_BYTES, sys.byteorder, signed=True)
        deadline, late = time.monotonic() + seconds, False
        try:
            answer = from_line(self._exchange(message, deadline))
            if type(answer) is dict and answer.get("number") == self._asked:
                return answer
            how = FORGED
        except TimeoutError:
            late = True
            self._ask_where()
            how = f"gave no answer within {seconds:g} s"
        except _TooMuch:
            how = f"returned or logged more than {LARGEST_REPLY >> 20} MiB for one batch"
        except OSError:  # it hung up, or ended
            how = ""
        except (ValueError, RecursionError):
            how = FORGED
        except BaseException:  # Ctrl-C: the answer would be taken for that of the next question
            self.stop()
            raise
        raise self._end(how, late)

    def kill(self) -> None:
        """Kill it and what it started, from any thread; who waits for its answer sees that it has ended."""
        self._hung_up = True
        if not self._gone:
            self._kill(self._family())
            self._hang_up()

    def stop(self, seconds: float = 0.0) -> None:
        """End it: after so many seconds, in which it can end by itself, kill it."""
        if self._gone:  # its number may be that of another process by now
            return
        self._hung_up = self._gone = True
        family = self._family()  # what is orphaned by its end is not found any more
        self._hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._kill(family)
        self._process.wait()
        self._close_files()
        for relay in self._relays:
            relay.close()

    def _family(self) -> list[int]:
        """Return what it has started, of other sessions, too."""
        return descendants(self._process.pid) if self._process.returncode is None else []

    def _kill(self, family: Sequence[int]) -> None:
        for end, number in [(os.killpg, self._process.pid), *((os.kill, pid) for pid in family)]:
            with contextlib.suppress(PermissionError, ProcessLookupError):  # nobody is left
                end(number, signal.SIGKILL)

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # wakes who reads, should a process elsewhere hold the other end
            self._connection.shutdown(socket.SHUT_RDWR)

    def _started(self, theirs: int) -> "subprocess.Popen[bytes]":
        files = [theirs, self._places.fileno(), self._dump.fileno()]
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                START,
                *map(str, files),
                json.dumps([str(path) or os.getcwd() for path in sys.path]),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=files,
            start_new_session=True,
        )

    def _exchange(self, request: bytes, deadline: float) -> bytes:
        """Send a line and return the line of the answer."""
        waiting, line = memoryview(request), bytearray()
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(min(left, LOOK_SECONDS))
            try:
                if waiting:
                    waiting = waiting[self._connection.send(waiting) :]
                    continue
                part = self._connection.recv(1 << 20)
            except TimeoutError:
                if self._process.poll() is not None:
                    raise ConnectionError("it ended") from None
                continue
            if not part:
                raise ConnectionError("end of file")
            line += part
            if len(line) > LARGEST_REPLY:
                raise _TooMuch
        return bytes(line)

    def _ask_where(self) -> None:
        """Let a process that hangs write where it is."""
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
        until = time.monotonic() + TRACE_SECONDS
        while os.fstat(self._dump.fileno()).st_size == 0 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05)  # it writes line by line

    def _end(self, how: str, late: bool) -> ProcessEnded:
        """Return what became of it. It is gone afterwards."""
        stopped_here = self._hung_up
        code: int | None = None
        if not how and not stopped_here:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(FAREWELL_SECONDS)
        self._dump.seek(0)
        trace = self._dump.read().decode("utf-8", "replace")
        row = int.from_bytes(self._row[:], sys.byteorder, signed=True)
        self.stop()
        how = "was stopped" if stopped_here else how
        ended = how_it_ended(how, code, trace, None if row == NO_ROW else row, self.said)
        ended.late = late
        return ended

    def _close_files(self) -> None:
        self._connection.close()
        self._row.close()
        self._places.close()
        self._dump.close()


class _TooMuch(Exception):
    """An answer is longer than any that is meant."""


def _in_lasting_thread(work: Callable[[], Any]) -> Any:
    """Do some work in a thread that lives as long as this process.

    The kernel's "die with your parent" means the thread that started a process.
    """
    done: Future[Any] = Future()
    _lasting_thread(os.getpid()).put((work, done))
    return done.result()


@functools.lru_cache(maxsize=1)
def _lasting_thread(process_id: int) -> "queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]]":
    waiting: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()

    def serve() -> None:
        while True:
            work, done = waiting.get()
            try:
                done.set_result(work())
            except BaseException as error:  # it belongs to the thread that waits
                done.set_exception(error)

    threading.Thread(target=serve, name="reward-process", daemon=True).start()
    return waiting
