"""Pass rates: kept by who was asked and what, and the band and the order that they give."""

from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.config.recipe import DifficultySection, Recipe
from rl.problems.difficulty import (
    DifficultyStore,
    Rate,
    asked_key,
    histogram,
    in_band,
    known_rates,
    problem_key,
)
from rl.problems.problem import Problem


def recipe(model: Path, **sections: dict[str, Any]) -> Recipe:
    base: dict[str, dict[str, Any]] = {
        "model": {"name": str(model)},
        "problems": {"source": "arithmetic", "size": 20},
        "rewards": {"functions": {"exact_number": 1.0}},
        "rollout": {},
        "optimizer": {},
    }
    return Recipe.model_validate({"name": "r"} | {name: keys | sections.get(name, {}) for name, keys in base.items()})


def test_rates_survive_and_the_better_measured_one_wins(tmp_path: Path) -> None:
    with DifficultyStore(tmp_path) as store:
        store.keep("a", {"p": Rate(1, 4), "q": Rate(0, 2)})
        store.keep("a", {"p": Rate(2, 2), "q": Rate(3, 8)})
        store.keep("b", {"p": Rate(1, 1)})
    with DifficultyStore(tmp_path) as store:
        assert store.rates("a") == {"p": Rate(1, 4), "q": Rate(3, 8)}
        assert store.rates("nobody") == {}


def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "difficulty.sqlite").write_text("not a database, but long enough to be looked at " * 50)
    with pytest.raises(BadInput, match="cannot be used"):
        DifficultyStore(tmp_path)


def test_who_is_asked_and_how_makes_another_asker(tiny_model: Path) -> None:
    plain = asked_key(recipe(tiny_model))
    assert plain == asked_key(recipe(tiny_model, optimizer={"learning_rate": 1.0}, problems={"size": 30}))
    others = [
        recipe(tiny_model, problems={"prompt": "{question}?"}),
        recipe(tiny_model, rollout={"temperature": 0.5}),
        recipe(tiny_model, rewards={"correct_above": 0.5}),
    ]
    assert len({plain, *map(asked_key, others)}) == 4


def test_a_problem_is_known_again_in_another_file_and_another_order() -> None:
    one = Problem("train/3", {"question": "2 + 3", "operands": [2, 3], "operators": ["+"]})
    other = Problem("test/9", {"question": "3 + 2", "operands": [3, 2], "operators": ["+"]})
    assert problem_key(one, "{question}") == problem_key(other, "{question}")


def test_known_rates_are_by_problem_id(tiny_model: Path, tmp_path: Path) -> None:
    problems = [Problem(f"p{n}", {"question": f"Q{n}"}) for n in range(3)]
    whole = recipe(tiny_model)
    with DifficultyStore(tmp_path) as store:
        store.keep(asked_key(whole), {problem_key(problems[1], "{question}"): Rate(1, 4)})
    assert known_rates(whole, problems, tmp_path) == {"p1": 0.25}


def test_the_band_leaves_out_the_easy_and_the_hopeless_and_keeps_the_unknown() -> None:
    problems = [Problem(name) for name in ("easy", "fit", "hopeless", "unknown")]
    rates = {"easy": 1.0, "fit": 0.5, "hopeless": 0.0}
    band = DifficultySection(min_pass_rate=0.1, max_pass_rate=0.9)
    assert [problem.id for problem in in_band(band, problems, rates)] == ["fit", "unknown"]
    assert in_band(DifficultySection(), problems, {}) == problems
    with pytest.raises(BadInput, match="run `penny difficulty`"):
        in_band(band, problems, {})
    with pytest.raises(BadInput, match="No training problem has a pass rate from 0.1 to 0.9"):
        in_band(band, problems[:1], {"easy": 1.0})


def test_the_histogram_counts_each_once() -> None:
    assert list(histogram([0.0, 0.1, 0.25, 0.26, 0.5, 0.75, 0.76, 1.0, 1.0]).values()) == [1, 2, 2, 1, 1, 2]
