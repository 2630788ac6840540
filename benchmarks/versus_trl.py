"""Whole steps against TRL's GRPOTrainer: `python -m benchmarks.versus_trl`.

The same model, problems, rewards, optimizer and precision; each contender in a process of its own with its own
defaults, the environment untouched. Its first step warms up and does not count. A second round pays by a hash of the
answer, so that no group can be skipped: the ratio there is that of engine and learner alone.
"""

import statistics
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.part import Part, Results, at_least_one, fresh, run_part
from benchmarks.penny_process import penny_steps
from benchmarks.report import median_ratio, percents, ratio_text, spread, table
from benchmarks.trl_process import trl_steps
from benchmarks.workload import VARIED, Sizes, bench_recipe

TRL = {"TRL, gradient checkpointing": True, "TRL, without": False}  # the first is its default
PENNY = {"Penny, vLLM": "vllm", "Penny, transformers": "transformers"}
ROUNDS = {"task": "rewards of the task", "varied": "a signal in every group"}
Steps = Sequence[Mapping[str, float]]


def add_options(parser: ArgumentParser) -> None:
    """Sizes."""
    parser.add_argument("--model", default="smollm2", help="(smollm2)")
    parser.add_argument("--engines", nargs="+", default=list(PENNY.values()), choices=list(PENNY.values()))
    at_least_one(parser, repeats=3, prompts=8, samples=8, max_tokens=64)


def run(options: Namespace) -> dict[str, Any]:
    """Both rounds; the second only against the faster TRL, and in the reverse order."""
    sizes = Sizes(options.model, options.repeats, options.prompts, options.samples, options.max_tokens)
    ours = [name for name, engine in PENNY.items() if engine in options.engines]
    order = [name for pair in zip([*ours, ""], [*TRL, ""], strict=False) for name in pair if name]
    rounds = {"task": {name: contend(name, "task", sizes) for name in order}}
    peer = fastest(rounds["task"], TRL)
    rounds["varied"] = {name: contend(name, "varied", sizes) for name in [peer, *reversed(ours)]}
    return {"rounds": {name: {c: found[c] for c in sorted(found)} for name, found in rounds.items()}, "peer": peer}


def contend(name: str, reward: str, sizes: Sizes) -> list[dict[str, float]]:
    """The measured steps of one contender in one round."""
    changes: dict[str, dict[str, Any]] = {"algorithm": {"loss_type": "dapo", "problems_per_step": sizes.prompts}}
    if reward == "varied":
        changes["rewards"] = VARIED
    if name in TRL:
        changes["model"] = {"gradient_checkpointing": TRL[name]}
    recipe = bench_recipe(sizes, PENNY.get(name, "transformers"), changes).model_dump(mode="json")
    steps: list[dict[str, float]] = fresh(trl_steps if name in TRL else penny_steps, recipe=recipe)
    return steps[1:]


def fastest(found: Mapping[str, Steps], among: Mapping[str, Any]) -> str:
    """The contender with the shortest median step."""
    return min(among, key=lambda name: statistics.median(column(found[name], "step")))


def column(steps: Steps, name: str) -> list[float]:
    """One figure of all steps; 0 where there is no such phase."""
    return [step.get(name, 0.0) for step in steps]


def markdown(results: Results) -> Iterator[str]:
    """A table a round, and the ratios."""
    yield (
        "Seconds of a step and of its phases: median of the measured steps (lowest to highest). Ratios are those of "
        f"the medians to {results['peer']}, the faster of the two; in brackets the worst and the best case, extreme "
        "over extreme."
    )
    for name, found in results["rounds"].items():
        yield f"## {ROUNDS[name].capitalize()}"
        yield steps_table(found, results["peer"])


def steps_table(found: Mapping[str, Steps], peer: str) -> str:
    """One round."""
    base = [1 / seconds for seconds in column(found[peer], "step")]
    rows = []
    for name, steps in found.items():
        rates = [1 / seconds for seconds in column(steps, "step")]
        rows.append(
            (
                name,
                spread([3600 * rate for rate in rates]),
                ratio_text(median_ratio(rates, base)),
                *(spread(column(steps, phase)) for phase in ("step", "generate", "grade", "learn", "sync", "rest")),
                spread(column(steps, "mean_length")),
                percents(column(steps, "no_signal")),
            )
        )
    header = ("", "steps/h", f"times {peer}", "step, s", "generate", "grade", "learn", "sync", "rest")
    return table((*header, "tokens a completion", "groups without signal"), rows)


PART = Part("versus_trl", "Whole steps against TRL", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
