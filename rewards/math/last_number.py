"""The last number of the last sentence that has one, as lm-evaluation-harness's flexible extraction reads prose.

Deviations, all of which read less or read more exactly: a sign, fraction, time or date is one number with its digits; a
formula counts as a number; the only bold number of a sentence is its number. Passed over are labels ("Step 3"), the
numbers of lists, addresses of the web, questions, words to the reader ("I hope this helps"), and, where the sentence
has another number, what only explains it: in brackets, after "because", "than" or "out of", ordinals, and numbers
before a hyphen ("a 5-day week"). A unit is read with its number. Alternatives are read together; a range, a number that
is denied, only a bound, or only a part of a value ("half of 96"), and a calculation without result give no number, and
neither do the sentences before.
"""

import re
from dataclasses import dataclass

from rewards.math.phrases import ALTERNATIVES
from rewards.math.sentences import NUMBER_WORD, PART_WORD, formulae, inside, is_name, sentences
from rewards.math.units import dimensions

_URL = re.compile(r"https?://\S++")
_LIST = re.compile(r"^[ \t>*_#]*+(?:\d{1,3}[.)][*_]*+|[-•+*])[ \t]++(?=\S)", re.MULTILINE)
_LAST_ITEM = re.compile(r"\n[ \t]*+\d{1,3}[.)]\s*+$")
_TO_THE_READER = re.compile(
    r"\b(?:hope|let me know|feel free|happy to help|glad to|if you (?:have|need|want|would)|please (?:let|ask)|"
    r"thanks|thank you|confidence)\b",
    re.IGNORECASE,
)
_BOLD = re.compile(
    r"\*\*(?=\S)([^*\n]{1,200})(?<=\S)\*\*|\\textbf\s*+\{([^{}]{1,200})\}|__(?=\S)([^_\n]{1,200})(?<=\S)__"
)
_DRESS = re.compile(
    r"\*\*|__|`|\\(?=[$%#&])|(?<![^\s(\"'])[*_](?=\S)|(?<=\S)[*_](?![^\s.,;:!?)\"'])"
    r"|\\(?:text(?:bf|it|rm)?|mathbf|mathrm|emph|underline)\s*+(?=\{)"
)

_FORMULA = "\ue000"  # stands for a formula
_MONTH = r"(?:jan|febr?|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:[a-z]{2,7})?\.?"
_DATE = (
    rf"\b{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s\d{{4}}\b)?|\b\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH}(?![a-z])(?:,?\s\d{{4}}\b)?"
    r"|\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b"
)
_TIME = r"\b\d{1,2}:\d\d(?::\d\d)?(?:\s?[ap]\.?m\b\.?)?|\b\d{1,2}\s?(?:[ap]m\b|[ap]\.m\.)"
_LATEX = (
    r"(?:-?\d++(?:\.\d++)?\s?)?\\(?:[dtc]?frac|sqrt|pi|binom)(?![a-z])(?:\s?\[\d\])?(?:\s?\{(?:[^{}]|\{[^{}]*\})*+\})*+"
    r"|-?(?:\d++(?:\.\d++)?\s?)?(?:√\s?(?:\d++|\(\d++\))|\bsqrt\s?\(\d++\))|-?\b\d++(?:\.\d++)?\s?(?:π|pi\b)"
)
_DIGITS = (
    r"(?:\d{1,3}(?: \d{3})++(?![\d.,]*\d)|\d++(?:[.,'’\u00a0\u202f]\d++)*+(?:(?<=\d)\s\d++(?=\s?/\s?\d))?+|\.\d++)"
)
_AFTER = (
    r"(?:\s?/\s?\d++(?![\d/]))?+(?:\s?[x×*]\s?10\^\{?[-+]?\d++\}?|[eE][-+]?\d++\b|\^\{?-?\d++\}?|[²³])?+(?:\s?[½⅓⅔¼¾⅕⅛])?+"
    r"(?:\s?(?:%|percent\b|per cent\b|pct\b)|\s(?:hundred|thousand|million|billion|trillion)\b|\s?[€£$¥](?!\d))?+"
)
_TOKEN = re.compile(
    rf"(?P<formula>{_FORMULA})|(?P<latex>{_LATEX})|(?P<date>{_DATE})|(?P<time>{_TIME})"
    rf"|(?P<ratio>(?<![\w.,])\d++(?:\.\d++)?(?:\s?:\s?\d++(?:\.\d++)?)++)"
    rf"|(?P<number>(?<![A-Za-z0-9_^])(?<![A-Za-z]-)(?<!\w[.,'])[-+−–]?+(?:[$£€¥₹]\s?)?+(?:{_DIGITS}{_AFTER}|[½⅓⅔¼¾⅕⅛]))",
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_ATTACHED = re.compile(r"[A-Za-z]{1,3}(?:[²³]|\^\d)?(?![A-Za-z])")
_UNIT = re.compile(r"\s([A-Za-z]{2,12})(?![A-Za-z²³^-]|\s?/|\s(?:per|an?|each|every)\b)")
_AND_LESS = r",?\s?(?:and\s)?\d+\s?"
_COMPOUND = re.compile(
    rf"\s?(?:(?:hours?|hrs?|h){_AND_LESS}(?:minutes?|mins?|m)|(?:minutes?|mins?){_AND_LESS}(?:seconds?|secs?|s)"
    rf"|(?:feet|foot|ft){_AND_LESS}(?:inch(?:es)?|in)|dollars?{_AND_LESS}cents?|(?:pounds?|lbs?){_AND_LESS}(?:ounces?|oz)"
    rf"|years?{_AND_LESS}months?)\b",
    re.IGNORECASE,
)
_HYPHEN = re.compile(r"-[A-Za-z]")

# What stands before a number.
_LABEL = re.compile(
    r"\b(?:step|part|problem|question|example|exercise|section|figure|table|equation|case|method|approach|note|hint)\s*#?$",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:\bnot|n't|\bcannot|\bnever|\bno longer)(?:\s+(?:be|equal|equal to|exactly|just|simply|the|a|to|have|get))*\s*$"
    r"|\b(?:any|every|all)(?:thing|one)?\s+(?:but|except|other than)\s+$|(?<!\w)[<>≤≥≠]=?\s*\$?$|!=\s*\$?$"
    r"|\b(?:at most|at least|up to|nearly|almost|over|above|below|under|between|"
    r"(?:more|less|fewer|greater|smaller|larger|higher|lower) than)\s+\$?$",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(
    r"\b(?:than\b[^,;]*|instead of |out of (?:the |a total of |all )?|of (?:the|those|these|all) )$|, (?:and )?not $",
    re.IGNORECASE,
)
# A number after this is a part of what is meant, whether or not there is another number.
_PART = re.compile(
    r"(?:\b(?:half|twice|double|triple|thirds?|quarters?|percent)(?: of)?(?: the)?|%\s+of(?: the)?)\s+\$?$"
    r"|\b(?:log|ln|sin|cos|tan|mod)\s$|\b(?:log|ln|sin|cos|tan|exp|mod|[a-z])\($",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(r"\s+(?:is|was|are|were)(?:n't|\s+(?:not|never|wrong|incorrect))\b", re.IGNORECASE)
_REASON = re.compile(r"\b(?:because|since)\b", re.IGNORECASE)
_UNFINISHED = re.compile(
    r"[\d)%\ue000]\s*(?:[-+−–×*·÷/~]|\bx|\bplus|\bminus|\btimes|\bdivided by)\s*[$£€¥₹(]*$", re.IGNORECASE
)
_RANGE = re.compile(r"(?<!from )(?<!from \$)(?<![\d.,])[\d.,]+\s+to\s+\$?$", re.IGNORECASE)
_SIGN = re.compile(r"[\d)%\ue000]\s+$")

_HEDGE = re.compile(
    rf"{ALTERNATIVES.pattern}|\b(?:might|could)\s+(?:also\s+|well\s+)?be\b",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(r"\W*(?:or|maybe|perhaps|possibly|alternatively)\b", re.IGNORECASE)
_LINK = re.compile(
    r"\s*(?:[,;]\s*)?(?:(?P<word>and|or|&|or else|y|et|und|oder|ou|o|или|або|и|hoặc|atau|veya|ya da|oppure|lub|albo|"
    r"या|یا|বা|또는|または|もしくは|和|与|或|或者|أو|و)\s*)?",
    re.IGNORECASE,
)

_IN_WORDS = re.compile(
    rf"(?:(?<!\w)-)?\b{NUMBER_WORD}(?:(?:[ -]|(?<=hundred) and ){NUMBER_WORD}|[ -](?:hundred|thousand))*\b"
    rf"(?:(?:[ -]| and (?:a|one) ){PART_WORD}\b)?",
    re.IGNORECASE,
)
_NO_COUNT_BEFORE = re.compile(
    r"(?:\b(?:the|these|those|all|both|other|first|last|next|every|each|my|your|his|her|its|our|their|no|any|some)|'s)\s+$"
    r"|\w-$|\bout of\s+$",
    re.IGNORECASE,
)
_NO_COUNT_AFTER = re.compile(
    rf"-|\s*(?:times|another|{PART_WORD})\b|\s+(?:ways?|methods?|million|billion|trillion|dozen|and an? \w+)\b"
)


@dataclass(frozen=True, slots=True)
class _Token:
    """A number of a sentence. `explains`: it counts only where there is no other. `denied`: it is no value."""

    start: int
    end: int
    text: str
    explains: bool
    denied: bool


def last_number(text: str) -> tuple[str, str, str]:
    """The number that prose ends with, the one in words that follows it, and the sentence of the number (of the one in
    words, if it is the only one); an empty string where there is none.
    """
    text, listed = _LIST.subn("", _URL.sub(" ", text.replace(_FORMULA, " ")))
    if listed:
        text = _LAST_ITEM.sub("", text)
    has_digits = any(map(str.isdigit, text))
    in_words, stated = "", ""
    found = sentences(text)
    for place in range(len(found) - 1, -1, -1):
        sentence = found[place]
        if sentence.rstrip(" \n*_\"')").endswith(("?", "？")) or _TO_THE_READER.search(sentence):
            continue
        plain, values, bold = _undressed(sentence)
        tokens = _tokens(plain, values)
        if tokens:
            reading = _reading(
                plain, [token for token in tokens if bold is None or bold[0] <= token.start < bold[1]] or tokens
            )
            uncertain = _OTHERWISE.match(plain) is not None and place > 0
            return ("", "", "") if uncertain or not reading else (reading, in_words, sentence)
        if not in_words:
            counts = _counts(plain, has_digits)
            if counts and (_HEDGE.search(plain) and len(counts) > 1 or _OTHERWISE.match(plain)):
                return "", "", ""
            in_words, stated = (counts[-1], sentence) if counts else ("", "")
    return "", in_words, stated


def _undressed(sentence: str) -> tuple[str, list[str], tuple[int, int] | None]:
    """A sentence without Markdown and with `_FORMULA` for each formula, the formulae, and the span of its only bold
    number.
    """
    values = [inside(formula) for formula in formulae(sentence)]
    for formula in reversed(formulae(sentence)):
        sentence = f"{sentence[: formula.start()]}{_FORMULA}{sentence[formula.end() :]}"
    bold = [span for span in _BOLD.finditer(sentence) if _gives_number(span[0])]
    if len(bold) != 1:
        return _DRESS.sub("", sentence), values, None
    before, within = _DRESS.sub("", sentence[: bold[0].start()]), _DRESS.sub("", bold[0][0])
    return before + within + _DRESS.sub("", sentence[bold[0].end() :]), values, (len(before), len(before) + len(within))


def _gives_number(bold: str) -> bool:
    """Whether bold type has a number, and is not the head of what follows ("**Day 2:**")."""
    return (_FORMULA in bold or any(map(str.isdigit, bold))) and not bold.rstrip("*_} ").endswith((":", "："))


def _tokens(plain: str, values: list[str]) -> list[_Token]:
    """The numbers of a sentence, labels left out."""
    tokens: list[_Token] = []
    formula = iter(values)
    reason = _REASON.search(plain)
    for match in _TOKEN.finditer(plain):
        before = plain[max(0, match.start() - 60) : match.start()]
        text, end, explains = match[0], match.end(), False
        if match["formula"]:
            text = next(formula)
            if not text or is_name(text):
                continue
        elif match["number"]:
            if _LABEL.search(before):
                continue
            after = plain[end : end + 20]
            ordinal, attached = _ORDINAL.match(after), _ATTACHED.match(after)
            explains = ordinal is not None or _HYPHEN.match(after) is not None
            if attached is not None and ordinal is None:
                text += attached[0]
            elif (unit := _UNIT.match(plain, end)) is not None and unit[1].lower() != "in" and dimensions(unit[1]):
                text += unit[0]
        if text[0] in "-+−–" and _SIGN.search(before):  # no sign, but minus or plus
            before, text = before + text[0], text[1:]
        is_part = _PART.search(before) is not None
        explains = explains or is_part or _EXPLAINS.search(before) is not None or _is_aside(plain, match.start(), end)
        explains = explains or _follows(reason, match, tokens)
        denied = is_part or _is_denied(before) or _DENIED_AFTER.match(plain, end) is not None
        tokens.append(_Token(match.start(), end, text.strip(), explains, denied))
    return tokens


def _follows(reason: re.Match[str] | None, match: re.Match[str], tokens: list[_Token]) -> bool:
    """Whether a number stands after "because", and another one before it."""
    return reason is not None and bool(tokens) and tokens[0].start < reason.start() < match.start()


def _is_denied(before: str) -> bool:
    return any(pattern.search(before) for pattern in (_DENIED, _UNFINISHED, _RANGE))


def _is_aside(plain: str, start: int, end: int) -> bool:
    """Whether a place is in brackets."""
    return plain.rfind("(", 0, start) > plain.rfind(")", 0, start) and plain.find(")", end) >= 0


def _reading(plain: str, tokens: list[_Token]) -> str:
    """What a sentence with these numbers gives; empty if that is not one value."""
    chosen = [token for token in tokens if not token.explains] or tokens
    last = len(chosen) - 1
    if chosen[last].denied:
        return ""
    if last and (compound := _COMPOUND.match(plain, chosen[last - 1].end)) and compound.end() >= chosen[last].end:
        return plain[chosen[last - 1].start : compound.end()]
    first = last
    while first > 0 and _linked(plain, chosen[first - 1], chosen[first], first == last):
        first -= 1
    if first < last:
        return ", ".join(token.text for token in chosen[first:])
    return "" if len(chosen) > 1 and _HEDGE.search(plain) else chosen[last].text


def _linked(plain: str, one: _Token, other: _Token, is_last: bool) -> bool:
    """Whether two numbers are one answer: "2 and 3", "2, 3" at the end of a sentence; not "in 2023, 500 people"."""
    link = _LINK.fullmatch(plain[one.end : other.start])
    if link is None or not link[0].strip():
        return False
    return link["word"] is not None or not is_last or not any(map(str.isalnum, plain[other.end :]))


def _counts(plain: str, has_digits: bool) -> list[str]:
    """The numbers in words of a sentence that count something. "One" is rarely a number where others are in digits."""
    return [
        match[0]
        for match in _IN_WORDS.finditer(plain)
        if not (match[0].lower() == "one" and (has_digits or plain.startswith(" of ", match.end())))
        and not _NO_COUNT_BEFORE.search(plain[max(0, match.start() - 20) : match.start()])
        and not _NO_COUNT_AFTER.match(plain, match.end())
        and not _is_denied(plain[max(0, match.start() - 60) : match.start()])
    ]
