"""Where an evaluation is kept."""

import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rewards.errors import BadInput
from rl.evaluation.folder import RESULTS
from rl.run.folder import RunFolder

LONGEST = 60  # characters of a name


def output_folder(asked: Path | None, run: Path | None, subject: str, benchmarks: Sequence[str]) -> Path:
    """The folder of an evaluation: `asked`, or `evals/<subject>-<benchmarks>-<time>`, in the run that it is of.

    Nothing is made here, so that an evaluation that fails leaves nothing. One that is there already is written over
    only where it was asked for by name, when the new one is done.

    Raises:
        BadInput: it cannot be made or written, or holds something else.
    """
    place = Path("evals") if run is None else RunFolder(run).evals
    path = asked or place / _name(subject, benchmarks)
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise BadInput(f"The output folder {path} cannot be made, as {nearest} is a file: name another.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise BadInput(f"The output folder {path} cannot be made, as {nearest} is not writable: name another.")
    if nearest == path and any(path.iterdir()) and not (path / RESULTS).is_file():
        raise BadInput(f"The output folder {path} holds other files: name an empty or a new one.")
    return path


def _name(subject: str, benchmarks: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(benchmarks))
    asked = distinct[0] if len(distinct) == 1 else f"{len(distinct)}-benchmarks"
    words = re.sub(r"[^\w.-]+", "-", f"{Path(subject).name}-{Path(asked).name}").strip("-")
    return f"{words[:LONGEST]}-{datetime.now():%Y%m%d-%H%M%S}"
