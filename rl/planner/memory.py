"""Memory of a rank, part by part. Arithmetic, not measurement: libraries and CUDA graphs come on top (`USABLE`)."""

from dataclasses import dataclass

import torch

from rl.config.recipe import Recipe
from rl.learner.budget import PassCost
from rl.learner.head import rows_at_once
from rl.planner.flops import cache_bytes
from rl.planner.shapes import Shape
from rl.rollout.build import context_length, pick_engine, pick_sync
from rl.rollout.precision import pick_dtype

GIB = 2**30
USABLE = 0.92  # of a GPU's memory; the CUDA context, fragments and library workspaces take the rest


@dataclass(frozen=True)
class Precision:
    """In what the two sides compute, and where."""

    learner: torch.dtype
    engine: torch.dtype
    device: str


def precision_of(recipe: Recipe, device: str) -> Precision:
    """The recipe's precisions on `device`."""
    learner = pick_dtype(recipe.model.dtype, device)
    engine = learner if recipe.rollout.dtype == "auto" else pick_dtype(recipe.rollout.dtype, device)
    return Precision(learner, engine, device)


def resident_bytes(recipe: Recipe, shape: Shape, learner: torch.dtype) -> dict[str, float]:
    """What the learner keeps all the time.

    - weights: all parameters in the learner's dtype; in float32 where they learn, and once more in float32 for the
      reference model of the KL term in full fine-tuning (an adapter is switched off instead)
    - merged weights: the adapted layers with the adapter merged in, in the learner's dtype, where the engine gets them
    - adapter: 4 bytes a parameter; gradients: 4; AdamW: 8, in 8 bits 2
    """
    full = not recipe.model.use_peft
    reference = shape.parameters * 4 if full and recipe.algorithm.beta > 0 else 0
    return {
        "learner: weights": shape.parameters * (4 if full else learner.itemsize) + reference,
        "learner: merged weights": shape.merged * learner.itemsize if pick_sync(recipe.rollout) == "merged" else 0,
        "learner: adapter": 0 if full else shape.trainable * 4,
        "learner: gradients": shape.trainable * 4,
        "learner: optimizer": shape.trainable * (2 if recipe.optimizer.name == "adamw_8bit" else 8),
    }


def token_bytes(recipe: Recipe, shape: Shape, learner: torch.dtype) -> float:
    """What each packed token of a micro-batch keeps until its backward pass; linear, no token keeps a row of a mask.

    In each layer 6 hidden vectors (inputs and outputs of norms and residuals), queries twice, keys and values, and 4
    feed-forward vectors; with gradient checkpointing one hidden vector a layer. A hidden vector with its gradient goes
    to the vocabulary projection, and the layer whose backward pass runs has two more feed-forward vectors.
    """
    layers = shape.layers * (shape.hidden if recipe.model.gradient_checkpointing else layer_width(shape))
    return (layers + 2 * shape.hidden + 2 * shape.feed_forward) * learner.itemsize


def layer_width(shape: Shape) -> int:
    """Numbers that one layer keeps of a token."""
    return 6 * shape.hidden + 2 * shape.query + 2 * shape.key_value + 4 * shape.feed_forward


def layer_bytes(recipe: Recipe, shape: Shape, learner: torch.dtype) -> float:
    """What a packed token takes while a layer that was not kept is computed again."""
    return layer_width(shape) * learner.itemsize if recipe.model.gradient_checkpointing else 0.0


def pass_cost(recipe: Recipe, shape: Shape, precision: Precision) -> PassCost:
    """What a forward and backward pass takes.

    A hidden state that is projected has its float32 logits three times: logits, their exponentials, and those in the
    precision of the head.
    """
    each = token_bytes(recipe, shape, precision.learner) + layer_bytes(recipe, shape, precision.learner)
    return PassCost(0, each, 3 * 4 * shape.vocabulary, rows_at_once(shape.vocabulary, torch.device(precision.device)))


def activation_bytes(recipe: Recipe, shape: Shape, precision: Precision) -> float:
    """What one forward and backward pass over `micro_batch_tokens` tokens keeps, or over a whole step if it is less."""
    tokens = max(min(recipe.optimizer.pass_tokens, most_tokens(recipe)), longest_sample(recipe))
    return pass_cost(recipe, shape, precision).of(tokens)


def most_tokens(recipe: Recipe) -> int:
    """Packed tokens of a rank's step at most."""
    problems = max(1, recipe.algorithm.problems_per_step // recipe.run.num_processes)
    completions = recipe.rollout.num_generations * recipe.rollout.max_completion_length
    return problems * (recipe.problems.max_prompt_length + completions)


def longest_sample(recipe: Recipe) -> int:
    """Tokens of a prompt with its completion at most: a micro-batch holds one in any case."""
    return recipe.problems.max_prompt_length + recipe.rollout.max_completion_length


def kv_cache_bytes(recipe: Recipe, shape: Shape, engine: torch.dtype) -> float:
    """Keys and values of every sequence that runs at once, each at full length."""
    sequences = recipe.algorithm.problems_per_step * recipe.rollout.num_generations // recipe.run.num_processes
    at_once = min(recipe.rollout.max_num_seqs, max(1, sequences))
    return at_once * context_length(recipe) * cache_bytes(shape, engine.itemsize)


def memory_gib(recipe: Recipe, shape: Shape, precision: Precision, gpu_gib: float | None) -> dict[str, float]:
    """What a rank keeps in memory, GiB by part.

    The engine has its own copy of the weights, and its KV cache: vLLM takes `gpu_memory_utilization` of a GPU of
    `gpu_gib` (None: not known) for both, and on a CPU `kv_cache_gib`; transformers takes what it needs.
    """
    weights = shape.parameters * precision.engine.itemsize
    cache = kv_cache_bytes(recipe, shape, precision.engine)
    if pick_engine(recipe.rollout) == "vllm":
        if precision.device == "cpu":
            cache = recipe.rollout.kv_cache_gib * GIB
        elif gpu_gib is not None:
            cache = max(0.0, recipe.rollout.gpu_memory_utilization * gpu_gib * GIB - weights)
    parts = resident_bytes(recipe, shape, precision.learner) | {
        "learner: activations": activation_bytes(recipe, shape, precision),
        "engine: weights": weights,
        "engine: KV cache": cache,
    }
    return {name: size / GIB for name, size in parts.items() if size}


def teacher_gib(teacher: Shape | None, precision: Precision) -> float:
    """The teacher of on-policy distillation, which is kept whole beside the learner."""
    return 0.0 if teacher is None else teacher.parameters * precision.learner.itemsize / GIB


def peak_gib(parts: dict[str, float], sleeps: bool) -> float:
    """The most that lives at once; an engine that sleeps while the learner works is not there with the activations."""
    activations = parts["learner: activations"]
    engine = sum(size for name, size in parts.items() if name.startswith("engine"))
    resident = sum(parts.values()) - activations - engine
    return resident + (max(engine, activations) if sleeps else engine + activations)
