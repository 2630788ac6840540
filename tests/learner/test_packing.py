"""Prefix trees: nothing twice, nothing lost, and the same numbers as whole sequences give."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from rl.learner.attention import ATTENTION, sees
from rl.learner.packing import Layout, PrefixTree, Sample, pack
from rl.learner.policy import token_logps

tokens = st.lists(st.integers(3, 6), min_size=1, max_size=5).map(tuple)  # few tokens, so that prefixes are shared


def sample(
    prompt: tuple[int, ...], completion: tuple[int, ...], advantage: float = 1.0, counted: bool = True
) -> Sample:
    return Sample(prompt, completion, tuple(-0.1 * t for t in completion), advantage, counted)


def test_tree_of_two_paths_that_part() -> None:
    tree = PrefixTree()
    tree.add([7, 8, 9])
    assert tree.size_with([7, 8, 5]) == 4
    tree.add([7, 8, 5])
    rows = tree.rows()
    assert rows.input_ids.tolist() == [[7, 8, 9, 5]]
    assert rows.position_ids.tolist() == [[0, 1, 2, 2]]
    assert rows.places == [[0, 1, 2], [0, 1, 3]]
    assert rows.ends is not None and rows.ends.tolist() == [4, 4, 3, 4]
    assert sees(rows.ends).int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]


def test_nodes_are_in_preorder_whatever_the_order_of_the_paths() -> None:
    tree = PrefixTree()
    for path in ([1, 2], [4], [1, 3], [4, 5], [1, 2, 6]):
        tree.add(path)
    rows = tree.rows()
    assert rows.input_ids.tolist() == [[1, 2, 6, 3, 4, 5]]
    assert rows.ends is not None and rows.ends.tolist() == [4, 3, 3, 4, 6, 6]
    assert rows.places == [[0, 1], [4], [0, 3], [4, 5], [0, 1, 2]]


def test_padded_rows() -> None:
    (batch,) = pack([sample((1, 2), (5, 6)), sample((3,), (5,))], max_tokens=100, layout="padded")
    assert batch.input_ids.tolist() == [[1, 2, 5], [3, 0, 0]]
    assert batch.position_ids.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert batch.ends is None
    assert batch.source.tolist() == [1, 2, 3]
    assert batch.target.tolist() == [5, 6, 5]


def test_a_group_shares_its_prompt_and_last_tokens_are_left_out() -> None:
    (batch,) = pack([sample((1, 2), (5, 6)), sample((1, 2), (5, 7, 8), 2.0, False)], max_tokens=100)
    assert batch.input_ids.tolist() == [[1, 2, 5, 7]]
    assert batch.source.tolist() == [1, 2, 1, 2, 3]  # the prompt's last token predicts the first of each completion
    assert batch.target.tolist() == [5, 6, 5, 7, 8]
    assert batch.sequence.tolist() == [0, 0, 1, 1, 1]
    assert batch.mask.tolist() == [True, True, False, False, False]
    assert batch.advantages.tolist() == [1.0, 2.0]


@given(
    st.lists(st.tuples(tokens, tokens), min_size=1, max_size=8),
    st.integers(1, 20),
    st.integers(1, 4),
    st.sampled_from(["tree", "padded"]),
)
def test_packing_keeps_every_token_in_order_within_the_limits(
    pairs: list, max_tokens: int, max_sequences: int, layout: Layout
) -> None:
    samples = [sample(prompt, completion) for prompt, completion in pairs]
    batches = list(pack(samples, max_tokens, max_sequences, layout))
    assert [i for b in batches for i in b.indices] == list(range(len(samples)))
    assert [t for b in batches for t in b.target.tolist()] == [t for s in samples for t in s.completion_ids]
    for batch in batches:
        assert len(batch.indices) <= max_sequences
        assert batch.input_ids.numel() <= max_tokens or len(batch.indices) == 1
        flat = batch.input_ids.flatten().tolist()
        for s, index in enumerate(batch.indices):  # what predicts a token is the token before it
            before = [flat[i] for i in batch.source[batch.sequence == s].tolist()]
            assert before == list((samples[index].prompt_ids[-1:] + samples[index].completion_ids)[:-1])


@settings(max_examples=15, deadline=None)
@given(pairs=st.lists(st.tuples(tokens, tokens), min_size=1, max_size=6), max_tokens=st.integers(1, 40))
def test_logps_and_entropy_are_those_of_each_sequence_alone(tiny_model, pairs: list, max_tokens: int) -> None:
    model = cached_model(str(tiny_model))
    for batch in pack([sample(p, c) for p, c in pairs], max_tokens):
        model.set_attn_implementation(ATTENTION)
        logps, entropies = token_logps(model, batch, 0.7, False)
        expected = [alone(model, *pairs[i]) for i in batch.indices]
        assert torch.allclose(logps, torch.cat([e[0] for e in expected]), atol=1e-5)
        assert torch.allclose(entropies, torch.cat([e[1] for e in expected]), atol=1e-5)


def alone(
    model: torch.nn.Module, prompt: tuple[int, ...], completion: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The oracle: one plain causal forward pass over one sequence."""
    model.set_attn_implementation("sdpa")
    ids = torch.tensor([prompt + completion])
    with torch.no_grad():
        logits = model(ids).logits[0, len(prompt) - 1 : -1] / 0.7
    table = torch.log_softmax(logits, -1)
    return table[range(len(completion)), list(completion)], -(table.exp() * table).sum(-1)


CACHE: dict[str, torch.nn.Module] = {}


def cached_model(path: str) -> torch.nn.Module:
    if path not in CACHE:
        CACHE[path] = AutoModelForCausalLM.from_pretrained(path, attn_implementation="sdpa").eval()
    return CACHE[path]
