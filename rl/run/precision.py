"""Settles the precision of a run once, for all its ranks and sessions, and records it in the manifest."""

from typing import Any

from rewards.errors import BadInput
from rl.base import ranks
from rl.config.recipe import Recipe
from rl.rollout.build import engine_dtype, pick_device, pick_engine
from rl.rollout.precision import DTYPES, pick_dtype, product_rates
from rl.run.folder import MANIFEST_CURE, RunFolder
from rl.run.manifest import read_manifest

Facts = dict[str, Any]  # as the manifest has them: `device`, `learner`, `engine`, and `gflops` where they were measured


def settle_precision(recipe: Recipe, target: RunFolder) -> tuple[Recipe, Facts]:
    """Return the recipe with a precision for each `auto`, and what the manifest says of it.

    A run that is resumed keeps its precision, also on a machine where `auto` is another one. Rank 0 decides for all.
    Raises BadInput if the manifest is damaged.
    """
    agreed = None
    if ranks.rank() == 0:
        agreed = recorded_precision(recipe, target) or chosen_precision(recipe)
    facts = next(found for found in ranks.gather([agreed]) if found)
    model = recipe.model.model_copy(update={"dtype": facts["learner"]})
    rollout = recipe.rollout.model_copy(update={"dtype": facts["engine"] or recipe.rollout.dtype})
    return recipe.model_copy(update={"model": model, "rollout": rollout}), facts


def recorded_precision(recipe: Recipe, target: RunFolder) -> Facts | None:
    """Return the precision of a run; None if it has not come so far as to have one. Raises BadInput.

    Runs of earlier releases recorded nothing; `auto` was then bfloat16 on a GPU and float32 on a CPU.
    """
    manifest = read_manifest(target)
    if not manifest:
        return None
    if found := manifest.get("precision"):
        if found.get("learner") not in DTYPES or found.get("engine") not in (*DTYPES, None) or "device" not in found:
            raise BadInput(f"{target.manifest} is damaged: it has a precision that does not exist; {MANIFEST_CURE}.")
        return {**found}
    device = "cuda" if manifest.get("hardware", {}).get("gpus") else "cpu"
    own, before = recipe.model.dtype, "bfloat16" if device == "cuda" else "float32"
    learner = before if own == "auto" else own
    return {"device": device, "learner": learner, "engine": engine_of(recipe, learner)}


def chosen_precision(recipe: Recipe) -> Facts:
    """Return the precision of a new run on this machine."""
    device = pick_device(recipe.rollout.device)
    learner = name_of(pick_dtype(recipe.model.dtype, device))
    facts: Facts = {"device": device, "learner": learner}
    facts["engine"] = engine_of(recipe, name_of(engine_dtype(recipe, device)))
    if device == "cpu" and "auto" in (recipe.model.dtype, recipe.rollout.dtype):
        facts["gflops"] = {dtype: round(rate / 1e9, 1) for dtype, rate in product_rates().items()}
    return facts


def engine_of(recipe: Recipe, otherwise: str) -> str | None:
    """Return the engine's precision; None for a server, which was started with one of its own."""
    if pick_engine(recipe.rollout) == "server":
        return None
    return otherwise if recipe.rollout.dtype == "auto" else recipe.rollout.dtype


def name_of(dtype: Any) -> str:
    """Return a precision's name in recipes."""
    return str(dtype).removeprefix("torch.")


def in_words(facts: Facts) -> str:
    """Say in what a run computes, and what speaks for it."""
    sides = f"learner {facts['learner']}, engine {facts['engine'] or 'as its server was started'}"
    if "gflops" not in facts:
        return f"precision: {sides}"
    measured = ", ".join(f"{dtype} {rate:,.0f}" for dtype, rate in facts["gflops"].items())
    return f"precision: {sides} (GFLOP/s of this processor: {measured})"
