"""The second process of assert-style checks: it runs the check script, which calls the program in another process."""

import builtins
import marshal
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from rewards.sandbox import frames, values
from rewards.sandbox.remote import Function, Remote, discarded
from rewards.sandbox.talk import text_of

FILE = "<check>"
DISCARDED = "__discarded__"  # under this name a script finds `rewards.sandbox.remote.discarded`


def check(worker: int, program: int) -> None:
    """Run a check script on a program and tell the worker what came of it.

    Args:
        worker: socket; first it sends `[preamble, program, names, entry point]` (see `judge`), then the compiled
            script; it receives `[outcome, reason, line]`, with outcome `passed`, `failed`, `gone` (so is the program),
            `broken` (the script failed, and not for the program) or `silent` (it never reached the program).
        program: socket to a process that plays `rewards.sandbox.roles:serve`.
    """
    sys.set_int_max_str_digits(0)  # as in the Pythons for which the benchmarks were written
    channel = socket.socket(fileno=worker)
    preamble, text, names, entry_point = values.decode(frames.receive(channel))
    script = marshal.loads(frames.receive(channel))  # from the worker alone
    remote = Remote(socket.socket(fileno=program))
    frames.send(channel, values.encode(list(judge(remote, preamble, text, names, entry_point, script))))


def judge(
    remote: "Remote", preamble: str, program: str, names: list[str], entry_point: str | None, script: Any
) -> tuple[str, str, int]:
    """Outcome, reason and line of a check script.

    Args:
        remote: the process that plays the program.
        preamble: what runs before the program.
        program: its text.
        names: what the script takes from the program.
        entry_point: the one of them that must be the program's own, if it is known.
        script: compiled.
    """
    try:
        defined = remote.load(preamble, program)
    except BaseException as error:  # whatever the program raised while it was loaded
        return _failure(remote, error)
    own = [name for name in names if name.partition(".")[0] in defined]
    if "Solution" in defined and names and names[0] not in own:
        own.append(names[0])
    if entry_point is not None and entry_point not in own:  # else a built-in function would answer for it
        return "failed", f"NameError: the program does not define {entry_point}", 0
    module = sys.modules["__main__"] = ModuleType("__main__")  # where unittest looks for tests
    sys.argv = ["check.py"]
    space = module.__dict__
    space["__builtins__"] = builtins
    if len(own) < len(names):
        exec(preamble, space)
    if numpy := sys.modules.get("numpy"):
        refuse_nothing(numpy)
    try:
        bound = remote.bind(own, defined)
        space |= {DISCARDED: discarded} | bound
        remote.reached = any(type(thing) is not Function for thing in bound.values())  # the script has them already
        exec(script, space)
    except BaseException as error:  # AssertionError, and whatever else the script or the program raised
        if not _ends_well(error, remote):
            return _failure(remote, error)
    if remote.gone:  # the script went on all the same
        return "gone", remote.gone, 0
    return "passed" if remote.reached else "silent", "", 0


def _ends_well(error: BaseException, remote: Remote) -> bool:
    """Whether a script ended by `sys.exit(0)` of its own, as that of unittest does."""
    is_programs = any(raised is error for raised, _ in remote.raised)
    return isinstance(error, SystemExit) and not error.code and not is_programs


def _failure(remote: Remote, error: BaseException) -> tuple[str, str, int]:
    """Outcome, reason and line of a script that failed."""
    if remote.gone:
        return "gone", remote.gone, _line(error)
    if remote.given.refused:
        return "broken", remote.given.refused, _line(error)
    reached = remote.reached or isinstance(error, NameError)  # a name that the program should have defined
    said = next((said for raised, said in remote.raised if raised is error), None)
    return "failed" if reached else "broken", said or text_of(error), _line(error)


def refuse_nothing(numpy: Any) -> None:
    """Have numpy's comparisons of floats fail where one side is empty: they find that close to every number."""

    def stricter(compare: Callable[..., Any]) -> Callable[..., Any]:
        def compared(value: Any, expected: Any, *arguments: Any, **keywords: Any) -> Any:
            if (numpy.size(value) == 0) != (numpy.size(expected) == 0):
                raise ValueError("an empty array is compared with numbers")
            return compare(value, expected, *arguments, **keywords)

        return compared

    numpy.allclose, numpy.isclose = stricter(numpy.allclose), stricter(numpy.isclose)
    for name in vars(testing) if (testing := sys.modules.get("numpy.testing")) else ():
        if name.startswith("assert_") and name.endswith(("equal", "close", "less")):
            setattr(testing, name, stricter(getattr(testing, name)))


def _line(error: BaseException) -> int:
    """The line of the script where it failed; 0 if unknown."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
