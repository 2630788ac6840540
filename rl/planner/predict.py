"""From counts and rates to seconds, hours, dollars and memory: the planner's pure core.

    prediction = predict(recipe, load_shape(recipe.model), calibration)

`calibration` comes from `rl.planner.calibrate.calibrate` (this machine) or from `rl.planner.assume` (others). Any key
of the recipe may differ from the one that was calibrated with; so may the model (`rl.planner.rates.scaled`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from rl.config.recipe import Recipe
from rl.planner import lengths
from rl.planner.flops import Batch, TreeCounts, cache_bytes, expect_tree, learner_flops
from rl.planner.lengths import Survival
from rl.planner.memory import GIB, memory_gib, peak_gib, precision_of, teacher_gib
from rl.planner.rates import Rates, scaled
from rl.planner.rollouts import Demand, expect_rollouts
from rl.planner.shapes import Shape
from rl.planner.signal import share_with_signal
from rl.rollout.build import context_length, pick_engine, pick_sync
from rl.training.collect import token_budget


@dataclass(frozen=True)
class Observation:
    """What the recipe's problems are like, and what the model says to them now.

    Attributes:
        prompt: mean tokens of a prompt.
        shared: tokens at its beginning that all prompts have in common.
        lengths: sampled completions, tokens of each.
        ended: whether each ended by itself.
        branching: see `rl.planner.flops.Batch`.
        rewards: of whole groups; empty where none was graded, and every group is taken to have a signal.
    """

    prompt: float
    shared: float
    lengths: tuple[int, ...] = ()
    ended: tuple[bool, ...] = ()
    branching: float = 1.0
    rewards: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Calibration:
    """Everything that a prediction takes beside the recipe.

    Attributes:
        shape: of the model that the rates belong to.
        device: `cpu` or `cuda`.
        memory_gib: of the GPU, or what this machine has available.
        base_gib: of a process without models: Python and its libraries.
        assumptions: what was not measured, in words.
    """

    shape: Shape
    rates: Rates
    observed: Observation
    device: str
    memory_gib: float
    base_gib: float = 0.0
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What a run will take. Seconds and tokens are of one step, of one rank.

    Attributes:
        seconds: by phase: generate, learn, sync, rest.
        evaluation_seconds: of one evaluation; there are `evaluations`.
        hours: of the whole run, start-up and evaluations included.
        dollars: None where no price is known.
        learner_flops: counted operations of a step.
        sync_bytes: handed to the engine, in float32.
        memory_gib: by part, as `rl.planner.memory` counts them; `peak_gib` is the most that lives at once.
    """

    seconds: dict[str, float]
    step_seconds: float
    evaluation_seconds: float
    evaluations: int
    start_seconds: float
    hours: float
    dollars: float | None
    mean_length: float
    cut_share: float
    signal_share: float
    generated_tokens: float
    learned_tokens: float
    packed_tokens: float
    passes: float
    learner_flops: float
    sync_bytes: int
    memory_gib: dict[str, float]
    peak_gib: float
    assumptions: tuple[str, ...]


def predict(
    recipe: Recipe,
    shape: Shape,
    calibration: Calibration,
    *,
    mean_length: float | None = None,
    dollars_per_hour: float | None = None,
    teacher: Shape | None = None,
) -> Prediction:
    """Predict a run of `recipe`.

    Args:
        recipe: as it would be trained.
        shape: of its model.
        calibration: rates and observations; of another model, they are scaled.
        mean_length: tokens of a completion, in place of the observed lengths.
        dollars_per_hour: in place of the recipe's price.
        teacher: of on-policy distillation.
    """
    rates = calibration.rates
    if shape != calibration.shape:
        rates = scaled(rates, calibration.shape, shape)
    batch = batch_of(recipe, calibration.observed, mean_length, taught=teacher is not None)
    tree = expect_tree(batch, recipe.optimizer.pass_tokens)
    flops = learner_flops(shape, tree, recipe, teacher)
    seconds = {
        "generate": rollout_seconds(recipe, shape, calibration, rates, batch),
        "learn": learn_seconds(recipe, rates, tree, flops),
        "sync": rates.sync,
        "rest": rates.books + rates.grade * batch.completions,
    }
    step = sum(seconds.values())
    evaluation, evaluations = (
        evaluation_seconds(recipe, shape, calibration, rates, mean_length),
        count_evaluations(recipe),
    )
    hours = (rates.start + recipe.optimizer.max_steps * step + evaluations * evaluation) / 3600
    price = recipe.run.dollars_per_hour if dollars_per_hour is None else dollars_per_hour
    precision = precision_of(recipe, calibration.device)
    parts = memory_gib(recipe, shape, precision, calibration.memory_gib)
    if teacher is not None:
        parts["learner: teacher"] = teacher_gib(teacher, precision)
    if calibration.base_gib:
        parts["process: libraries"] = calibration.base_gib
    mean = lengths.mean_length(batch.survival)
    return Prediction(
        seconds=seconds,
        step_seconds=step,
        evaluation_seconds=evaluation,
        evaluations=evaluations,
        start_seconds=rates.start,
        hours=hours,
        dollars=hours * price if price else None,
        mean_length=mean,
        cut_share=lengths.cut_share(batch.survival),
        signal_share=batch.signal,
        generated_tokens=batch.completions * mean,
        learned_tokens=batch.completions * batch.signal * mean,
        packed_tokens=tree.nodes,
        passes=tree.passes,
        learner_flops=flops,
        sync_bytes=sync_bytes(recipe, shape, precision.learner),
        memory_gib=parts,
        peak_gib=peak_gib(parts, recipe.rollout.enable_sleep_mode and calibration.device == "cuda"),
        assumptions=(*calibration.assumptions, *unobserved(recipe, calibration.observed, mean_length)),
    )


def sync_bytes(recipe: Recipe, shape: Shape, learner: torch.dtype) -> int:
    """Return what the engine is handed after a step: in float32, but for merged weights that the learner keeps."""
    if pick_sync(recipe.rollout) != "merged":
        return 4 * shape.trainable
    return (learner.itemsize if shape.merged else 4) * shape.exported


def unobserved(recipe: Recipe, observed: Observation, mean: float | None) -> Iterator[str]:
    """What the prediction takes for granted of the recipe, in words."""
    if mean is None and not observed.lengths:
        yield "every completion runs to rollout.max_completion_length (--mean-length)"
    if not observed.rewards:
        yield "every group has a signal"
    if recipe.rollout.max_staleness:
        yield "rollouts and learning are counted one after the other, as on hardware that they share (max_staleness)"


def batch_of(recipe: Recipe, observed: Observation, mean: float | None, taught: bool = False) -> Batch:
    """A rank's share of a step, with what dynamic sampling adds; `taught`: a teacher scores every token."""
    algorithm, group = recipe.algorithm, recipe.rollout.num_generations
    survival = survival_of(observed, recipe.rollout.max_completion_length, mean)
    signal, problems = share_with_signal(observed.rewards, group), float(algorithm.problems_per_step)
    if algorithm.dynamic_sampling:
        problems = drawn_problems(recipe, signal, lengths.mean_length(survival))
    always = taught or algorithm.beta > 0 or algorithm.entropy_coef > 0  # then every group is learned from
    return Batch(
        problems=problems / recipe.run.num_processes,
        group=group,
        prompt=observed.prompt,
        shared=observed.shared,
        survival=survival,
        branching=observed.branching,
        signal=1.0 if always else signal,
    )


def drawn_problems(recipe: Recipe, signal: float, mean: float) -> float:
    """Problems a step until `problems_per_step` of them have a signal, or the token budget of dynamic sampling ends."""
    wanted, group = recipe.algorithm.problems_per_step, recipe.rollout.num_generations
    return min(wanted / signal if signal else float("inf"), max(wanted, token_budget(recipe) / (group * mean)))


def survival_of(observed: Observation, limit: int, mean: float | None) -> Survival:
    """How long completions get: as asked, as observed, or else to their limit, all of them."""
    if mean is not None:
        return lengths.geometric_survival(min(mean, limit), limit)
    return lengths.estimate_survival(observed.lengths or (1,), observed.ended or (False,), limit)


def rollout_seconds(recipe: Recipe, shape: Shape, calibration: Calibration, rates: Rates, batch: Batch) -> float:
    """Generating one batch."""
    engine, mean = pick_engine(recipe.rollout), lengths.mean_length(batch.survival)
    demand = Demand(batch.problems, batch.group, batch.prompt, batch.shared)
    room = cached_sequences(recipe, shape, calibration, batch.prompt + mean)
    counts = expect_rollouts(demand, batch.survival, min(recipe.rollout.max_num_seqs, room), engine, calibration.device)
    return rates.decode.seconds(counts)


def cached_sequences(recipe: Recipe, shape: Shape, calibration: Calibration, tokens: float) -> float:
    """Sequences of so many tokens that vLLM's cache holds at once, at least one; transformers' grows as it must."""
    if pick_engine(recipe.rollout) == "transformers":
        return float("inf")
    precision = precision_of(recipe, calibration.device)
    parts = memory_gib(recipe, shape, precision, calibration.memory_gib)
    size = cache_bytes(shape, precision.engine.itemsize) * min(tokens, context_length(recipe))
    return max(1.0, parts.get("engine: KV cache", 0.0) * GIB / size)


def learn_seconds(recipe: Recipe, rates: Rates, tree: TreeCounts, flops: float) -> float:
    """All updates on one batch."""
    updates = recipe.algorithm.num_iterations
    return updates * (tree.passes * rates.learn_pass + rates.update) + flops * rates.learn_flop


def evaluation_seconds(
    recipe: Recipe, shape: Shape, calibration: Calibration, rates: Rates, mean: float | None
) -> float:
    """Generating and grading the held-out problems; answers are taken to be as long as training's."""
    section = recipe.evaluation
    limit = section.max_completion_length or recipe.rollout.max_completion_length
    survival = survival_of(calibration.observed, limit, mean)
    observed, ranks = calibration.observed, recipe.run.num_processes
    batch = Batch(section.size / ranks, section.num_samples, observed.prompt, observed.shared, survival)
    return rollout_seconds(recipe, shape, calibration, rates, batch) + rates.grade * batch.completions


def count_evaluations(recipe: Recipe) -> int:
    """Before, after, and every so many steps between."""
    every, steps = recipe.evaluation.every, recipe.optimizer.max_steps
    return 2 + ((steps - 1) // every if every else 0)
