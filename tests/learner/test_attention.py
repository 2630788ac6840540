"""Attention over trees against the plain formula with a dense mask, forward and backward."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.learner.attention import (
    Block,
    BlockAttention,
    attention_forward,
    plan_blocks,
    plan_tree,
    sees,
)
from rl.learner.packing import PrefixTree

paths = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=8)


def ends_of(paths: list[list[int]]) -> torch.Tensor:
    tree = PrefixTree()
    for path in paths:
        tree.add(path)
    ends = tree.rows().ends
    assert ends is not None
    return ends


def covered(blocks: list[Block], length: int) -> torch.Tensor:
    """How many blocks compute each (query, key) pair."""
    count = torch.zeros(length, length, dtype=torch.long)
    for block in blocks:
        rows, columns = block.queries.stop - block.queries.start, block.keys.stop - block.keys.start
        seen = torch.ones(rows, columns, dtype=torch.bool)
        if block.kind == "causal":
            seen = seen.tril()
        if block.mask is not None:
            seen = block.mask == 0
        count[block.queries, block.keys] += seen
    return count


@given(paths, st.integers(1, 12))
def test_blocks_cover_what_a_node_sees_once_and_nothing_else(paths: list[list[int]], bush: int) -> None:
    ends = ends_of(paths)
    blocks = plan_blocks(ends.tolist(), torch.float32, bush)
    assert torch.equal(covered(blocks, len(ends)), sees(ends).long())
    for block in blocks:
        if block.mask is not None:
            assert len(block.mask) <= bush


def test_blocks_of_a_prompt_with_two_long_completions() -> None:
    ends = ends_of([[*range(10), *range(100, 106)], [*range(10), *range(200, 206)]])
    found = [(b.kind, b.queries, b.keys) for b in plan_blocks(ends.tolist(), torch.float32, bush=5)]
    assert found == [
        ("causal", slice(0, 10), slice(0, 10)),
        ("causal", slice(10, 16), slice(10, 16)),
        ("causal", slice(16, 22), slice(16, 22)),
        ("whole", slice(10, 22), slice(0, 10)),
    ]


def oracle(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """softmax(q k.T / sqrt(E)) v with the dense mask; [1, H, L, E]."""
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return torch.softmax(scores.masked_fill(~sees(ends), -torch.inf), -1) @ value


def inputs(length: int, heads: int, width: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randn(1, heads, length, width, generator=generator).requires_grad_()


@settings(max_examples=25, deadline=None)
@given(paths, st.sampled_from([1, 3, 128]))
def test_blocks_give_the_values_and_gradients_of_the_formula(paths: list[list[int]], bush: int) -> None:
    ends = ends_of(paths)
    query, key, value = (inputs(len(ends), 2) for _ in range(3))
    blocks = tuple(plan_blocks(ends.tolist(), torch.float32, bush))
    ours = BlockAttention.apply(query, key, value, blocks, 8**-0.5)
    theirs = oracle(query, key, value, ends)
    assert torch.allclose(ours, theirs, atol=1e-5)
    weights = torch.linspace(-1, 1, ours.numel()).view_as(ours)
    mine, plain = (torch.autograd.grad((out * weights).sum(), (query, key, value)) for out in (ours, theirs))
    for one, other in zip(mine, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_key_heads_are_shared_by_neighboring_query_heads() -> None:
    ends = ends_of([[1, 2, 3], [1, 2, 4]])
    query, key, value = inputs(4, 4), inputs(4, 2), inputs(4, 2)
    plan = plan_tree(ends, torch.float32, 256)
    ours, _ = attention_forward(torch.nn.Identity(), query, key, value, None, 8**-0.5, prefix_tree=plan)
    theirs = oracle(query, key.repeat_interleave(2, 1), value.repeat_interleave(2, 1), ends)
    assert torch.allclose(ours.transpose(1, 2), theirs, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"softcap": 30.0}])
def test_what_it_cannot_compute_is_refused(options: dict) -> None:
    plan = plan_tree(ends_of([[1, 2]]), torch.float32, 256) if options else None
    with pytest.raises(ValueError, match="attention over a prefix tree needs"):
        attention_forward(
            torch.nn.Identity(), inputs(2, 1), inputs(2, 1), inputs(2, 1), None, prefix_tree=plan, **options
        )
