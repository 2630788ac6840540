"""The files about the project say what is there: rooms, commands, links, versions."""

import re
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from rl.cli import app
from tests.test_imports import ROOMS

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["AGENTS.md", "CHANGELOG.md", "CONTRIBUTING.md"]


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text(page))
    assert targets
    assert [target for target in targets if not target.startswith("https://") and not (ROOT / target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    named = re.findall(r"`((?:rl|rewards|tests|docs|recipes|\.ci)/[a-z_/.0-9]*)`", text(page))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_named_commands_exist(page: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = re.findall(r"`(?:\.venv/bin/)?penny ([a-z]+)(?: ([a-z]+))?", text(page))
    assert [name for name, _ in named if name not in commands] == []
    for group, name in named:
        if name and hasattr(commands[group], "commands"):
            assert name in commands[group].commands


@pytest.mark.parametrize("page", PAGES)
def test_named_targets_of_make_exist(page: str) -> None:
    targets = re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE)
    assert [
        name for name in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", text(page)) if not {*name} & {*targets}
    ] == []


def test_the_rooms_are_in_their_order() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \|", text("AGENTS.md"), re.MULTILINE)
    assert [*rows, "cli"] == ROOMS


def test_the_markers_are_those_of_pytest() -> None:
    options = tomllib.loads(text("pyproject.toml"))["tool"]["pytest"]["ini_options"]
    rows = re.findall(r"^\| `([a-z]+)` \|", text("CONTRIBUTING.md"), re.MULTILINE)
    assert sorted(rows) == sorted(marker.partition(":")[0] for marker in options["markers"])


def test_the_page_on_working_in_the_code_is_short() -> None:
    assert len(text("AGENTS.md").splitlines()) <= 80


def test_the_citation_is_of_this_version_and_licence() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    cited = yaml.safe_load(text("CITATION.cff"))
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
