"""Values cross the wall unchanged, and nothing else does."""

import contextlib
import datetime
import json
import math
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.sandbox.decoder import _REBUILD, DEEPEST, LARGEST_COUNT
from rewards.sandbox.values import CodecError, decode, encode

HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())  # lone surrogates too
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.timedeltas()
    | st.datetimes()
    | st.dates(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(HASHABLE, inner, max_size=3) | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same type; floats also of the same sign of zero."""
    return type(one) is type(other) and (repr(one) == repr(other) if isinstance(one, float) else one == other)


@settings(deadline=None, max_examples=150)
@given(VALUES)
def test_round_trip(value: Any) -> None:
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        1 << 63,
        -(1 << 63),
        10**4000,
        -0.0,
        math.inf,
        "\ud800",
        [1, 2.5, "a", None, True],
        range(1, 10, 2),
        bytearray(b"ab"),
        deque([1, 2], maxlen=3),
        OrderedDict([("b", 1), ("a", 2)]),
        Counter("aab"),
        datetime.time(1, 2, 3, 4),
        int,
        type(None),
        Decimal("NaN"),
    ],
)
def test_types(value: Any) -> None:
    back = decode(encode(value))
    assert (
        type(back) is type(value) and repr(back)[:4000] == repr(value)[:4000]
        if not isinstance(value, int)
        else (back == value)
    )


def test_default_factories() -> None:
    back = decode(encode(defaultdict(list, {1: [2]})))
    assert back == {1: [2]} and back.default_factory is list
    assert decode(encode(defaultdict(lambda: 0, {1: 2}))).default_factory is None


def test_more_digits_than_python_converts_to_text() -> None:
    assert decode(encode(-(10**6000))) == -(10**6000)


def test_not_a_number() -> None:
    assert math.isnan(decode(encode([float("nan")]))[0])


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __int__(self) -> int:
        return 3

    __index__ = __pos__ = __int__


class LongLiar(list):
    def __iter__(self) -> Any:
        return iter([3])

    def __len__(self) -> int:
        return 1


def test_subclasses_become_what_they_really_are() -> None:
    back = decode(encode([Liar(0), LongLiar([1, 2])]))
    assert [type(item) for item in back] == [int, list] and back[0] == 0 and back[1] == [1, 2]


def test_opaque_objects() -> None:
    things: list[Any] = []

    def number(thing: Any) -> int:
        things.append(thing)
        return len(things) - 1

    thing = object()
    text = encode({"a": [thing]}, number)
    assert decode(text, handle=things.__getitem__) == {"a": [thing]}
    with pytest.raises(CodecError, match="cannot be compared"):
        encode(thing)
    with pytest.raises(CodecError):
        decode(text)


def test_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(6, dtype="int16").reshape(2, 3)
    back = decode(encode([array, numpy.float32(0.5), numpy.zeros((0, 3))]), arrays=True)
    assert back[0].dtype == array.dtype and (back[0] == array).all()
    assert type(back[1]) is numpy.float32 and back[2].shape == (0, 3)
    assert decode(encode([array, numpy.int64(7), numpy.bool_(True)])) == [[[0, 1, 2], [3, 4, 5]], 7, True]


def test_limits() -> None:
    ring: list[Any] = []
    ring.append(ring)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (ring, deep, [0] * (LARGEST_COUNT + 1), "x" * (33 << 20)):
        with pytest.raises(CodecError):
            encode(value)


def test_depth_that_is_allowed() -> None:
    value: Any = 1
    for _ in range(DEEPEST - 1):
        value = (value,)
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "nan",
        "NaN",
        "[Infinity]",
        '{"t":[1],"d":[]}',
        '{"q":1}',
        '{"q":[[1],-1]}',
        '{"unknown":1}',
        '{"h":0}',
        '{"t":5}',
        '{"d":[1]}',
        '{"s":[[1]]}',
        '{"i":"zz"}',
        '{"i":5}',
        '{"f":"1.0"}',
        '{"f":[]}',
        '{"D":"x"}',
        '{"F":[1,0]}',
        '{"dt":[0,0,0]}',
        '{"dd":["eval",[]]}',
        '{"y":"eval"}',
        '{"y":[]}',
        '{"np":["O",null,1]}',
        '{"np":5}',
        '{"np":["<i8",[1000000000000],[1]]}',
        '{"np":["<U1000000000",[1],["a"]]}',
        "9" * 5000,
        "[" * 100_000,
        '{"t":[' * 1000 + "]}" * 1000,
        "[" * 500 + "]" * 500,
        "[" + "0," * LARGEST_COUNT + "0]",
        '{"c":["1",2]}',
        '{"r":[1.5]}',
        '{"b":"xyz"}',
    ],
)
def test_harmful_texts(text: str) -> None:
    with pytest.raises(CodecError):
        decode(text.encode(), arrays=True)


def test_a_long_fraction_is_refused() -> None:
    """Its greatest common divisor would take hours."""
    number = {"i": hex(1 << 70_000)}
    with pytest.raises(CodecError, match="too long"):
        decode(json.dumps({"F": [number, 3]}).encode())


@pytest.mark.parametrize("tag", ["s", "z", "d"])
def test_numbers_that_share_a_place_in_tables_are_refused(tag: str) -> None:
    """They would take quadratic time: hours."""
    prime = (1 << 61) - 1  # hash(n) is n modulo this
    keys = [{"i": hex(prime * number)} for number in range(1, 40_001)]
    with pytest.raises(CodecError, match="one place"):
        decode(json.dumps({tag: keys if tag != "d" else [part for key in keys for part in (key, 0)]}).encode())


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3) | st.sampled_from(["nan", "0x1", "list", "<i8", "<U5", "|O"]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from([*_REBUILD, "np", "h"]), inner, min_size=1, max_size=1)
        ),
    )
)
def test_no_text_does_harm(tree: Any) -> None:
    with contextlib.suppress(CodecError):
        decode(json.dumps(tree).encode(), handle=lambda number: number, arrays=True)
