"""Rollouts that are sampled once and then given to whoever learns from them, as JSON between processes."""

import contextlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from benchmarks.workload import (
    Batch,
    Sizes,
    batch_seeds,
    bench_recipe,
    long_prompts,
    shared_prefix,
    start_engine,
    to_samples,
)
from rl.config.recipe import Recipe
from rl.learner.packing import Sample
from rl.learner.policy import Policy
from rl.learner.step import LearnerSettings, learn
from rl.rollout.engine import SamplingParams

# Nothing is corrected or clipped: both sides give the plain gradient, and the weights stay as they are.
PLAIN = {
    "algorithm": {"importance_sampling_correction": "none"},
    "optimizer": {"max_grad_norm": 0.0, "learning_rate": 0.0},
}
Given = Sequence[Mapping[str, Any]]  # samples


def sample_rollouts(
    model: str, engine: str, prompts: int, samples: int, prompt_tokens: int, max_tokens: int
) -> dict[str, Any]:
    """Completions of prompts that share nothing but the chat template, and what they are like."""
    batch = Batch(long_prompts(model, prompts, prompt_tokens), batch_seeds(1, prompts, samples))
    sizes = Sizes(model, 1, prompts, samples, max_tokens)
    rollout = {"rollout": {"engine": engine}, "problems": {"max_prompt_length": max(map(len, batch.prompts))}}
    with contextlib.closing(start_engine(bench_recipe(sizes, engine, rollout))) as sampler:
        completions = sampler.generate(batch.prompts, SamplingParams(max_tokens), batch.seeds)
    lengths = [len(completion.token_ids) for group in completions for completion in group]
    return {
        "samples": [asdict(sample) for sample in to_samples(batch, completions)],
        "prompt_tokens": statistics.fmean(map(len, batch.prompts)),
        "shared_tokens": shared_prefix(batch.prompts) if prompts > 1 else 0,
        "completion_tokens": sum(lengths),
        "lengths": [min(lengths), statistics.median(lengths), max(lengths)],
    }


def as_samples(given: Given) -> list[Sample]:
    """Samples as they were before they travelled."""
    fields = [{name: tuple(x) if isinstance(x, list) else x for name, x in sample.items()} for sample in given]
    return [Sample(**sample) for sample in fields]


def given_recipe(model: str, completions: int, changes: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """A recipe whose step is these many completions, two or more of a problem."""
    sizes = Sizes(model, 1, completions // 2, 2, 512)
    merged = {name: {**PLAIN.get(name, {}), **changes.get(name, {})} for name in {*PLAIN, *changes}}
    return bench_recipe(sizes, "transformers", merged)


def our_pass(policy: Policy, samples: Sequence[Sample], recipe: Recipe) -> float:
    """A whole learning step but for new weights: packing, forward, loss, backward, gap, optimizer. Returns the loss."""
    update = learn(
        policy,
        torch.optim.SGD(policy.trainable.values(), lr=0.0),
        samples,
        recipe.algorithm,
        recipe.optimizer,
        LearnerSettings(1.0, recipe.rollout.max_completion_length, max_gap=math.inf),
    )
    return update.metrics["loss"]
