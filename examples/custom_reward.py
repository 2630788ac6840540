"""A reward of your own: `python examples/custom_reward.py`.

A reward is a function. It gets the completions and the columns of their problems as lists of the same length, and
returns a number for each completion, or None for a completion that it cannot grade. This file is not only a script:
`penny train quickstart 'rewards.functions={examples/custom_reward.py:close: 1.0}'` uses the same function.
"""

import sys
from typing import Any

import rl


def close(completions: list[str], answer: list[str], log_metric: Any, **_: Any) -> list[float]:
    """Pay 1 for the right number, and less the farther a number is from it."""
    scores = []
    for text, gold in zip(completions, answer, strict=True):
        word = text.strip().split(" ")[0]
        distance = abs(int(word) - int(gold)) if word.isdigit() and len(word) < 6 else 1000
        scores.append(1.0 if distance == 0 else 0.5 / (1 + distance))
    log_metric("share_of_right_ones", sum(score == 1.0 for score in scores) / len(scores))
    return scores


def main(smoke: bool = False, folder: str | None = None) -> rl.Run:
    """Train the quickstart with this reward, and print what came of it."""
    run = rl.train("quickstart", rewards=close, overrides={"run.dir": folder, "evaluation.band": None}, smoke=smoke)
    print(run)
    print(run.metrics[["reward/mean", "completions/mean_length"]].tail())
    return run


if __name__ == "__main__":
    main(smoke="smoke" in sys.argv[1:])
