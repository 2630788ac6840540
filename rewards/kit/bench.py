"""A reward and the problems that it is tried on: grading probes in several ways, finding what it takes as right."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rewards.errors import BadInput
from rewards.kit.probes import Gold, Probe, wrong_answers
from rewards.kit.rows import Row, answers_of, gold_completions, prompts_of
from rewards.kit.subject import Answer, Subject

ALONE = 10  # completions of a probe that are also graded one by one, which times them
SAME = 1e-9  # rewards that differ by no more than this are equal


@dataclass(frozen=True)
class Attempt:
    """What became of a probe.

    Attributes:
        probe: the completions.
        rewards: what they earned together; None if the reward failed.
        failure: how it failed.
        unstable: a sentence each: the same completions earned something else another time, or in another order.
        alone: seconds of each of the first `ALONE`, graded alone.
        depends: whether one of these earned something else then.
    """

    probe: Probe
    rewards: list[float | None] | None
    failure: str = ""
    unstable: tuple[str, ...] = ()
    alone: tuple[float, ...] = ()
    depends: bool = False


class Bench:
    """A reward and the problems that it is tried on."""

    def __init__(self, subject: Subject, rows: Sequence[Row]) -> None:
        self._subject, self._rows = subject, rows
        self._prompts = prompts_of(rows)

    def find_gold(self) -> Gold:
        """The right completions, in the way that pays best.

        Raises:
            BadInput: no column tells them.
        """
        answers = answers_of(self._rows, self._subject.required)
        ways = gold_completions(self._rows, answers)
        if not ways:
            raise BadInput(
                "the rows do not tell the right answers; give them a column 'answer', or 'completion' with a right one"
            )
        every = list(range(len(self._rows)))
        earned = {way: self._earned(Probe(way, texts, every)) for way, texts in ways.items()}
        best = max(earned, key=lambda way: earned[way])
        return Gold(best, self._prompts, ways[best], answers)

    def tells_right_from_wrong(self, gold: Gold) -> bool:
        """Whether the reward is about right answers at all: it asks for a column, or pays less for wrong ones."""
        if self._subject.required:
            return True
        wrong = wrong_answers(gold)
        right_earn = self._earned(Probe("", gold.completions, list(range(len(gold.completions)))))
        return right_earn > self._earned(Probe("", [text for _, text in wrong], [row for row, _ in wrong])) + SAME

    def tried(self, probe: Probe) -> Attempt:
        """Grade a probe: together, again, in another order, and one by one."""
        answer = self._grade(probe)
        if answer.rewards is None:
            return Attempt(probe, None, answer.failure)
        order = list(range(len(answer.rewards)))
        random.Random(0).shuffle(order)
        unstable = []
        for indices, when in ((range(len(order)), "the second time"), (order, "in another order")):
            change = _change([answer.rewards[i] for i in indices], self._grade(_picked(probe, indices)))
            if change:
                unstable.append(f"the same batch {change} {when}")
        alone, depends = [], False
        for i in range(min(ALONE, len(order))):
            single = self._grade(_picked(probe, [i]))
            alone.append(single.seconds)
            depends |= bool(_change([answer.rewards[i]], single))
        return Attempt(probe, answer.rewards, "", tuple(unstable), tuple(alone), depends)

    def _grade(self, probe: Probe) -> Answer:
        rows = [self._rows[row] for row in probe.rows]
        return self._subject.grade(probe.completions, [self._prompts[row] for row in probe.rows], rows)

    def _earned(self, probe: Probe) -> float:
        """The mean reward; what cannot be graded earns nothing, and a failure less than that."""
        rewards = self._grade(probe).rewards
        if rewards is None:
            return float("-inf")
        return fmean(reward or 0.0 for reward in rewards) if rewards else 0.0


def _picked(probe: Probe, indices: Sequence[int]) -> Probe:
    return Probe(probe.name, [probe.completions[i] for i in indices], [probe.rows[i] for i in indices])


def _change(before: Sequence[float | None], now: Answer) -> str:
    """How the rewards of the same completions differ; empty if they do not."""
    if now.rewards is None:
        return f"fails ({now.failure})"
    for a, b in zip(before, now.rewards, strict=True):
        if (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > SAME):
            return f"earns {b} in place of {a}"
    return ""
