"""How the process of users' rewards came to its end, in words for its author."""

import re
import signal
from dataclasses import dataclass

from rewards.failures import line_of

LARGEST_REPLY = 256 << 20  # bytes
CLOSED = 90  # the exit code of a process that cannot answer, because its connection is closed
FRAME = re.compile(r'^  File "([^"\n]+)", line (\d+) in ', re.MULTILINE)  # as `faulthandler` writes
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}


@dataclass(eq=False)
class ProcessEnded(Exception):
    """The process is gone.

    Attributes:
        how: what it did, in a few words that begin with a verb.
        line: the author's line that did it; empty where that is not known.
        row: the completion that it worked on; None where that is not known.
        trace: what is known of where it was, in many lines.
        late: it took too long, and was killed for that.
    """

    how: str
    line: str = ""
    row: int | None = None
    trace: str = ""
    late: bool = False


def how_it_ended(how: str, code: int | None, trace: str, row: int | None, said: str) -> ProcessEnded:
    """Describe the end of a process.

    Args:
        how: what is known already; empty: what `code` says.
        code: with which it ended, negative for a signal; None: it had not ended.
        trace: what `faulthandler` wrote.
        row: the completion that it worked on.
        said: its last line on standard error.
    """
    how = how or _by_code(code)
    steps = [(file, int(number)) for file, number in FRAME.findall(_first_thread(trace))]
    parts = [part for part in (trace, f"Its last line: {said}\n" if said else "") if part]
    return ProcessEnded(how, line_of(steps[::-1]), row, "\n".join(parts))


def _first_thread(trace: str) -> str:
    """Find the part on the thread that crashed, or else on the main thread, which calls the rewards and comes last."""
    parts = re.split(r"^(?=(?:Current thread|Thread) 0x)", trace, flags=re.MULTILINE)
    current = [part for part in parts if part.startswith("Current thread") and "Fatal" in trace]
    return current[0] if current else parts[-1]


def _by_code(code: int | None) -> str:
    if code is None or code == CLOSED:
        return "closed the connection to the run, by closing descriptors that it did not open"
    if code >= 0:
        return f"ended its process with exit code {code}, as os._exit does"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = f"signal {-code}"
    if -code in CRASHES:
        return f"crashed its process in compiled code ({name})"
    if -code == signal.SIGKILL:
        return "lost its process, which was killed (SIGKILL), as the system does when memory is short"
    return f"lost its process, which was killed ({name})"
