"""Minutes until the quickstart's held-out target, and TRL's with the same budget of samples: `python -m
benchmarks.quality`.

Both train the same recipe, problem for problem, are measured every few steps on the same held-out problems by the same
code, greedy, and stop at the target or when the recipe's steps are done. Evaluating does not count as time; loading
stands beside it.
"""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from benchmarks.part import ChildFailed, Part, Results, at_least_one, fresh, run_part
from benchmarks.report import number, spread, table
from benchmarks.trl_peer import build_trainer
from benchmarks.workload import in_turn
from rewards.errors import BadInput
from rl.base.jsonl import read
from rl.config.recipe import Recipe
from rl.config.recipe_file import dump_recipe, load_recipe
from rl.evaluation.statistics.measures import measures
from rl.grading.answers import accuracy_of, answer_all, build_grader, grade_all, training_row
from rl.models.source import load_tokenizer
from rl.problems.prompt import Prompter
from rl.problems.sets import held_out_section, load_sets
from rl.rollout.build import build_engine
from rl.rollout.engine import SamplingParams
from rl.run.evaluations import read_evaluations
from rl.run.folder import RunFolder
from rl.run.manifest import PROJECT

CONTENDERS = ("Penny", "TRL")
POLL = 0.2  # seconds between looks at a run's evaluations
Curve = list[dict[str, float]]  # step, minutes of training so far, pass@1


def add_options(parser: ArgumentParser) -> None:
    """The recipe, which must state a band, and how often it is trained."""
    parser.add_argument("--recipe", default="quickstart", help="name or path (quickstart)")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="of TRL (off: it is slower with)")
    at_least_one(parser, repeats=3, every=3)
    parser.add_argument("changes", nargs="*", metavar="SECTION.KEY=VALUE")


def run(options: Namespace) -> dict[str, Any]:
    """Each contender with each seed, in turn."""
    band = load_recipe(options.recipe, options.changes).evaluation.band
    if band is None:
        raise BadInput(f"The recipe {options.recipe} states no evaluation.band: name one that does.")
    curves: dict[str, list[Any]] = {name: [] for name in CONTENDERS}
    for repeat, name in in_turn(CONTENDERS, options.repeats):
        changes = [*options.changes, f"run.seed={repeat - 1}", f"evaluation.every={options.every}"]
        if name == "TRL":
            changes.append(f"model.gradient_checkpointing={str(options.gradient_checkpointing).lower()}")
        recipe = load_recipe(options.recipe, changes)
        if name == "Penny":
            curves[name].append(penny_curve(recipe, band.min_gain))
        else:
            curves[name].append(fresh(trl_curve, recipe=recipe.model_dump(mode="json"), gain=band.min_gain))
    return {"curves": curves, "gain": band.min_gain}


def penny_curve(recipe: Recipe, gain: float) -> dict[str, Any]:
    """`penny train` as a user starts it, ended by SIGTERM once its evaluations reach the target."""
    with tempfile.TemporaryDirectory(prefix="penny-bench-") as scratch:
        file, folder = Path(scratch) / f"{recipe.name}.yaml", RunFolder(Path(scratch) / "run")
        file.write_text(dump_recipe(recipe), encoding="utf-8")
        command = [sys.executable, "-m", "rl.cli", "train", str(file), f"run.dir={folder.path}"]
        with subprocess.Popen(command, cwd=PROJECT, stdout=sys.stderr) as process:
            while process.poll() is None:
                if reached(read_evaluations(folder), gain):
                    process.send_signal(signal.SIGTERM)
                    break
                time.sleep(POLL)
        if process.returncode not in (0, 3):  # 3: done, and the recipe's promise missed
            raise ChildFailed(process.returncode)
        return curve_of(read_evaluations(folder), read(folder.ledger))


def curve_of(evaluations: Sequence[Mapping[str, Any]], ledger: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Minutes of training at each evaluation: all that the ledger has up to its step but loading and evaluating."""
    points: Curve = []
    for evaluation in evaluations:
        lines = [line for line in ledger if line["step"] is not None and line["step"] <= evaluation["step"]]
        seconds = sum(line["wall"] - line["seconds"]["start"] - line["seconds"]["evaluate"] for line in lines)
        points.append({"step": evaluation["step"], "minutes": seconds / 60, "pass@1": evaluation["pass@1"]})
    return {"points": points, "loading": sum(line["seconds"]["start"] for line in ledger) / 60}


def reached(evaluations: Sequence[Mapping[str, Any]], gain: float) -> bool:
    """Whether the last evaluation is that much above the first."""
    return len(evaluations) > 1 and evaluations[-1]["pass@1"] >= evaluations[0]["pass@1"] + gain - 1e-9


class Watch(TrainerCallback):
    """Measures TRL's weights every few steps on the recipe's held-out problems, and ends training at the target."""

    def __init__(self, recipe: Recipe, grader: Any, gain: float) -> None:
        self.points: Curve = []
        self._recipe, self._grader, self._gain = recipe, grader, gain
        self._engine = build_engine(
            recipe.model_copy(update={"rollout": recipe.rollout.model_copy(update={"engine": "transformers"})})
        )
        self._tokenizer = load_tokenizer(recipe.model.name, recipe.model.revision)
        asker = Prompter(held_out_section(recipe), self._tokenizer)
        self._held_out = [asker.render(problem) for problem in load_sets(recipe)[1]]
        self._seconds, self._since = 0.0, time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure the weights that training starts from."""
        self._measure(0)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Stop the watch, measure where it is due, and go on."""
        self._seconds += time.perf_counter() - self._since
        if state.global_step % self._recipe.evaluation.every == 0 or state.global_step == state.max_steps:
            with tempfile.TemporaryDirectory(prefix="penny-bench-") as folder:
                model.save_pretrained(folder)
                self._engine.load_adapter(folder)
                self._measure(state.global_step)
            control.should_training_stop = reached(self.points, self._gain)
        self._since = time.perf_counter()

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()

    def _measure(self, step: int) -> None:
        section = self._recipe.evaluation
        length = section.max_completion_length or self._recipe.rollout.max_completion_length
        params = SamplingParams(length, temperature=section.temperature, stop=tuple(self._recipe.rollout.stop))
        completions = answer_all(self._engine, self._held_out, params, section.num_samples, self._recipe.run.seed)
        answers = grade_all(self._held_out, completions, self._grader, self._tokenizer)
        rows = [training_row(answer, accuracy_of(self._recipe.rewards)) for answer in answers]
        result = measures(rows, majority=False)
        self.points.append({"step": step, "minutes": self._seconds / 60, "pass@1": result["pass@1"]})
        self._since = time.perf_counter()


def trl_curve(recipe: Mapping[str, Any], gain: float) -> dict[str, Any]:
    """TRL's training of the recipe, up to the target."""
    began = time.perf_counter()
    parsed = Recipe.model_validate(recipe)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="penny-bench-"))
        grader = stack.enter_context(build_grader(parsed.rewards))
        watch = stack.enter_context(contextlib.closing(Watch(parsed, grader, gain)))
        trainer = build_trainer(parsed, grader, Path(folder), callbacks=[watch])
        loading = (time.perf_counter() - began) / 60
        trainer.train()
    return {"points": watch.points, "loading": loading}


def markdown(results: Results) -> Iterator[str]:
    """Minutes to the target, and every curve."""
    found = results["curves"]
    yield (
        f"The target is {100 * results['gain']:.0f} points of pass@1 above the start. Minutes are of training: without "
        "loading and evaluating."
    )
    yield table(
        ("", "minutes to the target", "loading, minutes", "each seed: minutes, steps, pass@1 before and after"),
        [(name, *row(curves, results["gain"])) for name, curves in found.items()],
    )
    ratios = [
        t["points"][-1]["minutes"] / p["points"][-1]["minutes"]
        for p, t in zip(found["Penny"], found["TRL"], strict=True)
        if reached(p["points"], results["gain"])
    ]
    if ratios:
        yield (
            f"TRL's minutes over Penny's, seed by seed, are {spread(ratios)}; where TRL did not reach the target, its "
            "minutes are those of the whole budget, and the ratio is a lower bound."
        )


def row(curves: Sequence[Mapping[str, Any]], gain: float) -> tuple[str, str, str]:
    """The cells of one contender."""
    minutes = [curve["points"][-1]["minutes"] for curve in curves if reached(curve["points"], gain)]
    each = [
        f"{number(last['minutes'])}, {last['step']}, {first['pass@1']:.1%} to {last['pass@1']:.1%}"
        for first, last in ((curve["points"][0], curve["points"][-1]) for curve in curves)
    ]
    share = f" ({len(minutes)} of {len(curves)} seeds)" if len(minutes) < len(curves) else ""
    return (
        (spread(minutes) if minutes else "not reached") + share,
        spread([curve["loading"] for curve in curves]),
        "; ".join(each),
    )


PART = Part("quality", "Time to quality", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
