"""Comparison by structure: lists, tuples, sets, intervals, unions, matrices, ratios and relations, item by item."""

import re
from collections.abc import Sequence

from rewards.math.clean import words
from rewards.math.intervals import BOUNDS, is_finite, is_region, may_be_interval, real_set
from rewards.math.regions import same_region
from rewards.math.relations import chain_value, compare_relations, is_name, is_unsolved, named_value
from rewards.math.scalars import Decision, compare_scalars, is_formula, is_text
from rewards.math.shapes import Group, Relation, Scalar, Shape, Union, shape
from rewards.math.times import is_clock, ratio

MOST_PAIRS = 900  # comparisons within one set

_ELLIPSIS = re.compile(r"\\ldots|\.\.\.")


def compare_shapes(gold: Shape, answer: Shape, a: str = "", b: str = "") -> Decision:
    """Whether two answers say the same; `a` and `b` are their texts, where they are known."""
    regions = _regions(gold, answer)
    if regions is not None:
        return regions
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return _with_relation(gold, answer)
    if isinstance(gold, Scalar) and isinstance(answer, Scalar):
        decided = compare_scalars(gold.text, answer.text)
        return decided if decided[0] is not None else _sets(gold, answer) or decided
    if isinstance(gold, Scalar) and isinstance(answer, Group) and is_text(a):
        return (False, "different words") if words(a) != words(b) else (True, "the same words")
    if isinstance(gold, Group) and isinstance(answer, Group):
        return _groups(gold, answer)
    if isinstance(gold, Union) or isinstance(answer, Union):
        return _unions(gold, answer) or _no_value(gold, answer) or (None, "not decided as sets")
    return _group_and_scalar(gold, answer)


def _regions(gold: Shape, answer: Shape) -> Decision | None:
    """The decision where one side can be nothing but a set of real numbers; None where that does not decide."""
    regions = is_region(gold), is_region(answer)
    if not any(regions):
        return None
    wanted, given = real_set(gold), real_set(answer)
    if wanted is not None and given is not None:
        if wanted[0] and given[0] and wanted[0] != given[0]:
            return (False, "about another unknown") if len(wanted[0]) == len(given[0]) == 1 else None
        return same_region(wanted[1], given[1])
    members = _members(gold), _members(answer)
    if members != (gold, answer):
        return compare_shapes(*members)
    if not all(regions) and any(map(is_finite, (gold, answer))) and any(map(_is_range, (gold, answer))):
        return False, "values for an interval" if regions[0] else "an interval for values"
    return None


def _members(found: Shape) -> Shape:
    """The set on the right of `x \\in ...`; every other answer as it is."""
    is_membership = isinstance(found, Relation) and found.signs == ("in",) and is_name(found.sides[0])
    return shape(found.sides[1]) if isinstance(found, Relation) and is_membership else found


def _is_range(found: Shape) -> bool:
    """Whether an answer bounds something, or is an interval that no point is written like."""
    if isinstance(found, Relation):
        return any(sign in BOUNDS for sign in found.signs)
    return isinstance(found, Union) or (isinstance(found, Group) and found.kind == "tuple")


def _sets(gold: Shape, answer: Shape) -> Decision | None:
    wanted, given = real_set(gold), real_set(answer)
    return None if wanted is None or given is None else same_region(wanted[1], given[1])


def _with_relation(gold: Shape, answer: Shape) -> Decision:
    """At least one side is an equation or inequality."""
    wanted = named_value(gold) if isinstance(gold, Relation) else None
    given = named_value(answer) if isinstance(answer, Relation) else None
    if wanted is not None and given is not None:
        if wanted[0] != given[0] and len(wanted[0]) == len(given[0]) == 1:
            return _equations(gold, answer)
        return _texts(wanted[1], given[1])
    if wanted is not None and not isinstance(answer, Relation):
        return compare_shapes(shape(wanted[1]), answer)
    if given is not None and not isinstance(gold, Relation):
        return compare_shapes(gold, shape(given[1]))
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return compare_relations(gold, answer)
    return _relation_and_other(gold, answer)


def _equations(gold: Shape, answer: Shape) -> Decision:
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        decided = compare_relations(gold, answer)
        return decided if decided[0] is not None else (False, "about another unknown")
    return None, "no equations"


def _relation_and_other(gold: Shape, answer: Shape) -> Decision:
    relation, other = (gold, answer) if isinstance(gold, Relation) else (answer, gold)
    assert isinstance(relation, Relation)
    chain = chain_value(relation)
    if chain is not None:
        if chain[0] is True:
            return compare_shapes(other, shape(chain[1]))
        unsolved = chain[0] is False or is_unsolved(relation)
        return (False, "an equation for a value") if unsolved else (None, "not decided")
    bounded = any(sign in BOUNDS or sign == "ne" for sign in relation.signs)
    if isinstance(other, Scalar) and (real_set(relation) is not None or (bounded and is_formula(other.text))):
        return False, "an inequality for a value"
    return None, "a relation against something else"


def _texts(gold: str, answer: str) -> Decision:
    return compare_shapes(shape(gold), shape(answer), gold, answer)


def _group_and_scalar(gold: Shape, answer: Shape) -> Decision:
    """A list, tuple or set against one value."""
    group, scalar = (gold, answer) if isinstance(gold, Group) else (answer, gold)
    assert isinstance(group, Group)
    if group.kind in ("list", "set") and (single := _distinct(group.items)) is not None:
        return compare_shapes(single, answer) if group is gold else compare_shapes(gold, single)
    if group.kind == "ratio" and isinstance(scalar, Scalar) and is_clock(scalar.text):
        parts = [Scalar(part) for part in ratio(scalar.text)]
        return _in_order(group.items, parts, "ratio") if group is gold else _in_order(parts, group.items, "ratio")
    if group.kind == "ratio" and len(group.items) == 2:
        quotient = Scalar("\\frac{" + "}{".join(item.text for item in group.items if isinstance(item, Scalar)) + "}")
        return compare_shapes(quotient, answer) if group is gold else compare_shapes(gold, quotient)
    if isinstance(scalar, Scalar) and is_text(scalar.text):
        return False, "different words"
    if group.kind == "list":
        return False, "several answers for one" if group is answer else "one answer for several"
    return _no_value(gold, answer) or (None, "a group against a value")


def _unions(gold: Shape, answer: Shape) -> Decision | None:
    """Equality of two unions part by part, where their bounds have letters; None where that does not show it."""
    if not isinstance(gold, Union) or not isinstance(answer, Union):
        return None
    decided = _unordered(gold.parts, answer.parts)
    return decided if decided[0] else None


def _no_value(gold: Shape, answer: Shape) -> Decision | None:
    """A formula is no group, union or matrix, nor the other way round."""
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Scalar) and not isinstance(other, Scalar) and is_formula(one.text):
            return False, "a value for a group" if one is answer else "a group for a value"
    return None


def _distinct(items: Sequence[Shape]) -> Shape | None:
    """The item, if all are the same one."""
    first = items[0] if items else None
    return first if first and all(compare_shapes(first, item)[0] is True for item in items[1:]) else None


def _groups(gold: Group, answer: Group) -> Decision:
    if "matrix" in (gold.kind, answer.kind):
        return _matrices(gold, answer)
    if gold.kind == "ratio" and answer.kind == "ratio":
        return _in_order(gold.items, answer.items, "ratio")
    if gold.kind == "tuple" and answer.kind == "tuple":
        return _tuples(gold, answer)
    if gold.kind == answer.kind == "list" and (decided := _labelled(gold, answer)) is not None:
        return decided
    if "tuple" in (gold.kind, answer.kind):
        return _list_and_tuple(gold, answer)
    if any(_ELLIPSIS.search(item.text) for item in (*gold.items, *answer.items) if isinstance(item, Scalar)):
        return _in_order(gold.items, answer.items, "sequence")
    return _unordered(gold.items, answer.items)


def _tuples(gold: Group, answer: Group) -> Decision:
    brackets = {"()" if group.brackets == "][" else group.brackets for group in (gold, answer)}
    if len(gold.items) == 2 and len(brackets) > 1:
        return False, "other brackets"
    return _in_order(gold.items, answer.items, "tuple")


def _list_and_tuple(gold: Group, answer: Group) -> Decision:
    """`x=1, y=2` or `1, 2` against `(1, 2)`: in order. A set is not a tuple, nor is an interval a list.

    `(2, 5)` may be an interval, so it is not paid for two values, nor are `2 or 5`, `2 and 5` and `x = 2, 5` for it.
    The answer `2, 5` alone is taken for a point without its brackets. Values with two names are the coordinates of a
    point, and `(5, 2)` is nothing else.
    """
    bare, ordered = (gold, answer) if answer.kind == "tuple" else (answer, gold)
    if bare.kind != "list" or "[" in ordered.brackets and "]" not in ordered.brackets:
        return False, "a set for a tuple" if bare.kind == "set" else "other brackets"
    if any(isinstance(item, Group) for item in bare.items):
        return False, "several answers for one"
    if ordered.brackets == "[]":
        return _unordered(gold.items, answer.items) if len(ordered.items) > 2 else (False, "an interval for a list")
    if all(isinstance(item, Relation) for item in bare.items):
        values = [named_value(item) for item in bare.items if isinstance(item, Relation)]
        named = [value for value in values if value is not None]
        if len(named) == len(bare.items):
            if len({name for name, _ in named}) < len(named):
                return False, "several values of one unknown"
            bare = Group("list", tuple(shape(value) for _, value in sorted(named)))
    elif may_be_interval(ordered) and (answer is ordered or bare.brackets or _has_relation(bare)):
        return False, "values for a pair"
    return (
        _in_order(bare.items, ordered.items, "tuple")
        if answer is ordered
        else _in_order(ordered.items, bare.items, "tuple")
    )


def _has_relation(group: Group) -> bool:
    return any(isinstance(item, Relation) for item in group.items)


def _labelled(gold: Group, answer: Group) -> Decision | None:
    """`a=3, b=4` against `b=4, a=3`: by name. None unless all items have the same distinct names."""
    tables = []
    for group in (gold, answer):
        named = [named_value(item) for item in group.items if isinstance(item, Relation)]
        pairs = dict(value for value in named if value is not None)
        if len(pairs) != len(group.items) or len(pairs) < 2:
            return None
        tables.append(pairs)
    if tables[0].keys() != tables[1].keys():
        return None
    return _all([_texts(value, tables[1][name]) for name, value in tables[0].items()], "list")


def _matrices(gold: Group, answer: Group) -> Decision:
    if gold.kind != answer.kind:
        matrix, other = (gold, answer) if gold.kind == "matrix" else (answer, gold)
        flat = [item for row in matrix.items if isinstance(row, Group) for item in row.items]
        vector = len(matrix.items) == 1 or all(isinstance(row, Group) and len(row.items) == 1 for row in matrix.items)
        if not vector or other.kind != "tuple":
            return (False, "no matrix") if other.kind in ("tuple", "set", "list") else (None, "not decided")
        return _in_order(flat, other.items, "vector") if matrix is gold else _in_order(other.items, flat, "vector")
    if len(gold.items) != len(answer.items):
        return False, "matrices of different size"
    rows = [
        (a, b) for a, b in zip(gold.items, answer.items, strict=True) if isinstance(a, Group) and isinstance(b, Group)
    ]
    return _all([_in_order(a.items, b.items, "matrix") for a, b in rows], "matrix")


def _in_order(gold: Sequence[Shape], answer: Sequence[Shape], what: str) -> Decision:
    if len(gold) != len(answer):
        return False, f"a {what} of another length"
    if what == "ratio":
        return _ratios(gold, answer)
    return _all([compare_shapes(a, b) for a, b in zip(gold, answer, strict=True)], what)


def _ratios(gold: Sequence[Shape], answer: Sequence[Shape]) -> Decision:
    same = _all([compare_shapes(a, b) for a, b in zip(gold, answer, strict=True)], "ratio")
    if same[0] is not False:
        return same
    texts = [[item.text for item in side if isinstance(item, Scalar)] for side in (gold, answer)]
    if any(text == "0" or _ELLIPSIS.search(text) for text in (*texts[0], *texts[1])):
        return same
    products = [
        (f"({a})*({d})", f"({b})*({c})")
        for a, b, c, d in zip(texts[0], texts[1], texts[0][1:], texts[1][1:], strict=False)
    ]
    return _all([compare_scalars(x, y) for x, y in products], "ratio")


def _all(decisions: Sequence[Decision], what: str) -> Decision:
    if any(equal is False for equal, _ in decisions):
        return False, f"a different {what}"
    if all(equal for equal, _ in decisions):
        return True, f"the same {what}"
    return None, f"a {what} that is not decided"


def _unordered(gold: Sequence[Shape], answer: Sequence[Shape]) -> Decision:
    """As sets: each item of one has its equal in the other."""
    gold, answer = _unlabelled(gold), _unlabelled(answer)
    if len(gold) * len(answer) > MOST_PAIRS:
        return (True, "the same list") if gold == answer else (None, "a long list")
    table = [[compare_shapes(a, b)[0] for b in answer] for a in gold]
    columns = list(zip(*table, strict=True))
    for line in (*table, *columns):
        if all(equal is False for equal in line):
            return False, "a different set"
    if all(True in line for line in (*table, *columns)):
        return True, "the same set"
    return None, "a set that is not decided"


def _unlabelled(items: Sequence[Shape]) -> tuple[Shape, ...]:
    plain = []
    for item in items:
        named = named_value(item) if isinstance(item, Relation) else None
        plain.append(item if named is None else shape(named[1]))
    return tuple(plain)
