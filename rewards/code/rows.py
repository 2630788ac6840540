"""What a row of a data set asks of a program, checked before anything runs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rewards.sandbox import values

Kind = Literal["call", "stdio", "check"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_SECONDS = 10.0


class BadRow(ValueError):
    """A row cannot be graded, whatever the completion."""


@dataclass(frozen=True)
class Task:
    """What a program is asked.

    Attributes:
        kind: of its tests.
        entry_point: function that is called; None where a check script says it itself, and for `stdio`.
        tests: encoded by `rewards.sandbox.values`; empty for `check`.
        check: the check script; empty for the other kinds.
        seconds: for all tests together.
    """

    kind: Kind
    entry_point: str | None
    tests: str
    check: str
    seconds: float


def task_of(row: Mapping[str, Any], cap: float | None) -> Task:
    """The task of a row with the keys `kind`, `entry_point`, `tests`, `check` and `time_limit_s`, each may be absent.

    Raises:
        BadRow: it is no task.
    """
    tests, check = row.get("tests"), row.get("check")
    if isinstance(tests, str):  # tables with columns of one type hold JSON
        try:
            tests = json.loads(tests)
        except (ValueError, RecursionError) as error:
            raise BadRow(f"its tests are no JSON: {error}") from error
    kind = row.get("kind") or _inferred(tests, check)
    if kind not in KINDS:
        raise BadRow(f"its kind is {str(kind)[:50]!r}, which is none of {', '.join(KINDS)}")
    entry_point = row.get("entry_point") or None
    if entry_point is not None and not isinstance(entry_point, str):
        raise BadRow("its entry_point is no text")
    seconds = _seconds(row.get("time_limit_s"), cap)
    if kind == "check":
        if not isinstance(check, str) or not check.strip():
            raise BadRow("it is of kind check and has no check script")
        return Task(kind, entry_point, "", check, seconds)
    if kind == "call" and entry_point is None:
        raise BadRow("it is of kind call and has no entry_point")
    return Task(kind, entry_point, _encoded(_tests(tests, kind)), "", seconds)


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


def _encoded(tests: list[dict[str, Any]]) -> str:
    try:
        return values.encode(tests).decode("ascii")
    except values.CodecError as error:
        raise BadRow(f"its tests cannot be sent to a grader process: {error}") from error
