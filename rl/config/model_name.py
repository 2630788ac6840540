"""What the name of a model can be: an alias, a folder, or a hub id. A wrong path is refused before anything loads."""

import re
from pathlib import Path

from rewards.errors import BadInput
from rl.base.nearest import STAMP, missing_folder, nearest, nearest_folder
from rl.base.visible import visible_line
from rl.config.listed import pipeline_names, recipe_names

# Aliases, and the hub id of the model whose weights they are; None: random weights, which are nowhere else.
HUB_IDS: dict[str, str | None] = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct", "tiny": None, "tiny-moe": None}
OF_PENNY = ("runs", "evals")  # folders that Penny writes into
ENDINGS = (".bin", ".ckpt", ".gguf", ".json", ".jsonl", ".pt", ".pth", ".safetensors", ".yaml", ".yml", ".zip")
ALIAS_SLIP = 0.75  # how much a bare name must be like an alias to be taken for one that is mistyped
FORMS = f"a run, a model's folder, an alias ({', '.join(HUB_IDS)}) or a hub id such as Qwen/Qwen2.5-0.5B"


def check_model_name(name: str) -> None:
    """Refuse at once a name that stands for no model.

    A folder that exists and an alias are right, and so is what may be an id on the hub, which is not asked here.

    Raises:
        BadInput: a path that leads nowhere, an address, or the name of a recipe.
    """
    folder = Path(name).expanduser()
    if name in HUB_IDS or folder.is_dir() or _in_checkpoints(folder):
        return
    if not name.strip():
        raise BadInput(f"The name of the model is empty: give {FORMS}.")
    if visible_line(name) != name:
        raise BadInput(f"{name!r} has characters that stand in no name of a model: give {FORMS}.")
    if "://" in name:
        found = re.search(r"^(?:https?://[^/]+/|hf://)(?:models/)?([^/?#]+/[^/?#]+)", name)
        hint = f"write {found.group(1)}" if found else f"give {FORMS}"
        raise BadInput(f"{name} is an address, not a model: {hint}.")
    if folder.is_file():
        raise BadInput(f"{name} is a file, and a model is a folder: give {FORMS}.")
    if looks_like_path(name):
        hint = "" if nearest_folder(Path(name)) else f" Give {FORMS}."
        raise BadInput(f"The model {missing_folder(Path(name))}.{hint}")
    if "/" not in name:
        _check_bare(name)


def looks_like_path(name: str) -> bool:
    """Tell a path from a hub id, which has one slash at most and no folder of ours at its beginning."""
    if name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1 or name.endswith(("/", *ENDINGS)):
        return True
    place, slash, _ = name.partition("/")
    # A folder may be called like an organization of the hub by chance: then it must hold models or runs.
    return bool(slash) and (place in OF_PENNY or (Path(place).is_dir() and _holds_models(Path(place))))


def _in_checkpoints(path: Path) -> bool:
    """Tell a path such as `RUN/checkpoints/best`, which need not be there: the run knows what it stands for."""
    place = path.resolve().parents
    return any(parent.name == "checkpoints" and (parent.parent / "recipe.yaml").is_file() for parent in place[:2])


def _check_bare(name: str) -> None:
    """Refuse a name without a slash that is a recipe's, a run's without its folder, or nearly an alias."""
    runs = sorted(str(path) for path in Path("runs").glob("*") if name in (path.name, STAMP.sub("", path.name)))
    if name in (*recipe_names(), *pipeline_names()):
        kind, command = ("recipe", "train") if name in recipe_names() else ("pipeline", "run")
        hint = f"give its newest run, {runs[-1]}" if runs else f"make a model with `penny {command} {name}` first"
        raise BadInput(f"{name} is a {kind}, not a model: {hint}.")
    if runs:
        raise BadInput(f"There is no model {name!r}; did you mean the run {runs[-1]}?")
    if near := nearest(name, HUB_IDS, cutoff=ALIAS_SLIP):
        raise BadInput(f"There is no model {name!r}; did you mean {near[0]}?")


def _holds_models(place: Path) -> bool:
    return any(True for name in ("config.json", "adapter_config.json", "recipe.yaml") for _ in place.glob(f"*/{name}"))
