"""The learner alone against TRL's loss and backward pass, on the same rollouts: `python -m benchmarks.learner`.

Both get the same prompts, completions and advantages, none of them zero. Before anything is timed both must give the
same loss and the same gradient on a few of them.
"""

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.given import Given, as_samples, given_recipe, our_pass, sample_rollouts
from benchmarks.part import Part, Results, at_least_one, fresh, run_part
from benchmarks.report import number, spread, table
from benchmarks.trl_process import loss_and_backward, open_trainer, trl_inputs
from benchmarks.workload import in_turn, perturbed_policy, timed
from rl.base.errors import RunStopped
from rl.learner.policy import Policy

TOLERANCE = 1e-3  # of loss and gradient, relative, in float32
COMPARED = 2  # groups, and completions of each, that both sides are compared on
OURS = "Penny"
TRL = {"TRL, gradient checkpointing": True, "TRL, without": False}  # the first is its default


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the two sets of rollouts."""
    parser.add_argument("--model", default="smollm2", help="(smollm2)")
    parser.add_argument("--engine", default="auto", choices=["auto", "vllm", "transformers"], help="samples (auto)")
    at_least_one(parser, repeats=3, samples=8)
    at_least_one(parser, short_prompts=8, short_prompt_tokens=128, short_max_tokens=64)
    at_least_one(parser, long_prompts=2, long_prompt_tokens=64, long_max_tokens=512)


def run(options: Namespace) -> dict[str, Any]:
    """Sample, compare, and time each set."""
    sets = {}
    for name in ("short", "long"):
        sizes = {key: getattr(options, f"{name}_{key}") for key in ("prompts", "prompt_tokens", "max_tokens")}
        rollouts = fresh(sample_rollouts, model=options.model, engine=options.engine, samples=options.samples, **sizes)
        samples = rollouts.pop("samples")
        few = [s for p in range(min(COMPARED, sizes["prompts"])) for s in samples[p * options.samples :][:COMPARED]]
        compared = fresh(compare, model=options.model, samples=few)
        seconds: dict[str, list[float]] = {way: [] for way in (OURS, *TRL)}
        for _, way in in_turn(seconds, options.repeats):
            asked = {"model": options.model, "samples": samples}
            seconds[way].append(
                fresh(trl_seconds, checkpointing=TRL[way], **asked) if way in TRL else fresh(penny_seconds, **asked)
            )
        sets[name] = rollouts | {"compared": compared, "seconds": seconds}
    return {"sets": sets}


def compare(model: str, samples: Given) -> dict[str, float]:
    """Relative differences of loss and gradient between both sides, whose weights are the same.

    Raises RunStopped if one is above `TOLERANCE`.
    """
    rollouts = as_samples(samples)
    recipe = given_recipe(model, len(rollouts), {})
    policy = perturbed_policy(recipe)
    with tempfile.TemporaryDirectory(prefix="penny-bench-") as folder:
        trainer = open_trainer(recipe, Path(folder))
    theirs = dict(trainer.model.named_parameters())
    for name, parameter in policy.trainable.items():
        theirs[name].data.copy_(parameter.data)
    loss = loss_and_backward(trainer, trl_inputs(rollouts, trainer.processing_class.pad_token_id))
    found = {
        "loss": abs(our_pass(policy, rollouts, recipe) - loss) / max(abs(loss), 1e-2),
        "gradient": gradient_difference(policy, theirs),
    }
    if not max(found.values()) <= TOLERANCE:
        raise RunStopped(
            f"the learner and TRL differ on the same rollouts (relative: loss {found['loss']:.1e}, gradient "
            f"{found['gradient']:.1e}, more than {TOLERANCE:g}), so there is no use in timing them; find out which is "
            "wrong (tests/learner/test_losses_trl.py)"
        )
    return found


def gradient_difference(policy: Policy, theirs: Mapping[str, Any]) -> float:
    """Norm of the difference of the gradients over the norm of TRL's."""
    squares = [
        ((parameter.grad - theirs[name].grad).pow(2).sum(), theirs[name].grad.pow(2).sum())
        for name, parameter in policy.trainable.items()
    ]
    return float((sum(d for d, _ in squares) / sum(t for _, t in squares)) ** 0.5)


def penny_seconds(model: str, samples: Given) -> float:
    """Seconds of the second pass over all rollouts; the first meets every shape."""
    rollouts = as_samples(samples)
    recipe = given_recipe(model, len(rollouts), {})
    policy = perturbed_policy(recipe)
    our_pass(policy, rollouts, recipe)
    return timed(lambda: our_pass(policy, rollouts, recipe))[1]


def trl_seconds(model: str, samples: Given, checkpointing: bool) -> float:
    """Seconds of TRL's passes over all rollouts, after one pass, which has the shape of all."""
    rollouts = as_samples(samples)
    recipe = given_recipe(model, len(rollouts), {"model": {"gradient_checkpointing": checkpointing}})
    with tempfile.TemporaryDirectory(prefix="penny-bench-") as folder:
        trainer = open_trainer(recipe, Path(folder))
    inputs = trl_inputs(rollouts, trainer.processing_class.pad_token_id)
    loss_and_backward(trainer, inputs, passes=1)
    return timed(lambda: loss_and_backward(trainer, inputs))[1]


def markdown(results: Results) -> Iterator[str]:
    """A table for each set of rollouts."""
    yield (
        "Completion tokens of the batch a second: median (lowest to highest), each measurement in a process of its "
        "own, in alternating order. Ratios are taken within each repeat, to the faster TRL of the set."
    )
    for found in results["sets"].values():
        low, middle, high = found["lengths"]
        yield (
            f"## Prompts of {number(found['prompt_tokens'])} tokens, completions of {low} to {high} (median {middle:g})"
        )
        yield (
            f"{found['shared_tokens']} tokens at the beginning are common to all prompts. On a few rollouts both sides "
            f"differ by {found['compared']['loss']:.1e} of the loss and {found['compared']['gradient']:.1e} of the "
            "gradient."
        )
        yield rates_table(found["seconds"], found["completion_tokens"])


def rates_table(seconds: Mapping[str, Sequence[float]], tokens: int) -> str:
    """Tokens a second of each way, and the ratio to the faster TRL."""
    peer = min(TRL, key=lambda way: sorted(seconds[way])[len(seconds[way]) // 2])
    rows = [
        (
            way,
            spread([tokens / value for value in values]),
            spread([base / value for base, value in zip(seconds[peer], values, strict=True)]),
        )
        for way, values in seconds.items()
    ]
    return table(("", "completion tokens/s", f"times {peer}"), rows)


PART = Part("learner", "The learner against TRL's", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
