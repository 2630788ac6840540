"""A model on its own: base weights with an adapter merged in, as safetensors that transformers and vLLM load."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from rl.config.recipe import ModelSection
from rl.models.source import load_model, no_progress_bars
from rl.pipelines.books import made
from rl.rollout.build import pick_device
from rl.rollout.engine import NamedTensors
from rl.rollout.precision import pick_dtype


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
    replace_weights(model, weights)
    with no_progress_bars(), made(folder) as place:
        nn.Module.to(model, dtype=kept)  # transformers' own `to` is typed as a decorator
        model.save_pretrained(place)
        tokenizer.save_pretrained(place)


@torch.no_grad()
def replace_weights(model: nn.Module, weights: NamedTensors) -> None:
    """Copy `weights` into those of `model` one by one, so that no two of them need to live at a time.

    Merged in float32 on a GPU, all of them together would be twice the size of the model in bfloat16.

    Raises:
        ValueError: a name is unknown, or a tensor has another shape than that of the model.
    """
    own = model.state_dict()  # shares its memory with the model
    for name, tensor in weights:
        if name not in own:
            raise ValueError(f"the model has no weight {name}")
        if own[name].shape != tensor.shape:
            raise ValueError(f"{name} has shape {tuple(own[name].shape)}, the new one {tuple(tensor.shape)}")
        own[name].copy_(tensor)
