"""What a reward pays for when it reads answers flexibly, and not when it reads them strictly.

For rewards with an option `extraction`, as `math` has. Each probe is graded under both values of the option.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rewards.kit.probes import Gold, wrong_answers
from rewards.kit.rows import Row, form
from rewards.kit.subject import Subject

# ANSWER is the right answer, WRONG another one. Those of the first group are right, those of the second are not.
RIGHT = {
    "right, marked": form("\\boxed{}", "ANSWER"),
    "right, in a sentence": "We take away what is gone. In the end there are **ANSWER** of them.",
    "right, before other words": "So the total is ANSWER dollars.\n\nI hope this helps!",
}
NOT_RIGHT = {
    "cut off after the right number": "First we write down ANSWER, and after that we",
    "right by guess, in a sentence": "I do not know. Some number, say ANSWER.",
    "right, then a wrong sentence": "It could be ANSWER of them. In the end there are WRONG of them.",
    "wrong, then the right one in brackets": "In the end there are WRONG of them (ANSWER before).",
    "right or wrong": "In the end there are ANSWER or WRONG of them.",
    "not the right one": "In the end there are not ANSWER of them.",
    "right, in a program": "```python\nprint(ANSWER)\n```",
}


@dataclass(frozen=True)
class Reading:
    """What completions of one kind earn under both ways to read them.

    Attributes:
        name: what they are.
        strict, flexible: the mean reward; None if nothing was graded.
    """

    name: str
    strict: float | None
    flexible: float | None


def readings(spec: str, rows: Sequence[Row], gold: Gold, options: Mapping[str, Any], timeout: float) -> list[Reading]:
    """The rewards of each probe, in order; none where the rows have no short right answers."""
    if gold.answers is None:
        return []
    wrong = dict(wrong_answers(Gold("plain", gold.prompts, gold.answers, gold.answers)))
    known = [row for row in range(len(rows)) if row in wrong]
    earned: dict[str, list[float | None]] = {}
    for way in ("strict", "flexible"):
        with Subject(spec, {**options, "extraction": way}, timeout) as subject:
            for name, text in (RIGHT | NOT_RIGHT).items():
                texts = [text.replace("ANSWER", gold.answers[row]).replace("WRONG", wrong[row]) for row in known]
                graded = subject.grade(texts, [gold.prompts[row] for row in known], [rows[row] for row in known])
                rewards = [reward for reward in graded.rewards or [] if reward is not None]
                earned.setdefault(name, []).append(fmean(rewards) if rewards else None)
    return [Reading(name, strict, flexible) for name, (strict, flexible) in earned.items()]
