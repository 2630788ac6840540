"""Files that are read back from a run's folder: a damaged one ends as a sentence that names it and says what to do."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rewards.errors import BadInput

Kind = type | tuple[type, ...]
NUMBER: Kind = (int, float)
NOTHING: Mapping[str, Kind] = MappingProxyType({})


def read_object(
    path: Path, cure: str, needs: Mapping[str, Kind] = NOTHING, may: Mapping[str, Kind] = NOTHING
) -> dict[str, Any]:
    """Return the JSON object in a file.

    Args:
        path: the file.
        cure: what to do if it is damaged, as the end of a sentence.
        needs: keys that it must have, with the types of their values.
        may: likewise, of keys that it may have.

    Raises:
        BadInput: it cannot be read, is no JSON object, or a value is missing or of another type.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise damaged(path, error.strerror or str(error), cure) from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        raise damaged(path, "it is not JSON" if path.stat().st_size else "it is empty", cure) from error
    if not isinstance(content, dict):
        raise damaged(path, "it is not a JSON object", cure)
    for key, kind in (*needs.items(), *((key, kind) for key, kind in may.items() if key in content)):
        if key not in content:
            raise damaged(path, f"it has no {key}", cure)
        if not isinstance(content[key], kind):
            raise damaged(path, f"its {key} is of another type", cure)
    return content


def damaged(path: Path, how: str, cure: str) -> BadInput:
    """Return the exception that says that a file is damaged."""
    return BadInput(f"{path} is damaged ({how}): {cure}.")
