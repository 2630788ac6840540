"""On-policy distillation in whole runs: the student closes in on its teacher, exactly repeatable; misfits are told."""

from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.evaluation.subject import find_subject, merged_weights
from rl.models.source import load_tokenizer
from rl.models.tiny import save_tiny_model
from rl.pipelines.merged import write_merged
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.training import launch
from rl.training.checks import check_recipe
from rl.training.launch import run_recipe
from tests.conftest import byte_tokenizer
from tests.training.test_train import PowerCut, failing_after, recipe, same_run

STEPS = 12


@pytest.fixture(scope="module")
def teacher(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model after it was paid for low letters, as a model on its own."""
    run = tmp_path_factory.mktemp("runs") / "teacher"
    learned = {"algorithm": {"problems_per_step": 8}, "optimizer": {"max_steps": 10}, "evaluation": {"every": 0}}
    run_recipe(recipe(tiny_model, run, rollout={"max_completion_length": 16}, **learned))
    folder = tmp_path_factory.mktemp("models") / "teacher"
    subject = find_subject(str(run))
    assert subject.adapter is not None
    weights = merged_weights(subject.model, subject.adapter)
    write_merged(subject.model, weights, load_tokenizer(str(tiny_model)), folder)
    return folder


def taught(tiny_model: Path, folder: Path, teacher: Path, **sections: dict[str, Any]) -> Any:
    base = {
        "distillation": {"teacher": str(teacher)},
        "optimizer": {"learning_rate": 0.01, "max_steps": STEPS},
        "evaluation": {"every": 0},
        "rollout": {"max_completion_length": 16},
        "algorithm": {"problems_per_step": 8},
    }
    return recipe(tiny_model, folder, **{name: base.get(name, {}) | sections.get(name, {}) for name in base | sections})


def test_the_student_closes_in_on_its_teacher_without_any_reward(
    tiny_model: Path, teacher: Path, tmp_path: Path
) -> None:
    whole = taught(tiny_model, tmp_path / "run", teacher)
    assert check_recipe(whole) == []
    assert run_recipe(whole)[0] == 0
    metrics = read_metrics(RunFolder(tmp_path / "run"))
    apart = [line["reverse_kl"] for line in metrics]
    assert sum(apart[-3:]) < 0.5 * sum(apart[:3])
    low = [line["reward/mean"] for line in metrics]  # what the teacher was paid for, and the student is not
    assert sum(low[-3:]) / 3 > sum(low[:3]) / 3 + 0.1


def test_one_sample_a_problem_is_enough_for_a_teacher_alone(tiny_model: Path, teacher: Path, tmp_path: Path) -> None:
    check_recipe(taught(tiny_model, tmp_path / "run", teacher, rollout={"num_generations": 1}))
    with pytest.raises(BadInput, match="num_generations is 1"):
        mixed = {"teacher": str(teacher), "reward_weight": 1.0}
        check_recipe(taught(tiny_model, tmp_path / "run", teacher, rollout={"num_generations": 1}, distillation=mixed))


def test_a_run_with_a_teacher_resumes_bit_for_bit(
    tiny_model: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = {"distillation": {"teacher": str(teacher), "reward_weight": 0.5}, "optimizer": {"max_steps": 5}}
    run_recipe(taught(tiny_model, tmp_path / "whole", teacher, **mixed))
    cut = taught(tiny_model, tmp_path / "cut", teacher, **mixed)
    with monkeypatch.context() as patch:
        patch.setattr(launch, "build_engine", failing_after(4))
        with pytest.raises(PowerCut):
            run_recipe(cut)
    assert run_recipe(cut, RunFolder.open(tmp_path / "cut"))[0] == 0
    same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_teacher_with_another_tokenizer_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<other>"])
    save_tiny_model(tokenizer, tmp_path / "other")
    with pytest.raises(BadInput, match="has another tokenizer .* and can only score tokens that it knows"):
        check_recipe(taught(tiny_model, tmp_path / "run", tmp_path / "other"))


def test_dynamic_sampling_beside_a_teacher_is_refused(tiny_model: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a teacher has something to say of every group"):
        check_recipe(taught(tiny_model, tmp_path / "run", teacher, algorithm={"dynamic_sampling": True}))
