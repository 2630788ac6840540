"""The fuse: it stops a run whose engine and learner do not have the same weights.

How wide the gap of a healthy run is depends on the precision, the model and the temperature. So the gap of the first
step, whose weights are known to be equal because there was no update yet, is what later steps are compared with.

A mean over all tokens also depends on how sure the policy is: with log p = z / T - log sum exp(z / T), an error of e in
the logit z moves log p by (1 - p) e / T. What is compared is therefore the error of a logit that explains the
difference, T |d| / (1 - p), averaged over the tokens that are not nearly sure. For SmolLM2 in bfloat16 it is 0.10 to
0.12 at temperatures from 0.5 to 1.5. In five runs of 30 steps, which took the entropy from 1.2 to between 0.4 and 0.2
nats, it was between 0.09 and 0.33, and grew where the policy became very sure; the mean of |d| went down to a quarter.
"""

import math
from dataclasses import dataclass

import torch

SURE = 0.98  # probability from which a token says little about its logit
ENOUGH = 64  # tokens that a first gap must have to be compared with
TIMES = 2.5  # by how much the error may exceed the first step's
DEVIATIONS = 3.0  # what chance is allowed on top of that; the errors of tokens spread about as wide as their mean
FLOOR = 1e-3  # nats; a mean |d| up to this is healthy whatever the first was

# Limits of the mean |d|, nats, for a first step, by the coarser of both precisions; the packaged SmolLM2 has 0.00001,
# 0.003 and 0.04. A wrong temperature or other weights give more.
ABSOLUTE = {torch.float32: 0.02, torch.float16: 0.05, torch.bfloat16: 0.1}
APART = 0.1  # where the learner is known to compute otherwise than the engine: dropout, DoRA
STALE = 1.0  # where an update lies between the weights of both


@dataclass(frozen=True)
class LogitError:
    """The mean error of a logit that explains the differences of `tokens` tokens that are not nearly sure."""

    mean: float
    tokens: int


def logit_error(learner_logps: torch.Tensor, engine_logps: torch.Tensor, temperature: float) -> LogitError:
    """Measure it on the log-probabilities [N] of a step's tokens.

    A token is left out if both sides give it `SURE` or more. Differences that are not finite are for the caller.
    """
    learner, engine = learner_logps.detach().double(), engine_logps.detach().double()
    doubt = -torch.expm1(torch.minimum(learner, engine))  # [N], 1 - p
    counted = doubt > 1 - SURE  # [N]
    error = temperature * (learner - engine).abs()[counted] / doubt[counted]  # [n]
    return LogitError(error.mean().item() if len(error) else 0.0, len(error))


def is_reference(error: LogitError) -> bool:
    """Whether later steps can be compared with this error."""
    return error.tokens >= ENOUGH and math.isfinite(error.mean)


def absolute_limit(learner: torch.dtype, engine: torch.dtype, apart: bool, stale: bool) -> float:
    """Return the limit of the mean |d| of a step that is compared with no other.

    Args:
        learner, engine: the precisions of both sides.
        apart: the learner is known to compute otherwise than the engine (`APART`).
        stale: the engine sampled with the weights of an earlier step (`STALE`).
    """
    if stale:
        return STALE
    return APART if apart else max(ABSOLUTE[learner], ABSOLUTE[engine])


def relative_limit(mean: float, error: LogitError, first: LogitError, absolute: float) -> float:
    """Return the mean |d| that the step's error would have at its limit; `absolute` where nothing can be compared.

    Args:
        mean, error: the mean |d| and the logit's error of this step.
        first: the error of the first step.
    """
    if not math.isfinite(mean) or not error.mean:
        return absolute
    chance = DEVIATIONS * math.sqrt(1 / first.tokens + 1 / error.tokens)
    return max(FLOOR, mean * TIMES * (1 + chance) * first.mean / error.mean)
