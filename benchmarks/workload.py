"""What the parts of the benchmark measure on, and how they take time: sizes, prompts, seeds, policy, clock."""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from rl.learner.packing import Sample
from rl.learner.policy import Policy, load_policy
from rl.models import load_tokenizer
from rl.problems.prompt import Prompter
from rl.problems.sources import load_problems
from rl.problems.stream import completion_seeds
from rl.recipe import Recipe
from rl.rollout.build import pick_device, pick_dtype
from rl.rollout.engine import Completion

T = TypeVar("T")
DTYPES = ("float32", "bfloat16")
SIZES = ("model", "repeats", "prompts", "samples", "max_tokens")  # options that the report states
PERTURBATION = 1e-3  # of lora_B: about what ten steps of AdamW at a learning rate of 3e-4 leave there


@dataclass(frozen=True)
class Options:
    """Which part, how much of it, and the file that its figures go to."""

    part: str
    engine_dtype: str
    model: str
    repeats: int
    prompts: int
    samples: int
    max_tokens: int
    output: Path


@dataclass(frozen=True)
class Batch:
    """Token ids of P prompts, and for each of them the seeds of its G completions."""

    prompts: list[tuple[int, ...]]
    seeds: list[list[int]]

    def first(self, prompts: int) -> "Batch":
        """The same batch with its first `prompts` prompts only, but at least one."""
        return Batch(self.prompts[: max(prompts, 1)], self.seeds[: max(prompts, 1)])


def parse_options(parts: Iterable[str]) -> Options:
    """The command line of one part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts", description="Measure one part of a step.")
    parser.add_argument("part", choices=list(parts))
    parser.add_argument("--engine-dtype", choices=DTYPES, default="float32", help="of the part `dtypes`")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=8, help="prompts of a batch")
    parser.add_argument("--samples", type=int, default=8, help="completions of a prompt")
    parser.add_argument("--max-tokens", type=int, default=32, help="longest completion")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file")
    options = parser.parse_args()
    for name in SIZES[1:]:
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return Options(**vars(options))


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
    """One batch to warm up and one for each repeat; no question comes twice, so no cache answers it."""
    section = bench_recipe(options, "transformers").problems
    prompter = Prompter(section, load_tokenizer(options.model))
    prompts = [prompter.render(problem).token_ids for problem in load_problems(section)]
    return [
        Batch(
            prompts[start : start + options.prompts],
            [completion_seeds(0, number, place, options.samples) for place in range(options.prompts)],
        )
        for number, start in enumerate(range(0, len(prompts), options.prompts))
    ]


def to_samples(batch: Batch, completions: Sequence[Sequence[Completion]]) -> list[Sample]:
    """The rollouts of a batch as the learner takes them, every one with the same advantage."""
    return [
        Sample(prompt, completion.token_ids, completion.logprobs, 1.0, True)
        for prompt, group in zip(batch.prompts, completions, strict=True)
        for completion in group
    ]


def perturbed_policy(options: Options, dtype: str) -> Policy:
    """The policy with an adapter that says something: at lora_B = 0 merging it would change no weight."""
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
    """(repeat, name) from repeat 1 on, every other time backwards, so that a drift of the machine hits all alike."""
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
