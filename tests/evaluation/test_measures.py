"""What is said of answers, with numbers worked out by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.evaluation import folder
from rl.evaluation.statistics.estimators import bootstrap_mean, wilson
from rl.evaluation.statistics.measures import by_problem, measures, pass_at_1
from rl.run.evaluations import EvaluationRow

NAMES = ["n", "pass@1", "ci95", "stderr", "unanswered", "partly_answered", "missing", "pass@1_all", "ci95_all"]
NAMES += ["pass@k", "maj@k", "samples"]
NAMES += ["mean_length", "truncated", "unparseable", "ungradable", "verdicts"]


def row(problem: str, solved: bool | None, sample: int = 0, **fields: Any) -> EvaluationRow:
    verdict = {True: "correct", False: "wrong", None: "ungradable"}[solved]
    known = {"finish_reason": "stop", "reward": None, "token_ids": [], "logprobs": [], "verdict": verdict, **fields}
    return EvaluationRow(problem_id=problem, sample=sample, prompt="", completion="", solved=solved, **known)


def group(problem: str, *solved: bool | None, classes: Sequence[int | None] | None = None) -> list[EvaluationRow]:
    """Several answers to a problem; `classes`: their votes."""
    votes = classes or [None] * len(solved)
    pairs = zip(solved, votes, strict=True)
    return [row(problem, verdict, g, answer_class=vote) for g, (verdict, vote) in enumerate(pairs)]


def test_the_fields_are_those_of_the_folder() -> None:
    said = measures(group("a", True), majority=True)
    assert list(said) == NAMES
    assert all(f"`{name}`" in (folder.__doc__ or "") for name in NAMES)


def test_one_sample_a_problem() -> None:
    said = measures([*group("a", True), *group("b", False), *group("c", True), *group("d", True)], majority=True)
    assert (said["n"], said["samples"], said["pass@1"]) == (4, 4, 0.75)
    assert said["ci95"] == list(wilson(3, 4))
    assert said["ci95"] == pytest.approx([0.3006418423, 0.9544127392])
    assert said["stderr"] == pytest.approx(0.25)  # s = 0.5, over sqrt(4)
    assert said["pass@k"] == {"1": 0.75}
    assert said["maj@k"] is None


def test_several_samples_a_problem() -> None:
    # Rates 1/4, 2/2 (two ungradable) and 0/3: each problem weighs the same, and k ends at 2.
    rows = [*group("a", True, False, False, False), *group("b", None, True, True, None), *group("c", *[False] * 3)]
    said = measures(rows, majority=False)
    assert (said["n"], said["samples"]) == (3, 11)
    assert said["pass@1"] == pytest.approx((0.25 + 1 + 0) / 3)
    assert said["ci95"] == list(bootstrap_mean([0.25, 1.0, 0.0]))
    assert said["pass@k"] == pytest.approx({"1": 1.25 / 3, "2": (0.5 + 1 + 0) / 3})
    assert said["maj@k"] is None
    assert said["ungradable"] == pytest.approx(2 / 11)


@pytest.mark.parametrize(
    ("samples", "ks"),
    [
        (1, "1"),
        (2, "1 2"),
        (3, "1 2 3"),
        (6, "1 2 4 5 6"),
        (8, "1 2 4 5 8"),
        (10, "1 2 4 5 8 10"),
        (64, "1 2 4 5 8 10 16 32 64"),
        (100, "1 2 4 5 8 10 16 32 64 100"),
        (200, "1 2 4 5 8 10 16 32 64 100 128 200"),
    ],
)
def test_k_doubles_and_has_what_papers_report(samples: int, ks: str) -> None:
    said = measures(group("a", *[True] * samples, classes=[0] * samples), majority=True)
    assert list(said["pass@k"]) == ks.split()
    assert said["maj@k"] is None if samples == 1 else list(said["maj@k"]) == ks.split()


def test_pass_at_10_of_a_hundred_samples() -> None:
    # One right of 100: ten drawn ones have it with a chance of 10 / 100. Two right: 1 - (90 * 89) / (100 * 99).
    rows = [*group("a", True, *[False] * 99), *group("b", True, True, *[False] * 98)]
    assert measures(rows, majority=False)["pass@k"]["10"] == pytest.approx((0.1 + 1 - 90 * 89 / (100 * 99)) / 2)


def test_missing_answers_are_counted_and_count_as_not_solved() -> None:
    said = measures([*group("a", True), *group("b", True)], majority=True, problems=4)
    assert (said["n"], said["pass@1"]) == (2, 1.0)
    assert (said["unanswered"], said["partly_answered"], said["missing"]) == (2, 0, 2)
    assert (said["pass@1_all"], said["ci95_all"]) == (0.5, list(wilson(2, 4)))


def test_problems_with_fewer_samples_than_most() -> None:
    rows = [*group("a", True, True), *group("b", True, False), *group("c", True)]
    said = measures(rows, majority=True, problems=4)  # d has none
    assert (said["unanswered"], said["partly_answered"], said["missing"]) == (1, 1, 3)
    assert said["pass@1"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert said["pass@1_all"] == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    # Sixteen were wanted of each: two right of 16, one of 16, one of 16, none.
    assert measures(rows, True, problems=4, num_samples=16)["pass@1_all"] == pytest.approx(4 / 64)


def test_a_problem_with_more_answers_than_others_makes_nothing_missing() -> None:
    said = measures([*group("a", True, False), *group("b", True), *group("c", True)], majority=True)
    assert said["missing"] == 0 and said["pass@1_all"] == said["pass@1"]


def test_an_ungradable_answer_is_there_and_in_no_score() -> None:
    said = measures([*group("a", True), *group("b", None)], majority=True, problems=3)
    assert (said["n"], said["unanswered"], said["missing"]) == (1, 1, 1)
    assert said["pass@1_all"] == 0.5  # of a and the missing one


def test_votes_are_counted_by_class() -> None:
    # a: 3 right of one class, 2 wrong of another. b: the wrong ones agree, the right one stands alone, two are silent.
    a = group("a", True, False, True, False, True, classes=[0, 1, 0, 1, 0])
    b = group("b", False, True, False, False, False, classes=[4, 7, 4, None, None])
    said = measures([*a, *b], majority=True)
    assert said["maj@k"]["5"] == pytest.approx((1 + 0) / 2)
    assert said["maj@k"]["1"] == pytest.approx(said["pass@1"])
    # Pairs: a has 3 right-right, 6 ties, 1 wrong-wrong; b's right one meets 2 wrong ones (ties) and 2 silent ones.
    assert said["maj@k"]["2"] == pytest.approx(((3 + 3) / 10 + (1 + 2) / 10) / 2)


def test_ungradable_answers_have_no_vote() -> None:
    rows = group("a", True, None, None, True, False, classes=[0, 1, 1, 0, 1])
    assert measures(rows, majority=True)["maj@k"]["3"] == pytest.approx(1.0)


def test_a_class_that_the_grader_judged_both_ways_goes_with_most() -> None:
    right = group("a", True, True, False, classes=[0, 0, 0])
    wrong = group("a", True, False, classes=[0, 0])  # no more right than wrong
    assert measures(right, majority=True)["maj@k"]["3"] == pytest.approx(1.0)
    assert measures(wrong, majority=True)["maj@k"]["2"] == 0.0


def test_lengths_shares_and_verdicts_are_of_all_answers() -> None:
    rows = [
        row("a", True, num_tokens=10),
        row("b", False, num_tokens=30, finish_reason="length"),
        row("c", False, verdict="unparseable", finish_reason="length", token_ids=[1, 2]),  # of an older evaluation
        row("d", None, finish_reason=None),
    ]
    said = measures(rows, majority=True)
    assert said["mean_length"] == (10 + 30 + 2) / 3
    assert (said["truncated"], said["unparseable"], said["ungradable"]) == (2 / 3, 0.25, 0.25)
    assert said["verdicts"] == {"correct": 1, "wrong": 1, "unparseable": 1, "ungradable": 1}
    unknown = measures([row("d", True, finish_reason=None)], majority=True)
    assert (unknown["mean_length"], unknown["truncated"]) == (None, None)


@pytest.mark.parametrize("rows", [[], [row("a", None), row("b", None)]])
def test_nothing_graded_is_nothing_known(rows: list[EvaluationRow]) -> None:
    said = measures(rows, majority=True)
    assert (said["n"], said["pass@1"], said["ci95"], said["stderr"]) == (0, 0.0, [0.0, 1.0], None)
    assert (said["pass@k"], said["maj@k"], said["samples"]) == ({}, None, len(rows))


def test_problems_keep_their_order_and_lose_ungradable_samples() -> None:
    rows = [*group("b", True, None, False), *group("c", None), *group("a", False)]
    assert by_problem(rows) == {"b": [True, False], "a": [False]}
    assert list(by_problem(rows)) == ["b", "a"]


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_the_interval_contains_pass_at_1(solved: list[list[bool]]) -> None:
    mean, (low, high) = pass_at_1(solved)
    assert mean == pytest.approx(sum(sum(group) / len(group) for group in solved) / len(solved))
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1
