"""The weights that an engine has to be told of: what learning may have changed, with adapters merged in.

What learner and engine share (`shared.py`) is handed over as it is. Any other adapter is merged out of place, W + s B A
in float32 in one pass over W, so the base weights are never touched and nothing drifts; such tensors are made one by
one while the engine takes them, so no second model lives at any time.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners import lora
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from rl.learner.lora import merged_matrix
from rl.learner.shared import shared_weights


@torch.no_grad()
def export(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name (that of the Hugging Face model) and value of every weight that may have changed, in the model's order.

    Of an adapted layer these are all its weights, merged, in float32 or as they are shared. The linear layers beside
    it in the same module come with it as they are, since engines fuse such neighbors (q, k and v; gate and up) into one
    matrix that can only be replaced whole. Of everything else, what learns. Parameters that layers share come once.

    Args:
        model: the causal language model, with peft's layers in place if it has an adapter.
    """
    wrapped = {name for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    # Two stacks of the same experts are adapted by one wrapper inside the other: the outer one merges both.
    adapted = {name for name in wrapped if name.removesuffix(".base_layer") not in wrapped - {name}}
    fused = {name.rpartition(".")[0] for name in adapted}  # modules that hold an adapted layer
    inside = tuple(f"{name}." for name in adapted)
    sent: set[str] = set()
    for name, module in model.named_modules():
        if name in adapted:
            yield from ((f"{name}.{suffix}", weight) for suffix, weight in merged(module))
        elif isinstance(module, nn.Linear) and name.rpartition(".")[0] in fused:
            for suffix, parameter in module.named_parameters(prefix=name):
                sent.add(suffix)
                yield suffix, parameter.detach()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name not in sent and not name.startswith(inside):
            yield name, parameter.detach()


def merged(layer: Any) -> Iterator[tuple[str, Tensor]]:
    """The weights of an adapted layer's base, by their names in it, with the active adapters merged in."""
    base = layer.get_base_layer()
    if shared := shared_weights(layer):
        yield from ((name, shared.get(name, parameter.detach())) for name, parameter in base.named_parameters())
        return
    if not is_plain(layer):
        whole = copy.deepcopy(layer).float()
        for wrapper in whole.modules():  # a wrapper merges its own stack alone
            if isinstance(wrapper, BaseTunerLayer):
                wrapper.merge()
        yield from ((name, parameter.detach()) for name, parameter in whole.get_base_layer().named_parameters())
        return
    [adapter] = layer.active_adapters
    yield "weight", merged_matrix(layer, adapter)
    if base.bias is not None:
        yield "bias", base.bias.detach().float()


def is_plain(layer: Any) -> bool:
    """Whether W + s B A with one adapter is all there is to merge: no DoRA or other variant, and W as [out, in]."""
    return (
        type(layer) is lora.Linear
        and type(layer.get_base_layer()) is nn.Linear
        and not layer.merged
        and not layer.fan_in_fan_out
        and len(layer.active_adapters) == 1
        and layer.active_adapters[0] in layer.lora_A
        and not layer.lora_variant
        and not any(layer.lora_bias.values())
    )
