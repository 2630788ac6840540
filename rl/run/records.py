"""The records of a run: a checkpoint holds a copy, by which a lost or damaged one is put back when the run goes on.

Records are small beside a checkpoint. Without them a resumed run would learn the same and tell another story: a curve
with a gap, a price too low, a "before" that was measured later.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from rewards.errors import BadInput
from rewards.jsonl import parse
from rl.base import atomic, tables
from rl.base.stored import Kind, damaged, read_object
from rl.run.evaluations import read_evaluation
from rl.run.folder import MANIFEST, MANIFEST_CURE, RECORDS, RunFolder
from rl.run.ledger import NEEDS as LEDGER


def copy_records(folder: RunFolder, place: Path) -> None:
    """Copy the records of a run into a folder."""
    (place / "evaluations").mkdir(parents=True)
    files = [folder.manifest, folder.difficulty, folder.metrics, folder.ledger]
    for path in (*files, *tables.step_paths(folder.evaluations, ".json").values()):
        if path.is_file():
            (place / path.relative_to(folder.path)).write_bytes(path.read_bytes())


def check_places(folder: RunFolder) -> None:
    """Make the folders of a run that are gone, and refuse a run where a file and a folder have changed places.

    Raises BadInput.
    """
    for path in (folder.rollouts, folder.checkpoints, folder.evaluations):
        if path.exists() and not path.is_dir():
            raise damaged(path, "it is a file, not a folder", "move it away, and bring the folder back from a copy")
        path.mkdir(exist_ok=True)
    records = [folder.manifest, folder.difficulty, folder.metrics, folder.ledger, folder.summary, folder.report]
    others = [folder.problems, folder.log, folder.best]
    for path in (*records, *others, *tables.step_paths(folder.evaluations, ".json").values()):
        if path.is_dir():
            raise damaged(path, "it is a folder, not a file", "move it away, and bring the file back from a copy")


def restore_records(folder: RunFolder, checkpoint: Path | None) -> list[str]:
    """Put back what is missing or damaged of a run's records; returns the names of those files.

    Args:
        folder: of the run, whose lock the caller holds.
        checkpoint: from which the run goes on; None: from its start, and damaged records are dropped.
    """
    kept = checkpoint / RECORDS if checkpoint else None
    if kept is not None and not kept.is_dir():
        return []  # written by an older version, which kept no records
    for path in tables.step_paths(folder.evaluations, ".json").values():
        copied = kept is not None and (kept / "evaluations" / path.name).is_file()
        if not copied and not _readable(partial(read_evaluation, path)):
            path.unlink()  # it is measured again
    mended = {
        folder.metrics: _mended(_bytes(kept, folder.metrics), _present(folder.metrics), None),
        folder.ledger: _mended(_bytes(kept, folder.ledger), _present(folder.ledger), LEDGER),
    }
    if kept is not None:
        if not _readable(partial(read_object, folder.manifest, MANIFEST_CURE, may=MANIFEST)):
            mended[folder.manifest] = _bytes(kept, folder.manifest)
        copies = [kept / folder.difficulty.name, *tables.step_paths(kept / "evaluations", ".json").values()]
        mended |= {folder.path / copy.relative_to(kept): copy.read_bytes() for copy in copies if copy.is_file()}
    put_back = [path for path, content in mended.items() if content != _present(path)]
    for path in put_back:
        atomic.write_bytes(path, mended[path])
    return [str(path.relative_to(folder.path)) for path in put_back]


def _mended(kept: bytes, now: bytes, later: Mapping[str, Kind] | None) -> bytes:
    """Return a log that begins as its copy does: itself, if it does and its lines are whole, or else the copy.

    Args:
        later: the keys of lines that count though they came after the copy; None: they are written again.
    """
    whole = now[: now.rfind(b"\n") + 1]
    lines = (whole[len(kept) :] if whole.startswith(kept) else whole).split(b"\n")
    records = {line: parse(line)[0] for line in lines if line}
    if whole.startswith(kept) and all(isinstance(record, dict) for record in records.values()):
        return now
    known = set(kept.split(b"\n"))
    added = [
        line
        for line, record in records.items()
        if later is not None
        and line not in known
        and isinstance(record, dict)
        and all(isinstance(record.get(key), kind) for key, kind in later.items())
    ]
    return kept + b"".join(line + b"\n" for line in added)


def _present(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _bytes(kept: Path | None, path: Path) -> bytes:
    return _present(kept / path.name) if kept is not None else b""


def _readable(read: Callable[[], object]) -> bool:
    try:
        read()
    except BadInput:
        return False
    return True
