"""Corrections of an answer that was given before: "7. No wait, 8.", "Actually, it's 9", "\\boxed{7} ... that's wrong".

A correction is a word such as "wait" or "actually" at the beginning of a clause, directly followed by a value that ends
the sentence: "Wait, 5 apples cost 3 dollars each" corrects nothing.
"""

import re

from rewards.math.hedge_words import CALLS_WRONG, CORRECTS, DENIES_BEFORE
from rewards.math.sentences import first_sentence

LONGEST_REST = 3_000  # characters after an answer that are searched
_LONGEST_VALUE = 60
_MOST_WORDS = 3  # after the value

_MOST_MARKS = 4  # "no, wait, actually, sorry"
_I = re.IGNORECASE

_BREAK = r"[\s,،.:;!…—–，、：。-]"
_LEAD = (
    r"(?:(?:so |then )?(?:"
    r"(?:it|that|this|the (?:correct |right |final |real |actual )?answer)(?:['’]s| is| was| must be| has to be"
    r"| should (?:really |actually |rather )?(?:be|have been))"
    r"|i (?:mean|meant)|es|son|c['’]est|(?:es|das) ist|is|é|è|la respuesta es|la réponse est|die antwort ist"
    r"|это|adalah|là|هو|是|答案是|应该是|應該是|答えは|正解は|답은|정답은|[a-z]\s?=|=)\s*)?"
)
_VALUE = (
    r"[\s$*_(\\\[{\"'`]{0,4}(?:[-+−]?(?:[$£€¥₹]\s?)?(?:\d|\\?[dt]?frac|\\?sqrt|\\?pi\b|\\?text)"
    r"|(?-i:[A-J])(?=[\s)*_.]*(?:[.\n]|$)))"
)
_START = r"(?:^|(?<=[.!?;:,…—–\n।。！？۔،、)*$}-]))\s*"
_SAYS_NO = rf"{DENIES_BEFORE}(?=\s*[,.:;!…—–、，،。-]|\s+\w+,)"
_ERRED = r"i (?:made|was) (?:a |an )?(?:mistake|error|wrong)"
_SIGH = rf"(?:\b(?:oh|hmm+|uh|ah|oops|ok|okay)\b{_BREAK}*){{0,2}}"
_MARK = rf"{_START}(?>{_SIGH}(?:{CORRECTS}|{_SAYS_NO}|{CALLS_WRONG}|{_ERRED}){_BREAK}*){{1,{_MOST_MARKS}}}"
_CORRECTED = re.compile(rf"{_MARK}{_LEAD}(?={_VALUE})", _I)
_SHOULD_BE = re.compile(
    rf"{_START}(?:it|that|this|the answer) (?:should|must) (?:really |actually |instead |rather )?"
    rf"(?:be|have been|read)\s+(?={_VALUE})",
    _I,
)
_CORRECT_ONE = re.compile(
    rf"{_START}the (?:correct|right|actual|real) (?:answer|value|result) (?:is|was|should be|would be)[\s:]+"
    rf"(?=(?!(?-i:[A-J]\b)){_VALUE})",
    _I,
)
_FINAL = re.compile(rf"{_START}final(?: answer)?\s*[:=]\s*(?={_VALUE})", _I)
_TAKEN_BACK = re.compile(
    rf"{_START}(?:(?>{_SIGH}(?:{CORRECTS}|{_SAYS_NO}){_BREAK}*){{1,{_MOST_MARKS}}}{CALLS_WRONG}|{_SIGH}{_ERRED})", _I
)
_END = r"\s*+(?:[.!;।。！\n]|$)"
_AT_ONCE = re.compile(
    rf"[\s.!…।。$*_)}}\]-]*+(?:(?:(?:but|however|hmm+|oh|no)\b[\s,.]*+){{0,3}}{CALLS_WRONG}|\?+\s*+{DENIES_BEFORE}){_END}",
    _I,
)
_ONLY_VALUE = re.compile(r"[ $]*+-?\d++(?:[.,]\d++)*+[A-Za-z \d%]*+[.\s]*+")  # as often: "12 apples."
_STATED = re.compile(r"[^\n?!。।！]{1,100}?(?=[.!?](?:\s|$)|[\n?!。।！])")
_SAYS_ELSE = re.compile(
    r"\b(?:(?:is|was)(?! (?:the |my )?(?:answer|correct|right|final))|are|were|would|does|did|do|has|have|can|will"
    r"|not)\b",
    _I,
)
_OPERATES = re.compile(r"[=+*×÷<>≤≥]|\d\s*[-−–]\s*\d|\\(?:times|cdot|le|ge)")
_FIRST_OF_CLAUSE = re.compile(r"(\W{0,3}\d+)[,;，、]\s.*", re.DOTALL)


def corrected(rest: str, in_a_mark: bool = False) -> str | None:
    """What the last correction in the text after an answer says; empty if it only takes the answer back; None without
    a correction. "Final: 9" corrects what is not in a mark.
    """
    if _ONLY_VALUE.fullmatch(rest):
        return None
    stated = None if in_a_mark else _STATED.match(rest)
    if _AT_ONCE.match(rest, stated.end() if stated is not None else 0):
        return ""
    rest = rest[-LONGEST_REST:]
    said = None
    patterns = (_CORRECTED, _SHOULD_BE, _CORRECT_ONE) if in_a_mark else (_CORRECTED, _SHOULD_BE, _FINAL)
    for end in sorted(match.end() for pattern in patterns for match in pattern.finditer(rest)):
        value = first_sentence(rest[end:]).strip().strip("*").strip()
        plain = _FIRST_OF_CLAUSE.sub(r"\1", value)
        if (
            len(plain) <= _LONGEST_VALUE
            and not _OPERATES.search(plain)
            and not _SAYS_ELSE.search(plain)
            and len(plain.split()) <= 1 + _MOST_WORDS
        ):
            said = plain
    if said is None and _TAKEN_BACK.search(rest):
        return ""
    return said


def begins_with_value(text: str) -> bool:
    """Tell whether a text begins with a number or formula."""
    return re.match(_VALUE, text, re.IGNORECASE) is not None
