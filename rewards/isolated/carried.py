"""Values that cross between the run and the process of users' rewards: JSON, and what JSON lacks under a mark.

Carried are Python's plain values, tuples, sets, bytes, dates and times, `Decimal`, `Fraction`, and numpy's numbers and
arrays. All else is refused with a sentence. Neither side executes what the other sends, as pickle would.
"""

import base64
import contextlib
import datetime
import json
import math
import sys
from array import array
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MARK = "\0is"  # the key of a dictionary that stands for a value which JSON lacks
PLAIN = frozenset({str, int, float, bool, type(None)})
NUMBERS = "biufcMm"  # kinds of numpy's arrays that hold no Python objects
LARGEST_PLAIN = 1 << 53  # Python refuses to write integers of more than 4,300 digits; these are far below
MANY = 16  # integers of a list, from which on they are sent as bytes: token ids are most of what is sent

Make = Callable[[Any], Any]
MADE: dict[str, Make] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "bytes": base64.b64decode,
    "bytearray": lambda text: bytearray(base64.b64decode(text)),
    "int": lambda text: int(text, 16),
    "complex": lambda parts: complex(*parts),
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timedelta": lambda parts: datetime.timedelta(*parts),
    "Decimal": Decimal,
    "Fraction": Fraction,
    "dict": dict,
    "integers": lambda text: array("q", base64.b64decode(text)).tolist(),
}
WRITTEN: dict[type, Callable[[Any], Any]] = {
    bytes: lambda value: base64.b64encode(value).decode(),
    bytearray: lambda value: base64.b64encode(value).decode(),
    complex: lambda value: [value.real, value.imag],
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    Decimal: str,
    Fraction: str,
}


class NotCarried(ValueError):
    """A value cannot cross; the text says in a few words which value."""


def to_line(message: Any) -> bytes:
    """Write a message as one line. Raises NotCarried."""
    return line_of(packed(message))


def line_of(message: Any) -> bytes:
    """Write a message as one line whose parts are packed where they need it."""
    return json.dumps(message).encode("ascii") + b"\n"


def from_line(line: bytes) -> Any:
    """Read a message. Raises ValueError or RecursionError for what `to_line` does not write."""
    try:
        return json.loads(line, object_hook=_unpacked)
    except (TypeError, KeyError, ArithmeticError) as error:  # of the types that MADE calls
        raise ValueError(str(error)) from error


def packed(value: Any) -> Any:
    """Write a value with nothing but what JSON has. Raises NotCarried."""
    try:
        return _packed(value)
    except RecursionError:
        raise NotCarried("a value that is nested too deeply, or holds itself") from None


def _packed(value: Any) -> Any:
    kind = type(value)
    if kind in PLAIN:
        big = kind is int and not -LARGEST_PLAIN < value < LARGEST_PLAIN
        return {MARK: "int", "value": hex(value)} if big else value
    if kind is list:
        return _packed_list(value)
    if kind is dict:
        if MARK not in value and set(map(type, value)) <= {str}:
            return {key: _packed(item) for key, item in value.items()}
        return {MARK: "dict", "value": [[_packed(key), _packed(item)] for key, item in value.items()]}
    if kind in (tuple, set, frozenset):
        return {MARK: kind.__name__, "value": [_packed(item) for item in value]}
    if kind in WRITTEN:
        return {MARK: kind.__name__, "value": WRITTEN[kind](value)}
    return _packed_numpy(value)


def as_text(value: Any) -> Any:
    """Return the value itself if it can be carried, and else its text."""
    try:
        packed(value)
    except NotCarried:
        return _text(value)
    return value


def _packed_list(values: list[Any]) -> Any:
    kinds = set(map(type, values))
    if kinds == {int} and len(values) >= MANY:
        with contextlib.suppress(OverflowError):  # an integer of more than 64 bits
            return {MARK: "integers", "value": base64.b64encode(array("q", values)).decode()}
    if kinds <= PLAIN - {int}:
        return values
    return [_packed(item) for item in values]


def _packed_numpy(value: Any) -> Any:
    numpy = sys.modules.get("numpy")  # who has such a value has imported it
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in NUMBERS + "U":
        found = numpy.ascontiguousarray(value)
        content = base64.b64encode(found.tobytes()).decode()
        scalar = isinstance(value, numpy.generic)
        return {MARK: "numpy", "value": [found.dtype.str, list(numpy.shape(value)), content, scalar]}
    raise NotCarried(f"a value of the type {type(value).__module__}.{type(value).__qualname__}")


def _unpacked(found: dict[str, Any]) -> Any:
    if MARK not in found:
        return found
    if found[MARK] == "numpy":
        return _numpy(*found["value"])
    return MADE[found[MARK]](found["value"])


def _numpy(kind: str, shape: list[int], content: str, scalar: bool) -> Any:
    import numpy

    dtype = numpy.dtype(kind)
    if dtype.kind not in NUMBERS + "U" or math.prod(shape) * dtype.itemsize > len(content):
        raise ValueError("no array of numbers or texts")
    found = numpy.frombuffer(base64.b64decode(content), dtype).reshape(shape).copy()
    return found[()] if scalar else found


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # the author's own `__str__`
        return f"<{type(value).__name__}>"
