"""Reads the text that `rewards.sandbox.values` writes, or that somebody has written who wants to do harm.

The decoder runs no code of the sender's: it builds built-in types (and numpy arrays of numbers, where asked to), and
raises `CodecError` and nothing else, whatever the text. Each of its steps takes milliseconds, and it looks at the clock
between them.
"""

import datetime
import json
import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
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
LONGEST_STEP = 1 << 12  # bits of the numbers of a range
STRIDE = 16  # keys that are put in a table between two looks at the clock
MOST_IN_ONE_PLACE = 1000  # keys of one table that share a place in it

Handle = Callable[[int], Any]
Clock = Callable[[], object]


class CodecError(ValueError):
    """A value cannot be encoded, or a text is no encoded value."""


def decode(text: bytes, handle: Handle | None = None, arrays: bool = False, clock: Clock = int) -> Any:
    """Return the value of a text.

    Args:
        text: written by `encode`, or by somebody who wants to do harm.
        handle: gives what a number stands for that `opaque` gave away. None: there are none.
        arrays: numpy's numbers and arrays come back as such; else as numbers and lists.
        clock: is called again and again, and raises an error of its own when the time is over.

    Raises:
        CodecError: it is no such text, or too large.
    """
    if len(text) > LARGEST_TEXT or sum(map(text.count, (b"[", b"{", b","))) > LARGEST_COUNT:
        raise CodecError("a value is too large")
    try:
        return _Decoder(handle, arrays, clock).value(_JSON.decode(text.decode("ascii")), 0)
    except CodecError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        raise CodecError(f"no encoded value: {type(error).__name__}") from error
    except (RecursionError, MemoryError) as error:
        raise CodecError("a value is too deep or too large") from error


class _Decoder:
    def __init__(self, handle: Handle | None, arrays: bool, clock: Clock) -> None:
        self.handle, self.arrays, self.clock = handle, arrays, clock

    def value(self, tree: Any, depth: int) -> Any:
        """Return the value of what `json.loads` read."""
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
        if tag not in ("i", "f"):  # these are read in no time
            self.clock()
        return _REBUILD[tag](self, content, depth)

    def items(self, trees: Any, depth: int) -> list[Any]:
        """Return the values of a list."""
        if type(trees) is not list or depth > DEEPEST:
            raise CodecError("no list where one belongs, or one too deep")
        self.clock()
        if {list, dict}.isdisjoint(map(type, trees)):
            return trees
        return [self.value(tree, depth + 1) for tree in trees]

    def pairs(self, trees: Any, depth: int, table: Any) -> Any:
        """Return a dictionary with keys and values that come by turns."""
        parts = self.items(trees, depth)
        put = OrderedDict.update if type(table) is OrderedDict else dict.update  # a Counter's own would count
        self.fill(table, put, list(zip(parts[::2], parts[1::2], strict=True)))
        return table

    def members(self, trees: Any, depth: int) -> set[Any]:
        """Return the set of what is in a list."""
        found: set[Any] = set()
        self.fill(found, set.update, self.items(trees, depth))
        return found

    def fill(self, table: Any, put: Callable[..., None], items: list[Any]) -> None:
        """Put items in a table, and look at the clock: many keys may have been chosen to share one place in it."""
        keys = items if put is set.update else [key for key, _ in items]
        if len(keys) > MOST_IN_ONE_PLACE and max(Counter(map(hash, keys)).values()) > MOST_IN_ONE_PLACE:
            raise CodecError("too many keys in one place of a table")
        for start in range(0, len(items), STRIDE):
            self.clock()
            put(table, items[start : start + STRIDE])

    def array(self, parts: Any, depth: int) -> Any:
        """Return numpy's number or array; plain if those are not asked for."""
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


def _short(number: Any, longest: int) -> int:
    """Return an integer of so many bits at most, with which arithmetic takes milliseconds."""
    if _typed(int, number).bit_length() > longest:
        raise CodecError("a number is too long")
    return int(number)


def _float(text: Any) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise CodecError("no float")
    return float(text)


_JSON = json.JSONDecoder(parse_constant=_refuse)  # made once: that takes as long as to read a small message
_REBUILD: dict[str, Callable[[_Decoder, Any, int], Any]] = {
    "i": lambda d, v, n: int(_typed(str, v), 16),
    "f": lambda d, v, n: _float(v),
    "t": lambda d, v, n: tuple(d.items(v, n)),
    "d": lambda d, v, n: d.pairs(v, n, {}),
    "s": lambda d, v, n: d.members(v, n),
    "z": lambda d, v, n: frozenset(d.members(v, n)),
    "c": lambda d, v, n: complex(*(_typed(float, part) for part in d.items(v, n))),
    "b": lambda d, v, n: bytes.fromhex(_typed(str, v)),
    "ba": lambda d, v, n: bytearray.fromhex(_typed(str, v)),
    "r": lambda d, v, n: range(*(_short(part, LONGEST_STEP) for part in d.items(v, n))),
    "D": lambda d, v, n: Decimal(_typed(str, v)),
    "F": lambda d, v, n: Fraction(*(_short(part, LONGEST_RATIO) for part in d.items(v, n))),
    "dt": lambda d, v, n: datetime.datetime(*v),
    "da": lambda d, v, n: datetime.date(*v),
    "ti": lambda d, v, n: datetime.time(*v),
    "td": lambda d, v, n: datetime.timedelta(*v),
    "q": lambda d, v, n: deque(d.items(v[0], n), v[1]),
    "o": lambda d, v, n: d.pairs(v, n, OrderedDict()),
    "co": lambda d, v, n: d.pairs(v, n, Counter()),
    "dd": lambda d, v, n: d.pairs(v[1], n, defaultdict(None if v[0] is None else TYPES[v[0]])),
    "y": lambda d, v, n: TYPES[v],
}
