"""An answer read line by line: its thinking, its `<answer>` tags and its fenced blocks.

Rules, where Markdown has none or language models do not keep to it:

- A fence within a string of the block's program closes nothing, and neither does `</think>` there end the thinking.
- An opening fence may follow text on its line. A closing fence may follow code on its line.
- An opening fence with a language ends a block that was left open before it.
- Where a fence without a language is the first, and code stands before it, the prompt opened the block.
- Outside of strings, marks of a chat template (`rewards.turns`) count for nothing, and neither do characters without
  width at the ends of lines.

Nothing is run or compiled here, and time is linear in the length.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from rewards.code.lines import CLOSED, INVISIBLE, SPACES, first_code, masked, quote_after
from rewards.turns import MARK, end_of_turn

PYTHON = {"python", "py", "python3", "py3", "python2", "ipython", "ipython3"}
FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([^`]*+)")
CLOSING = re.compile(r"([^`~]*+)(`{3,}+|~{3,}+)[ \t]*+(</answer>)?[ \t]*+")
LANGUAGE = re.compile(r"\W*+([\w+#]*+)")
LIST_ITEM = re.compile(r"[ \t]*+(?:(?:[-*+]|\d{1,3}[.)])[ \t]++)?+")
STATEMENT = re.compile(
    r"(?:async[ \t]++)?def[ \t]++\w|class[ \t]++\w++[ \t]*+[:(]|from[ \t]++[\w.]++[ \t]++import\b|@\w"
    r"|import[ \t]++[\w.]++(?:[ \t]++as[ \t]++\w++)?+(?:,[ \t]*+[\w.]++)*+[ \t]*+$"
    r"|(?:if|for|while|with|try)\b.*:[ \t]*+$|print\(|[A-Za-z_][\w.]*+(?:\[[^]]*+\])?+(?:,[ \t]*+\w++)*+[ \t]*+=(?!=)"
    r"|[rRuU]?(?:\"\"\"|''')|[A-Za-z_]\w*+:[ \t]*+\w[\w\[\]., ]*+=(?!=)|[a-z_][\w.]*+\(.*\)[ \t]*+$"
)
CODE = ("def ", "class ", "from ", "import ", "print(")  # what a fence's line may go on with, after its language
QUOTED = re.compile(r"(?<![\w\\])[rRbBfFuU]{0,2}(?:\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|`[^`]++`)")
JUNK = re.compile(rf"(?!<s>)(?:{MARK.pattern})|([{INVISIBLE}{SPACES}])")
PADDING = f" \t{INVISIBLE}{SPACES}"
FIRST_MARKS = re.compile(rf"\s*+(?:(?:{MARK.pattern})|[{INVISIBLE}])++(?:[ \t]++(?=[`~]))?+")
TAG = re.compile(r"<(/?)answer>")
END_OF_THINKING = "</think>"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes:
        language: in lower case, `python` for all names of it; empty if none is given.
        text: what stands in it.
        first: number of the line that opens it.
        last: number of the line that closes it.
        fenced: the answer opened it itself.
    """

    language: str
    text: str
    first: int
    last: int
    fenced: bool = True

    @property
    def may_be_python(self) -> bool:
        """Whether it is of Python, or of no language that is named."""
        return self.language in ("python", "")


class Tag(NamedTuple):
    """An `<answer>` or `</answer>`: line, first column and the column after it."""

    closes: bool
    line: int
    start: int
    end: int


@dataclass
class Reading:
    """An answer.

    Attributes:
        lines: all lines of the completion.
        first: number of the line with which the answer begins, after the thinking.
        blocks: its closed blocks.
        opened: whether it opens a block at all.
        tags: its answer tags.
        thinking: whether the thinking never ends, so that there is no answer.
    """

    lines: list[str]
    first: int = 0
    blocks: list[Block] = field(default_factory=list)
    opened: bool = False
    tags: list[Tag] = field(default_factory=list)
    thinking: bool = False

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines[self.first :])

    @property
    def untagged(self) -> str:
        """All of it without its answer tags."""
        lines = list(self.lines)
        for tag in reversed(self.tags):
            lines[tag.line] = lines[tag.line][: tag.start] + lines[tag.line][tag.end :]
        return "\n".join(lines[self.first :])

    def tagged(self) -> "Reading | None":
        """What stands in the last `<answer>...</answer>`, or None. A tag that is never closed counts for nothing."""
        closing = next((tag for tag in reversed(self.tags) if tag.closes), None)
        before = [] if closing is None else self.tags[: self.tags.index(closing)]
        opening = next((tag for tag in reversed(before) if not tag.closes), None)
        if closing is None or opening is None:
            return None
        lines = self.lines[: closing.line + 1]
        lines[closing.line] = lines[closing.line][: closing.start]
        lines[opening.line] = lines[opening.line][opening.end :]
        blocks = [block for block in self.blocks if opening.line <= block.first and block.last <= closing.line]
        return Reading(lines, opening.line, blocks, opened=bool(blocks))


def read(completion: str) -> Reading:
    """Read a completion."""
    text = FIRST_MARKS.sub("", completion, count=1) if FIRST_MARKS.match(completion) else completion
    reader = _Reader(Reading(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")))
    while reader.number < len(reader.found.lines):
        reader.read_line()
    return reader.found


def looks_like_code(lines: list[str]) -> bool:
    """Whether a text begins as a program or the body of a function does, and not as prose."""
    first = first_code(lines)
    return first[:1] in (" ", "\t") or STATEMENT.match(first) is not None


def cleaned(line: str, mask: str) -> str:
    """A line without marks of chat templates, and without characters without width at its ends.

    Only what its mask shows is taken out. Within a line, such a character stays: Python would not take it either.
    """
    if line.isascii() and "<" not in line:
        return line
    pieces, place = [], 0
    begin, end = len(mask) - len(mask.lstrip(PADDING)), len(mask.rstrip(PADDING))
    for junk in JUNK.finditer(mask):
        if junk[1] is None or not begin <= junk.start() < end:
            pieces += [line[place : junk.start()], " " if junk[1] and junk[1] in SPACES else ""]
            place = junk.end()
    return "".join(pieces) + line[place:]


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


class _Reader:
    def __init__(self, found: Reading) -> None:
        self.found = found
        self.number = 0
        self.begun = False  # some text was read
        self.mind_strings = True
        self.has_thought = False
        self.quote = ""  # of a string over several lines, in a program without a fence
        self.string_end = 0  # the line that closes such a string

    def read_line(self) -> None:
        """Read a line of prose, or the block that begins with it."""
        line = self.found.lines[self.number]
        if "<" in line or not line.isascii():
            line = self._without_marks(line)
        self.begun = self.begun or bool(line.strip())
        opening = self._opening(TAG.sub("", line) if "answer>" in line else line)
        if opening is not None:
            self._read_block(*opening)
            return
        if self.has_thought:
            self.quote = quote_after(line, self.quote)
        self.number += 1

    def _without_marks(self, line: str) -> str:
        """Take note of a line's tags; what is left of the line."""
        mask = QUOTED.sub(_blank, line)
        end = end_of_turn(mask, self.begun)
        if end < len(line):
            del self.found.lines[self.number + 1 :]
        line, mask = cleaned(line[:end], mask[:end]), cleaned(mask[:end], mask[:end])
        before, thought, _ = mask.rpartition(END_OF_THINKING)
        if thought and not (self.has_thought and self._is_in_string(before)):
            self.has_thought, self.quote = True, ""
            self.found = Reading(self.found.lines, self.number)
            line, mask = (text[len(before) + len(thought) :] for text in (line, mask))
        if "<think>" in mask:
            self.found.thinking = True
        for tag in TAG.finditer(mask):
            self.found.tags.append(Tag(bool(tag[1]), self.number, *tag.span()))
        self.found.lines[self.number] = line
        return line

    def _is_in_string(self, before: str) -> bool:
        """Whether a string over several lines is open after the beginning of a line, and is closed later on."""
        if self.number < self.string_end:
            return True
        quote = quote_after(before, self.quote)
        places = (place for place in range(self.number, len(self.found.lines)) if quote in self.found.lines[place])
        self.string_end = next(places, 0) if quote else 0
        return self.string_end > 0

    def _opening(self, line: str) -> tuple[str, str, int] | None:
        """Fence, words and indentation of the block that a line opens; None if it opens none."""
        if "```" not in line and "~~~" not in line:
            return None
        match = FENCE.fullmatch(line)
        if match is not None:
            indent, fence, words = match.groups()
            return fence, words, len(indent)
        before, _, words = line.rpartition("```")
        if "```" in before or not before.strip("` \t") or words.strip() and _language(words) != "python":
            return None
        item = LIST_ITEM.match(line)
        return "`" * (3 + len(before) - len(before.rstrip("`"))), words, item.end() if item else 0

    def _read_block(self, fence: str, words: str, indent: int) -> None:
        found, first = self.found, self.number
        if not words.strip() and not found.opened and self._prompt_opened_it(fence):
            return
        found.opened = True
        end = self._end(first + 1, fence)
        if end is None and self.mind_strings:  # its quotes do not match; once is enough, or time would be quadratic
            self.mind_strings = False
            end = self._end(first + 1, fence)
        if end is None:  # it was cut off
            del found.lines[first:]
            found.tags = [tag for tag in found.tags if tag.line < first]
            return
        lines, self.number = end
        if self.number < len(found.lines) and END_OF_THINKING in found.lines[self.number]:
            return
        rest = words.strip().partition(" ")[2].strip()
        if rest.startswith(CODE):
            lines.insert(0, rest)
        text = "\n".join(_without(line, indent) for line in lines) + "\n"
        found.blocks.append(Block(_language(words), text, first, self.number - 1))

    def _prompt_opened_it(self, fence: str) -> bool:
        """Take what stands before a first fence without a language for a block, if it is code."""
        found = self.found
        lines = found.lines[found.first : self.number + 1]
        lines[-1] = lines[-1].rpartition(fence)[0]
        if found.tags:
            line, end = found.tags[-1].line, found.tags[-1].end
            lines = [found.lines[line][end:], *lines[line - found.first + 1 :]]
        if lines[0].strip().lower() in PYTHON:
            lines = lines[1:]
        if not looks_like_code(lines):
            return False
        found.opened = True
        text = "\n".join(lines).rstrip() + "\n"
        found.blocks.append(Block("python", text, found.first, self.number, fenced=False))
        self.number += 1
        return True

    def _end(self, start: int, fence: str) -> tuple[list[str], int] | None:
        """The lines of the block that begins here, and the number of the line to go on with; None: it has no end."""
        state, lines = CLOSED, self.found.lines
        inside: list[str] = []
        for number in range(start, len(lines)):
            line = lines[number]
            mask, state = masked(line, state) if self.mind_strings else (QUOTED.sub(_blank, line), CLOSED)
            if "<" in line or not line.isascii():
                line, mask = cleaned(line, mask), cleaned(mask, mask)
                if END_OF_THINKING in mask:
                    return inside, number
            if fence[:3] in mask:
                closing = CLOSING.fullmatch(mask)
                if closing is not None and closing[2].startswith(fence):
                    if closing[1].strip() and not self.mind_strings:
                        inside.append(line)
                        continue
                    if closing[3]:
                        lines[number] = line
                        self.found.tags.append(Tag(True, number, *closing.span(3)))
                    return [*inside, line[: closing.end(1)]] if closing[1].strip() else inside, number + 1
                opening = FENCE.fullmatch(mask)
                if opening is not None and opening[2].startswith(fence) and _language(opening[3]):
                    return inside, number
            inside.append(line)
        return None


def _language(words: str) -> str:
    """The language that the words after a fence name."""
    match = LANGUAGE.match(words)
    name = match[1].lower() if match else ""
    return "python" if name in PYTHON or words.strip().endswith(".py") else name


def _without(line: str, indent: int) -> str:
    """A line without so much of the white space at its start as the block's fence had."""
    white = len(line) - len(line.lstrip(" \t"))
    return line[min(white, indent) :]
