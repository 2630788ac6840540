"""Values that cross the wall of the sandbox: JSON text with tags, of exact built-in types only.

The encoder may run in a hostile process, so what it writes is data and proves nothing. What reads it is
`rewards.sandbox.decoder`.

None, booleans, strings, lists, finite floats and integers of up to 63 bits are plain JSON. All else is an object of one
key: a tag of `_WRITE` with what that type is made of. An object of a subclass of a built-in type becomes that type
again, by the type's own methods, so that none of its own is ever called.
"""

import datetime
import json
import math
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from types import NoneType
from typing import Any

from rewards.sandbox.decoder import (
    DEEPEST,
    LARGEST_COUNT,
    LARGEST_PLAIN,
    LARGEST_TEXT,
    TYPES,
    CodecError,
    decode,
)

__all__ = ["LARGEST_TEXT", "CodecError", "decode", "encode"]
PLAIN = {NoneType, bool, str}

_JSON = json.JSONEncoder(separators=(",", ":"))  # made once: that takes as long as to write a small message

Opaque = Callable[[Any], int]


def encode(value: Any, opaque: Opaque | None = None) -> bytes:
    """A value as text.

    Args:
        value: of built-in types, some of the standard library's, or numpy's numbers and arrays of numbers.
        opaque: is given every object of another type, and returns a number that stands for it. None: that is an error.

    Raises:
        CodecError: it is too large, too deep (or contains itself), or of another type.
    """
    try:
        text = _JSON.encode(_Encoder(opaque).tree(value, 0)).encode("ascii")
    except (RecursionError, MemoryError, OverflowError, ValueError) as error:
        raise error if isinstance(error, CodecError) else CodecError(f"a value is too large: {error}") from error
    if len(text) > LARGEST_TEXT:
        raise CodecError(f"a value takes more than {LARGEST_TEXT >> 20} MiB")
    return text


class _Encoder:
    def __init__(self, opaque: Opaque | None) -> None:
        self.opaque = opaque
        self.count = 0

    def tree(self, value: Any, depth: int) -> Any:
        """What `json.dumps` writes as the encoded value."""
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind is int:
            return value if -LARGEST_PLAIN < value < LARGEST_PLAIN else {"i": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"f": repr(value)}
        if depth >= DEEPEST:
            raise CodecError(f"a value is nested more than {DEEPEST} levels deep")
        if kind is list:
            return self.items(value, depth)
        if (write := _WRITE.get(kind)) is not None:
            return write(self, value, depth)
        return self.subclass(value, kind, depth)

    def items(self, items: Iterable[Any], depth: int) -> list[Any]:
        """Items one by one, or at once where all are plain."""
        found = list(items)
        self.count += len(found)
        if self.count > LARGEST_COUNT:
            raise CodecError(f"a value has more than {LARGEST_COUNT} items")
        kinds = set(map(type, found))
        if kinds <= PLAIN:
            return found
        if kinds == {int} and min(found) > -LARGEST_PLAIN and max(found) < LARGEST_PLAIN:
            return found
        return [self.tree(item, depth + 1) for item in found]

    def pairs(self, value: dict[Any, Any], depth: int) -> list[Any]:
        """Keys and values by turns."""
        return self.items((part for pair in dict.items(value) for part in pair), depth)

    def subclass(self, value: Any, kind: type, depth: int) -> Any:
        """An object of a type that is not known: as the built-in type below it, as numpy's, or as an opaque one."""
        if "numpy" in sys.modules and (array := _array(value)) is not None:
            return {"np": [*array[:2], self.tree(array[2], depth + 1)]}
        for base in type.mro(kind)[1:]:
            if base in _PLAIN_AGAIN:
                return self.tree(_PLAIN_AGAIN[base](value), depth)
            if base in _WRITE:
                return _WRITE[base](self, value, depth)
        return self.other(value)

    def other(self, value: Any) -> dict[str, int]:
        """The number that stands for an object of any other type."""
        if self.opaque is None:
            raise CodecError(f"a value of type {str(type(value).__name__)[:50]} cannot be compared")
        return {"h": self.opaque(value)}


def _array(value: Any) -> tuple[str, list[int] | None, Any] | None:
    """Type, shape and content of numpy's numbers and arrays of numbers or text; None for all else."""
    import numpy  # not needed by most, and not installed everywhere

    if isinstance(value, numpy.ndarray):
        plain = numpy.ndarray.tolist(value) if value.dtype.kind in "biufcSU" else None
        return None if plain is None else (value.dtype.str, list(value.shape), plain)
    if isinstance(value, numpy.generic) and value.dtype.kind in "biufc":
        return value.dtype.str, None, numpy.generic.item(value)
    return None


def _seconds(value: datetime.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _naive(value: Any, whole: list[int]) -> list[int]:
    if value.tzinfo is not None:
        raise CodecError("a time with a time zone cannot be compared")
    return [*whole, value.hour, value.minute, value.second, value.microsecond]


def _name(kind: Any) -> str | None:
    """The name of a built-in type; None for all else."""
    return next((name for name, known in TYPES.items() if known is kind), None)


# How the content of each type is written, under its tag.
_WRITE: dict[type, Callable[[_Encoder, Any, int], Any]] = {
    tuple: lambda e, v, d: {"t": e.items(tuple.__iter__(v), d)},
    dict: lambda e, v, d: {"d": e.pairs(v, d)},
    set: lambda e, v, d: {"s": e.items(set.__iter__(v), d)},
    frozenset: lambda e, v, d: {"z": e.items(frozenset.__iter__(v), d)},
    complex: lambda e, v, d: {"c": [e.tree(v.real, d), e.tree(v.imag, d)]},
    bytes: lambda e, v, d: {"b": v.hex()},
    bytearray: lambda e, v, d: {"ba": bytes(v).hex()},
    range: lambda e, v, d: {"r": e.items((v.start, v.stop, v.step), d)},
    Decimal: lambda e, v, d: {"D": Decimal.__str__(v)},
    Fraction: lambda e, v, d: {"F": e.items((v.numerator, v.denominator), d)},
    datetime.datetime: lambda e, v, d: {"dt": _naive(v, [v.year, v.month, v.day])},
    datetime.date: lambda e, v, d: {"da": [v.year, v.month, v.day]},
    datetime.time: lambda e, v, d: {"ti": _naive(v, [])},
    datetime.timedelta: lambda e, v, d: {"td": _seconds(v)},
    deque: lambda e, v, d: {"q": [e.items(deque.__iter__(v), d), v.maxlen]},
    OrderedDict: lambda e, v, d: {"o": e.pairs(v, d)},
    Counter: lambda e, v, d: {"co": e.pairs(v, d)},
    defaultdict: lambda e, v, d: {"dd": [_name(v.default_factory), e.pairs(v, d)]},
    type: lambda e, v, d: {"y": _name(v)} if _name(v) else e.other(v),
}
# Subclasses of these are copied into the type itself, by its own methods.
_PLAIN_AGAIN: dict[type, Callable[[Any], Any]] = {
    int: int.__pos__,
    float: float.__pos__,
    str: str.__str__,
    list: lambda value: [*list.__iter__(value)],
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    complex: complex.__pos__,
}
