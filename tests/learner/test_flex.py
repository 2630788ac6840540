"""FlexAttention over trees: its mask against torch's own, its values against the formula, and how often it compiles."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.exc import FailOnRecompileLimitHit
from torch.nn.attention.flex_attention import create_block_mask

from rl.learner import flex
from rl.learner.attention import sees
from rl.learner.flex import BLOCK, compiled_flex, flex_forward, flex_mask, kernel, rung, rungs
from rl.learner.packing import PrefixTree


def ends_of(paths: list[list[int]]) -> torch.Tensor:
    tree = PrefixTree()
    for path in paths:
        tree.add(path)
    ends = tree.rows().ends
    assert ends is not None
    return ends


def chain(length: int) -> torch.Tensor:
    """The ends of one sequence."""
    return torch.full((length,), length)


def test_rungs_worked_out_by_hand() -> None:
    assert rungs(8192) == [1024, 2048, 4096, 6144, 8192]
    assert rungs(1000) == [128, 256, 512, 768, 1024]  # 125, 250, 500, 750 and 1000, rounded up to blocks of 128
    assert rungs(100) == [128]
    assert (rung(1, 8192), rung(4096, 8192), rung(4097, 8192), rung(8192, 8192)) == (1024, 4096, 6144, 8192)
    assert (rung(8193, 8192), rung(40_000, 8192)) == (16384, 65536)  # a sample beyond the budget


@given(st.integers(1, 40_000), st.integers(1, 40_000))
def test_a_budget_has_few_lengths_and_each_holds_what_it_is_for(length: int, budget: int) -> None:
    assert len(rungs(budget)) <= 5
    found = rung(length, budget)
    assert found >= length and found % BLOCK == 0
    if length <= budget:
        assert found in rungs(budget)
        assert found <= max(2 * length, rungs(budget)[0]) + BLOCK


long_paths = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2), st.integers(1, 300)), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(long_paths)
def test_the_blocks_are_those_that_torch_finds_in_a_dense_mask(shapes: list[tuple[int, int, int]]) -> None:
    ends = ends_of([[*range(shared), *[1000 + branch] * own] for shared, branch, own in shapes])
    ours = flex_mask(ends, 512)
    length = ours.seq_lengths[0]
    assert ours.mask_mod is not None
    theirs = create_block_mask(ours.mask_mod, None, None, length, length, device="cpu")
    for name in ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    for name in ("q_num_blocks", "q_indices", "full_q_num_blocks", "full_q_indices"):  # of the backward pass
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


def test_values_are_those_of_the_formula_and_of_nodes_that_round_up_nothing() -> None:
    ends = ends_of([[1, 2, 3], [1, 2, 4, 5], [6, 7]])
    generator = torch.Generator().manual_seed(0)
    # Without gradients: on a CPU it has no backward pass.
    query, key, value = (torch.randn(1, heads, len(ends), 8, generator=generator) for heads in (4, 2, 2))
    mask = flex_mask(ends, 256)
    assert mask.seq_lengths == (128, 128)
    ours = flex_forward(query, key, value, mask, 8**-0.5).transpose(1, 2)
    scores = query @ key.repeat_interleave(2, 1).transpose(-1, -2) / 8**0.5
    theirs = torch.softmax(scores.masked_fill(~sees(ends), -torch.inf), -1) @ value.repeat_interleave(2, 1)
    assert torch.allclose(ours, theirs, atol=1e-5)


class Counter:
    """A backend that compiles nothing, counts what it is asked to compile, and gives back zeros."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __call__(self, graph: torch.fx.GraphModule, _examples: Any) -> Any:
        shapes = [n.meta["example_value"].shape for n in graph.graph.nodes if n.op == "placeholder"]
        query = next(shape for shape in shapes if len(shape) == 4 and shape[-1] == 8)
        self.lengths.append(query[2])
        return lambda *_: (torch.zeros(query),)


def attend_to(length: int, budget: int) -> torch.Tensor:
    query = torch.zeros(1, 2, length, 8)
    return flex_forward(query, query, query, flex_mask(chain(length), budget), 1.0)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counting = Counter()
    monkeypatch.setattr(flex, "kernel", lambda _device: compiled_flex(counting))
    return counting


def test_forty_lengths_in_both_grad_modes_are_compiled_once_a_rung_and_mode(counter: Counter) -> None:
    lengths = range(25, 1025, 25)
    assert len(lengths) == 40
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            for length in lengths:
                assert attend_to(length, 1024).shape == (1, length, 2, 8)
    assert len(counter.lengths) <= 2 * 2 * 5  # a length that needs no rounding may have other strides
    assert set(counter.lengths) == {128, 256, 512, 768, 1024}


def test_one_compile_too_many_raises(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flex, "MOST_COMPILES", 3)
    for budget in (128, 256, 384):
        attend_to(budget, budget)
    with pytest.raises(FailOnRecompileLimitHit):
        attend_to(512, 512)
    attend_to(384, 384)  # what is compiled stays


def test_a_gpu_gets_the_compiled_kernel() -> None:
    assert kernel(torch.device("cuda")) is compiled_flex()
    assert kernel(torch.device("cpu")) is not compiled_flex()
