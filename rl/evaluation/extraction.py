"""Answers of mathematics under both ways of reading them, `strict` and `flexible`, as lm-evaluation-harness reports.

The benchmark says which one decides what is solved (`rewards.options.math.extraction`); the same answers are graded
once more under the other.
"""

from collections.abc import Sequence
from typing import Any

from rewards.grading import Graded, Grader
from rl.config.recipe import RewardsSection
from rl.grading.answers import accuracy_of, grade_texts, verdict_of
from rl.problems.problem import Prompt

MATH = "math"  # the reward that reads answers in two ways
OTHER = {"strict": "flexible", "flexible": "strict"}


def extraction_of(rewards: RewardsSection) -> str | None:
    """The way of reading that decides what is solved; None where the reward `math` does not decide it."""
    if accuracy_of(rewards) != MATH:
        return None
    return str(rewards.options.get(MATH, {}).get("extraction", "strict"))


def verdicts_by_extraction(
    prompts: Sequence[Prompt],
    texts: Sequence[str],
    token_ids: Sequence[Sequence[int]],
    graded: Sequence[Graded],
    grader: Grader,
    rewards: RewardsSection,
) -> list[dict[str, Any]]:
    """For each answer `verdict_strict` and `verdict_flexible`, of which `graded` is one; empty where there are none.

    `grader` is the one that gave the grades, by `rewards`.
    """
    own = extraction_of(rewards)
    if own is None:
        return [{} for _ in graded]
    other = OTHER[own]
    again = grade_texts(prompts, texts, token_ids, grader.alone(MATH, extraction=other))
    return [
        {f"verdict_{own}": verdict_of(first, MATH), f"verdict_{other}": verdict_of(second, MATH)}
        for first, second in zip(graded, again, strict=True)
    ]
