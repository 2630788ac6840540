"""LoRA layers (arXiv:2106.09685) computed in fewer passes over memory than peft's.

A layer computes y = x W'.T, where W' = round(W + s B A) is a matrix that it shares with the engine (`shared.py`), or,
without such a matrix, y = x W.T + s (x A.T) B.T. The gradients of A and B are the same in both: the rounding passes
them through as they are. Both are written out, so that autograd keeps no more than they need, and what can be added in
place is. Adapters are kept as peft made them, so saving, loading and switching off work as before.

Deviation from peft: with a base in 16 bits the adapter's products are computed in 16 bits, too (its weights and
gradients stay float32).

Left as they are: layers with dropout, DoRA, several adapters, or a base that is not a plain linear layer.
"""

from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLayer
from peft.tuners.lora.layer import ParamWrapper
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


class SharedProduct(torch.autograd.Function):
    """y [..., out] of x [..., in], W' [out, in] and bias [out] or None; A [r, in], B [out, r] and s give gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shared: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        """Compute x W'.T + bias. W' and bias get no gradient."""
        ctx.save_for_backward(x, shared, a, b)
        ctx.scale = scale
        return nn.functional.linear(x, shared, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, A and B, as if W' had not been rounded."""
        x, shared, a, b = ctx.saved_tensors
        flat, g = x.flatten(0, -2), grad.flatten(0, -2)  # [n, in], [n, out]
        of_a = ((g @ b.to(x.dtype)).T @ flat).mul_(ctx.scale)
        of_b = (g.T @ (flat @ a.to(x.dtype).T)).mul_(ctx.scale)
        of_x = (g @ shared).view(x.shape) if ctx.needs_input_grad[0] else None
        return of_x, None, None, of_a.float(), of_b.float(), None


def fuse_adapters(model: nn.Module) -> int:
    """Let every plain LoRA layer of `model` compute by this module; return how many there were."""
    layers = [module for module in model.modules() if isinstance(module, LoraLayer) and is_plain(module)]
    for layer in layers:
        setattr(layer, "forward", FusedForward(layer))  # noqa: B010  (to mypy a method is no attribute)
    return len(layers)


def ends(layer: LoraLayer | ParamWrapper, adapter: str) -> tuple[Tensor, Tensor]:
    """Return A [r, in] and B [out, r]; of stacked matrices, those of all experts behind each other."""
    a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    assert isinstance(a, Tensor) and isinstance(b, Tensor)
    return a, b


def merged_matrix(layer: LoraLayer, adapter: str) -> Tensor:
    """Return W + s B A [out, in] of a plain layer, in float32 and in one pass over W."""
    a, b = ends(layer, adapter)
    base = layer.get_base_layer().weight
    assert isinstance(base, Tensor)
    return torch.addmm(base.float(), b.float(), a.float(), alpha=layer.scaling[adapter])


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
    """The forward pass of one layer; peft's own where the adapter is switched off or merged.

    Attributes:
        shared: W' [out, in], if the layer computes with it.
    """

    def __init__(self, layer: LoraLayer) -> None:
        self.layer = layer
        self.otherwise = layer.forward
        self.name = next(iter(layer.lora_A))
        self.shared: Tensor | None = None

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """y [..., out] of x [..., in]."""
        layer, name = self.layer, self.name
        if layer.disable_adapters or layer.merged or layer.active_adapters != [name]:
            return self.otherwise(x, *args, **kwargs)
        base, (a, b) = layer.get_base_layer(), ends(layer, name)
        product, weight = (LoraProduct, base.weight) if self.shared is None else (SharedProduct, self.shared)
        out: Tensor = product.apply(x, weight, base.bias, a, b, layer.scaling[name])
        return out
