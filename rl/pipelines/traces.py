"""`distill` and `reject`: problems are answered, answers graded, and those worth learning from kept.

The file `traces.jsonl` has a line for each kept trace: `problem_id`, `problem` (its columns), `prompt` and `completion`
(text), `solved`, `reward`, `pass_rate`, `num_tokens`, `sample`. So `datasets` and TRL read it as it is. Beside it,
`traces.json` says where they are from and what they cost.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.base import jsonl
from rl.base.atomic import write_json
from rl.base.caches import cache_folder
from rl.base.errors import RunStopped
from rl.config.recipe import Recipe
from rl.evaluation.answerers import CachedAnswers
from rl.evaluation.cache import AnswerCache
from rl.evaluation.command import Listener, answer_and_grade, started_graders
from rl.evaluation.outcome import Tally
from rl.evaluation.source import Source
from rl.evaluation.templates import OWN
from rl.evaluation.units import Unit, asked_sha256, fitted, render
from rl.pipelines.books import StageResult
from rl.pipelines.keep import Dropped, Trace, choose
from rl.pipelines.schema import TeacherSection, TracesStage, as_recipe
from rl.pipelines.teachers import ColumnTeacher, Spending, teacher_source
from rl.problems.benchmark import Benchmark
from rl.problems.difficulty import DifficultyStore, Rate, asked_key, problem_key
from rl.problems.problem import Problem
from rl.problems.sets import Sets, prepare_sets
from rl.run.evaluations import EvaluationRow
from rl.run.failures import reward_failures
from rl.run.ledger import Ledger
from rl.run.manifest import versions
from rl.training.collect import sampling_params

TRACES = "traces.jsonl"
SPENT = "spent.json"  # on a teacher's server


def write_traces(name: str, stage: TracesStage, folder: Path, ledger: Ledger, listener: Listener) -> StageResult:
    """Run a `distill` or `reject` stage.

    Raises:
        BadInput: the teacher or the problems cannot be used.
        RunStopped: the teacher went away (what it wrote is cached), a reward raised, or nothing is worth keeping.
    """
    teacher = stage.teacher or TeacherSection(source="model", name=stage.model.name, revision=stage.model.revision)
    recipe = as_recipe(name, stage)
    sets = prepare_sets(recipe)
    problems = sets.training[: stage.keep.limit]
    spending = Spending(teacher.dollars_per_million or (0.0, 0.0), teacher.max_dollars, folder / SPENT)
    with ledger.phase("start"):
        source = teacher_source(teacher, stage.rollout.engine, spending)
        unit = traces_unit(recipe, problems, teacher, source)
        [unit], notes = fitted([unit], source.context, None, str(teacher.name))
    for note in notes:
        listener.say(note)
    with ExitStack() as stack, ledger.phase("generate"):
        graders = started_graders([unit], stack)
        # A data set's own traces are read quicker than looked up.
        cache = None if teacher.source == "column" else stack.enter_context(AnswerCache(cache_folder()))
        answers = CachedAnswers(source.starter([unit], stack), cache, source.identity)
        tally = Tally([unit])
        with reward_failures(folder):
            down = answer_and_grade([unit], graders, answers, tally, listener)
    ledger.add_tokens(generated=tally.tokens)
    ledger.step_done(None)
    if down is not None:
        raise RunStopped(str(down))
    if spending.over:
        listener.say(
            f"teacher.max_dollars = {spending.limit:g} is spent after {tally.answers} of {sum(unit.samples_P)} answers"
            ": the traces are made of these"
        )
    groups = grouped(problems, tally.rows[0])
    if stage.kind == "reject":
        keep_rates(recipe, groups)
    kept, dropped = choose(groups, stage.keep)
    if not kept:
        raise RunStopped(nothing_kept(tally, dropped))
    jsonl.rewrite(folder / TRACES, [as_line(trace) for trace in kept])
    figures = {"answers": tally.answers, "solved": solved(tally), "kept": len(kept), "dropped": dropped}
    spent = ledger.dollars + spending.dollars
    figures |= {"dollars_per_trace": spent / len(kept), "teacher_dollars": spending.dollars}
    write_json(folder / "traces.json", provenance(stage, teacher, source, sets, unit) | figures)
    return StageResult(stage.kind, data=TRACES, figures=figures, dollars=spending.dollars)


def traces_unit(recipe: Recipe, problems: Sequence[Problem], teacher: TeacherSection, source: Source) -> Unit:
    """What the teacher is asked. Raises BadInput if it cannot be asked so."""
    if teacher.source == "column":
        column = ColumnTeacher(teacher.template or "")
        plain = recipe.problems.model_copy(update={"prefill": ""})  # the trace begins with it, if it is wanted
        counts = [len(column.texts(problem)) for problem in problems]
        return asked_unit(recipe.model_copy(update={"problems": plain}), problems, counts, source)
    return asked_unit(recipe, problems, [recipe.rollout.num_generations] * len(problems), source)


def asked_unit(recipe: Recipe, problems: Sequence[Problem], counts: Sequence[int], source: Source) -> Unit:
    """Problems of a recipe, each asked so many times, sampled as in training. Raises BadInput if no chats are taken."""
    if recipe.problems.chat_template and not source.has_chat:
        raise BadInput(f"{source.subject['name']} takes no chats: set problems.chat_template to false.")
    benchmark = Benchmark(
        name=recipe.name,
        problems=recipe.problems,
        rewards=recipe.rewards,
        max_completion_length=recipe.rollout.max_completion_length,
        stop=recipe.rollout.stop,
    )
    prompts = render(benchmark, problems, source.tokenizer)
    sha256 = asked_sha256(benchmark, problems)
    return Unit(benchmark, OWN, prompts, counts, sampling_params(recipe), recipe.run.seed, sha256)


def grouped(problems: Sequence[Problem], rows: Sequence[EvaluationRow]) -> list[list[Trace]]:
    """The graded answers as traces, problem by problem, in the problems' order."""
    by_id: dict[str, list[EvaluationRow]] = {problem.id: [] for problem in problems}
    for row in rows:
        by_id[row.problem_id].append(row)
    return [[as_trace(problem, row, pass_rate(by_id[problem.id])) for row in by_id[problem.id]] for problem in problems]


def keep_rates(recipe: Recipe, groups: Sequence[Sequence[Trace]]) -> dict[str, Rate]:
    """Keep how often the recipe's model solved each problem, by problem id; ungradable answers do not count."""
    rates: dict[str, Rate] = {}
    keys: dict[str, str] = {}
    for group in groups:
        graded = [trace.solved for trace in group if trace.solved is not None]
        if graded:
            problem = group[0].problem
            rates[problem.id] = Rate(sum(graded), len(graded))
            keys[problem.id] = problem_key(problem, recipe.problems.prompt)
    with DifficultyStore(cache_folder()) as store:
        store.keep(asked_key(recipe), {keys[name]: rate for name, rate in rates.items()})
    return rates


def pass_rate(rows: Sequence[EvaluationRow]) -> float:
    """Share of a problem's graded answers that are solved; 0 if none was graded."""
    graded = [row.solved for row in rows if row.solved is not None]
    return sum(graded) / len(graded) if graded else 0.0


def as_trace(problem: Problem, row: EvaluationRow, rate: float) -> Trace:
    """A graded answer as a trace."""
    return Trace(
        problem=problem,
        sample=row.sample,
        prompt=row.prompt,
        completion=row.completion,
        num_tokens=row.num_tokens,
        solved=row.solved,
        reward=row.reward,
        finish_reason=row.finish_reason,
        pass_rate=rate,
    )


def as_line(trace: Trace) -> dict[str, Any]:
    """A trace as its line in the file."""
    return {
        "problem_id": trace.problem.id,
        "problem": dict(trace.problem.columns),
        "prompt": trace.prompt,
        "completion": trace.completion,
        "solved": trace.solved,
        "reward": trace.reward,
        "pass_rate": trace.pass_rate,
        "num_tokens": trace.num_tokens,
        "sample": trace.sample,
    }


def solved(tally: Tally) -> int:
    """Answers that the rewards call solved."""
    return sum(bool(row.solved) for row in tally.rows[0])


def nothing_kept(tally: Tally, dropped: Dropped) -> str:
    """Why there is nothing to learn from."""
    reasons = ", ".join(f"{count} by keep.{key}" for key, count in dropped.items()) or "the teacher gave none"
    return (
        f"Not one trace is left of {tally.answers} answers, {solved(tally)} of them solved ({reasons}): ask a stronger "
        "teacher, more samples (rollout.num_generations) or easier problems, or keep more (keep)."
    )


def provenance(stage: TracesStage, teacher: TeacherSection, source: Source, sets: Sets, unit: Unit) -> dict[str, Any]:
    """Where traces are from."""
    report: Mapping[str, Any] | None = None if sets.report is None else sets.report.as_dict()
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "teacher": dict(source.subject) | {"license": teacher.license, "terms_accepted": teacher.terms_accepted},
        "problems": stage.problems.model_dump(mode="json"),
        "data_sha256": unit.data_sha256,
        "decontamination": report,
        "rewards": stage.rewards.model_dump(mode="json"),
        "sampling": asdict(unit.params) | {"num_generations": stage.rollout.num_generations, "seed": unit.seed},
        "keep": stage.keep.model_dump(mode="json"),
        "versions": versions(),
    }
