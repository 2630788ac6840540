"""The rollout engine that works anywhere: a plain decoding loop over a transformers model.

Slower than vLLM, and short enough to be checked by eye: it is the oracle that the vLLM engines are tested against.
Equal calls give equal completions bit for bit. Between calls that batch a row with different company, float noise
(about 1e-6 in a log-probability) may, rarely, change a sampled token.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import PeftModel
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from rewards.errors import BadInput
from rl.models.source import load_model, load_tokenizer
from rl.rollout.engine import (
    Completion,
    FinishReason,
    IndexedCompletion,
    NamedTensors,
    Refill,
    SampleRequest,
    SamplingParams,
    in_order,
)
from rl.rollout.sampling import draw, process_logits


@dataclass
class _Row:
    """A completion in the making."""

    prompt: tuple[int, ...]
    generator: torch.Generator
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None  # None: still going

    def completion(self) -> Completion:
        assert self.finish_reason is not None
        return Completion(tuple(self.token_ids), tuple(self.logprobs), self.finish_reason)


class TransformersEngine:
    """Implements `RolloutEngine` with a transformers model and its KV cache.

    Args:
        model: alias, folder or hub id, as `rl.models.source.resolve_model` takes it.
        revision: hub commit, if pinned.
        dtype: of the weights and the cache; sampling is always float32.
        device: where the model lives, e.g. `cpu` or `cuda`.
        max_num_seqs: completions generated at once; more wait for the next batch.

    Raises:
        BadInput: the model cannot be loaded.
    """

    name = "transformers"

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        max_num_seqs: int = 256,
    ) -> None:
        # Frozen from the start: peft freezes too, and torch's kernels round differently for frozen weights.
        self.model = load_model(model, revision, dtype, device).eval().requires_grad_(False)
        self.tokenizer = load_tokenizer(model, revision)
        self.max_num_seqs = max_num_seqs
        self._end_ids = end_of_sequence_ids(self.model, self.tokenizer)
        self._adapter: PeftModel | None = None

    def generate(
        self, prompts_P: Sequence[Sequence[int]], params: SamplingParams, seeds_P_G: Sequence[Sequence[int]]
    ) -> list[list[Completion]]:
        """Sample `len(seeds_P_G[p])` completions of each prompt, one per seed, in order.

        Raises:
            BadInput: a prompt is empty, or it and `params.max_tokens` do not fit the model's context.
        """
        return in_order(self.stream(prompts_P, params, seeds_P_G), seeds_P_G)

    def stream(
        self,
        prompts_P: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds_P_G: Sequence[Sequence[int]],
        refill: Refill | None = None,
    ) -> Generator[IndexedCompletion, None, None]:
        """Yield (p, g, completion) when its batch of at most `max_num_seqs` is done; `refill` is called after each.

        Raises as `generate` does.
        """
        asked: Sequence[SampleRequest] = list(zip(prompts_P, seeds_P_G, strict=True))
        first, waiting = 0, list[tuple[int, int, _Row]]()
        while True:
            waiting += self._rows(asked, first, params.max_tokens)
            first += len(asked)
            if not waiting:
                return
            batch, waiting = waiting[: self.max_num_seqs], waiting[self.max_num_seqs :]
            self._complete([row for _, _, row in batch], params)
            yield from ((p, g, row.completion()) for p, g, row in batch)
            asked = refill() if refill else ()

    def load_weights(self, weights: NamedTensors) -> None:
        """Replace the named weights (Hugging Face names, full tensors), in place of any adapter loaded before.

        Raises:
            ValueError: the model has no weight of that name, or one of another shape.
        """
        self._drop_adapter()
        own = self.model.state_dict()  # shares the parameters' storage
        for name, tensor in weights:
            if name not in own:
                raise ValueError(f"{type(self.model).__name__} has no weight named {name!r}")
            if own[name].shape != tensor.shape:
                raise ValueError(f"{name} has shape {tuple(own[name].shape)}, the new one {tuple(tensor.shape)}")
            own[name].copy_(tensor)

    def load_adapter(self, folder: str) -> None:
        """Use the LoRA adapter saved in `folder` (peft format) from now on, in place of any earlier one.

        Raises:
            BadInput: the folder holds no adapter.
        """
        if not (Path(folder) / "adapter_config.json").is_file():  # peft would look for it on the hub
            raise BadInput(f"The adapter folder {folder} has no adapter_config.json: give a folder that peft saved.")
        self._drop_adapter()
        # peft puts its layers into self.model itself, so the forward pass below needs no wrapper.
        self._adapter = PeftModel.from_pretrained(self.model, folder, torch_device=str(self.model.device))

    def sleep(self) -> None:
        """Nothing to free: the model stays where it is."""

    def close(self) -> None:
        """Free the model's memory; the engine cannot be used afterwards."""
        del self.model, self._adapter
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _drop_adapter(self) -> None:
        if self._adapter is not None:
            self._adapter.unload()
            self._adapter = None

    def _rows(self, asked: Sequence[SampleRequest], first: int, max_tokens: int) -> list[tuple[int, int, _Row]]:
        """A row a seed with its place: that of its prompt, counted from `first`, and that among its samples.

        Like with like: little padding, and the samples of a prompt side by side, so that they share its prefill.
        """
        self._check_lengths([prompt for prompt, _ in asked], max_tokens)
        device = self.model.device
        rows = [
            (first + p, g, _Row(tuple(prompt), torch.Generator(device).manual_seed(seed)))
            for p, (prompt, seeds) in enumerate(asked)
            for g, seed in enumerate(seeds)
        ]
        return sorted(rows, key=lambda placed: (len(placed[2].prompt), placed[2].prompt))

    def _check_lengths(self, prompts_P: Sequence[Sequence[int]], max_tokens: int) -> None:
        context = getattr(self.model.config, "max_position_embeddings", None)
        for prompt in prompts_P:
            if not prompt:
                raise BadInput("A prompt has no tokens: check the recipe's problems.prompt template.")
            if context is not None and len(prompt) + max_tokens > context:
                raise BadInput(
                    f"A prompt of {len(prompt)} tokens and a completion of up to {max_tokens} exceed the model's "
                    f"context of {context}: lower problems.max_prompt_length or rollout.max_completion_length."
                )

    @torch.inference_mode()
    def _complete(self, rows: list[_Row], params: SamplingParams) -> None:
        """Decode until every row has its finish reason."""
        logits, mask, cache = self._prefill(rows)  # [B, V], [B, T], B rows
        while True:
            logprobs = process_logits(logits, params.temperature, params.top_k, params.top_p, params.min_p)
            greedy = params.temperature == 0
            ids = logprobs.argmax(-1) if greedy else draw(logprobs, [row.generator for row in rows])  # [B]
            chosen = logprobs.gather(-1, ids[:, None])[:, 0]  # [B]
            for row, token, logprob in zip(rows, ids.tolist(), chosen.tolist(), strict=True):
                row.token_ids.append(token)
                row.logprobs.append(logprob)
                row.finish_reason = self._finish_reason(row.token_ids, params)
            going = [i for i, row in enumerate(rows) if row.finish_reason is None]
            if not going:
                return
            if len(going) < len(rows):
                index = torch.tensor(going, device=ids.device)
                cache.batch_select_indices(index)
                rows, ids, mask = [rows[i] for i in going], ids[index], mask[index]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            logits = self._forward(ids[:, None], mask, cache)

    def _prefill(self, rows: list[_Row]) -> tuple[torch.Tensor, torch.Tensor, DynamicCache]:
        """Run each distinct prompt once, then copy its cache to every row that asks it."""
        prompts = list(dict.fromkeys(row.prompt for row in rows))
        width, device = max(map(len, prompts)), self.model.device
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)  # [P, T]
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)  # [P, T]
        cache = DynamicCache(config=self.model.config)
        logits = self._forward(ids, mask, cache)  # [P, V]
        place = {prompt: i for i, prompt in enumerate(prompts)}
        index = torch.tensor([place[row.prompt] for row in rows], device=device)  # [B]
        cache.batch_select_indices(index)
        return logits[index], mask[index], cache

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Extend the cache by `ids` [B, N] (mask [B, past + N], left-padded); float32 logits [B, V] of what follows."""
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]  # [B, N]
        output = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
        )
        return output.logits[:, -1].float()

    def _finish_reason(self, token_ids: list[int], params: SamplingParams) -> FinishReason | None:
        if token_ids[-1] in self._end_ids or stop_completed(self.tokenizer, token_ids, params.stop):
            return "stop"
        return "length" if len(token_ids) >= params.max_tokens else None


def end_of_sequence_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids that end a completion: those of the model's generation config, and the tokenizer's."""
    named = model.generation_config.eos_token_id if model.generation_config is not None else None
    listed = named if isinstance(named, list) else [named]
    return frozenset(i for i in [*listed, tokenizer.eos_token_id] if i is not None)


def stop_completed(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], stop: Sequence[str]) -> bool:
    """True if the last of `token_ids` completes a stop string in the decoded text, where none was complete before."""
    if not stop:
        return False
    # A character has at most four bytes and a token at least one, so a stop string just completed lies within the tail.
    # The margin is for tokenizers that drop the leading space of whatever they decode.
    tail = list(token_ids[-4 * max(map(len, stop)) - 8 :])
    text = tokenizer.decode(tail, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return any(string in text for string in stop)
