"""The three parts of the algorithm that may be functions of users: loss, advantage estimator, correction.

A recipe names them as it names rewards, `path/to/file.py:function` (docs/own-loss.md).
"""

from dataclasses import dataclass

from rewards.errors import BadInput
from rewards.named import is_named
from rl.base.errors import PlugInFailed
from rl.config.plug_ins import WHAT
from rl.config.recipe import AlgorithmSection
from rl.learner.advantages import Estimator, named_estimator
from rl.learner.correction import Correction, named_correction
from rl.learner.losses import Loss, named_loss
from rl.learner.trial import try_correction, try_estimator, try_loss
from rl.learner.users import (
    CORRECTION_GIVEN,
    ESTIMATOR_GIVEN,
    named_function,
    named_loss_function,
    users_correction,
    users_estimator,
    users_loss,
)


@dataclass(frozen=True)
class PlugIns:
    """The parts of the algorithm, each built in or a user's.

    Attributes:
        needs_all: whether completions with advantage 0 add to the loss, as they do to no built-in one.
    """

    loss: Loss
    estimator: Estimator
    correction: Correction
    needs_all: bool = False


def load_plug_ins(algorithm: AlgorithmSection) -> PlugIns:
    """Return the parts of an algorithm; those of users are imported and tried.

    Raises:
        BadInput: a file or a function is missing, takes other arguments, or fails its trial.
    """
    try:
        loss, needs_all = _load_loss(algorithm)
        return PlugIns(loss, _load_estimator(algorithm), _load_correction(algorithm), needs_all)
    except PlugInFailed as error:
        raise BadInput(f"{error} (tried on a few numbers); correct it") from error


def _load_loss(algorithm: AlgorithmSection) -> tuple[Loss, bool]:
    if not is_named(algorithm.loss_type):
        return named_loss(algorithm.loss_type), False
    named = named_loss_function(WHAT["loss_type"], algorithm.loss_type)
    return users_loss(named), try_loss(named, algorithm)


def _load_estimator(algorithm: AlgorithmSection) -> Estimator:
    if not is_named(algorithm.advantage_estimator):
        return named_estimator(algorithm.advantage_estimator)
    named = named_function(WHAT["advantage_estimator"], algorithm.advantage_estimator, ESTIMATOR_GIVEN)
    try_estimator(named, algorithm)
    return users_estimator(named)


def _load_correction(algorithm: AlgorithmSection) -> Correction:
    spec = algorithm.importance_sampling_correction
    if not is_named(spec):
        return named_correction(spec)
    named = named_function(WHAT["importance_sampling_correction"], spec, CORRECTION_GIVEN)
    try_correction(named, algorithm)
    return users_correction(named)
