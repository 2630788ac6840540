"""The file side of checkpoints: whole or absent, the last few and the best kept, the newest whole one found again.

What a checkpoint holds is the caller's: it writes any files it likes into the folder it is given. A copy of the run's
records lies beside them (`rl.run.records`).
"""

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.base import atomic, tables
from rl.base.stored import NUMBER, read_object
from rl.run.evaluations import read_evaluations
from rl.run.folder import RECORDS, RunFolder
from rl.run.metrics import MetricsLog
from rl.run.records import copy_records

COMPLETE = "complete.json"  # the size and hash of every other file, written last
logger = logging.getLogger(__name__)


def save_checkpoint(folder: RunFolder, step: int, write: Callable[[Path], None]) -> Path:
    """Let `write` fill an empty folder and make it `checkpoints/step-000010`, atomically and durably.

    The line of `step` must be in the metrics before: a run resumed from here goes on with the next.

    Raises:
        WriteFailed: the file system refuses; earlier checkpoints are then untouched.
    """
    target = _path(folder, step)
    with atomic.folder(target, _size_of_last(folder)) as temporary:
        write(temporary)
        copy_records(folder, temporary / RECORDS)
        atomic.write_json(temporary / COMPLETE, {"step": step, "files": _inventory(temporary)})
    return target


def checkpoint_to_go_on(folder: RunFolder) -> Path | None:
    """Return the newest whole checkpoint of a run, from which it goes on; None: it has none, and begins at its start.

    Raises:
        BadInput: there are checkpoints, and all of them are damaged.
    """
    found = latest_checkpoint(folder)
    if found is None and (steps := list(_checkpoints(folder))):
        raise BadInput(
            f"All checkpoints of {folder.path} are damaged (steps {', '.join(map(str, steps))}): bring one back from a "
            f"copy, or delete {folder.checkpoints} to begin again before step 1."
        )
    return found


def latest_checkpoint(folder: RunFolder) -> Path | None:
    """Return the newest checkpoint whose files all have their recorded sizes and hashes, or None.

    Only reads, so it is safe beside a process that trains.
    """
    for path in reversed(_checkpoints(folder).values()):
        if is_whole(path):
            return path
        logger.warning("%s is damaged and is passed over", path)
    return None


def set_best(folder: RunFolder, step: int, pass_at_1: float) -> bool:
    """Make the checkpoint of `step` the best one if its pass@1 is above the present best's; tell whether it is."""
    best = _read_best(folder)
    if best and best["pass@1"] >= pass_at_1:
        return False
    _write_best(folder, step, pass_at_1)
    return True


def best_checkpoint(folder: RunFolder) -> Path | None:
    """Return the checkpoint with the highest pass@1 so far (the first of equals), or None. Raises BadInput."""
    best = _read_best(folder)
    return _path(folder, best["step"]) if best else None


def find_best(folder: RunFolder, problems_sha256: str | None) -> None:
    """Note again, after `rewind`, which checkpoint is the best, as the evaluations say.

    Args:
        folder: of the run, whose lock the caller holds.
        problems_sha256: of the held-out problems; evaluations on others do not count.
    """
    there = _checkpoints(folder)
    found = [evaluation for evaluation in read_evaluations(folder) if evaluation["step"] in there]
    comparable = [item for item in found if item.get("problems_sha256") in (None, problems_sha256)]
    if comparable:
        best = max(comparable, key=lambda evaluation: evaluation["pass@1"])
        _write_best(folder, best["step"], best["pass@1"])


def forget_best(folder: RunFolder) -> None:
    """Call no checkpoint the best any more."""
    folder.best.unlink(missing_ok=True)


def last_saved(folder: RunFolder) -> int:
    """Return the step of the newest checkpoint, whole or not; 0 if there is none."""
    return max(_checkpoints(folder), default=0)


def prune(folder: RunFolder, keep_last: int) -> None:
    """Delete all checkpoints but the newest `keep_last` and the best."""
    best = best_checkpoint(folder)
    for path in list(_checkpoints(folder).values())[:-keep_last]:
        if path != best:
            shutil.rmtree(path)


def rewind(folder: RunFolder, step: int) -> None:
    """Take the run back to just after `step` (0: to its start), for the process that holds its lock.

    Metrics, rollouts, evaluations and checkpoints of later steps go, as do temporaries of a killed process and the note
    of the best checkpoint (`find_best`). The ledger stays, because work that is done again was paid for all the same.
    """
    for place in (folder.path, folder.rollouts, folder.evaluations, folder.checkpoints):
        atomic.remove_leftovers(place)
    MetricsLog(folder).truncate_after(step)
    for place in (folder.rollouts, folder.evaluations):
        for suffix in (".json", ".parquet"):
            for found, path in tables.step_paths(place, suffix).items():
                if found > step:
                    path.unlink()
    for found, path in _checkpoints(folder).items():
        if found > step:
            shutil.rmtree(path)
    forget_best(folder)


def _path(folder: RunFolder, step: int) -> Path:
    return folder.checkpoints / f"step-{step:06d}"


def _checkpoints(folder: RunFolder) -> dict[int, Path]:
    """Return the checkpoints that are there, by step and in order, whole or not."""
    return {step: path for step, path in tables.step_paths(folder.checkpoints).items() if path.is_dir()}


def _size_of_last(folder: RunFolder) -> int | None:
    """Return the bytes of the newest checkpoint, which the next one will take, too; None if there is none."""
    earlier = list(_checkpoints(folder).values())
    return sum(file.stat().st_size for file in earlier[-1].rglob("*") if file.is_file()) if earlier else None


def _read_best(folder: RunFolder) -> dict[str, Any] | None:
    if not folder.best.exists():
        return None
    cure = "give a step in its place, or go on with the run, which writes it again"
    return read_object(folder.best, cure, {"step": int, "pass@1": NUMBER})


def _write_best(folder: RunFolder, step: int, pass_at_1: float) -> None:
    atomic.write_json(folder.best, {"step": step, "pass@1": pass_at_1, "folder": _path(folder, step).name})


def _inventory(path: Path) -> dict[str, dict[str, Any]]:
    files = sorted(file for file in path.rglob("*") if file.is_file() and file != path / COMPLETE)
    return {str(file.relative_to(path)): {"size": file.stat().st_size, "sha256": file_hash(file)} for file in files}


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(path: Path) -> bool:
    """Whether all files of a checkpoint have their recorded sizes and hashes."""
    try:
        recorded = read_object(path / COMPLETE, "", {"files": dict})["files"]
        sizes_match = all((path / name).stat().st_size == entry["size"] for name, entry in recorded.items())
        return bool(recorded) and sizes_match and _inventory(path) == recorded
    # BadInput: no marker, or a damaged one. OSError: a file is gone or unreadable. ValueError, KeyError, TypeError: the
    # marker says something else of its files than their sizes.
    except (BadInput, OSError, ValueError, KeyError, TypeError):
        return False
