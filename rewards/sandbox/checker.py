"""The second process of assert-style checks: it runs the check script, which calls the program in another process.

The program sees arguments and nothing else, each a copy. What it returns comes back as values of exact built-in types,
or as handles of objects (`Handle`), whose equality is identity here and is never asked of the program.
"""

import builtins
import marshal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rewards.sandbox import frames, values

FILE = "<check>"
# Raised in the checker they would end its loops early and quietly instead of failing it.
NEVER_RAISED = (StopIteration, StopAsyncIteration, GeneratorExit)


def check(worker: int, program: int) -> None:
    """Run a check script on a program and tell the worker what came of it.

    Args:
        worker: socket; first it sends `[preamble, program, names, entry point]` (see `judge`), then the compiled
            script; it is told `[outcome, reason, line]`, with outcome `passed`, `failed`, `broken` (the script failed
            before it reached the program) or `silent` (it never reached the program).
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
        defined = remote.ask(preamble, program, True)
    except BaseException as error:  # whatever the program raised while it was loaded
        return "failed", remote.gone or _text(error), 0
    own = [name for name in names if name.partition(".")[0] in defined]
    if "Solution" in defined and names and names[0] not in own:
        own.append(names[0])
    if entry_point is not None and entry_point not in own:  # else a built-in function would answer for it
        return "failed", f"NameError: the program does not define {entry_point}", 0
    space: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    if len(own) < len(names):
        exec(preamble, space)
    space |= {name: Function(remote, name) for name in own}
    remote.reached = False
    if numpy := sys.modules.get("numpy"):
        refuse_nothing(numpy)
    try:
        exec(script, space)
    except BaseException as error:  # AssertionError, and whatever else the script or the program raised
        reached = remote.reached or isinstance(error, NameError)  # a name that the program should have defined
        return "failed" if reached else "broken", remote.gone or _text(error), _line(error)
    if remote.gone:  # the script went on all the same
        return "failed", remote.gone, 0
    return "passed" if remote.reached else "silent", "", 0


def refuse_nothing(numpy: Any) -> None:
    """Have numpy's comparisons of floats fail where there is nothing on one side: they find it close to every number."""

    def stricter(compare: Callable[..., Any]) -> Callable[..., Any]:
        def compared(value: Any, expected: Any, *arguments: Any, **keywords: Any) -> Any:
            if (numpy.size(value) == 0) != (numpy.size(expected) == 0):
                raise ValueError("an empty array is compared with numbers")
            return compare(value, expected, *arguments, **keywords)

        return compared

    numpy.allclose, numpy.isclose = stricter(numpy.allclose), stricter(numpy.isclose)
    for name in vars(testing) if (testing := sys.modules.get("numpy.testing")) else ():
        if name.startswith("assert_") and ("equal" in name or "close" in name):
            setattr(testing, name, stricter(getattr(testing, name)))


class Remote:
    """The program, in its own process.

    Attributes:
        gone: why it cannot be asked any more, if so.
        reached: whether the script has asked it anything.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.channel, self.gone, self.reached = channel, "", False
        self.handles: dict[int, Handle] = {}

    def ask(self, *request: Any) -> Any:
        """The program's reply to a request, or the exception that it raised.

        Raises:
            ProgramGone: it has ended, or sends what is no reply.
            StopIteration: the iterator asked for has ended.
        """
        self.reached = True
        message = values.encode(list(request), opaque=_number)
        try:
            frames.send(self.channel, message)
            reply = frames.receive(self.channel)
        except (OSError, frames.FrameError) as error:
            self.gone = f"the program ended ({error})"
            raise ProgramGone(self.gone) from error
        try:
            kind, *content = values.decode(reply, handle=self.handle, arrays=True)
            if kind == "stop":
                raise StopIteration
            if kind == "value":
                (value,) = content
                return value
            name, text = map(str, content)
        except (ValueError, TypeError) as error:
            self.gone = f"the program sent no valid reply ({error})"
            raise ProgramGone(self.gone) from error
        raise _raised(name, text)

    def handle(self, number: int) -> "Handle":
        """The one handle of a number."""
        if number not in self.handles:
            self.handles[number] = Handle(self, number)
        return self.handles[number]


class ProgramGone(BaseException):
    """The program cannot be asked any more: no script is to catch this by `except Exception`."""


class Handle:
    """An object of the program's, which stays there."""

    __slots__ = ("_number", "_remote")

    def __init__(self, remote: Remote, number: int) -> None:
        object.__setattr__(self, "_remote", remote)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._remote.ask("call", self, list(arguments), keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._remote.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._remote.ask("set", self, name, value)

    def __iter__(self) -> Iterator[Any]:
        iterator = self._remote.ask("iter", self)
        while True:
            try:
                item = self._remote.ask("next", iterator)
            except StopIteration:
                return
            yield item

    def __next__(self) -> Any:
        return self._remote.ask("next", self._remote.ask("iter", self))

    def __len__(self) -> int:
        return self._remote.ask("len", self)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: Any) -> Any:
        return self._remote.ask("item", self, key)


class Function:
    """A function or class of the program's, by its name."""

    def __init__(self, remote: Remote, name: str) -> None:
        self._remote, self.__name__ = remote, name.rpartition(".")[2]
        self._name = name

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._remote.ask("call", self._name, list(arguments), keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._remote.ask("get", self._remote.ask("name", self._name), name)


def _number(thing: Any) -> int:
    """The number of a handle, or of the object behind a name."""
    if isinstance(thing, Function):
        thing = thing._remote.ask("name", thing._name)
    if not isinstance(thing, Handle):
        raise values.CodecError(f"a {type(thing).__name__} cannot be given to a program")
    return thing._number


def _raised(name: str, text: str) -> BaseException:
    """The exception that the program raised, as one of the same built-in type."""
    kind = vars(builtins).get(name)
    if not isinstance(kind, type) or not issubclass(kind, BaseException) or issubclass(kind, NEVER_RAISED):
        return RuntimeError(text)
    try:
        return kind(text)
    except TypeError:  # it takes more than a text
        return RuntimeError(text)


def _text(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # a message that cannot be made, such as an integer of too many digits
        said = ""
    name = type(error).__name__
    return said if said.startswith(name) else f"{name}: {said}" if said else name


def _line(error: BaseException) -> int:
    """The line of the script where it failed; 0 if unknown."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
