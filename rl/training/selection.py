"""Which groups make the batch of a step when groups without signal are replaced (DAPO, arXiv:2503.14476, section 3.2).

Deviation from the paper, which samples whole batches until its buffer is full: here a group is replaced by one further
problem, as soon as it is known to teach nothing, while the others still run.

Short answers end first. Whoever takes the groups that are there first learns more from short answers than the policy
gives, so the rule looks at the order of the problem stream only: the batch is the first `wanted` groups with signal *in
stream order*, and a further group is begun only when, even if all that still run had signal, there would be too few.
Every group that is begun is thus one that the rule needs whatever the others come to, and nothing is chosen by time.

The budget of tokens follows the same order: a further group belongs to the step if the groups *before it in the stream*
took fewer tokens. That may only be known when it runs already; then it goes back to the stream, unused.
"""

import math


class Selection:
    """Counts groups by their place in the step, from 0 in stream order.

    Args:
        wanted: groups of the batch. So many are begun in any case.
        max_tokens: sampled tokens after which no further group belongs to the step; 0: none is replaced.

    Attributes:
        begun: how many groups were begun; the caller counts it up.
    """

    def __init__(self, wanted: int, max_tokens: float = math.inf) -> None:
        self._wanted = wanted
        self._max_tokens = max_tokens
        self._tokens: dict[int, int] = {}  # of each group that has ended, by place
        self._signal: dict[int, bool] = {}
        self.begun = 0

    def ended(self, place: int, tokens: int, signal: bool) -> None:
        """A group is whole and graded: how many tokens it took, and whether any of its advantages counts."""
        self._tokens[place] = tokens
        self._signal[place] = signal

    def missing(self) -> int:
        """How many further groups are to begin now."""
        if self.begun < self._wanted:
            return self._wanted - self.begun
        if self._tokens_before(self.begun) >= self._max_tokens:
            return 0
        may_have_signal = sum(self._signal.values()) + self.begun - len(self._signal)
        return max(0, self._wanted - may_have_signal)

    def tried(self) -> int:
        """The groups that belong to the step, as far as is known: the first so many. The rest went over the budget."""
        further = range(self._wanted, self.begun)
        return next((k for k in further if self._tokens_before(k) >= self._max_tokens), self.begun)

    def complete(self) -> bool:
        """Whether the batch is settled: nothing that runs can change it."""
        return not self.missing() and all(place in self._signal for place in range(self.tried()))

    def chosen(self) -> list[int]:
        """The places of the batch's groups, in order, once it is complete: always `wanted`.

        Where the budget ended first, the earliest groups without signal fill it up. They teach nothing, and count in
        whatever the loss divides by, exactly as in a step without replacements.
        """
        tried = range(self.tried())
        useful = [place for place in tried if self._signal[place]]
        idle = [place for place in tried if not self._signal[place]]
        return sorted(useful + idle[: self._wanted - len(useful)])

    def _tokens_before(self, place: int) -> int:
        """Tokens of the groups before a place that have ended: all of them, or fewer than there will be."""
        return sum(tokens for other, tokens in self._tokens.items() if other < place)
