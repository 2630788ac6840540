"""Grading a run's stored completions again, with its own or other rewards, without a model.

The originals stay as they are: what is new goes to `RUN/regraded/<name>/`, in the same format and with the recipe that
graded it. `advantage` and the log-probabilities there are still those of the training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rewards.grading import Grader
from rl.base import atomic
from rl.config.recipe import ProblemsSection
from rl.config.recipe_file import dump_recipe, load_recipe
from rl.grading.answers import as_columns, build_grader, problems_named
from rl.problems.problem import Problem
from rl.problems.prompt import Wording, ask
from rl.problems.sets import load_sets
from rl.run.failures import reward_failures
from rl.run.folder import RunFolder, check_unedited
from rl.run.rollouts import RolloutRow, read_rollouts, rollout_steps, write_step

SECTIONS = ("rewards.", "problems.")  # what may be changed: who grades, and where the problems lie now
Pair = tuple[float | None, float | None]  # before and after


@dataclass(frozen=True)
class StepChange:
    """What grading a step again changed.

    Attributes:
        rows: completions of the step.
        reward: mean reward of the graded ones, before and after; None if none was graded.
        solved: share solved of the graded ones, before and after.
        changed: completions of which `solved` differs.
        parts: mean of each part that differs for some completion; None where the part was not graded at all.
    """

    step: int
    rows: int
    reward: Pair
    solved: Pair
    changed: int
    parts: Mapping[str, Pair]

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def regrade_run(run: Path, overrides: Sequence[str], name: str | None = None) -> tuple[Path, list[StepChange]]:
    """Grade every stored completion of a run again and write the result beside the originals.

    Args:
        run: its folder.
        overrides: `rewards.KEY=VALUE` (or `problems.KEY=VALUE`), changes to the run's recipe.
        name: of the folder in `RUN/regraded`; default: the time.

    Returns:
        That folder, and what changed in each step.

    Raises:
        BadInput: no such run, an edited recipe, no rollouts, a name that is taken, problems that are gone or are not
            those of the run, or rewards that cannot be had.
        RunStopped: a reward raised.
    """
    folder = RunFolder.open(run)
    for override in overrides:
        if not override.startswith(SECTIONS):
            raise BadInput(f"{override!r} does not change how a run is graded: give rewards.KEY=VALUE.")
    check_unedited(run)  # also of a file that was cut: what it lacks has its default
    recipe = load_recipe(str(folder.recipe), overrides)
    steps = rollout_steps(folder)
    if not steps:
        raise BadInput(f"{run} has no completions yet: wait for its first step.")
    target = _target(folder, name)
    problems = {problem.id: problem for problem in load_sets(recipe)[0]}
    changes = []
    with build_grader(recipe.rewards) as grader:
        grader.check_columns(set.intersection(*(set(problem.columns) for problem in problems.values())))
        target.parent.mkdir(exist_ok=True)
        with reward_failures(folder.path), atomic.folder(target) as unfinished:
            for step in steps:
                before = read_rollouts(folder, step)
                asked = _asked(before, problems, recipe.problems, step)
                after = _graded_again(before, asked, problems, grader)
                write_step(unfinished, step, after)
                changes.append(_change(step, before, after))
            atomic.write_text(unfinished / "recipe.yaml", dump_recipe(recipe))
    return target, changes


def _target(folder: RunFolder, name: str | None) -> Path:
    name = name or f"{datetime.now():%Y%m%d-%H%M%S}"
    target = folder.path / "regraded" / name
    if target.parent.name != "regraded" or name in (".", "..") or name.startswith(atomic.TEMPORARY):
        raise BadInput(f"{name!r} is no name of a folder: give --name without a slash.")
    if target.exists():
        raise BadInput(f"{target} exists already: give another --name, or delete it.")
    return target


def _asked(
    rows: Sequence[RolloutRow], problems: Mapping[str, Problem], section: ProblemsSection, step: int
) -> dict[str, Wording]:
    """Return what was asked, by problem. Refuse other problems: no such id, or another question under it."""
    missing = sorted({row.problem_id for row in rows} - problems.keys())
    if missing:
        raise BadInput(
            f"Step {step} has completions of {missing[0]} (and {len(missing) - 1} more problems), which the recipe's "
            "problems do not have: they changed since the run; say where the old ones are (problems.path=...)."
        )
    asked = {name: ask(section, problems[name]) for name in {row.problem_id for row in rows}}
    for row in rows:
        if not all(said in row.prompt for said in asked[row.problem_id].questions()):
            raise BadInput(
                f"Step {step} asked {row.problem_id} something else than the recipe's problems do now: they changed "
                "since the run; say where the old ones are (problems.path=...)."
            )

    return asked


def _graded_again(
    rows: Sequence[RolloutRow], asked: Mapping[str, Wording], problems: Mapping[str, Problem], grader: Grader
) -> list[RolloutRow]:
    if not rows:
        return []
    columns = as_columns([problems[row.problem_id].columns for row in rows])
    columns["completion_ids"] = [list(row.token_ids) for row in rows]
    prompts = [[dict(turn) for turn in asked[row.problem_id].conversation] or row.prompt for row in rows]
    with problems_named([row.problem_id for row in rows]):
        graded = grader.grade([row.completion for row in rows], prompts, columns)
    return [
        replace(row, reward=new.reward, solved=new.solved, parts=new.parts, extra=new.extra)
        for row, new in zip(rows, graded, strict=True)
    ]


def _change(step: int, before: Sequence[RolloutRow], after: Sequence[RolloutRow]) -> StepChange:
    pairs = list(zip(before, after, strict=True))
    names = sorted({name for row in (*before, *after) for name in row.parts})
    different = [name for name in names if any(old.parts.get(name) != new.parts.get(name) for old, new in pairs)]
    return StepChange(
        step=step,
        rows=len(pairs),
        reward=(_mean([row.reward for row in before]), _mean([row.reward for row in after])),
        solved=(_mean([row.solved for row in before]), _mean([row.solved for row in after])),
        changed=sum(old.solved != new.solved for old, new in pairs),
        parts={
            name: (_mean([row.parts.get(name) for row in before]), _mean([row.parts.get(name) for row in after]))
            for name in different
        },
    )


def _mean(values: Sequence[float | None]) -> float | None:
    graded = [value for value in values if value is not None]
    return sum(graded) / len(graded) if graded else None
