"""The reward `my_reward`: say in one sentence what it pays for.

Try to cheat it:  penny reward test my_reward.py:my_reward --data problems.jsonl
Train with it:    rewards: {functions: {my_reward.py:my_reward: 1.0}}
"""

from typing import Any


class my_reward:  # named like a function, as rewards are
    """1 if the last `<answer>...</answer>` of one completion is `answer`, else 0; None if the problem has no answer.

    Args:
        any_case: what the constructor takes are options: a recipe may set them under `rewards.options`, and must set
            those that have no default.
    """

    def __init__(self, any_case: bool = True) -> None:
        self.any_case = any_case  # keep this cheap: what takes time belongs into `setup`

    def setup(self) -> None:
        """Called once, before the first grading: read files, open connections. May be left out, or `async def`."""
        self.spelled = {"one": "1", "two": "2", "three": "3"}

    def __call__(self, completion: str, answer: str, **columns: Any) -> float | None:
        """Grade one completion; with `completions` in place of `completion`, a batch. May be `async def`.

        A parameter without default, such as `answer`, is a column of your problems: this problem's value. The
        completion is hostile: never `eval` or run it.
        """
        if not answer.strip():
            return None  # our data is at fault: left out of the loss and counted. A bad completion earns 0, never None.
        before, closed, _ = completion.rpartition("</answer>")
        if not closed or "<answer>" not in before:
            return 0.0
        return float(self._plain(before.rpartition("<answer>")[2]) == self._plain(answer))

    def close(self) -> None:
        """Called when the run ends: close what `setup` opened. May be left out, or `async def`."""

    def _plain(self, text: str) -> str:
        text = text.strip()
        text = text.lower() if self.any_case else text
        return self.spelled.get(text, text)
