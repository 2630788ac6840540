"""The weights that learner and engine share: W' = round(W + s B A), made once an update.

An engine holds merged weights, rounded to its precision. A learner that adds its adapter to the base unrounded is
another policy than the one that sampled: in 16 bits the rounding is as large as what a step of learning changes. So
each adapted matrix is merged here in float32, out of place, and rounded to the engine's precision. The learner's
forward and backward pass compute with the result, and `export.py` hands over the same tensors. The base is never
touched: the reference of the KL term, and whatever else switches the adapter off, compute with it. A and B are the
float32 masters, as in ordinary mixed precision (arXiv:1710.03740), and the gradient passes straight through the
rounding (arXiv:1308.3432).

What it costs: a second copy of the adapted matrices, in the precision that the learner computes in.
"""

from typing import Any

import torch
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from rl.learner.lora import FusedForward, ends, merged_matrix


class SharedStack(torch.autograd.Function):
    """W' [E, rows, columns] as it is; of the factors L [E, rows, r] and R [E, r, columns] of s L R the gradients."""

    @staticmethod
    def forward(ctx: Any, shared: Tensor, left: Tensor, right: Tensor, scale: float) -> Tensor:
        """Return W'."""
        ctx.save_for_backward(left, right)
        ctx.scale = scale
        return shared.view_as(shared)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of L and R, as if W' had not been rounded."""
        left, right = ctx.saved_tensors
        of_left = grad @ right.to(grad.dtype).mT
        of_right = left.to(grad.dtype).mT @ grad
        return None, of_left.mul_(ctx.scale).to(left.dtype), of_right.mul_(ctx.scale).to(right.dtype), None


class StackForward:
    """The forward pass of a peft wrapper around one parameter of a module; peft's own where it is switched off.

    Attributes:
        shared: W', the parameter with its adapter merged in, if the module computes with it.
    """

    def __init__(self, layer: ParamWrapper) -> None:
        self.layer = layer
        self.otherwise = layer.forward
        self.name = next(iter(layer.lora_A))
        self.shared: Tensor | None = None

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return L and R, in float32 and with gradients, of which s L R is added to the parameter."""
        layer = self.layer
        a, b = ends(layer, self.name)  # [E r, in], [out, r E]
        if layer.get_param().dim() == 2:
            return b, a
        a = a.unflatten(0, (layer.num_experts, -1))  # [E, r, in]
        b = b.unflatten(1, (-1, layer.num_experts)).permute(2, 0, 1)  # [E, out, r]
        return (b, a) if layer._did_swap_in_out_features else (a.mT, b.mT)

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Compute the wrapped module, whose parameter is W' meanwhile."""
        layer = self.layer
        if self.shared is None or layer.disable_adapters or layer.merged or layer.active_adapters != [self.name]:
            return self.otherwise(x, *args, **kwargs)
        owner = layer.get_base_layer()
        owner.__dict__[layer.parameter_name] = SharedStack.apply(
            self.shared, *self.factors(), layer.scaling[self.name]
        )  # found before the parameter of that name
        try:
            return layer.base_layer(x, *args, **kwargs)
        finally:
            del owner.__dict__[layer.parameter_name]


Forward = FusedForward | StackForward


class SharedWeights:
    """W' of every adapted layer of `model` that `fuse_adapters` has taken, and of stacked experts.

    Args:
        dtype: what the engine holds its weights in. W' is rounded to it, and kept in the base's own precision.

    Attributes:
        left: adapted layers that are more than W + s B A (dropout, DoRA, a quantized base): peft computes them.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        for module in model.modules():
            if isinstance(module, ParamWrapper) and len(module.lora_A) == 1:
                setattr(module, "forward", StackForward(module))  # noqa: B010  (to mypy a method is no attribute)
        self._forwards = [found for module in model.modules() if (found := forward_of(module))]
        self.left = sum(isinstance(module, BaseTunerLayer) for module in model.modules()) - len(self._forwards)
        self._dtype = dtype
        self._made_from: dict[Forward, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._forwards)

    def forget(self) -> None:
        """Merge everything anew the next time: weights were changed in a way that tensors may not have counted.

        torch's own optimizers count their changes; kernels of others, such as 8-bit AdamW, may not.
        """
        self._made_from.clear()

    @torch.no_grad()
    def refresh(self) -> None:
        """Merge anew what has changed in place, as tensors count it, since the last time."""
        for forward in self._forwards:
            a, b = ends(forward.layer, forward.name)
            versions = (a._version, b._version)
            if self._made_from.get(forward) == versions:
                continue
            merged = merged_of(forward).to(self._dtype)
            if forward.shared is None:
                forward.shared = merged.to(base_of(forward).dtype)
            else:
                forward.shared.copy_(merged)
            self._made_from[forward] = versions


def forward_of(module: nn.Module) -> Forward | None:
    """Return the forward pass that this module or `lora.py` gave to a layer."""
    found = module.__dict__.get("forward")
    return found if isinstance(found, FusedForward | StackForward) else None


def shared_weights(module: nn.Module) -> dict[str, Tensor] | None:
    """Return W' by the name of the parameter of the base layer that it stands for; None where one is not shared."""
    found = {}
    while (forward := forward_of(module)) is not None:
        if forward.shared is None:
            return None
        found[parameter_name(forward)] = forward.shared
        module = forward.layer.base_layer
    return found or None


def parameter_name(forward: Forward) -> str:
    """Return the name of the parameter that is adapted, in its own module."""
    return forward.layer.parameter_name if isinstance(forward, StackForward) else "weight"


def base_of(forward: Forward) -> Tensor:
    """Return the parameter that is adapted, as it was before."""
    base: Tensor = forward.layer.get_base_layer().get_parameter(parameter_name(forward))
    return base


def merged_of(forward: Forward) -> Tensor:
    """Return W + s B A in float32."""
    if isinstance(forward, FusedForward):
        return merged_matrix(forward.layer, forward.name)
    base, (left, right) = base_of(forward), forward.factors()
    add = torch.addmm if base.dim() == 2 else torch.baddbmm
    return add(base.float(), left.float(), right.float(), alpha=forward.layer.scaling[forward.name])
