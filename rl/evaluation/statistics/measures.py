"""What an evaluation says of its answers: the part of `results.json` that is computed from rows alone."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from rewards.math.extract import EXTRACTIONS
from rewards.verdict import OUTCOMES
from rl.evaluation.statistics.estimators import (
    Interval,
    bootstrap_interval,
    bootstrap_mean,
    maj_at_k,
    pass_at_k,
    standard_error,
    wilson,
)
from rl.run.evaluations import EvaluationRow

# HumanEval (Chen et al. 2021) has pass@1, 10 and 100; APPS and LiveCodeBench have 1 and 5; later papers go beyond 1000.
BY_EXTRACTION = tuple(f"{field}_{name}" for name in EXTRACTIONS for field in ("pass@1", "ci95"))
REPORTED = {1, 5, 10, 100, 1_000, 10_000}
RESAMPLES = 2_000  # of rewards, which may all differ: then each takes memory of its own


def measures(
    rows: Sequence[EvaluationRow], majority: bool, problems: int | None = None, num_samples: int | None = None
) -> dict[str, Any]:
    """Scores, intervals, lengths and counts of all answers to one benchmark.

    Args:
        rows: the answers, in any order.
        majority: whether answers can vote, by `answer_class`.
        problems: how many were asked; default: those that have an answer.
        num_samples: answers to a problem that were wanted; default: as `usual_count` says.

    Returns:
        The fields that `rl.evaluation.folder` lists. Ungradable answers are in `samples` and the shares, in no score.
        `pass@k` and `maj@k` are for each k of `ladder` up to the smallest number of graded samples of a problem;
        `maj@k` is None if answers cannot vote or that number is 1. `stderr` is None below two problems.
    """
    groups = by_problem(rows)
    solved = list(groups.values())
    mean, interval = pass_at_1(solved)
    ks = ladder(min(map(len, solved), default=0))
    outcomes = Counter(row.verdict for row in rows)
    return {
        "n": len(solved),
        "pass@1": mean,
        "ci95": list(interval),
        "stderr": standard_error([_rate(group) for group in solved]),
        **_coverage(rows, groups, problems, num_samples),
        **_by_extraction(rows),
        "pass@k": {str(k): _mean([pass_at_k(len(group), sum(group), k) for group in solved]) for k in ks},
        "maj@k": _majorities(rows, ks) if majority and ks[-1:] > [1] else None,
        "samples": len(rows),
        "mean_length": _mean_length(rows),
        "truncated": _truncated(rows),
        "unparseable": _share([row.verdict == "unparseable" for row in rows]),
        "ungradable": _share([row.solved is None for row in rows]),
        "verdicts": {outcome: outcomes[outcome] for outcome in OUTCOMES},
    }


def usual_count(counts: Collection[int]) -> int:
    """How many answers most problems have, of equally frequent numbers the largest; 1 for no problem."""
    frequent = Counter(counts)
    return max(frequent, key=lambda count: (frequent[count], count), default=1)


def ladder(most: int) -> list[int]:
    """The k of pass@k up to `most`: 1, 2, 4, 8, ..., those that papers report, and `most` itself; none for 0."""
    doubled = {2**power for power in range(most.bit_length())}
    return sorted({k for k in doubled | REPORTED if k <= most} | {most} - {0})


def by_problem(rows: Sequence[EvaluationRow]) -> dict[str, list[bool]]:
    """Whether each graded sample solved its problem, by problem id; problems without a graded one are left out."""
    groups: dict[str, list[bool]] = {}
    for row in rows:
        if row.solved is not None:
            groups.setdefault(row.problem_id, []).append(row.solved)
    return groups


def pass_at_1(solved: Collection[Sequence[bool]]) -> tuple[float, Interval]:
    """The mean over problems of the mean over their graded samples, and its 95 % interval.

    Wilson's for one sample a problem, a bootstrap over problems for several. Nothing graded: 0.0 in (0, 1).
    """
    return _mean_rate([_rate(group) for group in solved], all(len(group) == 1 for group in solved))


def _by_extraction(rows: Sequence[EvaluationRow]) -> dict[str, Any]:
    """pass@1 and its interval under each way of reading answers (`BY_EXTRACTION`); empty where there is only one."""
    found: dict[str, Any] = {}
    for name in EXTRACTIONS:
        solved: dict[str, list[bool]] = {}
        for row in rows:
            outcome = getattr(row, f"verdict_{name}")
            if outcome is not None and outcome != "ungradable":
                solved.setdefault(row.problem_id, []).append(outcome == "correct")
        if solved:
            mean, interval = pass_at_1(list(solved.values()))
            found |= {f"pass@1_{name}": mean, f"ci95_{name}": list(interval)}
    return found


def _mean_rate(rates: Sequence[float], is_single: bool) -> tuple[float, Interval]:
    if not rates:
        return 0.0, (0.0, 1.0)
    return _mean(rates), wilson(sum(rates), len(rates)) if is_single else bootstrap_mean(rates)


def _coverage(
    rows: Sequence[EvaluationRow], graded: Mapping[str, Sequence[bool]], problems: int | None, num_samples: int | None
) -> dict[str, Any]:
    """Which answers are missing, and the score where a missing answer counts as one that does not solve its problem."""
    counts = Counter(row.problem_id for row in rows)
    wanted = usual_count(counts.values()) if num_samples is None else num_samples
    unanswered = 0 if problems is None else problems - len(counts)
    lacking = {problem: max(wanted - count, 0) for problem, count in counts.items()}
    rates = [sum(group) / (len(group) + lacking[problem]) for problem, group in graded.items()] + [0.0] * unanswered
    mean, interval = _mean_rate(rates, wanted == 1 and all(len(group) == 1 for group in graded.values()))
    return {
        "unanswered": unanswered,
        "partly_answered": sum(count > 0 for count in lacking.values()),
        "missing": sum(lacking.values()) + unanswered * wanted,
        "pass@1_all": mean,
        "ci95_all": list(interval),
    }


def mean_reward(rows: Sequence[EvaluationRow]) -> dict[str, Any]:
    """The mean over problems of the mean reward of their graded answers, and its 95 % interval by a bootstrap.

    The interval is None where all problems have the same mean: equal numbers do not tell how much they could differ.
    Both are None if nothing is graded.
    """
    groups: dict[str, list[float]] = {}
    for row in rows:
        if row.reward is not None:
            groups.setdefault(row.problem_id, []).append(row.reward)
    means = [_mean(group) for group in groups.values()]
    spread = bootstrap_interval(means, 0.95, RESAMPLES, 0) if len(set(means)) > 1 else None
    return {"reward": _mean(means) if means else None, "reward_ci95": spread}


def _rate(group: Sequence[bool]) -> float:
    return sum(group) / len(group)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _truncated(rows: Sequence[EvaluationRow]) -> float | None:
    """The share cut off of the answers of which that is known; None if it is of none."""
    known = [row.finish_reason == "length" for row in rows if row.finish_reason is not None]
    return _share(known) if known or not rows else None


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def _mean_length(rows: Sequence[EvaluationRow]) -> float | None:
    """Tokens, over the answers whose length is known; rows of older evaluations have their tokens, but no number."""
    known = [row.num_tokens if row.num_tokens is not None else len(row.token_ids) for row in rows if _has_length(row)]
    return _mean(known) if known else None


def _has_length(row: EvaluationRow) -> bool:
    return row.num_tokens is not None or len(row.token_ids) > 0


def _majorities(rows: Sequence[EvaluationRow], ks: Sequence[int]) -> dict[str, float]:
    """maj@k by k, the mean over problems."""
    answers: dict[str, list[EvaluationRow]] = {}
    for row in rows:
        if row.solved is not None:
            answers.setdefault(row.problem_id, []).append(row)
    ballots = [_ballot(group) for group in answers.values()]
    return {str(k): _mean([maj_at_k(votes, right, k, silent) for votes, right, silent in ballots]) for k in ks}


def _ballot(graded: Sequence[EvaluationRow]) -> tuple[list[int], set[int], int]:
    """Votes of each class of answers, which classes are right, and how many samples have no vote.

    Equal answers should have equal verdicts; where a grader disagrees with itself, most of the class decide.
    """
    classes: dict[int, list[bool]] = {}
    for row in graded:
        if row.answer_class is not None:
            classes.setdefault(row.answer_class, []).append(bool(row.solved))
    verdicts = list(classes.values())
    votes = [len(group) for group in verdicts]
    return votes, {j for j, group in enumerate(verdicts) if 2 * sum(group) > len(group)}, len(graded) - sum(votes)
