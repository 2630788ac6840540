"""Equality of mathematical answers by the library math-verify, in grader processes.

math-verify can hang for ever on a tower of powers, its own limits rest on signals that such a loop never sees, and
those work in the main thread only. So they are switched off, and `rewards.pool` kills from outside instead.

Which part of a completion counts is decided here, before math-verify looks for expressions in it: what follows the last
`</think>`, inside the last `<answer>` if there is one.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewards.format import answer_part, last_boxed, last_tagged
from rewards.pool import GraderPool, shared

LONGEST_COMPLETION = 100_000  # characters; of a longer one only the end is graded
GRADED_END = 10_000


@dataclass(frozen=True)
class MathVerdict:
    """Whether an answer is right (None: cannot be told, which is not the answer's fault), and why."""

    correct: bool | None
    reason: str


def math_verify(
    completions: Sequence[str], answer: Sequence[Any], grader_pool: GraderPool | None = None, **columns: Any
) -> list[float | None]:
    """1 if the completion's answer equals the column `answer` by math-verify, else 0.

    None if `answer` cannot be parsed or a grader process failed. A completion that hangs or crashes math-verify gets 0.
    `answer` is LaTeX or plain text, with or without `\\boxed{}` or `$`; a GSM8K solution counts from `####` on.
    """
    verdicts = grade_math(answer, completions, grader_pool or shared())
    return [None if verdict.correct is None else float(verdict.correct) for verdict in verdicts]


def grade_math(golds: Sequence[Any], completions: Sequence[str], pool: GraderPool) -> list[MathVerdict]:
    """Verdict on each completion against its gold answer, in order."""
    jobs = [(gold_text(gold), candidate(text)) for gold, text in zip(golds, completions, strict=True)]
    verdicts = []
    for result in pool.map("rewards.math:judge", jobs, control="rewards.math:check_gold"):
        if result.kind == "value":
            correct, reason = result.value
            verdicts.append(MathVerdict(correct, reason))
        else:
            correct = None if result.kind == "ungradable" else False
            verdicts.append(MathVerdict(correct, f"{result.kind}: {result.reason}"))
    return verdicts


def gold_text(gold: Any) -> str:
    """The gold answer as math-verify finds it: in a box, unless it brings its own LaTeX environment."""
    text = "" if gold is None else str(gold).rpartition("####")[2].strip()
    marked = "\\boxed{" in text or text.count("$") >= 2
    return text if marked or not text else f"\\boxed{{{text}}}"


def candidate(completion: str) -> str:
    """The part of a completion that is graded; empty if it gives no answer."""
    if len(completion) > LONGEST_COMPLETION:
        completion = completion[-GRADED_END:]
    text = answer_part(completion)
    if text is None or last_boxed(text) == "":  # thinking, or the last box, never ends
        return ""
    tagged = last_tagged(text)
    if not tagged:
        return text
    marked = "\\boxed{" in tagged or "$" in tagged
    return tagged if marked else f"\\boxed{{{tagged}}}"


def judge(gold: str, text: str) -> tuple[bool | None, str]:
    """(correct, reason), in a grader process: it may hang."""
    from math_verify import parse, verify

    expected = parsed_gold(gold)
    if not expected:
        return None, "the gold answer cannot be parsed"
    found = parse(text, parsing_timeout=None)
    if not found:
        return False, "no answer found"
    equal = verify(list(expected), found, timeout_seconds=None)
    return equal, "equal" if equal else "not equal"


def check_gold(gold: str, text: str) -> None:
    """The control job of `judge`: the gold answer alone, which must parse and be easy to compare with a number."""
    if judge(gold, "$1$")[0] is None:
        raise ValueError("the gold answer cannot be parsed")


@functools.lru_cache(maxsize=4096)  # the completions of a group share their gold answer
def parsed_gold(gold: str) -> tuple[Any, ...]:
    """What math-verify reads in a gold answer; empty if that is mere text, or does not equal itself."""
    from math_verify import parse, verify

    parsed = parse(gold, parsing_timeout=None)
    if all(isinstance(expression, str) for expression in parsed):
        return ()
    return tuple(parsed) if verify(parsed, parsed, timeout_seconds=None) else ()


def warm_up() -> None:
    """Import math-verify and have it build its regular expressions and parser tables."""
    judge("\\boxed{\\frac{1}{2}}", "$0.5$")
