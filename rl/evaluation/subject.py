"""Which weights a name stands for: a model, a run, one of its checkpoints, or a LoRA adapter merged into its base."""

import hashlib
import json
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
from safetensors import SafetensorError

from rewards.errors import BadInput
from rl.base import tables
from rl.config.model_name import check_model_name
from rl.config.recipe import ModelSection
from rl.config.recipe_file import load_recipe
from rl.learner.policy import Policy
from rl.models.adapter import check_adapter, read_adapter_config, weight_files
from rl.models.adapter_base import ADAPTER_CONFIG, base_of
from rl.models.source import ALIASES, load_model, model_fingerprint, resolve_model
from rl.rollout.build import pick_device
from rl.rollout.engine import NamedTensors
from rl.rollout.precision import pick_dtype
from rl.run.checkpoints import best_checkpoint, file_hash, is_whole, latest_checkpoint
from rl.run.folder import RunFolder, is_run
from rl.run.precision import recorded_precision

LAST, BEST = "last", "best"
# Files of a model's folder that may decide what it answers: weights, tokenizer, templates, settings, its own code.
DECIDING = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.py")
# What torch raises for a pickle that is damaged, or is no table of tensors; it opens no other.
BROKEN_PICKLE = (pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError)
WHERE_THE_BASE_LIES = ("base_model_name_or_path", "revision")


@dataclass(frozen=True)
class Subject:
    """The weights that are measured.

    Attributes:
        model: what the engine starts with.
        name: what the user called it.
        adapter: folder of the LoRA adapter that is merged into it, if any.
        dtype: of the engine; auto: the model's.
        run: folder of the run whose checkpoint it is, if any.
        dollars_per_hour: what that run's recipe says the machine costs.
    """

    model: ModelSection
    name: str
    adapter: Path | None = None
    dtype: str = "auto"
    run: Path | None = None
    dollars_per_hour: float = 0.0

    @property
    def kind(self) -> str:
        """`model` or `adapter`."""
        return "model" if self.adapter is None else "adapter"

    @property
    def checkpoint(self) -> str:
        """The folder, alias or hub id that the name stood for."""
        return str(self.adapter or self.model.name)

    @property
    def base(self) -> str | None:
        """The model that an adapter is merged into."""
        return None if self.adapter is None else self.model.name


def find_subject(model: str, checkpoint: str = LAST) -> Subject:
    """The weights that a name stands for. Nothing heavy is read.

    Args:
        model: an alias, a hub id, a model's folder, a run's folder, a checkpoint in it (`RUN/checkpoints/step-000010`,
            `RUN/checkpoints/best`), or the folder of a LoRA adapter in peft's format.
        checkpoint: of a run's folder: `last` (the last whole one), `best`, or a step.

    Raises:
        BadInput: the name stands for nothing (`check_model_name`), the run has no such checkpoint, there is no run to
            have one, or the adapter cannot be merged or is for another base.
    """
    check_model_name(model)
    path = Path(model).expanduser()
    run, asked = (None, None) if model in ALIASES else _in_run(path)
    if checkpoint != LAST and (run is None or asked is not None):
        why = "is no run" if run is None else "is one checkpoint of a run"
        raise BadInput(f"Checkpoint {checkpoint!r} is asked of {model}, which {why}: give the folder of the run.")
    if run is not None:
        return _of_run(model, run, weights_folder(run, asked or checkpoint))
    if model in ALIASES or not path.is_dir():
        return Subject(ModelSection(name=model), model)
    weights = path / "policy" if (path / "policy").is_dir() else path  # a checkpoint that was taken out of its run
    if not (weights / ADAPTER_CONFIG).is_file():
        return Subject(ModelSection(name=str(weights)), model)
    config = read_adapter_config(weights)
    section = base_of(weights, config)
    if section is None:
        raise BadInput(f"{weights / ADAPTER_CONFIG} does not say which model the adapter is for: add that to it.")
    check_adapter(weights, config, section)
    return Subject(section, model, weights)


def _in_run(path: Path) -> tuple[RunFolder | None, str | None]:
    """The run that a path leads to, and the checkpoint that it names, if it names one."""
    if is_run(path):
        return RunFolder(path), None
    place = path.resolve()
    if place.name == "policy":
        place = place.parent
    if place.name == "checkpoints" and is_run(place.parent):
        return RunFolder(place.parent), None
    if place.parent.name == "checkpoints" and is_run(place.parent.parent):
        return RunFolder(place.parent.parent), place.name
    return None, None


def _of_run(model: str, run: RunFolder, weights: Path) -> Subject:
    """A run's weights; its recipe knows the base by the name that it was trained under."""
    recipe = load_recipe(str(run.recipe))
    facts = recorded_precision(recipe, run)
    base, dtype, dollars = recipe.model, recipe.rollout.dtype, recipe.run.dollars_per_hour
    if facts and facts["device"] == pick_device("auto"):  # else it might be emulated here
        base, dtype = base.model_copy(update={"dtype": facts["learner"]}), facts["engine"] or dtype
    if (weights / ADAPTER_CONFIG).is_file():
        check_adapter(weights, read_adapter_config(weights), recipe.model)
        return Subject(base, model, weights, dtype, run.path, dollars)
    section = base.model_copy(update={"name": str(weights), "revision": None})
    return Subject(section, model, None, dtype, run.path, dollars)


def weights_folder(run: RunFolder, checkpoint: str = LAST) -> Path:
    """Where the weights of a run's checkpoint lie: `last`, `best`, or a step such as `10` or `step-000010`.

    Raises:
        BadInput: the run has no such checkpoint.
    """
    steps = [step for step, path in tables.step_paths(run.checkpoints).items() if path.is_dir()]
    listed = f"the steps {', '.join(map(str, steps))}" if steps else "none yet"
    if checkpoint == LAST:
        found = latest_checkpoint(run)
        if found is None:
            raise BadInput(f"The run {run.path} has no whole checkpoint yet: wait for one, or evaluate its base model.")
        return found / "policy"
    if checkpoint == BEST:
        found = best_checkpoint(run)
        if found is None or not found.is_dir():
            raise BadInput(f"The run {run.path} has no best checkpoint; there are {listed}: give one, or `last`.")
        return _whole(found, listed)
    step = re.fullmatch("(?:step-)?([0-9]{1,9})", checkpoint)
    if step is None or int(step.group(1)) not in steps:
        raise BadInput(f"The run {run.path} has no checkpoint {checkpoint!r}; there are {listed}: give one, or `last`.")
    return _whole(run.checkpoints / f"step-{int(step.group(1)):06d}", listed)


def _whole(checkpoint: Path, listed: str) -> Path:
    """The weights of a checkpoint, unless it is damaged."""
    if not is_whole(checkpoint):
        raise BadInput(f"The checkpoint {checkpoint} is damaged; there are {listed}: give another one, or `last`.")
    return checkpoint / "policy"


def fingerprint(subject: Subject) -> str:
    """SHA-256, in hex, over all that decides what the weights answer: they themselves, their settings, their tokenizer.

    Of a folder every byte counts, and its name does not; a hub model is known by its id and commit.

    Raises:
        BadInput: there is no such model, or it cannot be fetched.
    """
    section, identity = subject.model, dict[str, Any]()
    folder = Path(resolve_model(section.name, section.revision))
    if folder.is_dir():
        files = sorted({file for pattern in DECIDING for file in folder.glob(pattern)})
        identity["model"] = {file.name: file_hash(file) for file in files}
    else:
        identity["model"] = model_fingerprint(section.name, section.revision)
    if subject.adapter is not None:
        settings = read_adapter_config(subject.adapter)
        identity["settings"] = {key: settings[key] for key in settings.keys() - set(WHERE_THE_BASE_LIES)}
        identity["adapter"] = {file.name: file_hash(file) for file in weight_files(subject.adapter)}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


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
    except (RuntimeError, ValueError, OSError, SafetensorError, *BROKEN_PICKLE) as error:
        reason = str(error).strip().split("\n")[0]
        raise BadInput(f"The adapter {adapter} does not fit {section.name} ({reason}): give its own base.") from error
    own = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    if saved.keys() != own.keys():  # peft passes over what has no place, and leaves the rest at zero
        odd = min(saved.keys() ^ own.keys())
        raise BadInput(f"The adapter {adapter} does not fit {section.name}, which shows in {odd}: give its own base.")
    return Policy(model, has_adapter=True).export()
