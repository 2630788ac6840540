"""What a run would do and keep in memory, without running anything: what `penny train --dry-run` prints."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from rl.base.columns import listing_text
from rl.config.plug_ins import WHAT
from rl.config.recipe import Recipe
from rl.models.source import load_tokenizer
from rl.planner.memory import GIB, kv_cache_bytes, memory_gib, precision_of
from rl.planner.predict import count_evaluations
from rl.planner.shapes import load_shape
from rl.problems.prompt import Prompter
from rl.problems.sets import prepare_sets
from rl.rollout.build import pick_device, pick_engine
from rl.training.engine_checks import gpu_memory_gib


@dataclass(frozen=True)
class Plan:
    """Everything about a run that is known beforehand. Memory in GiB a rank, upper bounds where sizes vary."""

    recipe: str
    model: str
    parameters: int
    trainable_parameters: int
    device: str
    engine: str
    learner_dtype: str
    engine_dtype: str
    memory_gib: dict[str, float]
    kv_cache_needed_gib: float  # for all sequences at once, at full length
    steps: int
    tokens_per_step: dict[str, int]
    tokens_in_run: dict[str, int]
    evaluations: int
    training_problems: int
    held_out_problems: int
    contaminated_problems: dict[str, int]  # left out of training, by benchmark that was looked for
    epochs: float
    rewards: dict[str, float]
    plug_ins: dict[str, str]  # functions of the user's, by the key of `algorithm` that names them
    prompt_text: str
    prompt_tokens: int
    dollars_at_most: float | None


def make_plan(recipe: Recipe) -> Plan:
    """Work out the plan of a recipe that has passed `check_recipe`."""
    shape = load_shape(recipe.model)
    tokenizer = load_tokenizer(recipe.model.name, recipe.model.revision)
    sets = prepare_sets(recipe)
    prompt = Prompter(recipe.problems, tokenizer).render(sets.training[0])
    precision = precision_of(recipe, pick_device(recipe.rollout.device))
    gpu = min(gpu_memory_gib(), default=recipe.run.min_gpu_memory_gib)
    per_step, evaluations = tokens_per_step(recipe), count_evaluations(recipe)
    steps = recipe.optimizer.max_steps
    return Plan(
        recipe=recipe.name,
        model=recipe.model.name,
        parameters=shape.parameters,
        trainable_parameters=shape.trainable,
        device=precision.device,
        engine=pick_engine(recipe.rollout),
        learner_dtype=str(precision.learner).removeprefix("torch."),
        engine_dtype=str(precision.engine).removeprefix("torch."),
        memory_gib=memory_gib(recipe, shape, precision, gpu),
        kv_cache_needed_gib=kv_cache_bytes(recipe, shape, precision.engine) / GIB,
        steps=steps,
        tokens_per_step=per_step,
        tokens_in_run={
            "prompts": steps * per_step["prompts"],
            "completions": steps * per_step["completions"],
            "evaluation completions": evaluations * evaluation_tokens(recipe),
        },
        evaluations=evaluations,
        training_problems=len(sets.training),
        held_out_problems=len(sets.held_out),
        contaminated_problems=sets.report.counts() if sets.report else {},
        epochs=steps * recipe.algorithm.problems_per_step / len(sets.training),
        rewards=dict(recipe.rewards.functions),
        plug_ins=recipe.algorithm.plug_ins,
        prompt_text=prompt.text,
        prompt_tokens=len(prompt.token_ids),
        dollars_at_most=dollars_at_most(recipe),
    )


def tokens_per_step(recipe: Recipe) -> dict[str, int]:
    """Tokens of one step at most; a prompt is read once for its whole group."""
    problems, rollout = recipe.algorithm.problems_per_step, recipe.rollout
    return {
        "prompts": problems * recipe.problems.max_prompt_length,
        "completions": problems * rollout.num_generations * rollout.max_completion_length,
    }


def evaluation_tokens(recipe: Recipe) -> int:
    """Tokens that one evaluation generates at most."""
    section = recipe.evaluation
    return section.size * section.num_samples * (section.max_completion_length or recipe.rollout.max_completion_length)


def dollars_at_most(recipe: Recipe) -> float | None:
    """What the run may cost at most; None if nothing limits its time, for the time is not known beforehand."""
    run = recipe.run
    limits = [run.max_hours * run.dollars_per_hour if run.max_hours else math.inf, run.max_dollars or math.inf]
    if run.dollars_per_hour == 0:
        return 0.0
    return None if min(limits) == math.inf else min(limits)


def plan_dict(plan: Plan, warnings: list[str]) -> dict[str, Any]:
    """The plan for machines."""
    return asdict(plan) | {"memory_total_gib": sum(plan.memory_gib.values()), "warnings": warnings}


def plan_text(plan: Plan, width: int | None = None) -> str:
    """The plan for people, in lines of at most `width` characters; the prompt as it is."""
    share = plan.trainable_parameters / plan.parameters
    price = "not known, for nothing limits the time (run.max_hours, run.max_dollars)"
    if plan.dollars_at_most is not None:
        price = f"at most ${plan.dollars_at_most:.2f}" if plan.dollars_at_most else "none (run.dollars_per_hour is 0)"
    near = ", ".join(f"{count:,} of {name}" for name, count in plan.contaminated_problems.items())
    step, run = plan.tokens_per_step, plan.tokens_in_run
    facts = [
        ("recipe", plan.recipe),
        ("model", f"{plan.model}: {plan.parameters:,} parameters, {plan.trainable_parameters:,} learn ({share:.2%})"),
        ("runs on", f"{plan.device}: learner {plan.learner_dtype}, rollouts by {plan.engine} in {plan.engine_dtype}"),
        ("problems", f"{plan.training_problems:,} to train on, {plan.held_out_problems:,} held out"),
        *([("left out", f"too near to a benchmark's: {near}")] if near else []),
        ("rewards", ", ".join(f"{name} x {weight:g}" for name, weight in plan.rewards.items())),
        *((WHAT[key], f"{spec} (yours)") for key, spec in plan.plug_ins.items()),
        ("steps", f"{plan.steps}, {plan.epochs:.2f} epochs, {plan.evaluations} evaluations"),
        ("a step", f"at most {step['prompts']:,} prompt and {step['completions']:,} completion tokens"),
        (
            "the run",
            f"at most {run['prompts']:,} prompt, {run['completions']:,} completion and "
            f"{run['evaluation completions']:,} evaluation tokens",
        ),
        ("price", price),
        ("memory", "estimated, GiB a rank"),
    ]
    rule = "-" * min(80, width or 80)
    lines = [
        *(f"  {name:<22}{size:8.2f}" for name, size in plan.memory_gib.items()),
        f"  {'together':<22}{sum(plan.memory_gib.values()):8.2f}",
        f"  (KV cache of all sequences at full length: {plan.kv_cache_needed_gib:.2f})",
        f"a prompt  as it is sent, {plan.prompt_tokens} tokens, between the lines",
        rule,
        plan.prompt_text,
        rule,
    ]
    return "\n".join([listing_text(facts, width), *lines])
