"""Problems made by rule: Countdown, integer arithmetic, and the tasks of reasoning-gym.

Each maker gives the columns of `section.size` problems and is a pure function of (section, seed). Countdown and
arithmetic problems are distinct within one call; reasoning-gym's tasks may repeat themselves.
"""

import difflib
import itertools
import math
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection, Section
from rl.problems.worked import worked

Row = dict[str, Any]
Draw = TypeVar("Draw")
Options = TypeVar("Options", bound=Section)

PATIENCE = 20_000  # random draws in a row that bring nothing new before the problems count as used up


class CountdownOptions(Section):
    """Countdown: reach `target` from 3 or 4 numbers. The defaults are TinyZero's ranges."""

    min_numbers: int = Field(3, ge=2)
    max_numbers: int = Field(4, le=6)
    low: int = Field(1, ge=1, description="smallest number")
    high: int = Field(99, description="largest number")
    min_target: int = Field(10, ge=1)
    max_target: int = 100


class ArithmeticOptions(Section):
    """Sums, differences and products of integers, with the usual precedence."""

    operators: list[Literal["+", "-", "*"]] = Field(["+"], min_length=1)
    operands: int = Field(2, ge=2, le=4)
    low: int | list[int] = Field(1, description="smallest value, of every operand or of each")
    high: int | list[int] = Field(99, description="largest value, of every operand or of each")


def make_countdown(section: ProblemsSection, seed: int) -> list[Row]:
    """Countdown tasks: use every number once, with + - * /, to reach the target.

    Each is built from a random expression whose intermediate results are positive integers, so it can be reached.

    Returns:
        rows with `nums`, `target`, `question` (the task in words), `solution` (the expression it was built from) and
        `worked` (its steps).

    Raises:
        BadInput: unknown or contradictory options, no size, or fewer distinct problems than asked for.
    """
    options = read_options(CountdownOptions, section)
    for small, large in (("min_numbers", "max_numbers"), ("low", "high"), ("min_target", "max_target")):
        _check_order(small, getattr(options, small), large, getattr(options, large))
    rng = random.Random(seed)

    def draws() -> Iterator[tuple[list[int], int, str]]:
        while True:
            count = rng.randint(options.min_numbers, options.max_numbers)
            nums = [rng.randint(options.low, options.high) for _ in range(count)]
            yield nums, *_random_expression(nums, rng)

    def key(draw: tuple[list[int], int, str]) -> Hashable | None:
        nums, target, _ = draw
        return countdown_key(nums, target) if options.min_target <= target <= options.max_target else None

    return [
        {
            "nums": nums,
            "target": target,
            "question": _countdown_question(nums, target),
            "solution": solution,
            "worked": worked(solution),
        }
        for nums, target, solution in _distinct(draws(), key, section)
    ]


def make_arithmetic(section: ProblemsSection, seed: int) -> list[Row]:
    """Integer expressions such as `23 + 45`; problems that differ only in the order of terms or factors count as one.

    Returns:
        rows with `question` (the expression), `answer` (a string), `operands`, `operators` and `worked` (the steps).

    Raises:
        BadInput: unknown or contradictory options, no size, or fewer distinct problems than asked for.
    """
    options = read_options(ArithmeticOptions, section)
    lows, highs = _per_operand(options, "low"), _per_operand(options, "high")
    for low, high in zip(lows, highs, strict=True):
        _check_order("low", low, "high", high)
    operators = sorted(set(options.operators))
    choices: list[Sequence[Any]] = [range(low, high + 1) for low, high in zip(lows, highs, strict=True)]
    choices += [operators] * (options.operands - 1)
    rng = random.Random(seed)

    def split(draw: tuple[Any, ...]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        return draw[: options.operands], draw[options.operands :]

    draws: Iterable[tuple[Any, ...]]
    if math.prod(map(len, choices)) <= 100 * _size(section):  # few: go through them all, so that none is missed
        draws = list(itertools.product(*choices))
        rng.shuffle(draws)
        patience = math.inf
    else:
        draws = (tuple(rng.choice(choice) for choice in choices) for _ in itertools.count())
        patience = PATIENCE
    found = _distinct(draws, lambda draw: arithmetic_key(*split(draw)), section, patience)
    return [_arithmetic_row(*split(draw)) for draw in found]


def make_reasoning_gym(section: ProblemsSection, seed: int) -> list[Row]:
    """Problems of one reasoning-gym task (`problems.name`; `composite` mixes several).

    Returns:
        rows with `question`, `answer` (None where the task has many), `metadata`, and what its scorer needs: `task`,
        `task_config` (options) and `entry`, the item exactly as made: some scorers tell tuples from lists.

    Raises:
        BadInput: unknown task, unknown or refused options, no size.
    """
    # Imported late: it takes a second, and no other source needs it.
    import reasoning_gym
    from reasoning_gym.composite import DatasetSpec
    from reasoning_gym.factory import DATASETS

    task, size = section.name, _size(section)
    if task not in DATASETS:
        raise BadInput(f"problems.name: reasoning-gym has no task {task!r}; {_nearest(str(task), DATASETS)}")
    known = [field.name for field in fields(DATASETS[task][1]) if field.name not in ("size", "seed")]
    for option in section.options:
        if option not in known:
            raise BadInput(f"problems.options: {task} has no option {option!r}; {_nearest(option, known)}")
    options, configs = dict(section.options), {task: section.options}
    try:
        if task == "composite":
            configs = {spec["name"]: spec.get("config", {}) for spec in options.get("datasets", [])}
            weights = {spec["name"]: spec.get("weight", 1) for spec in options.get("datasets", [])}
            options["datasets"] = [DatasetSpec(name, weights[name], config) for name, config in configs.items()]
        dataset = reasoning_gym.create_dataset(task, size=size, seed=seed, **options)
        items = [dataset[index] for index in range(size)]
    except (AssertionError, ValueError, TypeError, LookupError) as error:  # how its tasks refuse values
        raise BadInput(
            f"problems.options: reasoning-gym's {task} refuses them ({error}); correct the values."
        ) from error
    tasks = [item["metadata"]["source_dataset"] for item in items]
    return [{**item, "task": t, "task_config": configs[t], "entry": item} for t, item in zip(tasks, items, strict=True)]


def countdown_key(nums: Iterable[int], target: int) -> str:
    """One text for all Countdown tasks with the same target and the same numbers in any order."""
    return f"countdown {sorted(nums)} {target}"


def arithmetic_key(operands: Sequence[int], operators: Sequence[str]) -> str:
    """One text for all expressions that are equal but for the order of terms and factors and where a sign is written.

    So `2 + 3` is `3 + 2`, `4 * 5 + 1` is `1 + 5 * 4` and `3 - 5` is `-5 + 3`, but `5 - 3` is not `3 - 5`.
    """
    terms: list[list[int]] = [[1, operands[0]]]  # sign, factors
    for operator, operand in zip(operators, operands[1:], strict=True):
        if operator == "*":
            terms[-1].append(operand)
        else:
            terms.append([1 if operator == "+" else -1, operand])
    canonical = sorted((math.prod((x > 0) - (x < 0) for x in term), sorted(map(abs, term[1:]))) for term in terms)
    return f"arithmetic {canonical}"


def _arithmetic_row(operands: tuple[int, ...], operators: tuple[str, ...]) -> Row:
    texts = [str(operands[0])] + [str(x) if x >= 0 else f"({x})" for x in operands[1:]]
    question = texts[0] + "".join(f" {o} {x}" for o, x in zip(operators, texts[1:], strict=True))
    terms = [operands[0]]
    for operator, operand in zip(operators, operands[1:], strict=True):
        if operator == "*":
            terms[-1] *= operand
        else:
            terms.append(operand if operator == "+" else -operand)
    return {
        "question": question,
        "answer": str(sum(terms)),
        "operands": list(operands),
        "operators": list(operators),
        "worked": worked(question),
    }


def _countdown_question(nums: list[int], target: int) -> str:
    return (
        f"Write an arithmetic expression that equals {target} and uses each of the numbers {nums} exactly once. "
        "You may add (+), subtract (-), multiply (*), divide (/) and set parentheses."
    )


def _random_expression(nums: Sequence[int], rng: random.Random) -> tuple[int, str]:
    """Join random pairs of values by random operators until one is left; every value is a positive integer."""
    values = [(number, str(number)) for number in nums]
    while len(values) > 1:
        (a, left), (b, right) = (values.pop(rng.randrange(len(values))) for _ in range(2))
        results = {"+": a + b, "*": a * b}
        if a > b:
            results["-"] = a - b
        if a % b == 0:
            results["/"] = a // b
        operator = rng.choice(list(results))
        values.append((results[operator], f"({left} {operator} {right})"))
    value, text = values[0]
    return value, text[1:-1]


def _distinct(
    draws: Iterable[Draw], key: Callable[[Draw], Hashable | None], section: ProblemsSection, patience: float = PATIENCE
) -> list[Draw]:
    """The first `section.size` draws with different keys; a key of None rejects the draw."""
    size = _size(section)
    found: dict[Hashable, Draw] = {}
    idle = 0
    for draw in draws:
        name = key(draw)
        idle += 1
        if name is not None and name not in found:
            found[name] = draw
            idle = 0
        if len(found) == size:
            return list(found.values())
        if idle >= patience:
            break
    raise BadInput(
        f"problems.size asks for {size} distinct {section.source} problems, and with these options only {len(found)} "
        "were found; lower it or widen problems.options."
    )


def read_options(model: type[Options], section: ProblemsSection) -> Options:
    """The options of a section, checked. Raises BadInput for an unknown one or a value that is not allowed."""
    try:
        return model.model_validate(section.options, strict=True)
    except ValidationError as failure:
        error = failure.errors()[0]
        name = str(error["loc"][0])
        if error["type"] == "extra_forbidden":
            hint = _nearest(name, [field.alias or key for key, field in model.model_fields.items()])
            raise BadInput(f"problems.options: {section.source} has no option {name!r}; {hint}") from None
        raise BadInput(f"problems.options.{name}: {error['msg']}, not {error['input']!r}; correct it.") from None


def _per_operand(options: ArithmeticOptions, name: str) -> list[int]:
    value: int | list[int] = getattr(options, name)
    values = [value] * options.operands if isinstance(value, int) else value
    if len(values) != options.operands:
        raise BadInput(
            f"problems.options.{name} has {len(values)} values for {options.operands} operands; give one each."
        )
    return values


def _check_order(small: str, least: int, large: str, most: int) -> None:
    if least > most:
        raise BadInput(f"problems.options.{small} is {least}, above {large} = {most}; swap or correct them.")


def _size(section: ProblemsSection) -> int:
    if section.size is None:
        raise BadInput(f"problems.size is missing: say how many {section.source} problems to make.")
    return section.size


def _nearest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}." if names else "it takes none."
