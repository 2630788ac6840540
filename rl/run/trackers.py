"""TensorBoard, Weights & Biases and trackio, through accelerate's trackers.

The accelerator is made by the caller, as `Accelerator(log_with=recipe.run.report_to, project_dir=folder.path)`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from accelerate import Accelerator
from accelerate.utils import is_tensorboard_available, is_trackio_available, is_wandb_available

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.run.folder import RunFolder
from rl.run.manifest import read_manifest

AVAILABLE = {
    "tensorboard": is_tensorboard_available,
    "wandb": is_wandb_available,
    "trackio": is_trackio_available,
}


def check_trackers(names: Sequence[str]) -> None:
    """Raise BadInput if a tracker named in `run.report_to` is not installed; before the accelerator is made."""
    missing = [name for name in names if not AVAILABLE[name]()]
    if missing:
        raise BadInput(
            f"run.report_to names {', '.join(missing)}, not installed here: "
            f"`pip install {' '.join(missing)}`, or take it out."
        )


def start_trackers(accelerator: Accelerator, folder: RunFolder, recipe: Recipe) -> None:
    """Start the accelerator's trackers under the run folder's name.

    A resumed run goes on in the same W&B or trackio run. Does nothing if the recipe names no tracker. End them with
    `accelerator.end_training()`.
    """
    if not recipe.run.report_to:
        return
    name = folder.path.resolve().name
    began = read_manifest(folder).get("started", "")
    identity = f"{name}-{''.join(character for character in began if character.isdigit())}"
    options = {
        "wandb": {"name": name, "id": identity, "resume": "allow", "dir": str(folder.path)},
        "trackio": {"name": identity, "resume": "allow"},
    }
    accelerator.init_trackers(
        "penny",
        config=_scalars(recipe.model_dump(mode="json")),
        init_kwargs={tracker: options.get(tracker, {}) for tracker in recipe.run.report_to},
    )


def log_metrics(accelerator: Accelerator, metrics: Mapping[str, Any]) -> None:
    """Send one line of the metrics to the trackers; nulls and NaN are left out."""
    numbers = {
        key: value
        for key, value in metrics.items()
        if key != "step" and isinstance(value, int | float) and math.isfinite(value)
    }
    accelerator.log(numbers, step=metrics["step"])


def _scalars(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten the recipe to dotted keys; TensorBoard takes numbers, booleans and text only."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _scalars(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
