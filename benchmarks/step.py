"""What the parts of a training step cost on this machine, side by side in one run: `make bench`.

Each part runs in a process of its own, because engines of different precision do not live well together. README.md says
what is measured, and what is not.
"""

import argparse
import contextlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from rewards.errors import BadInput
from rl.errors import RunStopped
from rl.learner.gap import gap_stats
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy, load_policy
from rl.models import load_tokenizer
from rl.problems.prompt import Prompter
from rl.problems.sources import load_problems
from rl.problems.stream import completion_seeds
from rl.recipe import Recipe
from rl.rollout.build import build_engine, pick_device, pick_dtype
from rl.rollout.engine import Completion, RolloutEngine, SamplingParams
from rl.run import atomic
from rl.run.manifest import PROJECT, git_state, hardware, versions

T = TypeVar("T")
DTYPES = ("float32", "bfloat16")
TOLERANCE = 1e-4  # nats; ways of computing the same log-probabilities may differ by so much in float32
PERTURBATION = 1e-3  # of lora_B: about what ten steps of AdamW at a learning rate of 3e-4 leave there


@dataclass(frozen=True)
class Options:
    """The sizes of everything measured, and where results go. `part` is None in the process that runs the parts."""

    model: str
    repeats: int
    prompts: int
    samples: int
    max_tokens: int
    output: Path
    part: str | None
    engine_dtype: str


@dataclass(frozen=True)
class Batch:
    """Token ids of P prompts, and for each of them the seeds of its G completions."""

    prompts: list[tuple[int, ...]]
    seeds: list[list[int]]

    def first(self, prompts: int) -> "Batch":
        """The same batch with its first `prompts` prompts only, at least one."""
        return Batch(self.prompts[: max(prompts, 1)], self.seeds[: max(prompts, 1)])


def bench_recipe(options: Options, engine: str, engine_dtype: str = "float32", dtype: str = "float32") -> Recipe:
    """What is measured, as a recipe: sums of two numbers, asked in a chat."""
    return Recipe.model_validate(
        {
            "name": "bench",
            "model": {"name": options.model, "dtype": dtype, "lora_r": 16},
            "problems": {
                "source": "arithmetic",
                "size": options.prompts * (options.repeats + 1),
                "prompt": "What is {question}? Think step by step.",
                "max_prompt_length": 128,
            },
            "rewards": {"functions": {"exact_number": 1.0}},
            "rollout": {"engine": engine, "dtype": engine_dtype, "max_completion_length": options.max_tokens},
        }
    )


def make_batches(options: Options) -> list[Batch]:
    """One batch to warm up and one for each repeat; no question comes twice, so no engine has it in its cache."""
    section = bench_recipe(options, "transformers").problems
    prompter = Prompter(section, load_tokenizer(options.model))
    prompts = [prompter.render(problem).token_ids for problem in load_problems(section)]
    starts = range(0, len(prompts), options.prompts)
    return [
        Batch(
            prompts[start : start + options.prompts],
            [completion_seeds(0, number, place, options.samples) for place in range(options.prompts)],
        )
        for number, start in enumerate(starts)
    ]


def perturbed_policy(options: Options, dtype: str) -> Policy:
    """The policy with an adapter that says something: at lora_B = 0 merging would change no weight."""
    recipe = bench_recipe(options, "transformers", dtype=dtype)
    device = pick_device("auto")
    policy = load_policy(recipe.model, device, pick_dtype(dtype, device), seed=0, keep_reference=False)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in policy.trainable.items():
            if "lora_B" in name:
                parameter.copy_(PERTURBATION * torch.randn(parameter.shape, generator=noise))
    return policy


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """What a call returned, and its seconds."""
    started = time.perf_counter()
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - started


def in_turn(names: Iterable[str], repeats: int) -> Iterator[tuple[int, str]]:
    """(repeat, name) from repeat 1 on, every other time in reverse, so that a drift of the machine hits all alike."""
    forward = list(names)
    for repeat in range(1, repeats + 1):
        for name in forward if repeat % 2 else reversed(forward):
            yield repeat, name


def token_rates(ways: Mapping[str, Callable[[int], int]], repeats: int) -> dict[str, list[float]]:
    """Tokens a second of each way, one for each repeat; a way takes the repeat's number and returns its tokens."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for repeat, name in in_turn(ways, repeats):
        tokens, seconds = timed(partial(ways[name], repeat))
        rates[name].append(tokens / seconds)
    return rates


def measure_rollouts(options: Options) -> dict[str, Any]:
    """The same prompts, seeds and lengths through vLLM and through transformers, float32."""
    batches = make_batches(options)
    engines = {name: build_engine(bench_recipe(options, name)) for name in ("vllm", "transformers")}
    params = SamplingParams(options.max_tokens)

    def generate(engine: RolloutEngine, number: int) -> int:
        return count_tokens(engine.generate(batches[number].prompts, params, batches[number].seeds))

    ways = {name: partial(generate, engine) for name, engine in engines.items()}
    for way in ways.values():
        way(0)
    rates = token_rates(ways, options.repeats)
    greedy = SamplingParams(options.max_tokens, temperature=0)
    prompts = batches[0].prompts
    ours, theirs = (engine.generate(prompts, greedy, [[0]] * len(prompts)) for engine in engines.values())
    for engine in engines.values():
        engine.close()
    return {"tokens_per_second": rates, "greedy": compare_greedy(flat(ours), flat(theirs))}


def compare_greedy(ours: Sequence[Completion], theirs: Sequence[Completion]) -> dict[str, float]:
    """Largest difference of log-probabilities (nats) as far as each pair of completions agrees, and how far that is.

    Where they part, two tokens were about equally likely, and nothing after that is comparable.
    """
    differences = []
    for one, other in zip(ours, theirs, strict=True):
        for token, twin, logp, twin_logp in zip(
            one.token_ids, other.token_ids, one.logprobs, other.logprobs, strict=False
        ):
            if token != twin:
                break
            differences.append(abs(logp - twin_logp))
    return {
        "max_difference": max(differences, default=float("nan")),
        "tokens_compared": len(differences),
        "tokens": sum(len(completion.token_ids) for completion in ours),
    }


def measure_learner(options: Options) -> dict[str, Any]:
    """Forward and backward pass over the same rollouts: prefix trees against padded batches, float32."""
    samples = transformers_rollouts(options)
    policy = perturbed_policy(options, "float32")
    limit = bench_recipe(options, "transformers").optimizer.micro_batch_tokens
    trees = {"packed": pack(samples, limit), "packed, a group a pass": pack(samples, limit, options.samples)}
    groups = [samples[start : start + options.samples] for start in range(0, len(samples), options.samples)]
    passes: dict[str, Callable[[], Iterator[Tensor]]] = {
        name: partial(packed_passes, policy, [batch.to(policy.device) for batch in batches])
        for name, batches in trees.items()
    }
    for name, all_logits in (("padded, a group a pass", False), ("padded, a group a pass, all logits", True)):
        passes[name] = partial(padded_passes, policy.causal_lm, groups, all_logits)
    first = {name: learn(policy, way) for name, way in passes.items()}  # warms up, too
    difference = largest_difference(list(first.values()))
    if not difference <= TOLERANCE:
        raise RunStopped(
            f"packed and padded log-probabilities differ by {difference:.1e}, above {TOLERANCE:g}, so there is no use "
            "in timing them; find out which are wrong (tests/learner/test_packing.py)"
        )
    ways = {name: lambda _, way=way: len(learn(policy, way)) for name, way in passes.items()}
    rates = token_rates(ways, options.repeats)
    return {"tokens_per_second": rates, "max_difference": difference, "completions": len(samples)}


def transformers_rollouts(options: Options) -> list[Sample]:
    """Half a batch of rollouts, by the engine that is installed everywhere."""
    batch = make_batches(options)[0].first(options.prompts // 2)
    with contextlib.closing(build_engine(bench_recipe(options, "transformers"))) as engine:
        completions = engine.generate(batch.prompts, SamplingParams(options.max_tokens), batch.seeds)
    return to_samples(batch, completions)


def packed_passes(policy: Policy, batches: Sequence[Any]) -> Iterator[Tensor]:
    """Penny's way: log-probabilities [N] of one prefix tree after the other."""
    return (policy.logps(batch, 1.0)[0] for batch in batches)


def padded_passes(model: nn.Module, groups: Sequence[Sequence[Sample]], all_logits: bool) -> Iterator[Tensor]:
    """The usual way: log-probabilities [N] of one padded batch after the other."""
    return (padded_logps(model, group, all_logits) for group in groups)


def padded_logps(model: nn.Module, samples: Sequence[Sample], all_logits: bool) -> Tensor:
    """Log-probabilities [N] of the completions from one batch, prompts padded on the left, completions on the right.

    `all_logits` projects every position onto the vocabulary; else only those that predict completions, as TRL does.
    """
    device = next(model.parameters()).device
    prompts = [torch.tensor(sample.prompt_ids) for sample in samples]
    completions = [torch.tensor(sample.completion_ids) for sample in samples]
    targets = pad_sequence(completions, batch_first=True).to(device)  # [B, C]
    both = [pad_sequence(prompts, batch_first=True, padding_side="left").to(device), targets]
    ones = [[torch.ones_like(ids) for ids in side] for side in (prompts, completions)]
    counted = pad_sequence(ones[1], batch_first=True).to(device)  # [B, C]
    mask = torch.cat([pad_sequence(ones[0], batch_first=True, padding_side="left").to(device), counted], 1)  # [B, P+C]
    width = targets.shape[1]
    logits = model(
        input_ids=torch.cat(both, 1),
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        logits_to_keep=0 if all_logits else width + 1,
        use_cache=False,
    ).logits[:, -width - 1 : -1]  # [B, C, V]
    logps = torch.log_softmax(logits.float(), -1).gather(-1, targets[..., None])[..., 0]  # [B, C]
    return logps[counted.bool()]


def learn(policy: Policy, passes: Callable[[], Iterator[Tensor]]) -> Tensor:
    """Forward and backward over all passes; returns the log-probabilities [N], without gradient."""
    policy.model.zero_grad()
    done = []
    for logps in passes():
        (-logps.mean()).backward()
        done.append(logps.detach())
    return torch.cat(done)


def largest_difference(columns: Sequence[Tensor]) -> float:
    """Largest |difference| between the first of some equally long columns [N] and any other."""
    return max(float((column - columns[0]).abs().max()) for column in columns[1:])


def measure_dtypes(options: Options) -> dict[str, Any]:
    """One vLLM engine of `engine_dtype` and a learner of each precision: sync, gap and speed, for each repeat."""
    batches = [batch.first(options.prompts // 4) for batch in make_batches(options)]
    policies = {dtype: perturbed_policy(options, dtype) for dtype in DTYPES}
    cells: dict[str, dict[str, list[float]]] = {dtype: {} for dtype in DTYPES}
    with contextlib.closing(build_engine(bench_recipe(options, "vllm", options.engine_dtype))) as engine:
        for repeat, dtype in in_turn(DTYPES, options.repeats):
            for name, value in small_step(engine, policies[dtype], batches[repeat], options).items():
                cells[dtype].setdefault(name, []).append(value)
    return cells


def small_step(engine: RolloutEngine, policy: Policy, batch: Batch, options: Options) -> dict[str, float]:
    """Weights to the engine, rollouts, forward and backward; what each took, and the gap."""
    size, export_seconds = timed(lambda: sum(tensor.nbytes for _, tensor in policy.export()))
    _, sync_seconds = timed(lambda: engine.load_weights(policy.export()))
    params = SamplingParams(options.max_tokens)
    completions, generate_seconds = timed(lambda: engine.generate(batch.prompts, params, batch.seeds))
    samples = to_samples(batch, completions)
    limit = bench_recipe(options, "vllm").optimizer.micro_batch_tokens
    trees = [tree.to(policy.device) for tree in pack(samples, limit)]
    logps, learn_seconds = timed(lambda: learn(policy, partial(packed_passes, policy, trees)))
    gap = gap_stats(logps, torch.cat([tree.engine_logps for tree in trees]))
    return {
        "sync_bytes": size,
        "export_seconds": export_seconds,
        "sync_seconds": sync_seconds,
        "rollout_tokens_per_second": len(logps) / generate_seconds,
        "learner_tokens_per_second": len(logps) / learn_seconds,
        "gap/mean": gap["gap/mean"],
        "gap/max": gap["gap/max"],
    }
