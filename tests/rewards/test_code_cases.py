"""The second file of hostile programs in both tiers of the sandbox, with bait that stays untouched.

Needs code_attacks_2.jsonl in the folder PENNY_CASES.
"""

import os
from pathlib import Path

import pytest

from benchmarks.attacks import Row, bait, disagreeing, grade, rows_for
from rewards.errors import BadInput
from rewards.sandbox import Sandbox

NAME = "code_attacks_2"
# In the tier without namespaces the root directory cannot be opened, which is more than the row asks for.
KNOWN = {"namespaces": set(), "landlock": {"open_by_descriptor_of_a_parent"}}


def tried(tier: str, tags: set[str], folder: Path) -> list[Row]:
    """The rows with one of these tags, graded in a tier; all, if there are none."""
    try:
        Sandbox(tier).close()  # type: ignore[arg-type]
    except BadInput as error:
        pytest.skip(str(error))
    if not os.path.isfile(os.path.join(os.environ.get("PENNY_CASES", ""), f"{NAME}.jsonl")):
        pytest.skip("PENNY_CASES names no folder with the cases")
    with bait() as laid_out:
        rows = [row for row in rows_for(tier, NAME, laid_out.pid) if not tags or tags & set(row["tags"])]
        graded, _ = grade(tier, rows, str(folder))
        assert laid_out.touched() == []
    return graded


@pytest.mark.parametrize(("tier", "count"), [("namespaces", 13), ("landlock", 18)])
def test_nothing_of_the_host_is_reached(tier: str, count: int, tmp_path: Path) -> None:
    graded = tried(tier, {"host", "fd"}, tmp_path)
    assert len(graded) == count
    assert disagreeing(graded).keys() <= KNOWN[tier], disagreeing(graded)


@pytest.mark.slow
@pytest.mark.parametrize(("tier", "count"), [("namespaces", 93), ("landlock", 101)])
def test_all_programs_end_as_they_should(tier: str, count: int, tmp_path: Path) -> None:
    graded = tried(tier, set(), tmp_path)
    assert len(graded) == count
    assert disagreeing(graded).keys() == KNOWN[tier], disagreeing(graded)
