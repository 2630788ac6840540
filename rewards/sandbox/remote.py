"""A program as its check script sees it: its functions, classes and exceptions, which are in another process.

What the program returns comes as values of exact built-in types, or as handles of objects. The program never learns
what the script expects: whether an object of its equals a plain value is not asked of it, and neither is any operator
between the two, unless the script itself made the object by calling a class. Else an object could answer to `== 3`, or
to `abs(x - 3) < 1e-9`, what the script likes to hear.
"""

import builtins
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from rewards.sandbox import frames, values
from rewards.sandbox.changes import apply, containers
from rewards.sandbox.given import Given
from rewards.sandbox.raised import NEVER_RAISED, mirrored, rebuilt
from rewards.sandbox.standard import Standard
from rewards.sandbox.standins import COMPARISONS, IN_PLACE, ITEMS, TWO, Handle
from rewards.sandbox.talk import PLACES, Line, reply

RESUMES = ("send", "throw", "__next__")
MAKES = {*TWO, *IN_PLACE, "enter", "copy", "deepcopy"}
CHANGES = {*IN_PLACE, "setitem", "delitem", "enter"}
LIVE = "live"


class ProgramGone(BaseException):
    """The program cannot be asked any more: no script is to catch this by `except Exception`."""


class Remote:
    """The program, in its own process.

    Attributes:
        gone: why it cannot be asked any more, if so.
        reached: whether the script has asked it anything.
        raised: its exceptions that were raised in the script, and what each says.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.gone, self.reached = "", False
        self.raised: list[tuple[BaseException, str]] = []
        self.handles: dict[int, Handle] = {}
        self.exceptions: dict[str, type[BaseException]] = {}
        self.given = Given()
        self.standard = Standard()
        self.line = Line(channel, self.answer, self.number)

    def load(self, preamble: str, program: str) -> dict[str, Any]:
        """Run the program; what it defined (see `Server.load`)."""
        try:
            frames.send(self.line.channel, values.encode([preamble, program, True]))
            said = values.decode(frames.receive(self.line.channel), self.handle, arrays=True)
        except (OSError, ValueError) as error:
            self.lose(f"the program ended ({error})", error)
        defined = self._content(said, stops=False)[0]
        if type(defined) is not dict:
            self.lose("the program sent no valid reply (it defines no names)", None)
        return {str(name): what for name, what in defined.items()}

    def ask(self, action: str, *operands: Any) -> Any:
        """Return what the program says to a request, or the exception that it raised.

        Raises:
            ProgramGone: it has ended, or sends what is no reply.
            StopIteration: the iterator asked for has ended.
        """
        stops = action == "resume" or (action == "special" and operands[0] == "next")
        return self._asked([action, *operands], self.handle, stops)[0]

    def _asked(self, request: list[Any], resolve: Callable[[int], Any], stops: bool = False) -> list[Any]:
        self.reached = True
        try:
            if (standard := self.standard.changed()) is not None:
                self.line.ask(["standard", standard], self.handle)
            said = self.line.ask(request, resolve)
        except values.CodecError as error:
            if self.given.refused:  # the script's own argument
                raise
            self.lose(f"the program sent no valid reply ({error})", error)
        except (OSError, frames.FrameError) as error:
            self.lose(f"the program ended ({error})", error)
        return self._content(said, stops)

    def _content(self, said: Any, stops: bool) -> list[Any]:
        kind, *content = said if type(said) is list and said else [None]
        if kind == "stop" and stops:
            raise StopIteration(*content[:1])
        if kind in ("value", "later") and content:
            return content if kind == "value" else [self._later(content[0])]
        if kind == "error" and len(content) == 3:
            self._raise(*content)
        self.lose("the program sent no valid reply (no message)", None)

    def lose(self, why: str, cause: Exception | None) -> NoReturn:
        """Give the program up."""
        self.gone = why
        raise ProgramGone(why) from cause

    async def _later(self, coroutine: Any) -> Any:
        return self.ask("await", coroutine)

    def _raise(self, kind: Any, text: Any, error: Any) -> NoReturn:
        """Raise what the program raised."""
        if type(error) is Handle:
            made = rebuilt(self, self.exceptions, str(kind), str(text), error)
            self.raised.append((made, str(text)))
            raise made
        if isinstance(error, BaseException):  # the script's own, from a function of its
            raise error
        self.lose("the program sent no valid reply (no exception)", None)

    def number(self, thing: Any) -> int:
        """Return the number of an object of the program's, or of one that the script gives to it."""
        if type(thing) is Handle:
            return int(thing._number)
        if type(thing) is Function:
            return self.number(self.ask("name", thing._name))
        if isinstance(thing, type) and thing in self.exceptions.values():
            return self.number(self.ask("name", thing.__name__))
        if isinstance(thing, BaseException) and type(handle := vars(thing).get("_handle")) is Handle:
            return int(handle._number)
        return self.given.number(thing)

    def handle(self, number: int) -> Any:
        """Return what a number stands for: an object of the program's, or one that the script has given to it."""
        if number < 0:
            return self.given.object_of(number)
        if number not in self.handles:
            self.handles[number] = Handle(self, number)
        return self.handles[number]

    def answer(self, action: Any, *operands: Any) -> bytes:
        """Return the reply to what the program asks of the script's objects."""
        return reply(lambda: ["value", self.given.do(action, *operands)], self.number, stops=True)

    def call(self, target: Any, arguments: list[Any], keywords: dict[str, Any], discards: bool = False) -> Any:
        """Return what a call of a name or an object returns. The arguments change where `Server.do_call` says so."""
        mine = containers([arguments, keywords])

        def resolve(number: int) -> Any:
            return mine[PLACES - number] if number <= PLACES else self.handle(number)

        value, *more = self._asked(["call", target, arguments, keywords, discards], resolve)
        if more and (discards or value is None):
            try:
                apply(mine, more[0])
            except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
                self.lose(f"the program sent no valid reply ({error})", error)
        if type(value) is Handle and type(target) is str and target.rpartition(".")[2][:1].isupper():
            object.__setattr__(value, "_made", True)
        return value

    def get(self, thing: Any, name: str) -> Any:
        """Return an attribute of an object, which may be a method that changes it."""
        if type(thing) is Handle:
            object.__setattr__(thing, "_face", None)
        if name in RESUMES:
            return lambda *arguments: self.ask("resume", thing, name, list(arguments))
        return self.ask("get", thing, name)

    def special(self, name: str, *operands: Any) -> Any:
        """Return the result of an operator or a function with special methods.

        An object that the script did not make is looked at once: its length, items and order are those of one list. One
        that has a face to iterate over and another to be indexed has the first.
        """
        ours = [operand for operand in operands if type(operand) in (Handle, Function)]
        made = any(type(operand) is Handle and operand._made for operand in ours)
        asks = len(ours) == len(operands) or (made and name not in ("eq", "ne"))
        if name in (*TWO, *IN_PLACE, *COMPARISONS) and not asks:
            return NotImplemented
        thing = ours[0]
        face = LIVE if made or name not in ITEMS else self.face(thing)
        if face is not LIVE and (name != "getitem" or type(face) is dict or isinstance(operands[1], int | slice)):
            return ITEMS[name](face, *operands[1:])
        if name in CHANGES:
            object.__setattr__(thing, "_face", None)
        result = self.ask("special", name, *operands)
        if name == "eq" and operands[0] is not operands[1] and result is True:
            return not self._equals_all(thing)
        if made and name in MAKES and type(result) is Handle:
            object.__setattr__(result, "_made", True)
        return result

    def _equals_all(self, thing: Any) -> bool:
        """Tell whether an object says that it equals one that it cannot know."""
        try:
            return self.ask("special", "eq", thing, _Other()) is True
        except Exception:  # it looks for attributes that only its like has
            return False

    def face(self, thing: Any) -> Any:
        """Return what an object holds, as it was when it was first asked for; `LIVE` for an iterator and the like."""
        if thing._face is None:
            found = self.ask("face", thing)
            object.__setattr__(thing, "_face", found if type(found) in (list, dict) else LIVE)
        return thing._face

    def bind(self, names: list[str], defined: dict[str, Any]) -> dict[str, Any]:
        """Return what the script finds under the program's names: a class for an exception, values, and stand-ins."""
        bases = {name: what for name, what in defined.items() if type(what) is list}
        for name in list(bases):
            self._mirror(name, bases)
        bound: dict[str, Any] = {}
        for name in names:
            plain = name in defined and defined[name] is False
            bound[name] = self.exceptions.get(name) or (self.ask("name", name) if plain else Function(self, name))
        return bound

    def _mirror(self, name: str, bases: dict[str, Any]) -> type[BaseException]:
        """Return a class like one of the program's exceptions, with those that it comes from."""
        if name not in self.exceptions:
            names = [str(base) for base in bases.pop(name)]  # popped: a program may say that two come from each other
            parents = [self._mirror(base, bases) if base in bases else self._known(base) for base in names]
            self.exceptions[name] = mirrored(self, name, parents)
        return self.exceptions[name]

    def _known(self, name: str) -> type[BaseException]:
        """Return the class of that name: the program's if it was mirrored, else a built-in one."""
        kind = self.exceptions.get(name) or vars(builtins).get(name)
        if not isinstance(kind, type) or not issubclass(kind, BaseException) or issubclass(kind, NEVER_RAISED):
            return Exception
        return kind


class _Other:
    """An object like no other."""


class Function:
    """A function or class of the program's, by its name."""

    def __init__(self, remote: Remote, name: str) -> None:
        self._remote, self.__name__ = remote, name.rpartition(".")[2]
        self._name = name

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function in the program's process."""
        return self._remote.call(self._name, list(arguments), keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__array"):
            raise AttributeError(name)
        return self._remote.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_remote", "_name", "__name__"):
            object.__setattr__(self, name, value)
        else:
            self._remote.ask("set", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._remote.ask("special", "getitem", self, key)

    def __iter__(self) -> Any:  # an enumeration
        return self._remote.ask("special", "iter", self)

    def __len__(self) -> int:
        return int(self._remote.ask("special", "len", self))

    def __bool__(self) -> bool:
        return True

    def __instancecheck__(self, thing: Any) -> bool:
        return type(thing) in (Handle, Function) and self._remote.ask("isinstance", thing, self) is True

    def __subclasscheck__(self, kind: Any) -> bool:
        return type(kind) in (Handle, Function) and self._remote.ask("issubclass", kind, self) is True

    def __mro_entries__(self, bases: Any) -> NoReturn:
        self._remote.given.refuse(f"a class that comes from the program's {self._name}")


def discarded(function: Any, *arguments: Any, **keywords: Any) -> Any:
    """Make a call of which nobody looks at what it returns."""
    if type(function) is Function:
        return function._remote.call(function._name, list(arguments), keywords, discards=True)
    if type(function) is Handle and type(function._peer) is Remote:
        return function._peer.call(function, list(arguments), keywords, discards=True)
    return function(*arguments, **keywords)
