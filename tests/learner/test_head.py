"""The vocabulary projection in chunks against logits of everything at once."""

import pytest
import torch
from torch import nn

from rl.learner import head as head_module
from rl.learner.head import head_logps, project_and_select, recomputed_logps, rows_at_once

U, D, V, T = 37, 8, 51, 0.7


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(head_module.CHUNK_ELEMENTS, "cpu", 16 * V)  # 16 rows, so three chunks


def case() -> tuple[nn.Linear, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    linear = nn.Linear(D, V, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(V, D, generator=generator))
    hidden = torch.randn(U, D, generator=generator)
    # Node 0 predicts three tokens, node 5 none, and the tokens do not come in the order of the nodes.
    row = torch.cat([torch.tensor([36, 0, 0, 0]), torch.tensor([i for i in range(35, 0, -1) if i != 5])])
    return linear, hidden, row, torch.randint(V, (len(row),), generator=generator)


def test_values_and_gradients_are_those_of_plain_logits(small_chunks: None) -> None:
    linear, hidden, row, target = case()
    weights = torch.linspace(-1, 2, len(row))
    results = []
    for compute in (
        lambda x: head_logps(x, linear.weight.detach(), row, target, T),
        lambda x: recomputed_logps(linear, V, x, row, target, T, False),
        lambda x: project_and_select(linear, x, row, target, T, False),
    ):
        x = hidden.clone().requires_grad_()
        logps, entropy = compute(x)
        (grad,) = torch.autograd.grad((weights * logps + logps.exp()).sum(), x)  # not linear in the log-probabilities
        results.append((logps.detach(), entropy.detach(), grad))
    *ours, plain = results
    table = torch.log_softmax(hidden @ linear.weight.T / T, -1)
    assert torch.allclose(plain[0], table[row, target], atol=1e-5)
    assert torch.allclose(plain[1], -(table.exp() * table).sum(-1)[row], atol=1e-5)
    for result in ours:
        for one, other in zip(result, plain, strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_a_head_that_learns_and_an_entropy_that_counts_get_their_gradients(small_chunks: None) -> None:
    linear, hidden, row, target = case()
    grads = []
    for compute in (recomputed_logps, lambda head, _, *rest: project_and_select(head, *rest)):
        x = hidden.clone().requires_grad_()
        logps, entropy = compute(linear, V, x, row, target, T, True)
        grads.append(torch.autograd.grad((logps + 0.5 * entropy).sum(), (x, linear.weight)))
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_without_gradients_nothing_is_kept_for_them() -> None:
    linear, hidden, row, target = case()
    logps, entropy = head_logps(hidden, linear.weight.detach(), row, target, T)
    assert not logps.requires_grad and not entropy.requires_grad


def test_chunks_hold_about_as_many_logits_whatever_the_vocabulary() -> None:
    assert rows_at_once(2**15, torch.device("cpu")) == 2**24 // 2**15
    assert rows_at_once(2**30, torch.device("cpu")) == 16
