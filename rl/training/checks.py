"""Everything that can be found wrong with a recipe before a model is loaded, cheapest first.

The tokenizer and the problems are read, the weights are not. Each problem is one `BadInput` sentence; what is merely
worth knowing comes back as a warning.
"""

import functools
import heapq
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rewards.grading import Grader
from rewards.named import is_named
from rl.base.install import install_command
from rl.config.recipe import AlgorithmSection, Recipe
from rl.grading.answers import as_columns, build_grader
from rl.learner.plug_ins import load_plug_ins
from rl.models.source import ALIASES, load_config, load_tokenizer
from rl.problems.decontaminate import left_out_text, named_benchmark
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter, asked_length
from rl.problems.sets import held_out_section, prepare_sets
from rl.rollout.build import context_length, pick_device, pick_engine
from rl.run.folder import RunFolder, default_path
from rl.run.trackers import check_trackers
from rl.training.engine_checks import check_engine

TABLES = ("lm_head", "embed_tokens")
TOLD = 3  # bad gold answers that a message names
RENDERED = 500  # prompts of a set that are rendered to see whether they fit


def check_recipe(recipe: Recipe) -> list[str]:
    """Check a recipe against itself, this machine, its model's configuration, its problems and its rewards.

    Returns:
        Warnings: sentences about what is allowed and may surprise.

    Raises:
        BadInput: the first thing that would stop the run or make it meaningless.
    """
    check_sampling(recipe)
    check_correction(recipe.algorithm)
    load_plug_ins(recipe.algorithm)  # refuses functions that do not exist or cannot work
    with build_grader(recipe.rewards):  # refuses functions and options that do not exist
        pass
    check_lengths(recipe)
    check_decontamination(recipe)
    check_ranks(recipe, os.environ)
    check_engine(recipe)
    check_packages(recipe)
    RunFolder.check(Path(recipe.run.dir) if recipe.run.dir else default_path(recipe.name), recipe)
    check_model(recipe, load_config(recipe.model.name, recipe.model.revision))
    check_teacher(recipe)
    return list_warnings(recipe) + check_problems(recipe)


def check_sampling(recipe: Recipe) -> None:
    """Refuse groups too small for a baseline, and sampling that the learner's log-probabilities cannot describe."""
    rollout, estimator = recipe.rollout, recipe.algorithm.advantage_estimator
    teacher_alone = recipe.distillation.teacher is not None and not recipe.distillation.reward_weight
    if rollout.num_generations < 2 and not teacher_alone:
        raise BadInput(
            f"rollout.num_generations is {rollout.num_generations}, but the baseline of "
            f"algorithm.advantage_estimator={estimator} is taken over a problem's completions: use 2 or more."
        )
    for key, off in (("top_p", 1), ("top_k", 0), ("min_p", 0)):
        value = getattr(rollout, key)
        if value != off:
            raise BadInput(
                f"rollout.{key}={value} keeps some tokens from ever being sampled, so the engine's log-probabilities "
                f"would be of a cut distribution and the learner's of the whole one: train with rollout.{key}={off}."
            )


def check_correction(algorithm: AlgorithmSection) -> None:
    """Refuse a correction without bounds, and bounds that have no effect or leave out what both sides agree about."""
    mode, cap = algorithm.importance_sampling_correction, algorithm.importance_sampling_cap
    floor = algorithm.importance_sampling_floor
    if is_named(mode):  # of yours, which makes of the bounds what it likes
        return
    if mode == "none" and floor is not None:
        raise BadInput(
            f"algorithm.importance_sampling_floor={floor:g} is a bound of the correction, and "
            "algorithm.importance_sampling_correction is none: leave it out, or use token_mask."
        )
    if mode != "none" and cap is None and floor is None:
        raise BadInput(
            f"algorithm.importance_sampling_correction={mode} has no bound, so one token can be the whole gradient: "
            "set algorithm.importance_sampling_cap, like 2."
        )
    if mode.endswith("mask") and cap == 1:
        raise BadInput(
            "algorithm.importance_sampling_cap=1 masks half of all tokens for their rounding, as 1 is the ratio of "
            "equal policies: use more, like 2."
        )


def check_lengths(recipe: Recipe) -> None:
    """Refuse a context that the longest prompt with the longest completion does not fit."""
    completion = max(recipe.rollout.longest_completion, recipe.evaluation.max_completion_length or 0)
    prompt, context = recipe.problems.max_prompt_length, context_length(recipe)
    if prompt + completion > context:
        raise BadInput(
            f"problems.max_prompt_length {prompt} + max_completion_length {completion} = {prompt + completion} tokens, "
            f"more than rollout.max_model_length {context}: raise that, or shorten one of them."
        )


def check_decontamination(recipe: Recipe) -> None:
    """Refuse benchmarks that do not exist in `problems.decontaminate`; their problems are read with the recipe's."""
    for name in recipe.problems.decontaminate:
        named_benchmark(name)


def check_ranks(recipe: Recipe, environment: Mapping[str, str]) -> None:
    """Refuse ranks (`torchrun`'s WORLD_SIZE) that do not share a step's problems evenly, or that share a GPU."""
    ranks, problems = int(environment.get("WORLD_SIZE", "1")), recipe.algorithm.problems_per_step
    if problems % ranks:
        raise BadInput(
            f"algorithm.problems_per_step {problems} cannot be shared evenly by {ranks} ranks: make it a "
            f"multiple of {ranks}."
        )
    local = int(environment.get("LOCAL_RANK", "0"))  # `take_own_gpu` makes it 0, and `penny train` calls that
    if local > 0 and pick_device(recipe.rollout.device) == "cuda":
        raise BadInput(
            f"Rank {local} of this machine would use the same GPU as rank 0: start the ranks with "
            "`torchrun -m rl.cli train`, or call rl.run.own_gpu.take_own_gpu before torch loads."
        )


def check_packages(recipe: Recipe) -> None:
    """Refuse options whose package is not installed."""
    check_trackers(recipe.run.report_to)
    if recipe.optimizer.name == "adamw_8bit":
        if importlib.util.find_spec("bitsandbytes") is None:
            raise BadInput(
                "optimizer.name=adamw_8bit needs bitsandbytes, which is not installed: run "
                "`.venv/bin/pip install bitsandbytes`, or use optimizer.name=adamw."
            )
        if pick_device(recipe.rollout.device) != "cuda":
            raise BadInput("optimizer.name=adamw_8bit needs a CUDA GPU: use optimizer.name=adamw on a CPU.")
    if recipe.model.use_liger_kernel:
        if pick_device(recipe.rollout.device) != "cuda":
            raise BadInput("model.use_liger_kernel needs a CUDA GPU: leave it out on a CPU.")
        if importlib.util.find_spec("liger_kernel") is None:
            raise BadInput(
                "model.use_liger_kernel needs liger-kernel, which is not installed: run "
                "`.venv/bin/pip install liger-kernel`, or leave it out."
            )


def check_model(recipe: Recipe, config: Any) -> None:
    """Refuse what the model cannot do, as far as its configuration tells."""
    text = config.get_text_config()
    limit, context = getattr(text, "max_position_embeddings", None), context_length(recipe)
    if limit is not None and context > limit:
        raise BadInput(
            f"Prompt and completion may take {context} tokens, but the context of {recipe.model.name} is {limit}: "
            "lower rollout.max_completion_length, problems.max_prompt_length or rollout.max_model_length."
        )
    targets = recipe.model.lora_target_modules
    adapts_tables = recipe.model.use_peft and any(table in targets for table in TABLES)
    on_cpu_vllm = pick_engine(recipe.rollout) == "vllm" and pick_device(recipe.rollout.device) == "cpu"
    if adapts_tables and on_cpu_vllm and text.tie_word_embeddings:
        # One adapter would make two matrices of what vLLM holds as one.
        raise BadInput(
            f"{recipe.model.name} ties its embeddings to its head, which an adapter on one of them would part: leave "
            f"{' and '.join(TABLES)} out of model.lora_target_modules, or use rollout.engine=transformers."
        )


def check_teacher(recipe: Recipe) -> None:
    """Refuse a teacher that reads other tokens than the policy writes, and what makes no sense beside one."""
    section = recipe.distillation
    if section.teacher is None:
        return
    if recipe.algorithm.dynamic_sampling:
        raise BadInput(
            "algorithm.dynamic_sampling replaces groups whose rewards are all equal, and a teacher has something to "
            "say of every group: leave it out, or distillation.teacher."
        )
    ours = load_tokenizer(recipe.model.name, recipe.model.revision)
    theirs = load_tokenizer(section.teacher, section.revision)
    if ours.get_vocab() != theirs.get_vocab():
        raise BadInput(
            f"distillation.teacher {section.teacher} has another tokenizer ({len(theirs)} tokens) than "
            f"{recipe.model.name} ({len(ours)}), and can only score tokens that it knows: choose one of the same "
            "family, or distil its texts (a distill stage)."
        )
    limit = getattr(load_config(section.teacher, section.revision).get_text_config(), "max_position_embeddings", None)
    if limit is not None and context_length(recipe) > limit:
        raise BadInput(
            f"Prompt and completion may take {context_length(recipe)} tokens, but the context of the teacher "
            f"{section.teacher} is {limit}: lower rollout.max_completion_length, or choose another teacher."
        )


def check_problems(recipe: Recipe) -> list[str]:
    """Refuse problems that cannot be loaded, lack a column of a reward, have bad gold answers, or are too long.

    Rendered are the problems with the longest texts, `RENDERED` of each set: rendering half a million takes minutes.
    Returns warnings: how many problems `problems.decontaminate` and `problems.drop_long` leave out, and which
    gold answers are bad.
    """
    sets = prepare_sets(recipe)
    training, held_out = sets.training, sets.held_out
    tokenizer = load_tokenizer(recipe.model.name, recipe.model.revision)
    with build_grader(recipe.rewards) as grader:
        for problems in (training, held_out):
            kinds = {frozenset(problem.columns): problem.id for problem in reversed(problems)}
            columns = frozenset.union(*kinds)
            grader.check_columns(columns)
            for some, first in kinds.items():
                grader.check_columns(some, first)
            grader.rehearse(columns)
            grader.check_types(as_columns([p.columns for p in problems]), [p.id for p in problems])
        warnings = check_golds(grader, {"training": training, "held-out": held_out}, recipe.rewards.max_ungradable)
    for section, problems in ((recipe.problems, training), (held_out_section(recipe), held_out)):
        prompter = Prompter(section, tokenizer)

        for problem in heapq.nlargest(RENDERED, problems, key=functools.partial(asked_length, section)):
            prompter.render(problem)
    counts = {"problem(s)": sets.too_long, "held-out problem(s)": sets.too_long_held_out}
    left_out = [f"{count} {what} are left out as too long (drop_long)." for what, count in counts.items() if count]
    if sets.report is not None and sets.report.training():
        left_out.insert(0, f"{left_out_text(sets.report)} (decontaminate).")
    return left_out + warnings


def check_golds(grader: Grader, sets: Mapping[str, Sequence[Problem]], limit: float) -> list[str]:
    """Warn of gold answers that do not verify against themselves; refuse a set in which more than `limit` are so."""
    bad: list[str] = []
    for name, problems in sets.items():
        reasons = grader.check_gold(as_columns([problem.columns for problem in problems]))
        found = [
            f"{problem.id} ({reason})" for problem, reason in zip(problems, reasons, strict=True) if reason is not None
        ]
        if len(found) > limit * len(problems):
            raise BadInput(
                f"The gold answers of {len(found)} of {len(problems)} {name} problems do not verify against "
                f"themselves, more than rewards.max_ungradable = {limit:g}, first {', '.join(found[:TOLD])}: "
                "correct them, or choose a reward that reads them."
            )
        bad += found
    if not bad:
        return []
    count = sum(len(problems) for problems in sets.values())
    first = ", ".join(bad[:TOLD])
    return [f"The gold answers of {len(bad)} of {count} problems do not verify against themselves, first {first}."]


def list_warnings(recipe: Recipe) -> list[str]:
    """What is allowed and may surprise."""
    warnings = []
    if recipe.rollout.engine == "auto" and pick_engine(recipe.rollout) == "transformers":
        warnings.append(
            f"vLLM is not installed, so rollouts use transformers, which is several times slower ({install_command()})."
        )
    if recipe.rollout.engine == "server":
        warnings.append(
            "rollout.engine=server: what a server rounds depends on what it does beside, so the run cannot be repeated "
            "or resumed bit for bit."
        )
    model, problems = recipe.model, recipe.problems
    if model.revision is None and model.name not in ALIASES and not Path(model.name).expanduser().exists():
        warnings.append(f"model.revision is not set: {model.name} may change on the hub, and the run with it.")
    if problems.source == "hub" and problems.revision is None:
        warnings.append(f"problems.revision is not set: {problems.name} may change on the hub, and the run with it.")
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks != recipe.run.num_processes:
        warnings.append(
            f"The recipe was written for {recipe.run.num_processes} rank(s) (run.num_processes), and {ranks} run."
        )
    if recipe.optimizer.learning_rate == 0:
        warnings.append("optimizer.learning_rate is 0: nothing will be learnt.")
    return warnings
