"""A pipeline of all kinds of stages with a tiny model, and its file."""

from pathlib import Path
from typing import Any

import pytest

from rl.config.yaml_text import dump_yaml

ROOT = Path(__file__).resolve().parents[2]


def tree(model: Path | str) -> dict[str, Any]:
    """The ladder of R1 in a minute: traces by rule, fine-tuning, reinforcement, rejection, fine-tuning, evaluation."""
    reward = f"{ROOT}/tests/training/letter_reward.py:share_of_low_letters"
    return {
        "name": "ladder",
        "description": "all rungs",
        "defaults": {
            "model": {"name": str(model), "lora_r": 4},
            "problems": {"source": "arithmetic", "size": 60, "chat_template": False, "prompt": "{question} ="},
            "rewards": {"functions": {reward: 1.0}, "correct_above": -1.0},
            "rollout": {"engine": "transformers", "num_generations": 2, "max_completion_length": 6},
            "evaluation": {"size": 4},
            "run": {"dollars_per_hour": 3.6},
        },
        "stages": {
            "worked": {
                "kind": "distill",
                "rewards": {"functions": {"exact_number": 1.0}, "correct_above": 0.5},
                "teacher": {"source": "column", "template": " {worked}. {answer}"},
                "keep": {"limit": 12},
            },
            "cold-start": {"kind": "sft", "sft": {"max_steps": 3, "save_steps": 1, "learning_rate": 1e-3}},
            "reinforce": {
                "kind": "grpo",
                "algorithm": {"problems_per_step": 2},
                "optimizer": {"max_steps": 2, "learning_rate": 1e-3},
            },
            "reject": {"kind": "reject", "keep": {"limit": 5, "verified": False, "truncated": True}},
            "fine-tune": {"kind": "sft", "model_from": "base", "sft": {"max_steps": 2}},
            "measure": {"kind": "evaluate"},
            "hand-on": {"kind": "export", "model_from": "reinforce", "export": {"formats": ["merged", "adapter"]}},
        },
    }


@pytest.fixture
def pipeline_tree(tiny_model: Path) -> dict[str, Any]:
    return tree(tiny_model)


@pytest.fixture
def pipeline_yaml(pipeline_tree: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "ladder.yaml"
    path.write_text(dump_yaml(pipeline_tree))
    return path
