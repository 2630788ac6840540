"""Values that cross to the process of users' rewards and back: what they are, they stay."""

import datetime
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as some

from rewards.errors import BadInput
from rewards.grading import Grader
from rewards.isolated.carried import MARK, NotCarried, as_text, from_line, packed, to_line

PLAIN = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False)
    | some.text()
    | some.binary(max_size=20)
    | some.complex_numbers(allow_nan=False)
    | some.datetimes()
    | some.dates()
    | some.times()
    | some.timedeltas()
    | some.decimals(allow_nan=False)
    | some.fractions()
)
KEYS = some.text() | some.integers() | some.tuples(some.integers(), some.text()) | some.just(MARK)
VALUES = some.recursive(
    PLAIN,
    lambda inner: (
        some.lists(inner) | some.lists(inner).map(tuple) | some.dictionaries(KEYS, inner) | some.sets(some.integers())
    ),
)


def same(one: Any, other: Any) -> bool:
    """Whether values are equal and of the same types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    return bool(one == other)


@given(VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    assert same(from_line(to_line(value)), value)
    assert to_line(value).count(b"\n") == 1


@pytest.mark.parametrize(
    "value",
    [
        10**5000,
        -(1 << 53),
        [1, 1 << 60],
        [*range(-50, 50)],
        [*range(-50, 50), 1 << 63],
        [*range(-50, 50), True, 1 << 62],
        [True, 2],
        "\ud800 half",
        math.inf,
        frozenset({1, 2}),
        bytearray(b"\xff"),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
        Decimal("1.10"),
        Fraction(1, 3),
        {1: "a", "1": "b"},
        {MARK: "tuple", "value": []},
        [[[[]]], (), {}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_odd_values_come_back_as_they_were(value: Any) -> None:
    assert same(from_line(to_line(value)), value)


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(6, dtype=numpy.int16).reshape(2, 3),
        numpy.zeros((0, 4)),
        numpy.array(2.5),
        numpy.array(["a", "béta"]),
        numpy.array([True, False]),
        numpy.array(["2026-01-02"], dtype="datetime64[D]"),
        numpy.arange(10)[::3],
    ],
    ids=lambda array: str(array.dtype),
)
def test_arrays_come_back_as_they_were(array: Any) -> None:
    back = from_line(to_line([array]))[0]
    assert back.dtype == array.dtype and back.shape == array.shape and (back == array).all()
    back[...] = back  # it may be written to, as the original


def test_numbers_of_numpy_keep_their_type() -> None:
    back = from_line(to_line([numpy.float32(0.5), numpy.int64(3), numpy.bool_(True)]))
    assert [type(value) for value in back] == [numpy.float32, numpy.int64, numpy.bool_] and back == [0.5, 3, True]


def test_nan_comes_back() -> None:
    assert math.isnan(from_line(to_line(math.nan)))


class Own:
    def __str__(self) -> str:
        raise ValueError


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def ring() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Own(), r"a value of the type .*test_carried\.Own"),
        ([{"a": (object(),)}], "a value of the type builtins.object"),
        (numpy.array([object()]), "a value of the type numpy.ndarray"),
        (Path("x"), "a value of the type pathlib"),
        (deep(), "nested too deeply"),
        (ring(), "nested too deeply, or holds itself"),
    ],
    ids=["own", "inner", "objects", "path", "deep", "ring"],
)
def test_what_cannot_be_carried_is_named(value: Any, said: str) -> None:
    with pytest.raises(NotCarried, match=said):
        packed(value)


def test_what_is_logged_but_not_carried_becomes_text() -> None:
    assert as_text(Path("x")) == "x" and as_text(Own()) == "<Own>" and as_text((1, 2)) == (1, 2)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[" * 100_000,
        f'{{"{MARK}": "no such"}}'.replace("\0", "\\u0000").encode(),
        f'{{"{MARK}": "date", "value": "x"}}'.replace("\0", "\\u0000").encode(),
        f'{{"{MARK}": "complex", "value": 5}}'.replace("\0", "\\u0000").encode(),
        f'{{"{MARK}": "Decimal", "value": "x"}}'.replace("\0", "\\u0000").encode(),
        f'{{"{MARK}": "numpy", "value": ["O", [1], "", false]}}'.replace("\0", "\\u0000").encode(),
        f'{{"{MARK}": "numpy", "value": ["<f8", [1000000000000], "", false]}}'.replace("\0", "\\u0000").encode(),
    ],
)
def test_lines_of_another_kind_are_refused(line: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        from_line(line)


SETTINGS: dict[str, Any] = {"timeout": 5.0, "workers": 1, "accuracy": None, "correct_above": 0.5, "isolated": True}


def test_columns_and_options_keep_their_types_in_a_reward(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import datetime\nfrom decimal import Decimal\n"
        "def f(completion, day, price, pair, since=None, log_extra=None):\n"
        "    log_extra('kinds', [type(day).__name__, type(price).__name__, type(pair).__name__])\n"
        "    log_extra('place', (datetime, object()))\n"
        "    log_extra('day', day)\n"
        "    return day > since\n"
    )
    day = datetime.date(2026, 1, 2)
    columns = {"day": [day], "price": [Decimal("1.1")], "pair": [(1, 2)]}
    options = {f"{file}:f": {"since": datetime.date(2025, 1, 1)}}
    with Grader({f"{file}:f": 1.0}, options=options, **SETTINGS) as grader:
        [graded] = grader.grade(["x"], ["p"], columns)
    assert graded.reward == 1.0
    assert graded.extra["kinds"] == ["date", "Decimal", "tuple"] and graded.extra["day"] == day
    assert graded.extra["place"].startswith("(<module 'datetime'")


@pytest.mark.parametrize("early", [False, True])
def test_a_column_that_cannot_be_carried_is_refused_with_the_way_out(early: bool, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def f(completion, image): return 1.0\n")
    columns = {"image": [object()], "unused": [object()]}
    with Grader({f"{file}:f": 1.0}, **SETTINGS) as grader, pytest.raises(BadInput) as refused:
        grader.check_types(columns, ["1"]) if early else grader.grade(["x"], ["p"], columns)
    assert str(refused.value) == (
        f"the column 'image' holds a value of the type builtins.object, which cannot be sent to the process of the "
        f"reward '{file}:f'; write it as text, numbers or lists, or set rewards.isolated to false to run rewards "
        "within the run"
    )


def test_a_check_of_problems_that_returns_what_cannot_be_carried_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def f(completion, answer): return 1.0\nf.column_faults = {'answer': lambda value: object()}\n")
    with Grader({f"{file}:f": 1.0}, **SETTINGS) as grader, pytest.raises(BadInput) as refused:
        grader.check_types({"answer": ["1"]}, ["1"])
    assert str(refused.value) == (
        f"the reward '{file}:f' returned a value of the type builtins.object, when it checked problems; correct it"
    )
