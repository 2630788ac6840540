"""Random numbers in all forms that people write: equal numbers are paid, and another number never is.

The oracle is the number that a spelling was made from.
"""

from collections.abc import Iterator
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.math.compare import compare

SEPARATORS = [",", "{,}", "\\,", "\\ ", "~", "'", "’", "\u00a0", "\u202f", "\u2009", "_"]
DRESSES = [
    "{}", "x = {}", "\\${}", "{} \\text{{ cm}}", "N = \\${} ", "f(2) = {}", "**{}**", "{}.", "\\text{{{}}}", "{} €",
]  # fmt: skip
BASES = {2: "two", 5: "five", 7: "seven", 8: "eight", 12: "twelve", 16: "sixteen"}


def in_groups(digits: str, separator: str, sizes: Iterator[int]) -> str:
    """Digits in groups of the sizes given, counted from their end."""
    groups: list[str] = []
    for size in sizes:
        groups.insert(0, digits[-size:])
        digits = digits[:-size]
        if not digits:
            return separator.join(groups)
    raise AssertionError("sizes end")


def threes() -> Iterator[int]:
    while True:
        yield 3


def lakhs() -> Iterator[int]:
    yield 3
    while True:
        yield 2


def spellings(number: Decimal) -> list[str]:
    """Ways to write a number that is not negative and has no, or two, decimals."""
    whole, _, decimals = str(number).partition(".")
    point = f".{decimals}" if decimals else ""
    ways = [whole + point, *(in_groups(whole, mark, threes()) + point for mark in SEPARATORS)]
    if number >= 100_000:
        ways.append(in_groups(whole, ",", lakhs()) + point)
    if number >= 1_000_000 or number >= 1_000 and decimals:
        ways.append(in_groups(whole, ".", threes()) + (f",{decimals}" if decimals else ""))
    if decimals and decimals != whole:  # 10,10 may be the list whose items are all 10
        ways.append(f"{whole},{decimals}")
    return ways


whole_numbers = st.one_of(st.integers(0, 2_000), st.integers(10**5, 10**10)).map(Decimal)
decimals = st.tuples(st.integers(1, 10**7), st.integers(1, 99)).map(lambda parts: Decimal(f"{parts[0]}.{parts[1]:02d}"))
numbers = whole_numbers | decimals


def dressed(number: Decimal, data: st.DataObject) -> str:
    return data.draw(st.sampled_from(DRESSES)).format(data.draw(st.sampled_from(spellings(number))))


@settings(max_examples=300)
@given(numbers, st.data())
def test_a_number_is_known_in_every_form(number: Decimal, data: st.DataObject) -> None:
    assert compare(str(number), dressed(number, data))[0] is True


@settings(max_examples=300)
@given(numbers, numbers, st.data())
def test_another_number_never_is(number: Decimal, other: Decimal, data: st.DataObject) -> None:
    if number != other:
        assert compare(str(number), dressed(other, data))[0] is False


@settings(max_examples=200)
@given(numbers, st.sampled_from([10, 100, 1000]), st.data())
def test_nor_is_one_with_other_digits_or_another_place(number: Decimal, factor: int, data: st.DataObject) -> None:
    for other in (number * factor, number + Decimal("0.01"), number + 1, number + 1000):
        if other != number:
            other = Decimal(f"{other.normalize():f}") if other == other.to_integral() else other
            assert compare(str(number), dressed(other, data))[0] is not True


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 10**7), min_size=2, max_size=4, unique=True), st.sampled_from([*SEPARATORS, ""]), st.data()
)
def test_lists_tuples_and_sets_of_grouped_numbers(values: list[int], mark: str, data: st.DataObject) -> None:
    brackets = data.draw(st.sampled_from([("", ""), ("(", ")"), ("\\{", "\\}")]))
    gold, said = (
        brackets[0] + ", ".join(in_groups(str(value), sign, threes()) for value in values) + brackets[1]
        for sign in ("", mark)
    )
    assert compare(gold, said)[0] is True
    other = brackets[0] + ", ".join(in_groups(str(value + 1_000), mark, threes()) for value in values) + brackets[1]
    assert compare(gold, other)[0] is False


@given(st.integers(0, 10**6), st.sampled_from(sorted(BASES)), st.integers(1, 50), st.data())
def test_numerals_with_a_base(number: int, base: int, more: int, data: st.DataObject) -> None:
    digits, others = in_base(number, base), in_base(number + more, base)
    forms = [
        "{}_{}",
        "{}_{{{}}}",
        "({})_{{{}}}",
        "{} base {}",
        "{} in base {}",
        "{} (base {})",
        "{} \\text{{ base }} {}",
    ]
    gold = data.draw(st.sampled_from(forms[:3])).format(digits, base)
    form = data.draw(st.sampled_from([*forms, "{}_{{\\text{{{}}}}}"]))
    named = BASES[base] if "base" in form or "text" in form else base
    assert compare(gold, form.format(digits, named))[0] is True
    assert compare(gold, form.format(others, named))[0] is False
    assert compare(gold, form.format(digits, base + 1))[0] is False


def in_base(number: int, base: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, base)
        digits = "0123456789ABCDEF"[digit] + digits
    return digits or "0"
