"""Whether results are those expected."""

import time
from collections import Counter, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from rewards.code.compare import LONGEST_REASON, equal, printable, same_output, shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (3.0, 3),
        (3, 3.0),
        (0.1 + 0.2, 0.3),
        (1e-13, 0.0),
        (3e-10 * (1 + 1e-10), 3e-10),
        (1e300 * (1 + 1e-12), 1e300),
        (float("inf"), float("inf")),
        (float("nan"), float("nan")),
        (Fraction(1, 2), 0.5),
        (Decimal("0.5"), 0.5),
        ((1, (2, 3)), [1, [2, 3]]),
        (deque([1]), [1]),
        ({1, 2}, {2, 1}),
        (frozenset({(1, 2)}), {(1, 2)}),
        (set(range(1000)), set(range(1000))),
        ({1: "a", None: 2, 1.5: 4}, {"1": "a", "null": 2, "1.5": 4}),
        ({True: 1, False: 2}, {"true": 1, "false": 2}),
        (Counter("aab"), {"a": 2, "b": 1}),
        ("a", "a"),
        (None, None),
        (True, True),
        (10**4000, 10**4000),
        ([], []),
    ],
)
def test_equal(value: Any, expected: Any) -> None:
    assert equal(value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, 1),
        (1, True),
        (0, False),
        ("3", 3),
        (3, "3"),
        (None, 0),
        (None, False),
        (3.00001, 3),
        (3.0000000001, 3),
        (1e-8, 0),
        (1e-13, 0),
        (1e-8, 0.0),
        (0.0, 3e-10),
        (-3e-10, 3e-10),
        (5.000000075e17, 500000007500000028),
        ({3, 5, 9}, [3, 5, 9]),
        ([{1}], [[1]]),
        (10**20, 10**20 + 1),
        (1e20, 10**20 + 1),
        (10**400, 1.0),
        (1.0, 10**400),
        (float("nan"), 3),
        (3, float("nan")),
        (float("inf"), 1e308),
        (float("-inf"), float("inf")),
        ([1, 2], [1, 2, 3]),
        ([1, 2, 3], [1, 2]),
        ([1, 2], [2, 1]),
        ("ab", ["a", "b"]),
        (b"a", "a"),
        ({1, 2}, [1, 1]),
        ({1}, [1, 1]),
        ([1, 2], {"0": 1, "1": 2}),
        ({1: 1, "1": 1}, {"1": 1}),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        (range(3), [0, 1, 2]),
        ({}, []),
        (set(map(str, range(1000))), [[]] * 1000),
        (Fraction(1, 3), 1 / 3),
        (Decimal("sNaN"), 1),
    ],
)
def test_unequal(value: Any, expected: Any) -> None:
    assert not equal(value, expected)


@pytest.mark.parametrize("value", [[3, 1, 1], (1, 3, 1), [1, 1, 3], [1.0, 1, 3]])
def test_a_row_may_say_that_the_order_does_not_matter(value: Any) -> None:
    assert equal(value, [1, 1, 3], unordered=True) and equal({3, 5}, [5, 3], unordered=True)
    assert equal(list(range(1000)), list(range(1000))[::-1], unordered=True)
    for other in ([1, 3, 3], [1, 3], {1, 3}, [1, 1, 3, 3], [True, 1, 3], "113"):
        assert not equal(other, [1, 1, 3], unordered=True), other
    assert not equal([[1, 2]], [[2, 1]], unordered=True)  # of the list itself alone


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"3\n", "3"),
        (b"3  \n\n\n", "3\n"),
        (b"a b\r\nc\r\n", "a b\nc"),
        (b"0.3333333333\n", "0.33333333333"),
        (b"1e3\n", "1000.0"),
        (b"1   2\n", "1 2"),
        (b"", ""),
        (b"\n\n", ""),
        (b"007\n", "007"),
        (b"\n3\n", "3"),  # as in LiveCodeBench's harness
        (b"3\n", "\n 3"),
        (b"3.0\n", "3"),  # as there, too
        (b"1\n", "1.0"),
        (b"1e-05\n", "0.00001"),
        (b"0.00001\n", "1e-05"),
        (b"10000000000.0\n", "1e+10"),
        (b"0.0\n", "-0.0"),
        (b"-0.0\n", "0"),
        (b"5.551115123125783e-17\n", "0.0"),
        (b"3.0000000001e-10\n", "3e-10"),
        (b"5\n1 2 3\n", "5\n 1 2 3\n"),  # a space before each number
        (b"  1\n 12\n", "  1\n 12\n"),
        (b"  *\n ***\n", "  *\n ***\n"),
        (b" *\n***\n", "  *\n ***\n"),  # the whole picture is moved
        (b"1  2\n  3 4\n", "1 2\n3 4"),
        (b"***\n* *\n***\n", "***\n* *\n***"),
    ],
)
def test_same_output(output: bytes, expected: str) -> None:
    assert same_output(output, expected)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"001\n", "1"),
        (b"+1\n", "1"),
        (b"00.5\n", "0.5"),
        (b"7\n", "007"),
        (b"1e10\n", "10000000000"),
        (b"1e0\n", "1"),
        (b"10000000000\n", "1e10"),  # a hexadecimal text
        (b"0.0\n", "0e0"),
        (b"5.000000075e+17\n", "500000007500000028"),
        (b"3.0000000001\n", "3"),
        (b"0.9999999999\n", "1"),
        (b"0.0\n", "3e-10"),
        (b"0.0\n", "0.0000000003"),
        (b"1e-8\n", "0.0"),
        (b"*\n***\n*****\n", "  *\n ***\n*****\n"),
        (b"1\n121\n12321\n", "  1\n 121\n12321\n"),
        (b"  1\n121\n12321\n", "  1\n 121\n12321\n"),
        (b"*\n***\n", " *\n***\n"),
        (b"***\n*  *\n***\n", "***\n* *\n***"),
        (b"if x:\n  y\n  z\n", "if x:\n  y\n    z\n"),
        (b"3\n4\n", "3"),
        (b"", "3"),
        (b"3 3\n", "3"),
        (b"0.34\n", "0.33"),
        (b"nan\n", "0"),
        (b"inf\n", "Infinity"),
        (b"yes\n", "Yes"),
        (b"10000000000000001\n", "10000000000000000"),
        (b"1e999999999\n", "2e999999999"),
        (b"1_0\n", "10"),
        (b"\xff\n", "3"),
        (b" 3\n", "4"),
        ("٣\n".encode(), "3"),
    ],
)
def test_other_output(output: bytes, expected: str) -> None:
    assert not same_output(output, expected)


def test_long_output_takes_no_time() -> None:
    started = time.process_time()
    assert not same_output(b"9" * (16 << 20), "9" * 1000)
    assert not same_output(b"1 " * (8 << 20), "1 " * 1000 + "2")
    assert time.process_time() - started < 5


def test_reasons_are_short_and_printable() -> None:
    assert printable("\x1b[31m\ud800\n\u202e") == "\\x1b[31m\\ud800\\n\\u202e"
    assert len(printable("x" * 10_000)) == LONGEST_REASON
    assert shown(10**5000) == "a large int"
    assert len(shown(["x" * 1000] * 1000)) < 1000
