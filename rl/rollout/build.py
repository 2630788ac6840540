"""Picks the device, and starts the engine that a recipe asks for."""

import contextlib
import importlib.util
import json
from pathlib import Path
from typing import Literal

import huggingface_hub
import torch

from rl.config.recipe import ModelSection, Recipe, RolloutSection
from rl.models.hub import why_hub_is_silent
from rl.models.source import resolve_model
from rl.rollout.engine import RolloutEngine
from rl.rollout.precision import pick_dtype

EngineName = Literal["vllm", "transformers", "server"]
Sync = Literal["merged", "adapter"]
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def pick_device(device: str) -> str:
    """`auto` is the GPU if there is one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def engine_dtype(recipe: Recipe, device: str) -> torch.dtype:
    """Return the precision that the engine computes in: by default the policy's."""
    own = recipe.rollout.dtype
    return pick_dtype(recipe.model.dtype if own == "auto" else own, device)


def shared_dtype(recipe: Recipe, device: str) -> torch.dtype | None:
    """Return what learner and engine round merged weights to; None if the engine gets adapters."""
    return engine_dtype(recipe, device) if pick_sync(recipe.rollout) == "merged" else None


def pick_engine(section: RolloutSection) -> EngineName:
    """`auto` is vLLM where it is installed."""
    if section.engine == "auto":
        return "vllm" if importlib.util.find_spec("vllm") else "transformers"
    return section.engine


def pick_sync(section: RolloutSection) -> Sync:
    """`auto` is merged, but for a server, which takes adapters only.

    Handing over an adapter is quicker, but then every layer of every rollout computes it beside the base, which costs
    more in all: measured on a CPU (benchmarks/NOTES.md), and taken over to GPUs, where nothing was measured.
    """
    if section.weight_sync == "auto":
        return "adapter" if section.engine == "server" else "merged"
    return section.weight_sync


def context_length(recipe: Recipe) -> int:
    """Tokens of the longest prompt with the longest completion, unless the recipe says otherwise."""
    lengths = [recipe.rollout.longest_completion, recipe.evaluation.max_completion_length or 0]
    return recipe.rollout.max_model_length or recipe.problems.max_prompt_length + max(lengths)


def engine_start(recipe: Recipe) -> str:
    """Say what `build_engine` is about to do, and how long that usually takes."""
    section = recipe.rollout
    match pick_engine(section):
        case "server":
            return f"asking the server {section.server_url}"
        case "transformers":
            return f"loading {recipe.model.name} into the engine"
    if pick_device(section.device) == "cpu":
        return "starting vLLM's CPU build, usually 20 to 45 s" + (
            "" if section.enforce_eager else " and 2 min to compile"
        )
    return "starting vLLM, usually a minute" + ("" if section.enforce_eager else ", and some more to compile")


def download(model: ModelSection) -> None:
    """Fetch a hub model's weights with the hub's own progress bars, unless they are here.

    Whoever loads them would fetch them, too, but is kept quiet meanwhile (`rl.run.loading`). Errors are left to that.
    """
    name, revision = resolve_model(model.name, model.revision), model.revision
    if Path(name).is_dir() or any(is_cached(name, revision, file) for file in WEIGHTS) or why_hub_is_silent():
        return
    with contextlib.suppress(OSError, ValueError):  # no such model, or a gap in the network: whoever loads it says so
        huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=["*.safetensors", "*.json"])


def is_cached(name: str, revision: str | None, file: str) -> bool:
    """Tell whether a file of a hub model is in the cache, and, of an index of weights, all files that it names."""
    found = huggingface_hub.try_to_load_from_cache(name, file, revision=revision)
    if not isinstance(found, str):
        return False
    if not file.endswith(".json"):
        return True
    parts = set(json.loads(Path(found).read_text(encoding="utf-8"))["weight_map"].values())
    return all(is_cached(name, revision, part) for part in parts)


def build_engine(recipe: Recipe) -> RolloutEngine:
    """Start the recipe's engine with the base model's weights."""
    section = recipe.rollout
    if section.engine == "server":
        from rl.rollout.server_engine import open_server

        return open_server(section)
    device = pick_device(section.device)
    dtype = engine_dtype(recipe, device)
    model = resolve_model(recipe.model.name, recipe.model.revision)
    if pick_engine(section) == "transformers":
        from rl.rollout.transformers_engine import TransformersEngine

        return TransformersEngine(model, recipe.model.revision, dtype, device, section.max_num_seqs)
    from rl.rollout.vllm_engine import VllmEngine, VllmSettings, served_rank

    rank = served_rank(recipe.model.lora_r) if section.weight_sync == "adapter" else 0
    assert rank is not None, "refused before: no rank of vLLM's has room for the adapter"
    settings = VllmSettings(
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        max_model_length=context_length(recipe),
        max_num_seqs=section.max_num_seqs,
        enforce_eager=section.enforce_eager,
        kv_cache_gib=section.kv_cache_gib,
        gpu_memory_utilization=section.gpu_memory_utilization,
        enable_sleep_mode=section.enable_sleep_mode,
        max_lora_rank=rank,
    )
    return VllmEngine(model, recipe.model.revision, settings)
