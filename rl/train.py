"""GRPO, from problems to new weights: the loop of every run.

A step samples a group of completions of each problem, grades them by rule, turns the rewards of each group into
advantages, updates the policy once or `num_iterations` times, and gives the new weights to the engine. Step k depends
on the state after step k - 1 and on (seed, k) alone, so a run that was killed and resumed is the run that was not.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from rl import ranks
from rl.errors import RunStopped
from rl.evaluate.evaluation import Answer, grade_all
from rl.learner.advantages import compute_advantages
from rl.learner.packing import Sample
from rl.learner.step import LearnerSettings, Update, learn
from rl.metrics import logged_metrics, rollout_metrics, to_rows
from rl.problems.problem import Prompt
from rl.problems.stream import completion_seeds
from rl.rollout.engine import Completion, SamplingParams
from rl.session import Session


def train(run: Session) -> None:
    """Take the run from where it stands to `optimizer.max_steps`, measuring before and after."""
    recipe, ledger = run.recipe, run.ledger
    run.sync()
    run.evaluate_if_due()
    for step in range(run.step + 1, recipe.optimizer.max_steps + 1):
        torch.manual_seed(completion_seeds(recipe.run.seed, step, -1 - ranks.rank(), 1)[0])  # dropout
        prompts_P = run.prompts(step)
        with ledger.phase("generate"):
            completions_P_G = generate(run, step, prompts_P)
        run.stop_if_asked()
        with ledger.phase("grade"):
            answers = grade_all(prompts_P, completions_P_G, run.grader, run.tokenizer)
            check_ungradable(answers, recipe.rewards.max_ungradable)
            samples = to_samples(run, answers, batch_advantages(run, answers))
        run.stop_if_asked()
        with ledger.phase("learn"):
            update = update_policy(run, samples)
        with ledger.phase("sync"):
            run.sync()
        record(run, step, answers, samples, update)
        run.finish_step()
    run.finish()


def generate(run: Session, step: int, prompts_P: Sequence[Prompt]) -> list[list[Completion]]:
    """Sample `num_generations` completions of each prompt; then let the engine rest."""
    rollout = run.recipe.rollout
    params = SamplingParams(
        max_tokens=rollout.max_completion_length,
        temperature=rollout.temperature,
        top_p=rollout.top_p,
        top_k=rollout.top_k,
        min_p=rollout.min_p,
        stop=tuple(rollout.stop),
    )
    first = ranks.rank() * len(prompts_P)  # place of this rank's first problem in the whole batch
    seeds = [
        completion_seeds(run.recipe.run.seed, step, first + place, rollout.num_generations)
        for place in range(len(prompts_P))
    ]
    completions_P_G = run.engine.generate([prompt.token_ids for prompt in prompts_P], params, seeds)
    run.ledger.add_tokens(generated=sum(len(c.token_ids) for group in completions_P_G for c in group))
    run.engine.sleep()
    return completions_P_G


def check_ungradable(answers: Sequence[Answer], limit: float) -> None:
    """Stop the run if graders failed on more than `limit` of the batch: that is our fault, not the completions'."""
    failed = ranks.gather([answer.graded.reward is None for answer in answers])
    if sum(failed) > limit * len(failed):
        raise RunStopped(
            f"{sum(failed)} of {len(failed)} completions could not be graded, more than rewards.max_ungradable = "
            f"{limit:g}; check the answers of the problems and the reward functions"
        )


def batch_advantages(run: Session, answers: Sequence[Answer]) -> list[float]:
    """The advantage of each of this rank's completions, from the rewards of all ranks."""
    algorithm, size = run.recipe.algorithm, run.recipe.rollout.num_generations
    rewards = ranks.gather([answer.graded.reward for answer in answers])
    valid = torch.tensor([reward is not None for reward in rewards]).view(-1, size)  # [P, G]
    values = torch.tensor([reward or 0.0 for reward in rewards], dtype=torch.float64).view(-1, size)  # [P, G]
    advantages = compute_advantages(algorithm.advantage_estimator, algorithm.scale_rewards, values, valid)
    first = ranks.rank() * len(answers)
    return advantages.flatten().tolist()[first : first + len(answers)]


def to_samples(run: Session, answers: Sequence[Answer], advantages: Sequence[float]) -> list[Sample]:
    """What the learner gets: tokens as the engine sampled them, never re-tokenised."""
    skip_truncated = run.recipe.algorithm.mask_truncated_completions
    return [
        Sample(
            prompt_ids=answer.prompt.token_ids,
            completion_ids=answer.completion.token_ids,
            engine_logps=answer.completion.logprobs,
            advantage=advantage,
            counted=answer.graded.reward is not None
            and not (skip_truncated and answer.completion.finish_reason == "length"),
        )
        for answer, advantage in zip(answers, advantages, strict=True)
    ]


def update_policy(run: Session, samples: Sequence[Sample]) -> Update:
    """Learn from the samples and advance the learning rate's schedule."""
    rollout = run.recipe.rollout
    settings = LearnerSettings(rollout.temperature, rollout.max_completion_length, rollout.max_gap)
    learning_rate = float(run.scheduler.get_last_lr()[0])
    update = learn(run.policy, run.optimizer, samples, run.recipe.algorithm, run.recipe.optimizer, settings)
    run.scheduler.step()
    run.ledger.add_tokens(trained=sum(len(logps) for logps in update.logps.values()))
    return replace(update, metrics=update.metrics | {"learning_rate": learning_rate})


def record(run: Session, step: int, answers: Sequence[Answer], samples: Sequence[Sample], update: Update) -> None:
    """Store every rollout and the step's line of metrics."""
    rows = ranks.gather(to_rows(answers, samples, update.logps))
    metrics = rollout_metrics(rows, run.recipe.rollout.num_generations) | logged_metrics(run.grader.metrics)
    run.record(step, rows, {"step": step} | metrics | update.metrics)
