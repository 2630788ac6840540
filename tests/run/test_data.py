"""The problems of a run are compared with those it was begun with, row by row."""

import pytest

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.problems.problem import Problem
from rl.run.data import changed_data, hash_sets, refuse_changed_data, write_rows
from rl.run.folder import RunFolder
from rl.run.manifest import write_manifest


def problems(*texts: str) -> list[Problem]:
    return [Problem(f"p/{number}", {"question": text}) for number, text in enumerate(texts)]


@pytest.fixture
def begun(folder: RunFolder, recipe: Recipe) -> RunFolder:
    sets = {"training": problems("a", "b", "c"), "held_out": problems("x", "y")}
    write_manifest(folder, recipe, {"data": hash_sets(sets)})
    write_rows(folder, sets)
    return folder


@pytest.mark.parametrize(
    ("training", "held_out", "said"),
    [
        ("abc", "xy", None),
        ("abC", "xy", "1 of 3 rows of the training problems differ"),
        ("abcd", "xy", "1 of 4 rows of the training problems differ"),
        ("ab", "xy", "1 of 2 rows of the training problems differ"),
        ("ABC", "xY", "3 of 3 rows of the training problems differ and 1 of 2 rows of the held-out problems differ"),
        ("abc", "y", "2 of 2 rows of the held-out problems differ"),  # there were two, and p/0 is another one now
    ],
)
def test_the_rows_that_differ_are_counted(begun: RunFolder, training: str, held_out: str, said: str | None) -> None:
    sets = {"training": problems(*training), "held_out": problems(*held_out)}
    different = changed_data(begun, sets)
    if said is None:
        assert different == {}
        refuse_changed_data(begun, sets, different)
        return
    with pytest.raises(BadInput) as caught:
        refuse_changed_data(begun, sets, different)
    assert f"since it was last trained: {said}; bring the old data back" in str(caught.value)
    assert ("not measured on the same questions" in str(caught.value)) == ("held_out" in different)


def test_another_order_is_another_set(begun: RunFolder) -> None:
    swapped = {"training": problems("a", "b", "c")[::-1], "held_out": problems("x", "y")}
    assert changed_data(begun, swapped) == {"training": 0}
    with pytest.raises(BadInput, match="the training problems are in another order"):
        refuse_changed_data(begun, swapped, {"training": 0})


def test_a_run_from_before_rows_were_kept_only_says_that_they_differ(begun: RunFolder) -> None:
    begun.problems.unlink()
    sets = {"training": problems("a"), "held_out": problems("x", "y")}
    assert changed_data(begun, sets) == {"training": None}
    with pytest.raises(BadInput, match="trained: the training problems differ; bring"):
        refuse_changed_data(begun, sets, {"training": None})


def test_what_was_accepted_is_the_data_of_the_run_from_then_on(begun: RunFolder, recipe: Recipe) -> None:
    old = {"training": problems("a", "b", "c"), "held_out": problems("x", "y")}
    new = {"training": problems("d"), "held_out": problems("x", "y")}
    write_manifest(begun, recipe, {"data": hash_sets(new)})
    write_rows(begun, new)
    assert changed_data(begun, new) == {} and changed_data(begun, old) == {"training": 3}
    write_manifest(begun, recipe, {"data": hash_sets(old)})  # and back
    assert changed_data(begun, old) == {}
