"""Values that cross the wall of the sandbox: JSON text with tags, of exact built-in types only.

The encoder may run in a hostile process, so what it writes is data and proves nothing. The decoder runs no code of the
sender's: it builds built-in types (and numpy arrays of numbers, where asked to), and raises `CodecError` and nothing
else, whatever the text.

None, booleans, strings, lists, finite floats and integers of up to 63 bits are plain JSON. All else is an object of one
key: a tag of `_REBUILD` with what that type is made of. An object of a subclass of a built-in type becomes that type
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

LARGEST_TEXT = 32 << 20  # bytes
LARGEST_COUNT = 2_000_000  # of items, all together: each takes about a hundred bytes when decoded
DEEPEST = 150  # levels, each of which takes four of the interpreter's thousand
LARGEST_PLAIN = 1 << 63
TYPES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (NoneType, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, range, object)
}
LARGEST_ARRAY = 64 << 20  # bytes
LONGEST_RATIO = 1 << 16  # bits of a fraction's numerator and denominator
PLAIN = {NoneType, bool, str}

Opaque = Callable[[Any], int]
Handle = Callable[[int], Any]


class CodecError(ValueError):
    """A value cannot be encoded, or a text is no encoded value."""


def encode(value: Any, opaque: Opaque | None = None) -> bytes:
    """A value as text.

    Args:
        value: of built-in types, some of the standard library's, or numpy's numbers and arrays of numbers.
        opaque: is given every object of another type, and returns a number that stands for it. None: that is an error.

    Raises:
        CodecError: it is too large, too deep (or contains itself), or of another type.
    """
    try:
        text = json.dumps(_Encoder(opaque).tree(value, 0), separators=(",", ":")).encode("ascii")
    except (RecursionError, MemoryError, OverflowError, ValueError) as error:
        raise error if isinstance(error, CodecError) else CodecError(f"a value is too large: {error}") from error
    if len(text) > LARGEST_TEXT:
        raise CodecError(f"a value takes more than {LARGEST_TEXT >> 20} MiB")
    return text


def decode(text: bytes, handle: Handle | None = None, arrays: bool = False) -> Any:
    """The value of a text.

    Args:
        text: written by `encode`, or by somebody who wants to do harm.
        handle: gives what a number stands for that `opaque` gave away. None: there are none.
        arrays: numpy's numbers and arrays come back as such; else as numbers and lists.

    Raises:
        CodecError: it is no such text, or too large.
    """
    if len(text) > LARGEST_TEXT or sum(map(text.count, (b"[", b"{", b","))) > LARGEST_COUNT:
        raise CodecError("a value is too large")
    try:
        return _Decoder(handle, arrays).value(json.loads(text, parse_constant=_refuse), 0)
    except CodecError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        raise CodecError(f"no encoded value: {type(error).__name__}") from error
    except (RecursionError, MemoryError) as error:
        raise CodecError("a value is too deep or too large") from error


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


class _Decoder:
    def __init__(self, handle: Handle | None, arrays: bool) -> None:
        self.handle, self.arrays = handle, arrays

    def value(self, tree: Any, depth: int) -> Any:
        """The value of what `json.loads` read."""
        kind = type(tree)
        if kind is list:
            return self.items(tree, depth)
        if kind is not dict:
            return tree
        if depth > DEEPEST or len(tree) != 1:
            raise CodecError("a value is nested too deeply, or has no tag")
        ((tag, content),) = tree.items()
        if tag == "h" and self.handle is not None and type(content) is int:
            return self.handle(content)
        if tag == "np":
            return self.array(content, depth)
        return _REBUILD[tag](self, content, depth)

    def items(self, trees: Any, depth: int) -> list[Any]:
        """The values of a list."""
        if type(trees) is not list or depth > DEEPEST:
            raise CodecError("no list where one belongs, or one too deep")
        if {list, dict}.isdisjoint(map(type, trees)):
            return trees
        return [self.value(tree, depth + 1) for tree in trees]

    def pairs(self, trees: Any, depth: int) -> dict[Any, Any]:
        """The dictionary of keys and values by turns."""
        parts = self.items(trees, depth)
        return dict(zip(_spread(parts[::2]), parts[1::2], strict=True))

    def array(self, parts: Any, depth: int) -> Any:
        """numpy's number or array; plain if those are not asked for."""
        kind, shape, content = parts
        plain = self.value(content, depth + 1)
        if not self.arrays:
            return plain
        import numpy  # only where the other side used it

        dtype = numpy.dtype(_typed(str, kind))
        if dtype.kind not in "biufcSU":
            raise CodecError("an array of something else than numbers")
        if shape is None:
            return dtype.type(plain)
        if math.prod(_typed(int, size) for size in shape) * max(dtype.itemsize, 1) > LARGEST_ARRAY:
            raise CodecError("an array is too large")
        return numpy.array(plain, dtype=dtype).reshape(shape)


def _typed(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise CodecError(f"no {kind.__name__} where one belongs")
    return value


def _refuse(constant: str) -> Any:
    raise CodecError(f"{constant} is not how that number is written")


def _spread(keys: list[Any]) -> list[Any]:
    """Keys that a table can be made of in linear time: not many numbers chosen to share one place in it."""
    if len(keys) > 1000 and len(set(map(hash, keys))) < len(keys) // 2:
        raise CodecError("too many keys in one place of a table")
    return keys


def _short(number: Any) -> int:
    """An integer of which a greatest common divisor is found in no time."""
    if _typed(int, number).bit_length() > LONGEST_RATIO:
        raise CodecError("a fraction is too long")
    return int(number)


def _float(text: Any) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise CodecError("no float")
    return float(text)


_REBUILD: dict[str, Callable[[_Decoder, Any, int], Any]] = {
    "i": lambda d, v, n: int(_typed(str, v), 16),
    "f": lambda d, v, n: _float(v),
    "t": lambda d, v, n: tuple(d.items(v, n)),
    "d": lambda d, v, n: d.pairs(v, n),
    "s": lambda d, v, n: set(_spread(d.items(v, n))),
    "z": lambda d, v, n: frozenset(_spread(d.items(v, n))),
    "c": lambda d, v, n: complex(*(_typed(float, part) for part in d.items(v, n))),
    "b": lambda d, v, n: bytes.fromhex(_typed(str, v)),
    "ba": lambda d, v, n: bytearray.fromhex(_typed(str, v)),
    "r": lambda d, v, n: range(*d.items(v, n)),
    "D": lambda d, v, n: Decimal(_typed(str, v)),
    "F": lambda d, v, n: Fraction(*(_short(part) for part in d.items(v, n))),
    "dt": lambda d, v, n: datetime.datetime(*v),
    "da": lambda d, v, n: datetime.date(*v),
    "ti": lambda d, v, n: datetime.time(*v),
    "td": lambda d, v, n: datetime.timedelta(*v),
    "q": lambda d, v, n: deque(d.items(v[0], n), v[1]),
    "o": lambda d, v, n: OrderedDict(d.pairs(v, n)),
    "co": lambda d, v, n: Counter(d.pairs(v, n)),
    "dd": lambda d, v, n: defaultdict(None if v[0] is None else TYPES[v[0]], d.pairs(v[1], n)),
    "y": lambda d, v, n: TYPES[v],
}
