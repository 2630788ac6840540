"""The order of problems by difficulty: easy ones first, or those that teach most, by what is known and what is seen.

Each epoch has an order of its own, settled when its first problem is asked, from the pass rates known by then: those
measured before training, and for problems that training has asked, those of their last group. What an epoch's order
came to is part of a checkpoint, so a resumed run asks as the undisturbed one does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rl.config.recipe import Order
from rl.problems.problem import Problem
from rl.problems.stream import ProblemStream, permutation
from rl.run.rollouts import RolloutRow

UNKNOWN = 0.5  # of a problem that nobody has tried: as informative as can be


@dataclass
class Curriculum:
    """An endless sequence of indices into a problem set.

    Attributes:
        stream: the order without regard to difficulty; it breaks ties.
        names: the problems' ids, by index.
        order: `random`: that of `stream`.
        rates: pass rates that are known, by problem id.
        settled: the order of each epoch that has begun, oldest first.
    """

    stream: ProblemStream
    names: Sequence[str]
    order: Order = "random"
    rates: dict[str, float] = field(default_factory=dict)
    settled: dict[int, list[int]] = field(default_factory=dict)

    def take(self, position: int, count: int) -> list[int]:
        """The indices at stream positions `position` to `position + count - 1`."""
        if self.order == "random":
            return self.stream.take(position, count)
        places = [divmod(place, self.stream.size) for place in range(position, position + count)]
        return [self._epoch(epoch)[offset] for epoch, offset in places]

    def observe(self, rows: Iterable[RolloutRow]) -> None:
        """Learn from a step's completions how often each of its problems is solved now."""
        if self.order == "random":
            return
        groups: dict[str, list[bool]] = {}
        for row in rows:
            if row.solved is not None:
                groups.setdefault(row.problem_id, []).append(row.solved)
        self.rates |= {name: sum(solved) / len(solved) for name, solved in groups.items()}

    def to_state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rates": dict(self.rates), "settled": dict(self.settled)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `to_state` gave."""
        self.rates, self.settled = dict(state["rates"]), dict(state["settled"])

    def _epoch(self, epoch: int) -> list[int]:
        if epoch not in self.settled:
            size, seed = self.stream.size, self.stream.seed
            shuffled = permutation(size, seed, epoch).tolist() if self.stream.shuffle else list(range(size))
            self.settled[epoch] = sorted(shuffled, key=self._rank)
            self.settled = {number: self.settled[number] for number in sorted(self.settled)[-2:]}
        return self.settled[epoch]

    def _rank(self, index: int) -> float:
        """What an epoch is sorted by: the least comes first."""
        rate = self.rates.get(self.names[index], UNKNOWN)
        return -rate if self.order == "easy_first" else -rate * (1 - rate)


def curriculum(
    problems: Sequence[Problem], seed: int, shuffle: bool, order: Order, rates: Mapping[str, float]
) -> Curriculum:
    """The order in which a run asks its problems."""
    names = [problem.id for problem in problems]
    return Curriculum(ProblemStream(len(problems), seed, shuffle), names, order, dict(rates))
