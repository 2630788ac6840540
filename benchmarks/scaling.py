"""How the time of a step grows: `python -m benchmarks.scaling`.

With completions a problem, with their length, and with problems a step, each by itself; fitted exponents, a plot, and
what the planner predicts, calibrated at the smallest size, beside it. Prompts are plain text that a model goes on with,
so that completions are about as long as they may be. Each axis has a process of its own, in which its points take
turns; every group has a signal.
"""

import contextlib
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.given import PLAIN, our_pass
from benchmarks.part import Part, Results, at_least_one, fresh, run_part
from benchmarks.report import number, spread, table
from benchmarks.workload import (
    VARIED,
    Batch,
    Sizes,
    batch_seeds,
    bench_recipe,
    in_turn,
    perturbed_policy,
    start_engine,
    timed,
    to_samples,
)
from rl.config.recipe import Recipe
from rl.learner.policy import Policy
from rl.models.source import load_tokenizer
from rl.planner.calibrate import calibrate
from rl.planner.predict import predict
from rl.planner.shapes import load_shape
from rl.problems.prompt import Prompter
from rl.problems.sources import load_problems
from rl.rollout.engine import RolloutEngine, SamplingParams

STORY = "Chapter {question}\n\nOnce upon a time, in a village by the river,"
AXES = {"group": "completions a problem", "length": "tokens a completion", "problems": "problems a step"}
PHASES = ("generate", "learn")
Point = Mapping[str, Sequence[float]]  # seconds by phase and `tokens` generated, a repeat each


def add_options(parser: ArgumentParser) -> None:
    """The points of each axis; what does not grow stands at the base."""
    parser.add_argument("--model", default="smollm2", help="(smollm2)")
    parser.add_argument("--engine", default="auto", choices=["auto", "vllm", "transformers"], help="(auto)")
    parser.add_argument("--group", type=int, nargs="+", default=[4, 8, 16, 32], help="completions a problem")
    parser.add_argument("--length", type=int, nargs="+", default=[32, 64, 128, 256, 512], help="tokens a completion")
    parser.add_argument("--problems", type=int, nargs="+", default=[4, 8, 16, 32, 64], help="problems a step")
    at_least_one(parser, repeats=3, base_group=4, base_length=32, base_problems=4)


def run(options: Namespace) -> dict[str, Any]:
    """The axes, one after the other, and the plot."""
    base = {axis: getattr(options, f"base_{axis}") for axis in AXES}
    points = {axis: [base | {axis: value} for value in getattr(options, axis)] for axis in AXES}
    common = {"model": options.model, "engine": options.engine}
    expected = fresh(predictions, base=base, points=points, **common)
    axes = {axis: fresh(measure, axis=axis, points=points[axis], repeats=options.repeats, **common) for axis in AXES}
    plot(axes, options.output / "scaling.png")
    return {"axes": axes, "base": base, "predicted": expected}


def measure(
    model: str, engine: str, axis: str, points: Sequence[Mapping[str, int]], repeats: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds of generating and of learning at each point; every point is met once before it counts."""
    recipes = {str(point[axis]): point_recipe(model, engine, repeats, **point) for point in points}
    largest = max(recipes.values(), key=lambda recipe: recipe.rollout.max_completion_length)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in recipes}
    policy = perturbed_policy(largest)
    with contextlib.closing(start_engine(largest)) as sampler:
        sampler.load_weights(policy.export())
        for repeat, name in in_turn(recipes, repeats + 1):
            step = generate_and_learn(sampler, policy, recipes[name], repeat)
            if repeat > 1:
                for key, value in step.items():
                    found[name].setdefault(key, []).append(value)
    return found


def generate_and_learn(engine: RolloutEngine, policy: Policy, recipe: Recipe, number: int) -> dict[str, float]:
    """Seconds of both, and the tokens generated."""
    batch, params = story_batch(recipe, number), SamplingParams(recipe.rollout.max_completion_length)
    completions, generate = timed(lambda: engine.generate(batch.prompts, params, batch.seeds))
    samples = to_samples(batch, completions)
    _, learn = timed(lambda: our_pass(policy, samples, recipe))
    return {"generate": generate, "learn": learn, "tokens": sum(len(sample.completion_ids) for sample in samples)}


def predictions(
    model: str, engine: str, base: Mapping[str, int], points: Mapping[str, Sequence[Mapping[str, int]]]
) -> dict[str, dict[str, dict[str, float]]]:
    """What the planner, calibrated at the base, expects of each point: seconds by phase."""
    calibration = calibrate(point_recipe(model, engine, 1, **base), lambda text: print(text, flush=True))
    expected: dict[str, dict[str, dict[str, float]]] = {axis: {} for axis in points}
    for axis, members in points.items():
        for point in members:
            recipe = point_recipe(model, engine, 1, **point)
            seconds = predict(recipe, load_shape(recipe.model), calibration).seconds
            expected[axis][str(point[axis])] = {phase: seconds[phase] for phase in PHASES}
    return expected


def point_recipe(model: str, engine: str, repeats: int, group: int, length: int, problems: int) -> Recipe:
    """The recipe of one point: enough problems for all repeats, put as the opening of a story."""
    changes = PLAIN | {"problems": {"chat_template": False, "prompt": STORY}, "rewards": VARIED}
    return bench_recipe(Sizes(model, repeats + 1, problems, group, length), engine, changes)


def story_batch(recipe: Recipe, number: int) -> Batch:
    """The prompts and seeds of a repeat, from 1 on."""
    prompter = Prompter(recipe.problems, load_tokenizer(recipe.model.name))
    count = recipe.algorithm.problems_per_step
    problems = load_problems(recipe.problems)[(number - 1) * count : number * count]
    prompts = [prompter.render(problem).token_ids for problem in problems]
    return Batch(prompts, batch_seeds(number, count, recipe.rollout.num_generations))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of log seconds against log size by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def fitted(points: Mapping[str, Point], phase: str) -> float:
    """The exponent of one phase, from all repeats of all points."""
    pairs = [(float(name), value) for name, point in points.items() for value in point[phase]]
    return exponent(*zip(*pairs, strict=True))


def plot(axes: Mapping[str, Mapping[str, Point]], path: Path) -> None:
    """Median seconds against size, both logarithmic: one panel an axis, one line a phase."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(axes), figsize=(4.5 * len(axes), 4), squeeze=False)
    for panel, (axis, points) in zip(panels[0], axes.items(), strict=True):
        for phase in PHASES:
            middle = [float(np.median(point[phase])) for point in points.values()]
            panel.plot([float(name) for name in points], middle, "o-", label=phase)
        panel.set(xscale="log", yscale="log", xlabel=AXES[axis], ylabel="seconds")
        panel.set_xticks([float(name) for name in points], list(points), minor=False)
        panel.set_xticks([], minor=True)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def markdown(results: Results) -> Iterator[str]:
    """A table an axis."""
    base = results["base"]
    yield (
        "Seconds, median (lowest to highest). What does not grow stands at "
        + ", ".join(f"{base[axis]} {name}" for axis, name in AXES.items())
        + ". Exponents e of seconds ~ size^e are fitted to all repeats by least squares of the logarithms."
    )
    yield "![Seconds by size](scaling.png)"
    for axis, points in results["axes"].items():
        yield f"## {AXES[axis].capitalize()}"
        yield axis_table(axis, points, results["predicted"][axis])


def axis_table(axis: str, points: Mapping[str, Point], expected: Mapping[str, Mapping[str, float]]) -> str:
    """Measured seconds of each phase with the predicted ones beside them, and the exponent of either."""
    rows = []
    for name, point in points.items():
        cells = [cell for phase in PHASES for cell in (spread(point[phase]), number(expected[name][phase]))]
        rows.append((name, *cells, number(float(np.median(point["tokens"])))))
    if len(points) > 1:
        sizes = [float(name) for name in points]
        cells = []
        for phase in PHASES:
            predicted = exponent(sizes, [expected[name][phase] for name in points])
            cells += [number(fitted(points, phase)), number(predicted)]
        rows.append(("exponent", *cells, ""))
    header = [cell for phase in PHASES for cell in (f"{phase}, s", "predicted")]
    return table((AXES[axis], *header, "tokens generated"), rows)


PART = Part("scaling", "How the time of a step grows", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
