"""The inside of the process of users' rewards. Run by `rewards.isolated.process`, never by hand.

Each line in is a request, each line out its answer: see `rewards.isolated.carried`.
"""

import atexit
import contextlib
import faulthandler
import functools
import inspect
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rewards import registry
from rewards.errors import BadInput
from rewards.failures import RewardFailed, failure_of
from rewards.gold import column_faults, gold_check
from rewards.isolated.carried import NotCarried, as_text, from_line, to_line
from rewards.isolated.ended import CLOSED
from rewards.logs import BatchLogs
from rewards.part import part_of
from rewards.pool import GraderPool
from rewards.sandbox import kernel
from rewards.shapes import REQUIRED, RewardFunction, on_row

FOR_THE_RUN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # a scheduler signals all processes; the run ends this one
TAKE_FIRST = 500  # of 1000: short of memory, the system is to take this process and not the run
NOTHING: Mapping[str, Any] = {"completions": []}  # what was graded where nothing was

functions: dict[int, RewardFunction] = {}  # by the number that the run gave each


def main() -> None:
    """Serve the socket whose descriptor is the first argument, until the run closes it."""
    connection, places, dump = map(int, sys.argv[1:4])
    _prepare(places, dump)
    own, work = os.getpid(), socket.socket(fileno=connection)
    work.set_inheritable(False)
    os.register_at_fork(after_in_child=lambda: _forked(work))
    with contextlib.suppress(ConnectionError):
        for line in work.makefile("rb"):
            answer = _answer(from_line(line))
            if os.getpid() != own:  # a copy of this process that the author's code made, and forgot to end
                os._exit(1)
            _flush()
            try:
                work.sendall(answer)
            except OSError as error:
                os._exit(0 if isinstance(error, ConnectionError) else CLOSED)
    atexit._run_exitfuncs()
    _flush()
    os._exit(0)  # a reward's own threads do not keep it alive


def _prepare(places: int, dump: int) -> None:
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what it starts stays below it, and is ended with it
        with contextlib.suppress(OSError):  # not allowed
            Path("/proc/self/oom_score_adj").write_text(str(TAKE_FIRST))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # they are those of a new interpreter
    for number in FOR_THE_RUN:
        signal.signal(number, lambda *_: None)  # unlike SIG_IGN, programs that it starts do not inherit this
    faulthandler.enable(dump)
    faulthandler.register(signal.SIGUSR1, dump)
    for descriptor in (places, dump):
        os.set_inheritable(descriptor, False)
    row = mmap.mmap(places, 0)
    on_row(lambda number: row.__setitem__(slice(None), number.to_bytes(len(row), sys.byteorder, signed=True)))
    del sys.argv[1:]


def _forked(work: socket.socket) -> None:
    """Leave the work to the process that was forked: this one is the author's own."""
    work.close()
    for number in FOR_THE_RUN:
        signal.signal(number, signal.SIG_DFL)


def _answer(request: dict[str, Any]) -> bytes:
    """Do what is asked, and write what came of it, or why nothing did."""
    number, do = request.pop("number"), DOES[request.pop("do")]
    answer: dict[str, Any]
    try:
        return to_line(do(**request) | {"number": number})
    except BadInput as error:
        answer = {"bad_input": str(error)}
    except NotCarried as error:  # from the author's own checks of problems; grades are numbers
        answer = {"failed": {"said": f"returned {error}", "line": "", "row": None, "trace": ""}}
    except BaseException as error:  # the author's own code ran: it may raise anything, and no Ctrl-C comes here
        failed = error if isinstance(error, RewardFailed) else failure_of("", error, request.get("given", NOTHING))
        answer = {"failed": {"said": failed.said, "line": failed.line, "row": failed.row, "trace": failed.trace}}
    return to_line(answer | {"number": number})


def load(key: int, spec: str, folder: str | None) -> dict[str, Any]:
    """Import a reward and describe it."""
    function = functions[key] = registry.load_reward(spec, folder)
    return {
        "parameters": [
            [p.name, int(p.kind), _kind_of_default(p)] for p in inspect.signature(function).parameters.values()
        ],
        "column_faults": list(column_faults(function)),
        "checks_gold": gold_check(function) is not None,
        "closes": hasattr(function, "close"),
    }


def grade(
    key: int,
    name: str,
    given: dict[str, Any],
    offered: dict[str, Any],
    options: dict[str, Any],
) -> dict[str, Any]:
    """Return what a reward says of a batch, what it logged, and the seconds that it took."""
    logs = BatchLogs(len(given["completions"]))
    ours: dict[str, Callable[[Any], Any]] = {
        "grader_pool": lambda settings: _pool(*settings),
        "log_extra": lambda _: logs.extra,
        "log_metric": lambda _: logs.metric,
    }
    given |= {name: ours[name](settings) for name, settings in offered.items()}
    began = time.perf_counter()
    grades = part_of(name, functions[key], given, options, logs)
    seconds = time.perf_counter() - began
    columns, values = logs.logged()
    texts = {column: [as_text(value) for value in items] for column, items in columns.items()}
    return {"grades": grades, "logged": [texts, values], "seconds": seconds}


def faults(key: int, column: str, values: list[Any]) -> dict[str, Any]:
    """Say why the reward cannot use values of a column: one item each, None where it can."""
    fault_of = column_faults(functions[key])[column]
    return {"faults": [None if value is None else fault_of(value) for value in values]}


def bad_golds(
    key: int, columns: dict[str, list[Any]], pool: tuple[int, float], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Say why gold answers cannot be right: one item a problem, None where they may be."""
    check = gold_check(functions[key])
    assert check is not None  # the run asks only where `load` has said so
    return {"reasons": check(columns, _pool(*pool), options)}


def close(key: int) -> dict[str, Any]:
    """End what a reward holds open."""
    registry.close(functions[key])
    return {}


DOES: dict[str, Callable[..., dict[str, Any]]] = {
    "load": load,
    "grade": grade,
    "faults": faults,
    "bad_golds": bad_golds,
    "close": close,
}


@functools.cache
def _pool(workers: int, seconds: float) -> GraderPool:
    return GraderPool(workers, seconds)


def _kind_of_default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return "none"
    return "required" if parameter.default is REQUIRED else "some"


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the author closed or replaced it
            stream.flush()
