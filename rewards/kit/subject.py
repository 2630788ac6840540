"""A reward under audit: it runs in a process of its own, which is killed when it does not answer in time."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rewards.errors import BadInput

START_SECONDS = 300.0  # to import the reward, and what it imports, on a slow disk
WORKERS = 2
LAST_WORDS_SECONDS = 5.0  # that a process which closed its socket gets to end
LONGEST_TOLD = 300  # characters of what a process said before it ended


@dataclass(frozen=True)
class Answer:
    """What became of one batch.

    Attributes:
        rewards: what the reward returned; None where there is a `failure`.
        seconds: that it took.
        failure: an exception, a hang, or the end of the process, in one line.
    """

    rewards: list[float | None] | None = None
    seconds: float = 0.0
    failure: str = ""


class Subject:
    """The reward of a name or path, with its options, as training would load it.

    Args:
        spec: as for `load_reward`.
        options: keyword arguments.
        seconds: that one batch may take. One completion may take a tenth of it in a grader process, at most 10 s.

    Attributes:
        required: the columns that it cannot do without.
        has_extraction: it has an option `extraction`.

    Raises:
        BadInput: there is no such reward, or it does not take these options.
    """

    def __init__(self, spec: str, options: Mapping[str, Any], seconds: float) -> None:
        self._spec, self._options, self._seconds = spec, dict(options), seconds
        self._process: _Process | None = None
        told = self._started().hello
        self.required: list[str] = told["required"]
        self.has_extraction: bool = told["extraction"]
        self._wants_ids: bool = told["token_ids"]

    def grade(self, completions: Sequence[str], prompts: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Answer:
        """Grade a batch, each completion with the columns of its row. After a failure the process is a new one.

        Where the reward asks for token ids, it gets one a byte.
        """
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
        if self._wants_ids:
            columns["completion_ids"] = [list(text.encode("utf-8", "surrogatepass")) for text in completions]
        batch = {"completions": list(completions), "prompts": list(prompts), "columns": columns}
        told = self._started().ask(batch, self._seconds)
        if "ended" in told:
            self.close()
            return Answer(failure=told["ended"])
        if "error" in told:
            return Answer(failure=told["error"])
        return Answer(told["rewards"], told["seconds"])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> "_Process":
        if self._process is None:
            start = {
                "spec": self._spec,
                "options": self._options,
                "workers": WORKERS,
                "seconds": min(10.0, self._seconds / 10),
            }
            self._process = _Process(start)
            told = self._process.hello
            problem = told.get("bad_input") or ("ended" in told and f"the reward {self._spec!r}: {told['ended']}")
            if problem:
                self.close()
                raise BadInput(problem)
        return self._process


class _Process:
    """The process and the socket to it. `hello` is what it told of the reward."""

    def __init__(self, start: dict[str, Any]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rewards.kit.child", str(theirs.fileno())],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # what it starts is killed with it
            )
        self._lines = self._connection.makefile("rw", encoding="utf-8")
        try:
            self.hello = self.ask(start, START_SECONDS)
        except BaseException:  # Ctrl-C while it imports must not leave it behind
            self.stop()
            raise

    def ask(self, request: dict[str, Any], seconds: float) -> Any:
        """One line out, one line in; `ended` says why there was none."""
        over = threading.Event()
        timer = threading.Timer(seconds, self._kill, [over])
        timer.start()
        line = ""
        try:
            with suppress(OSError, ValueError):  # broken pipe, or not UTF-8: it ended, or wrote what a child does not
                self._lines.write(json.dumps(request) + "\n")
                self._lines.flush()
                line = self._lines.readline()
        finally:
            timer.cancel()
        if over.is_set():
            return {"ended": f"hangs: no answer within {seconds:g} s"}
        with suppress(ValueError):
            return json.loads(line)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_WORDS_SECONDS)
        return {"ended": f"the process ended: {self._last_words() or 'it said nothing'}"}

    def stop(self) -> None:
        self._kill(threading.Event())
        self._process.wait()
        with suppress(OSError):
            self._lines.close()
        self._connection.close()
        self._said.close()

    def _kill(self, over: threading.Event) -> None:
        over.set()
        with suppress(PermissionError, ProcessLookupError):  # nobody is left in its group
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(OSError):  # wakes whoever reads, should some process of another session still hold the other end
            self._connection.shutdown(socket.SHUT_RDWR)

    def _last_words(self) -> str:
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip().split("\n")
        return said[-1][-LONGEST_TOLD:]
