"""Lengths of completions: by hand, and against simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.planner import lengths


def test_survival_worked_out_by_hand() -> None:
    """Lengths 1, 2, 2 (cut off), 4. At 1: one of four ends. At 2: one of the three left. At 4: the one left ends."""
    survival = lengths.estimate_survival([1, 2, 2, 4], [True, True, False, True], limit=5)
    assert survival == pytest.approx([1, 3 / 4, 1 / 2, 1 / 2, 0, 0])
    assert lengths.mean_length(survival) == pytest.approx(1 + 0.75 + 0.5 + 0.5)
    assert lengths.cut_share(lengths.estimate_survival([1, 2, 2, 4], [True, True, False, True], 3)) == 0.5


def test_beyond_what_was_seen_the_chance_to_end_is_that_of_all_tokens() -> None:
    """Two of 10 tokens, both cut off; and one that ended after 5 of 20 tokens in all: 1/20 a token from 11 on."""
    endless = lengths.estimate_survival([10, 10], [False, False], 30)
    assert lengths.mean_length(endless) == 30 and lengths.cut_share(endless) == 1
    survival = lengths.estimate_survival([5, 5, 10], [True, False, False], 12)
    assert survival[11] == pytest.approx(survival[10] * 0.95)
    with pytest.raises(ValueError, match="no completions"):
        lengths.estimate_survival([], [], 3)


@given(st.floats(1.0, 50.0), st.integers(50, 300))
def test_a_geometric_survival_has_the_mean_that_was_asked(mean: float, limit: int) -> None:
    assert lengths.mean_length(lengths.geometric_survival(mean, limit)) == pytest.approx(mean, rel=1e-6)


def test_expectations_are_those_of_many_drawn_completions() -> None:
    limit, prompt, rng = 20, 7, np.random.default_rng(0)
    survival = lengths.geometric_survival(8, limit)
    going_on = survival[1]
    drawn = np.minimum(rng.geometric(1 - going_on, size=(20000, 6)), limit)
    assert lengths.longest_of(survival, 6) == pytest.approx(drawn.max(axis=1).mean(), rel=0.01)
    # token t of a completion, counted from 0, looks back at the prompt and at t tokens
    looked_at = drawn * prompt + drawn * (drawn - 1) / 2
    assert lengths.contexts(survival, prompt) == pytest.approx(looked_at.mean(), rel=0.01)
    # in the learner the last token is no node, and each node also attends to itself
    nodes = drawn - 1
    pairs = nodes * prompt + nodes * (nodes + 1) / 2
    assert lengths.tree_pairs(survival, prompt) == pytest.approx(pairs.mean(), rel=0.01)
