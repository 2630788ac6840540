"""Digits in groups: 1,234,567 and 1.234.567 and 12,34,567, and commas that may separate numbers or groups.

Marks that have one meaning are taken off by `joined_groups`. A comma between digits may have several: `readings` gives
the likeliest one first. It joins groups of three digits (`x = 8,000`), but in brackets, where commas usually separate
(`(1,234)` is a pair), only if another comma there is followed by a space (`(1,234, 5,678)`). Digits with a leading zero
are no number of their own: 1,000 and 1,05 have one reading.
"""

import functools
import re

_APOSTROPHES = re.compile(r"(?<![\w.,'])\d{1,3}+(?:(?:'\d{3}(?!\d))++|(?:_\d{3}(?!\d))++)(?!['_]\d)")
_DOTS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}+(?:\.\d{3}(?!\d)){2,}+(?!\.\d)(?:,(\d++)(?![.,]\d))?+")
_RUN = re.compile(r"(?<![\d.,])(?<![_^]\{)\d++(?:,\d++)++(?:\.\d++(?![.\d]))?+")
_THOUSANDS = re.compile(r"(?!0+,)\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_LAKHS = re.compile(r"[1-9]\d?(?:,\d\d)+,\d{3}(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(?:([1-9]\d{0,2}+(?:\.\d{3}(?!\d))++)|(\d++)),(\d++)(?![\d.]|,\d)")
_OPENING, _CLOSING = "([{«", ")]}»"
_BRACKETS = re.compile(r"[(\[{«)\]}»]|,\s|;|(?<![\d.,])\d")
_TIGHT_COMMA = re.compile(r"\d,\d")


def joined_groups(text: str) -> str:
    """A cleaned text without marks between digits that can mean nothing else: 1'234, 1_234, 1.234.567, 1.234.567,8."""
    if "'" in text or "_" in text:
        text = _APOSTROPHES.sub(lambda match: match[0].replace("'", "").replace("_", ""), text)
    if text.count(".") > 1:
        text = _DOTS.sub(_without_dots, text)
    return text


def _without_dots(match: re.Match[str]) -> str:
    whole = match[0].partition(",")[0].replace(".", "")
    return f"{whole}.{match[1]}" if match[1] else whole


@functools.lru_cache(maxsize=8192)
def readings(text: str) -> tuple[str, ...]:
    """The ways to read the commas between the digits of a cleaned text, the likeliest first."""
    if "," not in text or not _TIGHT_COMMA.search(text):
        return (text,)
    text = _settled(text)
    inside = _closely_separated(text)
    likely = _RUN.sub(lambda run: run[0] if run.start() in inside else _join(run[0], _THOUSANDS), text)
    decimal = _DECIMAL_COMMA.sub(lambda match: match[0] if match.start() in inside else _decimal(match), text)
    return tuple(dict.fromkeys((likely, text, _joined(likely, _LAKHS), _joined(decimal, _THOUSANDS))))


def joined_in_brackets(text: str) -> str:
    """The reading in which groups in closely separated brackets are joined as well: (1,234,5) as (1234,5)."""
    return _joined(_settled(text), _THOUSANDS)


def _settled(text: str) -> str:
    """A text whose groups with a leading zero are joined, for they are no numbers: 1,000 and 1,05."""
    if ",0" in text:
        text = _RUN.sub(lambda run: _join(run[0], _THOUSANDS) if ",0" in run[0] else run[0], text)
        text = _DECIMAL_COMMA.sub(lambda match: _decimal(match) if match[3][0] == "0" else match[0], text)
    return text


def _joined(text: str, pattern: re.Pattern[str]) -> str:
    return _RUN.sub(lambda run: run[0] if _is_pair(text, run) else _join(run[0], pattern), text)


def _is_pair(text: str, run: re.Match[str]) -> bool:
    """Whether a run is all that stands in round or square brackets."""
    return text[max(0, run.start() - 5) : run.start()].rstrip(" -+§")[-1:] in ("(", "[") and text[
        run.end() : run.end() + 3
    ].lstrip()[:1] in (")", "]")


def _join(run: str, pattern: re.Pattern[str]) -> str:
    return run.replace(",", "") if pattern.fullmatch(run) else run


def _decimal(match: re.Match[str]) -> str:
    """2,74 and 1.000,99 with a point; not 1,234, and not 7,0, which may be two numbers."""
    grouped, whole, decimals = match[1], match[2], match[3]
    if grouped is None and (decimals == "0" or _THOUSANDS.fullmatch(match[0])):
        return match[0]
    return f"{(grouped or whole).replace('.', '')}.{decimals}"


def _closely_separated(text: str) -> set[int]:
    """Where the numbers begin that stand in brackets without a space after any comma of their own."""
    close: set[int] = set()
    opened: list[tuple[list[int], bool]] = []  # the numbers in each open bracket; whether a space follows a comma there
    for mark in _BRACKETS.finditer(text):
        sign = mark[0]
        if sign in _OPENING:
            opened.append(([], sign == "{"))
        elif not opened:
            continue
        elif sign in _CLOSING:
            numbers, spaced = opened.pop()
            close.update(() if spaced else numbers)
        elif sign.isdecimal():
            opened[-1][0].append(mark.start())
        else:
            opened[-1] = (opened[-1][0], True)
    return close
