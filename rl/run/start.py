"""How a session of a run begins: in which folder, and what differs from the session before."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from rl.base import ranks
from rl.config.changes import Changes
from rl.config.recipe import Recipe
from rl.run.evaluations import read_evaluations
from rl.run.folder import RunFolder, changes_of, default_path, is_run
from rl.run.metrics import read_metrics


@dataclass(frozen=True)
class Start:
    """How a session begins.

    Attributes:
        target: the run's folder, which every rank resumes from.
        scratch: a folder that is thrown away.
        new: whether `target` was made for this session.
        changes: what differs from the recipe of the session before.
        accept_changed_data: see `run_recipe`.
    """

    recipe: Recipe
    target: RunFolder
    scratch: Path
    new: bool
    changes: Changes
    accept_changed_data: bool

    def books(self) -> RunFolder:
        """Return the folder that this rank writes to: the run's on rank 0."""
        return self.target if ranks.rank() == 0 else RunFolder.create(self.scratch / "books", self.recipe)

    @property
    def nothing_begun(self) -> bool:
        """Whether the folder is new and nothing has been measured yet."""
        return self.new and not read_metrics(self.target) and not read_evaluations(self.target)

    def leave_nothing(self) -> None:
        """Delete the folder if nothing has been begun in it."""
        if ranks.rank() == 0 and self.nothing_begun:
            shutil.rmtree(self.target.path)


def agreed_folder(recipe: Recipe, folder: RunFolder | None) -> tuple[RunFolder, bool, Changes]:
    """Return the run's folder, which rank 0 makes unless given, whether it is new, and the recipe's changes."""
    agreed: tuple[RunFolder, bool, Changes] | None = None
    if ranks.rank() == 0:
        path = Path(recipe.run.dir) if recipe.run.dir else default_path(recipe.name)
        path = folder.path if folder else path
        new, changes = not path.exists(), changes_of(path, recipe) if is_run(path) else {}
        agreed = folder or RunFolder.create(path, recipe), new, changes
    return next(chosen for chosen in ranks.gather([agreed]) if chosen)
