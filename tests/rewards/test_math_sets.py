"""Sets of real numbers in all their spellings. The oracle is the set from which each spelling is made."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.math.compare import compare
from rewards.math.grade import decide
from rewards.verdict import Verdict

# An interval: low end, whether it belongs to the set, high end, whether it belongs to the set; None is infinity.
Interval = tuple[Fraction | None, bool, Fraction | None, bool]
RealSet = tuple[Interval, ...]  # in order, with a gap between any two: each set of real numbers has one such form

OR, AND = " \\text{ or } ", " \\text{ and } "
LESS, MORE = ("<", " \\le "), (">", " \\geq ")

ZERO, ONE, TWO, THREE, FIVE, HALF = (Fraction(text) for text in ("0", "1", "2", "3", "5", "1/2"))


def points(*values: Fraction) -> RealSet:
    return tuple((value, True, value, True) for value in values)


def tex(value: Fraction | None, sign: str = "") -> str:
    if value is None:
        return f"{sign}\\infty"
    whole = str(abs(value.numerator))
    text = whole if value.denominator == 1 else f"\\frac{{{whole}}}{{{value.denominator}}}"
    return "-" + text if value < 0 else text


def brackets(interval: Interval) -> str:
    low, low_in, high, high_in = interval
    if low is not None and low == high:
        return f"\\{{{tex(low)}\\}}"
    return f"{'(['[low_in]}{tex(low, '-')},{tex(high)}{')]'[high_in]}"


def french(interval: Interval) -> str:
    low, low_in, high, high_in = interval
    return f"{']['[low_in]}{tex(low, '-')};{tex(high, '+')}{'[]'[high_in]}"


def condition(interval: Interval) -> str:
    """Spell an interval as one chain, or an equation."""
    low, low_in, high, high_in = interval
    if low is not None and low == high:
        return f"x={tex(low)}"
    if low is None:
        return f"x{'<≤'[high_in]}{tex(high)}" if high is not None else "x\\in\\mathbb{R}"
    if high is None:
        return f"x{'>≥'[low_in]}{tex(low)}"
    return f"{tex(low)}{'<≤'[low_in]}x{'<≤'[high_in]}{tex(high)}"


def turned(interval: Interval) -> str:
    low, low_in, high, high_in = interval
    if low is not None and low == high:
        return f"{tex(low)}=x"
    parts = ["" if high is None else tex(high) + (">", "\\geq ")[high_in]]
    return parts[0] + "x" + ("" if low is None else (">", "\\geq ")[low_in] + tex(low))


def bounds(interval: Interval) -> list[str]:
    low, low_in, high, high_in = interval
    lower = [] if low is None else [f"x{MORE[low_in]}{tex(low)}"]
    return lower + ([] if high is None else [f"x{LESS[high_in]}{tex(high)}"])


def spellings(found: RealSet) -> list[str]:
    """All the ways in which a set is written here; none of them may be taken for another set."""
    if not found:
        return ["\\emptyset", "\\varnothing", "\\{\\}", "x\\in\\emptyset", "∅"]
    finite = all(low is not None and low == high for low, _, high, _ in found)
    joined = "\\cup ".join(map(brackets, found))
    chains = list(map(condition, found))
    lor = " \\lor "
    made = [
        joined,
        f"x \\in {joined}",
        f"\\left\\{{x \\mid {OR.join(chains)}\\right\\}}",
        f"\\{{x\\in\\mathbb{{R}} : {lor.join(chains)}\\}}",
        OR.join(chains),
        lor.join(reversed(chains)),
        " or ".join(map(turned, found)) if found != ((None, False, None, False),) else "\\text{all real numbers}",
    ]
    if finite:
        made += _listed([tex(low) for low, _, _, _ in found])
    else:
        made.append("\\cup".join(brackets(i) if i[0] == i[2] is not None else french(i) for i in found))
    if len(found) == 1 and len(bounds(found[0])) == 2 and not finite:
        made += _bounded(found[0])
    return list(dict.fromkeys([*made, *_symmetric(found), *_without_points(found)]))


def _listed(values: list[str]) -> list[str]:
    many = [f"{a} \\text{{ or }} {b}" for a, b in pairwise(values) if len(values) == 2]
    many += [f"{a} \\text{{ and }} {b}" for a, b in pairwise(values) if len(values) == 2]
    named = [f"x={value}" for value in values]
    return [
        ", ".join(values),
        f"\\{{{', '.join(values)}\\}}",
        f"x\\in\\{{{','.join(reversed(values))}\\}}",
        ", ".join(named),
        AND.join(named),
        "x=" + ", ".join(values),
        *many,
    ]


def _bounded(interval: Interval) -> list[str]:
    low, high = bounds(interval)
    return [
        f"{low} \\text{{ and }} {high}",
        f"{high} \\land {low}",
        f"{low}, {high}",
        f"\\{{x : {low} \\wedge {high}\\}}",
        f"{brackets((interval[0], interval[1], None, False))}\\cap{brackets((None, False, *interval[2:]))}",
    ]


def _symmetric(found: RealSet) -> list[str]:
    low, closed, high, high_closed = found[0]
    if len(found) == 1 and low is not None and high is not None and closed == high_closed:
        middle, radius = (low + high) / 2, (high - low) / 2
        if radius > 0:
            inside = "x" if middle == 0 else f"x{'-+'[middle < 0]}{tex(abs(middle))}"
            return [
                f"|{inside}|{'<≤'[closed]}{tex(radius)}",
                f"\\left|{inside}\\right|{LESS[closed]}{tex(radius)}",
            ]
    if len(found) == 2 and found[0][0] == found[0][2] and found[1][0] == found[1][2] == -(found[0][0] or ONE):
        value = tex(found[1][0])
        return [f"\\pm {value}", f"x=\\pm {value}", f"|x|={value}", f"x=-{value},{value}"]
    return []


def _without_points(found: RealSet) -> list[str]:
    """Spell a set as what is left of the real numbers; nothing if more than some points is missing."""
    gaps = [(a[2], b[0]) for a, b in pairwise(found)]
    open_ends = all(not low_in and not high_in for _, low_in, _, high_in in found)
    if not gaps or found[0][0] is not None or found[-1][2] is not None or not open_ends or any(a != b for a, b in gaps):
        return []
    values = [tex(a) for a, _ in gaps]
    return [
        f"\\mathbb{{R}}\\setminus\\{{{','.join(values)}\\}}",
        f"x\\notin\\{{{','.join(values)}\\}}",
        f"x\\not\\in\\{{{','.join(values)}\\}}",
        AND.join(f"x\\neq {value}" for value in values),
        ", ".join(f"x\\ne {value}" for value in values),
        "x\\neq " + ", ".join(values),
        "x\\in\\mathbb{R}, " + ", ".join(f"x\\ne {value}" for value in values),
    ]


OPEN = [(low, False, high, False) for low, high in ((-ONE, ONE), (ZERO, THREE), (TWO, FIVE))]
SETS: list[RealSet] = [
    (),
    ((None, False, None, False),),
    *(points(*pair) for pair in ((-ONE, ONE), (ZERO, THREE), (TWO, FIVE), (HALF, THREE))),
    points(ONE),
    points(-ONE, ZERO, ONE),
    *((interval,) for interval in OPEN),
    ((-ONE, True, ONE, True),),
    ((ZERO, True, THREE, False),),
    ((ZERO, False, THREE, True),),
    ((HALF, True, THREE, True),),
    ((None, False, FIVE, False),),
    ((None, False, FIVE, True),),
    ((-ONE, False, None, False),),
    ((ZERO, True, None, False),),
    ((None, False, ZERO, True), (THREE, True, None, False)),
    ((None, False, -ONE, False), (ONE, False, None, False)),
    ((None, False, TWO, False), (TWO, False, None, False)),
    ((None, False, ZERO, False), (ZERO, False, THREE, False), (THREE, False, None, False)),
    ((-ONE, True, -ONE, True), (ZERO, True, FIVE, False)),
    ((ZERO, False, ONE, False), (TWO, True, THREE, True)),
]
SPELLED = [(found, text) for found in SETS for text in spellings(found)]


def said_equal(gold: str, answer: str) -> bool:
    return compare(gold, answer)[0] is True


def is_point(gold: str, answer: str) -> bool:
    """Whether a gold answer such as `(2,5)` may be meant as a point, which `2, 5` writes without its brackets."""
    return gold[0] + gold[-1] == "()" and answer.replace(", ", ",") == gold[1:-1]


def test_the_spellings_are_many_and_differ() -> None:
    assert len(SPELLED) > 200
    assert len({text for _, text in SPELLED}) == len(SPELLED)


@pytest.mark.parametrize("wanted", SETS, ids=lambda found: spellings(found)[0])
def test_a_spelling_equals_those_of_its_set_and_no_other(wanted: RealSet) -> None:
    pairs = [(gold, found == wanted, text) for gold in spellings(wanted) for found, text in SPELLED]
    assert [pair for pair in pairs if said_equal(pair[0], pair[2]) != (pair[1] or is_point(pair[0], pair[2]))] == []


def test_what_is_open_for_math_verify_is_no_other_set() -> None:
    """Only what our rungs leave open is asked about; of two different sets that must be nothing."""
    golds = [(found, spellings(found)[0]) for found in SETS]
    undecided = [
        (gold, text)
        for wanted, gold in golds
        for found, text in SPELLED
        if found != wanted and not isinstance(decide(gold, f"So \\boxed{{{text}}}."), Verdict)
    ]
    assert undecided == []


ENDS = st.lists(st.fractions(-20, 20, max_denominator=6), min_size=1, max_size=6, unique=True).map(sorted)


@st.composite
def real_sets(draw: st.DrawFn) -> RealSet:
    ends, found, position = draw(ENDS), [], 0
    while position < len(ends):
        if draw(st.booleans()) or position + 1 == len(ends):
            found.append((ends[position], True, ends[position], True))
            position += 1
        else:
            found.append((ends[position], draw(st.booleans()), ends[position + 1], draw(st.booleans())))
            position += 2
    return tuple(found)


@settings(max_examples=150, deadline=None)
@given(real_sets(), real_sets(), st.randoms())
def test_drawn_sets_agree_with_the_oracle(one: RealSet, other: RealSet, random) -> None:  # type: ignore[no-untyped-def]
    gold, same, text = random.choice(spellings(one)), random.choice(spellings(one)), random.choice(spellings(other))
    assert said_equal(gold, same)
    assert said_equal(gold, text) == (one == other or is_point(gold, text))
