"""The vocabulary projection in chunks against logits of everything at once."""

import pytest
import torch
from torch import nn

from rl.learner import head as head_module
from rl.learner.head import head_logps, project_and_select, recomputed_logps, rows_at_once, select_logps

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


HALVES = [torch.bfloat16, torch.float16]


def half_case(dtype: torch.dtype, scale: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A case in 16 bits, in which most tokens are the most probable ones, as what a policy has sampled mostly is."""
    generator = torch.Generator().manual_seed(2)
    hidden = (scale * torch.randn(U, 64, generator=generator)).to(dtype)
    weight = torch.randn(V, 64, generator=generator).to(dtype)
    row = torch.arange(U)
    target = (hidden.float() @ weight.float().T).argmax(-1)
    target[::4] = torch.randint(V, (len(target[::4]),), generator=generator)
    return hidden, weight, row, target


@pytest.mark.parametrize("dtype", [*HALVES, torch.float32])
@pytest.mark.parametrize("temperature", [0.6, 0.9, 1.0, 1.3])
def test_the_temperature_divides_float32_logits_as_in_vllm(
    small_chunks: None, dtype: torch.dtype, temperature: float
) -> None:
    hidden, weight, row, target = half_case(dtype, 0.4)
    logits = (hidden @ weight.T).to(torch.float32)  # in this order in vLLM: projected, float32, divided
    logits.div_(temperature)
    expected = logits.log_softmax(-1)[row, target]
    head = nn.Linear(64, V, bias=False, dtype=dtype).requires_grad_(False)
    head.weight.copy_(weight)
    for logps, _ in (
        head_logps(hidden, weight, row, target, temperature),
        recomputed_logps(head, V, hidden, row, target, temperature, False),
        select_logps(hidden @ weight.T, row, target, temperature, False),
    ):
        assert torch.allclose(logps, expected, atol=2e-6)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("scale", [0.05, 0.4, 1.0])
def test_gradients_in_16_bits_are_as_exact_as_those_of_autograd(
    small_chunks: None, dtype: torch.dtype, scale: float
) -> None:
    hidden, weight, row, target = half_case(dtype, scale)
    exact = hidden.double().requires_grad_()
    logps = (exact @ weight.double().T / 0.6).log_softmax(-1)[row, target]
    (truth,) = torch.autograd.grad(logps.sum(), exact)
    errors = []
    for compute in (
        lambda x: head_logps(x, weight, row, target, 0.6),
        lambda x: select_logps(x @ weight.T, row, target, 0.6, False),
    ):
        x = hidden.clone().requires_grad_()
        (grad,) = torch.autograd.grad(compute(x)[0].sum(), x)
        assert grad.dtype == dtype
        errors.append((grad.double() - truth).norm(dim=-1) / truth.norm(dim=-1))
    ours, autograd = errors
    assert ours.median() < 1.2 * autograd.median()
    assert ours.mean() < 1.2 * autograd.mean()


def test_float16_holds_the_expected_row_of_a_flat_distribution() -> None:
    """Undivided, the sum over 70,000 rows of ones is above float16's largest number; divided first, each is 1.4e-5."""
    weight = torch.ones(70_000, 1, dtype=torch.float16)
    hidden = torch.zeros(1, 1, dtype=torch.float16, requires_grad=True)
    logps, _ = head_logps(hidden, weight, torch.tensor([0]), torch.tensor([3]), 1.0)
    (grad,) = torch.autograd.grad(logps.sum(), hidden)
    assert abs(float(grad)) < 2e-3  # W[t] - expected row = 1 - 1


def test_under_autocast_a_frozen_head_in_float32_is_projected_in_the_precision_of_autocast() -> None:
    hidden, weight, row, target = half_case(torch.float32, 0.4)
    with torch.autocast("cpu", torch.bfloat16):
        logps, _ = head_logps(hidden, weight, row, target, 1.0)
    logits = (hidden.bfloat16() @ weight.bfloat16().T).float()
    assert torch.allclose(logps, logits.log_softmax(-1)[row, target], atol=2e-6)
