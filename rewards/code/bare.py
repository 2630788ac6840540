"""Code that stands in an answer without a fence, between lines of prose.

A stretch of code begins with a line that is a statement of Python and ends before the next line that is prose. Nothing
is compiled, so only plain prose is told from code: a line that begins with a capital word and goes on in words, or an
item of a list. A line that is only a mark around code, such as `[PYTHON]`, `[DONE]` or `<code>`, counts as prose. Time
is linear in the length.
"""

import re
from collections.abc import Sequence

from rewards.code.blocks import STATEMENT, Block
from rewards.code.lines import CLOSED, open_after

PROSE = re.compile(
    r"(?!(?:True|False|None)\b)[A-Z][\w'’]*+[,:;.!?]?+(?:[ \t]++[\w'’`*(\"“]|[ \t]*+$)|(?:[-*+>]|\d{1,3}[.)])[ \t]|\*\*"
    r"|\[/?(?:PYTHON|CODE|ANSWER|SOLUTION|BEGIN|DONE)\][ \t]*+$|(?:</?(?:pre|code|python|solution)\b[^<>]*+>)++[ \t]*+$"
)


def stretches(lines: Sequence[str], blocks: Sequence[Block] = ()) -> list[Block] | None:
    """The stretches of code outside of some blocks, as blocks; None where no prose is, so that all may be code."""
    fenced = {number for block in blocks for number in range(block.first, block.last + 1)}
    found: list[Block] = []
    start: int | None = None
    state = CLOSED
    has_prose = bool(fenced)
    for number, line in enumerate(lines):
        ends = number in fenced or (state == CLOSED and is_prose(line))
        has_prose = has_prose or ends
        if start is None and not ends and STATEMENT.match(line):
            start = number
        elif start is not None and ends:
            found.append(_block(lines, start, number))
            start, state = None, CLOSED
        if start is not None:
            state = open_after(line, state)
    if start is not None:
        found.append(_block(lines, start, len(lines)))
    return found if has_prose else None


def is_prose(line: str) -> bool:
    """Whether a line at column 0 reads as prose."""
    return PROSE.match(line) is not None and STATEMENT.match(line) is None


def _block(lines: Sequence[str], start: int, end: int) -> Block:
    text = "\n".join(lines[start:end]).rstrip() + "\n"
    return Block("python", text, start, end - 1, fenced=False)
