"""LoRA layers computed in fewer passes over memory than peft's.

peft scales and adds the adapter's output in passes of their own and lets autograd keep what they made. Here
y = x W.T + s (x A.T) B.T and its gradients are written out, and what can be added in place is. Adapters are kept as
peft made them, so saving, loading and switching off work as before. Deviation from peft: with a base in bfloat16 the
adapter is computed in bfloat16, too (its weights and gradients stay float32).

Left as they are: layers with dropout, DoRA, several adapters, or a base that is not a plain linear layer.
"""

from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLayer
from torch import Tensor, nn


class LoraProduct(torch.autograd.Function):
    """y [..., out] of x [..., in], W [out, in], bias [out] or None, A [r, in], B [out, r] and the scale s."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        """W and bias get no gradient."""
        flat = x.flatten(0, -2)  # [n, in]
        a, b = a.to(x.dtype), b.to(x.dtype)
        inner = flat @ a.T  # [n, r]
        y = flat @ weight.T if bias is None else torch.addmm(bias, flat, weight.T)  # [n, out]
        y.addmm_(inner, b.T, alpha=scale)
        ctx.save_for_backward(flat, weight, a, b, inner)
        ctx.scale, ctx.shape = scale, x.shape
        return y.unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, A and B."""
        flat, weight, a, b, inner = ctx.saved_tensors
        g = grad.flatten(0, -2)  # [n, out]
        g_inner = (g @ b).mul_(ctx.scale)  # [n, r]
        of_a, of_b = g_inner.T @ flat, (g.T @ inner).mul_(ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (g @ weight).addmm_(g_inner, a).view(ctx.shape)
        return of_x, None, None, of_a.float(), of_b.float(), None


def fuse_adapters(model: nn.Module) -> int:
    """Let every plain LoRA layer of `model` compute by `LoraProduct`; returns how many there were."""
    layers = [module for module in model.modules() if isinstance(module, LoraLayer) and is_plain(module)]
    for layer in layers:
        setattr(layer, "forward", FusedForward(layer))  # noqa: B010  (to mypy a method is no attribute)
    return len(layers)


def is_plain(layer: LoraLayer) -> bool:
    """Whether y = x W.T + bias + s (x A.T) B.T is all that the layer computes."""
    base = layer.get_base_layer()
    return (
        type(base) is nn.Linear
        and not base.weight.requires_grad
        and len(layer.lora_A) == 1
        and not any(layer.use_dora.values())
        and not any(layer.lora_bias.values())
        and all(isinstance(dropout, nn.Identity) for dropout in layer.lora_dropout.values())
    )


class FusedForward:
    """The forward pass of one layer; peft's own where the adapter is switched off or merged."""

    def __init__(self, layer: LoraLayer) -> None:
        self.layer = layer
        self.otherwise = layer.forward
        self.name = next(iter(layer.lora_A))

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """y [..., out] of x [..., in]."""
        layer, name = self.layer, self.name
        if layer.disable_adapters or layer.merged or layer.active_adapters != [name]:
            return self.otherwise(x, *args, **kwargs)
        base, a, b = layer.get_base_layer(), layer.lora_A[name].weight, layer.lora_B[name].weight
        out: Tensor = LoraProduct.apply(x, base.weight, base.bias, a, b, layer.scaling[name])
        return out
