"""The policy: a causal language model, whole or with a LoRA adapter, that tells what its tokens were worth."""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peft
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rl.learner.packing import MicroBatch
from rl.models import load_model
from rl.recipe import ModelSection

LOGITS_CHUNK = 512  # nodes whose logits live at once


class Policy:
    """The learner's model. `trainable` are its learning parameters, by name and in a fixed order."""

    def __init__(
        self, model: Any, *, has_adapter: bool, autocast: bool = False, reference: nn.Module | None = None
    ) -> None:
        self.model = model
        self.has_adapter = has_adapter
        self._autocast = autocast
        self._reference = reference
        self.trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.device = next(model.parameters()).device

    @property
    def causal_lm(self) -> Any:
        """The transformers model, with adapter layers in place if there are any."""
        return self.model.get_base_model() if self.has_adapter else self.model

    def logps(self, batch: MicroBatch, temperature: float, *, with_entropy_grad: bool = False) -> tuple[Tensor, Tensor]:
        """Log-probability [N] of each completion token and the entropy [N] of its distribution, at `temperature`."""
        with self._precision():
            return token_logps(self.causal_lm, batch, temperature, with_entropy_grad)

    @torch.no_grad()
    def reference_logps(self, batch: MicroBatch, temperature: float) -> Tensor:
        """Log-probabilities [N] under the model that training started from."""
        if self._reference is not None:
            with self._precision():
                return token_logps(self._reference, batch, temperature, False)[0]
        with self.model.disable_adapter(), self._precision():
            return token_logps(self.causal_lm, batch, temperature, False)[0]

    @torch.no_grad()
    def export(self) -> Iterator[tuple[str, Tensor]]:
        """Every weight that may have changed, and its neighbours, under Hugging Face names, the adapter merged in.

        Merged in float32 on a copy of each layer: the base weights are never touched, so nothing drifts. Embeddings and
        head are left out unless they are trained.
        """
        adapted: dict[str, Any] = {n: m for n, m in self.causal_lm.named_modules() if isinstance(m, BaseTunerLayer)}
        for name, layer in adapted.items():
            merged = copy.deepcopy(layer).float()
            merged.merge()
            for suffix, parameter in merged.get_base_layer().named_parameters():
                yield f"{name}.{suffix}", parameter.data
        frozen_tables = {id(m.weight) for m in (self._embeddings(), self._head()) if not m.weight.requires_grad}
        inside = tuple(f"{name}." for name in adapted)
        for name, parameter in self.causal_lm.named_parameters():
            if not name.startswith(inside) and id(parameter) not in frozen_tables:
                yield name, parameter.data

    def save(self, folder: Path) -> None:
        """Write the adapter (peft format), or the whole model, as safetensors."""
        self.model.save_pretrained(folder)

    def load(self, folder: Path) -> None:
        """Take back exactly what `save` wrote."""
        if self.has_adapter:
            peft.set_peft_model_state_dict(self.model, peft.load_peft_weights(str(folder), device=str(self.device)))
            return
        saved = type(self.model).from_pretrained(folder, dtype=self.model.dtype)
        self.model.load_state_dict(saved.state_dict())

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast)

    def _embeddings(self) -> Any:
        return self.causal_lm.get_input_embeddings()

    def _head(self) -> Any:
        return self.causal_lm.get_output_embeddings()


def load_policy(section: ModelSection, device: str, dtype: torch.dtype, *, seed: int, keep_reference: bool) -> Policy:
    """Load the model and put a fresh adapter on it, or make all of it trainable.

    `dtype` is what is computed in. A frozen base is kept in it; weights that learn are always float32, because a step
    of 1e-6 is lost in bfloat16's eight bits. `keep_reference`: the KL term needs the base model. An adapter is switched
    off for it; full fine-tuning keeps a copy.
    """
    kept = dtype if section.use_peft else torch.float32
    model = load_model(section.name, section.revision, dtype=kept, device=device)
    if section.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if not section.use_peft:
        reference = copy.deepcopy(model).requires_grad_(False).eval() if keep_reference else None
        return Policy(model.train(), has_adapter=False, autocast=dtype != kept, reference=reference)
    config = peft.LoraConfig(
        r=section.lora_r,
        lora_alpha=section.lora_alpha,
        lora_dropout=section.lora_dropout,
        target_modules=section.lora_target_modules,
        use_rslora=section.use_rslora,
        use_dora=section.use_dora,
        task_type="CAUSAL_LM",
    )
    if section.gradient_checkpointing:
        model.enable_input_require_grads()
    torch.manual_seed(seed)  # A starts random, B at zero
    return Policy(peft.get_peft_model(model, config).train(), has_adapter=True)


def token_logps(model: Any, batch: MicroBatch, temperature: float, entropy_grad: bool) -> tuple[Tensor, Tensor]:
    """Log-probabilities [N] and entropies [N] of a micro-batch's completion tokens under `model`.

    The vocabulary projection runs once for each node that predicts something (completions often begin alike), in chunks
    that are recomputed in the backward pass, so that logits of at most `LOGITS_CHUNK` nodes live at any time.
    """
    nodes, row = batch.source.unique(return_inverse=True)  # [U], [N]
    hidden = model.get_decoder()(
        input_ids=batch.input_ids[None],
        position_ids=batch.position_ids[None],
        attention_mask=batch.attends[None, None],
        use_cache=False,
    ).last_hidden_state[0, nodes]  # [U, D]
    recompute = len(nodes) > LOGITS_CHUNK and torch.is_grad_enabled()
    places, logps, entropies = [], [], []
    for first in range(0, len(nodes), LOGITS_CHUNK):
        here = ((row >= first) & (row < first + LOGITS_CHUNK)).nonzero()[:, 0]  # tokens that these nodes predict
        chunk = hidden[first : first + LOGITS_CHUNK]
        arguments = (
            model.get_output_embeddings(),
            chunk,
            row[here] - first,
            batch.target[here],
            temperature,
            entropy_grad,
        )
        out = checkpoint(select_logps, *arguments, use_reentrant=False) if recompute else select_logps(*arguments)
        places.append(here)
        logps.append(out[0])
        entropies.append(out[1])
    order = torch.cat(places).argsort()
    return torch.cat(logps)[order], torch.cat(entropies)[order]


def select_logps(
    head: nn.Module, hidden: Tensor, row: Tensor, target: Tensor, temperature: float, entropy_grad: bool
) -> tuple[Tensor, Tensor]:
    """log p(target) [n] and entropy [n], where token n is predicted by hidden state `row[n]` of [U, D].

    Both in nats and float32.
    """
    logits = head(hidden).float() / temperature  # [U, V]
    normalizer = logits.logsumexp(-1)  # [U]
    logps = logits[row, target] - normalizer[row]
    with contextlib.nullcontext() if entropy_grad else torch.no_grad():
        entropy = normalizer - (torch.softmax(logits, -1) * logits).sum(-1)  # [U]
    return logps, entropy[row]
