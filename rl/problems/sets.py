"""The two sets of a run: problems to train on, and held-out problems to measure on. They never share a problem."""

import random
import unicodedata

from rewards.errors import BadInput
from rl.problems.generated import arithmetic_key, countdown_key
from rl.problems.problem import Problem
from rl.problems.prompt import fill, template_columns
from rl.problems.sources import load_problems
from rl.recipe import ProblemsSection, Recipe
from rl.recipe_file import check_tree

# Not the run's seed: runs that differ in their seed are measured on the same problems. And far from each other:
# reasoning-gym makes problem i from seed + i, so neighboring seeds would give nearly the same problems.
TRAINING_SEED = 0
HELD_OUT_SEED = 1_000_000_000


def load_sets(recipe: Recipe) -> tuple[list[Problem], list[Problem]]:
    """Training and held-out problems of a recipe, disjoint by content; a function of the recipe without `run.seed`.

    Held-out are `evaluation.size` distinct problems, chosen at random from the recipe's problems or, where
    `evaluation.problems` says so, from others (for example another split). Training problems are all problems of the
    recipe that do not ask the same as a held-out one (see `content_key`).

    Raises:
        BadInput: what `load_problems` and `held_out_section` raise, fewer problems than `evaluation.size`, or nothing
            left to train on.
    """
    section, other = recipe.problems, held_out_section(recipe)
    problems = load_problems(section, seed=TRAINING_SEED)
    pool = problems if other == section else load_problems(other, seed=HELD_OUT_SEED)
    held_out = _choose(pool, other.prompt, recipe.evaluation.size)
    taken = {content_key(problem, other.prompt) for problem in held_out}
    training = [problem for problem in problems if content_key(problem, section.prompt) not in taken]
    if not training:
        raise BadInput(
            f"No problem is left to train on: all {len(problems)} are among the {len(held_out)} held out; raise "
            "problems.size, lower evaluation.size, or hold out another split (evaluation.problems)."
        )
    return training, held_out


def held_out_section(recipe: Recipe) -> ProblemsSection:
    """The section that describes the held-out problems: the recipe's own, with the keys of `evaluation.problems`.

    Raises:
        BadInput: one of these keys or values is not allowed.
    """
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
    if {"nums", "target"} <= columns.keys():
        return countdown_key(columns["nums"], columns["target"])
    if {"operands", "operators"} <= columns.keys():
        return arithmetic_key(columns["operands"], columns["operators"])
    # Only the columns' values, not the words around them: held-out problems may be put in other words.
    asked = "\n".join(fill(f"{{{name}}}", columns, f"problem {problem.id}") for name in template_columns(template))
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
