"""The one grading path: completions and columns in, one reward a completion out, part by part."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType, TracebackType
from typing import Any, Self

from rewards.errors import BadInput
from rewards.pool import GraderPool
from rewards.registry import accepted, load_reward, parameters_with_default, required_columns

NO_OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Graded:
    """The grades of one completion.

    Attributes:
        reward: weighted sum of the parts; None if a part that counts is None.
        parts: what each function returned; None: ungradable.
        solved: whether the accuracy part calls it solved; None if that part is None.
    """

    reward: float | None
    parts: dict[str, float | None]
    solved: bool | None


class Grader:
    """Grades completions by several reward functions.

    Args:
        functions: name or `path/to/file.py:function` of each, and its weight.
        options: keyword arguments of a function, by the same name.
        timeout: seconds that one completion may take in a grader process.
        workers: number of grader processes; they start when a function first needs one.
        accuracy: the function that tells solved from not solved; by default the first.
        correct_above: a completion is solved if that function returns more than this.

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
    ) -> None:
        if not functions:
            raise BadInput("no reward function is given; name at least one in rewards.functions, with its weight")
        for name, among in [(name, "rewards.options") for name in options] + [(accuracy, "rewards.accuracy")]:
            if name is not None and name not in functions:
                raise BadInput(f"{among} names {name!r}, which is not in rewards.functions ({', '.join(functions)})")
        self._functions = {name: load_reward(name) for name in functions}
        self._weights = {name: _weight(name, weight) for name, weight in functions.items()}
        self._options = {name: self._checked_options(name, options.get(name, {})) for name in functions}
        self._accuracy = accuracy or next(iter(functions))
        self._correct_above = correct_above
        self._pool = GraderPool(workers, timeout)

    def check_columns(self, columns: Collection[str]) -> None:
        """Raise BadInput if a function needs a column that the problems do not have."""
        for name, function in self._functions.items():
            missing = sorted(required_columns(function) - set(columns) - set(self._options[name]))
            if missing:
                raise BadInput(
                    f"the reward {name!r} needs the column {missing[0]!r}, which the problems do not have; "
                    f"they have {', '.join(sorted(columns)) or 'none'}"
                )

    def grade(
        self, completions: Sequence[str], prompts: Sequence[str], columns: Mapping[str, Sequence[Any]]
    ) -> list[Graded]:
        """Grade completions; `prompts` and each column have one item a completion.

        Raises:
            BadInput: a function did not return one number or None for each completion.
            Exception: whatever a function raises; it is a bug there, and no completion's fault.
        """
        given = {**columns, "completions": list(completions), "prompts": list(prompts), "grader_pool": self._pool}
        parts: dict[str, list[float | None]] = {}
        for name, function in self._functions.items():
            returned = function(**accepted(function, given | self._options[name]))
            parts[name] = _checked_grades(name, returned, len(completions))
        return [self._graded({name: column[row] for name, column in parts.items()}) for row in range(len(completions))]

    def close(self) -> None:
        """End the grader processes."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _graded(self, parts: dict[str, float | None]) -> Graded:
        reward: float | None = 0.0
        for name, weight in self._weights.items():
            part = parts[name]
            if weight == 0:
                continue
            reward = None if reward is None or part is None else reward + weight * part
        accuracy = parts[self._accuracy]
        return Graded(reward, parts, None if accuracy is None else accuracy > self._correct_above)

    def _checked_options(self, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        possible = parameters_with_default(self._functions[name]) - {"grader_pool"}
        for option in options:
            if option not in possible:
                known = f"it has {', '.join(sorted(possible))}" if possible else "it has none"
                raise BadInput(f"the reward {name!r} has no option {option!r}; {known}")
        return dict(options)


def _weight(name: str, weight: float) -> float:
    if not math.isfinite(weight):
        raise BadInput(f"the weight of the reward {name!r} is {weight}; give a finite number in rewards.functions")
    return float(weight)


def _checked_grades(name: str, returned: Any, count: int) -> list[float | None]:
    """The list that a function returned as floats and Nones, or BadInput."""
    if not hasattr(returned, "__len__") or not hasattr(returned, "__iter__") or len(returned) != count:
        length = f"{len(returned)} items" if hasattr(returned, "__len__") else f"a {type(returned).__name__}"
        raise BadInput(f"the reward {name!r} returned {length} for {count} completions; return one number for each")
    for grade in returned:
        if grade is not None and not (isinstance(grade, Real) and math.isfinite(grade)):
            raise BadInput(f"the reward {name!r} returned {str(grade)[:50]!r}; return a finite number or None for each")
    return [None if grade is None else float(grade) for grade in returned]
