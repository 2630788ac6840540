"""A model on its own: base weights with an adapter merged in, as safetensors that transformers and vLLM load."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from rl.models import load_model, no_progress_bars
from rl.recipe import ModelSection
from rl.rollout.build import pick_device
from rl.rollout.engine import NamedTensors
from rl.rollout.precision import pick_dtype
from rl.stages.books import made


def write_merged(
    section: ModelSection, weights: NamedTensors, tokenizer: Any, folder: Path, dtype: torch.dtype | None = None
) -> None:
    """Write the model of `section` with some of its weights replaced, and its tokenizer.

    Args:
        weights: under Hugging Face names, whole tensors.
        dtype: of what is written; None: that in which the model is computed here.
    """
    kept = dtype or pick_dtype(section.dtype, pick_device("auto"))
    # Put together in float32 and rounded once.
    model = load_model(section.name, section.revision, dtype=torch.float32, device="cpu")
    missing = model.load_state_dict(dict(weights), strict=False)
    assert not missing.unexpected_keys, missing.unexpected_keys
    with no_progress_bars(), made(folder) as place:
        nn.Module.to(model, dtype=kept)  # transformers' own `to` is typed as a decorator
        model.save_pretrained(place)
        tokenizer.save_pretrained(place)
