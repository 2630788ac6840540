"""What a row of a data set asks of a program, checked before anything runs."""

import base64
import binascii
import functools
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rewards.sandbox import values

Kind = Literal["call", "stdio", "check"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_SECONDS = 10.0
PACKED = "zlib+base64:"
LARGEST_UNPACKED = 1 << 29  # bytes


class BadRow(ValueError):
    """A row cannot be graded, whatever the completion."""


@dataclass(frozen=True)
class Task:
    """What a program is asked.

    Attributes:
        kind: of its tests.
        entry_point: function that is called; None where a check script says it itself, and for `stdio`.
        tests: each encoded by `rewards.sandbox.values`; none for `check`.
        check: the check script; empty for the other kinds.
        seconds: for all tests together.
        prefix: head of a function that the answer may go on from; mostly empty.
        preamble: what runs before the program, such as imports; mostly empty.
        unordered: of a list that a call is expected to return, the order does not matter.
    """

    kind: Kind
    entry_point: str | None
    tests: tuple[str, ...]
    check: str
    seconds: float
    prefix: str = ""
    preamble: str = ""
    unordered: bool = False


def task_of(row: Mapping[str, Any], cap: float | None) -> Task:
    """The task of a row with keys that `code` names as its columns, each of which may be absent.

    Raises:
        BadRow: it is no task.
    """
    tests, check = row.get("tests"), row.get("check")
    kind = row.get("kind") or _inferred(_read(tests) if isinstance(tests, str) else tests, check)
    if kind not in KINDS:
        raise BadRow(f"its kind is {str(kind)[:50]!r}, which is none of {', '.join(KINDS)}")
    entry_point, prefix, preamble = (_text(row, name) for name in ("entry_point", "prefix", "preamble"))
    seconds = _seconds(row.get("time_limit_s"), cap)
    if kind == "check":
        if not isinstance(check, str) or not check.strip():
            raise BadRow("it is of kind check and has no check script")
        return Task(kind, entry_point or None, (), check, seconds, prefix, preamble)
    if kind == "call" and not entry_point:
        raise BadRow("it is of kind call and has no entry_point")
    encoded = _encoded_text(tests, kind) if isinstance(tests, str) else _encoded(_tests(tests, kind))
    return Task(kind, entry_point or None, encoded, "", seconds, prefix, preamble, _flag(row, "unordered"))


def _text(row: Mapping[str, Any], name: str) -> str:
    """A text of a row; empty if it has none."""
    text = row.get(name) or ""
    if not isinstance(text, str):
        raise BadRow(f"its {name} is no text")
    return text


def _flag(row: Mapping[str, Any], name: str) -> bool:
    """A truth value of a row; false if it has none."""
    value = row.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRow(f"its {name} is neither true nor false")
    return bool(value)


def packed(tests: Sequence[Mapping[str, Any]]) -> str:
    """Tests as a text that `task_of` reads, a fraction as long as their JSON: some sets have gigabytes of them."""
    return PACKED + base64.b64encode(zlib.compress(json.dumps(tests).encode(), 1)).decode("ascii")


@functools.lru_cache(maxsize=1)  # the completions of a group come one after the other
def _encoded_text(tests: str, kind: Kind) -> tuple[str, ...]:
    return _encoded(_tests(_read(tests), kind))


def _read(tests: str) -> Any:
    """Tests from JSON, as tables with columns of one type hold them, or from what `packed` returned."""
    try:
        return json.loads(unpacked(tests.removeprefix(PACKED)) if tests.startswith(PACKED) else tests)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"its tests are no JSON: {error}") from error


def unpacked(text: str) -> bytes:
    """The bytes that base64 text of zlib holds. BadRow: it is none such, or they are more than `LARGEST_UNPACKED`."""
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(base64.b64decode(text, validate=True), LARGEST_UNPACKED)
    except (binascii.Error, zlib.error) as error:
        raise BadRow(f"its packed tests cannot be unpacked: {error}") from error
    if not stream.eof:
        raise BadRow(f"its packed tests are cut off, or take more than {LARGEST_UNPACKED >> 20} MiB")
    return unpacked


def _inferred(tests: Any, check: Any) -> Kind:
    if isinstance(check, str) and check.strip():
        return "check"
    if not isinstance(tests, Sequence) or not tests:
        raise BadRow("it has neither tests nor a check script")
    first = tests[0]
    return "stdio" if isinstance(first, Mapping) and first.get("stdout") is not None else "call"


def _seconds(own: Any, cap: float | None) -> float:
    if own is None:
        return DEFAULT_SECONDS if cap is None else cap
    if isinstance(own, bool) or not isinstance(own, int | float) or not (math.isfinite(own) and own > 0):
        raise BadRow("its time_limit_s is no positive number")
    return float(own) if cap is None else min(float(own), cap)


def _tests(tests: Any, kind: Kind) -> list[dict[str, Any]]:
    if not isinstance(tests, Sequence) or not tests or not all(isinstance(test, Mapping) for test in tests):
        raise BadRow(f"it is of kind {kind} and has no list of tests")
    return [_stdio_test(test) if kind == "stdio" else _call_test(test) for test in tests]


def _stdio_test(test: Mapping[str, Any]) -> dict[str, Any]:
    given, wanted = test.get("stdin") or "", test.get("stdout")
    if not isinstance(given, str) or not isinstance(wanted, str):
        raise BadRow("a test of kind stdio needs the texts stdin and stdout")
    return {"stdin": given, "stdout": wanted}


def _call_test(test: Mapping[str, Any]) -> dict[str, Any]:
    arguments, keywords = test.get("args"), test.get("kwargs") or {}
    if not isinstance(arguments, list | tuple) or not isinstance(keywords, Mapping) or "expected" not in test:
        raise BadRow("a test of kind call needs the list args and the value expected")
    return {"args": list(arguments), "kwargs": dict(keywords), "expected": test["expected"]}


def _encoded(tests: list[dict[str, Any]]) -> tuple[str, ...]:
    try:
        return tuple(values.encode(test).decode("ascii") for test in tests)
    except values.CodecError as error:
        raise BadRow(f"its tests cannot be sent to a grader process: {error}") from error
