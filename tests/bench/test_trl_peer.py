"""TRL gets our prompts, stop tokens, rewards and settings, and what it cannot express is refused."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import trl_peer
from benchmarks.trl_peer import (
    as_reward,
    build_trainer,
    check_expressible,
    load_start,
    pass_size,
    prompts_in_order,
    text_for_trl,
    to_config,
    tokens_with,
)
from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.config.recipe_file import load_recipe
from rl.grading.answers import build_grader
from rl.models.source import load_tokenizer
from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter
from rl.problems.sets import load_sets
from rl.problems.stream import ProblemStream


def recipe(path: Path, **sections: dict[str, Any]) -> Recipe:
    """Two steps of two problems, two completions each."""
    base: dict[str, dict[str, Any]] = {
        "model": {"name": str(path), "lora_r": 4, "lora_alpha": 8},
        "problems": {"source": "arithmetic", "size": 30, "prompt": "{question} ="},
        "rewards": {"functions": {"exact_number": 1.0}},
        "rollout": {"device": "cpu", "num_generations": 2, "max_completion_length": 5},
        "algorithm": {"problems_per_step": 2},
        "optimizer": {"max_steps": 2},
        "evaluation": {"size": 4},
    }
    for name, values in sections.items():
        base[name] |= values
    return Recipe.model_validate({"name": "peer"} | base)


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two steps by TRL, with what it generated from, and its log of each step."""
    reward = Path(__file__).parents[1] / "training" / "letter_reward.py"
    asked = recipe(
        tiny_model, rewards={"functions": {f"{reward}:share_of_low_letters": 1.0}}, optimizer={"learning_rate": 0.02}
    )
    seen: list[list[list[int]]] = []
    with build_grader(asked.rewards) as grader:
        trainer: Any = build_trainer(asked, grader, tmp_path_factory.mktemp("trl"))
        inner = trainer._generate_single_turn
        trainer._generate_single_turn = lambda ids, *rest, **more: (seen.append(ids), inner(ids, *rest, **more))[1]
        before = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
        trainer.train()
    return {"recipe": asked, "seen": seen, "trainer": trainer, "before": before}


def test_trl_generates_from_the_prompts_that_a_run_of_ours_would_use(trained: dict[str, Any]) -> None:
    asked = trained["recipe"]
    tokenizer = load_tokenizer(asked.model.name)
    training = load_sets(asked)[0]
    stream, prompter = ProblemStream(len(training), asked.run.seed), Prompter(asked.problems, tokenizer)
    for step, batch in enumerate(trained["seen"]):
        ours = [list(prompter.render(training[index]).token_ids) for index in stream.take(2 * step, 2)]
        assert batch == [ours[0], ours[0], ours[1], ours[1]]
    assert len(trained["seen"]) == 2


def test_trl_learns_an_adapter_from_our_rewards(trained: dict[str, Any]) -> None:
    logs = [line for line in trained["trainer"].state.log_history if "reward" in line]
    assert len(logs) == 2 and all(0 <= line["reward"] <= 1 for line in logs)
    changed = [name for name, old in trained["before"].items() if not torch.equal(old, parameter(trained, name))]
    assert changed and all("lora_" in name for name in trained["before"])


def parameter(trained: dict[str, Any], name: str) -> torch.Tensor:
    found: torch.Tensor = trained["trainer"].model.get_parameter(name)
    return found


def test_settings_reach_trl_under_its_names(tiny_model: Path, tmp_path: Path) -> None:
    asked = recipe(
        tiny_model,
        model={"gradient_checkpointing": True},
        rollout={"temperature": 1.2, "num_generations": 6},
        algorithm={"problems_per_step": 2, "loss_type": "dr_grpo", "epsilon": 0.1, "epsilon_high": 0.3, "beta": 0.04},
        optimizer={
            "learning_rate": 3e-4, "lr_scheduler_type": "linear", "warmup_steps": 1, "weight_decay": 0.1,
            "adam_beta1": 0.8, "adam_beta2": 0.99, "adam_epsilon": 1e-7, "max_grad_norm": 0.5,
        },
    )  # fmt: skip
    config = to_config(asked, tmp_path)
    expected = {
        "per_device_train_batch_size": 6, "gradient_accumulation_steps": 2, "steps_per_generation": 2,
        "num_generations": 6, "max_completion_length": 5, "temperature": 1.2, "top_p": 1.0, "min_p": None,
        "loss_type": "dr_grpo", "epsilon": 0.1, "epsilon_high": 0.3, "beta": 0.04, "use_bias_correction_kl": False,
        "learning_rate": 3e-4, "lr_scheduler_type": "linear", "warmup_steps": 1, "weight_decay": 0.1,
        "adam_beta1": 0.8, "adam_beta2": 0.99, "adam_epsilon": 1e-7, "max_grad_norm": 0.5, "max_steps": 2,
        "seed": 0, "bf16": False, "use_vllm": False, "gradient_checkpointing": True, "scale_rewards": "group",
        "shuffle_dataset": False, "optim": "adamw_torch",
    }  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected


def test_cispo_is_capped_as_with_us_unless_the_recipe_says(tiny_model: Path, tmp_path: Path) -> None:
    assert to_config(recipe(tiny_model, algorithm={"loss_type": "cispo"}), tmp_path).epsilon_high == 5.0
    asked = recipe(tiny_model, algorithm={"loss_type": "cispo", "epsilon_high": 3.0})
    assert to_config(asked, tmp_path).epsilon_high == 3.0
    assert to_config(recipe(tiny_model), tmp_path).epsilon_high is None


@pytest.mark.parametrize(
    ("completions", "asked", "size"), [(64, None, 8), (12, None, 6), (7, None, 7), (64, 5, 4), (4, 9, 4)]
)
def test_a_pass_is_a_divisor_of_the_batch(completions: int, asked: int | None, size: int) -> None:
    assert pass_size(completions, asked) == size


def test_a_stop_character_becomes_the_tokens_that_hold_it(tiny_model: Path) -> None:
    asked = recipe(tiny_model, rollout={"stop": ["\n"]})
    tokenizer = load_tokenizer(str(tiny_model))
    newline = tokenizer("\n").input_ids
    assert tokens_with(["\n"], tokenizer) == set(newline) and len(newline) == 1  # a tokenizer of single bytes
    assert tokens_with([], tokenizer) == set()
    assert load_start(asked, tokenizer).generation_config.eos_token_id == sorted([tokenizer.eos_token_id, *newline])


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"algorithm": {"advantage_estimator": "rloo"}}, "advantage_estimator=rloo"),
        ({"algorithm": {"loss_type": "mine.py:f"}}, "takes no algorithm.loss_type=mine.py:f"),
        ({"algorithm": {"beta": 0.1, "kl_estimator": "k1"}}, "kl_estimator=k1"),
        ({"rollout": {"stop": ["</answer>"]}}, "'</answer>'"),
        ({"rollout": {"num_generations": 1}}, "at least 2"),
        ({"algorithm": {"dynamic_sampling": True}}, "algorithm.dynamic_sampling"),
    ],
)
def test_what_trl_cannot_express_is_refused(tiny_model: Path, sections: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        check_expressible(recipe(tiny_model, **sections))


@pytest.mark.parametrize("name", ["quickstart", "gsm8k", "math", "code"])
def test_recipes_that_come_with_penny_can_be_expressed(name: str) -> None:
    check_expressible(load_recipe(name))


def test_a_recipe_with_a_stop_of_several_characters_cannot() -> None:
    with pytest.raises(BadInput, match="</answer>"):
        check_expressible(load_recipe("countdown"))


def test_a_leading_bos_is_left_to_the_tokenizer_that_adds_one() -> None:
    prompt = Prompt(Problem("p", {}), (1, 7, 8), "<s>ab")
    assert text_for_trl(prompt, AddsBos()) == "ab"  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="problem p"):
        text_for_trl(Prompt(Problem("p", {}), (7, 8), "ab"), AddsBos())  # type: ignore[arg-type]


class AddsBos:
    """A tokenizer of two letters that puts a BOS before every text."""

    bos_token = "<s>"

    def __call__(self, text: list[str]) -> dict[str, list[list[int]]]:
        ids = {"a": 7, "b": 8}
        return {"input_ids": [[1, *([1] if t.startswith("<s>") else []), *(ids[c] for c in t[-2:])] for t in text]}


def test_rewards_see_the_prefill_and_the_columns(tiny_model: Path) -> None:
    asked = recipe(tiny_model, problems={"prefill": "1"})
    prompts = prompts_in_order(asked, load_tokenizer(str(tiny_model)))
    answer = str(prompts[2].problem.columns["answer"])
    logged: dict[str, float] = {}
    with build_grader(asked.rewards) as grader:
        graded = as_reward(prompts, grader)(
            completions=[f" and {answer}", " and nothing"],
            completion_ids=[[5], [6]],
            place=[2, 2],
            log_metric=logged.__setitem__,
        )
    assert graded == [1.0, 0.0 if answer != "1" else 1.0]
    assert logged == {"pass_rate": 0.5}


def test_the_command_prints_a_line_a_step_and_keeps_the_adapter(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [f"model.name={tiny_model}", f"run.dir={tmp_path / 'run'}", "rollout.max_completion_length=3"]
    monkeypatch.setattr(sys, "argv", ["trl_peer", "quickstart", "--smoke", *changes, "problems.few_shot=[]"])
    assert trl_peer.main() == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"')]
    assert [line["step"] for line in lines] == [1, 2, 2]  # the last one sums up
    assert (tmp_path / "run" / "policy" / "adapter_model.safetensors").is_file()
    monkeypatch.setattr(sys, "argv", ["trl_peer", "quickstart", "algorithm.advantage_estimator=rloo"])
    assert trl_peer.main() == 2
