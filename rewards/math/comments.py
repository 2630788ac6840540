"""What is said of an answer after it: "42, not 41", "42 (not 41)", "42, the only even one", "not 41 but 42".

`claimed` leaves the answer alone in a statement that denies another value or comments on its own. A comment has no
alternative and no condition, so that nothing is hidden from `rewards.math.hedges`.
"""

import re

from rewards.math.compare import compare
from rewards.math.hedge_words import BOUND_AFTER, NOT, NOT_AFTER, OR, OR_SHORT, UNLESS
from rewards.math.sentences import NUMBER_WORD

_LONGEST = 300  # characters of a statement that are read
_I = re.IGNORECASE

_NUMBER = r"[-+−]?(?:[$£€¥₹]\s?)?(?:\d[\d.,/]*\d|\d)(?![\d^_])"
_VALUE = (
    rf"(?:\$[^$]{{1,80}}\$|\\\([^()]{{1,80}}\\\)|"
    rf"(?:[a-z]\s?=\s?)?[$*(\[]{{0,3}}{_NUMBER}\s?(?:\\?%)?[$*)\]]{{0,3}}"
    r"|[(*]{0,3}(?-i:[A-J])(?![^\W_])[)*]{0,3})"
)
_AND = r"(?:\b(?:and|but|y|et|und|e|en|og|och|a|а|и|та)\s|و|而)?"
_DENIED = re.compile(
    rf"[\s,;，、،—–(\[-]{{0,4}}{_AND}{NOT}[\s:]{{0,2}}{_VALUE}[)\]]{{0,2}}(?![\w^]|\W{{0,3}}(?:{OR}|{OR_SHORT}))"
    rf"(?!\s?[,;，、]\s?[-+−$]?\d)",
    _I,
)
_DENIED_AFTER = re.compile(rf"[\s,;，、،—–(\[-]{{0,4}}(?<![\w.]){_VALUE}\s?{NOT_AFTER}(?!(?<!なく)\s?\d|면)[)\]]?", _I)
_TWO = re.compile(r"\d.*?[^\d.,/].*?\d|\b[A-J]\b.*\b[A-J]\b", re.DOTALL)
_ONE = re.compile(r"\d|\b[A-J]\b")

_COMMENTED = re.compile(
    rf"(?P<value>\(?(?-i:[A-J])\)?|\**\$?{_NUMBER}\s?(?:\\?%)?\$?\**(?:\s[^\W\d_]{{1,12}}){{0,2}}?)"
    r"(?:\s?(?:[,;，、،]|--|[—–])\s?(?P<clause>[^\W\d_].*)|\s\(\s?(?P<aside>[^()]+)\)|\s\[(?P<note>[^\[\]]+)\])\W*",
    re.DOTALL,
)
# What begins or stands in a text that is more than a comment.
_OPEN = re.compile(
    rf"{OR}|{UNLESS}|{BOUND_AFTER}|\b(?:if|when|where|wenn|falls|si|se|если|case|mod|also|auch|aussi|también|anche|również)\b|[=<>≤≥\\]"
    rf"|^(?:and|y|et|und|e|и|та|i|en|og|och|ve|dan|và|then|plus|minus|times|but|though|although|by|per|sqrt|pi|{NUMBER_WORD})\b"
    r"|[,;]\s(?:and|y|et|und|e|и)\s\$?\d|^(?:和|与|或|と|و)",
    _I,
)
_WORD = re.compile(r"[\u2e80-\uffff]|[^\W\d_]{2,}")
_SAME = re.compile(r"\W*(?:(?:or|ou|oder|o|или|i\.?e\.?|equivalently|that is)\b[\s,.:]*)+(.*)", _I | re.DOTALL)


def claimed(said: str) -> str:
    """A statement without the values that it denies and the comment on the value that it begins with; as it is where no
    value would be left.
    """
    if len(said) > _LONGEST:
        return said
    if _TWO.search(said) is not None:
        left = _DENIED_AFTER.sub(" ", _DENIED.sub(" ", said)).strip(" ,;，、،")
        said = left if _ONE.search(left) else said
    found = _COMMENTED.fullmatch(said)
    if found is None:
        return said
    comment = found["clause"] or found["aside"] or found["note"]
    same = _SAME.fullmatch(comment)
    if same is not None:
        return found["value"] if compare(found["value"], same[1])[0] is True else said
    words = len(_WORD.findall(comment))
    first_digit = next((place for place, letter in enumerate(comment) if letter.isdigit()), len(comment))
    before = words if first_digit == len(comment) or not found["clause"] else len(_WORD.findall(comment[:first_digit]))
    enough = before >= (3 if found["clause"] and first_digit < len(comment) else 2)
    return found["value"] if enough and not _OPEN.search(comment) else said
