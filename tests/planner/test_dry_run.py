"""What a dry run shows, and the sizes and bytes that it rests on: against the model itself, and by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from rl.config.recipe import ModelSection, Recipe
from rl.planner import dry_run, memory
from rl.planner.memory import Precision
from rl.planner.predict import count_evaluations
from rl.planner.shapes import Shape, shape_of

TINY = LlamaConfig(
    vocab_size=100,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)
LORA = ModelSection(name="tiny", lora_r=4)


def of_size(parameters: int, trainable: int) -> Shape:
    """`TINY` with other numbers of parameters."""
    return replace(shape_of(TINY, LORA), parameters=parameters, trainable=trainable)


def make(name: Path | str = "tiny", /, **sections: Any) -> Recipe:
    tree: dict[str, Any] = {
        "name": "mine",
        "model": {"name": str(name)},
        "problems": {"source": "arithmetic", "size": 40, "max_prompt_length": 100},
        "rewards": {"functions": {"exact_number": 1.0}},
        "rollout": {"engine": "transformers", "device": "cpu", "num_generations": 4, "max_completion_length": 10},
        "algorithm": {"problems_per_step": 2},
        "optimizer": {"max_steps": 7},
        "evaluation": {"size": 4, "every": 3},
    }
    return Recipe.model_validate({**tree, **{key: {**tree.get(key, {}), **values} for key, values in sections.items()}})


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"]])
@pytest.mark.parametrize("dora", [False, True])
def test_counts_are_those_of_the_real_model(targets: str | list[str], dora: bool) -> None:
    section = ModelSection(name="tiny", lora_r=4, lora_target_modules=targets, use_dora=dora)
    model = AutoModelForCausalLM.from_config(TINY)
    total = sum(p.numel() for p in model.parameters())
    lora = peft.LoraConfig(r=4, target_modules=targets, use_dora=dora, task_type="CAUSAL_LM")
    trainable = sum(p.numel() for p in peft.get_peft_model(model, lora).parameters() if p.requires_grad)
    shape = shape_of(TINY, section)
    assert (shape.parameters, shape.trainable) == (total, trainable)
    full = shape_of(TINY, section.model_copy(update={"use_peft": False}))
    assert (full.parameters, full.trainable) == (total, total)


def test_a_known_model_has_its_published_size() -> None:
    qwen = Qwen2Config(
        hidden_size=896,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        intermediate_size=4864,
        vocab_size=151936,
        tie_word_embeddings=True,
    )
    shape = shape_of(qwen, ModelSection(name="Qwen/Qwen2.5-0.5B"))
    assert shape.parameters == 494_032_768  # 0.49B on its model card


def test_shape_of_grouped_query_attention() -> None:
    shape = shape_of(TINY, LORA)
    assert (shape.layers, shape.hidden, shape.feed_forward, shape.query, shape.key_value) == (3, 32, 64, 32, 16)


def test_the_cache_holds_keys_and_values_of_every_sequence_at_once() -> None:
    shape = shape_of(TINY, LORA)
    # 2 problems x 4 completions, 110 tokens each, 3 layers, keys and values of 16 numbers, 2 bytes
    assert memory.kv_cache_bytes(make(), shape, torch.bfloat16) == 8 * 110 * 3 * 2 * 16 * 2
    assert memory.kv_cache_bytes(make(rollout={"max_num_seqs": 3}), shape, torch.float32) == 3 * 110 * 3 * 2 * 16 * 4


def test_memory_of_lora_and_of_full_fine_tuning() -> None:
    shape, gib, half = of_size(1000, 10), 2**30, Precision(torch.bfloat16, torch.bfloat16, "cpu")
    lora = memory.memory_gib(make(), shape, half, None)
    assert lora["learner: weights"] * gib == 2000
    assert lora["learner: adapter"] * gib == lora["learner: gradients"] * gib == 40
    assert lora["learner: optimizer"] * gib == 80
    assert lora["engine: weights"] * gib == 2000
    full_recipe = make(model={"use_peft": False}, algorithm={"beta": 0.1}, optimizer={"name": "adamw_8bit"})
    full = memory.memory_gib(full_recipe, of_size(1000, 1000), half, None)
    assert full["learner: weights"] * gib == 8000  # float32, and a reference beside it
    assert full["learner: optimizer"] * gib == 2000
    assert "learner: adapter" not in full


def test_an_engine_on_a_gpu_takes_its_share() -> None:
    recipe = make(rollout={"engine": "vllm", "device": "cuda", "gpu_memory_utilization": 0.5})
    parts = memory.memory_gib(recipe, of_size(2**29, 10), Precision(torch.bfloat16, torch.bfloat16, "cuda"), 24)
    assert parts["engine: weights"] == 1.0 and parts["engine: KV cache"] == pytest.approx(11.0)
    activations = parts["learner: activations"]
    resident = sum(parts.values()) - 12 - activations
    assert memory.peak_gib(parts, sleeps=False) == pytest.approx(resident + 12 + activations)
    assert memory.peak_gib(parts, sleeps=True) == pytest.approx(resident + 12)  # the engine is the larger


def test_activations_are_linear_in_tokens() -> None:
    """One token in each of 3 layers: 6 x 32 + 2 x 32 + 2 x 16 + 4 x 64 = 544 numbers; beside them 2 x 32 + 2 x 64."""
    shape = shape_of(TINY, LORA)
    assert memory.token_bytes(make(), shape, torch.float32) == (3 * 544 + 192) * 4
    checkpointed = make(model={"gradient_checkpointing": True})
    assert memory.token_bytes(checkpointed, shape, torch.float32) == (3 * 32 + 192) * 4
    assert memory.layer_bytes(checkpointed, shape, torch.float32) == 544 * 4
    single = Precision(torch.float32, torch.float32, "cpu")
    large, small = (
        memory.activation_bytes(make(optimizer={"micro_batch_tokens": n}), shape, single) for n in (280, 140)
    )
    each = (3 * 544 + 192 + 3 * TINY.vocab_size) * 4  # the vocabulary is so small that all logits are there at once
    assert large - small == 140 * each  # a step has 280 tokens at most, a sample 110


def test_token_budget_and_evaluations() -> None:
    recipe = make()
    assert dry_run.tokens_per_step(recipe) == {"prompts": 200, "completions": 80}
    assert dry_run.evaluation_tokens(recipe) == 40
    assert count_evaluations(recipe) == 4  # before, 3, 6, after 7
    assert count_evaluations(make(optimizer={"max_steps": 6})) == 3  # before, 3, after 6
    assert count_evaluations(make(evaluation={"every": 0})) == 2


@pytest.mark.parametrize(
    ("run", "dollars"),
    [
        ({}, 0.0),
        ({"dollars_per_hour": 2.0}, None),
        ({"dollars_per_hour": 2.0, "max_hours": 3}, 6.0),
        ({"dollars_per_hour": 2.0, "max_hours": 3, "max_dollars": 5}, 5.0),
    ],
)
def test_the_price_is_told_only_where_something_limits_it(run: dict[str, float], dollars: float | None) -> None:
    assert dry_run.dollars_at_most(make(run=run)) == dollars


def test_the_whole_plan_shows_the_prompt_exactly_as_sent(tiny_model: Path) -> None:
    recipe = make(tiny_model, problems={"prompt": "{question} = ?", "prefill": "<think>\n"})
    made = dry_run.make_plan(recipe)
    assert made.training_problems == 36 and made.held_out_problems == 4
    assert made.prompt_tokens == len(made.prompt_text.encode()) - 2 * (len("<|im_start|>") - 1) - (
        len("<|im_end|>") - 1
    )
    assert made.prompt_text.startswith("<|im_start|>user\n") and made.prompt_text.endswith("assistant\n<think>\n")
    text = dry_run.plan_text(made)
    assert made.prompt_text in text and "not known" not in text
    narrow = dry_run.plan_text(made, 60)
    assert made.prompt_text in narrow
    assert max(map(len, narrow.replace(made.prompt_text, "").splitlines())) <= 60
    assert dry_run.plan_dict(made, ["w"])["memory_total_gib"] == pytest.approx(sum(made.memory_gib.values()))


def test_the_plan_names_functions_of_the_user(tiny_model: Path) -> None:
    file = Path(__file__).parents[2] / "examples" / "custom_loss.py"
    parts = {"loss_type": f"{file}:gspo", "importance_sampling_correction": f"{file}:smooth"}
    made = dry_run.make_plan(make(tiny_model, algorithm=parts))
    assert made.plug_ins == parts and dry_run.plan_dict(made, [])["plug_ins"] == parts
    lines = [line.split() for line in dry_run.plan_text(made).splitlines()]
    assert ["loss", f"{file}:gspo", "(yours)"] in lines and ["correction", f"{file}:smooth", "(yours)"] in lines
    assert "(yours)" not in dry_run.plan_text(dry_run.make_plan(make(tiny_model)))
