"""Chooses a micro-batch's tokens and the engine's share of a GPU, and says what would help where a run does not fit."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rl.config.recipe import Recipe
from rl.learner.budget import STEP, choose_budget
from rl.planner.flops import cache_bytes
from rl.planner.gpus import GPUS
from rl.planner.memory import (
    GIB,
    USABLE,
    Precision,
    kv_cache_bytes,
    longest_sample,
    memory_gib,
    most_tokens,
    pass_cost,
    peak_gib,
    resident_bytes,
)
from rl.planner.shapes import Shape
from rl.rollout.build import context_length, pick_engine

LEAST_SEQUENCES = 8  # at once: fewer are not worth it
ENGINE_WORKSPACE = 1.0  # GiB of vLLM's share that its own activations take
MOST_TOKENS = 32768  # of a micro-batch: larger ones are no faster


@dataclass(frozen=True)
class Choice:
    """What a machine's memory allows.

    Attributes:
        fits: whether the recipe fits as it is written.
        peak_gib: what it takes as it is written.
        limit_gib: what there is to plan with.
        micro_batch_tokens: chosen; None if nothing fits.
        gpu_memory_utilization: chosen; None where the engine takes no share (CPU, transformers) or nothing fits.
        advice: what would make the recipe fit, each alone; empty if it fits.
    """

    fits: bool
    peak_gib: float
    limit_gib: float
    micro_batch_tokens: int | None
    gpu_memory_utilization: float | None
    advice: tuple[str, ...] = ()


def choose(recipe: Recipe, shape: Shape, precision: Precision, memory: float, adapter: Shape | None = None) -> Choice:
    """The choice for a machine of `memory` GiB: a GPU, or on a CPU what is available.

    `adapter`: where all weights learn, the sizes with an adapter in their place.
    """
    limit = usable_gib(memory, precision)
    tokens, share = split(recipe, shape, precision, memory)
    fits = fits_in(recipe, shape, precision, memory)
    return Choice(
        fits=fits,
        peak_gib=peak(recipe, shape, precision, memory),
        limit_gib=limit,
        micro_batch_tokens=tokens,
        gpu_memory_utilization=share,
        advice=() if fits else tuple(remedies(recipe, shape, precision, memory, adapter)),
    )


def usable_gib(memory: float, precision: Precision) -> float:
    """What can be planned with."""
    return memory * (USABLE if precision.device == "cuda" else 1.0)


def sleeps(recipe: Recipe, precision: Precision) -> bool:
    """Whether the engine's memory is free while the learner works."""
    return recipe.rollout.enable_sleep_mode and precision.device == "cuda" and pick_engine(recipe.rollout) == "vllm"


def peak(recipe: Recipe, shape: Shape, precision: Precision, memory: float) -> float:
    """GiB at once of the recipe as it is written."""
    return peak_gib(memory_gib(recipe, shape, precision, memory), sleeps(recipe, precision))


def fits_in(recipe: Recipe, shape: Shape, precision: Precision, memory: float) -> bool:
    """Whether everything fits, and the engine's cache holds one sequence of full length (vLLM starts with no less)."""
    parts = memory_gib(recipe, shape, precision, memory)
    least = context_length(recipe) * cache_bytes(shape, precision.engine.itemsize) / GIB
    enough = parts.get("engine: KV cache", 0.0) >= least
    return enough and peak(recipe, shape, precision, memory) <= usable_gib(memory, precision)


def split(recipe: Recipe, shape: Shape, precision: Precision, memory: float) -> tuple[int | None, float | None]:
    """Tokens of a micro-batch and the engine's share, or None for what cannot be.

    The cache gets what all sequences at full length need, but no more than half of what weights and optimizer leave
    (all of it if the engine sleeps while the learner works); the micro-batch what is then left.
    """
    has_share = precision.device == "cuda" and pick_engine(recipe.rollout) == "vllm"
    free = usable_gib(memory, precision) * GIB - sum(resident_bytes(recipe, shape, precision.learner).values())
    engine = shape.parameters * precision.engine.itemsize + (ENGINE_WORKSPACE * GIB if has_share else 0)
    cache = kv_cache_bytes(recipe, shape, precision.engine)
    if has_share:
        cache = min(cache, (free - engine - 0.01 * memory * GIB) * (1.0 if sleeps(recipe, precision) else 0.5))
    elif pick_engine(recipe.rollout) == "vllm":
        cache = recipe.rollout.kv_cache_gib * GIB
    share = math.ceil((engine + cache) / (memory * GIB) * 100) / 100
    room = free - (share * memory * GIB if has_share else engine + cache)
    most = min(MOST_TOKENS, math.ceil(most_tokens(recipe) / STEP) * STEP)
    tokens = choose_budget(free if sleeps(recipe, precision) else room, pass_cost(recipe, shape, precision), most)
    least = context_length(recipe) * cache_bytes(shape, precision.engine.itemsize)
    if cache < least or room < 0 or tokens < min(longest_sample(recipe), most):
        return None, None
    return tokens, share if has_share else None


def remedies(recipe: Recipe, shape: Shape, precision: Precision, memory: float, adapter: Shape | None) -> Iterator[str]:
    """Each change that would make the recipe fit, the mildest first, and the smallest named GPU that would do.

    A change that is not enough alone comes with the micro-batch and the share that are then chosen.
    """
    for values in changes(recipe, precision):
        changed = with_keys(recipe, values)
        if fits_in(changed, shape, precision, memory):
            yield settings(values)
        elif chosen := chosen_keys(changed, shape, precision, memory):
            yield settings(values | chosen)
    if adapter is not None:
        changed = with_keys(recipe, {"model.use_peft": True})
        if would_fit(changed, adapter, precision, memory):
            yield "model.use_peft=true"
    larger = [gpu for gpu in GPUS.values() if gpu.memory_gib > memory]
    doing = [gpu for gpu in larger if would_fit(recipe, shape, precision, gpu.memory_gib)]
    if precision.device == "cuda" and doing:
        yield f"--gpu {min(doing, key=lambda gpu: gpu.memory_gib).name}, the smallest named one that would do"


def chosen_keys(recipe: Recipe, shape: Shape, precision: Precision, memory: float) -> dict[str, Any]:
    """The keys of `split`; empty if nothing fits."""
    tokens, share = split(recipe, shape, precision, memory)
    if tokens is None:
        return {}
    engine = {} if share is None else {"rollout.gpu_memory_utilization": share}
    return {"optimizer.micro_batch_tokens": tokens} | engine


def would_fit(recipe: Recipe, shape: Shape, precision: Precision, memory: float) -> bool:
    """Whether it fits as written or with the chosen budget and share."""
    return fits_in(recipe, shape, precision, memory) or bool(chosen_keys(recipe, shape, precision, memory))


def changes(recipe: Recipe, precision: Precision) -> list[dict[str, Any]]:
    """Changes of a recipe that save memory, the mildest first; none at all stands for another split."""
    vllm, on_gpu = pick_engine(recipe.rollout) == "vllm", precision.device == "cuda"
    candidates: list[dict[str, Any]] = [{}]
    if vllm and not on_gpu and recipe.rollout.kv_cache_gib > 1:
        candidates.append({"rollout.kv_cache_gib": 1})
    if not vllm and recipe.rollout.max_num_seqs > LEAST_SEQUENCES:
        candidates.append({"rollout.max_num_seqs": LEAST_SEQUENCES})
    if vllm and on_gpu and not recipe.rollout.enable_sleep_mode:
        candidates.append({"rollout.enable_sleep_mode": True})
    if not recipe.model.gradient_checkpointing:
        candidates.append({"model.gradient_checkpointing": True})
    if on_gpu and not recipe.model.use_peft and recipe.optimizer.name == "adamw":
        candidates.append({"optimizer.name": "adamw_8bit"})
    return candidates


def with_keys(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with keys such as `optimizer.micro_batch_tokens` changed to values that are known to be allowed."""
    for key, value in values.items():
        section, name = key.split(".")
        changed = getattr(recipe, section).model_copy(update={name: value})
        recipe = recipe.model_copy(update={section: changed})
    return recipe


def settings(values: Mapping[str, Any]) -> str:
    """Keys and values as the command line takes them."""
    return " ".join(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()
    )
