"""Supervised fine-tuning: its loss against one worked out from the logits, packing, and a stop in the middle."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from rewards.errors import BadInput
from rl.base.signals import StopRequested, StopSignal
from rl.config.recipe import ModelSection, ProblemsSection
from rl.evaluation.command import Listener
from rl.models.source import load_model, load_tokenizer
from rl.pipelines import sft
from rl.pipelines.books import StageResult
from rl.pipelines.examples import Example
from rl.pipelines.schema import SftSection, SftStage
from rl.pipelines.sft import agree_on_data, fine_tune, last_checkpoint
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger, ledger_totals
from rl.run.metrics import read_metrics

ROWS = 12


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    path = tmp_path / "worked" / "traces.jsonl"
    path.parent.mkdir()
    rows = [
        {"problem_id": str(n), "problem": {"question": f"{n} + {n}"}, "completion": f" {n + n}" + "." * n}
        for n in range(ROWS)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def stage(model: Path, peft: bool = True, **keys: Any) -> SftStage:
    return SftStage(
        kind="sft",
        model=ModelSection(name=str(model), lora_r=4, use_peft=peft),
        problems=ProblemsSection(source="arithmetic", chat_template=False, prompt="{question} ="),
        sft=SftSection(**({"learning_rate": 1e-3, "max_length": 64, "save_steps": 1} | keys)),
    )


def learn(
    stage: SftStage, folder: Path, traces: Path, stop: StopSignal | None = None, accept: bool = False
) -> StageResult:
    folder.mkdir(exist_ok=True)
    with Ledger(RunFolder(folder), 3.6) as ledger:
        return fine_tune("cold-start", stage, folder, [traces], ledger, Listener(), stop or StopSignal(), accept)


def loss_by_hand(model: Path) -> float:
    """Mean of -log p over the completions' tokens, sequence by sequence, without any padding."""
    network, tokenizer = load_model(str(model)), load_tokenizer(str(model))
    losses: list[torch.Tensor] = []
    for n in range(ROWS):
        prompt = tokenizer(f"{n} + {n} =").input_ids
        completion = [*tokenizer(f" {n + n}" + "." * n).input_ids, tokenizer.eos_token_id]
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            logits = network(ids).logits[0, len(prompt) - 1 : -1]
        losses.append(functional.cross_entropy(logits, torch.tensor(completion), reduction="none"))
    return float(torch.cat(losses).mean())


@pytest.mark.parametrize("packing", [False, True])
def test_the_first_loss_is_the_mean_over_the_completions_tokens(
    tiny_model: Path, tmp_path: Path, traces: Path, packing: bool
) -> None:
    one_step = stage(tiny_model, max_steps=1, per_device_train_batch_size=ROWS, packing=packing)
    result = learn(one_step, tmp_path / "sft", traces)
    assert result.figures["examples"] == ROWS
    if packing:  # rows of 64 tokens: all of them are one batch
        assert result.figures["steps"] == 1
    assert result.figures["loss"] == pytest.approx(loss_by_hand(tiny_model), abs=1e-4)


@pytest.mark.parametrize("peft", [True, False])
def test_the_model_that_comes_out_is_whole_and_has_learned(
    tiny_model: Path, tmp_path: Path, traces: Path, peft: bool
) -> None:
    folder = tmp_path / "sft"
    result = learn(stage(tiny_model, peft, num_train_epochs=8, learning_rate=1e-2), folder, traces)
    assert result.model == "model" and (folder / "adapter").is_dir() == peft
    assert loss_by_hand(folder / "model") < 0.7 * loss_by_hand(tiny_model)
    totals = ledger_totals(RunFolder(folder))
    assert totals["tokens"]["trained"] > 0 and totals["seconds"]["learn"] > 0 and totals["dollars"] > 0


def test_an_adapter_merged_is_the_adapter(tiny_model: Path, tmp_path: Path, traces: Path) -> None:
    from peft import PeftModel

    folder = tmp_path / "sft"
    learn(stage(tiny_model, max_steps=2), folder, traces)
    ids = torch.arange(3, 30)[None]
    adapted = PeftModel.from_pretrained(load_model(str(tiny_model)), str(folder / "adapter"))
    with torch.no_grad():
        assert torch.allclose(adapted(ids).logits, load_model(str(folder / "model"))(ids).logits, atol=1e-5)


class AfterSteps(StopSignal):
    """A signal that comes after so many looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    @property
    def received(self) -> signal.Signals | None:  # type: ignore[override]
        self._looks -= 1
        return signal.SIGTERM if self._looks < 0 else None

    @received.setter
    def received(self, value: signal.Signals | None) -> None:
        pass


def test_a_stopped_stage_goes_on_to_the_same_weights(tiny_model: Path, tmp_path: Path, traces: Path) -> None:
    whole = stage(tiny_model, max_steps=4, per_device_train_batch_size=4)
    learn(whole, tmp_path / "at-once", traces)
    with pytest.raises(StopRequested):
        learn(whole, tmp_path / "in-two", traces, AfterSteps(1))
    saved = last_checkpoint(tmp_path / "in-two")
    assert saved is not None and saved.name == "checkpoint-2"
    learn(whole, tmp_path / "in-two", traces)
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("at-once", "in-two"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert [line["step"] for line in read_metrics(RunFolder(tmp_path / "in-two"))] == [1, 2, 3, 4]


def test_a_stopped_stage_does_not_go_on_with_other_data_unasked(
    tiny_model: Path, tmp_path: Path, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, folder = stage(tiny_model, max_steps=4, per_device_train_batch_size=4), tmp_path / "sft"
    with pytest.raises(StopRequested):
        learn(whole, folder, traces, AfterSteps(1))
    traces.write_text(traces.read_text().replace("3 + 3", "3 + 4"))
    with monkeypatch.context() as patch:
        patch.setattr(sft, "load_model", lambda *_, **__: pytest.fail("the model was loaded"))
        with pytest.raises(BadInput, match="stage cold-start learns from has changed .* by --from cold-start"):
            learn(whole, folder, traces)
    assert learn(whole, folder, traces, accept=True).figures["steps"] == 4


def test_data_may_change_until_a_step_is_saved(tmp_path: Path) -> None:
    folder = tmp_path / "sft"
    folder.mkdir()
    sequences = [Example([1, 2], 1), Example([1, 3], 1)]
    agree_on_data("cold-start", folder, sequences, False)
    agree_on_data("cold-start", folder, sequences[:1], False)
    assert json.loads((folder / "examples.json").read_text())["examples"] == 1


def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    for name, whole in (("checkpoint-9", True), ("checkpoint-10", True), ("checkpoint-11", False)):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        if whole:
            (tmp_path / "checkpoints" / name / "trainer_state.json").write_text("{}")
    found = last_checkpoint(tmp_path)
    assert found is not None and found.name == "checkpoint-10"
