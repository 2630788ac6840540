"""LoRA adapters: what their folder says, and whether they fit a model, told without reading anybody's weights."""

import json
from pathlib import Path
from typing import Any

import peft
import torch
from peft.utils import SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, PreTrainedConfig

from rewards.errors import BadInput
from rl.config.recipe import ModelSection
from rl.models.adapter_base import ADAPTER_CONFIG
from rl.models.source import load_config

TABLES = ("embed_tokens", "lm_head")
# What an adapter may hold beside low-rank updates of layers; none of it can be merged into an engine that runs.
BESIDE_LORA = (
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "alora_invocation_tokens",
)

Shapes = dict[str, tuple[int, ...]]  # by the name of the tensor


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The adapter's `adapter_config.json`. Raises BadInput if it is no JSON object."""
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise BadInput(f"{folder / ADAPTER_CONFIG} is not JSON ({error}): save the adapter again.") from error
    if not isinstance(config, dict):
        raise BadInput(f"{folder / ADAPTER_CONFIG} is not a JSON object: save the adapter again.")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The files with the adapter's tensors. Raises BadInput if there is none."""
    files = [folder / name for name in (SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME) if (folder / name).is_file()]
    if not files:
        raise BadInput(f"The adapter {folder} has no {SAFETENSORS_WEIGHTS_NAME}: save it again.")
    return files


def check_adapter(folder: Path, config: dict[str, Any], section: ModelSection) -> None:
    """Refuse adapters that cannot be merged layer by layer into an engine that runs, or are for another model."""
    if config.get("peft_type") != "LORA":
        raise BadInput(f"The adapter {folder} is of type {config.get('peft_type')}, and only LORA can be evaluated.")
    beside = [key for key in BESIDE_LORA if config.get(key)]
    if beside:
        raise BadInput(
            f"The adapter {folder} has {beside[0]}, which cannot be merged into a running engine: merge it with peft's "
            "merge_and_unload and evaluate the folder of the merged model."
        )
    targets = config.get("target_modules") or []  # a list of names, or one regular expression
    model = load_config(section.name, section.revision)
    if model.get_text_config().tie_word_embeddings and any(table in targets for table in TABLES):
        raise BadInput(
            f"The adapter {folder} changes the embeddings or the head, and {section.name} uses one matrix for both, so "
            "it cannot be merged: train one without embed_tokens and lm_head."
        )
    check_fit(folder, config, section.name, model)


def check_fit(folder: Path, config: dict[str, Any], name: str, model: PreTrainedConfig) -> None:
    """Compare the names and shapes of the adapter's tensors with those that a model of this kind asks for.

    Of the weights only the header is read, and the model has no memory behind it. Pickled weights have no header: those
    show when they are merged.
    """
    file = weight_files(folder)[0]
    if file.name != SAFETENSORS_WEIGHTS_NAME:
        return
    has = stored_shapes(folder, file)
    wants = shapes_for(folder, name, model)
    if has == wants:
        return
    hidden = getattr(model.get_text_config(), "hidden_size", None)
    inward = [tensor for tensor in has.keys() & wants.keys() if "lora_A" in tensor and wants[tensor][-1] == hidden]
    widths = {has[tensor][-1] for tensor in inward}  # several: another dimension happens to be as large
    if len(widths) == 1 and (width := widths.pop()) != hidden:
        made_for = config.get("base_model_name_or_path")
        known = made_for and made_for != name
        which = f"{made_for} (hidden size {width})" if known else f"a model of hidden size {width}"
        raise BadInput(f"The adapter {folder} was made for {which}, and {name} has {hidden}: give its own base.")
    odd = min(tensor for tensor in has.keys() | wants.keys() if has.get(tensor) != wants.get(tensor))
    raise BadInput(f"The adapter {folder} does not fit {name}, which shows in {odd}: give its own base.")


def stored_shapes(folder: Path, file: Path) -> Shapes:
    """Names and shapes of the adapter's tensors, from the header of its file. Raises BadInput if that is broken."""
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118 - no dictionary
    except (SafetensorError, OSError) as error:
        raise BadInput(f"The weights of the adapter {folder} cannot be read ({error}): save it again.") from error


def shapes_for(folder: Path, name: str, model: PreTrainedConfig) -> Shapes:
    """Names and shapes of the tensors that the adapter's settings ask for on a model of this kind."""
    try:
        settings = peft.PeftConfig.from_pretrained(str(folder))
        settings.init_lora_weights = False  # some ways to begin decompose the base's weights
        settings.base_model_name_or_path = None  # peft would warn that it is another
        with torch.device("meta"):
            adapted = peft.get_peft_model(AutoModelForCausalLM.from_config(model, trust_remote_code=False), settings)
    except (ValueError, TypeError) as error:  # layers that this model does not have, settings that peft does not know
        reason = str(error).strip().split("\n")[0]
        raise BadInput(f"The adapter {folder} does not fit {name} ({reason}): give its own base.") from error
    tensors = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
