"""How the process of a program and that of its check script talk: each asks the other, also while it is being asked.

A message is a list: `["ask", action, ...]`, or what came of that: `["value", value, ...]`, `["stop", value]` where an
iterator has ended, or `["error", name of a built-in exception, text, the exception]`.
"""

import _thread
import builtins
import socket
from collections.abc import Callable
from typing import Any

from rewards.sandbox import frames, values

LONGEST_TEXT = 300  # characters of an exception's text
SCRIPTS = -1  # the script's objects have this number and those below it
PLACES = -(1 << 40)  # the containers of a call's arguments have this number and those below it
Resolve = Callable[[int], Any]


class Line:
    """One side's end of the line.

    Args:
        channel: connected to the other side.
        answer: the encoded reply to what the other side asks.
        number: of an object that is no plain value.
    """

    def __init__(self, channel: socket.socket, answer: Callable[..., bytes], number: Callable[[Any], int]) -> None:
        self.channel, self.answer, self.number = channel, answer, number
        self.lock = _thread.RLock()  # a script, or a program, may have threads

    def ask(self, request: list[Any], resolve: Resolve) -> list[Any]:
        """Return what the other side says to a request; what it asks meanwhile is answered.

        Args:
            request: an action, and what it is done with.
            resolve: what a number stands for.

        Raises:
            OSError, FrameError: the other side has gone.
            ValueError: what it says is no message.
        """
        message = values.encode(["ask", *request], self.number)
        with self.lock:
            frames.send(self.channel, message)
            while True:
                said = values.decode(frames.receive(self.channel), resolve, arrays=True)
                if type(said) is not list or not said:
                    raise values.CodecError("no message")
                if said[0] != "ask":
                    return said
                frames.send(self.channel, self.answer(*said[1:]))


def reply(action: Callable[[], list[Any]], number: Callable[[Any], int] | None, stops: bool = False) -> bytes:
    """Return the message that tells what an action returned or raised.

    Args:
        action: returns the message of its success.
        number: of an object that is no plain value. None: there are no such.
        stops: the end of an iterator is no error.
    """
    try:
        return values.encode(action(), number)
    except BaseException as error:  # whatever it is, SystemExit too: it is how the call ended
        if stops and isinstance(error, StopIteration):
            return values.encode(["stop", plain(error.value)])
        said = ["error", built_in(type(error)), text_of(error)]
        return values.encode(said if number is None else [*said, error], number)


def plain(value: Any) -> Any:
    """Return a value that can be told; None for all else."""
    try:
        values.encode(value)
    except values.CodecError:
        return None
    return value


def built_in(kind: type) -> str:
    """Return the name of an exception's class, or of the built-in class that it comes from."""
    return next((base.__name__ for base in type.mro(kind) if vars(builtins).get(base.__name__) is base), "Exception")


def said_by(error: BaseException) -> str | None:
    """Return what an exception says; None if that cannot be got."""
    try:
        return str(error)[:LONGEST_TEXT]
    except BaseException:  # its own __str__ failed
        return None


def text_of(error: BaseException) -> str:
    """Return the name of an exception and what it says, as far as that can be got."""
    said = said_by(error)
    try:
        name = str(type(error).__name__)
    except BaseException:  # the program's own metaclass failed
        return "an exception without text"
    return "an exception without text" if said is None else f"{name}: {said}"[:LONGEST_TEXT] if said else name
