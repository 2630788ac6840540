"""Penny: R1-style reinforcement learning for small language models.

    import rl

    run = rl.train("gsm8k", rewards={my_reward: 1.0}, overrides={"optimizer.max_steps": 50})
    run.metrics  # a pandas DataFrame
    rl.evaluate(run, "gsm8k,math500").table()
    rl.compare(run_a, run_b).table()

The parts are there, too: `Policy`, engines, `compute_advantages`, `policy_loss`. `examples/rl_loop.py` uses them.
Each name below is imported when it is first used, so `import rl` takes no time.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewards.errors import BadInput
    from rewards.grading import Grader
    from rl.api.measuring import Comparison, Evaluation, compare, evaluate
    from rl.api.recipes import load_recipe
    from rl.api.runs import Run, open_run
    from rl.api.training import train
    from rl.base.errors import RunStopped
    from rl.config.recipe import Recipe
    from rl.learner.advantages import compute_advantages
    from rl.learner.losses import Totals, policy_loss
    from rl.learner.packing import MicroBatch, Sample, pack
    from rl.learner.policy import Policy, load_policy
    from rl.models.source import load_tokenizer
    from rl.problems.problem import Problem, Prompt
    from rl.problems.prompt import Prompter
    from rl.problems.sets import load_sets
    from rl.problems.stream import completion_seeds
    from rl.rollout.build import build_engine
    from rl.rollout.engine import Completion, RolloutEngine, SamplingParams

_MODULES = {  # where each public name is
    "rewards.errors": ("BadInput",),
    "rewards.grading": ("Grader",),
    "rl.api.measuring": ("Comparison", "Evaluation", "compare", "evaluate"),
    "rl.api.recipes": ("load_recipe",),
    "rl.api.runs": ("Run", "open_run"),
    "rl.api.training": ("train",),
    "rl.base.errors": ("RunStopped",),
    "rl.config.recipe": ("Recipe",),
    "rl.learner.advantages": ("compute_advantages",),
    "rl.learner.losses": ("Totals", "policy_loss"),
    "rl.learner.packing": ("MicroBatch", "Sample", "pack"),
    "rl.learner.policy": ("Policy", "load_policy"),
    "rl.models.source": ("load_tokenizer",),
    "rl.problems.problem": ("Problem", "Prompt"),
    "rl.problems.prompt": ("Prompter",),
    "rl.problems.sets": ("load_sets",),
    "rl.problems.stream": ("completion_seeds",),
    "rl.rollout.build": ("build_engine",),
    "rl.rollout.engine": ("Completion", "RolloutEngine", "SamplingParams"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [
    "BadInput",
    "Comparison",
    "Completion",
    "Evaluation",
    "Grader",
    "MicroBatch",
    "Policy",
    "Problem",
    "Prompt",
    "Prompter",
    "Recipe",
    "RolloutEngine",
    "Run",
    "RunStopped",
    "Sample",
    "SamplingParams",
    "Totals",
    "build_engine",
    "compare",
    "completion_seeds",
    "compute_advantages",
    "evaluate",
    "load_policy",
    "load_recipe",
    "load_sets",
    "load_tokenizer",
    "open_run",
    "pack",
    "policy_loss",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module. Raises AttributeError for any other name."""
    if name not in _PLACES:
        raise AttributeError(f"module 'rl' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
