"""What a wheel of Penny holds, and that Penny works from one in a folder where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

from rl.config.listed import RECIPES, pipeline_names, recipe_names, recipes_folder

ROOT = Path(__file__).resolve().parents[1]
PACKED = {
    "rl": "rl",
    "rewards": "rewards",
    "recipes": "rl/recipes",
}  # folders of the checkout, and what they are called
NOT_PACKED = {"recipes/README.md"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built without a network from a copy of the checkout: what an earlier build left would come into it."""
    if Version(metadata.version("setuptools")) < Version(
        "77"
    ):  # not imported: it would replace distutils in this process
        pytest.skip("this environment has no setuptools that reads pyproject.toml")
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKED:
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "copy")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder, folder / "copy"], check=True)
    [built] = folder.glob("*.whl")
    return built


def test_every_file_of_the_packages_is_in_the_wheel_and_no_other(wheel: Path) -> None:
    paths = [path for name in PACKED for path in (ROOT / name).rglob("*") if path.is_file()]
    files = {path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts} - NOT_PACKED
    expected = {PACKED[file.split("/")[0]] + "/" + file.partition("/")[2] for file in files}
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert found == expected
    for needed in ("rl/py.typed", "rewards/py.typed", "rl/report/style.css", "rl/recipes/smoke/math.jsonl"):
        assert needed in found


def test_the_wheel_brings_the_license(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        [packed] = [name for name in opened.namelist() if name.endswith("/LICENSE")]
        assert opened.read(packed) == (ROOT / "LICENSE").read_bytes()
        [described] = [name for name in opened.namelist() if name.endswith("/METADATA")]
        assert "\nLicense-Expression: Apache-2.0\n" in opened.read(described).decode()


def test_recipes_lie_in_an_installed_package_and_beside_that_of_a_checkout(tmp_path: Path) -> None:
    (tmp_path / "rl").mkdir()
    (tmp_path / "recipes").mkdir()
    assert recipes_folder(tmp_path / "rl") == tmp_path / "recipes"
    (tmp_path / "rl" / "recipes").mkdir()
    assert recipes_folder(tmp_path / "rl") == tmp_path / "rl" / "recipes"
    assert RECIPES == ROOT / "recipes"


class Installed:
    """An environment with the wheel and the libraries of this one, and an empty folder to use it in."""

    def __init__(self, wheel: Path, place: Path) -> None:
        self.folder, self.environment = place / "empty", place / "venv"
        self.folder.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.environment], check=True)
        [self.packages] = self.environment.glob("lib/python*/site-packages")
        # A path in a .pth file is not read for .pth files of its own, so an editable checkout does not come with it.
        (self.packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
        install = [sys.executable, "-m", "pip", "--python", self.environment / "bin" / "python", "install", "--quiet"]
        subprocess.run([*install, "--no-deps", "--no-compile", wheel], check=True)

    def run(self, *command: str, **variables: str) -> str:
        """Run a command of the environment in the empty folder, and return what it prints."""
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON", "PENNY_D"))
        }
        own |= {"PYTHONDONTWRITEBYTECODE": "1", "HOME": str(self.folder), "COLUMNS": "200", **variables}
        own |= {"PENNY_CACHE": os.environ.get("PENNY_CACHE") or str(Path("~/.cache/penny").expanduser())}
        own |= {"PATH": f"{self.environment / 'bin'}:{os.environ['PATH']}"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=own)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def files(self) -> dict[str, int]:
        """Return every file of the environment, and when it was written."""
        found = [path for path in self.environment.rglob("*") if path.is_file()]
        return {str(path): path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


@pytest.mark.slow
def test_the_checkout_is_out_of_reach(installed: Installed) -> None:
    printed = installed.run("python", "-c", "import rl, rewards; print(rl.__file__, rewards.__file__)")
    assert printed.split() == [str(installed.packages / name / "__init__.py") for name in ("rl", "rewards")]


@pytest.mark.slow
def test_lists_and_dry_runs(installed: Installed) -> None:
    assert [row["name"] for row in json.loads(installed.run("penny", "recipes", "--json"))] == [
        *recipe_names(),
        *pipeline_names(),
    ]
    listed = json.loads(installed.run("penny", "benchmarks", "--json"))["benchmarks"]
    assert {"gsm8k", "aime24"} <= {row["name"] for row in listed}
    assert installed.run("penny", "train", "quickstart", "--dry-run").split()[:2] == ["recipe", "quickstart"]
    assert "reinforce" in installed.run("penny", "run", "r1-mini", "--dry-run")


@pytest.mark.slow
def test_a_recipe_of_ones_own_and_one_with_packed_rows_train_and_write_nothing_beside_the_package(
    installed: Installed,
) -> None:
    before = installed.files()
    shutil.copy(installed.packages / "rl" / "recipes" / "quickstart.yaml", installed.folder / "my.yaml")
    for recipe in ("my.yaml", "gsm8k"):  # gsm8k's smoke rows come with the wheel
        run = installed.folder / f"run-{recipe}"
        ended = installed.run(
            *("penny", "train", recipe, "--smoke", "--json", "rollout.engine=transformers", f"run.dir={run}")
        )
        assert json.loads(ended.splitlines()[-1])["exit_code"] == 0
        manifest = json.loads((run / "manifest.json").read_text())
        assert manifest["versions"]["penny-rl"] == "0.1.0" and manifest["git"] is None
        (run / "report.html").unlink()
        installed.run("penny", "report", str(run))
        assert "font-family" in (run / "report.html").read_text()  # of style.css
    evaluated = ("--limit", "2", "--max-tokens", "8", "--engine", "transformers", "-o", "measured")
    installed.run("penny", "eval", "--model", "tiny", "--benchmark", "quickstart", *evaluated)
    assert "font-family" in (installed.folder / "measured" / "report.html").read_text()
    assert installed.files() == before


@pytest.mark.slow
def test_a_reward_from_a_template_passes_its_test(installed: Installed) -> None:
    installed.run("penny", "reward", "new", "mine")
    assert " passed" in installed.run("python", "-m", "pytest", "-q", "test_mine.py")


@pytest.mark.slow
def test_the_shell_completes(installed: Installed) -> None:
    installed.run("bash", "-c", "penny --install-completion; true")  # bash is known by being the parent
    assert "_PENNY_COMPLETE" in (installed.folder / ".bash_completions" / "penny.sh").read_text()
    asked = {"_PENNY_COMPLETE": "complete_bash", "COMP_WORDS": "penny train quick", "COMP_CWORD": "2"}
    assert installed.run("penny", **asked).split() == ["quickstart"]


@pytest.mark.slow
def test_the_installer_needs_no_checkout(installed: Installed) -> None:
    code = "from rl.base import install; print(install.penny_itself(), install.pinned('lowest', 'none')['torch'])"
    assert installed.run("python", "-c", code) == "[] torch==2.13.0\n"
    assert "--engine" in installed.run("python", "-m", "rl.base.install", "--help")
