"""What can be compared: the folder of an evaluation, or a run's answers to its held-out problems at some step.

A run asks under its recipe's name and keeps no hash of the questions alone, so a run and another side are matched by
what they asked: problems of the same id must have the same right answer and the same question.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from rewards.errors import BadInput
from rl.base.nearest import missing_folder
from rl.config.recipe import Recipe
from rl.config.recipe_file import check_tree
from rl.config.yaml_tree import read_tree
from rl.evaluation.extraction import extraction_of
from rl.evaluation.folder import EvaluationFolder, is_evaluation
from rl.evaluation.statistics.measures import measures
from rl.evaluation.templates import OWN
from rl.problems.sets import held_out_section
from rl.run.evaluations import EvaluationRow, read_evaluation_rows, read_evaluations
from rl.run.folder import RunFolder, is_run
from rl.run.manifest import read_manifest


class Side(Protocol):
    """One of the sides of a comparison; `report` is where its page goes."""

    @property
    def path(self) -> Path: ...

    @property
    def report(self) -> Path: ...

    def results(self) -> dict[str, Any]:
        """What `results.json` holds, or would hold."""
        ...

    def rows(self, result: Mapping[str, Any], tokens: bool = True) -> list[EvaluationRow]:
        """Every answer of one of the `results`."""
        ...


@dataclass(frozen=True)
class RunSide:
    """A run's answers to its held-out problems at one step.

    Attributes:
        folder: of the run.
        step: 0 is before training.
        called: fields of the result by which another side names the same problems: `benchmark`, `dataset`, and
            `template` where the prompts are the same.
    """

    folder: RunFolder
    step: int
    called: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def report(self) -> Path:
        return self.folder.path / "comparison.html"

    @property
    def name(self) -> str:
        """The run and the moment, for people."""
        return f"{self.folder.path} {f'after step {self.step}' if self.step else 'before training'}"

    def rows(self, result: Mapping[str, Any], tokens: bool = True) -> list[EvaluationRow]:
        """See `Side`; a run has one result."""
        try:
            return read_evaluation_rows(self.folder, self.step, tokens)
        except FileNotFoundError as error:
            raise BadInput(
                f"{self.path} has lost its answers of step {self.step}: bring them back from a copy."
            ) from error

    def results(self) -> dict[str, Any]:
        """See `Side`."""
        recipe, manifest = self._recipe(), read_manifest(self.folder)
        rows = self.rows({}, tokens=False)
        seconds = next(e.get("seconds") for e in read_evaluations(self.folder) if e["step"] == self.step)
        rate = recipe.run.dollars_per_hour
        cost = {"seconds": seconds, "load_seconds": 0.0, "generating_seconds": seconds, "cached_tokens": 0}
        cost |= {"tokens": sum(row.num_tokens or 0 for row in rows), "dollars_per_hour": rate}
        cost |= {"dollars": (seconds or 0.0) / 3600 * rate, "dollars_per_million_tokens": None}
        subject = {"kind": "run", "name": self.name, "checkpoint": self.name, "base": None, "fingerprint": None}
        return {
            "created": str(manifest.get("started", "")),
            "complete": True,
            "penny": manifest.get("versions", {}).get("penny-rl"),
            **{key: manifest.get(key) or {} for key in ("versions", "hardware")},
            "command": manifest.get("command"),
            "subject": subject,
            "engine": manifest.get("engine") or recipe.rollout.engine,
            "dtype": None,
            "cost": cost,
            "results": [self._result(recipe, rows, manifest)],
        }

    def _recipe(self) -> Recipe:
        return check_tree(read_tree(self.folder.recipe), str(self.folder.recipe))

    def _result(self, recipe: Recipe, rows: Sequence[EvaluationRow], manifest: Mapping[str, Any]) -> dict[str, Any]:
        section, evaluation = held_out_section(recipe), recipe.evaluation
        source = {"name": section.path or section.name or section.source}
        source |= {key: getattr(section, key) for key in ("config", "split", "revision")}
        length = evaluation.max_completion_length or recipe.rollout.max_completion_length
        return {
            "benchmark": recipe.name,
            "description": f"held-out problems of the recipe {recipe.name}",
            "template": OWN,
            "best": True,
            "answers": "",
            "dataset": {**source, "sha256": (manifest.get("data") or {}).get("held_out")},
            "problems": len({row.problem_id for row in rows}),
            "asked": len(rows),
            "unknown_rows": 0,
            "extraction": extraction_of(recipe.rewards),
            **measures(rows, majority=False),
            "num_samples": evaluation.num_samples,
            "shots": len(section.few_shot),
            **{"temperature": evaluation.temperature, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "max_tokens": length},
            "stop": list(recipe.rollout.stop),
            "seed": recipe.run.seed,
            **{"prompt_tokens": 0, "tokens": 0, "cached_tokens": 0},
            **self.called,
        }


def open_sides(paths: Sequence[Path]) -> list[Side]:
    """The sides that stand in these folders, each run under the names that the others have for its problems.

    A run that is named alone, or twice in a row, is compared with itself: before training and after its last
    evaluation. Else a run stands for its last evaluation.

    Raises:
        BadInput: a folder is neither, a run has no evaluation yet, or a run and the others asked nothing in common.
    """
    if len(paths) == 1 and is_evaluation(paths[0]):
        raise BadInput(f"{paths[0]} is one evaluation: name another one, or a run, to compare it with.")
    if len({path.resolve() for path in paths}) == 1 and is_run(paths[0]):
        return list(before_and_after(paths[0]))
    return matched([open_side(path) for path in paths])


def open_side(path: Path) -> Side:
    """The evaluation in a folder, or the last one of a run. Raises BadInput if there is neither."""
    if is_evaluation(path):
        return EvaluationFolder(path)
    if not is_run(path):
        what = f"{path} holds neither an evaluation nor a run" if path.is_dir() else missing_folder(path)
        raise BadInput(f"{what}: give the folder that `penny eval` or `penny train` named.")
    return RunSide(RunFolder(path), _steps(path)[-1])


def before_and_after(path: Path) -> tuple[RunSide, RunSide]:
    """A run before training and after its last evaluation. Raises BadInput if it has not come that far."""
    steps = _steps(path)
    if len(steps) < 2:
        raise BadInput(f"{path} was measured once, at step {steps[0]}: wait for its next evaluation.")
    return RunSide(RunFolder(path), steps[0]), RunSide(RunFolder(path), steps[-1])


def matched(sides: Sequence[Side]) -> list[Side]:
    """The sides, each run under the names that another side has for the same problems.

    Runs take the names of the first evaluation, or of the first run where there is no evaluation. Raises BadInput if a
    run and that one asked different problems.
    """
    evaluations = [side for side in sides if not isinstance(side, RunSide)]
    first = evaluations[0] if evaluations else sides[0]
    return [_in_terms_of(side, first) if isinstance(side, RunSide) and side is not first else side for side in sides]


def _in_terms_of(run: RunSide, other: Side) -> RunSide:
    """The run under the names of a result of the other side that asked the same. Raises BadInput if there is none."""
    mine = run.rows({}, tokens=False)
    results = [result for result in other.results()["results"] if result["best"]]
    for result in results:
        theirs = other.rows(result, tokens=False)
        if asked_alike(mine, theirs):
            names = ("benchmark", "dataset", *(["template"] if _same_prompts(mine, theirs) else []))
            return replace(run, called={name: result[name] for name in names})
    asked = ", ".join(result["benchmark"] for result in results)
    raise BadInput(
        f"{run.path} measured its own held-out problems, and {other.path} asked others ({asked}): measure the run on "
        f"the same ones with `penny eval --model {run.path} --benchmark NAME`."
    )


def _same_prompts(first: Sequence[EvaluationRow], second: Sequence[EvaluationRow]) -> bool:
    """Whether the problems in common were put in the same words."""
    one, two = ({row.problem_id: row.prompt for row in rows} for rows in (first, second))
    return all(one[name] == two[name] for name in one.keys() & two.keys())


def asked_alike(first: Sequence[EvaluationRow], second: Sequence[EvaluationRow]) -> bool:
    """Whether two sides have problems in common, and asked the same wherever the ids are the same.

    The same: equal right answers, and the part of one's prompt that differs from problem to problem stands in the
    other's prompt.
    """
    one, two = ({row.problem_id: row for row in rows} for rows in (first, second))
    common = one.keys() & two.keys()
    core_one, core_two = _own_parts(one), _own_parts(two)
    return bool(common) and all(
        one[name].gold == two[name].gold
        and (core_one[name] in _flat(two[name].prompt) or core_two[name] in _flat(one[name].prompt))
        for name in common
    )


def _own_parts(rows: Mapping[str, EvaluationRow]) -> dict[str, str]:
    """By problem, the part of its prompt that the prompts do not share: what stands between their common ends."""
    prompts = {name: _flat(row.prompt) for name, row in rows.items()}
    texts = list(prompts.values())
    if len(texts) < 2:
        return prompts
    head = len(os.path.commonprefix(texts))
    tail = len(os.path.commonprefix([text[head:][::-1] for text in texts]))
    return {name: text[head : len(text) - tail].strip() for name, text in prompts.items()}


def _flat(text: str) -> str:
    return " ".join(text.split())


def _steps(path: Path) -> list[int]:
    """The steps at which a run was measured. Raises BadInput if there is none."""
    steps = sorted(evaluation["step"] for evaluation in read_evaluations(RunFolder(path)))
    if not steps:
        raise BadInput(f"{path} has not been measured yet: wait for its first evaluation.")
    return steps
