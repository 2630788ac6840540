"""A program's objects, as another process sees them: by value, or by a number that stands for them."""

import contextlib
import dis
import importlib
import itertools
import socket
import sys
import types
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

from rewards.sandbox import values
from rewards.sandbox.changes import Place, Snapshot
from rewards.sandbox.script import furnish
from rewards.sandbox.standard import Standard
from rewards.sandbox.standins import SPECIAL, Handle
from rewards.sandbox.talk import PLACES, Line, built_in, reply, said_by

FILE = "<program>"
LARGEST_FACE = 100_000  # items of an object that is looked at once
CallReply = list[Any]


class Server:
    """A program, loaded and asked.

    Args:
        channel: to the process that asks.
        handles: the other side takes handles of objects that are no plain values, and gives such.
    """

    def __init__(self, channel: socket.socket, handles: bool) -> None:
        self.module = ModuleType("solution")  # not __main__: what scripts do only when run is not asked of them
        self.own: set[str] = set()
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.foreign: dict[int, Any] = {}
        self.number: Callable[[Any], int] | None = self._number if handles else None
        self.standard = Standard()
        self.line = Line(channel, self.answer, self._number)

    def loaded(self, preamble: str, program: str) -> bytes:
        """Return the reply to the first message, which brings the program."""
        return reply(lambda: ["value", self.load(preamble, program)], self.number)

    def load(self, preamble: str, program: str) -> dict[str, Any]:
        """Run the preamble and the program; what the program defined itself (see `_described`), by name."""
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
        return {name: _described(space[name], space) for name in self.own}

    def reply(self, request: bytes) -> bytes:
        """Return the reply to an encoded request."""
        _, action, *operands = values.decode(request, self.object_of, arrays=True)
        return self.answer(action, *operands)

    def answer(self, action: str, *operands: Any) -> bytes:
        """Return the reply to a request."""
        stops = action == "resume" or (action == "special" and operands[0] == "next")
        do = getattr(self, f"do_{action}")
        return reply(lambda: do(*operands) if action == "call" else ["value", do(*operands)], self.number, stops)

    def _number(self, thing: Any) -> int:
        """Return the number that stands for an object, which is kept alive for it."""
        if type(thing) is Place:
            return PLACES - thing.number
        if type(thing) is Handle:
            return int(thing._number)
        if id(thing) in self.numbers:
            return self.numbers[id(thing)]
        self.numbers[id(thing)] = len(self.objects)
        self.objects.append(thing)
        return len(self.objects) - 1

    def object_of(self, number: int) -> Any:
        """Return what a number stands for: an object of the program's, or a stand-in for one of the script's."""
        if number >= 0:
            return self.objects[number]
        if number not in self.foreign:
            found = self.foreign[number] = self._stand_in(number, self.ask("what", number))
            self.numbers.setdefault(id(found), number)
        return self.foreign[number]

    def _stand_in(self, number: int, what: list[Any]) -> Any:
        """Return a stand-in for an object of the script's, which has said what it is."""
        thing = Handle(self, number)
        if what[0] == "function":  # many programs ask for no more than a function

            def function(*arguments: Any, **keywords: Any) -> Any:
                return self.call(thing, list(arguments), keywords)

            function.__name__ = function.__qualname__ = what[1]
            return function
        if what[0] == "iterator":
            return _generated(thing)
        if what[0] == "name":
            return getattr(importlib.import_module(what[1]), what[2])
        if what[0] == "error":
            return self._error(*what[1:])
        return thing

    def _error(self, own: str | None, kind: str, arguments: list[Any]) -> BaseException:
        """Return an exception that the script made."""
        made = vars(self.module).get(own) if own else None
        if not isinstance(made, type) or not issubclass(made, BaseException):
            made = getattr(sys.modules["builtins"], kind)
        try:
            return made(*arguments)
        except TypeError:  # it takes something else
            return RuntimeError(*arguments)

    def ask(self, action: str, *operands: Any) -> Any:
        """Return what the script's side says to a request."""
        kind, *content = self.line.ask([action, *operands], self.object_of)
        if kind == "stop":
            raise StopIteration(*content)
        if kind == "error":
            raise content[2]
        return content[0]

    def special(self, name: str, thing: Any, *operands: Any) -> Any:
        """See `standins.Peer`."""
        return self.ask("special", name, thing, *operands)

    def get(self, thing: Any, name: str) -> Any:
        """See `standins.Peer`."""
        return self.ask("get", thing, name)

    def call(self, thing: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """See `standins.Peer`."""
        return self.ask("call", thing, arguments, keywords)

    def do_call(self, target: Any, arguments: list[Any], keywords: dict[str, Any], discards: bool = False) -> CallReply:
        """Call an object, or the function of a (dotted) name; tell what it returns and how it changed its arguments.

        Changes are sent where nobody looks at what the function returns, or it returns None, as functions do that work
        in place. Else `f(xs) == sorted(xs)` would hold for a function that empties its argument.
        """
        function = self.find(target) if isinstance(target, str) else target
        if self.number is None:
            return ["value", function(*arguments, **keywords)]
        watched = Snapshot([arguments, keywords])
        result = function(*arguments, **keywords)
        changes = watched.changes()
        if type(result) is types.CoroutineType:
            return ["later", result]
        if changes and not discards and result is not None:
            return ["value", result, []]
        return ["value", watched.named(result), changes]

    def do_await(self, coroutine: Any) -> Any:
        """Run a coroutine."""
        import asyncio  # few programs have coroutines

        return asyncio.run(coroutine)

    def do_standard(self, things: list[Any]) -> None:
        """Let the program find what its script has put in the places of standard input and output."""
        self.standard.put(things)

    def do_name(self, name: str) -> Any:
        """Return what a name stands for."""
        return self.find(name)

    def do_get(self, thing: Any, name: str) -> Any:
        """Return an attribute of an object."""
        return getattr(thing, name)

    def do_set(self, thing: Any, name: str, value: Any) -> None:
        """Set an attribute of an object."""
        setattr(thing, name, value)

    def do_delete(self, thing: Any, name: str) -> None:
        """Delete an attribute of an object."""
        delattr(thing, name)

    def do_special(self, name: str, *operands: Any) -> Any:
        """Apply an operator, or a function with special methods."""
        if name != "iter":
            return SPECIAL[name](*operands)
        iterator = iter(operands[0])
        return iterator if iterator is operands[0] else _Iterator(iterator)

    def do_resume(self, generator: Any, name: str, arguments: list[Any]) -> Any:
        """Call `send`, `throw` or `__next__` of an iterator."""
        return getattr(generator, name)(*arguments)

    def do_exit(self, thing: Any, error: BaseException | None) -> Any:
        """Leave a context."""
        trace = None if error is None else error.__traceback__
        return bool(type(thing).__exit__(thing, None if error is None else type(error), error, trace))

    def do_isinstance(self, thing: Any, kind: Any) -> bool:
        """Tell whether an object is of a class."""
        return isinstance(thing, kind)

    def do_issubclass(self, kind: Any, other: Any) -> bool:
        """Tell whether a class comes from another."""
        return issubclass(kind, other)

    def do_kind(self, thing: Any) -> str:
        """Return the name of an object's type."""
        return "type" if isinstance(thing, type) else type(thing).__name__

    def do_face(self, thing: Any) -> Any:
        """List all items of an object, also as a dictionary; None for an iterator, and where they have no end."""
        kind = type(thing)
        if hasattr(kind, "__next__"):
            return None
        if hasattr(kind, "keys") and hasattr(kind, "__getitem__"):
            return {key: thing[key] for key in itertools.islice(thing.keys(), LARGEST_FACE)}
        if hasattr(kind, "__iter__"):
            items = list(itertools.islice(iter(thing), LARGEST_FACE + 1))
            return None if len(items) > LARGEST_FACE else items
        if hasattr(kind, "__len__") and hasattr(kind, "__getitem__"):
            return [thing[place] for place in range(min(len(thing), LARGEST_FACE))]
        return None

    def do_describe(self, error: BaseException) -> CallReply:
        """Describe an exception: its class's name in the program, module and name of that, its text, its arguments."""
        kind = type(error)
        own = next((name for name in self.own if vars(self.module).get(name) is kind), None)
        arguments = None
        with contextlib.suppress(values.CodecError):
            values.encode(list(error.args), self.number)
            arguments = list(error.args)
        return [own, str(kind.__module__), str(kind.__qualname__), said_by(error), arguments]

    def find(self, name: str) -> Any:
        """Find the function of a name such as `add` or `Solution.add`; where `add` is not defined, `Solution.add`.

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


def _described(thing: Any, space: dict[str, Any]) -> Any:
    """Name the bases of an exception's class; of other things, tell whether they can be called."""
    if isinstance(thing, type) and issubclass(thing, BaseException):
        names = {id(value): name for name, value in space.items() if isinstance(value, type)}
        return [names.get(id(base)) or built_in(base) for base in thing.__bases__]
    return callable(thing)


def _stored(code: CodeType) -> set[str]:
    """Return the names that the statements of a module bind, whether or not that changes them."""
    return {step.argval for step in dis.get_instructions(code) if step.opname in ("STORE_NAME", "STORE_GLOBAL")}


def _generated(iterator: Any) -> Any:
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        yield item


class _Iterator:
    """An iterator of the program's, in a type that no value has."""

    def __init__(self, iterator: Any) -> None:
        self.iterator = iterator

    def __iter__(self) -> "_Iterator":
        return self

    def __next__(self) -> Any:
        return next(self.iterator)
