"""Finding reward functions: built-in names, entry points of group `penny.rewards`, `path/to/file.py:function`, and
`package.module:function`. What has another shape than TRL's is adapted by `rewards.shapes`.
"""

import difflib
import importlib
import inspect
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from rewards.errors import BadInput
from rewards.named import is_named, load_named, told
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
GIVEN = BATCH | OFFERED  # what a function may ask for, beside the columns: neither columns nor options


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
    return as_batch(load_named(spec, "reward", folder) if is_named(spec) else _from_entry_point(spec), spec)


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
                f"the reward {name!r} of the plug-in {entry.value} does not import: {told(error)}; correct it"
            ) from error
    near = difflib.get_close_matches(name.lower().replace("-", "_"), names(), n=1)
    hint = f"did you mean {near[0]!r}? There are" if near else "there are"
    raise BadInput(
        f"there is no reward named {name!r}; {hint} {', '.join(names())}, and yours as path/to/file.py:function or "
        "package.module:function"
    )
