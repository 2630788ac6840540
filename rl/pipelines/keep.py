"""Which traces are learned from: right ones, unlike each other, a few of each problem, hard and easy in balance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rl.pipelines.schema import KeepSection
from rl.problems.problem import Problem

WORDS = 3  # of an n-gram
QUARTERS = 4  # of pass rates: balance takes from each alike


@dataclass(frozen=True)
class Trace:
    """One answer of a teacher to one problem.

    Attributes:
        sample: its number among the answers to the problem.
        prompt: what the teacher was asked, as text; empty where a data set brought the trace.
        completion: what it wrote, prefill included.
        num_tokens: None where unknown.
        solved: what the rewards say; None: ungradable.
        pass_rate: share of the problem's graded answers that are solved.
    """

    problem: Problem
    sample: int
    prompt: str
    completion: str
    num_tokens: int | None
    solved: bool | None
    reward: float | None
    finish_reason: str | None
    pass_rate: float

    @property
    def length(self) -> int:
        """Tokens, or characters where nobody counted."""
        return len(self.completion) if self.num_tokens is None else self.num_tokens


Group = Sequence[Trace]  # the traces of one problem, by sample
DropCounts = dict[str, int]  # traces by what they were dropped for


def choose(groups: Sequence[Group], keep: KeepSection) -> tuple[list[Trace], DropCounts]:
    """The traces to keep, problem by problem, and how many went for which key of the section.

    Args:
        groups: the traces of each problem.
    """
    dropped: DropCounts = {}

    def sieve(name: str, some: Group, kept: Group) -> Group:
        if len(kept) < len(some):
            dropped[name] = dropped.get(name, 0) + len(some) - len(kept)
        return kept

    chosen: list[Group] = []
    for group in groups:
        if keep.verified:
            group = sieve("verified", group, [trace for trace in group if trace.solved])
        if not keep.truncated:
            group = sieve("truncated", group, [trace for trace in group if trace.finish_reason != "length"])
        inside = [trace for trace in group if keep.min_pass_rate <= trace.pass_rate <= keep.max_pass_rate]
        group = sieve("pass_rate", group, inside)
        group = sieve("max_similarity", group, distinct(ranked(group, keep), keep.max_similarity))
        chosen.append(sieve("per_problem", group, pick(group, keep)))
    traces = [trace for group in chosen for trace in group]
    if keep.max_traces is None or len(traces) <= keep.max_traces:
        return traces, dropped
    cut = balanced(traces, keep.max_traces) if keep.balance else traces[: keep.max_traces]
    return list(sieve("max_traces", traces, cut)), dropped


def ranked(group: Group, keep: KeepSection) -> list[Trace]:
    """A problem's traces, those that are preferred first; of equals the earlier sample."""
    orders: dict[str, Callable[[Trace], int]] = {
        "shortest": lambda trace: trace.length,
        "longest": lambda trace: -trace.length,
    }
    return sorted(group, key=orders.get(keep.prefer, lambda trace: trace.sample))


def distinct(group: Group, limit: float) -> list[Trace]:
    """The traces, in order, that are not too like an earlier one: no equal texts, and similarity at most `limit`."""
    kept: list[Trace] = []
    for trace in group:
        if all(similarity(trace, other) <= limit and not same(trace, other) for other in kept):
            kept.append(trace)
    return kept


def pick(group: Group, keep: KeepSection) -> list[Trace]:
    """At most `per_problem` of the ranked traces; `diverse`: each as unlike those before it as there is one."""
    if keep.prefer != "diverse":
        return list(group[: keep.per_problem])
    picked, rest = list(group[:1]), list(group[1:])
    while rest and len(picked) < keep.per_problem:
        farthest = min(rest, key=lambda trace: max(similarity(trace, other) for other in picked))
        picked.append(farthest)
        rest.remove(farthest)
    return picked


def balanced(traces: Sequence[Trace], size: int) -> list[Trace]:
    """`size` of the traces, one from each quarter of pass rates in turn, hardest first, in their old order."""
    quarters: list[list[int]] = [[] for _ in range(QUARTERS)]
    for place, trace in enumerate(traces):
        quarters[min(QUARTERS - 1, int(trace.pass_rate * QUARTERS))].append(place)
    chosen: list[int] = []
    while len(chosen) < min(size, len(traces)):
        for quarter in filter(None, quarters):
            chosen.append(quarter.pop(0))
    return [traces[place] for place in sorted(chosen[:size])]


def similarity(one: Trace, other: Trace) -> float:
    """Jaccard index of the two texts' word n-grams, from 0 to 1."""
    a, b = ngrams(one.completion), ngrams(other.completion)
    return len(a & b) / len(a | b) if a | b else 1.0


def same(one: Trace, other: Trace) -> bool:
    """Whether two texts are equal but for case and white space."""
    return one.completion.casefold().split() == other.completion.casefold().split()


def ngrams(text: str) -> frozenset[tuple[str, ...]]:
    """The word n-grams of a text; of a shorter text, the whole."""
    words = text.casefold().split()
    return frozenset(tuple(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1)) if words)
