"""Groups that teach something: by hand, and as a law."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.planner.signal import share_with_signal

reward_groups = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4), min_size=1, max_size=5)


def test_shares_worked_out_by_hand() -> None:
    groups = [(1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)]
    assert share_with_signal(groups, 4) == 0.5
    # a pair of the first: 3 of 6 pairs are both 0; of the second: all
    assert share_with_signal(groups, 2) == 0.25
    # without signal: 3/4 of pairs, 1/2 of fours, so 1/2 x (1/2 over 3/4) of eights
    assert share_with_signal(groups, 8) == pytest.approx(1 - 0.5 * (0.5 / 0.75))


def test_without_rewards_every_group_counts() -> None:
    assert share_with_signal((), 8) == 1.0


@given(reward_groups, st.integers(2, 31))
def test_larger_groups_have_a_signal_more_often(groups: list[list[float]], size: int) -> None:
    assert 0 <= share_with_signal(groups, size) <= share_with_signal(groups, size + 1) + 1e-12 <= 1 + 1e-12
