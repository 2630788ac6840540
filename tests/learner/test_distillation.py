"""On-policy distillation: the advantages by hand, and their gradient against that of the exact KL."""

import numpy as np
import torch

from rl.learner.distillation import reverse_kl_advantages
from rl.learner.losses import Totals, policy_loss


def test_advantages_worked_out_by_hand() -> None:
    student = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    teacher = torch.tensor([-0.5, -3.0, -0.5])
    mask = torch.tensor([True, True, False])
    advantages, sums = reverse_kl_advantages(student, teacher, mask, weight=2.0)
    # -2 * (-1 + 0.5) = 1; -2 * (-2 + 3) = -2; 0
    assert torch.equal(advantages, torch.tensor([1.0, -2.0, 0.0]))
    assert not advantages.requires_grad
    assert float(sums["reverse_kl"]) == 0.5  # (-1 + 0.5) + (-2 + 3)


def test_the_expected_gradient_is_that_of_the_reverse_kl() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(5, dtype=torch.float64).log_softmax(0)
    logps = logits.log_softmax(0)
    exact = torch.autograd.grad((logps.exp() * (logps - teacher)).sum(), logits)[0]

    # Each token of the vocabulary once, its loss weighted by its probability: the expectation over samples.
    mask = torch.ones(5, dtype=torch.bool)
    logps = logits.log_softmax(0)
    advantages, _ = reverse_kl_advantages(logps, teacher, mask, 1.0)
    estimate = torch.zeros_like(exact)
    for token in range(5):
        one = slice(token, token + 1)
        loss, _ = policy_loss(
            logps[one],
            logps[one].detach(),
            torch.zeros(1, dtype=torch.float64),
            torch.zeros(1, dtype=torch.long),
            mask[one],
            Totals(sequences=1, tokens=1, max_completion_length=1),
            loss_type="dapo",
            epsilon=0.2,
            epsilon_high=0.2,
            token_advantages=advantages[one],
        )
        estimate += float(logps[token].detach().exp()) * torch.autograd.grad(loss, logits, retain_graph=True)[0]
    np.testing.assert_allclose(estimate.numpy(), exact.numpy(), atol=1e-12)


def test_rewards_and_teacher_add_up() -> None:
    logps = torch.tensor([-1.0, -1.0], requires_grad=True)
    loss, _ = policy_loss(
        logps,
        logps.detach(),
        torch.tensor([0.5]),
        torch.zeros(2, dtype=torch.long),
        torch.ones(2, dtype=torch.bool),
        Totals(sequences=1, tokens=2, max_completion_length=2),
        loss_type="dapo",
        epsilon=0.2,
        epsilon_high=0.2,
        token_advantages=torch.tensor([1.0, -2.0]),
    )
    assert float(loss) == -((0.5 + 1.0) + (0.5 - 2.0)) / 2
    loss.backward()
    assert logps.grad is not None
    np.testing.assert_allclose(logps.grad.numpy(), [-0.75, 0.75])
