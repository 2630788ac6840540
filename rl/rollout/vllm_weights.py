"""New weights for the linear layers of a running vLLM model on a CPU, by the shortest way.

vLLM's CPU build keeps linear layers in a packed form, made from the matrix in one pass. `reload_weights` gets there by
three copies and a walk over all modules. Here the parts of a layer are put together once and packed. Only the layers
that Llama and its relatives name alike are taken, since under these names vLLM holds what Hugging Face holds, row by
row; whatever else comes is handed back for `reload_weights`. Experts of a mixture are put in directly, too:
`reload_weights` does not pack them again, and the engine would go on with what is no weight at all.
"""

from collections.abc import Iterable
from typing import Any

import torch

# Layers of vLLM and the layers whose rows they hold, in this order (without tensor parallelism).
LINEAR_LAYERS = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "o_proj": ("o_proj",),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "down_proj": ("down_proj",),
}
STACKS = {"gate_up_proj": "w13_weight", "down_proj": "w2_weight"}  # Hugging Face's experts, and vLLM's
EXPERTS = 3  # dimensions of such a stack: experts, rows, columns
HOLDER = {part: layer for layer, parts in LINEAR_LAYERS.items() for part in parts}


def replace_linear_layers(model: Any, weights: Iterable[tuple[str, torch.Tensor]]) -> list[tuple[str, torch.Tensor]]:
    """Put the weights of plain linear layers into vLLM's `model`, as they come; returns those of other layers.

    For `LLM.apply_model`, in this process.

    Args:
        model: vLLM's model.
        weights: Hugging Face names and full tensors.

    Raises:
        ValueError: a part of a fused layer did not come, or has another shape.
    """
    rest = []
    stacks: dict[str, dict[str, torch.Tensor]] = {}  # by experts of vLLM: their matrices
    waiting: dict[tuple[str, str], dict[str, torch.Tensor]] = {}  # by layer of vLLM and `weight` or `bias`: its parts
    for name, tensor in weights:
        path, _, kind = name.rpartition(".")
        if tensor.dim() == EXPERTS and (experts := routed_experts(model, path)) is not None:
            stacks.setdefault(path, {})[kind] = tensor
            if len(stacks[path]) == len(STACKS):
                replace_experts(experts, path, stacks.pop(path))
            continue
        parent, _, part = path.rpartition(".")
        place = f"{parent}.{HOLDER.get(part)}"
        layer = plain_linear(model, place) if part in HOLDER else None
        if layer is None:
            rest.append((name, tensor))
            continue
        parts = waiting.setdefault((place, kind), {})
        parts[part] = tensor
        needed = LINEAR_LAYERS[HOLDER[part]]
        if len(parts) == len(needed):
            del waiting[place, kind]
            replace(layer, place, kind, [parts[other] for other in needed])
    for path, found in stacks.items():
        raise ValueError(f"the experts of {path} need {', '.join(STACKS)}, but only {', '.join(found)} came")
    for (place, kind), parts in waiting.items():
        needed = LINEAR_LAYERS[place.rpartition(".")[2]]
        raise ValueError(f"the {kind} of {place} needs {', '.join(needed)}, but only {', '.join(parts)} came")
    return rest


def plain_linear(model: Any, place: str) -> Any:
    """The layer of vLLM's model at `place`, if it is linear, and not quantised, split, or wrapped for adapters."""
    from vllm.model_executor.layers.linear import LinearBase, UnquantizedLinearMethod

    try:
        layer = model.get_submodule(place)
    except AttributeError:
        return None
    plain = isinstance(layer, LinearBase) and type(layer.quant_method) is UnquantizedLinearMethod and layer.tp_size == 1
    return layer if plain else None


def routed_experts(model: Any, place: str) -> Any:
    """The stacked experts of vLLM's model at `place`, if they are there, and neither quantised nor split."""
    try:
        experts = model.get_submodule(f"{place}.routed_experts")
    except AttributeError:
        return None
    plain = type(experts.quant_method).__name__ == "UnquantizedFusedMoEMethod"
    return experts if plain and experts.w13_weight.shape[0] == experts.global_num_experts else None


def replace_experts(experts: Any, place: str, stacks: dict[str, torch.Tensor]) -> None:
    """Give vLLM's experts new matrices, and pack them. Raises ValueError if they do not fit."""
    dtype = experts.w13_weight.dtype
    for kind, name in STACKS.items():
        stack = stacks[kind].to(dtype, copy=True).contiguous()  # what comes may be the learner's own
        if stack.numel() > getattr(experts, name).numel():  # packing may only add
            raise ValueError(f"{kind} of {place} has {stack.numel()} numbers, more than vLLM has room for")
        setattr(experts, name, torch.nn.Parameter(stack, requires_grad=False))
    experts.quant_method.moe_kernel.fused_experts.process_weights_after_loading(experts)  # packs them


def replace(layer: Any, place: str, kind: str, parts: list[torch.Tensor]) -> None:
    """Give `layer` the rows of all `parts` as its weight or its bias. Raises ValueError if they do not fit."""
    rows = torch.cat(parts).to(layer.params_dtype)
    shape = (layer.output_size, layer.input_size) if kind == "weight" else (layer.output_size,)
    if rows.shape != shape:
        raise ValueError(f"the {kind} of {place} has shape {shape}, the new one {tuple(rows.shape)}")
    if kind == "weight":
        layer.weight = torch.nn.Parameter(rows, requires_grad=False)
        layer.quant_method.process_weights_after_loading(layer)  # packs it
    else:
        layer.bias.data.copy_(rows)


def pack_head(model: Any) -> None:
    """Pack the head of vLLM's `model` anew: `reload_weights` leaves the packed copy of a tied one as it was."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)
