"""What is chosen fits, and what is advised helps."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig

from rewards.errors import BadInput
from rl.planner.choose import choose, fits_in, with_keys
from rl.planner.gpus import GPUS, named_gpus
from rl.planner.memory import Precision
from rl.planner.shapes import shape_of
from rl.recipe import ModelSection, Recipe

# About the size of Qwen2.5-1.5B.
CONFIG = LlamaConfig(
    vocab_size=151936,
    hidden_size=1536,
    intermediate_size=8960,
    num_hidden_layers=28,
    num_attention_heads=12,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)
LORA = shape_of(CONFIG, ModelSection(name="any", lora_r=32))
FULL = shape_of(CONFIG, ModelSection(name="any", use_peft=False))
HALF = Precision(torch.bfloat16, torch.bfloat16, "cuda")


def recipe(**sections: Any) -> Recipe:
    tree: dict[str, Any] = {
        "name": "r",
        "model": {"name": "any", "lora_r": 32},
        "problems": {"source": "arithmetic", "max_prompt_length": 384},
        "rewards": {"functions": {"exact_number": 1.0}},
        "rollout": {"engine": "vllm", "device": "cuda", "max_completion_length": 512, "num_generations": 8},
        "algorithm": {"problems_per_step": 32},
        "optimizer": {"micro_batch_tokens": 8192},
    }
    return Recipe.model_validate({**tree, **{key: {**tree.get(key, {}), **values} for key, values in sections.items()}})


def applied(asked: Recipe, advice: str) -> Recipe:
    """The recipe with the changes that an advice states."""
    pairs = [word.split("=") for word in advice.split()]
    kinds = {"true": True, "adamw_8bit": "adamw_8bit"}
    return with_keys(
        asked, {k: kinds.get(v, float(v) if "." in v else v) if v in kinds or "." in v else int(v) for k, v in pairs}
    )


def test_the_choice_fits_where_the_recipe_as_written_does_not() -> None:
    choice = choose(recipe(), LORA, HALF, 24)
    assert not choice.fits and choice.micro_batch_tokens is not None
    chosen = with_keys(
        recipe(),
        {
            "optimizer.micro_batch_tokens": choice.micro_batch_tokens,
            "rollout.gpu_memory_utilization": choice.gpu_memory_utilization,
        },
    )
    assert fits_in(chosen, LORA, HALF, 24)
    assert choose(chosen, LORA, HALF, 24).advice == ()


@pytest.mark.parametrize("memory", [16, 24, 40])
def test_every_advice_makes_the_recipe_fit(memory: float) -> None:
    choice = choose(recipe(), LORA, HALF, memory)
    assert choice.fits or choice.advice
    for advice in choice.advice:
        if advice.startswith("--gpu"):
            name = advice.split()[1].rstrip(",")
            assert choose(recipe(), LORA, HALF, GPUS[name].memory_gib).micro_batch_tokens
        else:
            assert fits_in(applied(recipe(), advice), LORA, HALF, memory), advice


def test_full_fine_tuning_is_told_of_adapters_and_larger_gpus() -> None:
    full = recipe(model={"use_peft": False})
    choice = choose(full, FULL, HALF, 24, LORA)
    assert not choice.fits and choice.micro_batch_tokens is None
    assert "model.use_peft=true" in choice.advice
    assert any(advice.startswith("--gpu") for advice in choice.advice)
    assert choose(full, FULL, HALF, 80, LORA).micro_batch_tokens


def test_nothing_helps_a_model_that_is_far_too_large() -> None:
    huge = replace(LORA, parameters=10**12)
    choice = choose(recipe(), huge, HALF, 24)
    assert not choice.fits and choice.advice == () and choice.micro_batch_tokens is None


@settings(max_examples=40, deadline=None)
@given(st.integers(16, 160), st.integers(0, 64), st.booleans())
def test_more_memory_never_means_a_smaller_micro_batch(memory: int, more: int, sleep: bool) -> None:
    asked = recipe(rollout={"enable_sleep_mode": sleep})
    small, large = (choose(asked, LORA, HALF, size).micro_batch_tokens or 0 for size in (memory, memory + more))
    assert small <= large


def test_a_cpu_needs_no_share() -> None:
    single = Precision(torch.float32, torch.float32, "cpu")
    on_cpu = recipe(rollout={"device": "cpu", "engine": "transformers"})
    assert choose(on_cpu, LORA, single, 200).gpu_memory_utilization is None


def test_gpus_by_name() -> None:
    assert [gpu.name for gpu in named_gpus("H100, l4,l4")] == ["h100", "l4"]
    with pytest.raises(BadInput, match="no GPU 'h1000'.*use l4, a10g, .*h200"):
        named_gpus("l4,h1000")
    with pytest.raises(BadInput, match="names no GPU"):
        named_gpus(",")
