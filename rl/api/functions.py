"""Functions that a Python program passes to Penny, and the names by which recipes know them.

A recipe is a file, so it holds names. A function in a file of its own gets the name that a recipe would use,
`path/to/file.py:function`, and everything that works with such names works with it: a process of its own, `penny train
--resume`. A function of a notebook, of the main program or of another function cannot be imported again, so it gets the
name `session:function`, runs in this process, and must be passed again when the run is resumed.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rewards import registry
from rewards.errors import BadInput
from rewards.named import SESSION, offer

Rewards = Mapping[str | Callable[..., Any], float] | Sequence[str | Callable[..., Any]] | str | Callable[..., Any]


def named_rewards(rewards: Rewards) -> dict[str, float]:
    """Return rewards by name with their weights, and make functions of this session known.

    Args:
        rewards: functions, classes or names with their weights; without weights each counts once.

    Raises:
        BadInput: an item is neither a name nor callable, has no name, or shares its name with another.
    """
    if not isinstance(rewards, Mapping):
        items = [rewards] if isinstance(rewards, str) or callable(rewards) else list(rewards)
        rewards = dict.fromkeys(items, 1.0)
    named: dict[str, float] = {}
    for reward, weight in rewards.items():
        name = reward if isinstance(reward, str) else name_of(reward)
        if name in named:
            raise BadInput(f"Two rewards are called {name!r}: rename one of the functions.")
        named[name] = weight
    for reward in rewards:
        known_name(reward)
    return named


def known_name(function: str | Callable[..., Any]) -> str:
    """Return the name of a function, and make it known if it is one of this session. Raises BadInput."""
    if isinstance(function, str):
        return function
    name = name_of(function)
    if name.startswith(SESSION):
        offer(name, function)
    return name


def name_of(function: Callable[..., Any]) -> str:
    """Return the name by which a recipe knows a function or a class. Raises BadInput if it has none."""
    if not callable(function):
        raise BadInput(f"Pass a function, a class or a name; this is none: {function!r}.")
    name = getattr(function, "__name__", type(function).__name__)
    if not name.isidentifier():
        raise BadInput(f"A function needs a name, and {name} is none: define it by `def`.")
    if registry.BUILTIN.get(name) and getattr(function, "__module__", "").split(".")[0] == "rewards":
        return name
    file = file_of(function, name)
    return f"{SESSION}{name}" if file is None else f"{file}:{name}"


def file_of(function: Callable[..., Any], name: str) -> Path | None:
    """Return the file from which a function can be imported by its name; None if there is none."""
    module = inspect.getmodule(function)
    if module is None or module.__name__ == "__main__" or getattr(module, name, None) is not function:
        return None
    file = Path(getattr(module, "__file__", None) or "")
    return file.resolve() if file.suffix == ".py" and file.is_file() else None
