"""Sets of real numbers as unions of intervals and points: union, intersection, complement, and comparison.

A set is written by its cuts. A cut lies just before or just after a number. The numbers between the first and the
second cut belong to the set, and those between the third and the fourth, and so on. So `[1, 2)` is the cut before 1 and
the cut before 2, and the point 3 is the cut before 3 and the cut after 3.
"""

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from rewards.math.numeric import real_value
from rewards.math.scalars import Decision, compare_scalars
from rewards.math.tree import parse


class Cut(NamedTuple):
    """A place between two real numbers: just before or just after `value`, which is written `text`."""

    value: float
    after: bool
    text: str

    @property
    def place(self) -> tuple[float, bool]:
        """Return what cuts are ordered by."""
        return self.value, self.after


Region = tuple[Cut, ...]

LOWEST, HIGHEST = Cut(-math.inf, True, ""), Cut(math.inf, False, "")
EMPTY: Region = ()
REALS: Region = (LOWEST, HIGHEST)
ABOVE_ZERO: Region = (Cut(0.0, False, "0"), HIGHEST)  # with zero


@functools.lru_cache(maxsize=8192)
def size(text: str) -> float | None:
    """Return the value of a formula without letters, to 12 digits, so that two spellings of a value have one size."""
    read = parse(text)
    value = None if read is None else real_value(read[0])
    return None if value is None or not math.isfinite(value) else float(f"{value:.12e}")


def point(text: str) -> Region | None:
    """Return the set that has one number; None if the text has no known size."""
    value = size(text)
    return None if value is None else (Cut(value, False, text), Cut(value, True, text))


def between(low: Cut, high: Cut) -> Region:
    """Return what lies between two cuts; nothing if they are in the wrong order."""
    return (low, high) if low.place < high.place else EMPTY


def union(regions: Sequence[Region]) -> Region:
    """Return the numbers that belong to at least one of the sets."""
    return _in_at_least(1, regions)


def intersection(regions: Sequence[Region]) -> Region:
    """Return the numbers that belong to all of the sets."""
    return _in_at_least(len(regions), regions)


def complement(region: Region) -> Region:
    """Return the real numbers that do not belong to the set."""
    cuts = region[1:] if region[:1] == (LOWEST,) else (LOWEST, *region)
    return cuts[:-1] if cuts[-1] == HIGHEST else (*cuts, HIGHEST)


def solved(region: Region, factor: Fraction, shift: Fraction) -> Region:
    """Return the numbers x for which factor * x + shift belongs to the set."""
    if (factor, shift) == (1, 0):
        return region
    cuts = [_solved(cut, factor, shift) for cut in region]
    return tuple(cuts if factor > 0 else reversed(cuts))


def _solved(cut: Cut, factor: Fraction, shift: Fraction) -> Cut:
    if math.isinf(cut.value):
        return cut if factor > 0 else (HIGHEST if cut == LOWEST else LOWEST)
    value = float(f"{(cut.value - float(shift)) / float(factor):.12e}")
    return Cut(value + 0.0, cut.after == (factor > 0), f"(({cut.text})-({shift}))*({1 / factor})")


def same_region(gold: Region, answer: Region) -> Decision:
    """Tell whether two sets are the same: as many cuts, at the same sides of equal numbers."""
    if len(gold) != len(answer) or any(a.after != b.after for a, b in zip(gold, answer, strict=True)):
        return False, "different sets"
    decided: bool | None = True
    for a, b in zip(gold, answer, strict=True):
        if math.isinf(a.value) or math.isinf(b.value):
            equal: bool | None = a.value == b.value
        else:
            equal = compare_scalars(a.text, b.text)[0]
        if equal is False:
            return False, "different sets"
        decided = None if equal is None else decided
    return decided, "the same set" if decided else "not decided as sets"


def _in_at_least(count: int, regions: Sequence[Region]) -> Region:
    steps = sorted(
        ((cut, 1 if position % 2 == 0 else -1) for region in regions for position, cut in enumerate(region)),
        key=lambda step: (step[0].place, -step[1]),  # a set that begins where another ends: no gap between them
    )
    cuts: list[Cut] = []
    covered = 0
    for cut, step in steps:
        before, covered = covered, covered + step
        if (before >= count) != (covered >= count):
            if cuts and cuts[-1].place == cut.place:
                cuts.pop()  # an empty gap or an empty interval
            else:
                cuts.append(cut)
    return tuple(cuts)
