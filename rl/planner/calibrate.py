"""A minute or two on the machine at hand: real rollouts of the recipe's own prompts, and real learning on them.

Engine and policy live side by side, as in a run. Each shape runs once before it is timed. What is learned is dropped.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from rewards.scratch import scratch_folder
from rl.config.recipe import Recipe
from rl.grading.answers import build_grader, grade_all
from rl.learner.budget import available_bytes
from rl.learner.optimizer import build_optimizer
from rl.learner.packing import Sample
from rl.learner.policy import Policy, load_policy
from rl.learner.step import LearnerSettings, learn
from rl.planner.flops import TreeCounts, branching_of, count_tree, learner_flops
from rl.planner.memory import GIB
from rl.planner.observe import Asking, first_prompts, prompt_sizes
from rl.planner.predict import Calibration, Observation
from rl.planner.rates import BOOKS_SECONDS, Rates, fit_decode, fit_learner
from rl.planner.rollouts import Demand, RolloutCounts, seen_rollouts
from rl.planner.shapes import Shape, load_shape
from rl.problems.problem import Prompt
from rl.problems.stream import completion_seeds
from rl.rollout.build import build_engine, engine_start, pick_device, pick_sync, shared_dtype
from rl.rollout.engine import Completion, RolloutEngine, SamplingParams
from rl.rollout.precision import pick_dtype
from rl.run.ledger import peak_memory_gib
from rl.run.loading import loading

FEW, MANY = 8, 64  # sequences at once in the two batches
LONGEST = {"cpu": 512, "cuda": 4096}  # tokens of a completion that is waited for
LEARNED = {"cpu": 2048, "cuda": 16384}  # packed tokens of the larger pass at most
PROBE = 8  # tokens of a completion when a batch is tried
BATCH_SECONDS = 20.0  # of a timed batch, about
PASS_SECONDS = 10.0  # of a timed pass of the learner, about
REPEATS = 2

Say = Callable[[str], None]


@dataclass(frozen=True)
class RolloutTiming:
    """A timed batch: what was asked, what was said, and how long it took."""

    prompts: Sequence[Prompt]
    completions: list[list[Completion]]
    counts: RolloutCounts
    seconds: float


def calibrate(recipe: Recipe, say: Say) -> Calibration:
    """Measure a recipe here: rates of engine and learner, lengths, verdicts. Raises what a run's start would raise."""
    began, base = time.perf_counter(), peak_memory_gib()["ram"]
    shape, asking = load_shape(recipe.model), first_prompts(recipe)
    device = pick_device(recipe.rollout.device)
    with ExitStack() as stack:
        grader = stack.enter_context(build_grader(recipe.rewards))
        with loading(f"calibrating: {engine_start(recipe)}", say):
            engine = build_engine(recipe)
        stack.callback(engine.close)
        with loading(f"calibrating: loading {recipe.model.name} to learn, on {device}", say):
            dtype = pick_dtype(recipe.model.dtype, device)
            policy = load_policy(
                recipe.model,
                device,
                dtype,
                seed=recipe.run.seed,
                keep_reference=False,
                engine_dtype=shared_dtype(recipe, device),
            )
        start = time.perf_counter() - began
        say("calibrating: generating")
        syncs = list[float]()
        rolled = measure_rollouts(recipe, engine, policy, asking, syncs)
        engine.sleep()
        groups = max(rolled, key=lambda batch: (len(batch.completions[0]), batch.counts.tokens))
        began = time.perf_counter()
        answers = grade_all(groups.prompts, groups.completions, grader, asking.tokenizer)
        grade = (time.perf_counter() - began) / len(answers)
        say("calibrating: learning")
        flops, seconds, update = measure_learner(recipe, policy, shape, groups)
    learn_pass, learn_flop = fit_learner(flops, seconds)
    whole = all(
        c.finish_reason == "stop" or len(c.token_ids) >= recipe.rollout.max_completion_length for c in flat(groups)
    )
    rewards = [answer.graded.reward or 0.0 for answer in answers] if whole else []
    size = len(groups.completions[0])
    completions = [*flat(rolled[0]), *(flat(groups) if groups is not rolled[0] else [])]
    prompt, shared = prompt_sizes(asking.prompts)
    return Calibration(
        shape=shape,
        rates=Rates(
            decode=fit_decode([batch.counts for batch in rolled], [batch.seconds for batch in rolled]),
            learn_pass=max(0.0, learn_pass - update),
            learn_flop=learn_flop,
            update=update,
            sync=min(syncs),
            grade=grade,
            books=BOOKS_SECONDS,
            start=start,
        ),
        observed=Observation(
            prompt=prompt,
            shared=shared,
            lengths=tuple(len(c.token_ids) for c in completions),
            ended=tuple(c.finish_reason == "stop" for c in completions),
            branching=branching_of([[c.token_ids for c in group] for group in groups.completions]),
            rewards=tuple(tuple(rewards[i : i + size]) for i in range(0, len(rewards), size)),
        ),
        device=device,
        memory_gib=memory_here(device),
        base_gib=base if device == "cpu" else 0.0,
        assumptions=(f"writing rollouts and metrics: {BOOKS_SECONDS:g} s a step",),
    )


def flat(batch: RolloutTiming) -> list[Completion]:
    """All completions of a batch."""
    return [completion for group in batch.completions for completion in group]


def sync(recipe: Recipe, engine: RolloutEngine, policy: Policy) -> float:
    """Give the engine the policy's weights, as each step does; returns the seconds."""
    began = time.perf_counter()
    if pick_sync(recipe.rollout) == "merged":
        engine.load_weights(policy.export())
    else:
        with scratch_folder("adapter") as folder:
            policy.save(Path(folder))
            engine.load_adapter(folder)
    return time.perf_counter() - began


def measure_rollouts(
    recipe: Recipe, engine: RolloutEngine, policy: Policy, asking: Asking, syncs: list[float]
) -> list[RolloutTiming]:
    """Timed batches that tell steps, tokens, context and prompts apart: few long, few short, many, and prompts alone.

    The few are single answers to different problems; the many are whole groups, as in a step. New weights before each,
    whose seconds are added to `syncs`, so that no prompt is reused from the call before.
    """
    device = policy.device.type
    group, limit = recipe.rollout.num_generations, recipe.rollout.max_completion_length
    problems = max(1, min(recipe.algorithm.problems_per_step, MANY // group, len(asking.prompts)))
    few, many = asking.prompts[:FEW], asking.prompts[:problems]
    long = affordable(recipe, engine, few, 1, min(limit, LONGEST[device]), device)
    wide = affordable(recipe, engine, many, group, min(limit, LONGEST[device]), device)
    shapes = [(few, 1, long), (few, 1, max(1, long // 4)), (many, group, wide), (many, group, 1)]
    rolled, done = list[RolloutTiming](), set[tuple[int, int, int]]()
    for prompts, size, tokens in shapes:
        if (len(prompts), size, tokens) not in done:
            done.add((len(prompts), size, tokens))
            syncs.append(sync(recipe, engine, policy))
            rolled.append(roll(recipe, engine, prompts, size, tokens, device))
    return rolled


def affordable(
    recipe: Recipe, engine: RolloutEngine, prompts: Sequence[Prompt], group: int, tokens: int, device: str
) -> int:
    """How long completions of a batch may get, at most `tokens`, to take about `BATCH_SECONDS`; tried on a few tokens.

    The first call of a shape is slower and only warms up.
    """
    tried = [roll(recipe, engine, prompts, group, min(tokens, PROBE), device) for _ in range(2)][1]
    return min(tokens, max(PROBE, int(BATCH_SECONDS * tried.counts.steps / tried.seconds)))


def roll(
    recipe: Recipe, engine: RolloutEngine, prompts: Sequence[Prompt], group: int, tokens: int, device: str
) -> RolloutTiming:
    """One timed batch: `group` completions of each prompt, of at most so many tokens."""
    params = SamplingParams(tokens, recipe.rollout.temperature, stop=tuple(recipe.rollout.stop))
    seeds = [completion_seeds(recipe.run.seed, group, place, group) for place in range(len(prompts))]
    began = time.perf_counter()
    completions = engine.generate([prompt.token_ids for prompt in prompts], params, seeds)
    seconds = time.perf_counter() - began
    long = [len(completion.token_ids) for row in completions for completion in row]
    prompt, shared = prompt_sizes(prompts)
    counts = seen_rollouts(Demand(len(prompts), group, prompt, shared), long, engine.name, device)
    return RolloutTiming(prompts, completions, counts, seconds)


def measure_learner(
    recipe: Recipe, policy: Policy, shape: Shape, rolled: RolloutTiming
) -> tuple[list[float], list[float], float]:
    """Operations and seconds of passes of two sizes, and seconds of the optimizer's step."""
    device = policy.device.type
    samples = to_samples(rolled)
    room = min(recipe.optimizer.pass_tokens, LEARNED[device])
    small = largest(samples, room // 4)
    optimizer = build_optimizer(policy.trainable.values(), recipe.optimizer)
    algorithm = recipe.algorithm.model_copy(update={"num_iterations": 1, "beta": 0.0})
    settings = LearnerSettings(recipe.rollout.temperature, recipe.rollout.max_completion_length, math.inf)
    flops, seconds, chosen = list[float](), list[float](), samples[:small]
    for _ in range(2):
        timed = []
        for _ in range(1 + REPEATS):
            began = time.perf_counter()
            learn(policy, optimizer, chosen, algorithm, recipe.optimizer, settings)
            synchronize(device)
            timed.append(time.perf_counter() - began)
        flops.append(learner_flops(shape, tree_of(chosen), with_algorithm(recipe)))
        seconds.append(min(timed[1:]))
        growth = PASS_SECONDS / seconds[0]
        chosen = samples[: largest(samples, min(room, int(max(2.0, growth) * tree_of(chosen).nodes)))]
        if len(chosen) == small:
            break
    began = time.perf_counter()
    optimizer.step()
    synchronize(device)
    return flops, seconds, time.perf_counter() - began


def with_algorithm(recipe: Recipe) -> Recipe:
    """The recipe with one update a step and no KL term, as it is measured."""
    return recipe.model_copy(
        update={"algorithm": recipe.algorithm.model_copy(update={"num_iterations": 1, "beta": 0.0})}
    )


def to_samples(rolled: RolloutTiming) -> list[Sample]:
    """The completions as the learner takes them, each with an advantage: none is skipped."""
    return [
        Sample(tuple(prompt.token_ids), c.token_ids, c.logprobs, 1.0 if number % 2 else -1.0, True)
        for prompt, group in zip(rolled.prompts, rolled.completions, strict=True)
        for number, c in enumerate(group)
    ]


def tree_of(samples: Sequence[Sample]) -> TreeCounts:
    """Counts of one micro-batch of samples."""
    return count_tree([(sample.prompt_ids, sample.completion_ids) for sample in samples])


def largest(samples: Sequence[Sample], room: int) -> int:
    """How many of the first samples fit `room` packed tokens, at least one."""
    fitting = 1
    while fitting < len(samples) and tree_of(samples[: fitting + 1]).nodes <= room:
        fitting += 1
    return fitting


def synchronize(device: str) -> None:
    """Wait for a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def memory_here(device: str) -> float:
    """GiB of the GPU, or those that this machine has available."""
    if device == "cuda":
        return torch.cuda.get_device_properties(0).total_memory / GIB
    return available_bytes(device) / GIB
