r"""The Countdown game: reach a target from given numbers with + - * / and parentheses. Nothing is ever evaluated.

The rule is TinyZero's (github.com/Jiayi-Pan/TinyZero, verl/utils/reward_score/countdown.py): the last `<answer>`
counts, wherever it is, and each number is used exactly once. d1's format (github.com/dllm-reasoning/d1) is read too: a
`\boxed{}` in the `<answer>`; the last one after the thinking where no `<answer>` has anything in it; and LaTeX's signs
(`\times`, `\cdot`, `\div`, `\frac{a}{b}`).

Deviations: exact fractions instead of floats within 1e-5; decimals are refused ("2.5" would use up a 2 and a 5); `=
target` after the expression is tolerated, and another value there is not (d1 does not look at it); a wrong expression
earns nothing unless `format_score` says so (TinyZero: 0.1).
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from rewards.completions import texts
from rewards.format import answer_part, last_boxed, last_tagged
from rewards.gold import kind_of, takes, whole_fault
from rewards.verdict import LogExtra, LogMetric, Verdict, log_verdicts

LONGEST_EXPRESSION = 500  # characters
DEEPEST = 50  # levels of parentheses and signs
TOKEN = re.compile(r"\s*(?:(\d+)|([-+*/()]))\s*")
STATED = re.compile(r"\s*(-?\d+)(?:\.0*)?\s*")
FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
SIGNS = {
    **{sign: "*" for sign in ("\\times", "\\cdot", "\\ast", "×", "·", "⋅", "∗")},
    **{sign: "/" for sign in ("\\div", "÷", "∕")},
    **{sign: "-" for sign in ("−", "–")},
    **{sign: "" for sign in ("\\left", "\\right", "\\displaystyle", "\\!", "$", "\\(", "\\)", "\\[", "\\]")},
    **{sign: " " for sign in ("\\,", "\\;", "\\:", "\\ ", "~")},
}
SIGN = re.compile("|".join(f"{re.escape(sign)}{'(?![A-Za-z])' if sign[-1].isalpha() else ''}" for sign in SIGNS))


def _numbers_fault(nums: Any) -> str | None:
    if not isinstance(nums, Sequence) or isinstance(nums, str) or not nums:
        return f"it is {kind_of(nums) if nums or nums is None else 'empty'}, no list of whole numbers"
    return next((f"of one of its numbers: {fault}" for number in nums if (fault := whole_fault(number))), None)


@takes(nums=_numbers_fault, target=whole_fault)
def countdown(
    completions: Sequence[Any],
    nums: Sequence[Sequence[int]],
    target: Sequence[int],
    format_score: float = 0.0,
    log_extra: LogExtra | None = None,
    log_metric: LogMetric | None = None,
    **columns: Any,
) -> list[float | None]:
    """Pay 1 if the answer uses each of `nums` exactly once and equals `target`; `format_score` for other expressions.

    None where `nums` are no whole numbers, or `target` is none.
    `log_extra` and `log_metric` (TRL's) get the verdicts, their reasons and the expressions that were read.
    """
    verdicts = [
        judge(text, numbers, goal) for text, numbers, goal in zip(texts(completions), nums, target, strict=True)
    ]
    log_verdicts("countdown", verdicts, log_extra, log_metric, answers=[verdict.answer for verdict in verdicts])
    paid = {"correct": 1.0, "wrong": format_score, "ungradable": None}
    return [paid.get(verdict.outcome, 0.0) for verdict in verdicts]


def judge(completion: str, nums: Sequence[int], target: int | Fraction) -> Verdict:
    """Return the verdict on a completion: `unparseable` where it gives no expression, with the reason in words."""
    if fault := _numbers_fault(nums) or whole_fault(target):
        return Verdict("ungradable", f"nums and target are no whole numbers: {fault}")
    answer = find_expression(completion)
    if not answer:
        return Verdict("unparseable", "no expression in <answer> or in \\boxed{}", answer=answer)
    try:
        value, used, stated = _parse(answer)
    except ZeroDivisionError:
        return Verdict("wrong", "it divides by zero", answer=answer)
    except SyntaxError as error:
        return Verdict("unparseable", f"not an expression: {error.msg}", answer=answer)
    if sorted(used) != sorted(nums):
        return Verdict("wrong", f"it uses {_listed(used)}, and must use {_listed(nums)} once each", answer=answer)
    if value != target:
        return Verdict("wrong", f"it equals {value}, not {target}", answer=answer)
    if stated not in (None, target):
        return Verdict("wrong", f"it says that the value is {stated}, not {target}", answer=answer)
    return Verdict("correct", "the target is met", answer=answer)


def find_expression(completion: str) -> str | None:
    """Return what a completion gives as its expression, not checked; None if it gives none."""
    tagged = last_tagged(completion)
    if tagged:
        return last_boxed(tagged) or tagged
    after = answer_part(completion)
    return tagged if after is None else last_boxed(after) or tagged


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number)[:20] for number in sorted(numbers)[:10]) or "no number"


def is_expression(text: str) -> bool:
    """Return whether a text is an arithmetic expression over whole numbers, a right-hand side allowed."""
    try:
        _parse(text)
    except ZeroDivisionError:
        return True
    except SyntaxError:
        return False
    return True


def solves(text: str, nums: Sequence[int], target: int | Fraction) -> bool:
    """Return whether the expression uses each number exactly once and equals the target, exactly."""
    try:
        value, used, stated = _parse(text)
    except (SyntaxError, ZeroDivisionError):
        return False
    return sorted(used) == sorted(nums) and value == target and stated in (None, target)


def _parse(text: str) -> tuple[Fraction, list[int], int | None]:
    """Return the value, the numbers used and the right-hand side. Raises SyntaxError where it is no expression."""
    if len(text) > LONGEST_EXPRESSION:
        raise SyntaxError("it is too long")
    left, equals, right = _plain(text).partition("=")
    stated = STATED.fullmatch(right)
    if equals and stated is None:
        raise SyntaxError("what follows = is no whole number")
    tokens = _tokens(left)
    used = [token for token in tokens if isinstance(token, int)]
    value = _sum(tokens, 0)
    if tokens:
        raise SyntaxError("something follows the expression")
    return value, used, int(stated[1]) if stated else None


def _plain(text: str) -> str:
    """Return a formula with LaTeX's signs as those of plain text, and without the period of a sentence."""
    text, found = SIGN.sub(lambda sign: SIGNS[sign[0]], text), 1
    while found:  # the inner ones of nested fractions first
        text, found = FRACTION.subn(r"((\1)/(\2))", text)
    return text.rstrip().removesuffix(".")


def _tokens(text: str) -> list[int | str]:
    """Numbers and signs, last first, so that the next one is popped from the end."""
    tokens: list[int | str] = []
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise SyntaxError(f"{text[position:].strip()[:20]!r} is neither a number nor a sign")
        tokens.append(int(match[1]) if match[1] else match[2])
        position = match.end()
    return tokens[::-1]


def _sum(tokens: list[int | str], depth: int) -> Fraction:
    value = _product(tokens, depth)
    while tokens and tokens[-1] in ("+", "-"):
        sign = 1 if tokens.pop() == "+" else -1
        value += sign * _product(tokens, depth)
    return value


def _product(tokens: list[int | str], depth: int) -> Fraction:
    value = _factor(tokens, depth)
    while tokens and tokens[-1] in ("*", "/"):
        if tokens.pop() == "*":
            value *= _factor(tokens, depth)
        else:
            value /= _factor(tokens, depth)
    return value


def _factor(tokens: list[int | str], depth: int) -> Fraction:
    if not tokens or depth > DEEPEST:
        raise SyntaxError("it is incomplete, or nested too deeply")
    token = tokens.pop()
    if isinstance(token, int):
        return Fraction(token)
    if token in ("+", "-"):
        value = _factor(tokens, depth + 1)
        return -value if token == "-" else value
    if token == "(":
        value = _sum(tokens, depth + 1)
        if tokens and tokens.pop() == ")":
            return value
    raise SyntaxError(f"{token} is out of place")
