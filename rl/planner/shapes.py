"""The sizes of a model that decide how much it computes and keeps, from its configuration alone: no weights are read.

Of a mixture's experts those count that one token goes to, where it computes. Of a sliding window the whole context
counts, so for such models the counts are upper bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import peft
import torch
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig

from rl.config.recipe import ModelSection
from rl.learner.experts import EXPERTS, find_routers
from rl.learner.policy import lora_config
from rl.models.source import load_config


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder and of its adapter, in numbers (not bytes).

    Attributes:
        query: width of all query heads together.
        key_value: width of all key heads together; values are as wide.
        matrices: weights that each token is multiplied with in the layers; neither embeddings nor head.
        head: weights of the vocabulary projection.
        parameters: all of the model's, tied ones once, an adapter's not counted.
        trainable: those that learn.
        adapter: weights of the adapter that each token is multiplied with; 0 where all weights learn.
        exported: weights that a merged adapter changes, with those that engines fuse with them, or all that learn.
        merged: weights that a merged adapter changes, if the learner keeps them merged.
    """

    layers: int
    hidden: int
    feed_forward: int
    query: int
    key_value: int
    vocabulary: int
    matrices: int
    head: int
    parameters: int
    trainable: int
    adapter: int
    exported: int
    merged: int = 0

    @property
    def full(self) -> bool:
        """Whether all weights learn."""
        return self.adapter == 0

    @property
    def token_weights(self) -> int:
        """Weights that a token is multiplied with where the next one is predicted: what decoding reads each step."""
        return self.matrices + self.head


def load_shape(section: ModelSection) -> Shape:
    """The sizes of a recipe's model. Raises BadInput if its configuration cannot be read."""
    return shape_of(load_config(section.name, section.revision), section)


def shape_of(config: PreTrainedConfig, section: ModelSection) -> Shape:
    """The sizes of a model and of the adapter that `section` puts on it, counted on a model without storage."""
    text = config.get_text_config()
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    key_value_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        total = sum(parameter.numel() for parameter in model.parameters())
        head = model.get_output_embeddings().weight.numel()
        routers: list[Any] = list(find_routers(model).values())
        active = routers[0].top_k / routers[0].num_experts if routers else 1.0  # of the experts, for one token
        matrices = count_matrices(model.get_decoder(), active)
        every = count_matrices(model.get_decoder())
        adapted, merged = lora_weights(model, section) if section.use_peft else ({}, 0)
    adapter = sum(adapted.values())
    # A DoRA magnitude for each output of an adapted layer: the rows of its B.
    magnitudes = 0
    if section.use_dora:
        magnitudes = sum(size // section.lora_r for name, size in adapted.items() if "lora_B" in name)
    return Shape(
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        feed_forward=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        query=text.num_attention_heads * head_dim,
        key_value=key_value_heads * head_dim,
        vocabulary=text.vocab_size,
        matrices=matrices,
        head=head,
        parameters=total,
        trainable=adapter + magnitudes if section.use_peft else total,
        adapter=adapter,
        exported=every if section.use_peft else total,
        merged=0 if section.use_dora or section.lora_dropout else merged,
    )


def count_matrices(decoder: nn.Module, active: float = 1.0) -> int:
    """Weights of every matrix of a decoder but its embeddings; of stacked experts the share that is `active`."""
    inside = [module for module in decoder.modules() if not isinstance(module, nn.Embedding)]
    matrices = [p for module in inside for p in module.parameters(recurse=False) if p.ndim >= 2]
    return sum(round(p.numel() * (active if p.ndim == EXPERTS else 1.0)) for p in matrices)


def lora_weights(model: Any, section: ModelSection) -> tuple[Mapping[str, int], int]:
    """Size of each A and B of the adapter, and of all that they are added to.

    DoRA would read weights that a model without storage has not: plain LoRA.
    """
    plain = section.model_copy(update={"use_dora": False})
    adapted = peft.get_peft_model(model, lora_config(plain, model))
    layers: list[Any] = [module for module in adapted.modules() if isinstance(module, LoraLayer)]
    bases = [each.get_param() if isinstance(each, ParamWrapper) else each.get_base_layer().weight for each in layers]
    sizes = {name: p.numel() for name, p in adapted.named_parameters() if p.requires_grad}
    return sizes, sum(base.numel() for base in bases)
