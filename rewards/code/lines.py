"""Lines of Python, read without compiling them: what is open at the end of a line. Time is linear in the length."""

import re
from collections.abc import Sequence
from typing import NamedTuple

TOKENS = re.compile(r"'''|\"\"\"|#|'|\"|\\.|[()\[\]{}]")
# Zero width, direction, variants of a letter, a byte order mark.
RANGES: tuple[tuple[int, int], ...] = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x180B, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E)),
    *((0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
)
INVISIBLE = "".join(chr(code) for first, last in RANGES for code in range(first, last + 1))
# Spaces that Python does not take for white space.
SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


TRIPLE = re.compile(r"\"\"\"|\'\'\'")


class Open(NamedTuple):
    """What a line leaves open for the next: a triple quote, brackets, or a backslash at its end."""

    quote: str = ""
    brackets: int = 0
    backslash: bool = False


CLOSED = Open()


def masked(line: str, before: Open) -> tuple[str, Open]:
    """A line with its strings and its comment blanked, and what is open after it, given what was open before it.

    The masked line is as long as the line, so that places in one are places in the other.
    """
    if not before.quote and TOKENS.search(line) is None:
        return line, Open("", before.brackets, line.endswith("\\"))
    quote, brackets, single = before.quote, before.brackets, ""
    backslash = line.endswith("\\")
    shown: list[str] = []
    place = 0
    for match in TOKENS.finditer(line):
        token, was_text = match[0], bool(quote or single)
        if token[0] == "\\":
            continue
        if quote:
            quote = "" if token == quote else quote
        elif single:
            single = "" if token[0] == single else single
        elif token == "#":
            backslash = False
            shown.append(line[place : match.start()])
            return "".join(shown).ljust(len(line)), Open(quote, brackets, backslash)
        elif token in "([{":
            brackets += 1
        elif token in ")]}":
            brackets = max(brackets - 1, 0)
        elif len(token) == 3:
            quote = token
        else:
            single = token
        is_text = bool(quote or single)
        if is_text != was_text:
            end = match.start() if is_text else match.end()
            shown.append(line[place:end] if is_text else " " * (end - place))
            place = end
    shown.append(" " * (len(line) - place) if quote or single else line[place:])
    return "".join(shown), Open(quote, brackets, backslash)


def first_code(lines: Sequence[str]) -> str:
    """Return the first line that is neither empty nor a comment; an empty text if there is none."""
    return next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")


def open_after(line: str, before: Open) -> Open:
    """What is open after a line, given what was open before it."""
    return masked(line, before)[1]


def quote_after(line: str, quote: str) -> str:
    """The triple quote that is open after a line, given the one that was open before it."""
    for found in TRIPLE.findall(line):
        quote = "" if quote == found else quote or found
    return quote
