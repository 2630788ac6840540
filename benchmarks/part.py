"""How a part of the benchmark is run: its command line, its measurements in processes of their own, its two files."""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import machine, machine_text
from rewards.errors import BadInput
from rl.base import atomic
from rl.base.errors import RunStopped
from rl.run.loading import LIBRARIES, loading
from rl.run.manifest import PROJECT

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """One part: `run` measures with the command line's options, `markdown` shows what it returned.

    `title` heads the report, and `name` names its two files.
    """

    name: str
    title: str
    options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], dict[str, Any]]
    markdown: Callable[[Results], Iterable[str]]


class ChildFailed(Exception):
    """A process that measured ended with this exit code; it has said on stderr why."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a measurement ended with exit code {code}")
        self.code = code


def run_part(part: Part, arguments: Sequence[str] | None = None) -> int:
    """Measure a part, print its Markdown, and write `NAME.md` and `NAME.json`; returns the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{part.name}", description=part.title)
    parser.add_argument("-o", "--output", type=Path, default=Path("bench-results"), help="folder (bench-results)")
    part.options(parser)
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        output = writable(options.output)
        facts = machine()
        sizes = {name: value for name, value in vars(options).items() if name != "output"}
        results = {"machine": facts, "options": sizes, **part.run(options)}
    except (BadInput, RunStopped) as error:
        return refused(error)
    except ChildFailed as failure:
        return failure.code
    results["seconds"] = time.perf_counter() - started
    text = "\n\n".join(
        [
            f"# {part.title}",
            machine_text(facts),
            "Options: " + ", ".join(f"{name} {value}" for name, value in sizes.items()) + ".",
            *part.markdown(results),
            f"Time taken, starts included: {results['seconds']:.0f} s.",
        ]
    )
    atomic.write_json(output / f"{part.name}.json", results)
    atomic.write_text(output / f"{part.name}.md", text + "\n")
    print(text)
    return 0


def refused(error: BadInput | RunStopped) -> int:
    """Say what was wrong; the exit code, as of every command."""
    print(f"error: {error}", file=sys.stderr)
    return 2 if isinstance(error, BadInput) else 1


def writable(folder: Path) -> Path:
    """The folder, made if it is not there. Raises BadInput if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"The folder {folder} cannot be made ({error.strerror}); give another one with -o.") from error
    return folder


def fresh(function: Callable[..., Any], **arguments: Any) -> Any:
    """What a module's function returns in a fresh Python process, whose environment is this one's.

    Arguments and result travel as JSON. What the process prints goes to stderr. Raises ChildFailed.
    """
    shown = ", ".join(f"{name}={value}" for name, value in arguments.items() if not isinstance(value, list | dict))
    print(f"measuring: {function.__name__} {shown}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="penny-bench-") as folder:
        asked, answer = Path(folder) / "arguments.json", Path(folder) / "result.json"
        asked.write_text(json.dumps(arguments), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.part", address(function), str(asked), str(answer)]
        code = subprocess.run(command, cwd=PROJECT, stdout=sys.stderr, check=False).returncode
        if code:
            raise ChildFailed(code)
        return json.loads(answer.read_text(encoding="utf-8"))


def address(function: Callable[..., Any]) -> str:
    """`package.module:function`, also of the module that was started with `python -m`."""
    module = function.__module__
    if module == "__main__":
        module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    return f"{module}:{function.__name__}"


def child() -> int:
    """The inside of `fresh`."""
    target, asked, answer = sys.argv[1:]
    module, _, name = target.partition(":")
    try:
        with loading(LIBRARIES):
            function = getattr(importlib.import_module(module), name)
        result = function(**json.loads(Path(asked).read_text(encoding="utf-8")))
    except (BadInput, RunStopped) as error:
        return refused(error)
    # Not `atomic.write_json`: what is not finite must come back as it was.
    Path(answer).write_text(json.dumps(result), encoding="utf-8")
    return 0


def at_least_one(parser: ArgumentParser, **defaults: int) -> None:
    """Add options that are whole numbers from 1 on, by name (underscores become dashes) and default."""
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=positive, default=default, help=f"({default})")


def positive(text: str) -> int:
    """A whole number from 1 on; argparse shows what is wrong with another."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(child())
