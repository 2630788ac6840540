"""Finding reward functions: built-in names, entry points of group `penny.rewards`, `path/to/file.py:function`, and
`package.module:function`. What has another shape than TRL's is adapted by `rewards.shapes`.
"""

import difflib
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from rewards.errors import BadInput
from rewards.shapes import BATCH, NAMED, OFFERED, REQUIRED, RewardFunction, as_batch

GROUP = "penny.rewards"
BUILTIN = {
    "answer_format": "rewards.format",
    "code": "rewards.code",
    "cosine_length": "rewards.length",
    "countdown": "rewards.countdown",
    "exact_number": "rewards.number",
    "language_consistency": "rewards.language",
    "length_penalty": "rewards.length",
    "math": "rewards.math",
    "reasoning_gym": "rewards.gym",
    "repetition_penalty": "rewards.repetition",
    "soft_format": "rewards.format",
    "soft_overlong_punishment": "rewards.length",
    "tag_count": "rewards.format",
}
OF_A_GROUP = frozenset({"length_penalty"})  # built-in ones that compare the completions of a batch
SESSION = "session:"  # begins the name of a function that was passed by a Python program and has no file
LONGEST_TOLD = 500  # characters
GIVEN = BATCH | OFFERED  # what a function may ask for, beside the columns: neither columns nor options


_offered: dict[str, Any] = {}  # functions of this Python session, by their names


def offer(name: str, function: Any) -> None:
    """Make a function of this process known by a name that begins with `SESSION`."""
    _offered[name] = function


def names() -> list[str]:
    """Every name that `load_reward` knows, in order: built-in ones and those of installed plug-ins."""
    return sorted({*BUILTIN, *(entry.name for entry in entry_points(group=GROUP))})


def load_reward(spec: str, folder: str | None = None) -> RewardFunction:
    """The reward of a name, of `path/to/file.py:function` or of `package.module:function`.

    A path is looked for in `folder`, if one is given, and then in the working folder.

    Whatever the user wrote (see `rewards.shapes`), it is called as TRL calls a function:
    `f(completions=[...], prompts=[...], **columns)`, and returns one number or `Verdict` a completion, or None for
    what cannot be graded. It may have an attribute `close`, for when it is not needed any more: see `close`.

    Raises:
        BadInput: there is no such name, module, file or function, it does not import, or has no shape that is known.
    """
    if spec in BUILTIN:
        function: RewardFunction = getattr(importlib.import_module(BUILTIN[spec]), spec)
        return function
    if spec.startswith(SESSION):
        if spec not in _offered:
            raise BadInput(
                f"the reward {spec!r} is a function of a Python session that has ended; pass it to rl.train again, or "
                "put it into a file"
            )
        return as_batch(_offered[spec], spec)
    path, colon, name = spec.rpartition(":")
    if spec.endswith(".py") or (colon and not name):
        raise BadInput(f"the reward {spec!r} names no function; write {spec.rstrip(':')}:function_name")
    if path.endswith(".py"):
        found = _member(_import_file(Path(path).expanduser(), folder), name, f"file {path}")
    elif colon:
        found = _member(_import_module(path), name, f"module {path}")
    else:
        found = _from_entry_point(spec)
    return as_batch(found, spec)


def required_columns(function: RewardFunction) -> set[str]:
    """The columns that a reward function cannot do without: parameters that have no default."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind in NAMED and p.default is p.empty} - GIVEN


def accepted(function: RewardFunction, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the keyword arguments that the function can take: all of them if it has `**kwargs`."""
    return {name: value for name, value in arguments.items() if _accepts(function, name)}


def parameters_with_default(function: RewardFunction) -> set[str]:
    """The parameters that a recipe may set by `rewards.options`, those that it must set among them."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is not p.empty} - GIVEN


def required_options(function: RewardFunction) -> set[str]:
    """The options that a recipe must set: what the constructor of a class takes without a default."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is REQUIRED}


def checked_options(name: str, function: RewardFunction, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a reward, if it has all of them and lacks none. Raises BadInput."""
    possible = parameters_with_default(function)
    for option in options:
        if option not in possible:
            known = f"it has {', '.join(sorted(possible))}" if possible else "it has none"
            hint = "; set rewards.sandbox" if option == "sandbox" else ""
            raise BadInput(f"the reward {name!r} has no option {option!r}; {known}{hint}")
    missing = sorted(required_options(function) - set(options))
    if missing:
        raise BadInput(f"the reward {name!r} needs the option {missing[0]!r}; give it in rewards.options")
    return dict(options)


def close(function: RewardFunction) -> None:
    """End what a reward holds open, if it is of a class with `close()`. Used again, it is set up anew."""
    getattr(function, "close", lambda: None)()


def _accepts(function: RewardFunction, name: str) -> bool:
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return True
    return name in parameters and parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY


def _from_entry_point(name: str) -> Any:
    for entry in entry_points(group=GROUP, name=name):
        try:
            return entry.load()
        except (Exception, SystemExit) as error:  # the plug-in's own code ran: whatever it raised is told
            raise BadInput(
                f"the reward {name!r} of the plug-in {entry.value} does not import: {_told(error)}; correct it"
            ) from error
    near = difflib.get_close_matches(name.lower().replace("-", "_"), names(), n=1)
    hint = f"did you mean {near[0]!r}? There are" if near else "there are"
    raise BadInput(
        f"there is no reward named {name!r}; {hint} {', '.join(names())}, and yours as path/to/file.py:function or "
        "package.module:function"
    )


def _member(module: ModuleType, name: str, where: str) -> Any:
    found = getattr(module, name, None)
    if found is None:
        near = difflib.get_close_matches(name, [key for key in vars(module) if not key.startswith("_")], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; define it there or correct the name"
        raise BadInput(f"the reward {where} has no function {name!r}{hint}")
    return found


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # the module's own code ran: whatever it raised is told
        missing = isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]
        what = "; install its package, or write path/to/file.py:function" if missing else "; correct it"
        raise BadInput(f"the reward module {name} does not import: {_told(error)}{what}") from error


def _import_file(path: Path, folder: str | None) -> ModuleType:
    places = list(dict.fromkeys([*([Path(folder)] if folder else []), Path.cwd()]))
    found = next((place / path for place in places if (place / path).is_file()), None)
    if found is None:
        beside = [file.name for place in places if place.is_dir() for file in (place / path).parent.glob("*.py")]
        near = difflib.get_close_matches(path.name, beside, n=1)
        hint = f"did you mean {path.with_name(near[0])}?" if near else "correct the path"
        raise BadInput(f"the reward file {path} does not exist (looked in {' and '.join(map(str, places))}); {hint}")
    path = found
    try:
        return _module(path.resolve(), path.stat().st_mtime_ns)
    except (Exception, SystemExit) as error:  # the user's own code ran: whatever it raised is told
        raise BadInput(f"the reward file {path} does not import: {_told(error)}; correct it") from error


@functools.cache
def _module(path: Path, changed: int) -> ModuleType:
    """The file as a module, one for all its functions until it changes."""
    name = f"penny_reward_{path.stem}_{abs(hash((path, changed)))}"
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


def _told(error: BaseException) -> str:
    """An exception on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_TOLD]
