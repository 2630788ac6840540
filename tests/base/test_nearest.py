"""The nearest name that exists, and sentences for folders that do not."""

from pathlib import Path

import pytest

from rl.base.nearest import meant, missing_folder, nearest, nearest_folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("quickstart-20261130-101010", "quickstart-20261201-090000", "r1-mini", "gsm8k-20261130-101010"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / ("pipeline.yaml" if name == "r1-mini" else "recipe.yaml")).touch()
    (tmp_path / "runs" / "quickstar").mkdir()  # nearer, but it holds nothing
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("quickstrt", ["quickstart", "gsm8k"], ["quickstart"]),
        ("GSM8k", ["quickstart", "gsm8k"], ["gsm8k"]),
        ("exact-number", ["exact_number", "math"], ["exact_number"]),
        ("count", ["countdown", "math"], ["countdown"]),
        ("zzz", ["countdown", "math"], []),
        ("ma", ["math"], ["math"]),
        ("x", ["exact_number"], []),  # one letter is like nothing
    ],
)
def test_the_nearest_word(word: str, known: list[str], expected: list[str]) -> None:
    assert nearest(word, known) == expected


def test_a_hint_names_the_nearest_or_all() -> None:
    assert meant("mth", ["math", "code"], "rewards") == "did you mean math?"
    assert meant("zzz", ["math", "code"], "rewards") == "the rewards are math, code."


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("runs/quickstrt", "runs/quickstart-20261201-090000"),  # the newest of the recipe
        ("runs/quickstart-20261130-101011", "runs/quickstart-20261130-101010"),
        ("runs/r1mini", "runs/r1-mini"),
        ("rums/gsm8k-20261130-101010", "runs/gsm8k-20261130-101010"),
        ("runs/gsm8/checkpoints/step-000010", "runs/gsm8k-20261130-101010"),
        ("gsm8k-20261130-101010", "runs/gsm8k-20261130-101010"),
    ],
)
def test_the_nearest_run(runs: Path, path: str, expected: str) -> None:
    assert str(nearest_folder(Path(path))) == expected
    assert missing_folder(Path(path)) == f"{path} does not exist; the nearest is {expected}"


def test_where_none_is_near_all_are_named(runs: Path) -> None:
    assert missing_folder(Path("runs/zzz")) == (
        "runs/zzz does not exist; runs has gsm8k-20261130-101010, quickstart-20261130-101010, "
        "quickstart-20261201-090000, r1-mini"
    )
    (runs / "aaa").mkdir()
    (runs / "aaa" / "recipe.yaml").touch()
    assert missing_folder(Path("runs/zzz")).endswith("r1-mini and 1 more")


def test_where_there_is_nothing_the_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert missing_folder(Path("runs/x")) == f"runs/x does not exist (looked in {tmp_path})"
