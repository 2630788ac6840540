"""Names of models: a path that leads nowhere is refused at once, and what may be a hub id is left to the hub."""

from pathlib import Path

import pytest

from rewards.errors import BadInput
from rl.config.model_name import HUB_IDS, check_model_name, looks_like_path
from rl.models.source import ALIASES


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run, a folder of models, and one that is only called like an organization."""
    monkeypatch.chdir(tmp_path)
    for name in ("runs/quickstart-20261130-101010/recipe.yaml", "models/small/config.json", "Qwen/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    return tmp_path


def refusal(name: str) -> str:
    with pytest.raises(BadInput) as failure:
        check_model_name(name)
    assert "\n" not in str(failure.value)
    return str(failure.value)


def test_a_runs_checkpoints_are_left_to_the_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = place / "runs" / "quickstart-20261130-101010"
    check_model_name(f"{run}/checkpoints/best")
    check_model_name("runs/quickstart-20261130-101010/checkpoints/step-000007/policy")
    (run / "checkpoints").mkdir()
    monkeypatch.chdir(run / "checkpoints")
    check_model_name("best")


def test_every_alias_has_its_origin() -> None:
    assert ALIASES.keys() == HUB_IDS.keys()


@pytest.mark.parametrize(
    "name",
    ["smollm2", "tiny-moe", "models/small", "./models", "Qwen/Qwen2.5-0.5B", "gpt2", "mistralai/Mistral-7B-v0.1"],
)
def test_what_may_be_a_model_passes(place: Path, name: str) -> None:
    check_model_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "runs/nope",
        "evals/nope",
        "./nope",
        "/nope",
        "~/no-such-folder",
        "a/b/c",
        "models/smal",
        "x/y.safetensors",
        "org/",
    ],
)
def test_what_looks_like_a_path_is_refused_without_the_hub(place: Path, name: str) -> None:
    assert looks_like_path(name)
    assert "does not exist" in refusal(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "runs/quickstrt",
            "The model runs/quickstrt does not exist; the nearest is runs/quickstart-20261130-101010.",
        ),
        ("models/smal", "The model models/smal does not exist; the nearest is models/small."),
        ("quickstart-20261130-101010", "did you mean the run runs/quickstart-20261130-101010?"),
        ("quickstart", "quickstart is a recipe, not a model: give its newest run, runs/quickstart-20261130-101010."),
        ("gsm8k", "gsm8k is a recipe, not a model: make a model with `penny train gsm8k` first."),
        ("r1-mini", "r1-mini is a pipeline, not a model: make a model with `penny run r1-mini` first."),
        ("smolm2", "did you mean smollm2?"),
        ("tiny_moe", "did you mean tiny-moe?"),
        ("Qwen/notes.txt", "Qwen/notes.txt is a file, and a model is a folder"),
        ("https://huggingface.co/Qwen/Qwen2.5-0.5B/tree/main", "is an address, not a model: write Qwen/Qwen2.5-0.5B."),
        ("hf://Qwen/Qwen2.5-0.5B", "write Qwen/Qwen2.5-0.5B."),
        ("http://localhost:8000/v1", "is an address, not a model"),
        (" ", "is empty"),
        ("/nope", "Give a run, a model's folder, an alias (smollm2, tiny, tiny-moe) or a hub id"),
    ],
)
def test_the_refusal_says_what_is_meant(place: Path, name: str, expected: str) -> None:
    assert expected in refusal(name)
