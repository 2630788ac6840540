"""Replies that were made to keep the grader busy are read within the time limit, or refused."""

import json
import math
import random
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewards.code.compare import equal, shown
from rewards.sandbox.decoder import LARGEST_TEXT
from rewards.sandbox.values import CodecError, decode, encode

LIMIT = 0.5  # seconds of processor time for decoding
SPARE = 1.5  # seconds for one step more
PRIME = (1 << 61) - 1  # hash(n) is n modulo this


class Over(Exception):
    """The time is over."""


def clock(seconds: float = LIMIT) -> Callable[[], None]:
    end = time.process_time() + seconds

    def look() -> None:
        if time.process_time() > end:
            raise Over

    return look


def long(digits: int) -> dict[str, str]:
    return {"i": "0x" + "f" * digits}


def colliding(count: int) -> list[Any]:
    return [{"i": hex(PRIME * number)} for number in range(1, count + 1)]


def fractions(count: int) -> list[Any]:
    """Each takes 15 milliseconds to be brought to its lowest terms."""
    chance = random.Random(1)
    numbers = [{"i": hex(chance.getrandbits(65_530) | 1)} for _ in range(2 * count)]
    return [{"F": pair} for pair in zip(numbers[::2], numbers[1::2], strict=True)]


HEAVY: dict[str, Callable[[], Any]] = {
    "fractions": lambda: fractions(150),
    "a set of fractions": lambda: {"s": fractions(20)},
    "a dictionary of fractions": lambda: {"d": [part for key in fractions(20) for part in (key, 0)]},
    "a range of a giant number of steps": lambda: {"r": [0, long(4_000_000), long(2_000_000)]},
    "a giant integer": lambda: long(4_000_000),
    "giant integers in a set": lambda: {"s": [{"i": hex((1 << 100_000) + PRIME * n)} for n in range(100)]},
    "keys in one place": lambda: {"s": colliding(30_000)},
    "half of the keys in one place": lambda: {"s": colliding(10_000) + list(range(10_000))},
    "just few enough keys in one place": lambda: {"z": colliding(999)},
    "long keys in one place": lambda: {"s": [{"t": [*[7] * 1000, key]} for key in colliding(999)]},
    "pairs in one place": lambda: {"d": [part for key in colliding(20_000) for part in (key, 0)]},
    "a counter in one place": lambda: {"co": [part for key in colliding(20_000) for part in (key, 1)]},
    "an ordered dictionary in one place": lambda: {"o": [part for key in colliding(20_000) for part in (key, 1)]},
    "a dictionary with a default in one place": lambda: {
        "dd": ["int", [part for key in colliding(20_000) for part in (key, 1)]]
    },
    "a long decimal": lambda: {"D": "9" * 4_000_000},
    "decimals with giant exponents": lambda: {"s": [{"D": f"1E+{10**17 + n}"} for n in range(50_000)]},
    "many small values": lambda: [{"i": "0x1"}] * 200_000,
    "many lists": lambda: [[]] * 300_000,
    "many durations": lambda: [{"td": [999_999_999, 86_399, 999_999]}] * 100_000,
    "an array of a giant shape": lambda: {"np": ["<f8", [10**6, 10**6], []]},
    "complex numbers": lambda: [{"c": [1e308, -1e308]}] * 100_000,
    "integers as keys": lambda: {"d": [part for n in range(3000) for part in ({"i": hex((1 << 9990) + n)}, 1)]},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEAVY)
def test_what_is_heavy_takes_no_longer_than_the_time_limit(name: str) -> None:
    text = json.dumps(HEAVY[name]()).encode()
    assert len(text) < LARGEST_TEXT
    began = time.process_time()
    try:
        value = decode(text, clock=clock())
    except (CodecError, Over):
        value = None
    for expected in (3, [1, 2], {"1": 1}, 1.5, "x", {1, 2}):
        assert not equal(value, expected)
    assert len(shown(value)) < 10_000
    assert time.process_time() - began < LIMIT + SPARE


@pytest.mark.parametrize("text", ["9" * 1_000_000, "1." + "3" * 1_000_000, "[" * 100_000, "1" + "0" * 400 + ".5", '"'])
def test_what_is_no_tree_at_all(text: str) -> None:
    began = time.process_time()
    try:
        value = decode(text.encode(), clock=clock())
        assert isinstance(value, float)
    except CodecError:
        pass
    assert time.process_time() - began < SPARE


def test_the_clock_is_looked_at_and_its_error_comes_through() -> None:
    with pytest.raises(Over):
        decode(json.dumps(fractions(150)).encode(), clock=clock(0.05))
    with pytest.raises(Over):
        decode(b'{"s":[1,2]}', clock=clock(-1))


def test_ranges_of_long_numbers_are_refused() -> None:
    """Their length is found by a division that takes hours."""
    with pytest.raises(CodecError, match="too long"):
        decode(json.dumps({"r": [0, long(2000), 1]}).encode())
    assert decode(encode(range(0, 1 << 100, 3))) == range(0, 1 << 100, 3)


NUMBER = st.integers(0, 1 << 4000).map(lambda number: {"i": hex(number)}) | st.integers(-3, 3)
LEAF = NUMBER | st.sampled_from(["nan", "list", "1E+999999999", "0x" + "f" * 5000, 1e308, None, {"f": "inf"}])
TREES = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=30),
        st.tuples(
            st.sampled_from(["F", "r", "s", "z", "d", "c", "t", "D", "b", "co", "o", "q", "np", "td", "dt"]),
            st.lists(inner, max_size=12) | inner,
        ).map(lambda pair: {pair[0]: pair[1]}),
    ),
    max_leaves=60,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, st.integers(1, 200))
def test_any_reply_is_read_and_compared_in_time_or_refused(tree: Any, times: int) -> None:
    text = json.dumps([tree] * times).encode()
    began = time.process_time()
    try:
        value = decode(text, clock=clock())
        equal(value, [1] * times)
        shown(value)
    except (CodecError, Over):
        pass
    assert time.process_time() - began < LIMIT + SPARE


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30), st.integers(1, 10**30))
def test_fractions_come_back_in_lowest_terms(above: int, below: int) -> None:
    forged = json.dumps({"F": [{"i": hex(above * 6)}, {"i": hex(below * 6)}]}).encode()
    assert decode(forged) == Fraction(above, below)
    assert math.gcd(decode(forged).numerator, decode(forged).denominator) == 1
