"""The file side of checkpoints: whole or absent, the last few and the best kept, the newest whole one found again.

What a checkpoint holds is the caller's: it writes any files it likes into the folder it is given.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rl.run import atomic, tables
from rl.run.folder import RunFolder
from rl.run.metrics import MetricsLog

COMPLETE = "complete.json"  # the size and hash of every other file, written last
BEST = "best"
logger = logging.getLogger(__name__)


def save_checkpoint(folder: RunFolder, step: int, write: Callable[[Path], None]) -> Path:
    """Let `write` fill an empty folder and make it `checkpoints/step-000010`, atomically and durably.

    The line of `step` must be in the metrics before: a run resumed from here goes on with the next.

    Raises:
        WriteFailed: the file system refuses; earlier checkpoints are then untouched.
    """
    target = folder.checkpoints / f"step-{step:06d}"
    with atomic.folder(target, _size_of_last(folder)) as temporary:
        write(temporary)
        atomic.write_json(temporary / COMPLETE, {"step": step, "files": _inventory(temporary)})
    return target


def latest_checkpoint(folder: RunFolder) -> Path | None:
    """Return the newest checkpoint whose files all have their recorded sizes and hashes, or None.

    Only reads, so it is safe beside a process that trains.
    """
    for path in reversed(_checkpoints(folder)):
        if is_whole(path):
            return path
        logger.warning("%s is damaged and is passed over", path)
    return None


def set_best(folder: RunFolder, step: int, pass_at_1: float) -> bool:
    """Make the checkpoint of `step` the best one if its pass@1 is above the present best's; tell whether it is."""
    best = _read_best(folder)
    if best and best["pass@1"] >= pass_at_1:
        return False
    atomic.write_json(folder.checkpoints / BEST, {"step": step, "pass@1": pass_at_1, "folder": f"step-{step:06d}"})
    return True


def best_checkpoint(folder: RunFolder) -> Path | None:
    """Return the checkpoint with the highest pass@1 so far (the first of equals), or None."""
    best = _read_best(folder)
    return folder.checkpoints / best["folder"] if best else None


def forget_best(folder: RunFolder) -> None:
    """Call no checkpoint the best any more."""
    (folder.checkpoints / BEST).unlink(missing_ok=True)


def last_saved(folder: RunFolder) -> int:
    """Return the step of the newest checkpoint, whole or not; 0 if there is none."""
    return max((tables.step_of(path) for path in _checkpoints(folder)), default=0)


def prune(folder: RunFolder, keep_last: int) -> None:
    """Delete all checkpoints but the newest `keep_last` and the best."""
    best = best_checkpoint(folder)
    for path in _checkpoints(folder)[:-keep_last]:
        if path != best:
            shutil.rmtree(path)


def rewind(folder: RunFolder, step: int) -> None:
    """Take the run back to just after `step` (0: to its start), for the process that holds its lock.

    Metrics, rollouts, evaluations and checkpoints of later steps go, as do temporaries of a killed process; the ledger
    stays, because work that has to be done again was paid for all the same.
    """
    for place in (folder.path, folder.rollouts, folder.evaluations, folder.checkpoints):
        atomic.remove_leftovers(place)
    MetricsLog(folder).truncate_after(step)
    for place in (folder.rollouts, folder.evaluations):
        for path in place.glob("step-*"):
            if tables.step_of(path) > step:
                path.unlink()
    for path in _checkpoints(folder):
        if tables.step_of(path) > step:
            shutil.rmtree(path)
    best = best_checkpoint(folder)
    if best and not best.exists():
        (folder.checkpoints / BEST).unlink()


def _checkpoints(folder: RunFolder) -> list[Path]:
    return sorted(path for path in folder.checkpoints.glob("step-*") if path.is_dir())


def _size_of_last(folder: RunFolder) -> int | None:
    """Return the bytes of the newest checkpoint, which the next one will take, too; None if there is none."""
    earlier = _checkpoints(folder)
    return sum(file.stat().st_size for file in earlier[-1].rglob("*") if file.is_file()) if earlier else None


def _read_best(folder: RunFolder) -> dict[str, Any] | None:
    path = folder.checkpoints / BEST
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


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
        recorded = json.loads((path / COMPLETE).read_text(encoding="utf-8"))["files"]
        sizes_match = all((path / name).stat().st_size == entry["size"] for name, entry in recorded.items())
        return sizes_match and _inventory(path) == recorded
    except (FileNotFoundError, ValueError, KeyError):  # no marker, a cut one, or a file that is gone
        return False
