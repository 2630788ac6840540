"""What the benchmarks measure on, and how they take time: recipes, prompts, seeds, policy, clock."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import torch

from rl.config.recipe import Recipe
from rl.config.recipe_file import check_tree
from rl.learner.packing import Sample
from rl.learner.policy import Policy, load_policy
from rl.models.source import load_tokenizer
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter
from rl.problems.sources import load_problems
from rl.problems.stream import completion_seeds
from rl.rollout.build import build_engine, engine_start, pick_device, shared_dtype
from rl.rollout.engine import Completion, RolloutEngine
from rl.rollout.precision import pick_dtype
from rl.run.loading import loading

T = TypeVar("T")
DTYPES = ("float32", "bfloat16")
PERTURBATION = 1e-3  # of lora_B: about what ten steps of AdamW at a learning rate of 3e-4 leave there
QUESTION = "What is {question}? Think step by step."
# Rewards that give every group a signal.
VARIED = {"functions": {f"{Path(__file__).with_name('signal_reward.py')}:varied": 1.0}, "correct_above": 2.0}
WORDS = (
    "river", "lamp", "seven", "orange", "window", "paper", "morning", "kettle", "garden", "stone", "letter", "music",
    "bridge", "candle", "winter", "market", "silver", "copper", "village", "engine", "harbor", "pencil", "mirror",
    "thunder", "basket", "meadow", "ladder", "pocket", "feather", "island", "bottle", "curtain",
)  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """How much is measured: of which model, how often, P prompts, G samples of each, tokens of a completion at most."""

    model: str
    repeats: int
    prompts: int
    samples: int
    max_tokens: int


@dataclass(frozen=True)
class Batch:
    """Token ids of P prompts, and for each of them the seeds of its G completions."""

    prompts: list[tuple[int, ...]]
    seeds: list[list[int]]

    def first(self, prompts: int) -> "Batch":
        """The same batch with its first `prompts` prompts only, but at least one."""
        return Batch(self.prompts[: max(prompts, 1)], self.seeds[: max(prompts, 1)])


def bench_recipe(sizes: Sizes, engine: str, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """What is measured, as a recipe: arithmetic asked in a chat, float32, LoRA r=16; `changes` are keys by section."""
    tree: dict[str, Any] = {
        "model": {"name": sizes.model, "dtype": "float32", "lora_r": 16},
        "problems": {
            "source": "arithmetic",
            "size": sizes.prompts * (sizes.repeats + 1) + 1,
            "prompt": QUESTION,
            "max_prompt_length": 128,
        },
        "rewards": {"functions": {"exact_number": 1.0}},
        "rollout": {
            "engine": engine,
            "num_generations": sizes.samples,
            "max_completion_length": sizes.max_tokens,
        },
        "algorithm": {"problems_per_step": sizes.prompts},
        "optimizer": {"max_steps": sizes.repeats + 1},
        "evaluation": {"size": 1},
        "run": {"save_steps": 10_000},
    }
    for section, keys in (changes or {}).items():
        tree[section] = tree.get(section, {}) | dict(keys)
    return check_tree({"name": "bench"} | tree, "the benchmark")


def make_batches(sizes: Sizes) -> list[Batch]:
    """One batch to warm up and one for each repeat; no question comes twice, so no cache answers it."""
    section = bench_recipe(sizes, "transformers").problems
    prompter = Prompter(section, load_tokenizer(sizes.model))
    prompts = [prompter.render(problem).token_ids for problem in load_problems(section)]
    return [
        Batch(prompts[start : start + sizes.prompts], batch_seeds(number, sizes.prompts, sizes.samples))
        for number, start in enumerate(range(0, sizes.prompts * (sizes.repeats + 1), sizes.prompts))
    ]


def batch_seeds(number: int, prompts: int, samples: int) -> list[list[int]]:
    """Seeds of a batch's completions, as a run with seed 0 has them at step `number`."""
    return [completion_seeds(0, number, place, samples) for place in range(prompts)]


def long_prompts(model: str, count: int, tokens: int) -> list[tuple[int, ...]]:
    """Prompts of about `tokens` tokens that share nothing but the chat template: words drawn anew, then a question."""
    tokenizer = load_tokenizer(model)
    section = bench_recipe(Sizes(model, 1, 1, 2, 1), "transformers").problems
    prompter = Prompter(
        section.model_copy(update={"prompt": "{notes} " + QUESTION, "max_prompt_length": 10_000}), tokenizer
    )
    draw = random.Random(0)
    prompts = []
    for number in range(count):
        columns = {"notes": "", "question": f"{draw.randint(10, 99)} + {draw.randint(10, 99)}"}
        ids: tuple[int, ...] = ()
        while len(ids) < tokens:
            columns["notes"] = " ".join([*columns["notes"].split(), draw.choice(WORDS)])
            ids = prompter.render(Problem(str(number), dict(columns))).token_ids
        prompts.append(ids)
    return prompts


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens at the beginning that all prompts have in common."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False)))


def to_samples(batch: Batch, completions: Sequence[Sequence[Completion]]) -> list[Sample]:
    """The rollouts of a batch as the learner takes them, none with an advantage of zero: 1 and -1/2 in turn."""
    return [
        Sample(prompt, completion.token_ids, completion.logprobs, 1.0 - 1.5 * (place % 2), True)
        for prompt, group in zip(batch.prompts, completions, strict=True)
        for place, completion in enumerate(group)
    ]


def start_engine(recipe: Recipe) -> RolloutEngine:
    """Build the recipe's engine, and keep out of the terminal what libraries say meanwhile."""
    with loading(engine_start(recipe)):
        return build_engine(recipe)


def perturbed_policy(recipe: Recipe) -> Policy:
    """The policy with an adapter that says something: at lora_B = 0 merging it would change no weight."""
    device = pick_device("auto")
    dtype = pick_dtype(recipe.model.dtype, device)
    policy = load_policy(
        recipe.model, device, dtype, seed=0, keep_reference=False, engine_dtype=shared_dtype(recipe, device)
    )
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


def in_turn(names: Iterable[T], repeats: int) -> Iterator[tuple[int, T]]:
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


def product_rates(
    shapes: Sequence[tuple[int, int]], rows: int, dtype: torch.dtype, device: torch.device | str
) -> float:
    """Floating-point operations a second of products [rows, in] x [in, out], each of `shapes` (out, in) once.

    The median of three rounds, after one that does not count.
    """
    pairs = [
        (torch.randn(rows, inner, device=device).to(dtype), torch.randn(out, inner, device=device).to(dtype))
        for out, inner in shapes
    ]
    seconds = [timed(lambda: [left @ right.T for left, right in pairs])[1] for _ in range(4)][1:]
    return sum(2 * rows * out * inner for out, inner in shapes) / sorted(seconds)[1]
