"""Claims that are none: "41 or 42", "not 12", "at most 12", "between 5 and 10", "it cannot be determined, maybe 5".

`unclaimed` is asked about answers that would be paid. It looks at each place of the statement where the paid value
stands: what is before it, after it, and between it and the next number. The value is claimed if one place is free of
such words, so "not 41 but 42" claims 42. Where the gold answer itself has two values, a bound or a denial, the
statement may have it, too. What is said outside of a box takes the value back only where it denies it.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass

from rewards.math.compare import cleaned, compare
from rewards.math.hedge_words import (
    BETWEEN,
    BETWEEN_AFTER,
    BOUND,
    BOUND_AFTER,
    EQUALS,
    NOT,
    NOT_AFTER,
    OR,
    OR_SHORT,
    REFUSES,
    TO,
    UNLESS,
)
from rewards.math.scalars import is_text
from rewards.math.shapes import Group, Relation, Scalar, Union, shape

_LONGEST = 600  # characters of a statement that are read
_LONGEST_GAP = 60  # characters between two numbers of one claim

_OPENS = r"[\s$£€¥₹(\[{*_`\"'“‘«]{0,6}"
_UNIT = r"(?:[\s-]?[^\W\d_]{1,12})?"
_BEFORE = rf"(?:{_OPENS}{EQUALS}){{0,2}}{_OPENS}"
_CLOSES = r"[\s)\]}*_`\"'”’»]{0,6}"
_I = re.IGNORECASE

_DENIED = re.compile(rf"{NOT}{_BEFORE}$", _I)
_DENIED_AFTER = re.compile(rf"{_CLOSES}{_UNIT}{_CLOSES}{NOT_AFTER}", _I)
_BOUNDED = re.compile(rf"{BOUND}{_BEFORE}$", _I)
_BOUNDED_AFTER = re.compile(rf"{_CLOSES}{_UNIT}{_CLOSES}{BOUND_AFTER}", _I)
_BETWEEN = re.compile(rf"{BETWEEN}{_OPENS}$", _I)
_BETWEEN_AFTER = re.compile(rf"{_CLOSES}{_UNIT}{_CLOSES}{BETWEEN_AFTER}", _I)
_OR = re.compile(rf"{OR}|^{_CLOSES}{_UNIT}[\W_]*{OR_SHORT}(?:\W+{OR})?[\W_]*$|^{_CLOSES}of{_OPENS}$", _I)
_OR_BEFORE = re.compile(rf"{OR}{_OPENS}$", _I)
_OR_SOMETHING = re.compile(
    rf"{_CLOSES}{_UNIT}[\s,(]{{0,3}}(?:\bor\b(?!\s+(?:so|equivalently|simply|just|about|around|approximately|roughly|in|as|rather)\b)"
    r"|\b(?:oder|или|hoặc|oppure|veya|atau)\b|أو|或者?|または|또는)\s*[^\W\d_]",
    _I,
)
_OR_LAST = re.compile(rf"{_CLOSES}{_UNIT}\s*{OR}[\s.…]*$", _I)
_TO = re.compile(rf"{_CLOSES}(?:{_UNIT}\s*{TO}|\s*(?:a|à|al)\b)[\s$£€¥₹]*", _I)
_MOVES = re.compile(
    r"\b(?:went|go|goes|ris\w+|rose|grew|grows?|increas\w+|decreas\w+|dropp?\w*|fell|falls?|chang\w+|reduc\w+|rais\w+|mov\w+|jump\w+)"
    r"\b[^.]{0,40}\bfrom\s+\$?$",
    _I,
)
_LISTED = re.compile(
    rf"{_CLOSES}{_UNIT}[\s,;、，،]*(?:\b(?:and|y|et|und|e|и|і|ile|ve|dan|và|en|i)\b|و|और|এবং|اور|na\b|と|和|与|與|와|과)?{_OPENS}",
    _I,
)
_LABELED = re.compile(r"\b(?:answer|option|solution|result)\s+[A-Z\d]\s*[:=]", _I)
_REFUSES = re.compile(
    rf"(?:{REFUSES}|^\W*(?:unknown|unclear))(?!.*\b(?:so|thus|therefore|hence)\b(?! I (?:guess|suppose|would)))", _I
)
_GUESSES = re.compile(rf"{REFUSES}[^.!?\n。！？।۔]*?(?:{OR}|guess|suppose)[^.!?\n。！？।۔]{{0,40}}$", _I)
_UNLESS = re.compile(UNLESS, _I)

_NUMBER = re.compile(r"(?<![A-Za-z\d])[-+−]?(?:\d[\d.,٫٬]*\d|\d)(?:\s?/\s?\d+)?")
_FRACTION = re.compile(r"\\[dt]?frac\s?\{(-?\d+)\}\s?\{(\d+)\}|\\[dt]?frac\s?(\d)\s?(\d)")
_MACRO = re.compile(
    r"\\(?:text(?:bf|it|rm)?|mbox|mathrm|mathbf|boxed|fbox)\s*(?=\{)|\\(?:q?quad|[,;:! ()\[\]])|[{}$]|\*\*|__|\\(?=[$%])"
)
_SIGNS = {"\\lor": " or ", "\\vee": " or ", "∨": " or ", "\\neq": "≠", "\\ne": "≠", "!=": "≠"}
_HAS_SIGN = re.compile(r"\\(?:lor|vee|neq?)(?![A-Za-z])|∨|!=")
_HAS_WORD = re.compile(r"[^\W\d_]|[≠∨~〜～–—-]\s*\d|\\(?:lor|vee|ne)")


@dataclass(frozen=True, slots=True)
class _Gold:
    """What a gold answer itself says, so that an answer may say so, too."""

    several: bool
    bounded: bool
    denied: bool
    words: bool


def unclaimed(gold: str, said: str, before: str = "", after: str = "") -> str:
    """Why a statement that holds a value equal to the gold answer does not claim it; empty if it does.

    Args:
        gold: the gold answer.
        said: the statement: the inside of a mark, what a phrase announces, a sentence.
        before, after: what stands around a mark.
    """
    if before and (
        _DENIED.search(plain := _plain(before)) or _GUESSES.search(plain + "; " + _plain(after)[:10].rstrip(" .。।؟۔!"))
    ):
        return "it is denied"
    if after and _DENIED_AFTER.match(_plain(after)):
        return "it is denied"
    if not _HAS_WORD.search(said):
        return ""
    said = _plain(said[:_LONGEST])
    own = _gold(gold)
    if len(_LABELED.findall(said)) > 1 and not own.several:
        return "alternatives"
    if not own.words and _REFUSES.search(said) or _UNLESS.search(said) and not _UNLESS.search(gold):
        return "it is said to be unknown or to depend on something"
    places = _places(gold, said) or [(0, len(said))]
    faults = [_fault(own, said, place) for place in places]
    return faults[0] if all(faults) else ""


def _fault(own: _Gold, said: str, place: tuple[int, int]) -> str:
    """Why the value at a place is no claim."""
    whole = place == (0, len(said))
    before, after = (said, "") if whole else (said[: place[0]], said[place[1] :])
    if whole:
        return _whole_fault(own, said)
    before = before[-_LONGEST_GAP:]
    if not own.denied and (_DENIED.search(before) or _DENIED_AFTER.match(after)):
        return "it is denied"
    if not own.bounded and (_BOUNDED.search(before) or _BOUNDED_AFTER.match(after)):
        return "only a bound"
    return "" if own.several else _beside(said, place)


def _whole_fault(own: _Gold, said: str) -> str:
    """Why a statement that is a value, as a whole, is no claim: how it begins, and how it ends."""
    first = re.search(r"[\w\\]", said)
    begins = said[first.start() :] if first else said
    if not own.denied and not own.words and re.match(rf"{NOT}", begins, _I):
        return "it is denied"
    if not own.bounded and not own.words and re.match(rf"{BOUND}", begins, _I):
        return "only a bound"
    if not own.several and not own.words and (found := re.search(OR, said, _I)) is not None and found.start() > 0:
        return "alternatives"
    return ""


def _beside(said: str, place: tuple[int, int]) -> str:
    """Whether a number is one of several that are named beside each other, or the end of a range."""
    numbers = [match.span() for match in _NUMBER.finditer(said)]
    at = next((index for index, span in enumerate(numbers) if span[0] >= place[0]), 0)
    value = said[place[0] : place[1]]
    if (_OR_SOMETHING.match(said, place[1]) or _OR_LAST.match(said, place[1])) and (at + 1 >= len(numbers)):
        return "alternatives"
    first, last, chosen = at, at, False
    while first > 0 and (link := _link(said, numbers[first - 1], numbers[first], value)):
        first, chosen = first - 1, chosen or link == "or"
    while last + 1 < len(numbers) and (link := _link(said, numbers[last], numbers[last + 1], value)):
        last, chosen = last + 1, chosen or link == "or"
    if first == last:
        return ""
    before, after = said[max(0, numbers[first][0] - _LONGEST_GAP) : numbers[first][0]], said[numbers[last][1] :]
    if chosen or _OR_BEFORE.search(before):
        return "alternatives"
    gap = said[numbers[first][1] : numbers[first + 1][0]]
    ranged = _TO.fullmatch(gap) is not None and not _MOVES.search(before)
    return "a range" if ranged or _BETWEEN.search(before) or _BETWEEN_AFTER.match(after) else ""


def _link(said: str, one: tuple[int, int], other: tuple[int, int], value: str) -> str:
    """How two neighbors among the numbers belong together: `or`, `and`, or not at all (empty)."""
    gap = said[one[1] : other[0]]
    if len(gap) > _LONGEST_GAP:
        return ""
    if _OR.search(gap):
        return "" if _same(said, one, other) else "or"
    return "and" if gap.strip() and (_TO.fullmatch(gap) or _LISTED.fullmatch(gap)) else ""


def _same(said: str, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two numbers, with their units, are equal: "1.5 hours or 90 minutes"."""
    texts = []
    for start, end in (one, other):
        unit = re.match(r"\s?(?:%|(?!or\b)[^\W\d_]{1,12}\b)", said[end:])
        texts.append(said[start:end] + (unit[0] if unit else ""))
    return compare(texts[0], texts[1])[0] is True


def _places(gold: str, said: str) -> list[tuple[int, int]]:
    """Where the gold answer stands as a number or as the letter of a choice."""
    if not any(map(str.isdigit, gold)) and not re.fullmatch(r"\W*[A-J]\W*", gold):
        return []
    pattern = _NUMBER if any(map(str.isdigit, gold)) else re.compile(r"(?<![^\W_])[A-J](?![^\W_])")
    found = pattern.finditer(said)
    return [match.span() for match in found if compare(gold, match[0].rstrip(".,"))[0] is True]


@functools.lru_cache(maxsize=8192)
def _gold(gold: str) -> _Gold:
    text = cleaned(gold)
    found = shape(text)
    several = isinstance(found, Group | Union) or "\\pm" in text
    bounded = isinstance(found, Relation) and any(sign != "=" for sign in found.signs)
    plain = _plain(gold)
    return _Gold(
        several or bounded,
        bounded or several or re.search(rf"{BOUND}|{BOUND_AFTER}", plain, _I) is not None,
        "≠" in plain or re.search(NOT, plain, _I) is not None,
        isinstance(found, Scalar) and is_text(text),
    )


def _plain(text: str) -> str:
    """A statement without LaTeX's and Markdown's dress."""
    text = _FRACTION.sub(lambda part: f" {part[1] or part[3]}/{part[2] or part[4]} ", text)
    text = _HAS_SIGN.sub(lambda sign: _SIGNS[sign[0]], text)
    text = _MACRO.sub(" ", text) if re.search(r"[\\{}$*_]", text) else text
    return unicodedata.normalize("NFC", text).strip()
