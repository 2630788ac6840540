"""TRL's own code as the oracle: losses, gradients, clip counts, importance weights and advantages.

`GRPOTrainer._compute_loss` runs for real, on a trainer that was never initialized: it gets the attributes that the
function reads, and log-probabilities in place of a model. What TRL computes inside `_generate_and_score_completions`
is cut out of its source by what it tests or assigns, and run.
"""

import ast
import inspect
import math
import textwrap
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl.trainer import grpo_trainer
from trl.trainer.grpo_trainer import GRPOTrainer

from rl.learner.advantages import group_advantages
from rl.learner.correction import importance_weights
from rl.learner.kl import kl_per_token
from rl.learner.losses import Totals, policy_loss

B, T, LIMIT = 6, 7, 11  # sequences, longest completion, max_completion_length
EPSILON, BETA, ENTROPY_COEF = 0.2, 0.04, 0.03
CLOSE: dict[str, Any] = {"atol": 1e-6, "rtol": 1e-6}


class OneProcess:
    """The part of accelerate's Accelerator that the loss uses."""

    num_processes = 1
    sync_gradients = True

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def reduce(self, x: torch.Tensor, reduction: str) -> torch.Tensor:
        return x


def trl_trainer(case: dict[str, Any], micro_batches: int) -> Any:
    trainer: Any = GRPOTrainer.__new__(GRPOTrainer)
    trainer.args = SimpleNamespace(
        use_bias_correction_kl=case.get("bias_correction", False), delta=None, steps_per_generation=micro_batches
    )
    trainer.accelerator, trainer.model = OneProcess(), SimpleNamespace(training=True)
    trainer._metrics = {"train": defaultdict(list)}
    trainer.aux_loss_enabled, trainer.top_entropy_quantile, trainer.off_policy_mask_threshold = False, 1.0, None
    trainer.loss_type, trainer.importance_sampling_level = case["loss_type"], case["level"]
    trainer.epsilon_low, trainer.epsilon_high, trainer.beta = EPSILON, case["epsilon_high"], case["beta"]
    trainer.use_vllm = trainer.vllm_importance_sampling_correction = case["corrected"]
    trainer.current_gradient_accumulation_steps = micro_batches
    trainer.max_completion_length = LIMIT
    trainer._entropy_bonus_enabled, trainer.use_adaptive_entropy = case["entropy_coef"] > 0, False
    trainer.entropy_coef = case["entropy_coef"]
    return trainer


def trl_loss(case: dict[str, Any], batch: dict[str, torch.Tensor], micro_batches: int = 1) -> tuple[Any, ...]:
    """TRL's loss, its gradients with respect to log-probabilities and entropies, and its metrics."""
    trainer = trl_trainer(case, micro_batches)
    leaves = {name: batch[name].clone().requires_grad_() for name in ("logps", "entropy")}
    loss = torch.zeros((), dtype=torch.float64)
    for rows in torch.arange(B).chunk(micro_batches):
        logps, entropy = leaves["logps"][rows], leaves["entropy"][rows]
        trainer._get_per_token_logps_and_entropies = lambda *_, x=(logps, entropy), **__: (*x, None)
        ids = torch.zeros(len(rows), 1, dtype=torch.long)
        inputs = {
            "prompt_ids": ids,
            "prompt_mask": ids,
            "completion_ids": torch.zeros(len(rows), T, dtype=torch.long),
            "completion_mask": batch["mask"][rows].long(),
            "advantages": batch["advantages"][rows],
            "num_items_in_batch": batch["mask"].sum(),
            "old_per_token_logps": batch["old_logps"][rows],
            "ref_per_token_logps": batch["ref_logps"][rows],
            "importance_sampling_ratio": batch["correction"][rows],
        }
        loss = loss + trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    return loss.detach(), leaves["logps"].grad, leaves["entropy"].grad, trainer._metrics["train"]


def penny_loss(case: dict[str, Any], batch: dict[str, torch.Tensor]) -> tuple[Any, ...]:
    """Ours, on the same numbers without the padding; gradients put back where the padding was."""
    real = batch["real"]
    leaves = {name: batch[name].clone().requires_grad_() for name in ("logps", "entropy")}
    logps = leaves["logps"][real]  # [N]
    kl = kl_per_token(logps, batch["ref_logps"][real], "k3")
    if case.get("bias_correction"):
        kl = kl * (logps - batch["old_logps"][real]).exp()
    loss, stats = policy_loss(
        logps,
        batch["old_logps"][real],
        batch["advantages"],
        torch.arange(B).unsqueeze(1).expand(B, T)[real],
        batch["mask"][real],
        Totals(B, int(batch["mask"].sum()), LIMIT),
        loss_type=case["loss_type"],
        epsilon=EPSILON,
        epsilon_high=case["epsilon_high"],
        importance_sampling_level=case["level"],
        correction=batch["correction"].expand(B, T)[real] if case["corrected"] else None,
        kl=kl,
        beta=case["beta"],
        entropy=leaves["entropy"][real],
        entropy_coef=case["entropy_coef"],
    )
    loss.backward()
    return loss.detach(), leaves["logps"].grad, leaves["entropy"].grad, stats


@pytest.fixture(params=[0, 1])
def batch(request: pytest.FixtureRequest) -> dict[str, torch.Tensor]:
    """Padded [B, T] random numbers; sequence 1 does not count (a truncated one), nor do some tokens of sequence 3."""
    generator = torch.Generator().manual_seed(request.param)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    lengths = torch.tensor([7, 3, 1, 5, 7, 2])
    real = torch.arange(T) < lengths.unsqueeze(1)
    mask = real.clone()
    mask[1], mask[3, 1:3] = False, False
    logps = normal(B, T) - 2
    return {
        "logps": logps,
        "old_logps": logps + 0.3 * normal(B, T),
        "ref_logps": logps + 0.5 * normal(B, T),
        "engine_logps": logps + 0.5 * normal(B, T),
        "advantages": normal(B),
        "entropy": normal(B, T).abs(),
        "correction": (0.3 * normal(B, T)).exp(),
        "real": real,
        "mask": mask,
    }


def case_of(loss_type: str, **changes: Any) -> dict[str, Any]:
    plain = {"level": "token", "epsilon_high": EPSILON, "beta": 0.0, "corrected": False, "entropy_coef": 0.0}
    return {"loss_type": loss_type, **plain, **changes}


def variants(loss_type: str) -> dict[str, dict[str, Any]]:
    return {
        "plain": {},
        "kl": {"beta": BETA},
        "clip-higher": {"epsilon_high": 5.0 if loss_type == "cispo" else 0.28},
        "corrected": {"corrected": True},
        "entropy": {"entropy_coef": ENTROPY_COEF},
        "all": {"beta": BETA, "epsilon_high": 1.1, "corrected": True, "entropy_coef": ENTROPY_COEF},
    }


CASES = [
    pytest.param(case_of(loss_type, level=level, **changes), id=f"{loss_type}-{level}-{name}")
    for loss_type in ("grpo", "bnpo", "dr_grpo", "dapo", "cispo")
    for level in ("token", "sequence")
    for name, changes in variants(loss_type).items()
]


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_equal_trl(case: dict[str, Any], batch: dict[str, torch.Tensor]) -> None:
    loss, grad, entropy_grad, stats = penny_loss(case, batch)
    trl, trl_grad, trl_entropy_grad, metrics = trl_loss(case, batch)
    torch.testing.assert_close(loss, trl, **CLOSE)
    torch.testing.assert_close(grad, trl_grad, **CLOSE)
    if case["entropy_coef"]:
        torch.testing.assert_close(entropy_grad, trl_entropy_grad, **CLOSE)
    assert grad.abs().max() > 1e-3  # there was something to compare
    tokens = stats["tokens"].item()
    assert stats["entropy"].item() / tokens == pytest.approx(metrics["entropy"][0])
    if case["beta"]:
        assert stats["kl"].item() / tokens == pytest.approx(metrics["kl"][0])
    if case["level"] == "token" and case["loss_type"] == "cispo":
        assert stats["clip_high"].item() / tokens == pytest.approx(metrics["cispo_clip_ratio"][0])
    elif case["level"] == "token":
        assert stats["clip_low"].item() / tokens == pytest.approx(metrics["clip_ratio/low_mean"][0])
        assert stats["clip_high"].item() / tokens == pytest.approx(metrics["clip_ratio/high_mean"][0])


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo", "cispo"])
def test_trl_with_gradient_accumulation_is_the_same_as_our_batch(
    loss_type: Any, batch: dict[str, torch.Tensor]
) -> None:
    """Not so for bnpo, which TRL divides by the micro-batch's tokens."""
    case = case_of(loss_type, beta=BETA)
    loss, grad, _, _ = penny_loss(case, batch)
    trl, trl_grad, _, _ = trl_loss(case, batch, micro_batches=3)
    torch.testing.assert_close((loss, grad), (trl, trl_grad), **CLOSE)


def test_trl_default_kl_is_ours_times_the_ratio(batch: dict[str, torch.Tensor]) -> None:
    case = case_of("grpo", beta=BETA, bias_correction=True)
    loss, grad, _, _ = penny_loss(case, batch)
    trl, trl_grad, _, _ = trl_loss(case, batch)
    torch.testing.assert_close((loss, grad), (trl, trl_grad), **CLOSE)


def run_trl_fragment(condition: str, holds: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run the one `if` of `_generate_and_score_completions` that tests `condition` and assigns `holds`."""
    source = textwrap.dedent(inspect.getsource(GRPOTrainer._generate_and_score_completions))
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.If) and ast.unparse(node.test) == condition and f"{holds} = " in ast.unparse(node)
    ]
    assert len(found) == 1, "TRL changed: look for its formula again"
    exec(compile(ast.Module(body=[*found], type_ignores=[]), "trl", "exec"), vars(grpo_trainer), names)
    return names


@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
@pytest.mark.parametrize(("floor", "cap"), [(None, 1.2), (None, 2.0), (0.9, 1.2), (0.9, None)])
def test_importance_weights_equal_trl(
    mode: Any, floor: float | None, cap: float | None, batch: dict[str, torch.Tensor]
) -> None:
    batch["engine_logps"][4, 2] = math.nan  # a token that vLLM could not score
    batch["engine_logps"][0] = batch["old_logps"][0] - 0.2
    batch["engine_logps"][0, 0] -= 0.8  # a token of ratio e in a sequence of ratio e^2.2: both above any cap here
    trainer = SimpleNamespace(
        use_vllm=True,
        vllm_importance_sampling_correction=True,
        vllm_importance_sampling_mode=mode,
        vllm_importance_sampling_clip_min=floor,
        vllm_importance_sampling_clip_max=cap,
    )
    trl = run_trl_fragment(
        "self.use_vllm and self.vllm_importance_sampling_correction",
        "vllm_importance_sampling_ratio",
        {
            "self": trainer,
            "completion_mask": batch["mask"].long(),
            "tool_mask": None,
            "old_per_token_logps": batch["old_logps"],
            "sampling_per_token_logps": batch["engine_logps"],
        },
    )["vllm_importance_sampling_ratio"].expand(B, T)
    real = batch["real"]
    weights, stats = importance_weights(
        batch["old_logps"][real],
        batch["engine_logps"][real],
        torch.arange(B).unsqueeze(1).expand(B, T)[real],
        batch["mask"][real],
        mode,
        cap,
        floor,
    )
    torch.testing.assert_close(weights, trl[real])
    torch.testing.assert_close(stats["correction"], trl[batch["mask"]].sum())
    assert (stats["correction_capped"] > 0) == (cap is not None)
    assert (stats["correction_floored"] > 0) == (floor is not None)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_equal_trl(scale: Any) -> None:
    rewards = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    valid = torch.ones(4, 5, dtype=torch.bool)
    valid[1, 2], valid[2, 1:] = False, False
    rewards[3] = 0.5  # a group without signal
    trainer = SimpleNamespace(
        multi_objective_aggregation="sum_then_normalize",
        scale_rewards=scale,
        reward_weights=torch.ones(1, dtype=torch.float64),
    )
    per_function = torch.where(valid, rewards, torch.nan).reshape(-1, 1)
    trl = run_trl_fragment(
        "self.multi_objective_aggregation == 'sum_then_normalize'",
        "advantages",
        {
            "self": trainer,
            "rewards_per_func": per_function,
            "device": "cpu",
            "unscorable_mask": per_function.isnan().all(dim=1),
            "num_generations": 5,
        },
    )["advantages"]
    torch.testing.assert_close(group_advantages(rewards, valid, scale), trl.nan_to_num(nan=0.0).view(4, 5), **CLOSE)
