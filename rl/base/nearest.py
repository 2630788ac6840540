"""The nearest name that exists: for words such as keys and recipes, and for folders such as runs."""

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

SIMILAR = 0.6  # of difflib's ratio: one wrong letter in three is still a slip
SHOWN = 4  # names of a longer list
STAMP = re.compile(r"-[0-9]{8}-[0-9]{6}$")  # that `penny train` puts behind the name of a recipe
CONTENTS = ("recipe.yaml", "pipeline.yaml", "results.json", "config.json", "adapter_config.json", "checkpoints")


def nearest(word: str, known: Iterable[str], count: int = 1, cutoff: float = SIMILAR) -> list[str]:
    """Return the known names that are most like `word`, the best first; none if they are all too different.

    Case, `-` and `_` make no difference, and a name that begins with the word is like it.
    """
    plain: dict[str, str] = {}
    for name in known:
        plain.setdefault(_plain(name), name)
    begun = [key for key in plain if len(word) > 2 and key.startswith(_plain(word))]
    close = difflib.get_close_matches(_plain(word), plain, n=count, cutoff=cutoff)
    return [plain[key] for key in dict.fromkeys([*close, *sorted(begun, key=len)])][:count]


def meant(word: str, known: Sequence[str], what: str) -> str:
    """Return a hint: the nearest name, or else all of them. `what` says what they are, in the plural."""
    if near := nearest(word, known, count=2):
        return f"did you mean {' or '.join(near)}?"
    return f"the {what} are {', '.join(known)}."


def nearest_folder(path: Path, contents: Sequence[str] = CONTENTS) -> Path | None:
    """Return the existing folder whose path is most like one that does not exist; None: none is like it.

    Args:
        contents: only folders count that hold one of these.
    """
    place, first = _broken_at(path)
    for near_by in (place, place / "runs", Path("runs"), Path("evals")):
        there = sorted(_folders(near_by, contents), reverse=True)
        of_recipe = {STAMP.sub("", name): name for name in reversed(there)}  # the newest run of each recipe
        for word in dict.fromkeys((first, path.name)):
            if found := nearest(word, there):
                return near_by / found[0]
            if found := nearest(STAMP.sub("", word), of_recipe):
                return near_by / of_recipe[found[0]]
    return None


def missing_folder(path: Path, contents: Sequence[str] = CONTENTS) -> str:
    """Say that there is no such folder, and name the nearest that exists, or else what there is in its place."""
    if (near := nearest_folder(path, contents)) is not None:
        return f"{path} does not exist; the nearest is {near}"
    place, _ = _broken_at(path)
    if there := sorted(_folders(place, contents)):
        more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
        return f"{path} does not exist; {place} has {', '.join(there[-SHOWN:])}{more}"
    return f"{path} does not exist (looked in {Path.cwd()})"


def _broken_at(path: Path) -> tuple[Path, str]:
    """Return the last folder of a path that exists, and the first part after it, which does not."""
    path = path.expanduser()
    place = next(parent for parent in path.parents if parent.is_dir())
    return place, path.relative_to(place).parts[0]


def _folders(place: Path, contents: Sequence[str]) -> set[str]:
    """Return the names of the folders in `place` that hold something of ours."""
    try:
        entries = [entry for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:  # not there, or not ours to read: nothing to name
        return set()
    return {entry.name for entry in entries if any((entry / name).exists() for name in contents)}


def _plain(name: str) -> str:
    return name.casefold().replace("_", "-")
