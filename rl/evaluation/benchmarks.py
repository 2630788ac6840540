"""What a model can be measured on: known sets, generated ones, a user's file, the held-out problems of a recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.base.nearest import nearest
from rl.config.listed import pipeline_names
from rl.config.recipe import ProblemsSection, Recipe, RewardsSection
from rl.config.recipe_file import RECIPES, load_recipe
from rl.grading.answers import accuracy_of
from rl.problems.benchmark import Benchmark, Sampling, benchmark_table, read_benchmark, read_entry, suite_table
from rl.problems.livecodebench import windowed
from rl.problems.sets import held_out_section, load_sets
from rl.run.folder import is_run

# What a recipe has and a benchmark never: `model` is there in every recipe.
RECIPE_ONLY = set(Recipe.model_fields) - set(Benchmark.model_fields)


def find_suite(names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks of several names, each once, in the order in which they are first named.

    Args:
        names: each a benchmark (see `find_benchmark`), a suite, or several of them with commas between. Suites go
            before recipes of the same name: `math` is the suite, `recipe:math` the recipe.

    Raises:
        BadInput: one of them is neither, or none is named.
    """
    suites = suite_table()
    words = [word.strip() for name in names for word in name.split(",") if word.strip()]
    if not words:
        raise BadInput(f"No benchmark is named; name one, or a suite: {', '.join(suites)}.")
    single = [name for word in words for name in suites.get(word, [word])]
    return [find_benchmark(name) for name in dict.fromkeys(single)]


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Names are those of the table (`rl/problems/benchmarks.yaml`); `livecodebench:<window>` (see `windowed`);
    `arithmetic` (the quickstart's held-out sums); `reasoning_gym:<task>`, with the task's own scorer; a path that ends
    in `.jsonl`, with columns `question` and `answer`; a path to a YAML file with the keys of a `Benchmark`;
    `recipe:<name or path>`, or just the recipe's name or path where no benchmark is called so, for a recipe's held-out
    problems and rewards.

    Raises:
        BadInput: there is no such benchmark or recipe, or its file is not one.
    """
    kind, colon, rest = name.partition(":")
    if name in benchmark_table():
        return benchmark_table()[name]
    if kind in benchmark_table():
        return windowed(benchmark_table()[kind], rest)
    if name == "arithmetic":
        # Other sums, freshly made, would mostly be among those that the quickstart trains on.
        named = {"name": name, "description": "the quickstart's held-out sums"}
        return recipe_benchmark("quickstart").model_copy(update=named)
    if kind == "reasoning_gym" and colon:
        return task_benchmark(rest)
    if name.endswith(".jsonl"):
        return file_benchmark(name)
    if kind == "recipe" and colon:
        return recipe_benchmark(rest).model_copy(update={"name": name})
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return yaml_benchmark(name)
    recipes = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if name in recipes or name.endswith((".yaml", ".yml")):
        return recipe_benchmark(name)
    raise BadInput(f"There is no benchmark {name!r}; {_hint(name, recipes)}")


def task_benchmark(task: str) -> Benchmark:
    """200 problems of a reasoning-gym task; a task that does not exist is refused when they are made."""
    return Benchmark(
        name=f"reasoning_gym:{task}",
        description=f"reasoning-gym's {task}, 200 problems",
        problems=ProblemsSection(
            source="reasoning_gym",
            name=task,
            size=200,
            prompt="{question}\nThink step by step, then give the final answer alone between <answer> and </answer>.",
        ),
        rewards=RewardsSection(functions={"reasoning_gym": 1.0}),
    )


def file_benchmark(path: str) -> Benchmark:
    """A JSONL file of `question` and `answer`, put to a model as GSM8K is."""
    gsm8k = benchmark_table()["gsm8k"]
    return Benchmark(
        name=path,
        description=f"the problems of {Path(path).name}",
        problems=ProblemsSection(source="jsonl", path=path, prompt=gsm8k.problems.prompt),
        rewards=gsm8k.rewards,
        majority=True,
    )


def yaml_benchmark(path: str) -> Benchmark:
    """What a YAML file describes: a recipe's held-out problems, or a benchmark of the user's own.

    Raises:
        BadInput: it is neither, or not allowed.
    """
    tree = read_entry(Path(path))
    if RECIPE_ONLY & tree.keys():
        return recipe_benchmark(path)
    if not {"problems", "rewards"} & tree.keys():
        raise BadInput(
            f"{path} is neither a benchmark nor a recipe: a benchmark has the sections problems and rewards, a recipe "
            "also model; write these."
        )
    found = read_benchmark(Path(path))  # its name is where it is found again
    return found.model_copy(update={"name": path, "description": found.description or found.name})


def recipe_benchmark(name_or_path: str) -> Benchmark:
    """What a recipe measures itself on, with its graders, limits and stop strings. Raises BadInput."""
    recipe = load_recipe(name_or_path)
    return Benchmark(
        name=name_or_path,
        description=f"held-out problems of the recipe {recipe.name}",
        problems=held_out_section(recipe),
        bare=held_out_section(recipe).prompt,
        rewards=recipe.rewards,
        max_completion_length=recipe.evaluation.max_completion_length or recipe.rollout.max_completion_length,
        stop=recipe.rollout.stop,
        sampling=Sampling(num_samples=recipe.evaluation.num_samples, temperature=recipe.evaluation.temperature),
        loader=lambda: load_sets(recipe)[1],
    )


def described_benchmarks() -> list[dict[str, Any]]:
    """All benchmarks of the table in words."""
    return [describe(benchmark) for benchmark in benchmark_table().values()]


def describe(benchmark: Benchmark) -> dict[str, Any]:
    """A benchmark in words, for a listing: name, description, source, grader, protocol, max_completion_length, note."""
    section, sampling = benchmark.problems, benchmark.sampling
    where = [section.source, section.name or section.path]
    if section.source == "hub":
        where += [section.config, section.split]
    revision = f" @ {section.revision[:12]}" if section.revision else ""
    # Only what is not the default is worth a word.
    drawn = {key: value for key, value in sampling.model_dump(exclude_defaults=True).items() if key != "num_samples"}
    words = [f"{sampling.num_samples} samples", *(f"{key} {value:g}" for key, value in drawn.items())]
    return {
        "name": benchmark.name,
        "description": benchmark.description,
        "source": " ".join(part for part in where if part) + revision,
        "grader": accuracy_of(benchmark.rewards),
        "protocol": ", ".join(words) if sampling.temperature > 0 else "greedy",
        "max_completion_length": benchmark.max_completion_length,
        "note": benchmark.note,
    }


def _hint(name: str, recipes: Sequence[str]) -> str:
    known = [
        *benchmark_table(),
        "livecodebench:<window>",
        "arithmetic",
        "reasoning_gym:<task>",
        *(f"recipe:{recipe}" for recipe in recipes),
    ]
    suites = list(suite_table())
    if is_run(Path(name)):
        return f"{name} is a run: give it as --model, or its held-out problems as recipe:{name}/recipe.yaml."
    if name in pipeline_names():
        return f"{name} is a pipeline, whose own stages measure: see `penny run {name}`."
    if near := nearest(name.partition(":")[0], [*known, *suites, *recipes]):
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(known)}, the suites {', '.join(suites)}, or a path to a .jsonl or .yaml file."
