"""Which part of a completion is its program. Nothing is run or compiled here, and time is linear in the length.

The answer is what follows the last `</think>` (nothing, if the thinking never ends), in it the last
`<answer>...</answer>` if there is one. The program is the last fenced block of Python there, else the last fenced block
without a language. A block that is never closed does not count: it was cut off. Where there is no fence at all, the
whole answer is taken, and has no program if it does not compile.
"""

import re
from dataclasses import dataclass

from rewards.format import answer_part, last_tagged

PYTHON = {"python", "py", "python3", "py3"}
FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([^`\r]*+)\r?")
QUOTES = re.compile(r"'''|\"\"\"|#|'|\"|\\.")


@dataclass(frozen=True)
class Extracted:
    """A program. `fenced`: it was in a fenced block, so it is meant to be one."""

    text: str
    fenced: bool


def program_text(completion: str) -> str | None:
    """The text of a completion's program, or None."""
    found = extract(completion)
    return None if found is None else found.text


def extract(completion: str) -> Extracted | None:
    """A completion's program, or None."""
    answer = answer_part(completion)
    if answer is None:
        return None
    inside = last_tagged(answer)
    answer = answer if inside is None else inside
    lines = answer.split("\n")
    blocks = _blocks(lines)
    if blocks is None:
        return Extracted(answer, fenced=False) if answer.strip() else None
    tagged = [text for language, text in blocks if language in PYTHON]
    untagged = [text for language, text in blocks if not language]
    chosen = tagged or untagged
    return Extracted(chosen[-1], fenced=True) if chosen else None


def _blocks(lines: list[str]) -> list[tuple[str, str]] | None:
    """Language and text of each closed block; None if not even one is opened."""
    blocks: list[tuple[str, str]] = []
    opened = False
    mind_strings = True
    start = 0
    while start < len(lines):
        match = FENCE.fullmatch(lines[start])
        if match is None:
            start += 1
            continue
        opened = True
        indent, fence, words = match.groups()
        end = _closing(lines, start + 1, fence, mind_strings)
        if end is None and mind_strings:  # its quotes do not match; once is enough, or time would be quadratic
            mind_strings = False
            end = _closing(lines, start + 1, fence, mind_strings)
        if end is None:
            break
        inside = [_without(line, len(indent)) for line in lines[start + 1 : end]]
        blocks.append(((words.split() or [""])[0].lower(), "\n".join(inside) + "\n"))
        start = end + 1
    return blocks if opened else None


def _closing(lines: list[str], start: int, fence: str, mind_strings: bool) -> int | None:
    """The line that closes a block. Where strings are minded, a fence within a triple-quoted string does not."""
    quote = ""
    for number in range(start, len(lines)):
        line = lines[number].strip()
        if not quote and len(line) >= len(fence) and line == fence[0] * len(line):
            return number
        if mind_strings:
            quote = _open_quote(lines[number], quote)
    return None


def _open_quote(line: str, quote: str) -> str:
    """The triple quote that is open after a line of Python, given the one that was open before it; else nothing."""
    single = ""
    for match in QUOTES.finditer(line):
        token = match[0]
        if token[0] == "\\":
            continue
        if quote:
            quote = "" if token == quote else quote
        elif single:
            single = "" if token[0] == single else single
        elif token == "#":
            break
        elif len(token) == 3:
            quote = token
        else:
            single = token
    return quote


def _without(line: str, indent: int) -> str:
    """A line without so much of the white space at its start as the block's fence had."""
    white = len(line) - len(line.lstrip(" \t"))
    return line[min(white, indent) :].removesuffix("\r")
