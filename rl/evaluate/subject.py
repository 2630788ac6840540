"""Which weights a name stands for: a model, a run, one of its checkpoints, or a LoRA adapter merged into its base."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
from safetensors import SafetensorError

from rewards.errors import BadInput
from rl.learner.policy import Policy
from rl.models import ALIASES, load_config, load_model
from rl.recipe import ModelSection
from rl.recipe_file import load_recipe
from rl.rollout.build import pick_device, pick_dtype
from rl.rollout.engine import NamedTensors
from rl.run.checkpoints import latest_checkpoint
from rl.run.folder import RunFolder, is_run

ADAPTER = "adapter_config.json"
TABLES = ("embed_tokens", "lm_head")
# What an adapter may hold beside low-rank updates of layers; none of it can be merged into an engine that runs.
BESIDE_LORA = (
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "alora_invocation_tokens",
)


@dataclass(frozen=True)
class Subject:
    """The weights that are measured.

    Attributes:
        model: what the engine starts with.
        adapter: folder of the LoRA adapter that is merged into it, if any.
        dtype: of the engine; auto: the model's.
    """

    model: ModelSection
    adapter: Path | None = None
    dtype: str = "auto"


def find_subject(model: str) -> Subject:
    """The weights that a name stands for.

    It is an alias, a hub id, a model's folder, a run's folder (its last whole checkpoint), a checkpoint in it, or the
    folder of a LoRA adapter in peft's format.

    Raises:
        BadInput: the run has no checkpoint, or the adapter is not of a kind that can be merged.
    """
    path = Path(model).expanduser()
    if model in ALIASES or not path.is_dir():
        return Subject(ModelSection(name=model))
    weights = weights_folder(path)
    # A run keeps them in checkpoints/<step>/policy; its recipe knows the base by the name that it was trained under.
    run = next((place for place in weights.resolve().parents[2:3] if is_run(place)), None)
    recipe = None if run is None else load_recipe(str(RunFolder(run).recipe))
    dtype = "auto" if recipe is None else recipe.rollout.dtype
    if (weights / ADAPTER).is_file():
        config = read_adapter_config(weights)
        base = config.get("base_model_name_or_path")
        if recipe is None and not base:
            raise BadInput(f"{weights / ADAPTER} does not say which model the adapter is for: add that to it.")
        section = recipe.model if recipe else ModelSection(name=str(base), revision=config.get("revision"))
        check_adapter(weights, config, section)
        return Subject(section, weights, dtype)
    section = recipe.model if recipe else ModelSection(name=model)
    return Subject(section.model_copy(update={"name": str(weights), "revision": None}), None, dtype)


def weights_folder(path: Path) -> Path:
    """Where the weights of a run, of one of its checkpoints, or of any other folder lie."""
    if not is_run(path):
        return path / "policy" if (path / "policy").is_dir() else path
    checkpoint = latest_checkpoint(RunFolder(path))
    if checkpoint is None:
        raise BadInput(f"The run {path} has no whole checkpoint yet: wait for one, or evaluate its base model.")
    return checkpoint / "policy"


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The adapter's `adapter_config.json`. Raises BadInput if it is no JSON object."""
    try:
        config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise BadInput(f"{folder / ADAPTER} is not JSON ({error}): save the adapter again.") from error
    if not isinstance(config, dict):
        raise BadInput(f"{folder / ADAPTER} is not a JSON object: save the adapter again.")
    return config


def check_adapter(folder: Path, config: dict[str, Any], section: ModelSection) -> None:
    """Refuse adapters that cannot be merged layer by layer into an engine that runs."""
    if config.get("peft_type") != "LORA":
        raise BadInput(f"The adapter {folder} is of type {config.get('peft_type')}, and only LORA can be evaluated.")
    beside = [key for key in BESIDE_LORA if config.get(key)]
    if beside:
        raise BadInput(
            f"The adapter {folder} has {beside[0]}, which cannot be merged into a running engine: merge it with peft's "
            "merge_and_unload and evaluate the folder of the merged model."
        )
    targets = config.get("target_modules") or []  # a list of names, or one regular expression
    tied = load_config(section.name, section.revision).get_text_config().tie_word_embeddings
    if tied and any(table in targets for table in TABLES):
        raise BadInput(
            f"The adapter {folder} changes the embeddings or the head, and {section.name} uses one matrix for both, so "
            "it cannot be merged: train one without embed_tokens and lm_head."
        )


def merged_weights(section: ModelSection, adapter: Path) -> NamedTensors:
    """The weights that a LoRA adapter changes, under Hugging Face names, merged as in training.

    Raises:
        BadInput: the adapter's files are broken, or it was made for another model.
    """
    base = load_model(section.name, section.revision, pick_dtype(section.dtype, pick_device("auto")), "cpu")
    try:
        model = peft.PeftModel.from_pretrained(base, str(adapter), torch_device="cpu")
        saved = peft.load_peft_weights(str(adapter), device="cpu")
    # RuntimeError: shapes of another model. ValueError: layers that this one does not have, a config that peft cannot
    # read. OSError, SafetensorError: weights that are missing or cut off.
    except (RuntimeError, ValueError, OSError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise BadInput(f"The adapter {adapter} does not fit {section.name} ({reason}): give its own base.") from error
    own = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    if saved.keys() != own.keys():  # peft passes over what has no place, and leaves the rest at zero
        odd = min(saved.keys() ^ own.keys())
        raise BadInput(f"The adapter {adapter} does not fit {section.name}, which shows in {odd}: give its own base.")
    return Policy(model, has_adapter=True).export()
