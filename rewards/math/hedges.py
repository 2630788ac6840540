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
    NOTHING_ELSE,
    OR,
    OR_SHORT,
    REFUSES,
    TO,
    UNLESS,
)
from rewards.math.scalars import is_text
from rewards.math.shapes import Group, Relation, Scalar, Union, shape
from rewards.math.units import dimensions

_LONGEST = 600  # characters of a statement that are read
_LONGEST_GAP = 60  # characters between two numbers of one claim

_OPENS = r"[\s$£€¥₹(\[{*_`\"'“‘«]{0,6}"
_UNIT = r"(?:[\s-]?[^\W\d_]{1,12})?"
_BEFORE = rf"(?:{_OPENS}{EQUALS}){{0,3}}{_OPENS}"
_CLOSES = r"[\s)\]}*_`\"'”’»]{0,6}"
_I = re.IGNORECASE

_DENIED = re.compile(rf"{NOT}{_BEFORE}$", _I)
_ONLY = re.compile(NOTHING_ELSE, _I)
_DOUBTED = re.compile(
    r"(?:(?:\bnot|n['’]t|\bhardly)\s(?:true|the case|correct|right|likely|believe|think|claim|mean|say)"
    r"|\b(?:false|wrong|incorrect|unlikely|impossible)|(?<!no )(?<!not )(?<!without )(?<!beyond )\bdoubt\w*"
    r"|\bnobody \w+ \w+)(?: to say)?(?: that)?(?: (?:the|my|your|final|correct|right)){0,3}"
    r" (?:answer|result|solution|value)(?: (?:is|equals|of|for|to|be|must|this|the|problem|question)|\s*:)*\s*$",
    _I,
)
_DENIED_AFTER = re.compile(rf"{_CLOSES}{_UNIT}{_CLOSES}{NOT_AFTER}", _I)
_CONDITION = re.compile(r"\s+(?:only\s+)?(?:if|when|unless)\b", _I)
_BOUNDED = re.compile(rf"{BOUND}(?:{_OPENS}(?:equal to|of|de|to|a|an|the))?{_OPENS}$", _I)
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
_REFUSES = re.compile(rf"{REFUSES}|^\W*(?:unknown|unclear)", _I)
_CONCLUDES = re.compile(r"\b(?:so|thus|therefore|hence|but|pero|mais|aber|mas|но|ma)\b|但", _I)
_GUESS = re.compile(rf"{OR}|\b(?:guess|suppose)\b", _I)
_GUESSES = re.compile(rf"{REFUSES}[^.!?\n。！？।۔]*?(?:{OR}|guess|suppose)[^.!?\n。！？।۔]{{0,40}}$", _I)
_UNLESS = re.compile(UNLESS, _I)

_DENIES_FIRST = re.compile(rf"\W*{NOT}", _I)
_BOUNDS_FIRST = re.compile(rf"\W*{BOUND}", _I)
_OR_WITHIN = re.compile(rf"\w.*?{OR}", _I | re.DOTALL)
_STRANGE = re.compile(r"\W*(?=\w*[^\W\d_A-Za-z])[^\W\d_][^\d\s]*\W*")  # a word of another language
_MEASURED = re.compile(r"[-+]?\d[\d.,]*\s?([A-Za-z]{1,12})")
_ITS_UNIT = re.compile(r"\s?(?:%|(?!or\b)[^\W\d_]{1,12}\b)")
_CHOICE = re.compile(r"(?<![^\W_])[A-J](?![^\W_])")
_PLAIN_NUMBER = re.compile(r"[-+]?\d+(?:[./]\d+)?")
_NUMBER = re.compile(r"(?<![A-Za-z\d])[-+−]?(?:\d[\d.,٫٬]*\d|\d)(?:\s?/\s?\d+)?")
_FRACTION = re.compile(r"\\[dt]?frac\s?\{(-?\d+)\}\s?\{(\d+)\}|\\[dt]?frac\s?(\d)\s?(\d)")
_MACRO = re.compile(
    r"\\(?:text(?:bf|it|rm)?|mbox|mathrm|mathbf|boxed|fbox)\s*(?=\{)"
    r"|\\(?:q?quad|[,;:! ()\[\]])|[{}$]|\*\*|__|\\(?=[$%])"
)
_OTHER_MACRO = re.compile(r"\\[A-Za-z]+")  # \max is no word
_DRESSED = re.compile(r"[\\{}$*_]")
_SIGNS = {"\\lor": " or ", "\\vee": " or ", "∨": " or ", "\\neq": "≠", "\\ne": "≠", "!=": "≠"}
_HAS_SIGN = re.compile(r"\\(?:lor|vee|neq?)(?![A-Za-z])|∨|!=")
_HAS_WORD = re.compile(r"[^\W\d_]{2}|[^\W\d_A-Za-z]|[∨≠〜～]|[~–—-]\s*\d|(?<![A-Za-z])[aouy](?![A-Za-z])")
# What denials and guesses in ASCII letters have: "not", "cannot", "never", "no", "isn't", "nunca", "wrong", "maybe".
_HINT = re.compile(
    r"n['’]t\b|not\b|\b(?:n(?:o|on|ever|either|unca|icht|iet|ie|ooit|iemals)\b|any|every|other|different|distint|divers|unequal|isnt|tampoco|pas\b|jamais|kein|weder|ungleich"
    r"|ongelijk|r[o]zn|ikke|inte\b|bukan|tidak|hindi|siyo|wrong|incorrect|false|impossible|falsch|faux|yanlis|olamaz"
    r"|doubt|nobody|hardly|unlikely|maybe|perhaps|possibly|guess|suppose|might|could|or\b"
    r"|forse|belki|mungkin|talvez|tal vez|misschien|vielleicht)"
)


@dataclass(frozen=True, slots=True)
class _Gold:
    """What a gold answer itself says, so that an answer may say so, too."""

    several: bool
    bounded: bool
    denied: bool
    words: bool


def unclaimed(gold: str, said: str, before: str = "", after: str = "", is_marked: bool = True) -> str:
    """Why a statement that holds a value equal to the gold answer does not claim it; empty if it does.

    Args:
        gold: the gold answer.
        said: the statement: the inside of a mark, what a phrase announces, a sentence.
        before, after: what stands around a mark.
        is_marked: a mark or a phrase says that this is the answer, so an unknown word joins numbers to no sentence.
    """
    if (before or after) and _may_deny(before, after) and (fault := _outside(_plain(before), _plain(after))):
        return fault
    if not _HAS_WORD.search(_OTHER_MACRO.sub(" ", said)) and not _HAS_SIGN.search(said):
        return ""
    measured = _MEASURED.fullmatch(said)
    if measured is not None and _is_unit(measured[1]):  # as often: "12 dollars"
        return ""
    return _statement_fault(gold, _plain(said[:_LONGEST]), is_marked)


@functools.lru_cache(maxsize=8192)
def _is_unit(word: str) -> bool:
    """Whether a word after a number is only what is counted, and takes nothing back."""
    return bool(dimensions(word)) or not _statement_fault("1", f"1 {word}", is_marked=True)


def _statement_fault(gold: str, said: str, is_marked: bool) -> str:
    """Why a statement in plain text does not claim the gold answer."""
    own = _gold(gold)
    if len(_LABELED.findall(said)) > 1 and not own.several:
        return "alternatives"
    if not own.words and _refuses(said) or _UNLESS.search(said) and not _UNLESS.search(gold):
        return "it is said to be unknown or to depend on something"
    values, places = _values(gold, said)
    if not places:
        return _whole_fault(own, said)
    faults = [_fault(own, said, values, place, is_marked) for place in places]
    return faults[0] if all(faults) else ""


def _may_deny(before: str, after: str) -> bool:
    """Whether words around a mark may deny it, from their letters alone: a quick look that spares the patterns."""
    around = f"{before} {after}"
    return not around.isascii() or _HINT.search(around.lower()) is not None


def _refuses(said: str) -> bool:
    """Whether a statement says that the answer is unknown, and at most guesses one. "We do not know x, but the sum is
    5" is a claim.
    """
    refused = _REFUSES.search(said)
    concluded = _CONCLUDES.search(said, refused.end()) if refused is not None else None
    return refused is not None and (concluded is None or _GUESS.search(said, concluded.end()) is not None)


def _outside(before: str, after: str) -> str:
    """Whether words around a mark deny what it holds: "it is not \\boxed{5}", "\\boxed{5} is wrong"."""
    denied = _DENIED_AFTER.match(after)
    if _denies(before) or _DOUBTED.search(before) or denied is not None and not _CONDITION.match(after, denied.end()):
        return "it is denied"
    guess = f"{before}; {after[:10]}".rstrip(" .。।؟۔!")
    return "it is said to be unknown" if _GUESSES.search(guess) else ""


def _denies(before: str) -> bool:
    """Whether words before a value deny it: "not 5", but not "none other than 5"."""
    return _DENIED.search(before) is not None and not _ONLY.search(before)


def _values(gold: str, said: str) -> tuple[list[tuple[int, int]], list[int]]:
    """Where the numbers, or letters of choices, of a statement stand, and which of them equal the gold answer."""
    pattern = _NUMBER if any(map(str.isdigit, gold)) else _CHOICE if _CHOICE.fullmatch(gold.strip("() ")) else None
    found = list(pattern.finditer(said)) if pattern is not None else []
    equal = [place for place, value in enumerate(found) if compare(gold, value[0].rstrip(".,"))[0] is True]
    return [value.span() for value in found], equal


def _whole_fault(own: _Gold, said: str) -> str:
    """Why a statement that holds something else than numbers is no claim: how it begins, and an "or" in it."""
    if own.words:
        return ""
    if not own.denied and _DENIES_FIRST.match(said):
        return "it is denied"
    if not own.bounded and _BOUNDS_FIRST.match(said):
        return "only a bound"
    return "alternatives" if not own.several and _OR_WITHIN.search(said) else ""


def _fault(own: _Gold, said: str, values: list[tuple[int, int]], place: int, is_marked: bool) -> str:
    """Why a value is no claim."""
    start, end = values[place]
    before = said[max(0, start - _LONGEST_GAP) : start]
    if not own.denied and (_denies(before) or _DENIED_AFTER.match(said, end)):
        return "it is denied"
    if not own.bounded and (_BOUNDED.search(before) or _BOUNDED_AFTER.match(said, end)):
        return "only a bound"
    if own.several:
        return ""
    last = place == len(values) - 1
    if last and (_OR_SOMETHING.match(said, end) or _OR_LAST.match(said, end)):
        return "alternatives"
    return _beside(said, values, place, is_marked)


def _beside(said: str, values: list[tuple[int, int]], place: int, is_marked: bool) -> str:
    """Whether a value is one of several that are named beside each other, or the end of a range."""
    first = last = place
    chosen = False
    while first > 0 and (link := _link(said, values[first - 1], values[first], is_marked)):
        first, chosen = first - 1, chosen or link == "or"
    while last + 1 < len(values) and (link := _link(said, values[last], values[last + 1], is_marked)):
        last, chosen = last + 1, chosen or link == "or"
    if first == last:
        return ""
    before = said[max(0, values[first][0] - _LONGEST_GAP) : values[first][0]]
    if chosen or _OR_BEFORE.search(before):
        return "alternatives"
    ranged = _TO.fullmatch(said, values[first][1], values[first + 1][0]) is not None and not _MOVES.search(before)
    return "a range" if ranged or _BETWEEN.search(before) or _BETWEEN_AFTER.match(said, values[last][1]) else ""


def _link(said: str, one: tuple[int, int], other: tuple[int, int], is_marked: bool) -> str:
    """How two neighbors among the values belong together: `or`, `and`, or not at all (empty)."""
    gap = said[one[1] : other[0]]
    if len(gap) > _LONGEST_GAP or not gap.strip():
        return ""
    if _OR.search(gap):
        return "" if _same(said, one, other) else "or"
    if _TO.fullmatch(gap) or _LISTED.fullmatch(gap):
        return "and"
    return "or" if is_marked and _STRANGE.fullmatch(gap) else ""


def _same(said: str, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two values, with their units, are equal: "1.5 hours or 90 minutes"."""
    texts = []
    for start, end in (one, other):
        unit = _ITS_UNIT.match(said, end)
        texts.append(said[start:end] + (unit[0] if unit else ""))
    return compare(texts[0], texts[1])[0] is True


@functools.lru_cache(maxsize=8192)
def _gold(gold: str) -> _Gold:
    if _PLAIN_NUMBER.fullmatch(gold):  # as often
        return _Gold(several=False, bounded=False, denied=False, words=False)
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
    text = _OTHER_MACRO.sub("∘", _MACRO.sub(" ", text)) if _DRESSED.search(text) else text
    return unicodedata.normalize("NFC", text).strip()
