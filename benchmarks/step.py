"""Engines and precisions, side by side: `python -m benchmarks.step`.

Rollouts by vLLM and by transformers; then, for each pair of precisions, what weights to the engine take, how fast both
sides are, and the gap between them. Engines of different precision run in processes of their own, because they do not
live well together.
"""

import contextlib
import importlib.util
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from benchmarks.part import Part, Results, at_least_one, fresh, run_part
from benchmarks.report import number, spread, table
from benchmarks.workload import (
    Batch,
    Sizes,
    bench_recipe,
    in_turn,
    make_batches,
    perturbed_policy,
    product_rates,
    start_engine,
    timed,
    to_samples,
    token_rates,
)
from rewards.errors import BadInput
from rl.config.recipe import OptimizerSection
from rl.learner.gap import gap_stats
from rl.learner.packing import pack
from rl.learner.policy import Policy
from rl.rollout.engine import Completion, RolloutEngine, SamplingParams

PASS_TOKENS = OptimizerSection().pass_tokens  # tree nodes of one pass: what a recipe gets by default
PATIENCE = 20.0  # seconds of a small step above which its precision is measured once only
DTYPES = ("float32", "bfloat16", "float16")
PRODUCT = ((1536, 576),)  # (out, in) of SmolLM2's largest matrix
PRODUCT_ROWS = 512
Cell = Mapping[str, Sequence[float]]  # figures by name, one for each repeat
Engines = Mapping[str, Mapping[str, Cell]]  # by the engine's precision, then the learner's


def add_options(parser: ArgumentParser) -> None:
    """Sizes."""
    parser.add_argument("--model", default="smollm2", help="(smollm2)")
    at_least_one(parser, repeats=3, prompts=8, samples=8, max_tokens=32)


def run(options: Namespace) -> dict[str, Any]:
    """All engines. Raises BadInput without vLLM, which is one side of everything here."""
    if importlib.util.find_spec("vllm") is None:
        raise BadInput("This part compares vLLM with other things, and vLLM is not installed: run `make install`.")
    sizes = {name: getattr(options, name) for name in Sizes.__dataclass_fields__}
    figures = {"rollouts": fresh(rollouts, **sizes)}
    figures |= {f"engine {dtype}": fresh(dtypes, engine_dtype=dtype, **sizes) for dtype in DTYPES}
    return {"figures": figures}


def rollouts(**sizes: Any) -> dict[str, Any]:
    """The same prompts, seeds and lengths through vLLM and through transformers, float32."""
    how_much = Sizes(**sizes)
    batches = make_batches(how_much)
    engines = {name: start_engine(bench_recipe(how_much, name)) for name in ("vllm", "transformers")}
    params = SamplingParams(how_much.max_tokens)

    def generate(engine: RolloutEngine, number: int) -> int:
        completions = engine.generate(batches[number].prompts, params, batches[number].seeds)
        return sum(len(completion.token_ids) for group in completions for completion in group)

    ways = {name: partial(generate, engine) for name, engine in engines.items()}
    for warm_up in ways.values():
        warm_up(0)
    rates = token_rates(ways, how_much.repeats)
    greedy = SamplingParams(how_much.max_tokens, temperature=0)
    prompts = batches[0].prompts
    ours, theirs = (engine.generate(prompts, greedy, [[0]] * len(prompts)) for engine in engines.values())
    for engine in engines.values():
        engine.close()
    return {"tokens_per_second": rates, "greedy": compare_greedy([g[0] for g in ours], [g[0] for g in theirs])}


def compare_greedy(ours: Sequence[Completion], theirs: Sequence[Completion]) -> dict[str, float]:
    """The largest difference of log-probabilities (nats) as far as each pair agrees, and how many tokens that is.

    Where they part two tokens were about equally likely, and nothing after that can be compared.
    """
    differences = []
    for one, other in zip(ours, theirs, strict=True):
        pairs = zip(one.token_ids, other.token_ids, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        differences += [abs(one.logprobs[i] - other.logprobs[i]) for i in range(shared)]
    return {
        "max_difference": max(differences, default=0.0),
        "tokens_compared": len(differences),
        "tokens": sum(len(completion.token_ids) for completion in ours),
    }


def dtypes(engine_dtype: str, **sizes: Any) -> dict[str, Any]:
    """A vLLM engine of one precision with a learner of each: weights to the engine, speed and gap, repeat by repeat.

    A precision that the processor can only emulate may be many times slower; it is not measured again.
    """
    how_much = Sizes(**sizes)
    slow = set[str]()
    batches = [batch.first(how_much.prompts // 8) for batch in make_batches(how_much)]
    figures: dict[str, dict[str, list[float]]] = {dtype: {} for dtype in DTYPES}
    engine_part = {"rollout": {"dtype": engine_dtype}}
    engine_recipe = bench_recipe(how_much, "vllm", engine_part)
    with contextlib.closing(start_engine(engine_recipe)) as engine:
        policies = {
            dtype: perturbed_policy(bench_recipe(how_much, "vllm", {"model": {"dtype": dtype}} | engine_part))
            for dtype in DTYPES
        }
        # The engine's first call is much slower than the rest.
        engine.generate(batches[0].prompts, SamplingParams(how_much.max_tokens), batches[0].seeds)
        for repeat, dtype in in_turn(DTYPES, how_much.repeats):
            if dtype in slow:
                continue
            call = partial(small_step, engine, policies[dtype], batches[repeat], how_much.max_tokens)
            step, seconds = timed(call)
            if seconds > PATIENCE:
                slow.add(dtype)
            for name, value in step.items():
                figures[dtype].setdefault(name, []).append(value)
    return figures


def small_step(engine: RolloutEngine, policy: Policy, batch: Batch, max_tokens: int) -> dict[str, float]:
    """Weights to the engine, rollouts, forward and backward: what each took, and the gap."""
    size, export_seconds = timed(lambda: sum(tensor.nbytes for _, tensor in policy.export()))
    _, sync_seconds = timed(lambda: engine.load_weights(policy.export()))
    params = SamplingParams(max_tokens)
    completions, rollout_seconds = timed(lambda: engine.generate(batch.prompts, params, batch.seeds))
    samples = to_samples(batch, completions)
    (logps, engine_logps), learner_seconds = timed(lambda: both_logps(policy, samples))
    gap = gap_stats(logps.cpu(), engine_logps.cpu())
    return {
        "sync_bytes": size,
        "export_seconds": export_seconds,
        "sync_seconds": sync_seconds,
        "rollout_tokens_per_second": len(logps) / rollout_seconds,
        "learner_tokens_per_second": len(logps) / learner_seconds,
        "matrix_gflops": product_rates(PRODUCT, PRODUCT_ROWS, policy.causal_lm.dtype, policy.device) / 1e9,
        "gap/mean": gap["gap/mean"],
        "gap/max": gap["gap/max"],
    }


def both_logps(policy: Policy, samples: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Forward and backward; the learner's log-probabilities [N] and the engine's of the same tokens."""
    policy.model.zero_grad()
    done: list[tuple[Tensor, Tensor]] = []
    for tree in pack(samples, PASS_TOKENS, None, policy.layout):
        logps, _ = policy.logps(tree.to(policy.device), 1.0)
        (-logps.sum()).backward()
        done.append((logps.detach(), tree.engine_logps))
    return torch.cat([ours for ours, _ in done]), torch.cat([theirs for _, theirs in done])


def markdown(results: Results) -> Iterator[str]:
    """All figures as tables."""
    figures = results["figures"]
    engines = {name.split()[1]: cells for name, cells in figures.items() if name.startswith("engine")}
    yield "Median (lowest to highest), in alternating order."
    yield "## Rollouts"
    yield from rollouts_text(figures["rollouts"])
    yield "## Weights to the engine"
    yield sync_table(engines)
    yield "## Precision and gap"
    yield precision_table(engines)


def rollouts_text(figures: Mapping[str, Any]) -> Iterator[str]:
    """The engines side by side, and whether they compute the same."""
    greedy = figures["greedy"]
    yield rates_table(figures["tokens_per_second"], "transformers")
    yield (
        f"Greedy completions of the same prompts: log-probabilities differ by at most {greedy['max_difference']:.1e} "
        f"nats over the {greedy['tokens_compared']} tokens (of {greedy['tokens']}) up to where a pair parts."
    )


def rates_table(rates: Mapping[str, Sequence[float]], base: str) -> str:
    """Completion tokens a second, and their ratio to those of `base` in the same repeat."""
    rows = [
        (name, spread(values), spread([x / y for x, y in zip(values, rates[base], strict=True)]))
        for name, values in rates.items()
    ]
    return table(("", "completion tokens/s", f"times {base}"), rows)


def sync_table(engines: Engines) -> str:
    """Seconds and bytes of a weight sync, for each pair of precisions."""
    rows = [
        (*pair, spread(cell["sync_seconds"]), spread(cell["export_seconds"]), number(cell["sync_bytes"][0] / 1e6))
        for pair, cell in pairs(engines)
    ]
    return table(("learner", "engine", "sync, s", "of which merging and export alone, s", "MB"), rows)


def precision_table(engines: Engines) -> str:
    """Speed and gap, for each pair of precisions."""
    columns = {
        "rollout_tokens_per_second": "rollout tokens/s",
        "learner_tokens_per_second": "learner tokens/s",
        "matrix_gflops": "learner's matrix products, GFLOP/s",
        "gap/mean": "gap/mean",
        "gap/max": "gap/max",
    }
    rows = [(*pair, *(spread(cell[column]) for column in columns)) for pair, cell in pairs(engines)]
    return table(("learner", "engine", *columns.values()), rows)


def pairs(engines: Engines) -> Iterable[tuple[tuple[str, str], Cell]]:
    """((learner's precision, engine's), figures), all engines of a learner together."""
    learners = list(next(iter(engines.values())))
    return [((learner, engine), cells[learner]) for learner in learners for engine, cells in engines.items()]


PART = Part("step", "Engines and precisions", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
