"""Hints for keys that other trainers use, that stand in the wrong section, or that are mistyped."""

import pytest

from rl.config.keys import ELSEWHERE, OURS, meant_key
from rl.config.recipe import Recipe
from rl.config.yaml_tree import known_keys
from rl.pipelines.schema import SftStage

KNOWN = known_keys(Recipe)


def test_the_table_names_keys_that_exist_and_none_of_ours() -> None:
    assert set(ELSEWHERE) <= set(KNOWN)
    assert len(OURS) == sum(map(len, ELSEWHERE.values())), "a name stands for two keys"
    assert not OURS.keys() & {key.rpartition(".")[2] for key in KNOWN}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("optimizer.lr", "optimizer.learning_rate"),
        ("lr", "optimizer.learning_rate"),
        ("learning_rate", "optimizer.learning_rate"),
        ("learning-rate", "optimizer.learning_rate"),
        ("model.learning_rate", "optimizer.learning_rate"),
        ("training.learning_rate", "optimizer.learning_rate"),
        ("optimizer.learningrate", "optimizer.learning_rate"),
        ("optimizer.num_train_epochs", "optimizer.max_steps"),
        ("per_device_train_batch_size", "algorithm.problems_per_step"),
        ("rollout.max_tokens", "rollout.max_completion_length"),
        ("max_completion_lenght", "rollout.max_completion_length"),
        ("group_size", "rollout.num_generations"),
        ("rollout.n", "rollout.num_generations"),
        ("actor_rollout_ref.rollout.n", "rollout.num_generations"),
        ("algorithm.kl_coef", "algorithm.beta"),
        ("data.train_files", "problems.path"),
        ("model_name_or_path", "model.name"),
        ("output_dir", "run.dir"),
        ("use_vllm", "rollout.engine"),
        ("seed", "run.seed"),
        ("temperature", "rollout.temperature"),
        ("algorithm.num_generations", "rollout.num_generations"),
        ("rollot", "rollout"),
        ("optimiser", "optimizer"),
        ("evaluation.band.min_gan", "evaluation.band.min_gain"),
        ("problems.few_shots", "problems.few_shot"),
        ("zzz", None),
        ("rollout.zzz", None),
    ],
)
def test_the_key_that_is_meant(typed: str, meant: str | None) -> None:
    assert meant_key(typed, KNOWN) == meant


def test_a_key_of_the_same_section_goes_first() -> None:
    known = known_keys(SftStage)
    assert meant_key("sft.lr", known) == "sft.learning_rate"
    assert meant_key("lr", known) == "sft.learning_rate"
    assert meant_key("sft.epochs", known) == "sft.max_steps"
