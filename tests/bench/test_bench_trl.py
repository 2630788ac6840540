"""TRL's side of the benchmarks: what it is given, and that both sides compute the same before they are timed."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import learner
from benchmarks.given import as_samples, given_recipe, our_pass
from benchmarks.learner import compare, penny_seconds, trl_seconds
from benchmarks.memory import made_up
from benchmarks.trl_process import as_step, loss_and_backward, open_trainer, trl_inputs, trl_steps
from benchmarks.workload import VARIED, Sizes, bench_recipe, perturbed_policy
from rl.base.errors import RunStopped
from rl.learner.packing import Sample


def samples() -> list[Sample]:
    """Prompts and completions of unlike lengths, in groups of two."""
    return [
        Sample((5, 6, 7), (8, 9, 10, 11), (-1.0,) * 4, 1.0, True),
        Sample((5, 6, 7), (8, 9), (-1.0,) * 2, -0.5, True),
        Sample((12,), (13,), (-1.0,), 0.7, True),
        Sample((12,), (14, 15, 16), (-1.0,) * 3, -1.2, True),
    ]


def given() -> list[dict[str, Any]]:
    return [asdict(sample) for sample in samples()]


def test_rollouts_travel_as_they_are() -> None:
    travelled = [{name: list(x) if isinstance(x, tuple) else x for name, x in sample.items()} for sample in given()]
    assert as_samples(travelled) == samples()


def test_trl_gets_prompts_padded_on_the_left_and_completions_on_the_right() -> None:
    inputs = trl_inputs(samples(), pad=0)
    assert inputs["prompt_ids"].tolist() == [[5, 6, 7], [5, 6, 7], [0, 0, 12], [0, 0, 12]]
    assert inputs["prompt_mask"].tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 1], [0, 0, 1]]
    assert inputs["completion_ids"].tolist() == [[8, 9, 10, 11], [8, 9, 0, 0], [13, 0, 0, 0], [14, 15, 16, 0]]
    assert inputs["completion_mask"].sum(1).tolist() == [4, 2, 1, 3]
    assert inputs["num_items_in_batch"] == 10
    torch.testing.assert_close(inputs["advantages"], torch.tensor([1.0, -0.5, 0.7, -1.2]))


def test_both_sides_compute_the_same_loss_and_gradient(tiny_model: Path) -> None:
    found = compare(str(tiny_model), given())
    assert found["loss"] < 1e-4 and 0 < found["gradient"] < 1e-4


def test_sides_that_differ_are_not_timed(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(policy: Any, rollouts: Any, recipe: Any) -> float:
        return our_pass(policy, [*rollouts[:-1], made_up(250, 1, 1, 3)[0]], recipe)

    monkeypatch.setattr(learner, "our_pass", other)
    with pytest.raises(RunStopped, match="no use in timing"):
        compare(str(tiny_model), given())


def test_trl_in_passes_gives_what_one_pass_gives(tiny_model: Path, tmp_path: Path) -> None:
    losses = []
    for size in (4, 1):
        recipe = given_recipe(str(tiny_model), 4, {"optimizer": {"micro_batch_size": size, "max_grad_norm": 0.0}})
        trainer = open_trainer(recipe, tmp_path)
        losses.append(loss_and_backward(trainer, trl_inputs(samples(), 0)))
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in trainer.model.parameters())
    # At the start of an update the ratio is 1, so the loss is minus the advantage, token by token, over the tokens.
    by_hand = -(4 * 1.0 + 2 * -0.5 + 1 * 0.7 + 3 * -1.2) / 10
    assert losses == pytest.approx([by_hand, by_hand], abs=1e-6)


def test_our_pass_changes_no_weight_and_gives_the_loss(tiny_model: Path) -> None:
    recipe = given_recipe(str(tiny_model), 4, {})
    policy = perturbed_policy(recipe)
    before = {name: p.detach().clone() for name, p in policy.trainable.items()}
    assert our_pass(policy, samples(), recipe) == pytest.approx(-0.01, abs=1e-6)
    assert all(torch.equal(p, before[name]) for name, p in policy.trainable.items())


def test_both_sides_are_timed(tiny_model: Path) -> None:
    assert penny_seconds(str(tiny_model), given()) > 0
    assert trl_seconds(str(tiny_model), given(), checkpointing=True) > 0


def test_a_step_of_trl_is_cut_into_phases() -> None:
    seconds = {"generate": 4.0, "grade": 1.0, "training_step": 9.0, "prepare": 6.0}
    logs = {"completions/mean_length": 5.0, "frac_reward_zero_std": 0.25}
    expected = {"step": 10.0, "generate": 4.0, "grade": 1.0, "learn": 3.0, "rest": 2.0}
    assert as_step(10.0, seconds, logs) == expected | {"mean_length": 5.0, "no_signal": 0.25}


def test_steps_of_trl_add_up(tiny_model: Path) -> None:
    recipe = bench_recipe(Sizes(str(tiny_model), 1, 2, 2, 4), "transformers", {"rewards": VARIED})
    steps = trl_steps(recipe.model_dump(mode="json"))
    assert len(steps) == 2  # one to warm up, one measured
    for step in steps:
        assert step["generate"] > 0 and step["learn"] > 0 and step["rest"] > 0
        assert step["step"] == pytest.approx(sum(step[name] for name in ("generate", "grade", "learn", "rest")))
        assert step["no_signal"] == 0 and step["mean_length"] <= 4
