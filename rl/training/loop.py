"""GRPO, from problems to new weights: the loop of every run.

A step samples a group of completions of each problem, grades them by rule, turns the rewards of each group into
advantages, updates the policy once or `num_iterations` times, and gives the new weights to the engine. Step k depends
on the state after step k - 1 and on (seed, k) alone, so a run that was killed and resumed is the run that was not.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from rl.base import ranks
from rl.base.errors import PlugInFailed, RunStopped
from rl.grading.answers import Answer
from rl.learner.advantages import compute_advantages
from rl.learner.fuse import LogitError, absolute_limit, is_reference
from rl.learner.packing import Sample
from rl.learner.step import LearnerSettings, Update, learn
from rl.problems.stream import completion_seeds
from rl.rollout.build import engine_dtype
from rl.run.checkpoints import prune
from rl.training.batch import Batch, SamplingCounts
from rl.training.collect import counts
from rl.training.metrics import logged_metrics, rollout_metrics, sampling_metrics, to_rows
from rl.training.prefetch import Prefetcher
from rl.training.reflection import reflection_metrics
from rl.training.session import Session


def train(run: Session) -> None:
    """Take the run from where it stands to `optimizer.max_steps`, measuring before and after."""
    run.sync.hand_over()
    run.evaluate_if_due()
    with Prefetcher(run) as rollouts:
        for step in range(run.state.step + 1, run.recipe.optimizer.max_steps + 1):
            with run.stop.safe_points():
                take_step(run, rollouts, step)
                run.save_if_due()
                run.stop_if_asked()
            run.evaluate_if_due()
            prune(run.recorder.folder, run.recipe.run.save_total_limit)
    run.recorder.finish()


def take_step(run: Session, rollouts: Prefetcher, step: int) -> None:
    """Learn from the completions of the step's problems; what ends the run before it learns, ends it saved."""
    with run.saved_first():
        batch = rollouts.batch(step)
        run.stop_if_asked()
        check_ungradable(batch.tried, run.recipe.rewards.max_ungradable)
        advantages = batch_advantages(run, batch.answers)
    samples = to_samples(run, batch.answers, advantages)
    rollouts.begin(step + 1)  # if they are to be sampled while this step learns
    try:
        with run.recorder.ledger.phase("learn"):
            update = update_policy(run, step, samples)
    except PlugInFailed as failure:
        if not failure.moved:
            run.save()
        raise
    rollouts.finish()
    with run.recorder.ledger.phase("sync"):
        synced = run.sync.hand_over()
    record(run, batch, samples, update, synced)


def check_ungradable(mine: SamplingCounts, limit: float) -> None:
    """Stop the run if graders failed on more than `limit` of a step: that is our fault, not the completions'."""
    failed, asked = (sum(column) for column in zip(*ranks.gather([(mine.ungradable, mine.completions)]), strict=True))
    if failed > limit * asked:
        raise RunStopped(
            f"{failed} of {asked} completions could not be graded, more than rewards.max_ungradable = "
            f"{limit:g}; check the answers of the problems and the reward functions"
        )


def batch_advantages(run: Session, answers: Sequence[Answer]) -> list[float]:
    """The advantage of each of this rank's completions, from the rewards of all ranks."""
    algorithm, size = run.recipe.algorithm, run.recipe.rollout.num_generations
    rewards = ranks.gather([answer.graded.reward for answer in answers])
    valid = torch.tensor([reward is not None for reward in rewards]).view(-1, size)  # [P, G]
    values = torch.tensor([reward or 0.0 for reward in rewards], dtype=torch.float64).view(-1, size)  # [P, G]
    advantages = compute_advantages(run.plug_ins.estimator, algorithm.scale_rewards, values, valid)
    if run.teacher is not None:
        advantages = advantages * run.recipe.distillation.reward_weight
    first = ranks.rank() * len(answers)
    return advantages.flatten().tolist()[first : first + len(answers)]


def to_samples(run: Session, answers: Sequence[Answer], advantages: Sequence[float]) -> list[Sample]:
    """What the learner gets: tokens as the engine sampled them, never re-tokenised."""
    return [
        Sample(
            prompt_ids=answer.prompt.token_ids,
            completion_ids=answer.completion.token_ids,
            engine_logps=answer.completion.logprobs,
            advantage=advantage,
            counted=counts(answer, run.recipe.algorithm),
        )
        for answer, advantage in zip(answers, advantages, strict=True)
    ]


def update_policy(run: Session, step: int, samples: Sequence[Sample]) -> Update:
    """Learn from the samples and advance the learning rate's schedule."""
    torch.manual_seed(completion_seeds(run.recipe.run.seed, step, -1 - ranks.rank(), 1)[0])  # dropout
    state, rollout = run.state, run.recipe.rollout.at(step)
    max_gap, first_gap = gap_limit(run, step)
    settings = LearnerSettings(
        rollout.temperature,
        rollout.max_completion_length,
        max_gap,
        run.recipe.distillation.weight,
        run.recipe.model.router_aux_loss_coef,
        first_gap,
    )
    learning_rate = float(state.scheduler.get_last_lr()[0])
    section = run.recipe.optimizer.model_copy(update={"micro_batch_tokens": state.pass_tokens})
    update = learn(
        state.policy,
        state.optimizer,
        samples,
        run.recipe.algorithm,
        section,
        settings,
        run.teacher,
        state.scaler,
        run.plug_ins,
    )
    if state.first_gap is None and is_reference(update.logit_error):
        state.first_gap = update.logit_error
    state.scheduler.step()
    run.recorder.ledger.add_tokens(trained=sum(len(logps) for logps in update.logps.values()))
    return replace(update, metrics=update.metrics | {"learning_rate": learning_rate})


def gap_limit(run: Session, step: int) -> tuple[float, LogitError | None]:
    """Return the limit of the step's gap, and the first gap where `rollout.max_gap: auto` compares with it."""
    max_gap, model, device = run.recipe.rollout.max_gap, run.recipe.model, run.state.policy.device.type
    if max_gap != "auto":
        return max_gap, None
    stale = run.state.batches[step].weights < step - 1
    apart = model.use_peft and (model.lora_dropout > 0 or model.use_dora)
    limit = absolute_limit(run.state.policy.compute_dtype, engine_dtype(run.recipe, device), apart, stale)
    return limit, None if stale or apart else run.state.first_gap


def record(run: Session, batch: Batch, samples: Sequence[Sample], update: Update, synced: dict[str, float]) -> None:
    """Store every rollout and the step's line of metrics."""
    staleness = batch.step - 1 - batch.weights  # updates between the weights that sampled and those that learned
    assert 0 <= staleness <= run.recipe.rollout.max_staleness
    rows = ranks.gather(to_rows(batch.answers, samples, update.logps))
    metrics = rollout_metrics(rows, run.recipe.rollout.num_generations) | reflection_metrics(rows)
    metrics |= logged_metrics(batch.logged)
    if run.recipe.algorithm.dynamic_sampling:
        metrics |= sampling_metrics(batch)
    run.record(batch.step, rows, {"step": batch.step, "staleness": staleness} | metrics | update.metrics | synced)
