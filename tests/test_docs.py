"""The documentation is true: its commands run, its files are there, its keys exist.

README.md and the guides are read block by block, in order, in an empty folder of their own:

- a block that names a file (```yaml my.yaml) is written to that file;
- a ```sh block is run line by line (`RULES` says how), and must exit with 0, or with what `# exits with N` says;
- a ```text block must be the output of the commands before it, `...` standing for lines left out.

Training is made small by a fixed rule, the same for every command: see `penny_train`.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import rl
from rl.cli import app
from rl.config.recipe import Recipe
from rl.config.recipe_file import RECIPES, list_recipes, load_recipe
from rl.config.yaml_tree import known_keys
from rl.pipelines.pipeline_file import PIPELINES, is_pipeline_file, load_pipeline

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "recipes" / "README.md"]
LONGEST = 150  # lines of a guide
FENCE = re.compile(r"^```(\w*) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = [
    "model.name=tiny",
    "rollout.engine=transformers",
    "rollout.device=cpu",
    "optimizer.max_steps=2",
    "evaluation.size=2",
    "run.min_gpu_memory_gib=null",
]
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

Outcome = tuple[int, str]  # exit code, and everything printed


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models of the aliases are prepared, once for all pages."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands in for the data sets of the hub."""
    folder = tmp_path_factory.mktemp("data")
    for source, name in (("gsm8k", "gsm8k_test"), ("math", "math500")):
        shutil.copy(RECIPES / "smoke" / f"{source}.jsonl", folder / f"{name}.jsonl")
    return folder


@pytest.mark.slow
@by_page
def test_every_command_runs(
    page: Path, cache: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENNY_CACHE", str(cache))
    monkeypatch.setenv("PENNY_DATA", str(data))
    printed = ""
    for language, name, content in FENCE.findall(page.read_text(encoding="utf-8")):
        if name:
            Path(name).write_text(content, encoding="utf-8")
        elif language == "sh":
            printed = "".join(run_line(line, monkeypatch) for line in content.splitlines())
        elif language == "text":
            for line in content.splitlines():
                assert line == "..." or line in printed.splitlines(), f"{page.name} promises {line!r}, not\n{printed}"
        elif language == "python":
            compile(content, page.name, "exec")  # `test_names_of_the_api_exist` looks at its names
        else:
            assert language == "", f"{page.name} has a block of {language} that is never used: name its file"


def run_line(line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run one line of a ```sh block by the rule of its program; returns what it printed."""
    command, _, comment = line.partition("  # ")
    expected = re.fullmatch(r"exits with (\d+)", comment)
    words = shlex.split(command)
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # a variable for this command alone
        words = words[1:]
    program, arguments = " ".join(words[:2]), words[2:]
    rule = next((rule for start, rule in RULES.items() if f"{program} ".startswith(f"{start} ")), None)
    assert rule, f"no rule for {line!r}: use a program of RULES, or add one"
    with monkeypatch.context() as patch:
        code, printed = rule(words if rule in (shell, torchrun, make) else arguments, patch)
    assert code == int(expected[1] if expected else 0), f"{line!r} exited with {code}:\n{printed}"
    return printed


def penny(arguments: list[str], _: pytest.MonkeyPatch) -> Outcome:
    """Run `penny` as it stands, in this process: that saves the imports."""
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, result.output


def penny_train(arguments: list[str], patch: pytest.MonkeyPatch) -> Outcome:
    """Train for two steps at most: `--smoke` and `SMALL` are added, unless a run is resumed.

    A recipe for a GPU is only checked, by `--dry-run` with the same, unless the documentation itself says `--smoke`.
    """
    if "--resume" in arguments:
        return penny(["train", *arguments], patch)
    needs_gpu = arguments[0] in {recipe.name for recipe in list_recipes() if recipe.run.min_gpu_memory_gib}
    small = ["--smoke", *SMALL] + (["--dry-run"] if needs_gpu and "--smoke" not in arguments else [])
    return penny(["train", *arguments, *small], patch)


def penny_eval(arguments: list[str], patch: pytest.MonkeyPatch) -> Outcome:
    """Evaluate two problems with the transformers engine, and `tiny` in place of `smollm2`."""
    small = ["tiny" if argument == "smollm2" else argument for argument in arguments]
    return penny(["eval", *small, "--engine", "transformers", "--limit", "2"], patch)


def penny_plan(arguments: list[str], patch: pytest.MonkeyPatch) -> Outcome:
    """Plan with the smoke settings, `tiny` and the transformers engine; of a pipeline with r1-mini's own length."""
    if is_pipeline_file(arguments[0]):
        small = ["defaults.rollout.engine=transformers", "defaults.rollout.max_completion_length=48"]
        return penny(["plan", *arguments, "--smoke", *small], patch)
    return penny(["plan", *arguments, "--smoke", "model.name=tiny", "rollout.engine=transformers"], patch)


def penny_run(arguments: list[str], _: pytest.MonkeyPatch) -> Outcome:
    """Check a pipeline with its smoke settings: tests of their own run the stages."""
    asked = [argument for argument in arguments if argument != "--dry-run"]
    return penny(["run", *asked, "--smoke", "--dry-run"], _)


def penny_difficulty(arguments: list[str], _: pytest.MonkeyPatch) -> Outcome:
    """Measure with the recipe's smoke settings and the transformers engine."""
    return penny(["difficulty", *arguments, "--smoke", "rollout.engine=transformers"], _)


def torchrun(words: list[str], patch: pytest.MonkeyPatch) -> Outcome:
    """Check what each rank would run by a dry run, as one of so many."""
    patch.setenv("WORLD_SIZE", words[words.index("--nproc_per_node") + 1])
    return penny_train([*words[words.index("train") + 1 :], "--dry-run"], patch)


def make(words: list[str], _: pytest.MonkeyPatch) -> Outcome:
    """Let make say what it would do: the target exists, and so does what it needs."""
    return shell(["make", "-C", str(ROOT), "-n", *words[1:]], _)


def shell(words: list[str], _: pytest.MonkeyPatch) -> Outcome:
    """Run a program as it stands, with this Python's folder first in the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PATH": path}, timeout=60)
    return done.returncode, done.stdout + done.stderr


def activate(_: list[str], __: pytest.MonkeyPatch) -> Outcome:
    """Nothing to do: this process is in the environment already."""
    return 0, ""


RULES: dict[str, Callable[[list[str], pytest.MonkeyPatch], Outcome]] = {
    "penny train": penny_train,
    "penny eval": penny_eval,
    "penny plan": penny_plan,
    "penny run": penny_run,
    "penny difficulty": penny_difficulty,
    "penny export": lambda arguments, patch: penny(["export", *arguments], patch),
    "penny price": lambda arguments, patch: penny(["price", *arguments], patch),
    "penny chat": lambda arguments, patch: penny(["chat", *arguments], patch),
    "penny benchmarks": lambda arguments, patch: penny(["benchmarks", *arguments], patch),
    "penny compare": lambda arguments, patch: penny(["compare", *arguments], patch),
    "penny results": lambda arguments, patch: penny(["results", *arguments], patch),
    "penny recipes": lambda arguments, patch: penny(["recipes", *arguments], patch),
    "penny samples": lambda arguments, patch: penny(["samples", *arguments], patch),
    "penny report": lambda arguments, patch: penny(["report", *arguments], patch),
    "penny regrade": lambda arguments, patch: penny(["regrade", *arguments], patch),
    "penny reward": lambda arguments, patch: penny(["reward", *arguments], patch),
    "penny doctor": lambda arguments, patch: penny(["doctor", *arguments], patch),
    "penny grade": lambda arguments, patch: penny(["grade", *arguments], patch),
    "torchrun": torchrun,
    "make": make,
    "python": shell,
    "source .venv/bin/activate": activate,
}


@by_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@by_page
def test_names_of_the_api_exist(page: Path) -> None:
    """What the pages write as `rl.name` is a public name, or a module."""
    for name in re.findall(r"(?<![\w./])rl\.([A-Za-z_]+)\b", page.read_text(encoding="utf-8")):
        assert name in rl.__all__ or find_spec(f"rl.{name}"), f"{page.name} names rl.{name}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "python.md"], ids=lambda page: page.name)
def test_named_keys_exist(page: Path) -> None:
    """Whatever looks like `section.key` or `section.key=value` in running text is a key of a recipe.

    In the page of the Python API `run` is an object.
    """
    keys = set(known_keys(Recipe))
    sections = "|".join(sorted({key.split(".")[0] for key in keys if "." in key}))
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for key in re.findall(rf"`((?:{sections})\.[a-z_.]+)\b[^`/]*`", text):
        assert key in keys, f"{page.name} names {key}"


def test_guides_are_short() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert len(page.read_text(encoding="utf-8").splitlines()) < LONGEST, page.name


def test_readme_lists_every_recipe_with_its_model_and_hardware() -> None:
    rows = {line.split("|")[1].strip(" `"): line for line in readme().splitlines() if line.startswith("| `")}
    pipelines = {path.stem for path in PIPELINES.glob("*.yaml")}
    assert rows.keys() == {path.stem for path in RECIPES.glob("*.yaml")} | pipelines
    for name in pipelines:
        pipeline = load_pipeline(name)
        memory = pipeline.min_gpu_memory_gib
        assert memory is None or f"{memory:g} GiB" in rows[name]
        assert ("not yet run" in rows[name]) == pipeline.status.startswith("not yet run")
    for name in rows.keys() - pipelines:
        row = rows[name]
        recipe = load_recipe(name)
        memory = recipe.run.min_gpu_memory_gib
        assert memory is None or f"{memory:g} GiB" in row
        assert recipe.model.name == "smollm2" or f"| {recipe.model.name.split('/')[1]} |" in row
        assert ("not yet run" in row) == ("GPU" in recipe.status and recipe.status.startswith("not yet run"))


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_examples_of_yaml_in_the_docs_are_whole_recipes() -> None:
    """A recipe in a guide uses no key twice and is named like its file."""
    for page in PAGES:
        for language, name, content in FENCE.findall(page.read_text(encoding="utf-8")):
            if language == "yaml":
                assert yaml.safe_load(content)["name"] == Path(name).stem


def test_the_ci_script_calls_targets_that_exist() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
    targets = re.findall(r"^stage make (\w+)$", script, re.MULTILINE)
    assert targets[-1] == "test" and {"install", "check", "quickstart"} <= set(targets)
    for target in targets:
        subprocess.run(["make", "-C", ROOT, "-n", target], check=True, capture_output=True)
    band = load_recipe("quickstart").evaluation.band
    assert band and band.min_gain == 0.35
