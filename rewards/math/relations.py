"""Equations, inequalities, and values with a name in front of them."""

import re

from rewards.math.clean import spaceless
from rewards.math.intervals import real_set
from rewards.math.macros import CONSTANTS, Tree
from rewards.math.numeric import proportional
from rewards.math.regions import same_region
from rewards.math.scalars import Decision, compare_scalars, is_text
from rewards.math.shapes import Relation
from rewards.math.tree import names, parse

_LETTER = (
    r"(?:[A-Za-z]|\\(?!frac|sqrt|log|ln|sin|cos|tan|sum|int|lim|binom|pi\b|infty)[A-Za-z]+\s?(?:\{[A-Za-z ]*\})?)"
    r"(?:_(?:\{[^{}]*\}|\w))?'*"
)
_SIMPLE = rf"(?:{_LETTER}(?:\([^()=<>]*\))?|[A-Z]{{1,4}}(?:_(?:\{{[^{{}}]*\}}|\w))?(?:\^2)?|[A-Za-z]{{3,}}|‹[^‹›]*›)"
_NAME = re.compile(
    rf"^(?:{_SIMPLE}|\|{_SIMPLE}\||\\frac\{{{_SIMPLE}\}}\{{{_SIMPLE}\}}|{_SIMPLE}[:/]{_SIMPLE}|m?\\angle\s?(?:[A-Z](?:_(?:\{{\w\}}|\w))?)+|"
    rf"\[[A-Z]+\]|\(\s?{_SIMPLE}(?:,\s?{_SIMPLE})*\s?\)|\\(?:max|min|det|gcd|lcm|sin|cos|tan|deg|dim|arg)\s?\(?[A-Za-z]\)?)$"
)
_FLIPPED = {"<": ">", ">": "<", "le": "ge", "ge": "le", "=": "=", "ne": "ne"}


def is_name(text: str) -> bool:
    """Whether the side of an equation is only a name for the other: `x`, `f(x)`, `|AB|`, `A:B`, `(p,q)`."""
    text = text.replace(" ", "")
    return len(text) <= 60 and _NAME.match(text) is not None


def named_value(relation: Relation) -> tuple[str, str] | None:
    """(name, value) of an equation that gives a value to a name; of a longer chain, its last value. None otherwise."""
    if any(sign != "=" for sign in relation.signs):
        return None
    sides = relation.sides
    if any(compare_scalars(sides[-1], side)[0] is False for side in sides[1:-1]):
        return None  # x = 5 = 6
    if is_name(sides[0]):
        return spaceless(sides[0]), sides[-1]
    if len(sides) == 2 and is_name(sides[1]) and parse(sides[0]) is not None:
        return spaceless(sides[1]), sides[0]
    return None


def chain_value(relation: Relation) -> tuple[bool | None, str] | None:
    """(whether its sides agree, last side) of a chain of equations without a name; None if it is none."""
    if any(sign != "=" for sign in relation.signs):
        return None
    agree: bool | None = True
    others = relation.sides[:-1] if len(relation.sides) == 2 else relation.sides[1:-1]  # x+y = 7+8 = 15 says 15
    for side in others:
        equal = compare_scalars(relation.sides[-1], side)[0]
        if equal is False:
            return False, relation.sides[-1]
        agree = None if equal is None else agree
    return agree, relation.sides[-1]


def is_unsolved(relation: Relation) -> bool:
    """Whether an equation has one unknown that is yet to be found, as in `\\log x = 7`, which does not say 7."""
    read = parse(relation.sides[0])
    return read is not None and len(names(read[0]) - CONSTANTS) == 1


def compare_relations(gold: Relation, answer: Relation) -> Decision:
    """Whether two equations or inequalities say the same."""
    if _same_sides(gold, answer):
        return True, "the same relation"
    wanted, given = real_set(gold), real_set(answer)
    if wanted is not None and given is not None:
        if wanted[0] != given[0]:
            return (
                (False, "about another unknown") if len(wanted[0]) == len(given[0]) == 1 else (None, "another unknown")
            )
        return same_region(wanted[1], given[1])
    if (wanted is None) != (given is None):
        return None, "relations of two kinds"
    if len(gold.sides) != 2 or len(answer.sides) != 2 or "in" in (gold.signs[0], answer.signs[0]):
        return None, "a chain of relations"
    return _by_values(gold, answer)


def _same_sides(gold: Relation, answer: Relation) -> bool:
    """Side by side, or turned round as a whole."""
    if len(gold.sides) != len(answer.sides):
        return False
    if gold.signs == answer.signs and _all_equal(gold.sides, answer.sides):
        return True
    turned = tuple(_FLIPPED.get(sign, "") for sign in reversed(answer.signs))
    return gold.signs == turned and _all_equal(gold.sides, tuple(reversed(answer.sides)))


def _all_equal(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    return all(compare_scalars(a, b)[0] is True for a, b in zip(gold, answer, strict=True))


def _by_values(gold: Relation, answer: Relation) -> Decision:
    """Left minus right of one must be a multiple of that of the other; a positive one for an inequality."""
    trees = [_difference(relation) for relation in (gold, answer)]
    if trees[0] is None or trees[1] is None:
        if any(map(is_text, (*gold.sides, *answer.sides))):
            return False, "different words"
        return None, "not read"
    factor = proportional(trees[0], trees[1])
    if factor is None:
        return None, "not decided by values"
    sign = answer.signs[0] if factor > 0 else _FLIPPED[answer.signs[0]]
    if factor == 0:
        polynomial = gold.signs[0] == "=" and all(_is_polynomial(tree) for tree in trees if tree is not None)
        return (False, "different equations") if polynomial else (None, "not decided by values")
    return sign == gold.signs[0], "a multiple of the same relation" if sign == gold.signs[
        0
    ] else "the relation turned round"


def _difference(relation: Relation) -> Tree | None:
    left, right = (parse(side) for side in relation.sides)
    if left is None or right is None or left[1] or right[1]:
        return None
    return ("add", left[0], ("neg", right[0]))


def _is_polynomial(tree: Tree) -> bool:
    operator = tree[0]
    if operator in ("num", "sym"):
        return True
    if operator in ("add", "neg", "mul"):
        return all(map(_is_polynomial, tree[1:]))
    if operator == "div":
        return _is_polynomial(tree[1]) and tree[2][0] == "num"
    return operator == "pow" and _is_polynomial(tree[1]) and tree[2][0] == "num"
