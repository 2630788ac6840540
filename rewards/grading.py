"""The one grading path: completions and columns in, one reward a completion out, part by part."""

import copy
import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, Self

from rewards import registry
from rewards.errors import BadInput
from rewards.gold import column_faults, gold_check
from rewards.isolated.reward import BATCH_SECONDS, IsolatedReward, Settings, isolated_reward
from rewards.logs import BatchLogs
from rewards.named import SESSION
from rewards.part import part_of
from rewards.pool import GraderPool
from rewards.registry import accepted, checked_options, load_reward, required_columns

logger = logging.getLogger(__name__)
NO_OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Grade:
    """The grades of one completion.

    Attributes:
        reward: weighted sum of the parts; None if a part that counts is None.
        parts: what each function returned; None: ungradable.
        solved: whether the accuracy part calls it solved; None if that part is None.
        extra: what the functions logged of it by `log_extra`, such as `math/verdict` and `math/reason`.
    """

    reward: float | None
    parts: dict[str, float | None]
    solved: bool | None
    extra: dict[str, Any] = field(default_factory=dict)


class Grader:
    """Grades completions by several reward functions.

    Args:
        functions: name or `path/to/file.py:function` of each, and its weight.
        options: keyword arguments of a function, by the same name.
        timeout: seconds that one completion may take in a grader process.
        workers: number of grader processes; they start when a function first needs one.
        accuracy: the function that tells solved from not solved; by default the first. It is called first, and what it
            says goes to the others as `solved`.
        correct_above: a completion is solved if that function returns more than this.
        gated: functions that count only where the completion is solved.
        sandbox: how programs are isolated; goes as `sandbox` to the functions that take it.
        folder: where files of functions are looked for before the working folder.
        isolated: functions that are not Penny's own run in a process of their own (`rewards.isolated`).
        batch_timeout: seconds that such a function may take for a batch of up to 64 completions; a larger batch may
            take as many times longer.

    Attributes:
        metrics: what the functions logged by `log_metric` in the last call of `grade`; of a name's values, the mean.

    Raises:
        BadInput: a function cannot be found, does not take one of its options, or has no finite weight.
    """

    def __init__(
        self,
        functions: Mapping[str, float],
        *,
        options: Mapping[str, Mapping[str, Any]] = NO_OPTIONS,
        timeout: float,
        workers: int,
        accuracy: str | None,
        correct_above: float,
        gated: Collection[str] = (),
        sandbox: str = "auto",
        folder: str | None = None,
        isolated: bool = False,
        batch_timeout: float = BATCH_SECONDS,
    ) -> None:
        if not functions:
            raise BadInput("no reward function is given; name at least one in rewards.functions, with its weight")
        self._accuracy = accuracy or next(iter(functions))
        _check_names(functions, {"rewards.options": options, "rewards.accuracy": [self._accuracy]})
        _check_names(functions, {"rewards.gated": gated})
        if self._accuracy in gated:
            raise BadInput(f"rewards.gated names {self._accuracy!r}, which itself says what is solved; take it out")
        settings = Settings(workers, timeout, batch_timeout)
        self._functions = {
            name: isolated_reward(name, folder, settings)
            if isolated and name not in registry.BUILTIN and not name.startswith(SESSION)
            else load_reward(name, folder)
            for name in functions
        }
        self._weights = {name: _weight(name, weight) for name, weight in functions.items()}
        self._options = {name: checked_options(name, f, options.get(name, {})) for name, f in self._functions.items()}
        self._correct_above, self._gated, self._sandbox = correct_above, frozenset(gated), sandbox
        self._pool = GraderPool(workers, timeout)
        self.metrics: dict[str, float] = {}

    @property
    def one_by_one(self) -> bool:
        """Whether a completion earns the same whichever others it is graded with: true of nearly all built-in rewards.

        Of a user's function it is not known, so it counts as one that compares the completions it is given.
        """
        return self._functions.keys() <= registry.BUILTIN.keys() - registry.OF_A_GROUP

    def check_columns(self, columns: Collection[str], problem: str | None = None) -> None:
        """Raise BadInput if a function needs a column that the problems, or this one of them, do not have."""
        lack, have = ("the problems do", "they have") if problem is None else (f"problem {problem} does", "it has")
        for name, function in self._functions.items():
            missing = sorted(required_columns(function) - set(columns) - set(self._options[name]))
            if missing:
                raise BadInput(
                    f"the reward {name!r} needs the column {missing[0]!r}, which {lack} not have; "
                    f"{have} {', '.join(sorted(columns)) or 'none'}"
                )

    def check_types(self, columns: Mapping[str, Sequence[Any]], names: Sequence[str]) -> None:
        """Raise BadInput for the first value of a column that a function cannot take; `names` are those of the rows.

        What is null counts as missing, which `check_gold` tells.
        """
        for reward, function in self._functions.items():
            if isinstance(function, IsolatedReward):
                function.check_carried(accepted(function, dict(columns)), self._options[reward])
            for column, fault_of in column_faults(function).items():
                for name, value in zip(names, columns.get(column, ()), strict=False):
                    if value is not None and (fault := fault_of(value)) is not None:
                        raise BadInput(
                            f"the reward {reward!r} cannot use the column {column!r} of problem {name}: {fault}; "
                            "correct it, or leave the row out"
                        )

    def rehearse(self, columns: Collection[str]) -> None:
        """Call the built-in functions on no completions at all, with the columns that some of the problems have.

        So they refuse options that are wrong or do not go together, and a machine without isolation, while nothing is
        lost by it. Raises BadInput.
        """
        nothing: dict[str, Any] = {column: [] for column in (*columns, *registry.BATCH, "solved")}
        logs = BatchLogs(0)
        ours = {
            "grader_pool": self._pool,
            "sandbox": self._sandbox,
            "log_extra": logs.extra,
            "log_metric": logs.metric,
        }
        for name, function in self._functions.items():
            if name in registry.BUILTIN:
                function(**accepted(function, nothing | ours | self._options[name]))

    def check_gold(self, columns: Mapping[str, Sequence[Any]]) -> list[str | None]:
        """Why the gold answer of each problem cannot be right, by the functions that can tell; None where it may be.

        `columns` have one item a problem. The check of the accuracy function comes first.
        """
        count = len(next(iter(columns.values()), ()))
        reasons: list[str | None] = [None] * count
        for name in self._in_order():
            check = gold_check(self._functions[name])
            options = {"sandbox": self._sandbox} | self._options[name]
            found = check(columns, self._pool, options) if check is not None and count else []
            for place, reason in enumerate(found):
                if reason is not None and reasons[place] is None:
                    reasons[place] = f"{name}: {reason}"
        return reasons

    def grade(
        self, completions: Sequence[str], prompts: Sequence[str | list[Any]], columns: Mapping[str, Sequence[Any]]
    ) -> list[Grade]:
        """Grade completions; `prompts` (texts, or the messages of a conversation) and columns have one item for each.

        Raises:
            BadInput: a function did not return one number, verdict or None for each completion.
            RewardFailed: a function raised, or called `sys.exit`; it is a bug there, and no completion's fault.
        """
        logs = BatchLogs(len(completions))
        given: dict[str, Any] = {
            **columns,
            "completions": list(completions),
            "prompts": list(prompts),
            "grader_pool": self._pool,
            "sandbox": self._sandbox,
            "log_extra": logs.extra,
            "log_metric": logs.metric,
        }
        parts: dict[str, list[float | None]] = {}
        for name in self._in_order():
            parts[name] = self._part(name, given, logs)
            if name == self._accuracy:
                given["solved"] = [None if part is None else part > self._correct_above for part in parts[name]]
        self.metrics = logs.metrics()
        return [
            self._graded({name: parts[name][row] for name in self._weights}, given["solved"][row], logs.row(row))
            for row in range(len(completions))
        ]

    def alone(self, name: str, **options: Any) -> "Grader":
        """This grader with one of its functions alone, under changed options.

        Both share the grader processes and the function, so only this one is to be closed. Raises BadInput for an
        option that the function does not have.
        """
        other = copy.copy(self)
        function = self._functions[name]
        other._accuracy, other._functions, other._weights, other._gated = (
            name,
            {name: function},
            {name: 1.0},
            frozenset(),
        )
        other._options = {name: checked_options(name, function, {**self._options[name], **options})}
        return other

    def close(self, now: bool = False) -> None:
        """End the grader processes, and what the functions hold open; `now`: kill the jobs that run."""
        self._pool.close(now)
        for name, function in self._functions.items():
            if now and isinstance(function, IsolatedReward):
                function.stop_work()
            try:
                registry.close(function)
            except (Exception, SystemExit):  # the author's own code: all is graded, so nothing is lost by it
                logger.warning("the reward %r could not be closed", name, exc_info=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(now=kind is not None)

    def _part(self, name: str, given: Mapping[str, Any], logs: BatchLogs) -> list[float | None]:
        """What a function says of each completion."""
        function = self._functions[name]
        options = self._options[name]
        taken = {key: value for key, value in accepted(function, dict(given)).items() if key not in options}
        if isinstance(function, IsolatedReward):
            return function.part(name, taken, options, logs)
        return part_of(name, function, taken, options, logs)

    def _in_order(self) -> list[str]:
        """The functions' names, the accuracy function first."""
        return [self._accuracy, *(name for name in self._functions if name != self._accuracy)]

    def _graded(self, parts: dict[str, float | None], solved: bool | None, extra: dict[str, Any]) -> Grade:
        reward: float | None = 0.0
        for name, weight in self._weights.items():
            part = parts[name]
            if name in self._gated:
                part = None if solved is None else part if solved else 0.0
            if weight == 0:
                continue
            reward = None if reward is None or part is None else reward + weight * part
        return Grade(reward, parts, solved, extra)


def _check_names(functions: Mapping[str, float], named: Mapping[str, Iterable[str]]) -> None:
    for among, names in named.items():
        for name in names:
            if name not in functions:
                raise BadInput(f"{among} names {name!r}, which is not in rewards.functions ({', '.join(functions)})")


def _weight(name: str, weight: float) -> float:
    if not math.isfinite(weight):
        raise BadInput(f"the weight of the reward {name!r} is {weight}; give a finite number in rewards.functions")
    return float(weight)
