"""Functions of users made into losses, advantage estimators and corrections: they are called, and checked each time."""

import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from rewards.errors import BadInput
from rewards.failures import is_failure, line_of
from rewards.named import load_named
from rewards.registry import accepted
from rl.base.errors import PlugInFailed
from rl.learner.advantages import Estimator, Scale
from rl.learner.correction import Correction, Weights
from rl.learner.losses import Loss, LossInput, LossOutput

LONGEST_SAID = 300  # characters of an exception in a sentence
ESTIMATOR_GIVEN = ("rewards", "valid", "scale")  # what a function may ask for, by the names of its parameters
CORRECTION_GIVEN = ("learner_logps", "engine_logps", "mask", "sequence", "cap", "floor")


@dataclass(frozen=True)
class Named:
    """A function of a user's: what it is to be, what the recipe calls it, and how it fails."""

    what: str
    spec: str
    function: Callable[..., Any]

    def call(self, *arguments: Any, **named: Any) -> Any:
        """Call it. Raises PlugInFailed, with its line, if it raises."""
        try:
            return self.function(*arguments, **named)
        except BaseException as error:  # the author's own code ran: it may raise anything, SystemExit among it
            if not is_failure(error):
                raise
            said = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_SAID].rstrip(": ")
            trace = "".join(traceback.format_exception(error))
            raise PlugInFailed(self.what, self.spec, f"raised {said}", self._line_of(error), trace) from error

    def refuse(self, said: str) -> NoReturn:
        """Raise PlugInFailed about what it returned, with the line at which it begins."""
        code = getattr(self.function, "__code__", None)
        begins = line_of([(code.co_filename, code.co_firstlineno)]) if code else ""
        raise PlugInFailed(self.what, self.spec, said, begins)

    def check(self, value: Any, like: Tensor, size: str, where: Tensor | None = None) -> None:
        """Refuse what is no tensor in the shape of `like`, or not finite; `where`: numbers elsewhere do not count."""
        if not isinstance(value, Tensor):
            self.refuse(f"returned a {type(value).__name__}, and must return a tensor {size}")
        if value.shape != like.shape:
            self.refuse(f"returned a tensor {list(value.shape)}, and must return one {size}, here {list(like.shape)}")
        if not bool(torch.isfinite(value if where is None else value[where]).all()):
            self.refuse("returned a number that is NaN or infinite")

    def _line_of(self, error: BaseException) -> str:
        """The innermost line in the function's own file; in anybody's if there is none."""
        steps = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
        code = getattr(self.function, "__code__", None)
        return line_of([step for step in steps if code and step[0] == code.co_filename] or steps)


def named_loss_function(what: str, spec: str) -> Named:
    """Import a loss, which takes one argument. Raises BadInput."""
    named, signature = _imported(what, spec)
    try:
        signature.bind(None)
    except TypeError:
        raise BadInput(
            f"the {what} {spec!r} has the parameters {signature}, and is called with one, a LossInput: write "
            f"{spec.rpartition(':')[2]}(x)"
        ) from None
    return named


def named_function(what: str, spec: str, given: Sequence[str]) -> Named:
    """Import a function that asks for some of `given` by the names of its parameters. Raises BadInput."""
    named, signature = _imported(what, spec)
    for parameter in signature.parameters.values():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        known = parameter.name in given and parameter.kind is not parameter.POSITIONAL_ONLY
        if not known and not several and parameter.default is parameter.empty:
            raise BadInput(
                f"the {what} {spec!r} asks for {parameter.name!r}, and may ask for {', '.join(given[:-1])} and "
                f"{given[-1]} by these names: rename it, or give it a default"
            )
    return named


def _imported(what: str, spec: str) -> tuple[Named, inspect.Signature]:
    function = load_named(spec, what)
    try:
        return Named(what, spec, function), inspect.signature(function)
    except (TypeError, ValueError):
        raise BadInput(
            f"the {what} {spec!r} is a {type(function).__name__}, and must be a function of Python's: define one"
        ) from None


def users_loss(named: Named) -> Loss:
    """Make a loss of a user's function, which returns a tensor [n] or a `LossOutput`."""

    def loss(x: LossInput) -> LossOutput:
        if not len(x.logps):
            return LossOutput(x.logps)
        returned = named.call(x)
        output = returned if isinstance(returned, LossOutput) else LossOutput(returned)
        named.check(output.losses, x.logps, "[n], a number for each token")
        for value in (*([] if output.weights is None else [output.weights]), *output.stats.values()):
            named.check(value, x.logps, "[n] in each part of its LossOutput")
        if output.losses.requires_grad or not x.logps.requires_grad:
            return output
        return LossOutput(output.losses + 0 * x.logps, output.weights, output.stats)  # no token here has a gradient

    return loss


def users_estimator(named: Named, ungraded: float = 0.0) -> Estimator:
    """Make an advantage estimator of a user's function; an ungraded completion has advantage 0 in any case.

    `ungraded` stands in the place of the rewards that do not exist.
    """

    def advantages(rewards: Tensor, valid: Tensor, scale: Scale) -> Tensor:
        given = {"rewards": torch.where(valid, rewards, ungraded), "valid": valid.clone(), "scale": scale}
        returned = named.call(**accepted(named.function, given))
        named.check(returned, rewards, "[P, G]", where=valid)
        return torch.where(valid, returned.detach().to(rewards.dtype), 0)

    return advantages


def users_correction(named: Named) -> Correction:
    """Make a correction of a user's function; its weights are constants, 1 where a token does not count."""

    def weights(
        learner_logps: Tensor,
        engine_logps: Tensor,
        mask: Tensor,
        sequence: Tensor,
        cap: float | None,
        floor: float | None,
    ) -> Weights:
        given: dict[str, Any] = {"learner_logps": learner_logps, "engine_logps": engine_logps, "mask": mask}
        given = {name: tensor.clone() for name, tensor in (given | {"sequence": sequence}).items()}
        with torch.no_grad():
            returned = named.call(**accepted(named.function, given | {"cap": cap, "floor": floor}))
        named.check(returned, learner_logps, "[N]", where=mask)
        found = torch.where(mask, returned.to(learner_logps.dtype), 1)
        if bool((found < 0).any()):
            named.refuse("returned a negative weight")
        never = torch.zeros_like(mask)
        return Weights(found, never, never)

    return weights
