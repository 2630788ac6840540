"""Braces that group nothing: `4{10}` is shown as 410 and is no product, `\\frac{1}{2}` and `x^{12}` are left alone."""

import re
from dataclasses import dataclass

_MAYBE = re.compile(r"\d\s?\{[\s{]*+\d|\}\s?\d|(?<![A-Za-z}\]^_\d])\{\s?\d++\s?\}\s?\{")
_NESTED = re.compile(r"((?:\{\s?){2,})(\d[\d.,]*+)((?:\s?\}){2,})")
_TOKEN = re.compile(r"\\([A-Za-z]++)|[{}^_\]]|\d|[^\s\\{}^_\]\d]++|\\")
_OF_TWO = {"frac", "binom", "overset", "underset", "stackrel"}
_NUMBER = re.compile(r"\s*+\d[\d.,]*+\s*+")


@dataclass
class _Open:
    """A brace that is open. `before`: whether a number ends just before it that is no argument itself."""

    start: int
    argument: bool
    wanted: int  # arguments that follow it
    before: bool


def without_bare_braces(text: str) -> str:
    """A text without the braces of numbers next to other numbers that are no argument of a macro or index."""
    if "{" not in text or not _MAYBE.search(text):
        return text
    text = _NESTED.sub(_once, text)
    edges = {edge for group in _bare_numbers(text) for edge in group}
    return "".join(character for position, character in enumerate(text) if position not in edges) if edges else text


def _once(match: re.Match[str]) -> str:
    """One pair of braces where several enclose a number, and those that are not closed there."""
    opened, closed = match[1].count("{"), match[3].count("}")
    pairs = min(opened, closed)
    return "{" * (opened - pairs + 1) + match[2] + "}" * (closed - pairs + 1)


def _bare_numbers(text: str) -> list[tuple[int, int]]:
    """Where the numbers in braces begin and end that are no argument and have a number beside them."""
    found: list[tuple[int, int]] = []
    opened: list[_Open] = []
    wanted, number = 0, False  # arguments that the macro before still takes; whether a bare number ends here
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign == "{":
            opened.append(_Open(token.start(), wanted > 0, max(0, wanted - 1), number))
            wanted, number = 0, False
        elif sign == "}" and opened:
            group = opened.pop()
            wanted, number = group.wanted, not group.argument and number
            after = text[token.end() : token.end() + 2].lstrip()[:1]
            inside = _NUMBER.fullmatch(text, group.start + 1, token.start())
            if inside and not group.argument and (group.before or after == "{" or after.isdecimal()):
                found.append((group.start, token.start()))
        elif sign.isdecimal():
            wanted, number = max(0, wanted - 1), wanted == 0
        else:
            wanted = wanted + 1 if sign in "^_" else _arguments(token)
            number = False
    return found


def _arguments(token: re.Match[str]) -> int:
    """How many arguments what a token stands for takes; an index in brackets belongs to the macro before it."""
    if token[1] is not None:
        return 2 if token[1] in _OF_TWO else 1
    return int(token[0] == "]")
