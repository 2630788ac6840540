"""On-policy distillation: the student samples, a teacher scores its tokens, and the score is an advantage.

The gradient of the reverse KL(student || teacher), with the student's samples and no discounting: each token's
advantage is its own log-ratio, not the sum of those that follow (MiniLLM, arXiv:2306.08543, eq. 2, has that sum; the
single-step part alone is what the on-policy distillation of GKD, arXiv:2306.13649, section 3, comes to for reverse KL
on sampled tokens).
"""

import torch


def reverse_kl_advantages(
    student_logps: torch.Tensor,  # [N]
    teacher_logps: torch.Tensor,  # [N]
    mask: torch.Tensor,  # [N]
    weight: float,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the advantage of each token [N], without gradient, and sums over the counted tokens.

    Args:
        student_logps, teacher_logps: log-probability of each sampled token, before the update, at one temperature.
        mask: True counts.
        weight: of the reverse KL beside the rewards' advantages.

    The sum `reverse_kl` is that of log p_student - log p_teacher, an unbiased estimate of the KL in nats.
    """
    reverse_kl = (student_logps - teacher_logps).detach()  # [N]
    return -weight * reverse_kl, {"reverse_kl": reverse_kl[mask].sum()}
