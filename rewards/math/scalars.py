"""Comparison of two single values: number, quantity with a unit, percentage, time, formula, choice, or text."""

import functools
import re
from fractions import Fraction

from rewards.math.bases import compare_numerals
from rewards.math.choices import SIGN_OF_FORMULA, choices
from rewards.math.clean import spaceless, unbraced, words
from rewards.math.exact import NotRational, TooLarge, rational
from rewards.math.macros import Tree
from rewards.math.numerals import Number, read_number, roman, same_number
from rewards.math.numeric import approximates, same_value
from rewards.math.times import compare_times, is_clock, ratio
from rewards.math.tree import names, parse, replaced
from rewards.math.units import conversion, split_unit

Decision = tuple[bool | None, str]  # equal, different, or not known here; and which rung said so

_AFTER_INDEX = re.compile(r"[\^_]\{[^{}]*+\}\d")
_SIDE_BY_SIDE = re.compile(r"^[\d\s.,§%+-]*\d \d[\d\s.,§%+-]*$")
_INFINITY = re.compile(r"[+-]?\s?(?:\\infty|infinity|inf|oo|‹infinity›)")
_LONG_WORD = re.compile(r"(?<![A-Za-z\\])[^\W\d_]{2,}")
_ANY_WORD = re.compile(r"[^\W\d_]{2,}")
_EMPTY = {
    ("no", "solution"),
    ("no", "solutions"),
    ("no", "real", "solutions"),
    ("no", "real", "solution"),
    ("empty", "set"),
    ("none",),
}
_TRUTH = {"yes", "no", "true", "false"}
_INFINITE = {"infinity", "infinite"}


def compare_scalars(gold: str, answer: str) -> Decision:
    """Whether two cleaned texts say the same value. Bounded and linear; never raises."""
    if spaceless(gold) == spaceless(answer):
        return True, "equal as text"
    for rung in (choices, compare_times, _specials, compare_numerals, _texts):
        decided = rung(gold, answer)
        if decided is not None:
            return decided
    return _unread(gold, answer) or _quantities(_value(gold), _value(answer))


def _value(text: str) -> str:
    """A text as it is; a time that is compared with something else as the ratio that it may be as well."""
    parts = ratio(text) if ":" in text and is_clock(text) else ()
    return f"\\frac{{{parts[0]}}}{{{parts[1]}}}" if len(parts) == 2 else text


def _unread(gold: str, answer: str) -> Decision | None:
    """Digits that stand side by side without being one number are no value: `1 2`, `2^{3}4`, `x_{1}0`."""
    for pattern in (_AFTER_INDEX, _SIDE_BY_SIDE):
        if pattern.search(answer) and not pattern.search(gold) and read_number(split_unit(answer)[0]) is None:
            return False, "digits that are no number"
    return None


def _specials(gold: str, answer: str) -> Decision | None:
    """Infinity and the empty set equal only themselves; an answer without letter or digit equals nothing."""
    if not any(map(str.isalnum, answer)):
        return False, "no value"
    for text, other in ((gold, answer), (answer, gold)):
        if _INFINITY.fullmatch(text) and (_INFINITY.fullmatch(other) or _is_number(other)):
            same = (text[0] == "-") == (other[0] == "-") and not _is_number(other)
            return same, "infinity" if same else "not infinity"
        if spaceless(text) == "\\emptyset":
            if words(other) in _EMPTY:
                return True, "the empty set"
            if _is_number(other):
                return False, "the empty set is no number"
    return None


def is_text(text: str) -> bool:
    """Whether a cleaned text is words, not mathematics: it has a word, and no sign, digit or macro of a formula."""
    if "‹" in text:
        outside = re.sub(r"‹[^‹›]*+›", " ", text)
        return (
            not SIGN_OF_FORMULA.search(outside) and _ANY_WORD.search(text) is not None and not outside.strip(" .,;:()-")
        )
    return _LONG_WORD.search(text) is not None and not SIGN_OF_FORMULA.search(text) and read_number(text) is None


def is_formula(text: str) -> bool:
    """Whether a cleaned text is a number or formula that can be read, with or without a unit."""
    body, number, _, _ = quantity(text)
    return number is not None or parse(body) is not None


def same_words(gold: str, answer: str) -> bool:
    """Whether two cleaned texts have the same words, or an answer is the right yes or no with its reasons."""
    wanted, given = words(gold), words(answer)
    if wanted == given:
        return True
    return len(wanted) == 1 and wanted[0] in _TRUTH and given[:1] == wanted and not (_TRUTH - set(wanted)) & set(given)


def _texts(gold: str, answer: str) -> Decision | None:
    if not is_text(gold):
        if not is_text(answer) or not _is_number(gold):
            return None
        said = words(answer)
        if (value := roman(answer.strip(" ‹›"))) is not None and (number := quantity(gold)[1]) is not None:
            return value == number.value, "a Roman numeral"
        return (False, "a text for a number") if _spelled(answer) is None and not _INFINITE & set(said) else None
    if read_number(gold.strip("‹› ")) is not None:
        return None
    wanted, given = words(gold), words(answer)
    if same_words(gold, answer) or "".join(wanted) == "".join(given):
        return True, "the same words"
    if wanted in _EMPTY and (given in _EMPTY or "\\emptyset" in answer):
        return True, "the same words"
    if len(wanted) == 1 and wanted[0] in _TRUTH:
        return False, "yes or no"
    if len(gold) <= 3 and sorted(gold) == sorted(answer):
        return None  # xy and yx are products
    if is_text(answer) or _is_number(answer):
        return False, "different words"
    return (False, "different words") if all(len(word) > 3 for word in wanted) else None


def _spelled(text: str) -> Number | None:
    return read_number(split_unit(text.strip())[0].strip("‹› "))


def _is_number(text: str) -> bool:
    return read_number(split_unit(text)[0]) is not None


@functools.lru_cache(maxsize=8192)
def quantity(text: str) -> tuple[str, Number | None, str, bool]:
    """(body, its number if it is one, unit, percentage) of a cleaned text."""
    body, unit, percent = split_unit(text)
    number = read_number(body)
    if number is None:
        inner = unbraced(body)
        number = read_number(inner) if inner != body else None
    if number is None:
        number = read_number(text.strip("‹› "))
        if number is not None:
            return text, number, "", False
    return body, number, unit, percent


def _quantities(gold: str, answer: str) -> Decision:
    body, number, unit, percent = quantity(gold)
    other_body, other, other_unit, other_percent = quantity(answer)
    factor = conversion(unit, other_unit)
    if factor is None:
        return False, "contradicting units"
    if number is not None and other is not None:
        equal = _same_numbers(number, other, percent, other_percent, factor)
        return equal, "equal as numbers" if equal else "different numbers"
    wanted = parse(body) if number is None else (("num", number.value), False)
    given = parse(other_body) if other is None else (("num", other.value), False)
    if wanted is None or given is None:
        return None, "not read"
    if not (unit or other_unit):
        given = _with_i(wanted[0], given[0]), given[1]
    if factor != 1 and factor is not None:
        given = ("mul", ("num", factor), given[0]), given[1]
    decided = _formulae(wanted, given, number, other, percent, other_percent)
    if decided[0] is False and not (unit and other_unit) and (unit + other_unit) in ("°", "degrees", "degree"):
        return _angles(wanted[0], given[0], bool(unit), decided)
    return decided


def _with_i(gold: Tree, answer: Tree) -> Tree:
    """An answer with the engineers' j for the imaginary unit, where the gold answer is complex and has no j."""
    if names(answer) != {"j"} or "j" in names(gold) or "i" not in names(gold):
        return answer
    return replaced(answer, "j", ("sym", "i"))


def _angles(gold: Tree, answer: Tree, gold_in_degrees: bool, decided: Decision) -> Decision:
    """Degrees against a multiple of pi without a unit, which is in radians."""
    radians, degrees = (answer, gold) if gold_in_degrees else (gold, answer)
    if "pi" not in str(radians):
        return decided
    turned = ("mul", degrees, ("div", ("sym", "pi"), ("num", Fraction(180))))
    return (True, "the same angle") if same_value(radians, turned) else decided


def _same_numbers(gold: Number, answer: Number, percent: bool, other_percent: bool, factor: Fraction) -> bool:
    if factor != 1:
        answer = Number(answer.value * factor, answer.digits, answer.ulp * factor)
    if same_number(gold, answer) and not (other_percent and not percent and 0 < abs(gold.value) < 1):
        return True  # 25% for 25, but not 0.25% for 0.25
    if percent == other_percent:
        return False
    hundredth = gold if percent else answer
    hundredth = Number(hundredth.value / 100, hundredth.digits, hundredth.ulp / 100)
    return same_number(hundredth, answer) if percent else same_number(gold, hundredth)


def _formulae(
    wanted: tuple[Tree, bool],
    given: tuple[Tree, bool],
    number: Number | None,
    other: Number | None,
    percent: bool,
    other_percent: bool,
) -> Decision:
    try:
        equal = _same_trees(wanted[0], given[0], number, other)
        if equal is not True and percent != other_percent:
            hundredth = ("num", Fraction(1, 100))
            a = ("mul", hundredth, wanted[0]) if percent else wanted[0]
            b = ("mul", hundredth, given[0]) if other_percent else given[0]
            equal = _same_trees(a, b, None, None) or equal
    except TooLarge:
        return _too_large(wanted[0], given[0])
    if equal is None or (not equal and (wanted[1] or given[1])):
        return None, "not decided by values"
    return equal, "equal in value" if equal else "different in value"


def _same_trees(gold: Tree, answer: Tree, number: Number | None, other: Number | None) -> bool | None:
    if other is not None and other.digits is not None and number is None:
        return approximates(other, gold) or same_value(gold, answer)
    if number is not None and number.digits is not None and other is None:
        return approximates(number, answer) or same_value(gold, answer)
    return same_value(gold, answer)


def _too_large(gold: Tree, answer: Tree) -> Decision:
    """One value is out of bounds: equal if built alike; an answer that is too large to work out is not paid for."""
    if _built_alike(gold, answer, 0):
        return True, "built from the same numbers"
    try:
        rational(answer)
    except TooLarge:
        return False, "too large to work out"
    except NotRational:
        pass
    giant = gold[0] in ("pow", "fact", "num", "neg")
    return (False, "different in size") if giant else (None, "the gold answer is too large to work out here")


def _built_alike(gold: Tree, answer: Tree, depth: int) -> bool:
    if gold == answer:
        return True
    if gold[0] != answer[0] or len(gold) != len(answer) or gold[0] in ("num", "sym") or depth > 10:
        return False
    for a, b in zip(gold[1:], answer[1:], strict=True):
        try:
            if rational(a) != rational(b):
                return False
        except (TooLarge, NotRational):
            if not _built_alike(a, b, depth + 1):
                return False
    return True
