"""`penny eval` on LoRA adapters: their answers are those of the merged model, and misfits are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rewards.errors import BadInput
from rl.config.recipe import ModelSection
from rl.evaluation.subject import find_subject, merged_weights
from rl.models.source import load_model, load_tokenizer
from rl.run.folder import RunFolder
from tests.evaluation_runs import evaluate, said

pytestmark = pytest.mark.usefixtures("own_folder")


def test_an_adapter_changes_the_weights_by_scale_times_b_a(tiny_model: Path, adapter: Path) -> None:
    base = load_model(str(tiny_model)).state_dict()
    lora = load_file(adapter / "adapter_model.safetensors")
    exported = dict(merged_weights(ModelSection(name=str(tiny_model)), adapter))
    changed = {name for name, tensor in exported.items() if not torch.equal(tensor, base[name])}
    assert changed == {name for name in base if "_proj" in name}
    assert "lm_head.weight" not in exported
    name = "model.layers.1.mlp.down_proj"
    delta = lora[f"base_model.model.{name}.lora_B.weight"] @ lora[f"base_model.model.{name}.lora_A.weight"]
    assert torch.allclose(exported[f"{name}.weight"], base[f"{name}.weight"] + 8 / 4 * delta, atol=1e-6)


def test_adapter_run_and_checkpoint_answer_as_the_merged_model(
    tiny_model: Path, adapter: Path, merged: Path, run: RunFolder, recipe_path: Path, tmp_path: Path
) -> None:
    expected = said(merged, recipe_path, tmp_path / "merged")
    assert said(adapter, recipe_path, tmp_path / "adapter") == expected
    assert said(run.path, recipe_path, tmp_path / "run-answers") == expected
    assert said(run.checkpoints / "step-000001", recipe_path, tmp_path / "first") != expected
    assert said(tiny_model, recipe_path, tmp_path / "base") == said(
        run.checkpoints / "step-000001" / "policy", recipe_path, tmp_path / "first"
    )


def test_an_adapter_of_another_model_is_refused(
    adapter: Path, tiny_model: Path, tmp_path: Path, sums: Path, no_engine: None
) -> None:
    other = tmp_path / "other"
    model = load_model(str(tiny_model))
    model.model.layers = model.model.layers[:1]  # same widths, one layer less: only the names tell
    model.config.num_hidden_layers = 1
    model.save_pretrained(other)
    load_tokenizer(str(tiny_model)).save_pretrained(other)
    with pytest.raises(BadInput, match=r"does not fit .*other, which shows in base_model.*layers\.1\."):
        evaluate(_rebased(adapter, tmp_path / "fewer", other), sums)

    weights = load_file(adapter / "adapter_model.safetensors")
    wider = {name: torch.cat([tensor, tensor]) if "lora_B" in name else tensor for name, tensor in weights.items()}
    folder = _rebased(adapter, tmp_path / "wider", tiny_model)
    save_file(wider, folder / "adapter_model.safetensors")
    with pytest.raises(BadInput, match=r"wider does not fit"):
        evaluate(folder, sums)

    (folder / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(BadInput, match=r"wider cannot be read"):
        evaluate(folder, sums)


def _rebased(adapter: Path, target: Path, base: Path, **changes: Any) -> Path:
    """A copy of an adapter that names another base model."""
    target.mkdir()
    config = json.loads((adapter / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(base)} | changes))
    (target / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
    return target


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"peft_type": "IA3"}, "of type IA3"),
        ({"modules_to_save": ["lm_head"]}, "has modules_to_save"),
        ({"base_model_name_or_path": None}, "does not say which model"),
        ({"base_model_name_or_path": "/no/such/model"}, "/no/such/model does not exist"),
    ],
)
def test_adapters_that_cannot_be_merged_are_refused(
    adapter: Path, tiny_model: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        find_subject(str(_rebased(adapter, tmp_path / "changed", tiny_model, **changes)))


def test_an_adapter_on_tied_embeddings_is_refused(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    tied = tmp_path / "tied"
    tied.mkdir()
    config = json.loads((tiny_model / "config.json").read_text()) | {"tie_word_embeddings": True}
    (tied / "config.json").write_text(json.dumps(config))
    folder = _rebased(adapter, tmp_path / "head", tied, target_modules=["q_proj", "lm_head"])
    with pytest.raises(BadInput, match="uses one matrix for both"):
        find_subject(str(folder))
