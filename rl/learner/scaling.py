"""The update of the weights, with the dynamic loss scaling that float16 needs (arXiv:1710.03740).

The smallest number of float16 is 6e-8, so a small gradient on its way back becomes zero, and the largest is 65,504, so
a large one becomes infinite. The loss is therefore multiplied by a scale before the backward pass, and the gradients of
the weights, which are float32, are divided by it afterwards. Scales are powers of two, so nothing is rounded. An update
whose gradient is not finite is skipped, and the scale is halved. Gradients are added over the ranks before they are
judged, so all ranks skip alike.
"""

import math

import torch

from rl.base.errors import RunStopped
from rl.learner.policy import Policy

LEAST_SCALE = 64.0  # torch begins with 65,536: eleven updates in a row were skipped


def build_scaler(policy: Policy) -> torch.amp.GradScaler:
    """Return torch's loss scaler; it changes nothing where the policy does not compute in float16."""
    return torch.amp.GradScaler(policy.device.type, enabled=policy.compute_dtype == torch.float16)


def update_weights(
    policy: Policy, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, max_grad_norm: float
) -> dict[str, float]:
    """Take one step of the optimizer along the policy's gradients, and return the norm that they had before clipping.

    Args:
        policy: has the gradient of the scaled loss, added over all ranks.
        optimizer: of its trainable weights.
        scaler: has scaled the loss.
        max_grad_norm: what the norm is clipped to; 0: it is not clipped.

    Returns:
        `grad_norm`, and for float16 `grad_scale` and `skipped` (1: the gradient overflowed, and the step was not
        taken; its norm is then NaN).

    Raises:
        RunStopped: the gradient is not finite, and no smaller loss scale can be hoped to change that.
    """
    scale = scaler.get_scale()
    scaler.unscale_(optimizer)
    norm = float(torch.nn.utils.clip_grad_norm_(policy.trainable.values(), max_grad_norm or math.inf))
    if math.isfinite(norm) or scaler.is_enabled():
        scaler.step(optimizer)
        scaler.update()
        policy.weights_changed()
    else:
        raise RunStopped(
            f"the gradient is {norm}, so the step was not taken; lower optimizer.learning_rate or use "
            "model.dtype=float32, and resume from the last checkpoint"
        )
    if not scaler.is_enabled():
        return {"grad_norm": norm}
    skipped = not math.isfinite(norm)
    if skipped and scaler.get_scale() < LEAST_SCALE:
        raise RunStopped(
            f"the gradient overflows float16 even at a loss scale of {scale:g}, and no smaller one is tried; use "
            "model.dtype=bfloat16 or float32, and begin a new run (a run keeps its precision)"
        )
    return {"grad_norm": math.nan if skipped else norm, "grad_scale": scale, "skipped": float(skipped)}
