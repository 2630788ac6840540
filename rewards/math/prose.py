"""The answer in plain prose, where no box or tag marks it."""

import re

from rewards.math.markers import announced

_TAIL = 3_000  # characters at the end that are searched for a statement
_SHORT = 200  # characters: a text of no more may be the answer as a whole

_END = re.compile(r"[.!?。！？।۔؟](?=\s|$|\")|\n[ \t\r]*+\n|\n(?= {0,3}[A-Z*#])")
_CONFIRMED = re.compile(
    r"(?<=[A-J)*])\s++is\s++(?:the\s++)?+(?:correct|right)(?:\s++(?:one|answer))?+$"
)  # "B is correct"
_HOPE = re.compile(r"\bI hope (?:it|this) is correct\b", re.IGNORECASE)
_STATES = re.compile(
    r"(?:\b(?:is|are|be|was|were|equals|get|gives|obtain|have|has|costs?|pays?|earns?|makes|needs|totals?|by|"
    r"exactly|of|to|than|only|there)\b|'s\b|=|:|≈|\\approx\b|是|为|有|共|得|هو|هي|equal to)\s*+",
    re.IGNORECASE,
)
_MATH = re.compile(r"\$\$(.{1,600}?)\$\$|\$([^$]{1,600})\$|\\\[(.{1,600}?)\\\]|\\\((.{1,600}?)\\\)", re.DOTALL)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,)])[-+−]?+(?:[$£€¥]\s?+)?+(?:\d{1,3}(?:,\d{3})++(?!\d)|\d++(?:,\d{1,2}(?!\d))?+)?+(?:\.\d++)?+(?:\s?+/\s?+\d++)?+"
    r"(?:\s?+(?:\\?%|percent\b|pct\b|m²|[€£$]))?+"
)
_JOIN = re.compile(r"[\s,;]*+(?:\b(?:and|or)\b)?[\s,;]*+")
_QUOTES = re.compile(r"^\\?\"|\\?\"\.?$")
_HEDGE = re.compile(r"\b(?:or|either|maybe|perhaps|possibly|alternatively)\b|或|أو", re.IGNORECASE)


def last_statement(text: str, only_announced: bool, flexible: bool) -> tuple[str, ...]:
    """Readings of the answer that a text states last; nothing if it states none, or if none is announced and
    `only_announced` is true. Not `flexible`: of prose only a formula that ends it.
    """
    hopes = [mark.start() for mark in _HOPE.finditer(text)]
    if hopes:
        text = text[: hopes[-1]]
    start = announced(text)
    if start is not None:
        said = _CONFIRMED.sub("", _first_sentence(text[start:]))
        if said:
            return (said, *sentence(said))
    if only_announced:
        return ()
    whole = text.strip()
    short = (whole,) if len(whole) <= _SHORT and "\n\n" not in whole else ()
    return (*short, *(_from_the_end(whole[-_TAIL:]) if flexible else _last_formula(whole[-_TAIL:])))


def sentence(text: str) -> tuple[str, ...]:
    """Shorter readings of a statement: the number after its last "is" or "=", its formulae, or its only number."""
    text = text.strip().rstrip(".!")[-_TAIL:]
    if _HEDGE.search(text) and len(_NUMBER.findall(text[:_SHORT])) > 1:
        return ()
    found = _stated(text)
    if found is not None:
        return (found,)
    numbers = [match[0] for match in _NUMBER.finditer(text[:_SHORT]) if any(map(str.isdecimal, match[0]))]
    return (numbers[0],) if len(numbers) == 1 and " " in text else ()


def _stated(text: str) -> str | None:
    """The formulae of a sentence, or the number that it states after them."""
    after = 0
    for match in _MATH.finditer(text):
        after = match.end()
    if after and len(text[after:].split()) < 2:
        return _formulae(text)
    return _stated_number(text[after:]) or (_formulae(text) if after else None)


def _from_the_end(text: str) -> tuple[str, ...]:
    """What the last sentence states which states something."""
    starts = [0, *(mark.end() for mark in _END.finditer(text)), len(text)]
    for start, end in reversed(list(zip(starts, starts[1:], strict=False))):
        found = _stated(text[start:end].strip())
        if found:
            return (found,)
    return ()


def _last_formula(text: str) -> tuple[str, ...]:
    """The formula that ends a text whose last sentence is short."""
    starts = [0, *(mark.end() for mark in _END.finditer(text.rstrip(". \n")))]
    last = text[starts[-1] :].strip().rstrip(".")
    formulae = _formulae(last) if len(last) <= _SHORT and last.endswith(("$", "\\]", "\\)")) else None
    return (formulae,) if formulae else ()


def _formulae(text: str) -> str | None:
    """The last formula of a sentence, with those before it that are joined to it by commas, "and" and "or"."""
    found = list(_MATH.finditer(text))
    if not found:
        return None
    last = len(found) - 1
    first = last
    while first > 0 and _JOIN.fullmatch(text[found[first - 1].end() : found[first].start()]):
        first -= 1
    parts = [next(group for group in match.groups() if group is not None) for match in found[first:]]
    after = text[found[last].end() :].strip()
    unit = after.split(maxsplit=1)[0].rstrip(".,") if first == last and after else ""
    return ", ".join(parts) + (" " + unit if unit in ("%", "\\%", "percent", "pct") else "")


def _stated_number(text: str) -> str:
    """The number after the last word that states something; with the ones beside it if it is one of several."""
    for states in reversed(list(_STATES.finditer(text))):
        number = _NUMBER.match(text, states.end())
        if number is not None and any(map(str.isdecimal, number[0])):
            rest = text[number.end() :]
            if _HEDGE.match(rest.lstrip(" ,")) or re.match(r"\s*+,\s?+\d", rest):
                return text[states.end() :]
            return number[0]
    return ""


def _first_sentence(text: str) -> str:
    """Up to the end of the first sentence that says something; a formula is not broken at its points."""
    text = text.lstrip(" \t\n:*\"'")[:2_500]
    ends = [mark.start() for mark in _END.finditer(text)]
    inside = [match.span() for match in _MATH.finditer(text)]
    for end in ends:
        if text[:end].strip() and not any(start < end < stop for start, stop in inside):
            return _unwrapped(text[:end])
    return _unwrapped(text)


def _unwrapped(text: str) -> str:
    return _QUOTES.sub("", text.strip().strip("*").strip())
