"""Exact comparison of one number: for arithmetic and for GSM8K-like answers. Nothing is ever evaluated."""

import collections
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from rewards.completions import texts_after_echo
from rewards.format import answer_part, last_boxed, last_tagged
from rewards.gold import checks_gold, takes, type_fault
from rewards.pool import GraderPool
from rewards.verdict import LogExtra, log_answers

LONGEST_NUMBER = 300  # characters; also bounds the work that one number can cause

# One number: sign (not after a letter, digit or bracket: there it is a minus), dollar, digits with or without thousands
# commas, decimals, exponent of at most 3 digits, denominator. Each part is possessive, so that time stays linear.
NUMBER = re.compile(
    r"(?<![A-Za-z_.\d])"
    r"(?:(?<![)\]}])(?P<sign>[-+]))?+(?:\\?\$\s?)?+"
    r"(?P<digits>\d{1,3}(?:,\d{3}(?!\d))++|\d++|(?=\.\d))(?P<decimals>\.\d++)?+"
    r"(?P<exponent>[eE][-+]?+\d{1,3}(?!\d))?+(?![eE][-+]?\d)"
    r"(?:\s?/\s?(?P<denominator>\d++))?+"
)
FRACTION = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")


def bad_golds(columns: Mapping[str, Sequence[Any]], _: GraderPool, __: Mapping[str, Any]) -> list[str | None]:
    """Say of each gold answer in a few words why it is no number; None where it is one."""
    return [type_fault(gold) or (None if gold_number(gold) is not None else "no number") for gold in columns["answer"]]


@takes(answer=type_fault)
@checks_gold(bad_golds)
def exact_number(
    completions: Sequence[Any], answer: Sequence[Any], log_extra: LogExtra | None = None, **columns: Any
) -> list[float | None]:
    """1 if the last number of the answer equals the column `answer` exactly, else 0; None if `answer` is no number.

    The answer is what follows the last `</think>` (nothing, if the thinking never ends); in it the last
    `<answer>...</answer>`, in that the last `\\boxed{...}`, in that what follows the last `####`, wherever present; an
    empty `<answer></answer>` counts for nothing.
    Thousands commas, dollar and percent signs and a final period do not matter; 1/2, 0.5 and 5e-1 are equal. Digits of
    any script are read. `log_extra` (TRL's) is told the number that was read, as it was written.
    """
    found = [find_number(completion) for completion in texts_after_echo(completions, columns)]
    log_answers("exact_number", [None if number is None else number[0] for number in found], log_extra)
    return [_grade(number, gold) for number, gold in zip(found, answer, strict=True)]


def _grade(found: tuple[str, Fraction] | None, gold: Any) -> float | None:
    wanted = gold_number(gold)
    if wanted is None:
        return None
    return float(found is not None and found[1] == wanted)


def gold_number(gold: Any) -> Fraction | None:
    """The number that a gold answer is as a whole, or None. A solution that ends in `#### 72` counts as 72."""
    if type_fault(gold) is not None:
        return None
    text = _plain(str(gold).rpartition("####")[2]).strip().rstrip("%\\$. ")
    match = NUMBER.fullmatch(text)
    return _value(match) if match else None


def last_number(completion: str) -> Fraction | None:
    """The last number of a completion's answer, or None."""
    found = find_number(completion)
    return None if found is None else found[1]


def find_number(completion: str) -> tuple[str, Fraction] | None:
    """The last number of a completion's answer, as it is written and as a value; None if there is none."""
    text = answer_part(completion)
    if text is None:
        return None
    text = last_tagged(text) or text
    boxed = last_boxed(text)
    text = text if boxed is None else boxed
    last = collections.deque(NUMBER.finditer(_plain(text.rpartition("####")[2])), maxlen=1)
    value = _value(last[0]) if last else None
    return None if value is None else (last[0][0], value)


def _plain(text: str) -> str:
    for latex, plain in (("{,}", ","), ("\\,", ","), ("\\!", ""), ("−", "-"), ("٬", ","), ("٫", ".")):
        text = text.replace(latex, plain)
    return FRACTION.sub(r"\1/\2", text)


def _value(match: re.Match[str]) -> Fraction | None:
    if len(match[0]) > LONGEST_NUMBER:
        return None
    digits = match["digits"].replace(",", "") + (match["decimals"] or "") + (match["exponent"] or "")
    try:
        value = Fraction(Decimal(digits)) / Fraction(match["denominator"] or 1)
    except (InvalidOperation, ZeroDivisionError):
        return None
    return -value if match["sign"] == "-" else value
