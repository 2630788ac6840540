"""Standard input and output of a program, where its check script has replaced its own.

A script may catch what the program prints (`redirect_stdout`) or answer what it asks (`patch("builtins.input")`). Both
happen in the script's process, so the program's process gets stand-ins for what the script has put there.
"""

import builtins
import sys
from typing import Any

PLACES = ((sys, "stdin"), (sys, "stdout"), (sys, "stderr"), (builtins, "input"), (builtins, "print"))


class Stream:
    """A file of the script's, of which the program can use no more than this."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __iter__(self) -> Any:
        return iter(self._file)

    def read(self, size: int = -1) -> Any:
        """Read all, or so many characters."""
        return self._file.read(size)

    def readline(self, size: int = -1) -> Any:
        """Read a line."""
        return self._file.readline(size)

    def readlines(self) -> Any:
        """Read all lines."""
        return self._file.readlines()

    def write(self, text: str) -> Any:
        """Write a text."""
        return self._file.write(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        self._file.writelines(lines)

    def flush(self) -> None:
        """Write out what is buffered."""
        self._file.flush()


class Standard:
    """What stands in the places of standard input and output in this process, compared with the beginning."""

    def __init__(self) -> None:
        self._first = _found()
        self._last = self._first

    def changed(self) -> list[Any] | None:
        """What the program is to find in each place, None for what it had first; None if nothing changed since."""
        found = _found()
        if all(now is before for now, before in zip(found, self._last, strict=True)):
            return None
        self._last = found
        told = [None if now is first else now for now, first in zip(found, self._first, strict=True)]
        return [
            thing if thing is None or place is builtins else Stream(thing)
            for thing, (place, _) in zip(told, PLACES, strict=True)
        ]

    def put(self, things: list[Any]) -> None:
        """Put things in these places; None: what was there at the beginning."""
        for thing, first, (place, name) in zip(things, self._first, PLACES, strict=True):
            setattr(place, name, first if thing is None else thing)


def _found() -> list[Any]:
    return [getattr(place, name) for place, name in PLACES]
