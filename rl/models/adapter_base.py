"""What a saved adapter says of the model that it is for: others know that by its hub id, and Penny by its own name."""

import json
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.config.model_name import HUB_IDS
from rl.config.recipe import ModelSection
from rl.models.source import resolve_model

ADAPTER_CONFIG = "adapter_config.json"
NOTE = "penny_base.json"  # an alias: its weights differ a little from those that the hub has under its id


def hub_id(section: ModelSection) -> str | None:
    """Return the hub id of a model, of an alias that of its origin; None: it is in a folder, or nowhere on the hub."""
    if section.name in HUB_IDS:
        return HUB_IDS[section.name]
    return None if Path(section.name).expanduser().is_dir() else section.name


def name_base(adapter: Path, section: ModelSection) -> None:
    """Write into a saved adapter which model it is for.

    peft notes the folder that the model was loaded from, which for an alias is in the cache of this machine, and puts
    it into a card, too. `penny export` writes a better one.
    """
    file = adapter / ADAPTER_CONFIG
    config = json.loads(file.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = hub_id(section) or str(Path(resolve_model(section.name)).resolve())
    config["revision"] = section.revision
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (adapter / "README.md").unlink(missing_ok=True)
    (adapter / NOTE).unlink(missing_ok=True)
    if section.name in HUB_IDS:
        (adapter / NOTE).write_text(json.dumps({"name": section.name}) + "\n", encoding="utf-8")


def base_of(adapter: Path, config: dict[str, Any]) -> ModelSection | None:
    """Return the model that a saved adapter is for; None: it does not say."""
    note = adapter / NOTE
    if note.is_file():
        try:
            return ModelSection(name=json.loads(note.read_text(encoding="utf-8"))["name"])
        except (OSError, ValueError, LookupError, TypeError) as error:  # no JSON, or nothing that has a name
            raise BadInput(f"{note} is damaged: bring it back from a copy, or export the adapter again.") from error
    name = config.get("base_model_name_or_path")
    return ModelSection(name=str(name), revision=config.get("revision")) if name else None
