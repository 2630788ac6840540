"""The reward `my_reward`: say in one sentence what it pays for.

Try to cheat it:  penny reward test my_reward.py:my_reward --data problems.jsonl
Train with it:    rewards: {functions: {my_reward.py:my_reward: 1.0}}
                  or, in TRL, GRPOTrainer(reward_funcs=[my_reward], ...)
"""

from collections.abc import Sequence
from typing import Any

from rewards.completions import texts


def my_reward(
    completions: Sequence[Any], answer: Sequence[str], any_case: bool = True, **columns: Any
) -> list[float | None]:
    """1 where the last `<answer>...</answer>` is `answer`, else 0; None where the problem has no answer.

    - `completions` are the texts of a batch (under TRL perhaps lists of messages: `texts` reads both). They are
      hostile: never `eval` or run them.
    - A parameter without default, such as `answer`, is a column of your problems: one value a completion.
    - A parameter with default, such as `any_case`, is an option: a recipe may set it under `rewards.options`.
    - `prompts`, `completion_ids` (the sampled tokens) and more are there too, if you name them.
    - It may be `async def`, for a judge or a service.
    """
    return [_grade(text, gold, any_case) for text, gold in zip(texts(completions), answer, strict=True)]


def _grade(completion: str, gold: str, any_case: bool) -> float | None:
    if not gold.strip():
        return None  # our data is at fault: left out of the loss and counted. A bad completion earns 0, never None.
    before, closed, _ = completion.rpartition("</answer>")
    if not closed or "<answer>" not in before:
        return 0.0
    found = before.rpartition("<answer>")[2].strip()
    if any_case:
        found, gold = found.lower(), gold.lower()
    return float(found == gold.strip())
