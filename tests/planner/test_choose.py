"""What is chosen fits, and what is advised helps."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, Qwen2Config

from rewards.errors import BadInput
from rl.config.recipe import ModelSection, Recipe
from rl.config.recipe_file import load_recipe
from rl.planner.choose import choose, fits_in, with_keys
from rl.planner.gpus import GPUS, named_gpus
from rl.planner.memory import Precision, resident_bytes
from rl.planner.shapes import shape_of

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


QWEN_HALF = Qwen2Config(  # Qwen2.5-0.5B
    vocab_size=151936,
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)


def test_the_recipe_for_a_small_gpu_has_room_on_one_of_22_gib() -> None:
    """An L4 or A10G: a tenth of what can be planned with stays free, since all this is arithmetic."""
    small = load_recipe("gsm8k")
    choice = choose(small, shape_of(QWEN_HALF, small.model), HALF, 22.0)
    assert choice.fits and choice.peak_gib <= 0.9 * choice.limit_gib


def test_a_gpu_has_less_memory_than_its_name_says() -> None:
    named = {"l4": 24, "a10g": 24, "rtx4090": 24, "l40s": 48, "a100-40": 40, "a100-80": 80, "h100": 80, "h200": 141}
    assert {name: gpu.memory_gib < named[name] for name, gpu in GPUS.items()} == dict.fromkeys(named, True)
    assert GPUS["l4"].memory_gib == 22.0


@pytest.mark.parametrize(
    ("section", "merged"),
    [
        # a layer's queries and outputs 1536^2 each, keys and values 256 x 1536, three matrices of 8960 x 1536
        ({}, 28 * (2 * 1536**2 + 2 * 256 * 1536 + 3 * 8960 * 1536)),
        ({"lora_target_modules": ["q_proj"]}, 28 * 1536**2),
        ({"use_dora": True}, 0),
        ({"lora_dropout": 0.1}, 0),
        ({"use_peft": False}, 0),
    ],
    ids=str,
)
def test_merged_weights_are_counted_where_the_learner_keeps_them(section: dict[str, Any], merged: int) -> None:
    asked = recipe(model=section, rollout={"weight_sync": "merged"})
    shape = shape_of(CONFIG, asked.model)
    assert shape.merged == merged
    for dtype, size in ((torch.float16, 2), (torch.bfloat16, 2), (torch.float32, 4)):
        assert resident_bytes(asked, shape, dtype)["learner: merged weights"] == merged * size
    adapters = recipe(model=section, rollout={"weight_sync": "adapter"})
    assert resident_bytes(adapters, shape, torch.bfloat16)["learner: merged weights"] == 0


def test_gpus_by_name() -> None:
    assert [gpu.name for gpu in named_gpus("H100, l4,l4")] == ["h100", "l4"]
    with pytest.raises(BadInput, match="no GPU 'h1000'.*use l4, a10g, .*h200"):
        named_gpus("l4,h1000")
    with pytest.raises(BadInput, match="names no GPU"):
        named_gpus(",")
