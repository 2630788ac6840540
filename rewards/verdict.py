"""What a grader says of one completion, and why."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Outcome = Literal["correct", "wrong", "unparseable", "ungradable"]
LONGEST_LOGGED = 2_000  # characters
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

LogExtra = Callable[[str, list[Any]], None]
LogMetric = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one completion.

    Attributes:
        outcome: `correct`; `wrong`, also where the completion made its grader time out or crash; `unparseable`: no
            answer was found in it; `ungradable`: a failure of ours (gold answer, grader, sandbox, machine), which must
            not be learned from.
        reason: a few words for people.
        seconds: wall-clock time that the grading took.
        share: share of the tests passed, where a grader runs several; else 1 for correct and 0 for all others.
        answer: the answer that was read in the completion, as text; None if there is none, or if the grader does not
            look for one.
    """

    outcome: Outcome
    reason: str
    seconds: float = 0.0
    share: float = 0.0
    answer: str | None = None

    def __post_init__(self) -> None:
        if self.outcome == "correct":
            object.__setattr__(self, "share", 1.0)

    @property
    def reward(self) -> float | None:
        """1 for correct, None for ungradable, 0 for all others."""
        return None if self.outcome == "ungradable" else float(self.outcome == "correct")

    @property
    def partial_reward(self) -> float | None:
        """The share of tests passed; None for ungradable."""
        return None if self.outcome == "ungradable" else self.share


def log_verdicts(
    name: str,
    verdicts: Sequence[Verdict],
    log_extra: LogExtra | None,
    log_metric: LogMetric | None,
    answers: Sequence[str | None] | None = None,
) -> None:
    """Tell a trainer the verdicts by the callbacks that TRL gives to reward functions, where there are any.

    Per completion the columns `NAME/verdict` and `NAME/reason`, and `NAME/answer` where the answers that were read are
    given; per batch the share of each outcome as `NAME/OUTCOME`. Not the seconds: a run that is resumed is to log the
    same as one that never stopped.
    """
    if log_extra is not None:
        log_extra(f"{name}/verdict", [verdict.outcome for verdict in verdicts])
        log_extra(f"{name}/reason", [verdict.reason for verdict in verdicts])
        log_answers(name, answers, log_extra)
    if log_metric is not None and verdicts:
        for outcome, share in outcome_shares([verdict.outcome for verdict in verdicts]).items():
            log_metric(f"{name}/{outcome}", share)


def outcome_shares(outcomes: Sequence[str]) -> dict[Outcome, float]:
    """The share of each possible outcome in a batch of at least one completion."""
    counts = Counter(outcomes)
    return {outcome: counts[outcome] / len(outcomes) for outcome in OUTCOMES}


def log_answers(name: str, answers: Sequence[str | None] | None, log_extra: LogExtra | None) -> None:
    """Log the answers that a grader read in the completions, cut to `LONGEST_LOGGED`, as the column `NAME/answer`."""
    if log_extra is not None and answers is not None:
        log_extra(f"{name}/answer", [None if answer is None else answer[:LONGEST_LOGGED] for answer in answers])
