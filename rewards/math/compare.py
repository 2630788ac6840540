"""The rungs of the ladder that run in the trainer's process: text, numbers, structure, values. Nothing is evaluated
without a bound, time is linear in the length of the answer, and nothing raises.

Each rung says "equal", "different" only where it is sure, or passes on; what is left is for math-verify, in a process
that can be killed.
"""

import functools
import re

from rewards.math.choices import choices
from rewards.math.clean import clean, spaceless
from rewards.math.grouping import joined_in_brackets, readings
from rewards.math.qualifiers import contradict, qualified
from rewards.math.scalars import Decision, is_text, same_words
from rewards.math.shapes import shape
from rewards.math.structure import compare_shapes

_LETTERED = re.compile(r"^(?:‹\s?\(?[A-J]\)?[.:]?\s?›|[A-J]\))[\s.:]*+(\S.*)$", re.DOTALL)  # the choice "(E) 12"


@functools.lru_cache(maxsize=8192)
def _undressed(text: str) -> tuple[str, frozenset[str], str]:
    """(a text without its dress, the kinds of numbers that its letters are, its likeliest reading), remembered: the
    completions of a group share their gold answer, and often their answers.
    """
    formula, kinds = qualified(clean(text))
    return formula, kinds, readings(formula)[0]


def cleaned(text: str) -> str:
    """The likeliest reading of a text without its dress."""
    return _undressed(text)[2]


def compare(gold: str, answer: str) -> Decision:
    """Whether an answer equals the gold answer, both as they were written."""
    if gold.strip() == answer.strip():
        return True, "equal as text"
    (formula, kinds, a), (other, other_kinds, b) = _undressed(gold), _undressed(answer)
    if not b.strip(" .,;:!?"):
        return False, "an empty answer"
    decided = _compare(a, b)
    if decided[0] is not True and ("," in formula or "," in other):
        decided = _read_otherwise(formula, other) or decided
    if decided[0] is True and kinds and contradict(kinds, other_kinds):
        return False, "letters of other kinds"
    return decided


def _compare(a: str, b: str) -> Decision:
    if spaceless(a) == spaceless(b):
        return True, "equal as text"
    if is_text(a) and same_words(a, b):
        return True, "the same words"
    choice = choices(a, b)
    if choice is not None:
        return choice
    lettered = _LETTERED.match(b)
    if lettered is not None and _LETTERED.match(a) is None:
        b = lettered[1]
    return compare_shapes(shape(a), shape(b), a, b)


def _read_otherwise(gold: str, answer: str) -> Decision | None:
    """Equality where commas are read in one of the other ways that there are; None without."""
    for a in readings(gold):
        for b in dict.fromkeys((*readings(answer), joined_in_brackets(answer))):
            if compare_shapes(shape(a), shape(b), a, b)[0] is True:
                return True, "equal in a reading of its commas"
    return None
