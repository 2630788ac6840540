"""Rewards of length, in sampled tokens: the cosine schedule, Kimi's length penalty, DAPO's soft overlong punishment.

Deviations: the cosine is clamped at `max_len`, since beyond it would rise again, and the value of exceeding that length
is off unless given (2502.03373 always has one). Kimi's group is taken to be the completions with the same prompt.
`soft_overlong_punishment` checks its options, which TRL's does not.

Two of them depend on whether the answer is right. They take the verdict of the accuracy reward where the caller has one
(`solved`), and else grade by `rewards.math.math`. What cannot be graded gets None.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rewards.errors import BadInput
from rewards.pool import GraderPool

SolvedColumn = Sequence[bool | None]


def cosine_length(
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    solved: SolvedColumn | None = None,
    answer: Sequence[Any] | None = None,
    max_len: int | None = None,
    min_value_wrong: float = -1.0,
    max_value_wrong: float = -0.5,
    min_value_correct: float = 0.5,
    max_value_correct: float = 1.0,
    exceed_value: float | None = None,
    grader_pool: GraderPool | None = None,
    **columns: Any,
) -> list[float | None]:
    """Right answers earn less the longer they are, wrong ones lose less (arXiv 2502.03373, appendix C.1).

    With n tokens: `end + (start - end) / 2 * (1 + cos(pi * min(n / max_len, 1)))`. A right answer starts (n = 0) at
    `max_value_correct` and ends at `min_value_correct`, a wrong one starts at `min_value_wrong` and ends at
    `max_value_wrong`. Names and defaults are those of TRL's `get_cosine_scaled_reward`.

    Args:
        completions: plain or conversational.
        completion_ids: the sampled tokens of each.
        solved: whether each is right; None: not gradable.
        answer: gold answers, needed without `solved` only.
        max_len: length in tokens at which the schedule ends; required.
        exceed_value: what a completion of `max_len` tokens or more earns, right or wrong (the paper: -10, beside 1 to 2
            for right and -10 to 0 for wrong answers).
        grader_pool: processes to grade in, used without `solved` only.

    Raises:
        BadInput: an option is missing or out of its range, or there is neither `solved` nor `answer`.
    """
    longest = _whole("cosine_length", "max_len", max_len, least=1)
    _check_order("wrong", min_value_wrong, max_value_wrong)
    _check_order("correct", min_value_correct, max_value_correct)
    rewards: list[float | None] = []
    verdicts = _verdicts("cosine_length", completions, solved, answer, grader_pool)
    for verdict, ids in zip(verdicts, completion_ids, strict=True):
        if verdict is None:
            rewards.append(None)
        elif exceed_value is not None and len(ids) >= longest:
            rewards.append(exceed_value)
        else:
            start, end = (max_value_correct, min_value_correct) if verdict else (min_value_wrong, max_value_wrong)
            progress = min(len(ids) / longest, 1.0)
            rewards.append(end + (start - end) / 2 * (1 + math.cos(math.pi * progress)))
    return rewards


def length_penalty(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    solved: SolvedColumn | None = None,
    answer: Sequence[Any] | None = None,
    grader_pool: GraderPool | None = None,
    **columns: Any,
) -> list[float | None]:
    """Pay for being among the shorter answers to the same prompt (Kimi k1.5, arXiv 2501.12599, section 2.3.3).

    `0.5 - (n - shortest) / (longest - shortest)` for a right answer, the same but at most 0 for a wrong one, and 0 if
    all have one length: between -0.5 and 0.5. The paper switches it on after a while, since it slows learning at first.

    Args:
        completions: plain or conversational.
        prompts: completions whose prompts are equal form a group, wherever in the batch they are. Where a trainer
            splits a group among processes, each sees its part.
        completion_ids: the sampled tokens of each. Those of ungradable completions count for the extremes too.
        solved: whether each is right; None: not gradable.
        answer: gold answers, needed without `solved` only.
        grader_pool: processes to grade in, used without `solved` only.

    Raises:
        BadInput: there is neither `solved` nor `answer`.
    """
    verdicts = _verdicts("length_penalty", completions, solved, answer, grader_pool)
    keys = [prompt if isinstance(prompt, str) else repr(prompt) for prompt in prompts]
    lengths: dict[str, list[int]] = {}
    for key, ids in zip(keys, completion_ids, strict=True):
        lengths.setdefault(key, []).append(len(ids))
    extremes = {key: (min(group), max(group)) for key, group in lengths.items()}
    rewards: list[float | None] = []
    for key, ids, verdict in zip(keys, completion_ids, verdicts, strict=True):
        shortest, longest = extremes[key]
        if verdict is None:
            rewards.append(None)
        elif shortest == longest:
            rewards.append(0.0)
        else:
            value = 0.5 - (len(ids) - shortest) / (longest - shortest)
            rewards.append(value if verdict else min(0.0, value))
    return rewards


def soft_overlong_punishment(
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    max_completion_len: int | None = None,
    soft_punish_cache: int | None = None,
    **columns: Any,
) -> list[float]:
    """0 for a completion that is short enough, falling to -1 as it nears the limit (DAPO, arXiv 2503.14476, eq. 13).

    With n tokens: 0 up to `max_completion_len - soft_punish_cache`, from there down to -1 at `max_completion_len`, and
    -1 beyond. No completion is longer than the sampling limit, so `max_completion_len` should not be above that.

    Args:
        completions: plain or conversational.
        completion_ids: the sampled tokens of each.
        max_completion_len: in tokens; required.
        soft_punish_cache: tokens over which it falls, 0 for a sudden fall; required.

    Raises:
        BadInput: an option is missing or out of its range.
    """
    name = "soft_overlong_punishment"
    longest = _whole(name, "max_completion_len", max_completion_len, least=1)
    cache = _whole(name, "soft_punish_cache", soft_punish_cache, least=0)
    if cache > longest:
        raise BadInput(
            f"soft_punish_cache={cache} of the reward {name!r} is above max_completion_len={longest}; it is a part "
            "of that length: give less"
        )
    return [_overlong(len(ids), longest, cache) for ids in completion_ids]


def _check_order(which: str, low: float, high: float) -> None:
    if not low <= high:
        raise BadInput(
            f"min_value_{which}={low} of the reward 'cosine_length' is above max_value_{which}={high}; swap them"
        )


def _overlong(length: int, longest: int, cache: int) -> float:
    if length > longest:
        return -1.0
    return min(0.0, (longest - cache - length) / cache) if cache else 0.0


def _whole(reward: str, option: str, value: Any, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    stated = "is not given" if value is None else f"is {value!r}"
    raise BadInput(f"the option {option} of the reward {reward!r} {stated}; give whole tokens, {least} or more")


def _verdicts(
    reward: str,
    completions: Sequence[Any],
    solved: SolvedColumn | None,
    answer: Sequence[Any] | None,
    grader_pool: GraderPool | None,
) -> Iterable[bool | None]:
    if solved is not None:
        return solved
    if answer is None:
        raise BadInput(
            f"the reward {reward!r} has neither 'solved' nor a column 'answer' to tell right answers by; name an "
            "accuracy reward before it, or give the problems that column"
        )
    from rewards.math import math as math_reward  # here, for it is not needed where another reward has graded

    graded = math_reward(completions=completions, answer=answer, grader_pool=grader_pool)
    return [None if value is None else value > 0 for value in graded]
