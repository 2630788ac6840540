"""Importance weights that correct for the engine and the learner not being the same distribution.

Tokens are sampled from the engine's p_engine but differentiated as if from the learner's p_old. The ratio
p_old / p_engine mends that; its upper end is cut, else one token could own the gradient. As in TRL 1.16
(`vllm_importance_sampling_mode`, with `vllm_importance_sampling_clip_max` the cap and no lower bound);
the idea: https://fengyao.notion.site/off-policy-rl.
"""

from typing import Literal, get_args

import torch

from rewards.errors import BadInput

Mode = Literal["none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]


def importance_weights(
    old_logps: torch.Tensor,  # [N]
    engine_logps: torch.Tensor,  # [N]
    sequence: torch.Tensor,  # [N]
    mask: torch.Tensor,  # [N]
    mode: Mode,
    cap: float,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the weight of each token [N], without gradient, and sums over the counted tokens.

    Args:
        old_logps: the learner's log-probabilities before the update.
        engine_logps: those of the engine that sampled; NaN (not known) leaves the token uncorrected.
        sequence: index of the sequence that each token belongs to. A sequence must not be split over calls.
        mask: True counts. Uncounted tokens weigh 1 at token level and add nothing to their sequence's ratio.
        mode: `none`, or `token` (ratio of each token) / `sequence` (product over the sequence's tokens, given to
            all of them), with ratios above `cap` set to `cap` (`truncate`) or to 0 (`mask`).
        cap: the largest ratio kept.

    The sums are `correction` (weights), `correction_capped` (tokens whose ratio was above the cap) and `tokens`.
    Raises BadInput if the mode is unknown.
    """
    if mode not in get_args(Mode):
        raise BadInput(f"Unknown algorithm.importance_sampling_correction {mode!r}: use one of {get_args(Mode)}.")
    log_ratio = torch.where(mask, old_logps.detach() - engine_logps, 0).nan_to_num(nan=0.0)  # [N]
    if mode == "none":
        log_ratio = torch.zeros_like(log_ratio)
    elif mode.startswith("sequence"):
        sequences = int(sequence.max()) + 1 if len(sequence) else 0
        log_ratio = log_ratio.new_zeros(sequences).index_add(0, sequence, log_ratio)[sequence]  # [N]
    ratio = log_ratio.exp()  # [N]
    capped = (ratio > cap) & (mode != "none")  # [N]
    weights = torch.where(capped, 0.0 if mode.endswith("mask") else cap, ratio)  # [N]
    stats = {
        "correction": weights[mask].sum(),
        "correction_capped": capped[mask].sum(),
        "tokens": mask.sum(),
    }
    return weights, stats
