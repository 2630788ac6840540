"""The stream: a permutation an epoch, a pure function of its position."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.problems.stream import ProblemStream, completion_seeds

sizes = st.integers(1, 40)
seeds = st.integers(0, 2**40)


@given(sizes, seeds, st.integers(0, 5), st.booleans())
def test_an_epoch_asks_every_problem_once(size: int, seed: int, epoch: int, shuffle: bool) -> None:
    indices = ProblemStream(size, seed, shuffle).take(epoch * size, size)
    assert sorted(indices) == list(range(size))


@given(sizes, seeds, st.integers(0, 100), st.lists(st.integers(0, 50), max_size=5))
def test_takes_can_be_cut_anywhere(size: int, seed: int, position: int, counts: list[int]) -> None:
    whole = ProblemStream(size, seed).take(position, sum(counts))
    pieces: list[int] = []
    for count in counts:  # a new stream each time: nothing is remembered
        pieces += ProblemStream(size, seed).take(position + len(pieces), count)
    assert pieces == whole and len(whole) == sum(counts)


def test_order_depends_on_seed_and_epoch() -> None:
    epochs = [tuple(ProblemStream(100, seed).take(epoch * 100, 100)) for seed in range(5) for epoch in range(5)]
    assert len(set(epochs)) == 25


def test_unshuffled_keeps_the_order() -> None:
    assert ProblemStream(3, seed=7, shuffle=False).take(1, 6) == [1, 2, 0, 1, 2, 0]


def test_every_problem_comes_first_equally_often() -> None:
    first = [ProblemStream(4, seed).take(0, 1)[0] for seed in range(2000)]
    assert all(abs(first.count(index) - 500) < 100 for index in range(4))  # 100 is five standard deviations


@pytest.mark.parametrize(("size", "seed"), [(0, 0), (-1, 0), (1, -1)])
def test_impossible_streams_are_refused(size: int, seed: int) -> None:
    with pytest.raises(ValueError, match="size >= 1"):
        ProblemStream(size, seed)


@pytest.mark.parametrize(("position", "count"), [(-1, 1), (0, -1)])
def test_impossible_takes_are_refused(position: int, count: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        ProblemStream(3, 0).take(position, count)


def test_completion_seeds_differ_between_all_counters() -> None:
    drawn = [
        seed
        for run in range(3)
        for step in range(12)  # with 11 and 1: "1/11/..." and "11/1/..." must not meet
        for position in range(12)
        for seed in completion_seeds(run, step, position, 12)
    ]
    assert len(set(drawn)) == len(drawn) == 3 * 12 * 12 * 12
    assert all(0 <= seed < 2**31 for seed in drawn)
    assert abs(sum(drawn) / len(drawn) / 2**30 - 1) < 0.05  # uniform: the mean is 2**30, with a deviation of 0.8 %


def test_completion_seeds_are_stable() -> None:
    assert completion_seeds(5, 3, 1, 8)[:4] == completion_seeds(5, 3, 1, 4)
    # blake2b-32 of b"0/0/0/0", by `printf 0/0/0/0 | b2sum -l 32`, halved: old runs resume only if it stays.
    assert completion_seeds(0, 0, 0, 1) == [326663281]
