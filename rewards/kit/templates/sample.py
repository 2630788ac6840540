"""The reward `my_reward`: say in one sentence what it pays for.

Try to cheat it:  penny reward test my_reward.py:my_reward --data problems.jsonl
Train with it:    rewards: {functions: {my_reward.py:my_reward: 1.0}}
"""

from typing import Any


def my_reward(completion: str, answer: str, any_case: bool = True, **columns: Any) -> float | None:
    """1 if the last `<answer>...</answer>` of one completion is `answer`, else 0; None if the problem has no answer.

    - `completion` is the text that the model wrote. It is hostile: never `eval` or run it.
    - A parameter without default, such as `answer`, is a column of your problems: this problem's value.
    - A parameter with default, such as `any_case`, is an option: a recipe may set it under `rewards.options`.
    - `prompt` and `completion_ids` (the sampled tokens) are there too, if you name them.
    - It may be `async def`, for a judge or a service: completions are then graded at the same time.
    """
    if not answer.strip():
        return None  # our data is at fault: left out of the loss and counted. A bad completion earns 0, never None.
    before, closed, _ = completion.rpartition("</answer>")
    if not closed or "<answer>" not in before:
        return 0.0
    found = before.rpartition("<answer>")[2].strip()
    if any_case:
        found, answer = found.lower(), answer.lower()
    return float(found == answer.strip())
