"""Measures a set of weights on held-out problems: pass@1 with a 95 % interval, through the same graders as training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from rewards.grading import Graded, Grader
from rl.problems.problem import Prompt
from rl.problems.stream import completion_seeds
from rl.recipe import RewardsSection
from rl.rollout.engine import Completion, RolloutEngine, SamplingParams


@dataclass(frozen=True)
class Answer:
    """One completion of one problem, decoded and graded."""

    prompt: Prompt
    sample: int
    completion: Completion
    text: str
    graded: Graded


@dataclass(frozen=True)
class Score:
    """pass@1 over `n` problems: the mean of solved over the graded samples, with its 95 % interval.

    The interval is Wilson's for one sample a problem, and a bootstrap over problems for several.
    """

    pass_at_1: float
    ci95: tuple[float, float]
    n: int

    def as_dict(self) -> dict[str, Any]:
        """The JSON form: `pass@1`, `ci95`, `n`."""
        return {"pass@1": self.pass_at_1, "ci95": list(self.ci95), "n": self.n}


def build_grader(section: RewardsSection) -> Grader:
    """The graders that a recipe or a benchmark names. Raises BadInput as `Grader` does."""
    return Grader(
        section.functions,
        options=section.options,
        timeout=section.timeout,
        workers=section.workers,
        accuracy=section.accuracy,
        correct_above=section.correct_above,
        gated=section.gated,
        sandbox=section.sandbox,
    )


def answer_all(
    engine: RolloutEngine, prompts: Sequence[Prompt], params: SamplingParams, num_samples: int, seed: int
) -> list[list[Completion]]:
    """Sample `num_samples` completions of each prompt; seeds depend on `seed` and the prompt's place alone."""
    seeds = [completion_seeds(seed, 0, place, num_samples) for place in range(len(prompts))]
    return engine.generate([p.token_ids for p in prompts], params, seeds)


def grade_all(
    prompts: Sequence[Prompt], completions_P_G: Sequence[Sequence[Completion]], grader: Grader, tokenizer: Any
) -> list[Answer]:
    """Decode and grade every completion; graders see the prefill as the beginning of the completion."""
    flat = [(prompt, g, c) for prompt, group in zip(prompts, completions_P_G, strict=True) for g, c in enumerate(group)]
    texts = [p.prefill + tokenizer.decode(c.token_ids, skip_special_tokens=True) for p, _, c in flat]
    columns = as_columns([p.problem.columns for p, _, _ in flat]) | {
        "completion_ids": [c.token_ids for _, _, c in flat]
    }
    graded = grader.grade(texts, [p.text for p, _, _ in flat], columns)
    return [Answer(p, g, c, text, grade) for (p, g, c), text, grade in zip(flat, texts, graded, strict=True)]


def as_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows as columns, as reward functions take them; a field that some row lacks is None there."""
    names = {name for row in rows for name in row}
    return {name: [row.get(name) for row in rows] for name in sorted(names)}


def score(answers: Sequence[Answer]) -> Score:
    """pass@1 of graded answers; ungradable ones are left out."""
    by_problem: dict[str, list[float]] = {}
    for answer in answers:
        if answer.graded.solved is not None:
            by_problem.setdefault(answer.prompt.problem.id, []).append(float(answer.graded.solved))
    if not by_problem:
        return Score(0.0, (0.0, 1.0), 0)
    rates = [float(np.mean(solved)) for solved in by_problem.values()]
    mean = float(np.mean(rates))
    if all(len(solved) == 1 for solved in by_problem.values()):
        interval = stats.binomtest(round(sum(rates)), len(rates)).proportion_ci(0.95, method="wilson")
        return Score(mean, (float(interval.low), float(interval.high)), len(rates))
    if len(set(rates)) == 1:  # nothing to resample
        return Score(mean, (mean, mean), len(rates))
    boot = stats.bootstrap((rates,), np.mean, rng=np.random.default_rng(0), method="percentile").confidence_interval
    return Score(mean, (float(boot.low), float(boot.high)), len(rates))


def lengths(answers: Sequence[Answer]) -> dict[str, float]:
    """Mean length in tokens and share of truncated completions."""
    counts = [len(answer.completion.token_ids) for answer in answers]
    truncated = [answer.completion.finish_reason == "length" for answer in answers]
    return {"mean_length": sum(counts) / len(counts), "truncated": sum(truncated) / len(truncated)}


def answer_row(answer: Answer) -> dict[str, Any]:
    """The answer as a row of a table: what was asked, said and thought of it."""
    return {
        "problem_id": answer.prompt.problem.id,
        "sample": answer.sample,
        "prompt": answer.prompt.text,
        "completion": answer.text,
        "token_ids": list(answer.completion.token_ids),
        "logprobs": list(answer.completion.logprobs),
        "finish_reason": answer.completion.finish_reason,
        "reward": answer.graded.reward,
        "solved": answer.graded.solved,
        "extra": answer.graded.extra,
    }
