"""A run keeps the precision that it was begun with."""

import json
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.rollout import precision as machine
from rl.run import precision
from rl.run.folder import RunFolder
from rl.run.precision import in_words, recorded_precision, settle_precision

FAST, SLOW = {"float32": 1.93e11, "bfloat16": 9.07e11}, {"float32": 1.24e11, "bfloat16": 1.1e9}


def on(rates: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (machine, precision):
        monkeypatch.setattr(module, "product_rates", lambda: rates)


def recipe(model: str = "auto", rollout: str = "auto", **options: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "a",
            "model": {"name": "tiny", "dtype": model},
            "problems": {"source": "arithmetic"},
            "rewards": {"functions": {"number": 1.0}},
            "rollout": {"dtype": rollout, "device": "cpu", **options},
        }
    )


def settled(asked: Recipe, folder: RunFolder) -> tuple[str, str, dict[str, Any]]:
    chosen, facts = settle_precision(asked, folder)
    return chosen.model.dtype, chosen.rollout.dtype, facts


def test_a_new_run_takes_what_the_machine_is_fast_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on(FAST, monkeypatch)
    learner, engine, facts = settled(recipe(), RunFolder(tmp_path))
    assert (learner, engine) == ("bfloat16", "bfloat16")
    assert facts["gflops"] == {"float32": 193.0, "bfloat16": 907.0}
    assert in_words(facts) == (
        "precision: learner bfloat16, engine bfloat16 (GFLOP/s of this processor: float32 193, bfloat16 907)"
    )
    on(SLOW, monkeypatch)
    assert settled(recipe(), RunFolder(tmp_path))[:2] == ("float32", "float32")
    assert settled(recipe("float16"), RunFolder(tmp_path))[:2] == ("float16", "float16")
    assert settled(recipe("float16", "float32"), RunFolder(tmp_path))[:2] == ("float16", "float32")


@pytest.mark.parametrize("first, then", [(FAST, SLOW), (SLOW, FAST)])
def test_a_resumed_run_keeps_it_on_another_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: dict[str, float], then: dict[str, float]
) -> None:
    on(first, monkeypatch)
    folder = RunFolder(tmp_path)
    *before, facts = settled(recipe(), folder)
    folder.manifest.write_text(json.dumps({"precision": facts}))
    on(then, monkeypatch)
    *after, again = settled(recipe(), folder)
    assert (after, again) == (before, facts)


def test_a_run_of_an_earlier_release_was_float32_on_a_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on(FAST, monkeypatch)
    folder = RunFolder(tmp_path)
    folder.manifest.write_text(json.dumps({"hardware": {"gpus": []}}))
    assert settled(recipe(), folder)[:2] == ("float32", "float32")
    assert settled(recipe("bfloat16"), folder)[:2] == ("bfloat16", "bfloat16")
    folder.manifest.write_text(json.dumps({"hardware": {"gpus": [{"name": "L4"}]}}))
    assert settled(recipe(), folder)[:2] == ("bfloat16", "bfloat16")


def test_a_server_has_a_precision_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on(FAST, monkeypatch)
    learner, engine, facts = settled(recipe(engine="server", server_url="http://a/v1"), RunFolder(tmp_path))
    assert (learner, engine, facts["engine"]) == ("bfloat16", "auto", None)
    assert "engine as its server was started" in in_words(facts)


@pytest.mark.parametrize("wrong", [{"learner": "float8", "engine": None, "device": "cpu"}, {"learner": "float32"}])
def test_a_precision_that_does_not_exist_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    folder = RunFolder(tmp_path)
    folder.manifest.write_text(json.dumps({"precision": wrong}))
    with pytest.raises(BadInput, match="damaged: it has a precision that does not exist"):
        recorded_precision(recipe(), folder)
