"""Answers in plain prose that a phrase announces, a text that is nothing but the answer, or a formula that ends it."""

import re

from rewards.math.comments import claimed
from rewards.math.last_number import last_number
from rewards.math.markers import announced
from rewards.math.phrases import ALTERNATIVES
from rewards.math.sentences import first_sentence, formulae, inside, sentences

LONGEST_TAIL = 3_000  # characters at the end that are searched for a sentence
_SHORT = 200  # characters: a text of no more may be the answer as a whole
_LONGEST_SAID = 2_500
_MOST_TRIED = 20  # phrases, from the last one back

_CONFIRMED = re.compile(
    r"(?<=[A-J)*])\s++is\s++(?:the\s++)?+(?:correct|right)(?:\s++(?:one|answer))?+$"
)  # "B is correct"
_REASON = re.compile(
    r"(?<=\d),?\s++(?:rather than|instead of|as opposed to|out of)\b|,?\s++(?:because|since)\b|,\s++(?:as|so|which)\b"
    r"|,\s++(?:(?:and|y|et|und|e|а|и)\s++)?"
    r"(?:not|no|nicht|pas|não|non|не|bukan|không phải|rather than|instead of)\s++(?=\S{1,12}$)",
    re.IGNORECASE,
)
# What is said of an answer that was given before, or is said not to be here.
_COMMENT = re.compile(
    r"(?:indeed|also|now|therefore|clearly)?\s*+(?:correct|right|clear|reasonable|plausible|verified|confirmed|valid|"
    r"consistent|sensible|as follows|as (?:requested|asked)|"
    r"(?:given|written|shown|found|marked|placed|put|stated|boxed)\b|"
    r"below|above|in(?:side)? (?:the|a)\b|within\b|between\b)",
    re.IGNORECASE,
)
_HOPE = re.compile(r"\bI hope (?:it|this) is correct\b", re.IGNORECASE)
_STATES = re.compile(
    r"(?:\b(?:is|are|be|was|were|equals|get|gives|obtain|have|has|costs?|pays?|earns?|makes|needs|totals?|by|"
    r"exactly|of|to|than|only|there)\b|'s\b|=|:|≈|\\approx\b|是|为|有|共|得|هو|هي|equal to)\s*+",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,)])[-+−]?+(?:[$£€¥]\s?+)?+(?:\d{1,3}(?:,\d{3})++(?!\d)|\d++(?:,\d{1,2}(?!\d))?+)?+(?:\.\d++)?+(?:\s?+/\s?+\d++)?+"
    r"(?:\s?+(?:\\?%|percent\b|pct\b|m²|[€£$]))?+"
)
_JOIN = re.compile(r"[\s,;]*+(?:\b(?:and|or)\b)?[\s,;]*+")
_QUOTES = re.compile(r"^\\?\"|\\?\"\.?$")
_BRACKETED = re.compile(r"\[\s*+(\\?\w)\s*+\]")
_WORD = re.compile(r"[A-Za-z]{2,}\b")
_TWO_WORDS = re.compile(r"[A-Za-z]{2,}\s+[A-Za-z]{2,}")
_DENIES = re.compile(
    r"\b(?:not|never|no|unless|except|between|if|for|where|than(?= \$?\d)|at (?:most|least)|of(?= \d))\b"
    r"|n't\b|[=<>\\^_{}|]",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"(?:not|never|(?:(?:no|less|more|fewer|greater|larger|smaller|higher|lower) )+than|at (?:most|least)|up to|"
    r"over|under|above|below|between)\b",
    re.IGNORECASE,
)
_BOLD_END = re.compile(r"(?<=[\d)])\*\*(?=[^\W\d_A-Za-z]|['’])")  # "**42**です"
_COPULA = re.compile(r"(?<=\d)['’]?[dt][ıiuü]r(?![^\W\d_])")  # Turkish "42'dir"
_EMPHASIS = re.compile(r"\*\*|(?<!\\)`|\\(?=[$%])")


def without_hope(text: str) -> str:
    """A text up to Minerva's closing phrase, "I hope it is correct"."""
    hopes = [mark.start() for mark in _HOPE.finditer(text)]
    return text[: hopes[-1]] if hopes else text


def announced_answer(text: str) -> tuple[tuple[str, ...], bool]:
    """Readings of the answer that a phrase announces last; and whether that says what the answer is, and not only that
    it is correct, or where it stands.
    """
    last: tuple[str, ...] = ()
    for start in reversed(announced(text)[-_MOST_TRIED:]):
        said = _CONFIRMED.sub("", _first_said(text[start : start + _LONGEST_SAID]))
        reason = _REASON.search(said)
        said = claimed(said[: reason.start()] if reason is not None and reason.start() else said)
        if not any(map(str.isalnum, said)):
            continue
        readings = (said, *(sentence(said) or _spoken(said)))
        if not _COMMENT.match(said) or any(map(str.isdigit, said)) or formulae(said):
            return readings, True
        last = last or readings
    return last, False


def _spoken(said: str) -> tuple[str, ...]:
    """The last number of what is announced, if that is a sentence: "Result: of 12 birds 5 flew away"."""
    number = last_number(said)[0] if _WORD.match(said) else ""
    return (number,) if number else ()


def whole(text: str) -> tuple[str, ...]:
    """A text that may be nothing but the answer."""
    text = text.strip()
    return (text,) if text and len(text) <= _SHORT and "\n\n" not in text else ()


def last_formula(text: str) -> str | None:
    """The formulae that end a text whose last sentence is short."""
    *_, last = sentences(text[-LONGEST_TAIL:].rstrip(". \n")) or [""]
    last = last.strip().rstrip("*_. ")
    return _formulae(last) if len(last) <= _SHORT and last.endswith(("$", "\\]", "\\)")) else None


def sentence(text: str) -> tuple[str, ...]:
    """Shorter readings of a statement: the number after its last "is" or "=", its formulae, or its only number."""
    text = text.strip().rstrip(".!")[-LONGEST_TAIL:]
    plain = text if formulae(text) else _EMPHASIS.sub("", text)
    if _BOUND.match(plain):
        return ()
    if ALTERNATIVES.search(plain) and len(_NUMBER.findall(plain[:_SHORT])) > 1:
        return ()
    found = _stated(plain)
    if found is not None:
        return (found,)
    numbers = _numbers(plain[:_SHORT])
    return (numbers[0],) if len(numbers) == 1 and " " in plain else ()


def only_number(text: str) -> tuple[str, ...]:
    """The only number of a boxed sentence; none where it may be denied, or be one of several."""
    if len(text) > _SHORT or not _TWO_WORDS.search(text) or _DENIES.search(text) or ALTERNATIVES.search(text):
        return ()
    numbers = set(_numbers(text))
    return tuple(numbers) if len(numbers) == 1 else ()


def _numbers(text: str) -> list[str]:
    """The numbers of a text."""
    return [match[0] for match in _NUMBER.finditer(text) if any(map(str.isdecimal, match[0]))]


def _stated(text: str) -> str | None:
    """The formulae of a sentence, or the number that it states after them."""
    found = formulae(text)
    after = found[-1].end() if found else 0
    if after and len(text[after:].split()) < 2:
        return _formulae(text)
    return _stated_number(text[after:]) or (_formulae(text) if after else None)


def _formulae(text: str) -> str | None:
    """The last formula of a sentence, with those before it that are joined to it by commas, "and" and "or"."""
    found = formulae(text)
    if not found:
        return None
    last = len(found) - 1
    first = last
    while first > 0 and _JOIN.fullmatch(text[found[first - 1].end() : found[first].start()]):
        first -= 1
    after = text[found[last].end() :].strip()
    unit = after.split(maxsplit=1)[0].rstrip(".,") if first == last and after else ""
    joined = ", ".join(map(inside, found[first:]))
    return joined + (" " + unit if unit in ("%", "\\%", "percent", "pct") else "")


def _stated_number(text: str) -> str:
    """The number after the last word that states something; with the ones beside it if it is one of several."""
    for states in reversed(list(_STATES.finditer(text))):
        number = _NUMBER.match(text, states.end())
        if number is not None and any(map(str.isdecimal, number[0])):
            rest = text[number.end() :]
            if ALTERNATIVES.match(rest.lstrip(" ,")) or re.match(r"\s*+,\s?+\d", rest):
                return text[states.end() :]
            return number[0]
    return ""


def _first_said(text: str) -> str:
    """The first sentence that says something, without quotes, bold type and brackets around it."""
    said = first_sentence(text.lstrip(" \t\n:*\"'"))
    said = _COPULA.sub("", _BOLD_END.sub("", said) if "**" in said else said)
    said = _QUOTES.sub("", said.strip().strip("*").strip())
    bracketed = _BRACKETED.fullmatch(said)
    return said if bracketed is None else bracketed[1]
