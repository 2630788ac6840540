"""Sentences of a text: where they end, which formulae they hold, and the text without its dress."""

import re
from collections.abc import Iterator

# A dollar sign opens a formula before what is no space and closes it after what is none, if no digit follows: else it
# is money ("$5 and $6"). So does Pandoc.
FORMULA = re.compile(
    r"\$\$(.{1,600}?)\$\$|(?<!\\)\$(?=[^\s$])((?:[^$\\]|\\.){1,600}+)(?<!\s)\$(?![\d$])"
    r"|(?<!\\)\$\s((?:[^$\\]|\\.){1,600}+)(?<=\s)\$(?!\s?[\d$])|\\\[(.{1,600}?)\\\]|\\\((.{1,600}?)\\\)",
    re.DOTALL,
)
_END = r"(?<!\bbzw)(?<!\bvs)(?<!\bresp)[.!?](?=[\"'’”)\]*_`]*+(?:\s|$))|[。！？।۔؟]|\n[ \t\r]*+\n"
_STATEMENT_END = re.compile(_END + r"|\n(?= {0,3}[A-Z*#])")
_SENTENCE_END = re.compile(_END + r"|(?<!\bor)(?<!,)\n(?=[ \t]{0,8}[A-Z*#>|•\d\\$-])")
WORDY = re.compile(r"(?:(?<![\\A-Za-z])[A-Za-z]{3,}[\s,]+){2}")
_WORD = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{2,}")
_TEXT = re.compile(r"\\(?:text|mbox|mathrm)\s*+\{[^{}]*+\}")
NUMBER_WORD = (
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|"
    r"seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)"
)
PART_WORD = r"(?:half|halves|(?:third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth)s?)"
_SIGN = re.compile(
    r"(?:(?:\bnegative|(?:^|(?<=[:=] )|(?<=\b(?:is|to|of|at|be) )|(?<=\b(?:are|was|get) )|(?<=\bequals )|(?<=\bgives ))"
    r"minus)\s+"
    r"|\\text\s?\{\s*(?:negative|minus)\s*\}\s*)"
    rf"(?=[$£€¥₹]?\.?\d|{NUMBER_WORD}\b)",
    re.IGNORECASE | re.MULTILINE,
)
_NAME = re.compile(r"(?:\\(?:triangle|angle|overline|odot|vec)\s*+)?\{?[A-Za-z]{1,5}'?\}?")


def signed(text: str) -> str:
    """A text with the sign `-` for the words "negative" and "minus" before a number, where they are no operation."""
    return _SIGN.sub("-", text) if "minus" in text or "egative" in text or "Minus" in text else text


def formulae(text: str) -> list[re.Match[str]]:
    """The formulae of a text; not what stands between two signs of money."""
    if "$" not in text and "\\" not in text:
        return []
    return [match for match in FORMULA.finditer(text) if not _is_money(match)]


def _is_money(formula: re.Match[str]) -> bool:
    """Whether what stands between two dollar signs has words that no formula has."""
    if formula[2] is not None:
        return WORDY.search(_TEXT.sub("", formula[2])) is not None
    return formula[3] is not None and _WORD.search(_TEXT.sub("", formula[3])) is not None


def inside(formula: re.Match[str]) -> str:
    """A formula without its signs of math mode."""
    return next(group for group in formula.groups() if group is not None).strip()


def is_name(formula: str) -> bool:
    """Whether a formula is the name of something, such as `ABC` or `x`, and no value."""
    return _NAME.fullmatch(formula) is not None


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, with the signs that end them; a line that begins with a capital letter, a
    number or a sign of Markdown begins a sentence.
    """
    found, position = [], 0
    for end in _ends(text, _SENTENCE_END):
        found.append(text[position : end.end()])
        position = end.end()
    return [sentence for sentence in (*found, text[position:]) if sentence.strip()]


def first_sentence(text: str) -> str:
    """A text up to the end of its first sentence that says something, without the sign that ends it."""
    for end in _ends(text, _STATEMENT_END):
        if text[: end.start()].strip():
            return text[: end.start()].strip()
    return text.strip()


def _ends(text: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The signs that end sentences, outside of formulae."""
    spans = iter([match.span() for match in formulae(text)])
    start, stop = next(spans, (len(text), len(text)))
    for mark in pattern.finditer(text):
        while stop <= mark.start():
            start, stop = next(spans, (len(text), len(text) + 1))
        if not start < mark.start() < stop:
            yield mark
