"""Letters of choices: `B`, `(B)`, `[B]`, `B) 40`, `B: Paris`, `B because ...`."""

import re

from rewards.math.clean import spaceless

_CHOICE = re.compile(r"^[(\[]?\s*+([A-JPa-j])\s*+(?:[])]\s*+[.:]?|[.:]|$)(?P<text>.*)$", re.DOTALL)
_REASON = re.compile(
    r"^[(\[]?([A-J])[)\]]?(?:[\s,.;:-]*+(?:because|since|due to|given that|as the|as it|as they|as we)\b"
    r"|\s++is\s++(?:the\s++)?(?:correct|right|best|true)\b|\s++-\s++(?=[A-Za-z]{3}))"
)
_VALUED = re.compile(r"^‹\s?([A-J])\s?›\s?[:.]?\s?(?=[-§\d]|‹)(.*)$", re.DOTALL)  # \textbf{E} 40
_ANOTHER = re.compile(r"^\s*+(?:[,;/&∧∨]|and\b|or\b)|\([A-J]\)|\[[A-J]\]|\b[B-J]\)|[∧∨]\s?[(\[]?[A-J]\b")
_OPTION = re.compile(
    r"^(?:the\s+)?(?:correct\s+)?(?:option|choice|answer|letter)\s*+(?:is\s*+)?:?\s*+(?=[(\[]?[A-Ja-j]\b)",
    re.IGNORECASE,
)
SIGN_OF_FORMULA = re.compile(r"[\\^_{}=<>+*/|]|\d")

Choice = tuple[str, str]  # the letter, and the text of the choice or an empty string


def choices(gold: str, answer: str) -> tuple[bool, str] | None:
    """The decision where the gold answer is a letter, alone or with its text; None where it is not."""
    wanted = choice_letter(gold)
    if wanted is None:
        return None
    given = _letter(_OPTION.sub("", answer))
    if given is None:
        if wanted[1] and spaceless(wanted[1]).casefold() == spaceless(answer).casefold():
            return True, "the text of the choice"
        return (False, "no choice among letters") if not wanted[1] else None
    if given[0] == wanted[0] or (wanted[0].isupper() and given[0].upper() == wanted[0]):
        return True, "the same choice"
    return False, "another choice"


def choice_letter(text: str) -> Choice | None:
    """(letter, what stands beside it) of a cleaned text that names a choice, or None."""
    letter = _letter(text)
    return letter if letter and (letter[0].isupper() or text.lstrip("‹ ").startswith(("(", "["))) else None


def _letter(text: str) -> Choice | None:
    bare = text.replace("‹", " ").replace("›", " ").strip()
    if bare[:2].isalnum() and len(bare) > 1:  # a word or number
        return None
    reason = _REASON.match(bare) or _VALUED.match(text)
    if reason is not None:
        return reason[1], ""
    match = _CHOICE.match(bare)
    if match is None or (
        match["text"] and SIGN_OF_FORMULA.match(match["text"].strip()[:1]) is not None and bare[0] not in "([ABCDEFGHIJ"
    ):
        return None
    if _ANOTHER.search(match["text"]) or match["text"].startswith(("_", "^")):
        return None
    if bare[0] in "([" and match["text"] and bare[:4].count(")") + bare[:4].count("]") == 0:
        return None
    return match[1], match["text"].strip(" ]).:")
