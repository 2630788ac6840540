"""The two sets of a run: problems to train on, and held-out problems to measure on. They never share a problem.

Nor are problems of the benchmarks that `problems.decontaminate` names trained on. Held-out problems are never left out.
"""

import random
import unicodedata
from dataclasses import dataclass, replace

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection, Recipe
from rl.config.recipe_file import check_tree
from rl.problems.conversation import as_text
from rl.problems.decontaminate import Report, decontaminate, generated_key
from rl.problems.fit import leave_out_long
from rl.problems.problem import HELD_OUT_SEED, TRAINING_SEED, Problem
from rl.problems.sources import load_problems
from rl.problems.template import check_named, template_columns

GATE = ("decontaminate", "decontaminate_ngram", "contaminated")  # keys of `problems`; of training problems only


@dataclass(frozen=True)
class Sets:
    """The two sets of a recipe, and what was left out of them.

    Attributes:
        training: what is trained on.
        held_out: what is measured on.
        too_long: how many of the recipe's problems `problems.drop_long` left out.
        too_long_held_out: the same of the problems of `evaluation.problems`, where those are others; else 0.
        report: what was found of benchmarks in the training set; None if `problems.decontaminate` names none.
    """

    training: list[Problem]
    held_out: list[Problem]
    too_long: int = 0
    too_long_held_out: int = 0
    report: Report | None = None


def load_sets(recipe: Recipe) -> tuple[list[Problem], list[Problem]]:
    """Training and held-out problems of a recipe: see `prepare_sets`."""
    sets = prepare_sets(recipe)
    return sets.training, sets.held_out


def prepare_sets(recipe: Recipe) -> Sets:
    """Training and held-out problems of a recipe, disjoint by content; a function of the recipe without `run.seed`.

    They are those of `split_problems`, without training problems that are too near to a benchmark's (`decontaminate`).

    Raises:
        BadInput: what `split_problems` and `decontaminate` raise, or nothing left to train on.
    """
    sets = split_problems(recipe)
    training, report = decontaminate(recipe.problems, sets.training)
    if not training:
        raise BadInput(
            f"No problem is left to train on: all {len(sets.training)} are too near to those of "
            f"{', '.join(recipe.problems.decontaminate)} (problems.decontaminate); train on other problems."
        )
    return replace(sets, training=training, report=report)


def split_problems(recipe: Recipe) -> Sets:
    """Training problems before they are compared with benchmarks, and held-out ones.

    First, where `drop_long` is set, problems whose prompts are too long are left out. Held-out are `evaluation.size`
    distinct problems of the others, chosen at random from the recipe's problems or, where `evaluation.problems` says
    so, from others (for example another split). Training problems are all problems of the recipe that do not ask the
    same as a held-out one (see `content_key`).

    Raises:
        BadInput: what `load_problems`, `leave_out_long` and `held_out_section` raise, fewer problems than
            `evaluation.size`, or nothing left to train on.
    """
    section, other = recipe.problems, held_out_section(recipe)
    loaded = load_problems(section, seed=TRAINING_SEED)
    problems = leave_out_long(section, loaded, recipe.model)
    too_long, too_long_held_out = len(loaded) - len(problems), 0
    pool = problems
    if other != section:
        others = load_problems(other, seed=HELD_OUT_SEED)
        pool = leave_out_long(other, others, recipe.model)
        too_long_held_out = len(others) - len(pool)
    held_out = _choose(pool, other.prompt, recipe.evaluation.size)
    taken = {content_key(problem, other.prompt) for problem in held_out}
    training = [problem for problem in problems if content_key(problem, section.prompt) not in taken]
    if not training:
        raise BadInput(
            f"No problem is left to train on: all {len(problems)} are among the {len(held_out)} held out; raise "
            "problems.size, lower evaluation.size, or hold out another split (evaluation.problems)."
        )
    return Sets(training, held_out, too_long, too_long_held_out)


def held_out_section(recipe: Recipe) -> ProblemsSection:
    """The section that describes the held-out problems: the recipe's own, with the keys of `evaluation.problems`.

    Raises:
        BadInput: one of these keys or values is not allowed.
    """
    if useless := [key for key in GATE if key in recipe.evaluation.problems]:
        raise BadInput(
            f"evaluation.problems.{useless[0]} would do nothing, for held-out problems are never left out: set "
            f"problems.{useless[0]}."
        )
    tree = recipe.model_dump(mode="json")
    tree["problems"] |= recipe.evaluation.problems
    return check_tree(tree, "evaluation.problems").problems


def content_key(problem: Problem, template: str = "{question}") -> str:
    """A text that two problems share if they ask the same.

    Countdown (columns `nums`, `target`) and arithmetic (`operands`, `operators`) problems are compared without regard
    to the order of numbers, terms and factors; others by the columns that the prompt template names, without regard to
    white space, case and Unicode variants.

    Raises:
        BadInput: the template names a column that the problem does not have.
    """
    columns = problem.columns
    if key := generated_key(columns):
        return key
    # Only the columns' values, not the words around them: held-out problems may be put in other words.
    check_named(template, columns, f"problem {problem.id}")
    asked = "\n".join(as_text(columns[name]) for name in template_columns(template))
    return "".join(unicodedata.normalize("NFKC", asked).casefold().split())


def _choose(pool: list[Problem], template: str, size: int) -> list[Problem]:
    distinct = list({content_key(problem, template): problem for problem in reversed(pool)}.values())[::-1]
    if len(distinct) < size:
        raise BadInput(
            f"evaluation.size asks for {size} held-out problems and there are only {len(distinct)} distinct ones; "
            "lower it, or give more problems (problems.size, evaluation.problems)."
        )
    chosen = sorted(random.Random(HELD_OUT_SEED).sample(range(len(distinct)), size))
    return [distinct[index] for index in chosen]
