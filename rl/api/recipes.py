"""Recipes from Python: by name or file, with changes as Python values."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.api.functions import Rewards, known_name, named_rewards
from rl.api.problems import Rows, problems_section
from rl.config.recipe import Recipe
from rl.config.recipe_file import check_tree
from rl.config.recipe_file import load_recipe as read_recipe
from rl.config.yaml_tree import Tree, assign

Part = str | Callable[..., Any]  # of the algorithm: a built-in one by name, or a function


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None, smoke: bool = False) -> Recipe:
    """Read a recipe that comes with Penny, or a YAML file, and change some of its keys.

    Args:
        name_or_path: `quickstart`, or the path of a YAML file.
        overrides: values by key, such as `{"optimizer.max_steps": 50}`.
        smoke: make it two steps of a tiny model.

    Raises:
        BadInput: no such recipe, an unknown key, or a value that is not allowed.
    """
    return changed(read_recipe(str(name_or_path), (), smoke), overrides or {})


def changed(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values for some keys, checked. Raises BadInput."""
    if not overrides:
        return recipe
    tree = recipe.model_dump(mode="json")
    for key, value in overrides.items():
        assign(tree, key, plain(key, value))
    return check_tree(tree, "overrides")


def plain(key: str, value: Any) -> Any:
    """Return a value as JSON has it. Raises BadInput."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise BadInput(
            f"overrides[{key!r}] is no value of a recipe but {type(value).__name__}: pass plain values."
        ) from None


def assembled(
    recipe: Recipe | str | Path,
    *,
    rewards: Rewards | None,
    problems: Rows | None,
    eval_problems: Rows | None,
    algorithm: Mapping[str, Part | None],
    overrides: Mapping[str, Any] | None,
    smoke: bool,
) -> Recipe:
    """Return the recipe that `rl.train` runs: see there. Raises BadInput."""
    if isinstance(recipe, Recipe):
        if smoke:
            raise BadInput("smoke=True needs a recipe by name or file, which has smoke settings of its own.")
    else:
        recipe = read_recipe(str(recipe), (), smoke)
    changes: Tree = {f"algorithm.{key}": known_name(part) for key, part in algorithm.items() if part is not None}
    if rewards is not None:
        changes |= rewards_changes(recipe, named_rewards(rewards))
    if problems is not None:
        section = problems_section(problems, "problems")
        changes |= {f"problems.{key}": value for key, value in section.items()} | {"evaluation.problems": {}}
    if eval_problems is not None:
        changes["evaluation.problems"] = problems_section(eval_problems, "eval_problems")
    return changed(recipe, changes | dict(overrides or {}))


def rewards_changes(recipe: Recipe, named: Mapping[str, float]) -> Tree:
    """Return the changes that give a recipe other rewards, without what it says of rewards that are gone."""
    section = recipe.rewards
    return {
        "rewards.functions": dict(named),
        "rewards.options": {name: options for name, options in section.options.items() if name in named},
        "rewards.accuracy": section.accuracy if section.accuracy in named else None,
        "rewards.gated": [name for name in section.gated if name in named],
    }
