"""Checks of memory and speed with random models of the sizes that recipes name, beside what the planner says."""

import math
import time
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from rl.config.recipe import ModelSection, ProblemsSection, Recipe, RewardsSection, RolloutSection
from rl.doctor.check import Finding, Subject, judged, skipped
from rl.doctor.machine import published, synchronize
from rl.learner.budget import available_bytes, measure_pass
from rl.learner.optimizer import build_optimizer
from rl.learner.packing import Sample
from rl.learner.policy import Policy, adapted_policy
from rl.learner.step import LearnerSettings, learn
from rl.planner.calibrate import tree_of
from rl.planner.flops import learner_flops
from rl.planner.memory import GIB, pass_cost, precision_of, resident_bytes
from rl.planner.rates import cpu_rates, gpu_rates, product_rate
from rl.planner.shapes import Shape, shape_of
from rl.rollout.build import shared_dtype

QWEN: dict[str, dict[str, Any]] = {  # of Qwen2.5, from the models' published configurations
    "0.5b": {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "intermediate_size": 4864},
    "1.5b": {"hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "intermediate_size": 8960},
    "3b": {"hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16, "intermediate_size": 11008},
    "tiny": {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 512},
}
VOCABULARY = {"tiny": 4096}
MOST = 1.25  # of what the planner says: a run that was planned to fit must fit
MOST_SECONDS = 2.0  # of the planner's, which rest on shares of published figures


def shape_check(size: str) -> Any:
    """Return the check of one size."""

    def look(subject: Subject) -> Finding:
        if subject.device == "cpu" and size != "tiny":
            return skipped("the memory of a GPU is what this is about")
        return memory_and_speed(size, subject.device)

    return look


def memory_and_speed(size: str, device: str) -> Finding:
    """Take steps on a random model, and hold memory and seconds against the planner's."""
    recipe = recipe_of(device)
    config = Qwen2Config(
        **QWEN[size], num_key_value_heads=2, vocab_size=VOCABULARY.get(size, 151936), tie_word_embeddings=True
    )
    shape, precision = shape_of(config, recipe.model), precision_of(recipe, device)
    resident = sum(resident_bytes(recipe, shape, precision.learner).values())
    if resident > 0.8 * available_bytes(device):
        return skipped(f"its {resident / GIB:.1f} GiB do not fit into {available_bytes(device) / GIB:.1f}")
    torch.manual_seed(0)
    torch.set_default_dtype(precision.learner)  # or else the weights would be made in float32 first
    try:
        with torch.device(device):
            model = Qwen2ForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    policy = adapted_policy(model, recipe.model, 0, shared_dtype(recipe, device))
    tokens = 4096 if device == "cuda" else 512
    planned = pass_cost(recipe, shape, precision).of(tokens)
    measured = measure_pass(policy).of(tokens)
    took, expected = step_seconds(policy, recipe, shape, tokens, device)
    return judged(
        measured <= MOST * planned and fast_enough(took, expected, device),
        f"{measured / GIB:.2f} GiB a pass of {tokens:,} tokens, {tokens / took:,.0f} tokens/s",
        f"planned {planned / GIB:.2f} GiB (at most {MOST} times that) and {tokens / expected:,.0f} tokens/s (at least "
        f"{1 / MOST_SECONDS:g} times that)",
        pass_gib=measured / GIB,
        planned_gib=planned / GIB,
        resident_gib=resident / GIB,
        seconds=took,
        planned_seconds=expected,
    )


def fast_enough(took: float, expected: float, device: str) -> bool:
    """Tell whether a GPU keeps to the plan; a CPU is not held to it, as other programs may slow it as they like."""
    return device == "cpu" or took <= MOST_SECONDS * expected


def recipe_of(device: str) -> Recipe:
    """Return a recipe like those for one GPU."""
    return Recipe(
        name="doctor",
        model=ModelSection(name="random", dtype="auto" if device == "cuda" else "float32", lora_r=32, lora_alpha=64),
        problems=ProblemsSection(source="arithmetic"),
        rewards=RewardsSection(functions={"exact_number": 1.0}),
        rollout=RolloutSection(device="cuda" if device == "cuda" else "cpu"),
    )


def step_seconds(policy: Policy, recipe: Recipe, shape: Shape, tokens: int, device: str) -> tuple[float, float]:
    """Return the seconds of a learning step over so many tokens, and those that the planner expects."""
    half, prompt = tokens // 8, tokens // 2
    samples = [
        Sample(
            tuple(range(prompt)), tuple((token + row) % 4000 for token in range(half)), (-1.0,) * half, row - 1.5, True
        )
        for row in range(4)
    ]
    optimizer = build_optimizer(policy.trainable.values(), recipe.optimizer)
    settings = LearnerSettings(1.0, half, math.inf)
    took = []
    for _ in range(3):
        synchronize(device)
        began = time.perf_counter()
        learn(policy, optimizer, samples, recipe.algorithm, recipe.optimizer, settings)
        synchronize(device)
        took.append(time.perf_counter() - began)
    gpu = published(device)
    rates = (
        gpu_rates(gpu, shape, eager=True)
        if gpu
        else cpu_rates(product_rate(device, precision_of(recipe, device).learner), shape)
    )
    expected = rates.learn_pass + rates.update + rates.learn_flop * learner_flops(shape, tree_of(samples), recipe)
    return min(took[1:]), expected
