"""Answers that go on from the head of a function, as models without a chat template give them.

HumanEval (arXiv 2107.03374, section 2.2) ends a completion where a line begins with "class", "def", "#", "if" or
"print". Here it ends at any line at column 0 that cannot belong to the function. Deviation: a comment at column 0 ends
nothing if indented lines follow, as it ends nothing in Python.

Nothing is run or compiled here, and time is linear in the length.
"""

from rewards.code.lines import CLOSED, first_code, open_after


def continued(head: str, text: str) -> str | None:
    """A head with the part of a text that goes on from it; None if the text does not begin as a body does."""
    lines = text.split("\n")
    if not begins_indented(lines):
        return None
    start = head if head.endswith("\n") else head.rstrip() + "\n"
    return start + "\n".join(lines[: _length(lines)]) + "\n"


def begins_indented(lines: list[str]) -> bool:
    """Whether the first line that is neither empty nor a comment is indented, so that no program can begin so."""
    return first_code(lines).startswith((" ", "\t"))


def _length(lines: list[str]) -> int:
    """How many lines belong to the body: up to its last line of code before another statement at column 0."""
    state, length = CLOSED, 0
    for number, line in enumerate(lines, 1):
        inside = state != CLOSED
        if not inside and line.strip() and not line.startswith((" ", "\t", "#")):
            break
        state = open_after(line, state)
        if inside or (line.strip() and not line.startswith("#")):
            length = number
    return length
