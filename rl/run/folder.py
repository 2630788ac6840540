"""Where things lie in a run folder, who may create one, and who may write into it."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from rewards.errors import BadInput
from rl.base import atomic, tables
from rl.base.disk import writing
from rl.base.nearest import missing_folder
from rl.base.stored import Kind, read_object
from rl.config.changes import FREE_TEXT, Changes, binds, recipe_changes
from rl.config.recipe import Recipe
from rl.config.recipe_file import check_tree, dump_recipe, load_recipe

LOCK = ".lock"
LOG = "libraries.log"
RECORDS = "records"  # the folder of a checkpoint with a copy of the run's records
MANIFEST: Mapping[str, Kind] = {
    "sessions": list,
    "data": dict,
    "settings": dict,
    "versions": dict,
    "hardware": dict,
    "precision": dict,
    "started": str,
}
MANIFEST_CURE = "bring it back from a copy, or delete it, and the run begins a new one"


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run; holds no state of its own."""

    path: Path

    @property
    def recipe(self) -> Path:
        """Return the path of the recipe, as YAML."""
        return self.path / "recipe.yaml"

    @property
    def manifest(self) -> Path:
        """Return the path of the manifest: `rl.run.manifest`."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """Return the path of the metrics, a line for each step."""
        return self.path / "metrics.jsonl"

    @property
    def ledger(self) -> Path:
        """Return the path of the costs, a line for each step."""
        return self.path / "ledger.jsonl"

    @property
    def rollouts(self) -> Path:
        """Return the folder of the completions, a file for each step."""
        return self.path / "rollouts"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Which checkpoint has the highest pass@1."""
        return self.checkpoints / "best"

    @property
    def evaluations(self) -> Path:
        """Return the folder of the measurements on the held-out problems."""
        return self.path / "evaluations"

    @property
    def evals(self) -> Path:
        """Where `penny eval` keeps what it measured of the run."""
        return self.path / "evals"

    @property
    def difficulty(self) -> Path:
        """Pass rates of the training problems that the run goes by."""
        return self.path / "difficulty.json"

    @property
    def problems(self) -> Path:
        """The hash of every problem that the run was begun with, or has accepted since."""
        return self.path / "data.parquet"

    @property
    def summary(self) -> Path:
        """Return the path of the result, which a finished run has."""
        return self.path / "summary.json"

    @property
    def log(self) -> Path:
        """What libraries wrote while they loaded."""
        return self.path / LOG

    @property
    def report(self) -> Path:
        """Return the path of the report."""
        return self.path / "report.html"

    @classmethod
    def check(cls, path: Path, recipe: Recipe) -> None:
        """Raise BadInput if `create` would refuse `path`; writes nothing, so it serves a dry run."""
        nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not nearest.is_dir():
            raise BadInput(f"The run folder {path} cannot be made, as {nearest} is a file: name another in run.dir.")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise BadInput(
                f"The run folder {path} cannot be made, as {nearest} is not writable: name another in run.dir."
            )
        if (path / "recipe.yaml").exists():
            check_same_run(path, recipe)
        elif nearest == path and _foreign_content(path):
            raise BadInput(f"{path} holds other files but no run: name an empty or a new folder in run.dir.")

    @classmethod
    def create(cls, path: Path, recipe: Recipe) -> "RunFolder":
        """Make the folder of a new run, or enter that of an earlier one with the same recipe.

        The recipe is stored in full; of an earlier run's, only keys that do not change what is learnt are updated.
        Raises BadInput if the folder cannot be written, belongs to another recipe, holds something else, or is being
        trained by another process; then nothing of it has changed.
        """
        cls.check(path, recipe)
        folder = cls(path)
        try:
            for place in (path, folder.rollouts, folder.checkpoints, folder.evaluations):
                place.mkdir(parents=True, exist_ok=True)
            with folder._taken():
                atomic.write_text(folder.recipe, dump_recipe(recipe))
        except OSError as error:
            raise BadInput(
                f"The run folder {path} cannot be written ({error.strerror}): name another in run.dir."
            ) from error
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Return the folder of an existing run; raises BadInput, naming the runs near by, if there is none."""
        if not is_run(path):
            if not path.exists():
                raise BadInput(f"The run {missing_folder(path, ('recipe.yaml',))}.")
            runs = sorted(str(entry.parent) for entry in path.glob("*/recipe.yaml"))
            hint = f"it holds {', '.join(runs[-3:])}" if runs else "give the folder that `penny train` named"
            raise BadInput(f"{path} is not a run folder: {hint}.")
        return cls(path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; raises BadInput if another one trains into it.

        The kernel releases the lock when the process dies, however it dies. A POSIX lock, as grader processes forked
        from this one would inherit a `flock` and hold it after a kill.
        """
        with self._taken() as file:
            with writing(self.path / LOCK):
                file.truncate(0)
                file.write(f"{os.getpid()}\n".encode())
            yield

    @contextmanager
    def _taken(self) -> Iterator[BinaryIO]:
        with ExitStack() as stack:
            with writing(self.path / LOCK):
                # Without a buffer: a write that failed is not tried again when the file is closed.
                file = stack.enter_context((self.path / LOCK).open("a+b", buffering=0))
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:  # POSIX leaves open which of the two
                file.seek(0)
                holder = file.read(20).decode(errors="replace").strip() or "unknown"
                raise BadInput(
                    f"{self.path} is being trained by process {holder}: wait for it, stop it, or name another run.dir."
                ) from error
            yield file


def is_run(path: Path) -> bool:
    """Return whether `path` is a run folder."""
    return (path / "recipe.yaml").is_file()


def settings_of(path: Path) -> Recipe:
    """Return the recipe that the run in `path` was last trained with, whatever its `recipe.yaml` says now.

    The manifest has it, and so have the checkpoints' copies. Of a run that has none, `recipe.yaml` is believed.
    """
    checkpoints = reversed(tables.step_paths(path / "checkpoints").values())
    for manifest in (RunFolder(path).manifest, *(place / RECORDS / "manifest.json" for place in checkpoints)):
        try:
            stored = read_object(manifest, MANIFEST_CURE, may=MANIFEST)
        except BadInput:  # missing or damaged; who needs it says so, or puts it back
            continue
        if "settings" in stored:
            return check_tree(stored["settings"], str(manifest))
    return load_recipe(str(path / "recipe.yaml"))


def changes_of(path: Path, recipe: Recipe) -> Changes:
    """Return the keys in which a recipe differs from that of the run in `path`; what that lacks has its default."""
    return recipe_changes(settings_of(path), recipe)


def _binding_change(path: Path, recipe: Recipe) -> tuple[str, Any, Any, str] | None:
    """Return the first key that may not change and has, its two values, and how many more there are; None without."""
    different = {key: values for key, values in changes_of(path, recipe).items() if binds(key)}
    if not different:
        return None
    key, (old, new) = next(iter(different.items()))
    return key, old, new, f" (and {len(different) - 1} more keys)" if len(different) > 1 else ""


def check_unedited(path: Path) -> None:
    """Raise BadInput if the `recipe.yaml` of a run says what the run was not trained with."""
    file = path / "recipe.yaml"
    changed = _binding_change(path, load_recipe(str(file)))
    if changed is not None:
        key, old, new, more = changed
        raise BadInput(
            f"{file} was edited: it says {key} = {new!r}, and the run was trained with {old!r}{more}: put {old!r} back "
            f"to go on, or train with {new!r} from the start by `penny train {file} run.dir=NEW`."
        )


def default_path(recipe_name: str, now: datetime | None = None) -> Path:
    """Return `runs/<recipe>-<YYYYmmdd-HHMMSS>`, in local time."""
    return Path("runs") / f"{recipe_name}-{now or datetime.now():%Y%m%d-%H%M%S}"


def check_same_run(path: Path, recipe: Recipe) -> None:
    """Raise BadInput unless a run goes on with this recipe, or with this number of steps."""
    changed = _binding_change(path, recipe)
    if changed is not None:
        key, old, new, more = changed
        raise BadInput(
            f"{path} holds a run with {key} = {old!r}, not {new!r}{more}: use that run's recipe, or name another "
            f"folder in run.dir; of a run that has begun, only these may change: {FREE_TEXT}."
        )
    done = max(tables.step_paths(path / "checkpoints"), default=0)
    if recipe.optimizer.max_steps < done:
        raise BadInput(
            f"{path} has learned for {done} steps, more than optimizer.max_steps = {recipe.optimizer.max_steps}: "
            f"give {done} or more."
        )


def _foreign_content(path: Path) -> bool:
    """Tell files of others from what a `create` that was killed half-way leaves."""
    ours = {LOCK, LOG, "rollouts", "checkpoints", "evaluations"}
    for entry in path.iterdir():
        unfinished = entry.name in ours and not (entry.is_dir() and any(entry.iterdir()))
        if not unfinished and not entry.name.startswith(atomic.TEMPORARY):
            return True
    return False
