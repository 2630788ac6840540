"""Which groups make a batch: the first with signal in the order of the stream, whoever ends first."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.training.selection import Selection

Group = tuple[int, bool]  # tokens, and whether it has signal


def settle(groups: list[Group], wanted: int, budget: float, order: random.Random) -> tuple[list[int], int]:
    """Run groups with the ends in a random order; the places chosen, and how many groups were tried."""
    selection, running = Selection(wanted, budget), list[int]()
    while not selection.complete():
        for _ in range(selection.missing()):
            running.append(selection.begun)
            selection.begun += 1
        place = running.pop(order.randrange(len(running)))
        selection.ended(place, *groups[place])
    return selection.chosen(), selection.tried()


def one_after_the_other(groups: list[Group], wanted: int, budget: float) -> tuple[list[int], int]:
    """What comes out if each group ends before the next begins."""
    tried = tokens = 0
    while tried < wanted or (sum(signal for _, signal in groups[:tried]) < wanted and tokens < budget):
        tokens += groups[tried][0]
        tried += 1
    useful = [place for place in range(tried) if groups[place][1]]
    idle = [place for place in range(tried) if not groups[place][1]]
    return sorted(useful + idle[: wanted - len(useful)]), tried


@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=4, max_size=30),
    st.integers(1, 4),
    st.integers(0, 100),
    st.randoms(use_true_random=False),
)
def test_the_order_in_which_groups_end_does_not_matter(
    groups: list[Group], wanted: int, budget: int, order: random.Random
) -> None:
    groups = groups + [(50, True)] * 30  # so that there is an end
    assert settle(groups, wanted, budget, order) == one_after_the_other(groups, wanted, budget)


def test_a_group_is_replaced_while_others_run() -> None:
    selection = Selection(2)
    assert selection.missing() == 2
    selection.begun = 2
    selection.ended(1, 10, False)
    assert selection.missing() == 1 and not selection.complete()
    selection.begun = 3
    assert selection.missing() == 0
    selection.ended(2, 10, True)
    assert not selection.complete()  # group 0 still runs, and whether it counts is not known
    selection.ended(0, 10, True)
    assert selection.complete() and selection.chosen() == [0, 2] and selection.tried() == 3


@pytest.mark.parametrize(("tokens_of_0", "tried"), [(19, 3), (20, 2)])
def test_a_group_that_turns_out_to_be_over_the_budget_goes_back(tokens_of_0: int, tried: int) -> None:
    selection = Selection(2, max_tokens=30)
    selection.begun = 2
    selection.ended(1, 10, False)  # 10 tokens: under the budget, as far as is known
    assert selection.missing() == 1
    selection.begun = 3
    selection.ended(2, 1, True)  # and short, so it is there first
    selection.ended(0, tokens_of_0, True)
    assert selection.complete() and selection.tried() == tried
    assert selection.chosen() == ([0, 2] if tried == 3 else [0, 1])


def test_without_a_budget_nothing_is_replaced() -> None:
    selection = Selection(2, max_tokens=0)
    selection.begun = 2
    for place in range(2):
        selection.ended(place, 5, False)
    assert selection.missing() == 0 and selection.complete()
    assert selection.chosen() == [0, 1] and selection.tried() == 2
