"""Text of others on a terminal: what would command the terminal, or hide or turn text, is written as an escape.

A completion, the name of a file or of a server's model, and a message of a reward may hold any character. All that
commands print goes through `emit`; `tests/base/test_visible.py` sees that none uses `print`.
"""

import re
import sys
from typing import TextIO

# Control characters but tab and newline (ESC begins every command to a terminal), marks of direction, characters
# without width but the joiners of Persian, Hindi and emoji, other ends of lines, tags, and halves of characters.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff\ud800-\udfff]"
)
BREAKS = re.compile("[\t\n]")


def visible(text: str) -> str:
    """Write what a terminal obeys or does not show as Python's escapes, such as `\\x1b`; tabs and newlines stay."""
    return HIDDEN.sub(_escape, text)


def visible_line(text: str) -> str:
    """Do the same with tabs and newlines, too, for a name or a cell of a table."""
    return BREAKS.sub(_escape, visible(text))


def emit(*parts: object, end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Print as `print` does, in the way of `visible`. What the stream's encoding lacks is escaped, too."""
    stream = sys.stdout if file is None else file
    text = visible(" ".join(map(str, parts)))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    print(text, end=end, file=stream, flush=flush)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")
