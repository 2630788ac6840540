"""The learner with the weights that it shares with the engine, against adapters beside their base: `benchmarks.shared`.

Both do the same step over the same rollouts: packing, forward and backward pass, gap, and new merged weights where they
are shared. In float32 both must give the same gradient before anything is timed.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks.given import Given, as_samples, given_recipe, our_pass, sample_rollouts
from benchmarks.learner import gradient_difference
from benchmarks.part import Part, Results, at_least_one, fresh, run_part
from benchmarks.report import number, spread, table
from benchmarks.step import PRODUCT, PRODUCT_ROWS
from benchmarks.workload import DTYPES, in_turn, perturbed_policy, product_rates, timed
from rl.base.errors import RunStopped
from rl.config.recipe import Recipe
from rl.learner.packing import Sample
from rl.learner.policy import Policy
from rl.rollout.build import pick_device

EMULATED = 0.2  # of float32's rate, below which a precision is emulated and not worth hours
TOLERANCE = 1e-4  # norm of the difference of the gradients over the gradient's, in float32
WAYS = {"beside the base": "adapter", "shared": "merged"}  # `rollout.weight_sync` that leads to it


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the rollouts."""
    parser.add_argument("--model", default="smollm2", help="(smollm2)")
    parser.add_argument("--engine", default="auto", choices=["auto", "vllm", "transformers"], help="samples (auto)")
    at_least_one(parser, repeats=5, prompts=8, samples=8, prompt_tokens=64, max_tokens=64)


def run(options: Namespace) -> dict[str, Any]:
    """Sample once, then time each precision in a process of its own. Raises RunStopped if gradients differ."""
    sizes = {name: getattr(options, name) for name in ("model", "engine", "prompts", "samples")}
    rollouts = fresh(sample_rollouts, prompt_tokens=options.prompt_tokens, max_tokens=options.max_tokens, **sizes)
    given = {"model": options.model, "samples": rollouts.pop("samples"), "repeats": options.repeats}
    rates = {
        dtype: product_rates(PRODUCT, PRODUCT_ROWS, getattr(torch, dtype), pick_device("auto")) for dtype in DTYPES
    }
    fast = [dtype for dtype in DTYPES if rates[dtype] > EMULATED * rates["float32"]]
    return {
        "rollouts": rollouts,
        "gflops": {dtype: rate / 1e9 for dtype, rate in rates.items()},
        "passes": {dtype: fresh(both_ways, dtype=dtype, **given) for dtype in fast},
    }


def both_ways(model: str, samples: Given, repeats: int, dtype: str) -> dict[str, Sequence[float]]:
    """Seconds of a step over all rollouts for each way, one for each repeat, in alternating order."""
    rollouts = as_samples(samples)
    recipes = {
        way: given_recipe(model, len(rollouts), {"model": {"dtype": dtype}, "rollout": {"weight_sync": sync}})
        for way, sync in WAYS.items()
    }
    policies = {way: perturbed_policy(recipe) for way, recipe in recipes.items()}
    for way, policy in policies.items():
        our_pass(policy, rollouts, recipes[way])
    first, second = policies.values()
    apart = gradient_difference(first, second.trainable)
    if dtype == "float32" and not apart <= TOLERANCE:
        raise RunStopped(f"the gradients differ by {apart:.1e} of their norm, so there is no use in timing them")
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _, way in in_turn(WAYS, repeats):
        seconds[way].append(timed(partial(updated_pass, policies[way], rollouts, recipes[way]))[1])
    return seconds


def updated_pass(policy: Policy, samples: Sequence[Sample], recipe: Recipe) -> float:
    """Do a step on weights that have just changed, as they have in every step of a run; return its loss."""
    with torch.no_grad():
        for parameter in policy.trainable.values():
            parameter.add_(0)  # in place, so merged weights are made anew
    return our_pass(policy, samples, recipe)


def markdown(results: Results) -> Iterator[str]:
    """Tokens a second of each way, precision by precision."""
    tokens = results["rollouts"]["completion_tokens"]
    yield f"{tokens} completion tokens a step. Median (lowest to highest), in alternating order."
    rows = []
    for dtype, seconds in results["passes"].items():
        old = seconds["beside the base"]
        for way, values in seconds.items():
            ratio = [base / value for base, value in zip(old, values, strict=True)]
            rows.append((dtype, way, spread([tokens / value for value in values]), spread(ratio)))
    yield table(("", "adapters", "completion tokens/s", "times beside the base"), rows)
    rates = ", ".join(f"{dtype} {number(rate)}" for dtype, rate in results["gflops"].items())
    yield f"Plain products: {rates} GFLOP/s."


PART = Part("shared", "Shared weights against adapters beside their base", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
