r"""Benchmarks as data: what is asked, how it is put to a model, what grades the answers, how many are drawn.

The table is `benchmarks.yaml` beside this file. A user's own benchmark is a YAML file with the keys of one entry:

    description: sums of my own
    problems: {source: jsonl, path: sums.jsonl, prompt: "{question}\nEnd with the answer inside \\boxed{{}}."}
    rewards: {functions: {math: 1.0}}
"""

import difflib
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection, RewardsSection, Section
from rl.config.recipe_file import anchor_paths
from rl.config.yaml_text import parse_yaml
from rl.problems.problem import HELD_OUT_SEED, Problem
from rl.problems.sources import load_problems

TABLE = Path(__file__).with_name("benchmarks.yaml")


class Sampling(Section):
    """How answers are drawn. The default is one greedy answer a problem."""

    num_samples: int = Field(1, ge=1, description="answers a problem")
    temperature: float = Field(0.0, ge=0, description="0: greedy")
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0: all tokens")
    min_p: float = Field(0.0, ge=0, lt=1)


class Benchmark(Section):
    """Problems, how they are put to a model, and what grades the answers."""

    name: str = Field(description="what the user calls it")
    description: str = Field("", description="one line for people")
    problems: ProblemsSection = Field(description="where the problems come from; `prompt`: question with instruction")
    bare: str = Field("{question}", description="template of the question alone, for prompts without instruction")
    rewards: RewardsSection = Field(description="the graders; `accuracy` among them says solved or not")
    max_completion_length: int = Field(1024, ge=1, description="tokens of a completion, at most")
    stop: list[str] = Field(default_factory=list, description="strings that end a completion")
    sampling: Sampling = Sampling()
    shots: list[tuple[str, str]] = Field(
        default_factory=list, description="worked examples of its own: question as `bare` puts it, answer"
    )
    id_column: str | None = Field(None, description="column with a row's own id, as its authors number it")
    majority: bool = Field(False, description="answers can vote (mathematics)")
    note: str = Field("", description="licence, defects, what is left out")
    loader: Callable[[], list[Problem]] | None = Field(
        None, exclude=True, repr=False, description="what gives the problems where they are not all of `problems`"
    )

    def load(self) -> list[Problem]:
        """The problems, always the same ones in the same order. Raises BadInput if they cannot be read."""
        return self.loader() if self.loader is not None else load_problems(self.problems, seed=HELD_OUT_SEED)


def builtin_benchmark(name: str) -> Benchmark:
    """The benchmark of that name in the table. Raises BadInput if there is none."""
    table = benchmark_table()
    if name not in table:
        raise BadInput(f"There is no benchmark {name!r} in the table; it has {', '.join(table)}.")
    return table[name]


def benchmark_table() -> dict[str, Benchmark]:
    """Every benchmark that comes with Penny, by name, in the order of the file."""
    return _table()[0]


def suite_table() -> dict[str, list[str]]:
    """Every suite: a name for several benchmarks of the table."""
    return _table()[1]


def read_entry(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, not checked. Raises BadInput if there is none."""
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read as YAML ({' '.join(str(error).split())}); correct it.") from error
    if not isinstance(tree, dict):
        raise BadInput(f"{path} holds no mapping of keys; write a benchmark's keys, such as problems and rewards.")
    return tree


def read_benchmark(path: Path) -> Benchmark:
    """A user's benchmark: a YAML file with the keys of `Benchmark`; unless it has a name, its path is the name.

    A path of a JSONL file or of a reward in it is found from the working folder, or else from the YAML file's.

    Raises:
        BadInput: the file cannot be read, or a key or value is not allowed.
    """
    tree = {"name": str(path), **read_entry(path)}
    anchor_paths(tree, path.parent)
    return check_benchmark(tree, str(path))


def check_benchmark(tree: dict[str, Any], where: str) -> Benchmark:
    """The benchmark that a mapping of keys describes. Raises BadInput for the first key or value at fault."""
    try:
        # Strict, so that `yes` is no number; by way of JSON, so that lists are accepted where tuples are meant.
        return Benchmark.model_validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as failure:
        errors = failure.errors()
        error = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
        key = ".".join(map(str, error["loc"]))
        if error["type"] == "missing":
            raise BadInput(f"{where}: {key} is missing; add it.") from None
        if error["type"] == "extra_forbidden":
            raise BadInput(f"{where}: {key} is no key of a benchmark; {_nearest(error['loc'])}") from None
        raise BadInput(f"{where}: {key}: {error['msg']}, not {error['input']!r}; correct it.") from None


def _nearest(location: tuple[int | str, ...]) -> str:
    section = Benchmark if len(location) == 1 else Benchmark.model_fields[str(location[0])].annotation
    known = list(getattr(section, "model_fields", {}))
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}."


@functools.cache
def _table() -> tuple[dict[str, Benchmark], dict[str, list[str]]]:
    tree = read_entry(TABLE)
    entries = {name: check_benchmark({"name": name, **keys}, TABLE.name) for name, keys in tree["benchmarks"].items()}
    return entries, tree["suites"]
