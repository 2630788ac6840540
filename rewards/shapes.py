"""The shapes that a user's reward may have, made into the one that grading calls: a synchronous function of a batch.

Told apart by the names of the parameters:

- `f(completion, answer, ...)`: per sample, called once a completion. Parameters without default are columns, of which
  it gets that completion's value; those with default are options, passed as they are. `prompt`, `completion_ids` and
  `solved` are that completion's too, and so is what it logs: `log_extra(name, value)`.
- `f(completions, answer, ...)`: a batch, TRL's signature.
- a class whose `__call__` is one of these. What its constructor takes are options. The instance is made at the first
  grading, then its `setup()` is called, if it has one; `close()` when the adapter is closed or the process ends.

Each may be `async def`. A result is a number or bool (Python's, numpy's, torch's), None (ungradable), or a `Verdict`.

Something that says `conversational = True`, and everything of `trl.rewards`, gets its completions and prompts as lists
of messages, whichever way they came.
"""

import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from rewards.coroutines import finished, gathered, is_async
from rewards.errors import BadInput
from rewards.logs import SampleLogs

RewardFunction = Callable[..., Any]

BATCH = frozenset({"completions", "prompts", "completion_ids"})  # every trainer gives these
OFFERED = frozenset({"grader_pool", "sandbox", "solved", "log_extra", "log_metric", "trainer_state"})  # some give these
SAMPLE_NAMES = {"completions": "completion", "prompts": "prompt"}  # what a per-sample function calls its own
BATCH_NAMES = {single: several for several, single in SAMPLE_NAMES.items()}
NO_ROW = -1  # what `on_row` notes between two completions
NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class _Required:
    """Stands where a constructor's parameter has no default: an option that must be given."""

    def __repr__(self) -> str:
        return "<required>"


REQUIRED = _Required()


@dataclass(frozen=True)
class Shape:
    """How a user's callable is called.

    Attributes:
        spec: what the user called it, for messages.
        per_sample: once a completion, not once a batch.
        conversational: completions and prompts are lists of messages.
        parameters: the user's parameters, under the names that they have for a batch.
    """

    spec: str
    per_sample: bool
    conversational: bool
    parameters: tuple[Parameter, ...]

    @property
    def options(self) -> dict[str, Any]:
        """The parameters that a recipe may set, with their defaults."""
        ours = BATCH | OFFERED
        return {p.name: p.default for p in self.parameters if p.default is not p.empty and p.name not in ours}


def as_batch(found: Any, spec: str) -> RewardFunction:
    """A synchronous `f(completions, **columns) -> list` that calls what the user wrote.

    `inspect.signature` of it tells the columns and options: names without and with default; an option that a class
    cannot do without has the default `REQUIRED`. If it has something to close, it has an attribute `close`.

    Raises:
        BadInput: it has none of the shapes, or more than one.
    """
    if inspect.isclass(found):
        if not any("__call__" in vars(base) for base in found.__mro__):
            raise BadInput(f"the reward class {spec!r} cannot be called; define __call__(self, completion, ...) in it")
        return _kept(found, _shape(found, _parameters(found.__call__, spec)[1:], spec), _constructor(found, spec))
    shape = _shape(found, _parameters(found, spec), spec) if callable(found) else None
    if shape is None:
        raise BadInput(
            f"the reward {spec!r} is of the type {type(found).__name__}, no function of `completions` nor a class; "
            "define it as f(completions, **columns) or f(completion, **columns)"
        )
    if callable(getattr(found, "setup", None)) or callable(getattr(found, "close", None)):
        return _kept(lambda: found, shape, [], found)

    def batch(*args: Any, **given: Any) -> Any:
        return _grades(found, shape, bound(args, given))

    bound = _signed(batch, found, shape, [])
    return batch


def _parameters(function: Any, spec: str) -> list[Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"the parameters of the reward {spec!r} cannot be read ({error}); wrap it in a def of a file of yours"
        ) from error


def _shape(found: Any, parameters: Sequence[Parameter], spec: str) -> Shape:
    """The shape of a callable that has these parameters. Raises BadInput where they do not tell."""
    unnamed = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    if unnamed:
        raise BadInput(f"the reward {spec!r} takes {unnamed[0]!r} by position only; remove the / from its parameters")
    names = {p.name for p in parameters if p.kind in NAMED}
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    per_sample = "completion" in names
    if per_sample and names & {"completions", "prompts"}:
        other = sorted(names & {"completions", "prompts"})[0]
        raise BadInput(
            f"the reward {spec!r} takes both `completion`, so it grades one, and `{other}`, which is of a batch; "
            "keep to f(completion, prompt, ...) or to f(completions, prompts, ...)"
        )
    if not per_sample and "completions" not in names and not any_name:
        raise BadInput(
            f"the reward {spec!r} is no function of `completions`; "
            "define it as f(completions, **columns), or as f(completion, **columns) to grade one at a time"
        )
    conversational = getattr(found, "conversational", False) is True or _is_trls(found)
    if per_sample:
        parameters = [p.replace(name=BATCH_NAMES.get(p.name, p.name)) for p in parameters]
    return Shape(spec, per_sample, conversational, tuple(parameters))


def _is_trls(found: Any) -> bool:
    while isinstance(found, functools.partial):
        found = found.func
    return f"{getattr(found, '__module__', '')}.".startswith("trl.rewards.")


def _constructor(found: type, spec: str) -> list[Parameter]:
    """What the constructor takes, each as an option."""
    return [
        p.replace(kind=Parameter.KEYWORD_ONLY, default=REQUIRED if p.default is p.empty else p.default)
        for p in _parameters(found, spec)
        if p.kind in NAMED
    ]


def _signed(
    batch: RewardFunction, found: Any, shape: Shape, options: Sequence[Parameter]
) -> Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]:
    """Give the adapter the user's name, documentation and honest signature; returns what binds arguments to it."""
    functools.update_wrapper(batch, found, updated=())
    batch.__name__ = getattr(found, "__name__", type(found).__name__)
    last = [p for p in shape.parameters if p.kind is p.VAR_KEYWORD]
    first = [p for p in shape.parameters if p.kind is not p.VAR_KEYWORD]
    signature = inspect.Signature([*first, *options, *last])
    batch.__signature__ = signature  # type: ignore[attr-defined]  # functions take attributes
    rest = last[0].name if last else ""

    def bound(args: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any]:
        arguments = dict(signature.bind(*args, **given).arguments)
        return arguments | arguments.pop(rest, {})

    return bound


def _kept(make: Callable[..., Any], shape: Shape, options: Sequence[Parameter], found: Any = None) -> RewardFunction:
    """The adapter of what is set up before the first batch and closed after the last."""
    clash = {p.name for p in options} & {p.name for p in shape.parameters}
    if clash:
        raise BadInput(
            f"the reward {shape.spec!r} takes {sorted(clash)[0]!r} in __init__ and in __call__; rename one of them"
        )
    instance = _Instance(make, shape.spec)
    names = [p.name for p in options]

    def batch(*args: Any, **given: Any) -> Any:
        arguments = bound(args, given)
        constructor = {name: arguments.pop(name) for name in names if name in arguments}
        missing = [p.name for p in options if p.default is REQUIRED and p.name not in constructor]
        if missing:
            raise BadInput(
                f"the reward {shape.spec!r} cannot be made without {missing[0]!r}; give it in rewards.options"
            )
        return _grades(instance.ready(constructor), shape, arguments)

    bound = _signed(batch, make if found is None else found, shape, options)
    batch.close = instance.close  # type: ignore[attr-defined]  # functions take attributes
    return batch


class _Instance:
    """The user's object between batches: made and set up when first asked for, and anew for other options."""

    def __init__(self, make: Callable[..., Any], spec: str) -> None:
        self._make, self._spec = make, spec
        self._lock = threading.Lock()
        self._options: dict[str, Any] = {}
        self._reward: Any = None
        self._closing: weakref.finalize[..., Any] | None = None

    def ready(self, options: dict[str, Any]) -> Any:
        with self._lock:
            if self._closing is None or options != self._options:
                self._end()
                reward = self._make(**options)
                finished(getattr(reward, "setup", lambda: None)())
                self._reward, self._options = reward, options
                self._closing = weakref.finalize(self, _close, reward)  # also when the process ends
            return self._reward

    def close(self) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._closing is not None:
            self._closing()
            self._closing = self._reward = None


def _close(reward: Any) -> None:
    finished(getattr(reward, "close", lambda: None)())


def _grades(function: Any, shape: Shape, given: dict[str, Any]) -> Any:
    """What the user's callable says of a batch."""
    if shape.conversational:
        given = given | {
            name: _messages(given[name], role)
            for name, role in (("completions", "assistant"), ("prompts", "user"))
            if name in given
        }
    if not shape.per_sample:
        result = finished(function(**given))
        # What is no list, and what has no order, is refused by who asked.
        return list(result) if hasattr(result, "__iter__") and not isinstance(result, Mapping | Set) else result
    calls, logs = _calls(shape, given), None
    if "log_extra" in {p.name for p in shape.parameters} and given.get("log_extra") is not None:
        logs = SampleLogs(len(calls), given["log_extra"])
        calls = [call | {"log_extra": logs.of(place)} for place, call in enumerate(calls)]
    if is_async(function):
        results = gathered(function, calls)
    else:
        results = [_graded(function, call, row) for row, call in enumerate(calls)]
    if logs is not None:
        logs.hand_on()
    return results


def on_row(note: Callable[[int], None]) -> None:
    """Let `note` get the number of each completion that a function grades by itself, and `NO_ROW` after it."""
    global _note
    _note = note


def _note_nothing(row: int) -> None:
    """Note nothing: what a function raises tells the row."""


_note: Callable[[int], None] = _note_nothing


def _graded(function: Any, call: dict[str, Any], row_of_batch: int) -> Any:
    """What a function says of one completion; `rewards.failures` reads the row where it raises."""
    _note(row_of_batch)
    try:
        return function(**call)
    finally:
        _note(NO_ROW)


def _calls(shape: Shape, given: dict[str, Any]) -> list[dict[str, Any]]:
    """The arguments of a per-sample function for each completion of a batch."""
    named = {p.name for p in shape.parameters}
    whole = {name: value for name, value in given.items() if name in shape.options}
    for name, value in whole.items():
        default = shape.options[name]
        if isinstance(value, list) and not isinstance(default, list) and len(value) == len(given["completions"]):
            raise BadInput(
                f"the reward {shape.spec!r} got a list for {name!r}, one value a completion: if the problems have "
                f"such a column, give {name!r} no default in the function; if it is an option, rename it"
            )
    whole |= {name: given[name] for name in given.keys() & named & OFFERED - {"solved"}}
    not_columns = OFFERED | BATCH_NAMES.keys()  # a data set may have a `completion` too
    columns = {
        SAMPLE_NAMES.get(name, name): values
        for name, values in given.items()
        if name not in whole and (name in named or name not in not_columns) and values is not None
    }
    return [dict(zip(columns, row, strict=True)) | whole for row in zip(*columns.values(), strict=True)]


def _messages(texts: Sequence[Any], role: str) -> list[Any]:
    return [[{"role": role, "content": text}] if isinstance(text, str) else text for text in texts]
