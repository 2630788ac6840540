"""Our rewards in TRL's trainer, unchanged, and TRL's rewards in our grader."""

import functools
import inspect
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reasoning_gym
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer
from trl.rewards import get_cosine_scaled_reward

from rewards.grading import Grader
from rewards.registry import BUILTIN, accepted, load_reward, required_columns

COLUMNS: dict[str, list[Any]] = {  # what the built-in rewards ask for
    "answer": ["12", "7"],
    "nums": [[3, 4], [3, 4]],
    "target": [12, 7],
    "check": ["assert f() == 12", "assert f() == 7"],
    "entry_point": ["f", "f"],
    "task": ["chain_sum", "chain_sum"],
    "task_config": [None, None],
    "entry": json.loads(json.dumps(list(reasoning_gym.create_dataset("chain_sum", seed=3, size=2)))),
}
QUESTIONS = ["What is 3 * 4?", "What is 3 + 4?"]
OPTIONS: dict[str, dict[str, int]] = {  # those that have no useful default
    "cosine_length": {"max_len": 8},
    "soft_overlong_punishment": {"max_completion_len": 8, "soft_punish_cache": 4},
}


def ours() -> list[Callable[..., Any]]:
    """Every built-in reward; one that must be told a length is a partial of itself, which TRL knows."""
    return [
        functools.partial(load_reward(name), **OPTIONS[name]) if name in OPTIONS else load_reward(name)
        for name in sorted(BUILTIN)
    ]


def conversation(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


@pytest.mark.slow
@pytest.mark.parametrize("as_prompt", [str, conversation], ids=["plain", "conversational"])
def test_a_step_of_trl_with_our_rewards(as_prompt: Callable[[str], Any], tiny_model: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    before = model.lm_head.weight.detach().clone()
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[*ours(), half_right],
        args=GRPOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=4,
            num_generations=2,
            max_completion_length=8,
            max_steps=1,
            learning_rate=1e-3,
            report_to=[],
            save_strategy="no",
            logging_steps=1,
        ),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
        train_dataset=Dataset.from_dict(COLUMNS | {"prompt": [as_prompt(question) for question in QUESTIONS]}),
    )
    trainer.train()
    logged = trainer.state.log_history[0]
    assert {f"rewards/{name}/mean" for name in BUILTIN} <= logged.keys()
    assert logged["rewards/exact_number/mean"] == 0.0  # noise of 8 bytes answers nothing
    assert logged["rewards/half_right/std"] > 0
    assert not before.equal(model.lm_head.weight)  # and so the step was a real one


def half_right(completions: list[Any], **columns: Any) -> list[float]:
    """Pays every other completion, so that there is something to learn."""
    return [float(i % 2) for i in range(len(completions))]


RIGHT = "<think>\nThree fours.\n</think>\n<answer>\\boxed{12}</answer>"
WRONG = "<think>\nThree fours.\n</think>\n<answer>\\boxed{13}</answer>"


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_ours_grade_conversations_as_they_grade_their_texts(name: str) -> None:
    function = load_reward(name)
    texts = [RIGHT, WRONG, "3 * 4 = 12", ""]
    given: dict[str, Any] = {column: [values[0]] * len(texts) for column, values in COLUMNS.items()}
    given |= {"prompts": [QUESTIONS[0]] * 4, "completion_ids": [list(text.encode()) for text in texts]}
    given |= {"solved": [True, False, True, False]}
    assert required_columns(function) <= COLUMNS.keys()
    given |= OPTIONS.get(name, {})
    plain = function(**accepted(function, given | {"completions": texts}))
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    prompts = [conversation(QUESTIONS[0])] * 4
    assert function(**accepted(function, given | {"completions": messages, "prompts": prompts})) == plain
    assert len(plain) == len(texts) and not any(grade is not None and math.isnan(grade) for grade in plain)


@pytest.mark.parametrize("isolated", [False, True])
def test_trls_rewards_in_our_grader(isolated: bool) -> None:
    functions = {
        "trl.rewards:accuracy_reward": 1.0,
        "trl.rewards:think_format_reward": 0.5,
        "trl.rewards:reasoning_accuracy_reward": 0.0,
    }
    settings: dict[str, Any] = {"accuracy": None, "correct_above": 0.9, "isolated": isolated}
    with Grader(functions, timeout=10, workers=1, **settings) as grader:
        grader.check_columns({"solution"})
        completions = [RIGHT, WRONG, "12"]
        graded = grader.grade(completions, QUESTIONS[:1] * 3, {"solution": ["$12$"] * 3})
    assert [list(one.parts.values()) for one in graded] == [[1, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert [one.reward for one in graded] == [1.5, 0.5, 0.0]
    assert [one.solved for one in graded] == [True, False, False]


def test_trls_ungradable_is_ours() -> None:
    with Grader(
        {"trl.rewards:accuracy_reward": 1.0}, timeout=10, workers=1, accuracy=None, correct_above=0.9
    ) as grader:
        (graded,) = grader.grade([RIGHT], QUESTIONS[:1], {"solution": [""]})
    assert graded.reward is None and graded.solved is None


def test_trls_factories_through_a_users_file(tmp_path: Path) -> None:
    """The value is that of TRL's own documentation: 50 of 100 tokens, right."""
    (tmp_path / "mine.py").write_text(
        "from trl.rewards import get_cosine_scaled_reward\ncosine = get_cosine_scaled_reward(max_len=100)\n"
    )
    reward = load_reward(f"{tmp_path}/mine.py:cosine")
    assert required_columns(reward) == {"solution"}
    assert "completion_ids" in inspect.signature(reward).parameters
    given: dict[str, Any] = {"completion_ids": [[1] * 50], "solution": ["$12$"]}
    assert reward(completions=[RIGHT], **given) == [0.75]
    conversational = [[{"role": "assistant", "content": RIGHT}]]
    assert get_cosine_scaled_reward(max_len=100)(conversational, **given) == [0.75]
