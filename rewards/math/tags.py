"""`<answer>`, `####`, and blocks of code: what they hold, and when they hold nothing.

An empty tag, one that is only named (`<answer>` in quotes, "the <answer> tag") or a closing one alone holds nothing,
nor does a `####` that begins a heading.
"""

import re

from rewards.math.phrases import is_placeholder

_TAG = re.compile(r"<(/?)(?:answer|Answer|ANSWER)\s*+>")
_NAMED = re.compile(r"['\"`]|[ \t]++(?:tags?|elements?|blocks?|brackets?)\b", re.IGNORECASE)
_REMARK = re.compile(r"[^\d$]*[A-Za-z]{2,}(?:\s[^\d\s$]+){3,}\s*")  # words, after a tag that is never closed
_LONGEST_REMARK = 200
_HASHES = re.compile(r"####(?!#)")
_HEADING = re.compile(
    r"[*_]*+(?:step|part|case|note|problem|question|example|explanation|solution|verification|check|conclusion|summary)\b",
    re.IGNORECASE,
)
_FILLED = re.compile(r"\S")
_VALUE = re.compile(r"(?:[-+−*_\"'`(\[{£€¥₹≈=~\s]|\\?\$|\\[(\[]|USD)*+(?:\.?\d|\\(?:d?frac|sqrt|boxed|pi|text))")
_NUMBERED = re.compile(r"[*_]*+\d{1,2}[.):][*_]*+\s++[^\W\d]")

_FENCE = re.compile(r"^[ \t>]*+(?P<marks>`{3,}+|~{3,}+)[ \t]*+(?P<language>[\w+#.-]*+)[^\n`]*+$", re.MULTILINE)
_PLAIN = {"", "tex", "latex", "math", "text", "txt", "plain", "plaintext", "markdown", "md", "answer", "none"}


def tagged(text: str) -> tuple[str, bool] | None:
    """The inside of the last `<answer>` that holds something, and whether it is closed; None without one.

    A stop string may have eaten the closing tag.
    """
    if "<" not in text:
        return None
    tags = list(_TAG.finditer(text))
    for number in range(len(tags) - 1, -1, -1):
        tag = tags[number]
        if tag[1]:
            continue
        after = tags[number + 1] if number + 1 < len(tags) else None
        end = after.start() if after is not None else len(text)
        inside = text[tag.end() : end]
        closed = after is not None and bool(after[1])
        if not inside.strip() or is_placeholder(inside) or _NAMED.match(text, tag.end()):
            continue
        if closed or len(inside) > _LONGEST_REMARK or not _REMARK.fullmatch(inside):
            return inside, closed
    return None


def without_tags(text: str) -> str:
    """A text without tags `<answer>` and `</answer>`."""
    return _TAG.sub(" ", text) if "<" in text else text


def after_hashes(text: str) -> str | None:
    """What follows the last `####` that gives a value, or words in the last line; None without one.

    Other words are a heading of Markdown, or `####` is only spoken of.
    """
    if "####" not in text:
        return None
    end = len(text.rstrip())
    words = None
    for mark in reversed(list(_HASHES.finditer(text))):
        filled = _FILLED.search(text, mark.end(), end)
        if filled is None:
            continue
        start = filled.start()
        value = _VALUE.match(text, start) is not None
        if not value and (words or text[start] == "#" or _HEADING.match(text, start) or not _begins_line(text, mark)):
            continue
        stop = text.find("\n", start, end)
        if value and (stop < 0 or not _NUMBERED.match(text, start)):
            return text[start : end if stop < 0 else stop].strip()
        if stop < 0:
            words = text[start:end]
    return words


def _begins_line(text: str, mark: re.Match[str]) -> bool:
    """Whether nothing but signs of Markdown stands before a mark in its line."""
    place = mark.start() - 1
    while place >= 0 and text[place] in " \t>*_#":
        place -= 1
    return place < 0 or text[place] == "\n"


def without_code(text: str) -> tuple[str, str]:
    """A text without its programs, and without any block of code. A block that is never closed goes to the end.

    What stands in a block of no programming language may be an answer, if it is marked.
    """
    if "```" not in text and "~~~" not in text:
        return text, text
    marked: list[str] = []
    prose: list[str] = []
    opened: re.Match[str] | None = None
    position = 0
    for fence in _FENCE.finditer(text):
        if opened is None:
            marked.append(text[position : fence.start()])
            prose.append(marked[-1])
            opened, position = fence, fence.end()
        elif fence["marks"].startswith(opened["marks"]) and not fence["language"]:
            if opened["language"].lower() in _PLAIN:
                marked.append(text[position : fence.start()])
            opened, position = None, fence.end()
    rest = text[position:]
    if opened is None:
        prose.append(rest)
    if opened is None or opened["language"].lower() in _PLAIN:
        marked.append(rest)
    return "\n".join(marked), "\n".join(prose)
