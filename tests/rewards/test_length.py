from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl.rewards import get_cosine_scaled_reward, get_soft_overlong_punishment

from rewards.errors import BadInput
from rewards.length import cosine_length, length_penalty, soft_overlong_punishment


def ids(*lengths: int) -> list[list[int]]:
    return [[0] * length for length in lengths]


def cosine(lengths: list[int], solved: list[bool | None], **options: float) -> list[float | None]:
    return cosine_length([""] * len(lengths), ids(*lengths), solved=solved, max_len=100, **options)


def test_cosine_values_worked_by_hand() -> None:
    lengths = [0, 25, 50, 75, 100, 150, 200]
    right = [1.0, 0.926777, 0.75, 0.573223, 0.5, 0.5, 0.5]
    wrong = [-1.0, -0.926777, -0.75, -0.573223, -0.5, -0.5, -0.5]
    assert cosine(lengths, [True] * 7) == pytest.approx(right, abs=1e-6)
    assert cosine(lengths, [False] * 7) == pytest.approx(wrong, abs=1e-6)


def test_cosine_with_the_values_of_the_paper() -> None:
    """2 down to 1 for right answers, -10 up to 0 for wrong ones, -10 for whatever reaches the length."""
    options = {"min_value_correct": 1, "max_value_correct": 2, "min_value_wrong": -10, "max_value_wrong": 0}
    assert cosine([50, 99, 100, 101], [True] * 4, exceed_value=-10, **options) == pytest.approx(
        [1.5, 1.000247, -10, -10], abs=1e-6
    )
    assert cosine([50, 100], [False] * 2, exceed_value=-10, **options) == pytest.approx([-5, -10])


def test_what_cannot_be_graded_has_no_reward() -> None:
    assert cosine([50, 500], [None, None], exceed_value=-1) == [None, None]
    assert length_penalty([""] * 2, ["p"] * 2, ids(1, 3), solved=[None, True]) == [None, -0.5]


def test_without_a_verdict_the_answer_is_graded() -> None:
    completions = ["so \\boxed{4}", [{"role": "assistant", "content": "so \\boxed{5}"}]]
    assert cosine_length(completions, ids(50, 50), answer=["4", "4"], max_len=100) == pytest.approx([0.75, -0.75])
    assert length_penalty(completions, ["p", "p"], ids(1, 2), answer=["4", "5"]) == [0.5, -0.5]


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.integers(0, 60))), st.integers(1, 40))
def test_the_cosine_is_trls(answers: list[tuple[bool | None, int]], max_len: int) -> None:
    solved, lengths = [right for right, _ in answers], [length for _, length in answers]
    with mock.patch("trl.rewards.accuracy_rewards.accuracy_reward", lambda completions, solution: solved):
        theirs = get_cosine_scaled_reward(max_len)([], [], ids(*lengths))
    ours = cosine_length([""] * len(answers), ids(*lengths), solved=solved, max_len=max_len)
    assert ours == pytest.approx(theirs)


def test_the_cosine_is_trls_with_its_grading() -> None:
    completions = [[{"content": "$\\boxed{4}$"}], [{"content": "$\\boxed{5}$"}]]
    theirs = get_cosine_scaled_reward(max_len=40)(completions, ["$4$", "$4$"], ids(13, 13))
    assert cosine_length(completions, ids(13, 13), solved=[True, False], max_len=40) == pytest.approx(theirs)


def test_the_length_penalty_worked_by_hand() -> None:
    lengths, solved = [10, 20, 30, 10, 30], [True, True, True, False, False]
    assert length_penalty([""] * 5, ["p"] * 5, ids(*lengths), solved=solved) == [0.5, 0.0, -0.5, 0.0, -0.5]
    assert length_penalty([""] * 2, ["p"] * 2, ids(7, 7), solved=[True, False]) == [0.0, 0.0]
    assert length_penalty([], [], [], solved=[]) == []


def test_a_group_is_what_has_the_same_prompt() -> None:
    prompts = ["a", "b", "a", "b", "c"]
    assert length_penalty([""] * 5, prompts, ids(1, 10, 3, 30, 99), solved=[True] * 5) == [0.5, 0.5, -0.5, -0.5, 0.0]
    conversational = [[{"role": "user", "content": prompt}] for prompt in prompts]
    assert length_penalty([""] * 5, conversational, ids(1, 10, 3, 30, 99), solved=[True] * 5)[4] == 0.0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.integers(0, 30)), max_size=12))
def test_the_length_penalty_keeps_its_range(answers: list[tuple[str, bool, int]]) -> None:
    prompts, solved, lengths = ([answer[part] for answer in answers] for part in range(3))
    rewards = length_penalty([""] * len(answers), prompts, ids(*lengths), solved=solved)
    for reward, right in zip(rewards, solved, strict=True):
        assert reward is not None and -0.5 <= reward <= (0.5 if right else 0)


def overlong(lengths: list[int], longest: object, cache: object) -> list[float]:
    return soft_overlong_punishment([""] * len(lengths), ids(*lengths), longest, cache)  # type: ignore[arg-type]


def test_the_overlong_punishment_worked_by_hand() -> None:
    assert overlong([50, 80, 81, 90, 100, 101, 110], 100, 20) == [0.0, 0.0, -0.05, -0.5, -1.0, -1.0, -1.0]
    assert overlong([99, 100, 101], 100, 0) == [0.0, 0.0, -1.0]
    assert overlong([0, 50, 100], 100, 100) == [0.0, -0.5, -1.0]


@given(st.lists(st.integers(0, 50)), st.integers(1, 40), st.data())
def test_the_overlong_punishment_is_trls(lengths: list[int], longest: int, data: st.DataObject) -> None:
    cache = data.draw(st.integers(0, longest))
    theirs = get_soft_overlong_punishment(longest, cache)(completion_ids=ids(*lengths))
    assert overlong(lengths, longest, cache) == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("longest", "cache", "says"),
    [
        (None, 20, "max_completion_len .* is not given"),
        (100, None, "soft_punish_cache .* is not given"),
        (0, 0, "max_completion_len .* is 0; give whole tokens, 1 or more"),
        (100, -1, "soft_punish_cache .* is -1"),
        (100.0, 1, "max_completion_len .* is 100.0"),
        (True, 1, "max_completion_len .* is True"),
        (100, 101, "soft_punish_cache=101 .* above max_completion_len=100"),
    ],
)
def test_bad_options_of_the_overlong_punishment(longest: object, cache: object, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        overlong([], longest, cache)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_len": None}, "max_len .* is not given"),
        ({"max_len": 0}, "max_len .* is 0"),
        ({"min_value_wrong": 0}, "min_value_wrong=0 .* above max_value_wrong=-0.5"),
        ({"min_value_correct": 2}, "min_value_correct=2 .* above max_value_correct=1.0"),
        ({"solved": None}, "'cosine_length' has neither 'solved' nor a column 'answer'"),
    ],
)
def test_bad_options_of_the_cosine(options: dict, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        cosine_length([], [], **({"max_len": 100, "solved": []} | options))


def test_the_length_penalty_needs_verdicts() -> None:
    with pytest.raises(BadInput, match="'length_penalty' has neither 'solved' nor a column 'answer'"):
        length_penalty([], [], [])
