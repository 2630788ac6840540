"""Finding what a user named as `path/to/file.py:function` or `package.module:function`, be it a reward or a loss."""

import difflib
import functools
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rewards.errors import BadInput

LONGEST_TOLD = 500  # characters
SESSION = "session:"  # begins the name of a function that a Python program passed and that has no file

_offered: dict[str, Any] = {}  # functions of this Python session, by their names


def offer(name: str, function: Any) -> None:
    """Make a function of this process known by a name that begins with `SESSION`."""
    _offered[name] = function


def is_named(spec: str) -> bool:
    """Tell what names a function of a user's from a plain name, of what is built in or installed."""
    return ":" in spec or spec.endswith(".py")


def load_named(spec: str, what: str, folder: str | None = None) -> Any:
    """Import what `path/to/file.py:function` or `package.module:function` names, or return what was offered.

    Args:
        spec: the name; a path is looked for in `folder`, if one is given, and then in the working folder.
        what: what it is to be, for messages: a reward, a loss.

    Raises:
        BadInput: there is no such file, module or function, or it does not import.
    """
    if spec.startswith(SESSION):
        if spec not in _offered:
            raise BadInput(
                f"the {what} {spec!r} is a function of a Python session that has ended; pass it to rl.train again, or "
                "put it into a file"
            )
        return _offered[spec]
    path, colon, name = spec.rpartition(":")
    if spec.endswith(".py") or not (colon and name):
        raise BadInput(f"the {what} {spec!r} names no function; write {spec.rstrip(':')}:function_name")
    if path.endswith(".py"):
        return _member(_import_file(path, what, folder), name, f"{what} file {path}")
    return _member(_import_module(path, what), name, f"{what} module {path}")


def named_file(spec: str, what: str, folder: str | None = None) -> Path | None:
    """Return the file that a `path/to/file.py:function` names; None for a module. Raises BadInput if there is none."""
    path = spec.rpartition(":")[0]
    return _find_file(path, what, folder) if path.endswith(".py") else None


def told(error: BaseException) -> str:
    """Return an exception on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_TOLD]


def _member(module: ModuleType, name: str, where: str) -> Any:
    found = getattr(module, name, None)
    if found is None:
        near = difflib.get_close_matches(name, [key for key in vars(module) if not key.startswith("_")], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; define it there or correct the name"
        raise BadInput(f"the {where} has no function {name!r}{hint}")
    return found


def _import_module(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # the module's own code ran: whatever it raised is told
        missing = isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]
        cure = "; install its package, or write path/to/file.py:function" if missing else "; correct it"
        raise BadInput(f"the {what} module {name} does not import: {told(error)}{cure}") from error


def _import_file(path: str, what: str, folder: str | None) -> ModuleType:
    found = _find_file(path, what, folder)
    try:
        return _module(found, found.stat().st_mtime_ns)
    except (Exception, SystemExit) as error:  # the user's own code ran: whatever it raised is told
        raise BadInput(f"the {what} file {found} does not import: {told(error)}; correct it") from error


def _find_file(name: str, what: str, folder: str | None) -> Path:
    path = Path(name).expanduser()
    places = list(dict.fromkeys([*([Path(folder)] if folder else []), Path.cwd()]))
    found = next((place / path for place in places if (place / path).is_file()), None)
    if found is None:
        beside = [file.name for place in places if place.is_dir() for file in (place / path).parent.glob("*.py")]
        near = difflib.get_close_matches(path.name, beside, n=1)
        hint = f"did you mean {path.with_name(near[0])}?" if near else "correct the path"
        raise BadInput(f"the {what} file {path} does not exist (looked in {' and '.join(map(str, places))}); {hint}")
    return found.resolve()


@functools.cache
def _module(path: Path, changed: int) -> ModuleType:
    """The file as a module, one for all its functions until it changes."""
    name = f"penny_named_{path.stem}_{abs(hash((path, changed)))}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it is a file that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as for any import: dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except BaseException:  # an interrupt too: a half-made module must not be found later
        del sys.modules[name]
        raise
    return module
