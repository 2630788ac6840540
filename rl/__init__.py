"""Penny: R1-style reinforcement learning for small language models.

    import rl

    run = rl.train("gsm8k", rewards={my_reward: 1.0}, overrides={"optimizer.max_steps": 50})
    run.metrics  # a pandas DataFrame
    rl.evaluate(run, "gsm8k,math500").table()
    rl.compare(run_a, run_b).table()

Each name below is imported when it is first used, so `import rl` takes no time.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewards.errors import BadInput
    from rl.api.measuring import Comparison, Evaluation, compare, evaluate
    from rl.api.recipes import load_recipe
    from rl.api.runs import Run, open_run
    from rl.api.training import train
    from rl.base.errors import RunStopped
    from rl.config.recipe import Recipe

_PLACES = {
    "BadInput": "rewards.errors",
    "Comparison": "rl.api.measuring",
    "Evaluation": "rl.api.measuring",
    "Recipe": "rl.config.recipe",
    "Run": "rl.api.runs",
    "RunStopped": "rl.base.errors",
    "compare": "rl.api.measuring",
    "evaluate": "rl.api.measuring",
    "load_recipe": "rl.api.recipes",
    "open_run": "rl.api.runs",
    "train": "rl.api.training",
}
__all__ = [
    "BadInput",
    "Comparison",
    "Evaluation",
    "Recipe",
    "Run",
    "RunStopped",
    "compare",
    "evaluate",
    "load_recipe",
    "open_run",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module. Raises AttributeError for any other name."""
    if name not in _PLACES:
        raise AttributeError(f"module 'rl' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
