"""What a model can be measured on: known sets, generated ones, a user's file, the held-out problems of a recipe."""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from rewards.errors import BadInput
from rl.problems.problem import Problem
from rl.problems.programs import HUMANEVAL, HUMANEVAL_PLUS, MBPP, MBPP_PLUS, SECONDS, SLOW
from rl.problems.sets import HELD_OUT_SEED, held_out_section, load_sets
from rl.problems.sources import load_problems
from rl.recipe import ProblemsSection, Recipe, RewardsSection
from rl.recipe_file import RECIPES, load_recipe

STEP_BY_STEP = "\nThink step by step, and end with the final answer inside \\boxed{{}}."
COMPLETE = "Complete this Python function:\n\n```python\n{question}```"
IN_ONE_BLOCK = "\n\nPut the whole program, with its imports, into one ```python block."
LONGEST_PROGRAM = max(*SECONDS.values(), *SLOW.values())


@dataclass(frozen=True)
class Benchmark:
    """Problems, how they are put to a model, and what grades the answers.

    Attributes:
        name: what the user calls it.
        description: one line for people.
        problems: where the problems come from, and their prompt. A model without a chat template gets a plain one.
        rewards: the graders; the accuracy function among them tells solved from not solved.
        max_completion_length: tokens of a completion, at most.
        stop: strings that end a completion.
        held_out_of: the recipe whose held-out problems these are; None: all that `problems` describes.
    """

    name: str
    description: str
    problems: ProblemsSection
    rewards: RewardsSection
    max_completion_length: int
    stop: tuple[str, ...] = ()
    held_out_of: Recipe | None = None

    def load(self) -> list[Problem]:
        """The problems, always the same ones in the same order. Raises BadInput if they cannot be read."""
        if self.held_out_of is not None:
            return load_sets(self.held_out_of)[1]
        return load_problems(self.problems, seed=HELD_OUT_SEED)


GSM8K = Benchmark(
    name="gsm8k",
    description="GSM8K, test: 1319 grade-school word problems",
    problems=ProblemsSection(
        source="hub",
        name="openai/gsm8k",
        config="main",
        split="test",
        revision="740312add88f781978c0658806c59bc2815b9866",
        prompt="{question}" + STEP_BY_STEP,
    ),
    rewards=RewardsSection(functions={"math": 1.0}),
    max_completion_length=1024,
)
MATH500 = Benchmark(
    name="math500",
    description="MATH-500: competition mathematics",
    problems=ProblemsSection(
        source="hub",
        name="HuggingFaceH4/MATH-500",
        split="test",
        revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        prompt="{problem}" + STEP_BY_STEP,
    ),
    rewards=RewardsSection(functions={"math": 1.0}),
    max_completion_length=3000,
)
COUNTDOWN = Benchmark(
    name="countdown",
    description="Countdown: 256 generated tasks, 3 or 4 numbers",
    problems=ProblemsSection(
        source="countdown",
        size=256,
        prompt="{question}\nThink step by step, then give the expression alone between <answer> and </answer>, "
        "for example <answer>(1 + 2) / 3</answer>.",
    ),
    rewards=RewardsSection(functions={"countdown": 1.0}),
    max_completion_length=1024,
)


def program_benchmark(
    name: str, description: str, data: str, revision: str, prompt: str, config: str | None = None
) -> Benchmark:
    """The test split of a set of programming tasks. Their time limits are in the problems (`time_limit_s`)."""
    return Benchmark(
        name=name,
        description=description,
        problems=ProblemsSection(
            source="hub", name=data, config=config, split="test", revision=revision, prompt=prompt + IN_ONE_BLOCK
        ),
        rewards=RewardsSection(functions={"code": 1.0}, timeout=LONGEST_PROGRAM),
        max_completion_length=1024,
    )


TABLE = {
    benchmark.name: benchmark
    for benchmark in (
        GSM8K,
        MATH500,
        COUNTDOWN,
        program_benchmark(
            "humaneval",
            "HumanEval: 164 Python functions to complete",
            HUMANEVAL,
            "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
            COMPLETE,
        ),
        program_benchmark(
            "humanevalplus",
            "HumanEval+: the same with many more tests, 163 (HumanEval/32 is broken there)",
            HUMANEVAL_PLUS,
            "d32357cf319e50e9c8d8dab5ea876c72b0fd321b",
            COMPLETE,
        ),
        program_benchmark(
            "mbpp",
            "MBPP, test: 500 short Python tasks, all three asserts shown",
            MBPP,
            "4bb6404fdc6cacfda99d4ac4205087b89d32030c",
            "{question}\nYour program should pass these tests:\n{asserts}",
            config="full",
        ),
        program_benchmark(
            "mbppplus",
            "MBPP+: 378 of the tasks with many more tests, one assert shown",
            MBPP_PLUS,
            "b2d74c91837c3f2a20c1299ae98133cbe7cfa077",
            "{question}\nYour program should pass tests such as:\n{example}",
        ),
    )
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Names are those of `TABLE`; `arithmetic` (the quickstart's held-out sums); `reasoning_gym:<task>`, with the task's
    own scorer; a path that ends in `.jsonl`, with columns `question` and `answer`; `recipe:<name or path>`, or just the
    recipe's name or path where no benchmark is called so, for a recipe's held-out problems and rewards.

    Raises:
        BadInput: there is no such benchmark or recipe.
    """
    kind, colon, rest = name.partition(":")
    if name in TABLE:
        return TABLE[name]
    if name == "arithmetic":
        # Other sums, freshly made, would mostly be among those that the quickstart trains on.
        return replace(recipe_benchmark("quickstart"), name=name, description="the quickstart's held-out sums")
    if kind == "reasoning_gym" and colon:
        return task_benchmark(rest)
    if name.endswith(".jsonl"):
        return file_benchmark(name)
    if kind == "recipe" and colon:
        return replace(recipe_benchmark(rest), name=name)
    recipes = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if name in recipes or name.endswith((".yaml", ".yml")):
        return recipe_benchmark(name)
    known = [*TABLE, "arithmetic", "reasoning_gym:<task>", *(f"recipe:{recipe}" for recipe in recipes)]
    near = difflib.get_close_matches(name, [*known, *recipes], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}, or a path to a .jsonl file."
    raise BadInput(f"There is no benchmark {name!r}; {hint}")


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
        max_completion_length=1024,
    )


def file_benchmark(path: str) -> Benchmark:
    """A JSONL file of `question` and `answer`."""
    return Benchmark(
        name=path,
        description=f"the problems of {Path(path).name}",
        problems=ProblemsSection(source="jsonl", path=path, prompt="{question}" + STEP_BY_STEP),
        rewards=RewardsSection(functions={"math": 1.0}),
        max_completion_length=1024,
    )


def recipe_benchmark(name_or_path: str) -> Benchmark:
    """What a recipe measures itself on, with its graders, limits and stop strings. Raises BadInput."""
    recipe = load_recipe(name_or_path)
    return Benchmark(
        name=name_or_path,
        description=f"held-out problems of the recipe {recipe.name}",
        problems=held_out_section(recipe),
        rewards=recipe.rewards,
        max_completion_length=recipe.evaluation.max_completion_length or recipe.rollout.max_completion_length,
        stop=tuple(recipe.rollout.stop),
        held_out_of=recipe,
    )
