"""Problems that a Python program passes to Penny, as a file that a recipe can name.

The file is named by its content and is kept in Penny's cache, so a run that is resumed reads the same problems.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.base import atomic
from rl.base.caches import cache_folder

Rows = str | Path | Mapping[str, Any] | Iterable[Mapping[str, Any]]
OF_OTHER_SOURCES: dict[str, Any] = {
    "name": None,
    "config": None,
    "revision": None,
    "options": {},
    "where": {},
    "size": None,
}


def problems_section(rows: Rows, argument: str) -> dict[str, Any]:
    """Return the keys of a recipe's `problems` section for problems that are passed as an argument.

    Args:
        rows: a list of dicts, a `datasets.Dataset`, a pandas DataFrame, the path of a JSONL file, or the keys of such
            a section.
        argument: its name, for error messages.

    Raises:
        BadInput: there are no rows, a row is not a mapping, or holds what JSON cannot.
    """
    if isinstance(rows, Mapping):
        return dict(rows)
    path = Path(rows).expanduser().resolve() if isinstance(rows, str | Path) else stored(rows, argument)
    return OF_OTHER_SOURCES | {"source": "jsonl", "path": str(path)}


def stored(rows: Any, argument: str) -> Path:
    """Write rows to a JSONL file of the cache, unless it is there, and return its path. Raises BadInput."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # a DataFrame
        rows = rows.to_dict("records")
    lines = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise BadInput(
                f"Row {number} of {argument} is no mapping of columns, but {type(row).__name__}: pass dicts."
            )
        try:
            lines.append(json.dumps(dict(row), ensure_ascii=False, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise BadInput(f"Row {number} of {argument} cannot be kept as JSON: {error}; convert it before.") from None
    if not lines:
        raise BadInput(f"{argument} has no rows: pass at least one problem.")
    text = "\n".join(lines) + "\n"
    path = cache_folder() / "problems" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, text)
    return path
