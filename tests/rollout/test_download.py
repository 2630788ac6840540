"""Weights of hub models are fetched where their progress is seen, and only if they are not here."""

import json
from pathlib import Path

import huggingface_hub
import pytest

from rl.config.recipe import ModelSection
from rl.rollout import build

INDEX = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that are fetched; `tmp_path` is the hub's cache of every model."""
    names: list[str] = []

    def cached(name: str, file: str, revision: str | None = None) -> str | None:
        return str(tmp_path / file) if (tmp_path / file).exists() else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: names.append(name))
    monkeypatch.setattr(build, "why_hub_is_silent", lambda: None)
    return names


@pytest.mark.parametrize(
    ("files", "complete"),
    [
        ([], False),
        (["model.safetensors"], True),
        (["pytorch_model.bin"], False),
        (["model.safetensors.index.json"], False),
        (["model.safetensors.index.json", "model-1.safetensors"], False),
        (["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"], True),
    ],
)
def test_what_is_not_whole_in_the_cache_is_fetched(
    files: list[str], complete: bool, fetched: list[str], tmp_path: Path
) -> None:
    for file in files:
        (tmp_path / file).write_text(json.dumps(INDEX))
    build.download(ModelSection(name="org/model"))
    assert fetched == ([] if complete else ["org/model"])


def test_local_models_and_a_silent_hub_are_left_alone(
    fetched: list[str], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.download(ModelSection(name=str(tiny_model)))
    monkeypatch.setattr(build, "why_hub_is_silent", lambda: "it is offline")
    build.download(ModelSection(name="org/model"))
    assert fetched == []


def test_a_model_that_cannot_be_fetched_is_left_to_who_loads_it(
    fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, **_: object) -> None:
        raise FileNotFoundError(name)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", missing)
    build.download(ModelSection(name="org/model"))
