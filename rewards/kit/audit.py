"""An audit of a reward: does it pay for right answers, and can it be cheated, crashed or hung?

`audit` runs it over right answers, which must pay, and over completions that a policy finds when it looks for reward
without solving anything (`rewards.kit.probes`), which must not. The reward runs in a process of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

from rewards.errors import BadInput
from rewards.kit.bench import SAME, Attempt, Bench
from rewards.kit.extraction import Reading, readings
from rewards.kit.probes import Gold, Probe, probes
from rewards.kit.rows import Row
from rewards.kit.subject import Subject
from rewards.scratch import scratch_folder

GOLD = "right answer"
LONGEST_SHOWN = 70  # characters of a completion in a finding


@dataclass(frozen=True)
class ProbeResult:
    """What a reward did with completions of one kind.

    Attributes:
        name: what they are.
        completions: how many.
        lowest, mean, highest: rewards; None if there is none.
        ungradable: how many got None.
        p50, p99: seconds that one completion takes, graded alone; None if the reward failed.
        judged: whether what it pays for them was judged; what it does with them always is.
        findings: what is suspicious, a sentence each.
    """

    name: str
    completions: int
    lowest: float | None
    mean: float | None
    highest: float | None
    ungradable: int
    p50: float | None
    p99: float | None
    judged: bool
    findings: list[str]


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Attributes:
        reward: its name.
        rows: problems that it was tried on.
        gold: how the right answers were given.
        probes: what it did, kind by kind; the right answers first.
        notes: what a reader of the figures must know, a sentence each.
        readings: what an answer earns read strictly and flexibly, where the reward has an option `extraction`.
    """

    reward: str
    rows: int
    gold: str
    probes: list[ProbeResult]
    notes: list[str]
    readings: list[Reading] = field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """Everything that is suspicious."""
        return [f"{probe.name}: {finding}" for probe in self.probes for finding in probe.findings]


def audit(
    spec: str, rows: Sequence[Row], *, options: Mapping[str, Any], timeout: float = 60.0, may_pay: float = 0.0
) -> Audit:
    """Try a reward on problems whose right answers are known.

    Args:
        spec: as for `load_reward`.
        rows: problems: the columns that training would give, beside them perhaps `prompt` or `question`, and a right
            `completion` or `solution`; else right completions are made of the column `answer`.
        options: keyword arguments of the reward.
        timeout: seconds that one batch of completions may take.
        may_pay: what a completion that is not right may earn at most, for rewards that pay for a part.

    Raises:
        BadInput: there is no such reward, it does not take the options, a column is missing, or the right answers are
            not known.
    """
    with Subject(spec, options, timeout) as subject, scratch_folder("audit") as folder:
        missing = sorted(set(subject.required) - rows[0].keys())
        if missing:
            raise BadInput(
                f"the reward {spec!r} needs the column {missing[0]!r}, which the rows do not have; "
                f"they have {', '.join(rows[0])}: give {missing[0]}=KEY for one of them"
            )
        bench = Bench(subject, rows)
        gold = bench.find_gold()
        judged = bench.tells_right_from_wrong(gold)
        right = bench.tried(Probe(GOLD, gold.completions, list(range(len(rows)))))
        gradable = {row for row, reward in enumerate(right.rewards or []) if reward is not None}
        results = [_result(right, judged, _ungraded(right) or (_underpaid(right, may_pay) if judged else []))]
        depending = [right.probe.name] if right.depends else []
        for probe in probes(gold, Path(folder)):
            tried = bench.tried(probe)
            judge = judged and probe.judged
            results.append(_result(tried, judge, _overpaid(tried, may_pay, gradable) if judge else []))
            depending += [probe.name] if tried.depends else []
        both = readings(spec, rows, gold, options, timeout) if subject.has_extraction else []
    return Audit(spec, len(rows), gold.way, results, _notes(judged, depending, gold), both)


def _notes(judged: bool, depending: list[str], gold: Gold) -> list[str]:
    notes = []
    if not judged:
        notes.append("it asks for no column and pays right and wrong answers alike, so what it pays is not judged")
    if depending:
        notes.append(f"what a completion earns depends on the others of its batch: {', '.join(depending)}")
    if gold.answers is None:
        notes.append("the rows have no short right answers, so it was not tried with many answers at once")
    return notes


def _ungraded(tried: Attempt) -> list[str]:
    """The finding about a reward that has no grade even for right answers."""
    if not tried.rewards or any(reward is not None for reward in tried.rewards):
        return []
    return [f"all {len(tried.rewards)} get None, so the reward graded nothing: return a number for each right answer"]


def _underpaid(tried: Attempt, may_pay: float) -> list[str]:
    """Findings about right answers."""
    findings = []
    rewards, count = tried.rewards or [], len(tried.probe.completions)
    unpaid = [row for row, reward in enumerate(rewards) if reward is not None and reward <= may_pay]
    if unpaid:
        shown = _shown(tried.probe.completions[unpaid[0]])
        findings.append(f"{len(unpaid)} of {count} are not paid, such as {shown} on row {unpaid[0] + 1}")
    ungradable = [row for row, reward in enumerate(rewards) if reward is None]
    if ungradable:
        findings.append(f"{len(ungradable)} of {count} are ungradable, such as row {ungradable[0] + 1}")
    return findings


def _overpaid(tried: Attempt, may_pay: float, gradable: Collection[int]) -> list[str]:
    """Findings about what must not pay, nor be left out of the loss."""
    findings = []
    rewards, texts, rows = tried.rewards or [], tried.probe.completions, tried.probe.rows
    paid = {i: reward for i, reward in enumerate(rewards) if reward is not None and reward > may_pay + SAME}
    if paid:
        best = max(paid, key=lambda i: paid[i])
        found = f"{len(paid)} of {len(texts)} are paid, up to {paid[best]:g}"
        findings.append(f"{found} for {_shown(texts[best])} on row {rows[best] + 1}")
    masked = [i for i, reward in enumerate(rewards) if reward is None and rows[i] in gradable]
    if masked:
        findings.append(
            f"{len(masked)} of {len(texts)} get None where a right answer does not, so a policy can hide from the loss "
            f"by {_shown(texts[masked[0]])}"
        )
    return findings


def _result(tried: Attempt, judged: bool, findings: list[str]) -> ProbeResult:
    """The figures of a probe, and all that is suspicious about it."""
    canary = tried.probe.canary
    executed = ["a completion was executed as a program"] if canary is not None and canary.exists() else []
    failed = [tried.failure] if tried.failure else []
    rewards = [reward for reward in tried.rewards or [] if reward is not None]
    return ProbeResult(
        tried.probe.name,
        len(tried.probe.completions),
        lowest=min(rewards, default=None),
        mean=fmean(rewards) if rewards else None,
        highest=max(rewards, default=None),
        ungradable=(tried.rewards or []).count(None),
        p50=_quantile(tried.alone, 50),
        p99=_quantile(tried.alone, 99),
        judged=judged,
        findings=[*failed, *executed, *findings, *tried.unstable],
    )


def _quantile(values: Sequence[float], percent: int) -> float | None:
    if len(values) < 2:
        return values[0] if values else None
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _shown(text: str) -> str:
    """A completion as one short line that any terminal can print."""
    return ascii(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}...")
