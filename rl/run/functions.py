"""The files of users' functions that a run depends on: rewards, and parts of the algorithm."""

from collections.abc import Mapping

from rewards.named import is_named, named_file
from rl.config.plug_ins import WHAT
from rl.config.recipe import Recipe
from rl.run.checkpoints import file_hash
from rl.run.folder import RunFolder
from rl.run.manifest import last_fact

FACT = "functions"  # what the manifest calls them


def hash_functions(recipe: Recipe) -> dict[str, str]:
    """Return the SHA-256 of the file of each function that the recipe names by a file. Raises BadInput if it is gone.

    A function of a module belongs to a package, whose version is for the user to keep.
    """
    rewards = [("reward", spec, recipe.rewards.folder) for spec in recipe.rewards.functions if is_named(spec)]
    parts = [(WHAT[key], spec, None) for key, spec in recipe.algorithm.plug_ins.items()]
    files = {spec: named_file(spec, what, folder) for what, spec, folder in (*rewards, *parts)}
    return {spec: file_hash(file) for spec, file in files.items() if file}


def changed_functions(folder: RunFolder, functions: Mapping[str, str]) -> list[str]:
    """Return the functions whose files are not what they were in the run's last session."""
    before = last_fact(folder, FACT)
    return [spec for spec, found in functions.items() if before.get(spec, found) != found]
