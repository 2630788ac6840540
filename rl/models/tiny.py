"""Random models of two layers, for smoke tests: same seed, same weights.

Untied embeddings and head dimensions that vLLM has kernels for, so that they go through the code that real ones do.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    OlmoeConfig,
    OlmoeForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 8192,
    "initializer_range": 0.1,  # logits of about unit variance: neither uniform nor stuck on one token
    "tie_word_embeddings": False,
}


def save_tiny_model(tokenizer: PreTrainedTokenizerBase, folder: Path, seed: int = 0) -> None:
    """Write a random Llama with grouped-query attention for `tokenizer` to `folder`."""
    config = LlamaConfig(**SIZES, **_special(tokenizer), intermediate_size=256, num_key_value_heads=1, head_dim=64)
    _save(LlamaForCausalLM, config, tokenizer, folder, seed)


def save_tiny_mixture(tokenizer: PreTrainedTokenizerBase, folder: Path, seed: int = 0) -> None:
    """Write a random OLMoE, of whose four experts a layer two answer each token, for `tokenizer` to `folder`."""
    sizes = SIZES | _special(tokenizer)
    config = OlmoeConfig(**sizes, num_experts=4, num_experts_per_tok=2, intermediate_size=64, num_key_value_heads=2)
    _save(OlmoeForCausalLM, config, tokenizer, folder, seed)


def _special(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"vocab_size": len(tokenizer)} | {name: getattr(tokenizer, name) for name in names}


def _save(
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    seed: int,
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
