"""Runs whose loss, estimator or correction is the user's: equal to built-in ones, saved, resumed, recorded."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.config.recipe import Recipe
from rl.run.checkpoints import last_saved
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.training import launch
from rl.training.checks import check_recipe
from rl.training.launch import run_recipe
from tests.training.test_train import adapter, recipe, without_clock
from tests.training.test_train_modes import AHEAD

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_loss.py"
STEPS = 3
COPIES = """
import torch
def dapo(x):
    ratio = (x.logps - x.old_logps).exp()
    return -torch.minimum(ratio * x.advantages, ratio.clamp(1 - x.epsilon, 1 + x.epsilon_high) * x.advantages)
def rloo(rewards, valid):
    count = valid.sum(dim=1, keepdim=True)
    mean = torch.where(valid, rewards, 0).sum(dim=1, keepdim=True) / count.clamp(min=1)
    flat = rewards.amax(dim=1, keepdim=True) == rewards.amin(dim=1, keepdim=True)
    return torch.where(valid & (count > 1) & ~flat, rewards - mean, 0) * (count / (count - 1).clamp(min=1))
def token_truncate(learner_logps, engine_logps, mask, cap):
    return (learner_logps - engine_logps).exp().clamp(max=cap)
"""
# Sizes tell calls of a run from those of the trial: 10 tokens, 5 groups.
FAILS = """
calls = 0
def f({given}):
    global calls
    calls += {real}
    if {real} and calls == {after}:
        {end}
    return {value}
"""
PARTS = {  # what a function asks for, what it returns, and whether it is called by a run
    "loss_type": ("x", "-x.ratio() * x.advantages", "len(x.logps) > 10"),
    "advantage_estimator": (
        "rewards, valid",
        "rewards - (rewards * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp(min=1)",
        "len(rewards) == 4",
    ),
    "importance_sampling_correction": ("learner_logps", "learner_logps * 0 + 1", "len(learner_logps) > 10"),
}
WORDS = {
    "loss_type": "loss",
    "advantage_estimator": "advantage estimator",
    "importance_sampling_correction": "correction",
}


def short(model: Path, folder: Path, algorithm: dict[str, Any], **sections: dict[str, Any]) -> Recipe:
    """Three steps of two updates, measured before and after."""
    few: dict[str, dict[str, Any]] = {
        "algorithm": {"num_iterations": 2} | algorithm,
        "optimizer": {"max_steps": STEPS},
        "evaluation": {"every": 0, "size": 2},
        "run": {"dir": str(folder), "save_steps": 100},
    }
    return recipe(model, folder, **few | sections)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return adapter(folder, STEPS)


def equal(one: Path, other: Path) -> bool:
    ours, theirs = weights_of(one), weights_of(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("key", "name"),
    [("loss_type", "dapo"), ("advantage_estimator", "rloo"), ("importance_sampling_correction", "token_truncate")],
)
def test_a_copy_of_a_built_in_part_trains_bit_for_bit_the_same(
    key: str, name: str, tiny_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "copies.py"
    file.write_text(COPIES)
    run_recipe(short(tiny_model, tmp_path / "built-in", {key: name}))
    run_recipe(short(tiny_model, tmp_path / "copy", {key: f"{file}:{name}"}))
    assert equal(tmp_path / "built-in", tmp_path / "copy")
    assert any(tensor.any() for name, tensor in weights_of(tmp_path / "copy").items() if "lora_B" in name)
    ours, theirs = (without_clock(read_metrics(RunFolder.open(tmp_path / folder))) for folder in ("copy", "built-in"))
    own = ("clip_ratio/", "correction/capped")  # statistics that a copy does not give
    for mine, built_in in zip(ours, theirs, strict=True):
        assert mine | {key: value for key, value in built_in.items() if key.startswith(own)} == built_in


def test_the_example_trains_as_gspo_does(tiny_model: Path, tmp_path: Path) -> None:
    gspo = {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.001}
    run_recipe(short(tiny_model, tmp_path / "built-in", gspo))
    run_recipe(short(tiny_model, tmp_path / "example", {"loss_type": f"{EXAMPLE}:gspo", "epsilon": 0.001}))
    assert equal(tmp_path / "built-in", tmp_path / "example")
    for mine, built_in in zip(
        *(read_metrics(RunFolder.open(tmp_path / folder)) for folder in ("example", "built-in")), strict=True
    ):
        # outside on either side, whichever the advantage: at least what is clipped
        assert mine["loss/outside"] >= built_in["clip_ratio/low"] + built_in["clip_ratio/high"] > 0


def test_the_examples_of_an_estimator_and_a_correction_run(tiny_model: Path, tmp_path: Path) -> None:
    parts = {"advantage_estimator": "over_median", "importance_sampling_correction": "smooth"}
    whole = short(tiny_model, tmp_path / "run", {key: f"{EXAMPLE}:{name}" for key, name in parts.items()})
    check_recipe(whole)
    run_recipe(whole)
    metrics = read_metrics(RunFolder.open(tmp_path / "run"))
    assert [line["step"] for line in metrics] == [1, 2, 3] and all(line["grad_norm"] > 0 for line in metrics)
    assert all(line["correction/mean"] == pytest.approx(1, abs=1e-3) for line in metrics)  # engine and learner agree


def rewritten(file: Path, key: str, after: int = 0, end: str = "pass") -> None:
    """Write a function that does something else in one of a run's calls."""
    given, value, real = PARTS[key]
    file.write_text(FAILS.format(given=given, value=value, real=f"({real})", after=after, end=end))


@pytest.mark.parametrize(
    ("key", "after", "save_steps", "mode"),
    [
        ("loss_type", 5, 100, {}),  # two calls a step: in the first update of step 3
        ("loss_type", 5, 100, AHEAD),
        ("loss_type", 6, 1, {}),  # in its second, when the weights are not those of step 2 any more
        ("importance_sampling_correction", 5, 100, {}),
        ("advantage_estimator", 3, 100, {}),
    ],
    ids=["loss", "loss ahead", "loss between updates", "correction", "estimator"],
)
def test_a_function_that_fails_ends_the_run_saved_and_it_goes_on_as_if_nothing_had_been(
    key: str, after: int, save_steps: int, mode: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    file, run = tmp_path / "mine.py", RunFolder(tmp_path / "run")
    rewritten(file, key, after, "return [][1]")
    whole = short(tiny_model, run.path, {key: f"{file}:f"}, **mode)
    whole = whole.model_copy(update={"run": whole.run.model_copy(update={"save_steps": save_steps})})
    with pytest.raises(RunStopped) as caught:
        run_recipe(whole)
    what = WORDS[key]
    report = run.path / f"{what.replace(' ', '-')}-error.txt"
    assert str(caught.value) == (
        f"the {what} '{file}:f' raised IndexError: list index out of range at {file}, line 7 "
        f"(the whole traceback is in {report}); step 2 is saved: correct the {what}, then go on with: "
        f"penny train --resume {run.path}"
    )
    assert "Traceback (most recent call last)" in report.read_text()
    assert last_saved(run) == 2
    rewritten(file, key)
    assert run_recipe(whole, run)[0] == 0
    run_recipe(short(tiny_model, tmp_path / "undisturbed", {key: f"{file}:f"}, **mode))
    assert equal(run.path, tmp_path / "undisturbed")


def test_what_a_function_returns_is_checked_in_every_call(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    rewritten(file, "loss_type", 3, "return x.logps[1:]")
    with pytest.raises(
        RunStopped, match=rf"returned a tensor \[\d+\], and must .* at {file}, line 3 .*step 1 is saved"
    ):
        run_recipe(short(tiny_model, tmp_path / "run", {"loss_type": f"{file}:f"}))


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without the white space at which lines may be broken."""
    return "".join(capsys.readouterr().out.split())


def test_a_run_records_its_files_and_says_when_one_has_changed(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = tmp_path / "mine.py", tmp_path / "run"
    rewritten(file, "loss_type", 5, "1 / 0")
    first = hashlib.sha256(file.read_bytes()).hexdigest()
    whole = short(tiny_model, folder, {"loss_type": f"{file}:f"})
    with pytest.raises(RunStopped):
        run_recipe(whole)
    manifest = json.loads((folder / "manifest.json").read_text())
    [reward] = whole.rewards.functions
    graded = hashlib.sha256(Path(reward.partition(":")[0]).read_bytes()).hexdigest()
    assert manifest["functions"] == {f"{file}:f": first, reward: graded}
    assert "haschanged" not in printed(capsys)
    rewritten(file, "loss_type")
    second = hashlib.sha256(file.read_bytes()).hexdigest()
    run_recipe(whole, RunFolder(folder))
    assert f"{file}:fhaschangedsincetherunwaslasttrained" in printed(capsys)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["functions"][f"{file}:f"] == first
    assert manifest["sessions"][1]["changed"]["functions"] == {f"{file}:f": second, reward: graded}
    run_recipe(whole, RunFolder(folder))
    assert "haschanged" not in printed(capsys)


def test_a_function_that_cannot_work_is_refused_before_a_model_is_loaded(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def f(x): return -x.logps / len(x.logps)\n")
    whole = short(tiny_model, tmp_path / "run", {"loss_type": f"{file}:f"})
    for name in ("download", "build_engine", "load_learner"):
        monkeypatch.delattr(launch, name)
    with pytest.raises(BadInput, match="does not add up over micro-batches"):
        check_recipe(whole)
    with pytest.raises(BadInput, match="does not add up over micro-batches"):
        run_recipe(whole)
