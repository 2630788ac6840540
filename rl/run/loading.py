"""What is seen while libraries, a model or an engine load: one sentence at once, and not what the libraries say.

That goes into a log file: the process's own standard output and error lead there meanwhile, since C code writes to them
as well. The log's last lines are shown if loading fails. PENNY_VERBOSE=1 leaves everything on the terminal, and so
does a thread that is not the main one, since the output is that of others, too.
"""

import atexit
import contextlib
import io
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.base.signals import StopRequested
from rl.base.visible import emit, visible

VERBOSE = "PENNY_VERBOSE"
LIBRARIES = "loading libraries, usually 10 s"
TAIL, WIDTH = 10, 200  # lines of the log that are shown where loading failed, and characters of each
OUTPUTS = (1, 2)  # descriptors of standard output and error
OUR_WORDS = (BadInput, RunStopped, StopRequested)  # one sentence, which the log would only hide


class _Log:
    """The file that libraries write to: a temporary one until it has a place.

    Attributes:
        path: where it is.
        stream: what stands for `sys.stdout` and `sys.stderr`. Handlers of libraries' loggers keep it, so it stays open.
    """

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="penny-", suffix=".log")
        self.path = Path(name)
        self.stream = os.fdopen(descriptor, "a", buffering=1, encoding="utf-8", errors="backslashreplace")
        self._temporary = True
        atexit.register(self.forget)

    def move(self, path: Path) -> None:
        """Go on in `path`, behind what it holds, with what was written so far unless that has a place already."""
        self.stream.flush()
        with path.open("ab") as target:
            if self._temporary:
                target.write(self.path.read_bytes())
                target.flush()
            os.dup2(target.fileno(), self.stream.fileno(), inheritable=False)
        self.forget()
        self.path, self._temporary = path, False

    def tail(self) -> list[str]:
        """Return the last lines; none if somebody took the file away."""
        self.stream.flush()
        if not self.path.exists():
            return []
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]

    def keep(self) -> None:
        """Leave the file where it is when the process ends."""
        self._temporary = False

    def forget(self) -> None:
        """Take a temporary file away."""
        if self._temporary:
            self.path.unlink(missing_ok=True)


class _State:
    """The one redirection of this process. `terminal` is standard error's own descriptor while it lasts."""

    log: _Log | None = None
    terminal: int | None = None


@contextmanager
def loading(what: str, say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Say what is loading, and keep out of the terminal what is written while the block runs.

    Args:
        what: for people, with how long it usually takes: `loading libraries, usually 10 s`.
        say: shows it; default: a line on standard error, of the first rank alone.

    Raises:
        RunStopped: the block raised what is no sentence of ours; the log has its whole traceback.
    """
    say = say or _say
    say(what)
    alone = threading.current_thread() is threading.main_thread()
    if os.environ.get(VERBOSE, "") not in ("", "0") or _State.terminal is not None or not alone:
        yield
        return
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")  # vLLM reads it when it is imported; it fills the log alone
    _State.log = log = _State.log or _Log()
    try:
        with _redirected(log):
            yield
    except (Exception, SystemExit) as error:
        refused = isinstance(error, OSError) and error.errno is not None  # by the system: a full disk, for one
        if refused or isinstance(error, OUR_WORDS):
            raise
        if lines := log.tail():
            say("the last lines that libraries wrote:\n" + "\n".join(f"  {line[:WIDTH]}" for line in lines))
        raise RunStopped(_failure(what, error, log)) from error


def keep_log(path: Path) -> None:
    """Keep in `path` what libraries have written and will write, such as `libraries.log` of a run's folder."""
    _State.log = _State.log or _Log()
    if _State.log.path != path:
        _State.log.move(path)


def forget_log() -> None:
    """Take the log away unless it has a place, for a process that ends without its exit handlers."""
    if _State.log is not None:
        _State.log.forget()


def tell(text: str) -> None:
    """Write on the terminal's standard error, also while it is kept quiet."""
    os.write(2 if _State.terminal is None else _State.terminal, visible(text).encode())


def terminal(stream: TextIO) -> TextIO:
    """Open a stream to where `stream` leads now, which no `loading` redirects."""
    if not isinstance(stream, io.TextIOWrapper):  # of a notebook: its descriptor leads elsewhere
        return stream
    try:
        descriptor = os.dup(stream.fileno())
    except (OSError, io.UnsupportedOperation):  # no file of the system, as in a notebook: nothing to redirect
        return stream
    return os.fdopen(descriptor, "w", buffering=1, encoding=stream.encoding, errors=stream.errors)


@contextmanager
def _redirected(log: _Log) -> Iterator[None]:
    streams = sys.stdout, sys.stderr
    for stream in streams:
        stream.flush()
    with contextlib.ExitStack() as stack:
        kept = {number: os.dup(number) for number in OUTPUTS}
        for number, copy in kept.items():
            stack.callback(os.close, copy)
            stack.callback(os.dup2, copy, number)
            os.dup2(log.stream.fileno(), number)
        _State.terminal = kept[2]
        sys.stdout = sys.stderr = log.stream
        try:
            yield
        finally:
            log.stream.flush()
            sys.stdout, sys.stderr = streams
            _State.terminal = None


def _say(what: str) -> None:
    if os.environ.get("RANK", "0") != "0":
        return
    if _State.terminal is None:
        emit(what, file=sys.stderr, flush=True)
    else:
        tell(f"{what}\n")


def _failure(what: str, error: BaseException, log: _Log) -> str:
    log.stream.write("".join(traceback.format_exception(error)))
    log.keep()
    said = " ".join(str(error).split()) or "no reason given"
    return (
        f"{what.partition(',')[0]} failed, {type(error).__name__}: {said[: 2 * WIDTH]} (the traceback and all that "
        f"libraries wrote are in {log.path}; {VERBOSE}=1 shows it as it comes)"
    )
