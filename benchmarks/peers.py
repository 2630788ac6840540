"""Other graders of mathematical answers, as their users call them, for `benchmarks.grading`."""

import functools
import logging

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns at each call that its time limits are off


def library(gold: str, response: str) -> bool:
    """math-verify called directly, without its own time limits, which only work in a main thread."""
    from math_verify import parse, verify

    expected = parse(f"\\boxed{{{gold}}}", parsing_timeout=None)
    return bool(verify(expected, parse(response, parsing_timeout=None), timeout_seconds=None))


def trl(gold: str, response: str) -> bool:
    """TRL's `accuracy_reward`, which pays None where it cannot read the gold answer: not paid, here."""
    reward = _trl_reward()
    [paid] = reward([[{"role": "assistant", "content": response}]], [f"$\\boxed{{{gold}}}$"])
    return bool(paid)


@functools.cache
def _trl_reward():  # type: ignore[no-untyped-def]  # imported late: it takes seconds
    from trl.rewards import accuracy_reward

    return accuracy_reward


def warm_up() -> None:
    """Import both and let them build their tables."""
    library("1", "\\boxed{1}")
    trl("1", "\\boxed{1}")
