"""What the programs' own processes do: answer calls (`serve`), or read and write as a script (`stdio`).

Both are called in a process that is shut in already and that holds nothing but the program: no test, no expected value.
The program can change all of this at will, and so deceives nobody but itself.
"""

import atexit
import builtins
import contextlib
import dis
import os
import socket
import sys
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any, NoReturn

from rewards.sandbox import frames, values
from rewards.sandbox.script import furnish

LONGEST_TEXT = 300  # characters of an exception's text
FILE = "<program>"


def serve(channel: int) -> None:
    """Run a program as a module, then do with what it defined as asked, until the channel closes.

    Requests and replies are lists, encoded by `rewards.sandbox.values`. The first request holds the preamble, the
    program, and whether the other side takes handles of objects that are no plain values; for the others see `Server`.
    Replies are `["value", value]`, `["error", name of a built-in exception, text]`, or `["stop"]` at an iterator's end.
    """
    connection = socket.socket(fileno=channel)
    preamble, program, handles = values.decode(frames.receive(connection))
    sys.set_int_max_str_digits(0)  # as in the Pythons for which the benchmarks were written
    server = Server(handles)
    process = os.getpid()
    reply = server.attempt(lambda: server.load(preamble, program))
    while os.getpid() == process:  # not in a child that the program forked and let run on
        frames.send(connection, reply)
        reply = server.answer(frames.receive(connection))
    os._exit(0)


class Server:
    """A program's objects, as another process sees them: by value, or by a number that stands for them."""

    def __init__(self, handles: bool) -> None:
        self.module = ModuleType("solution")  # not __main__: what scripts do only when run is not asked of them
        self.own: set[str] = set()
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.opaque = self.number if handles else None

    def load(self, preamble: str, program: str) -> list[str]:
        """Run the preamble and the program; the names that the program defined itself."""
        sys.modules["solution"] = sys.modules["__main__"] = self.module
        furnish(self.module, program, "solution.py", FILE)
        space = self.module.__dict__
        exec(preamble, space)
        before = dict(space)
        code = compile(program, FILE, "exec")
        stored = _stored(code) if preamble else set()
        exec(code, space)
        changed = {name for name in space if name not in before or space[name] is not before[name]}
        self.own = {name for name in changed | (stored & space.keys()) if not name.startswith("__")}
        return list(self.own)

    def number(self, thing: Any) -> int:
        """The number that stands for an object, which is kept alive for it."""
        number = self.numbers.setdefault(id(thing), len(self.objects))
        if number == len(self.objects):
            self.objects.append(thing)
        return number

    def answer(self, request: bytes) -> bytes:
        """The reply to an encoded request."""
        action, *arguments = values.decode(request, handle=self.objects.__getitem__, arrays=True)
        return self.attempt(lambda: getattr(self, f"do_{action}")(*arguments))

    def attempt(self, action: Callable[[], Any]) -> bytes:
        """The reply that tells what an action returned or raised."""
        try:
            return values.encode(["value", action()], self.opaque)
        except _Stop:
            return values.encode(["stop"])
        except BaseException as error:  # whatever it is, SystemExit too: it is how the program's call ended
            return values.encode(["error", _builtin_type(error), _text(error)])

    def do_call(self, target: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Call an object, or the function of a (dotted) name."""
        function = self.find(target) if isinstance(target, str) else target
        return function(*arguments, **keywords)

    def do_name(self, name: str) -> Any:
        """What a name stands for."""
        return self.find(name)

    def do_get(self, thing: Any, name: str) -> Any:
        """An attribute of an object."""
        return getattr(thing, name)

    def do_set(self, thing: Any, name: str, value: Any) -> None:
        """Set an attribute of an object."""
        setattr(thing, name, value)

    def do_iter(self, thing: Any) -> Any:
        """An iterator over an object: always by number."""
        return _Iterator(iter(thing))

    def do_next(self, iterator: Any) -> Any:
        """The next item of an iterator."""
        try:
            return next(iterator.iterator)
        except StopIteration:
            raise _Stop from None

    def do_len(self, thing: Any) -> int:
        """The length of an object."""
        return len(thing)

    def do_item(self, thing: Any, key: Any) -> Any:
        """An item of an object."""
        return thing[key]

    def find(self, name: str) -> Any:
        """The function of a name such as `add` or `Solution.add`; where `add` alone is not defined, `Solution.add`.

        A method of a class is that of a new object made without arguments.
        """
        first, *others = name.split(".")
        space = vars(self.module)
        if first not in self.own and "Solution" in self.own and isinstance(space["Solution"], type) and not others:
            first, others = "Solution", [first]
        if first not in self.own:
            raise NameError(f"the program does not define {name}")
        found = space[first]
        for other in others:
            found = getattr(found() if isinstance(found, type) else found, other)
        return found


def _stored(code: CodeType) -> set[str]:
    """Names that the statements of a module bind, whether or not that changes them."""
    return {step.argval for step in dis.get_instructions(code) if step.opname in ("STORE_NAME", "STORE_GLOBAL")}


class _Iterator:
    """An iterator of the program's, in a type that no value has."""

    def __init__(self, iterator: Any) -> None:
        self.iterator = iterator


class _Stop(Exception):
    """An iterator has ended."""


def _builtin_type(error: BaseException) -> str:
    """The name of an exception's type, or of the built-in type that it comes from."""
    return next(
        (kind.__name__ for kind in type.mro(type(error)) if vars(builtins).get(kind.__name__) is kind), "Exception"
    )


def _text(error: BaseException) -> str:
    """What an exception says, as far as it can be got."""
    try:
        name, said = str(type(error).__name__), str(error)
        return f"{name}: {said}"[:LONGEST_TEXT] if said else name[:LONGEST_TEXT]
    except BaseException:  # the program's own __str__ failed
        return "an exception without text"


def stdio(channel: int, stdin: int, stdout: int) -> NoReturn:
    """Run a program as a script from one descriptor to another, and end as the interpreter would."""
    connection = socket.socket(fileno=channel)
    preamble, program = values.decode(frames.receive(connection))
    for descriptor, standard in ((stdin, 0), (stdout, 1)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - the program closes it
    sys.stdout = output = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.argv = ["program.py"]
    sys.set_int_max_str_digits(0)  # as in the Pythons for which the benchmarks were written
    module = sys.modules["__main__"] = ModuleType("__main__")
    furnish(module, program, sys.argv[0], FILE)
    process = os.getpid()
    code = 0
    try:
        exec(preamble, module.__dict__)
        exec(compile(program, FILE, "exec"), module.__dict__)
    except SystemExit as error:
        code = _status(error.code)
    except BaseException as error:  # the interpreter would print it and end with 1
        code = 1
        with contextlib.suppress(BaseException):  # nobody has to hear of it
            frames.send(connection, values.encode(_text(error)))
    os._exit(_finish(code, module, output) if os.getpid() == process else code)


def _status(code: Any) -> int:
    """The exit status of `sys.exit(code)`."""
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _finish(code: int, module: ModuleType, output: Any) -> int:
    """What the interpreter does at its end: wait for threads, call exit handlers, write out what is buffered."""
    try:
        if threads := sys.modules.get("threading"):  # not imported here: every fork would pay for it
            threads._shutdown()
        atexit._run_exitfuncs()
        for file in (sys.stdout, output, sys.__stdout__):
            if file is not None and not file.closed:
                file.flush()
        module.__dict__.clear()  # files that the program left open are closed by this
    except BaseException:  # the interpreter's own end reports this status
        return 120
    return code
