"""The contamination of a recipe's training set, or of a file of problems, before anything is left out of it."""

from collections.abc import Sequence

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.config.recipe_file import load_recipe
from rl.problems.benchmark import Benchmark
from rl.problems.decontaminate import (
    Report,
    contamination_report,
    found_columns,
    named_benchmark,
    question_columns,
)
from rl.problems.ngrams import MIN_COVERAGE
from rl.problems.sets import split_problems
from rl.problems.sources import load_problems


def audit(
    target: str,
    names: Sequence[str] = (),
    *,
    column: str | None = None,
    n: int | None = None,
    min_coverage: float = MIN_COVERAGE,
) -> Report:
    """What a training set has of benchmarks.

    Args:
        target: name or path of a recipe (its training problems, held-out ones taken out), or a path to a .jsonl file.
        names: benchmarks of the table; none: those of the recipe's `problems.decontaminate`.
        column: what is compared of the file's rows; None: `question`, `problem`, `prompt` or `text`.
        n: words of an n-gram; None: `problems.decontaminate_ngram`.
        min_coverage: see `contamination_report`.

    Raises:
        BadInput: no benchmark named, an unknown one, or one that cannot be loaded; no such recipe or file; a column
            that is not there, or one named for a recipe.
    """
    if target.endswith(".jsonl"):
        # An empty prompt names no column, so rows of any shape are read.
        section = ProblemsSection(source="jsonl", path=target, prompt="")
        benchmarks = _named(names, target)
        problems = load_problems(section)
        columns = [column] if column else found_columns(problems[0].columns)
    else:
        recipe = load_recipe(target)
        section = recipe.problems
        if column is not None:
            raise BadInput(
                f"A column is named for a file only: recipe {recipe.name} says in problems.prompt what it asks."
            )
        benchmarks = _named(names or section.decontaminate, target)
        problems, columns = split_problems(recipe).training, question_columns(section.prompt)
    return contamination_report(problems, columns, benchmarks, n or section.decontaminate_ngram, min_coverage)


def _named(names: Sequence[str], target: str) -> list[Benchmark]:
    if not names:
        raise BadInput(f"Say which benchmarks {target} is to be compared with: it names none itself.")
    return [named_benchmark(name) for name in dict.fromkeys(names)]
