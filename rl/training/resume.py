"""Finding the run to go on with."""

from collections.abc import Sequence
from pathlib import Path

from rewards.errors import BadInput
from rl.base.stored import read_object
from rl.config.recipe import Recipe
from rl.config.recipe_file import load_recipe
from rl.run.folder import RunFolder, check_same_run, check_unedited, is_run, settings_of


def resumed_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load the recipe of an existing run, with its folder in `run.dir`, and `section.key=value` changes to it.

    Raises:
        BadInput: there is no such run, a change is malformed, or of a key that a run keeps.
    """
    folder = RunFolder.open(path)
    for override in overrides:
        key, given, _ = override.partition("=")
        if not given:
            raise BadInput(f"{override!r} does not change a key of the run's recipe: give SECTION.KEY=VALUE.")
        if key == "run.dir":
            raise BadInput("run.dir is where the run that is resumed lies: leave it out, or copy the folder before.")
    check_unedited(path)
    recipe = _in_folder(load_recipe(str(folder.recipe), overrides), path)
    check_same_run(path, recipe)
    return recipe


def latest_unfinished(recipe: Recipe, runs: Path = Path("runs")) -> Path | None:
    """The newest run of exactly this recipe that has no summary yet, or None.

    Looked at are `run.dir`, if the recipe names it, or else the folders that `runs` holds.
    """
    folders = [Path(recipe.run.dir)] if recipe.run.dir else sorted(runs.glob(f"{recipe.name}-*"), reverse=True)
    for path in folders:
        if is_run(path) and not _has_ended(path) and _is_of(path, recipe):
            return path
    return None


def _is_of(path: Path, recipe: Recipe) -> bool:
    try:
        return _in_folder(settings_of(path), path) == _in_folder(recipe, path)
    except BadInput:  # written by another version of Penny, whose recipes this one does not read
        return False


def _has_ended(path: Path) -> bool:
    try:
        read_object(RunFolder(path).summary, "go on with the run")
    except BadInput:  # there is none, or it is damaged and the run writes it again
        return False
    return True


def _in_folder(recipe: Recipe, path: Path) -> Recipe:
    return recipe.model_copy(update={"run": recipe.run.model_copy(update={"dir": str(path)})})
