"""What may change between the recipe of a run and the one that continues it, and what has changed."""

from typing import Any

from rl.config.recipe import Recipe

# Nothing here changes what a step learns. `optimizer.max_steps` changes how many there are, and a schedule with it.
FREE_KEYS = (
    "optimizer.max_steps",
    "evaluation.every",
    "evaluation.band",
    "rollout.server_url",
    "rewards.folder",
    "rewards.isolated",
    "rewards.batch_timeout",
    "run",
    "description",
    "status",
    "smoke",
)
BINDING_RUN_KEYS = ("run.seed", "run.num_processes")
FREE_TEXT = (
    f"{', '.join(key for key in FREE_KEYS if '.' in key)}, and of run all but "
    f"{' and '.join(key.removeprefix('run.') for key in BINDING_RUN_KEYS)}"
)
Changes = dict[str, tuple[Any, Any]]  # a key's value before and after


def recipe_changes(old: Recipe, new: Recipe) -> Changes:
    """Return the keys in which two recipes differ, with both values; the folder of the run does not count."""
    before, after = (flatten(recipe.model_dump(mode="json")) for recipe in (old, new))
    keys = [key for key in sorted(before | after) if before.get(key) != after.get(key) and key != "run.dir"]
    return {key: (before.get(key), after.get(key)) for key in keys}


def binds(key: str) -> bool:
    """Tell whether a run keeps the value of a key for good."""
    free = any(key == name or key.startswith(f"{name}.") for name in FREE_KEYS)
    return key in BINDING_RUN_KEYS or not free


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a tree of sections as one dictionary with keys such as `optimizer.max_steps`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
