"""What is said of the letters after a formula: "for all x", "where k is an integer", `\\forall x \\in \\mathbb{R}`.

Only what does not restrict the answer further than usual is taken off: names of letters, and what kind of number they
are. "for x > 0" stays.
"""

import functools
import re

_BLACKBOARD = r"\\mathbb\s?\{?\s?[CNQRZ]\s?\}?(?:\s?[\^_]\s?\{?\s?[+*]\s?\}?|\s?_\s?\{?\s?(?:>|\\ge)\s?0\s?\}?)?+"
_KIND = r"non-?\s?negative|positive|negative|reals?|integers?|integral|naturals?|rational|complex|whole|arbitrary"
_SAID = (
    rf"(?:[\s,()‹›∧&]|{_BLACKBOARD}|\\in(?![a-z])|\\(?!le|ge|ne|frac|sqrt)[a-z]{{2,7}}(?![a-z])|(?:{_KIND}|is|are|be|"
    r"being|can be|may be|an|any|all|every|each|some|the|numbers?|values?|constants?|parameters?|variables?|of)"
    r"(?![A-Za-z])|[A-Za-z](?![A-Za-z])(?:_\{?\w\}?)?+)"
)
_CLAUSE = re.compile(
    rf"(?:(?:which (?:holds|is true) |valid |true )?\bfor (?:all|any|every|each|some)\b|\bwhere\b|\bwith\b|"
    rf"\bfor(?=[\s›]*+(?:[A-Za-z]\b|\\mathbb))|\\forall(?![a-z]))(?P<said>{_SAID}*+)[.^]?$"
)
_MEMBERS = re.compile(
    rf"(?:\s?[,;]\s?|\s?(?=\())(?P<said>\(?\s?(?P<letter>[a-z])(?:\s?[,∧]\s?[a-z]){{0,3}}\s?\\in\s?{_BLACKBOARD}\s?\)?)$"
)
_MAYBE = re.compile(r"for\b|where\b|with\b|\\forall|\\in(?![a-z])")
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge|ne|in)(?![a-z])")
_KINDS = {
    "real": "real", "reals": "real", "R": "real", "integer": "integer", "integers": "integer", "integral": "integer",
    "Z": "integer", "natural": "natural", "naturals": "natural", "N": "natural", "rational": "rational",
    "Q": "rational", "complex": "complex", "C": "complex", "positive": "positive", "negative": "negative",
    "nonnegative": "nonnegative", "whole": "natural",
}  # fmt: skip
_NAMED_KIND = re.compile(rf"\\mathbb\s?\{{?\s?([CNQRZ])|\b({_KIND})\b")
_ABOVE_ZERO = re.compile(r"[\^_]\s?\{?\s?(?:\+|>)")
_LETTERS = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")


@functools.lru_cache(maxsize=8192)
def qualified(text: str) -> tuple[str, frozenset[str]]:
    """(the formula, the kinds of numbers that its letters are said to be) of a cleaned text."""
    if not _MAYBE.search(text):
        return text, frozenset()
    match = _CLAUSE.search(text) or _MEMBERS.search(text)
    rest = text if match is None else text[: match.start()].rstrip(" ,;:(‹")
    if match is None or not rest:
        return text, frozenset()
    if match.re is _MEMBERS and (_INEQUALITY.search(rest) or match["letter"] not in _LETTERS.findall(rest)):
        return text, frozenset()
    if rest.count("‹") > rest.count("›"):
        rest += "›"
    return rest, _kinds(match["said"])


def _kinds(said: str) -> frozenset[str]:
    said = re.sub(r"non-?\s?negative", "nonnegative", said)
    kinds = {_KINDS.get(match[1] or match[2], "") for match in _NAMED_KIND.finditer(said)} - {""}
    if _ABOVE_ZERO.search(said):
        kinds.add("positive")
    if {"positive", "integer"} <= kinds or {"nonnegative", "integer"} <= kinds or "natural" in kinds:
        kinds = kinds - {"positive", "nonnegative", "integer"} | {"natural"}
    return frozenset(kinds)


def contradict(gold: frozenset[str], answer: frozenset[str]) -> bool:
    """Whether two formulae speak of different kinds of numbers; one that says nothing contradicts none."""
    return bool(gold) and bool(answer) and gold != answer
