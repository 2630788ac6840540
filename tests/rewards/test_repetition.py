import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl.rewards import get_repetition_penalty_reward

from rewards.errors import BadInput
from rewards.repetition import repetition_penalty


@pytest.mark.parametrize(
    ("ids", "size", "penalty"),
    [
        ([5, 5, 5, 5, 5], 2, -0.75),  # 4 pairs, 1 distinct
        ([1, 2, 1, 2, 1, 2], 2, -0.6),  # 5, 2 distinct
        ([1, 2, 3, 1, 2, 3], 2, -0.4),  # 5, 3 distinct
        ([1, 2, 3, 1, 2, 3], 3, -0.25),  # 4, 3 distinct
        ([1, 2, 3, 4], 2, 0.0),
        ([1, 2], 3, 0.0),
        ([], 1, 0.0),
        ([7], 1, 0.0),
        ([7, 7], 1, -0.5),
    ],
)
def test_values_worked_by_hand(ids: list[int], size: int, penalty: float) -> None:
    assert repetition_penalty([""], [ids], ngram_size=size) == [pytest.approx(penalty)]
    assert repetition_penalty([""], [ids], ngram_size=size, max_penalty=-2) == [pytest.approx(2 * penalty)]


@pytest.mark.parametrize(
    ("text", "size", "penalty"),
    [
        ("A B C A B C", 3, -0.25),
        ("a\nB  c A b C", 3, -0.25),
        ("no no no no no", 2, -0.75),
        ("我们我们我们", 2, -0.6),  # a character is a word
        ("はいはいはい", 2, -0.6),
        ("word", 2, 0.0),
        ("", 2, 0.0),
    ],
)
def test_words(text: str, size: int, penalty: float) -> None:
    assert repetition_penalty([text], ngram_size=size, unit="words") == [pytest.approx(penalty)]
    messages = [{"role": "assistant", "content": text}]
    assert repetition_penalty([messages], ngram_size=size, unit="words") == [pytest.approx(penalty)]


@given(st.lists(st.lists(st.integers(0, 3), max_size=20)), st.integers(1, 4), st.sampled_from([0.0, -0.5, -1.0]))
def test_it_is_trls(completion_ids: list[list[int]], size: int, max_penalty: float) -> None:
    ours = repetition_penalty([""] * len(completion_ids), completion_ids, size, max_penalty)
    assert ours == pytest.approx(get_repetition_penalty_reward(size, max_penalty)(completion_ids=completion_ids))


@given(st.text(alphabet=st.sampled_from("ab 我ไ\n") | st.characters()), st.integers(1, 5), st.floats(-5, 0))
def test_never_above_zero_nor_below_the_penalty(text: str, size: int, max_penalty: float) -> None:
    assert max_penalty <= repetition_penalty([text], None, size, max_penalty, "words")[0] <= 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ngram_size": 0}, "ngram_size=0"),
        ({"ngram_size": 2.0}, "ngram_size=2.0"),
        ({"ngram_size": True}, "ngram_size=True"),
        ({"max_penalty": 0.5}, "max_penalty=0.5 .* would pay"),
        ({"max_penalty": float("nan")}, "max_penalty=nan"),
        ({"unit": "letters"}, "unit='letters' .* 'tokens' or 'words'"),
    ],
)
def test_bad_options(options: dict, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        repetition_penalty([], [], **options)


def test_tokens_are_needed_to_count_tokens() -> None:
    with pytest.raises(BadInput, match="no completion_ids"):
        repetition_penalty(["a b"])


@pytest.mark.parametrize("part", ["a", "a ", "我", "a\u0300", " "])
def test_time_is_linear(part: str) -> None:
    text = part * (200_000 // len(part))
    started = time.perf_counter()
    repetition_penalty([text], unit="words")
    assert time.perf_counter() - started < 5  # quadratic: minutes
