"""The policy: a causal language model, whole or with a LoRA adapter, that tells what its tokens were worth."""

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor, nn
from transformers.integrations.liger import apply_liger_kernel

from rl.base.allocator import keep_freed_memory
from rl.config.recipe import DistillationSection, ModelSection
from rl.learner.attention import ATTENTION, plan_tree
from rl.learner.experts import RouterWatch, adapter_targets, find_routers, freeze_routers
from rl.learner.export import export
from rl.learner.head import head_logps, recomputed_logps, rows_at_once, select_logps
from rl.learner.lora import fuse_adapters
from rl.learner.own_head import Head, own_head, pick_head
from rl.learner.packing import Layout, MicroBatch
from rl.learner.shared import SharedWeights
from rl.models.source import load_model

WHOLE_CHUNKS = 2  # of the head's chunks of logits that a pass may have if it makes them all at once
# Losses and logits are rl/learner/head.py's.
LIGER_KERNELS = {
    "rope": True,
    "rms_norm": True,
    "swiglu": True,
    "cross_entropy": False,
    "fused_linear_cross_entropy": False,
}


class Policy:
    """The learner's model. `trainable` are its learning parameters, by name and in a fixed order.

    `layout` says how micro-batches for it are packed and `head` how its logits are made: as prefix trees and by the
    matrix of its output embeddings, until `use_layout` says otherwise.
    `shared` are the merged weights that it computes with and the engine gets; None: it adds its adapter to the base.
    """

    def __init__(
        self,
        model: Any,
        *,
        has_adapter: bool,
        autocast: torch.dtype | None = None,
        reference: nn.Module | None = None,
        shared: SharedWeights | None = None,
    ) -> None:
        self.model = model
        self.has_adapter = has_adapter
        self.shared = shared
        self._autocast = autocast
        self._reference = reference
        self.trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.routers = RouterWatch(self.causal_lm)
        self.device = next(model.parameters()).device
        self._attention: str = self.causal_lm.config._attn_implementation  # what the model came with
        self.layout: Layout = "tree"
        self.head: Head = "plain"
        self.use_layout("tree")

    @property
    def causal_lm(self) -> Any:
        """The transformers model, with adapter layers in place if there are any."""
        return self.model.get_base_model() if self.has_adapter else self.model

    @property
    def compute_dtype(self) -> torch.dtype:
        """What matrix products are computed in."""
        dtype: torch.dtype = self._autocast or self.causal_lm.dtype
        return dtype

    def find_head(self) -> Head:
        """How the model's logits can be made a few at a time, by a look at large ones. The layout must be padded."""
        with self._precision():
            return pick_head(self.causal_lm)

    @property
    def most_tokens(self) -> int:
        """Tokens that a pass may have whatever the recipe says: few where all their logits are made at once."""
        vocabulary = self.causal_lm.config.get_text_config().vocab_size
        return WHOLE_CHUNKS * rows_at_once(vocabulary, self.device) if self.head == "whole" else sys.maxsize

    def use_layout(self, layout: Layout, head: Head | None = None) -> None:
        """Compute prefix trees from now on, or padded rows, and logits by `head` (None: as before).

        Raises ValueError if the model takes no other attention.
        """
        for model in filter(None, (self.causal_lm, self._reference)):
            model.set_attn_implementation(ATTENTION if layout == "tree" else self._attention)
        self.layout = layout
        self.head = head or self.head

    def logps(self, batch: MicroBatch, temperature: float, *, with_entropy_grad: bool = False) -> tuple[Tensor, Tensor]:
        """Log-probability [N] of each completion token and the entropy [N] of its distribution, at `temperature`."""
        self._merge()
        with self._precision(), self.routers.opened():
            return token_logps(self.causal_lm, batch, temperature, with_entropy_grad, self.head)

    @torch.no_grad()
    def frozen_logps(self, batch: MicroBatch, temperature: float) -> Tensor:
        """Log-probabilities [N] without a gradient: what a teacher is asked."""
        return self.logps(batch, temperature)[0]

    @torch.no_grad()
    def reference_logps(self, batch: MicroBatch, temperature: float) -> Tensor:
        """Log-probabilities [N] under the model that training started from."""
        if self._reference is not None:
            with self._precision():
                return token_logps(self._reference, batch, temperature, False, self.head)[0]
        with self.model.disable_adapter(), self._precision():
            return token_logps(self.causal_lm, batch, temperature, False, self.head)[0]

    def export(self) -> Iterator[tuple[str, Tensor]]:
        """Every weight that may have changed, under Hugging Face names, the adapter merged in (`export.py`)."""
        self._merge()
        return export(self.causal_lm)

    def save(self, folder: Path) -> None:
        """Write the adapter (peft format), or the whole model, as safetensors."""
        self.model.save_pretrained(folder)

    def weights_changed(self) -> None:
        """Let the next pass, and the engine, have the weights as they are now."""
        if self.shared is not None:
            self.shared.forget()

    def load(self, folder: Path) -> None:
        """Take back exactly what `save` wrote."""
        self.weights_changed()
        if self.has_adapter:
            peft.set_peft_model_state_dict(self.model, peft.load_peft_weights(str(folder), device=str(self.device)))
            return
        saved = type(self.model).from_pretrained(folder, dtype=self.model.dtype, use_safetensors=True)
        self.model.load_state_dict(saved.state_dict())

    def _merge(self) -> None:
        if self.shared is not None:
            self.shared.refresh()

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, self._autocast, enabled=self._autocast is not None)


def load_policy(
    section: ModelSection,
    device: str,
    dtype: torch.dtype,
    *,
    seed: int,
    keep_reference: bool,
    engine_dtype: torch.dtype | None = None,
) -> Policy:
    """Load the model and put a fresh adapter on it, or make all of it trainable.

    `dtype` is what is computed in. A frozen base is kept in it; weights that learn are always float32, because a step
    of 1e-6 is lost in the eight bits of bfloat16. `keep_reference`: the KL term needs the base model. An adapter is
    switched off for it; full fine-tuning keeps a copy. `engine_dtype`: the precision in which an engine holds merged
    weights; the policy then computes with the same weights, where its layers allow it. None: the engine gets adapters.
    """
    kept = dtype if section.use_peft else torch.float32
    if device == "cpu":
        keep_freed_memory()
    model = load_model(section.name, section.revision, dtype=kept, device=device)
    if section.use_liger_kernel:
        apply_liger_kernel(model, LIGER_KERNELS)
    if section.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if not section.train_router:
        freeze_routers(model)
    if not section.use_peft:
        reference = copy.deepcopy(model).requires_grad_(False).eval() if keep_reference else None
        compile_layers(model, section)
        return Policy(model.train(), has_adapter=False, autocast=None if dtype == kept else dtype, reference=reference)
    return adapted_policy(model, section, seed, engine_dtype)


def adapted_policy(model: Any, section: ModelSection, seed: int, engine_dtype: torch.dtype | None) -> Policy:
    """Put a fresh adapter on a model; for `engine_dtype` see `load_policy`."""
    if section.gradient_checkpointing:
        model.enable_input_require_grads()
    torch.manual_seed(seed)  # A starts random, B at zero
    adapted = peft.get_peft_model(model, lora_config(section, model)).train()
    fuse_adapters(adapted)
    shared = None if engine_dtype is None else SharedWeights(adapted, engine_dtype)
    compile_layers(model, section)
    return Policy(adapted, has_adapter=True, shared=shared)


def load_teacher(section: DistillationSection, device: str, dtype: torch.dtype) -> Policy:
    """Load the frozen model that scores the policy's tokens. Raises BadInput if there is no such model."""
    assert section.teacher is not None
    model = load_model(section.teacher, section.revision, dtype=dtype, device=device)
    return Policy(model.requires_grad_(False).eval(), has_adapter=False)


def lora_config(section: ModelSection, model: Any) -> peft.LoraConfig:
    """The recipe's adapter for a model."""
    targets: dict[str, Any] = {"target_modules": section.lora_target_modules}
    if section.lora_target_parameters:
        targets["target_parameters"] = section.lora_target_parameters
    elif section.lora_target_modules == "all-linear" and find_routers(model):
        targets = adapter_targets(model, section.train_router)
    return peft.LoraConfig(
        r=section.lora_r,
        lora_alpha=section.lora_alpha,
        lora_dropout=section.lora_dropout,
        **targets,
        use_rslora=section.use_rslora,
        use_dora=section.use_dora,
        task_type="CAUSAL_LM",
    )


def compile_layers(model: Any, section: ModelSection) -> None:
    """Compile what repeats, layer by layer and for any number of tokens, if the recipe asks for it."""
    if section.torch_compile:
        for layer in model.get_decoder().layers:
            layer.compile(dynamic=True)


def token_logps(
    model: Any, batch: MicroBatch, temperature: float, entropy_grad: bool, head: Head = "plain"
) -> tuple[Tensor, Tensor]:
    """Log-probabilities [N] and entropies [N] of a micro-batch's completion tokens under `model`.

    Only what predicts something is projected onto the vocabulary, and once (completions often begin alike), a few
    hidden states at a time unless `head` is `whole`.
    """
    nodes, row = batch.source.unique(return_inverse=True)  # [U], [N]
    if head == "whole" and batch.ends is None:
        logits = model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False).logits
        return select_logps(logits.flatten(0, 1)[nodes], row, batch.target, temperature, entropy_grad)
    states = model.get_decoder()(
        input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, **tree_options(model, batch)
    )
    hidden = states.last_hidden_state.flatten(0, 1)[nodes]  # [U, D]
    matrix = model.get_output_embeddings()
    frozen = type(matrix) is nn.Linear and matrix.bias is None and not matrix.weight.requires_grad
    if head == "plain" and frozen and not entropy_grad:
        return head_logps(hidden, matrix.weight, row, batch.target, temperature)
    project: Any = matrix if head == "plain" else own_head(model, type(states))
    vocabulary = model.config.get_text_config().vocab_size
    return recomputed_logps(project, vocabulary, hidden, row, batch.target, temperature, entropy_grad)


def tree_options(model: Any, batch: MicroBatch) -> dict[str, Any]:
    """What attention over the tree of a micro-batch needs to know; nothing for padded rows."""
    if batch.ends is None:
        return {}
    if model.config._attn_implementation != ATTENTION:
        raise ValueError("this model's attention would not see the tree: call Policy.use_layout('tree') first")
    autocast = torch.is_autocast_enabled(model.device.type)
    dtype = torch.get_autocast_dtype(model.device.type) if autocast else model.dtype
    return {"prefix_tree": plan_tree(batch.ends, dtype, batch.budget)}
