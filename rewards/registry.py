"""Finding reward functions: built-in names, entry points of group `penny.rewards`, and `path/to/file.py:function`."""

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from rewards.errors import BadInput

RewardFunction = Callable[..., Any]

GROUP = "penny.rewards"
BUILTIN = {
    "answer_format": "rewards.format",
    "countdown": "rewards.countdown",
    "exact_number": "rewards.number",
    "math_verify": "rewards.math",
    "reasoning_gym": "rewards.gym",
}
GIVEN = {"completions", "prompts", "completion_ids"}  # what every reward function may ask for, beside the columns


def names() -> list[str]:
    """Every name that `load_reward` knows, in order: built-in ones and those of installed plug-ins."""
    return sorted({*BUILTIN, *(entry.name for entry in entry_points(group=GROUP))})


def load_reward(spec: str) -> RewardFunction:
    """The reward function of a name or of `path/to/file.py:function`.

    It is called as TRL calls one: `f(completions=[...], prompts=[...], **columns)`, and returns one number a
    completion, or None for what cannot be graded.

    Raises:
        BadInput: there is no such name, file or function, or the file does not import.
    """
    path, colon, name = spec.rpartition(":")
    if spec.endswith(".py") or path.endswith(".py"):
        function = _from_file(path, name) if colon else None
    elif spec in BUILTIN:
        function = getattr(importlib.import_module(BUILTIN[spec]), spec)
    else:
        function = _from_entry_point(spec)
    if function is None:
        raise BadInput(f"the reward {spec!r} names a file but no function in it; write {spec}:function_name")
    if not callable(function) or not _accepts(function, "completions"):
        raise BadInput(f"the reward {spec!r} is no function of `completions`; define it as f(completions, **columns)")
    return function


def required_columns(function: RewardFunction) -> set[str]:
    """The columns that a reward function cannot do without: parameters that have no default."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind in named and p.default is p.empty} - GIVEN


def accepted(function: RewardFunction, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the keyword arguments that the function can take: all of them if it has `**kwargs`."""
    return {name: value for name, value in arguments.items() if _accepts(function, name)}


def parameters_with_default(function: RewardFunction) -> set[str]:
    """The parameters that a recipe may set by `rewards.options`."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is not p.empty}


def _accepts(function: RewardFunction, name: str) -> bool:
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return True
    return name in parameters and parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY


def _from_entry_point(name: str) -> Any:
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)[0]
    raise BadInput(f"there is no reward named {name!r}; did you mean {near!r}? Or write path/to/file.py:function")


def _from_file(path: str, name: str) -> Any:
    module = _import_file(Path(path))
    function = getattr(module, name, None)
    if function is None:
        near = difflib.get_close_matches(name, [key for key in vars(module) if not key.startswith("_")], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; define it there or correct the name"
        raise BadInput(f"the reward file {path} has no function {name!r}{hint}")
    return function


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"the reward file {path} does not exist (looked in {Path.cwd()}); correct the path")
    name = f"penny_reward_{path.stem}_{abs(hash(path.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it is a file that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as for any import: dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code ran: whatever it raised is told
        del sys.modules[name]
        raise BadInput(
            f"the reward file {path} does not import: {type(error).__name__}: {error}; correct it"
        ) from error
    return module
