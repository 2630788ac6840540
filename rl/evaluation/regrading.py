"""Grading an evaluation's stored answers again, without a model: after a grader was mended, or under other rewards."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.config.recipe import ModelSection, Recipe, RewardsSection
from rl.config.recipe_file import overridden
from rl.evaluation.benchmarks import find_benchmark
from rl.evaluation.extraction import extraction_of, verdicts_by_extraction
from rl.evaluation.folder import EvaluationFolder
from rl.evaluation.outcome import with_best, with_classes
from rl.evaluation.show.page import write_page
from rl.evaluation.statistics.measures import BY_EXTRACTION, measures
from rl.evaluation.units import asked_sha256
from rl.grading.answers import accuracy_of, build_grader, evaluation_row, grade_texts
from rl.grading.outputs import Output
from rl.problems.benchmark import Benchmark
from rl.problems.problem import Prompt
from rl.problems.prompt import ask
from rl.run.evaluations import EvaluationRow
from rl.run.failures import reward_failures

REGRADED = "regraded"


@dataclass(frozen=True)
class Regraded:
    """What grading one of the results again changed.

    Attributes:
        rows: answers.
        changed: those with another verdict.
        before, after: pass@1.
    """

    benchmark: str
    template: str
    rows: int
    changed: int
    before: float
    after: float

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def regrade_evaluation(path: Path, overrides: Sequence[str], name: str | None) -> tuple[Path, list[Regraded]]:
    """Grade every stored answer again; the originals stay, the new evaluation goes to `EVAL/regraded/<name>`.

    Args:
        path: the folder of the evaluation.
        overrides: `rewards.KEY=VALUE`, changes to the benchmarks' rewards.
        name: of the new folder; default: the time.

    Raises:
        BadInput: no such evaluation, a name that is taken, or problems that are not those which were asked.
        RunStopped: a reward raised.
    """
    folder = EvaluationFolder.open(path)
    target = folder.path / REGRADED / (name or f"{datetime.now():%Y%m%d-%H%M%S}")
    if target.parent != folder.path / REGRADED:
        raise BadInput(f"{name!r} is no name of a folder: give --name without a slash.")
    if target.exists():
        raise BadInput(f"{target} exists already: give another --name, or delete it.")
    stored, fresh = folder.results(), EvaluationFolder(target)
    results, changes = [], []
    for result in stored["results"]:
        before = folder.rows(result)
        benchmark = find_benchmark(result["benchmark"])
        rewards = changed_rewards(benchmark, overrides)
        with reward_failures(folder.path):
            after = graded_again(benchmark, rewards, result, before)
        scores = measures(after, benchmark.majority, result["problems"], result["num_samples"])
        changed = sum(old.verdict != new.verdict for old, new in zip(before, after, strict=True))
        changes.append(
            Regraded(result["benchmark"], result["template"], len(after), changed, result["pass@1"], scores["pass@1"])
        )
        kept = {name: value for name, value in result.items() if name not in BY_EXTRACTION}
        results.append({**kept, "extraction": extraction_of(rewards), **scores})
        fresh.write_rows(result, after)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    fresh.write_results({**stored, "created": now, "regraded_from": str(folder.path), "results": with_best(results)})
    write_page(fresh)
    return target, changes


def changed_rewards(benchmark: Benchmark, overrides: Sequence[str]) -> RewardsSection:
    """The benchmark's rewards with the user's changes. Raises BadInput."""
    for override in overrides:
        if not override.startswith("rewards."):
            raise BadInput(f"{override!r} does not change how answers are graded: give rewards.KEY=VALUE.")
    model = ModelSection(name="none")
    whole = Recipe(name="regrading", model=model, problems=benchmark.problems, rewards=benchmark.rewards)
    changed = overridden(whole, overrides).rewards
    if any(override.startswith("rewards.options") for override in overrides):
        return changed
    # The benchmark's options are of its own functions.
    fitting = {name: options for name, options in changed.options.items() if name in changed.functions}
    return changed.model_copy(update={"options": fitting})


def graded_again(
    benchmark: Benchmark, rewards: RewardsSection, result: Mapping[str, Any], rows: Sequence[EvaluationRow]
) -> list[EvaluationRow]:
    """The rows with new grades. Raises BadInput if the benchmark's problems changed since they were asked."""
    problems = benchmark.load()
    if asked_sha256(benchmark, problems) != result["dataset"]["sha256"]:
        raise BadInput(
            f"The problems of {benchmark.name} are not those that were asked (their SHA-256 differs): give the same "
            "data."
        )
    known = {problem.id: problem for problem in problems}
    own = {problem.id: ask(benchmark.problems, problem).conversation for problem in problems}
    prompts = [
        Prompt(known[row.problem_id], tuple(row.prompt_token_ids), row.prompt, conversation=own[row.problem_id])
        for row in rows
    ]
    texts, tokens = [row.completion for row in rows], [row.token_ids for row in rows]
    with build_grader(rewards) as grader:
        grader.check_columns(set.intersection(*(set(problem.columns) for problem in problems)))
        graded = grade_texts(prompts, texts, tokens, grader)
        both = verdicts_by_extraction(prompts, texts, tokens, graded, grader, rewards)
    accuracy = accuracy_of(rewards)
    new = [
        evaluation_row(
            prompt,
            row.sample,
            row.completion,
            Output("", tuple(row.token_ids), tuple(row.logprobs), row.num_tokens, row.finish_reason),
            grades,
            accuracy,
        )
        for prompt, row, grades in zip(prompts, rows, graded, strict=True)
    ]
    same_prompt = [
        replace(row, prompt=old.prompt, **verdicts) for row, old, verdicts in zip(new, rows, both, strict=True)
    ]
    return with_classes(same_prompt) if benchmark.majority else same_prompt
