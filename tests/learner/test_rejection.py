"""Which sequences are rejected, by hand and against NumPy; and what that does to a step."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rl.config.recipe import AlgorithmSection, ModelSection, OptimizerSection, RolloutRejection
from rl.learner.packing import Sample
from rl.learner.policy import load_policy
from rl.learner.rejection import kept_tokens
from rl.learner.step import LearnerSettings, Update, learn

# Ratios of sequence 0: 2 and 1/2, which cancel; of 1: 1.1 and 1.1; of 2: 1 and, uncounted, 1/1000; of 3: 0.01 and 1.
RATIOS = torch.tensor([2, 0.5, 1.1, 1.1, 1, 0.001, 0.01, 1], dtype=torch.float64)
SEQUENCE = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
MASK = torch.tensor([True, True, True, True, True, False, True, True])
ENGINE = torch.full((8,), -3.0, dtype=torch.float64)
OLD = ENGINE + RATIOS.log()
MODEL = ModelSection(name="", lora_r=4)


@pytest.mark.parametrize(
    ("limits", "rejected"),
    [
        ({"seq_mean_k1": 1.05}, [1, 3]),  # geometric means 1, 1.1, 1, 0.1
        ({"seq_mean_k1": 1.2}, [3]),
        ({"seq_mean_k1": 11.0}, []),
        ({"seq_mean_abs": 0.5}, [0, 3]),  # log 2 = 0.69; log 1.1 = 0.095; 0; log 100 / 2 = 2.3
        ({"seq_mean_abs": 0.09}, [0, 1, 3]),
        ({"seq_mean_k3": 0.2}, [0, 3]),  # (2 - 1 - 0.693 + 0.5 - 1 + 0.693) / 2 = 0.25; 0.0047; 0; 1.8
        ({"seq_mean_k3": 0.3}, [3]),
        ({"token_veto": 0.4}, [3]),
        ({"token_veto": 0.6}, [0, 3]),
        ({"token_veto": 0.005}, []),  # the token of 0.001 does not count
        ({"token_veto": 0.4, "seq_mean_k1": 1.05}, [1, 3]),
    ],
)
def test_hand_worked(limits: dict[str, float], rejected: list[int]) -> None:
    kept, counts = kept_tokens(OLD, ENGINE, SEQUENCE, MASK, limits)
    assert kept.tolist() == [int(s) not in rejected for s in SEQUENCE]
    assert (counts["sequences"].item(), counts["rejected"].item()) == (4, len(rejected))
    assert all(counts[f"rejected/{name}"] <= len(rejected) for name in limits)


def test_every_option_of_a_recipe_is_there() -> None:
    limits = {name: 1.5 if name == "seq_mean_k1" else 0.5 for name in RolloutRejection.model_fields}
    counts = kept_tokens(OLD, ENGINE, SEQUENCE, MASK, limits)[1]
    assert {name for name in counts if "/" in name} == {f"rejected/{name}" for name in limits}


def test_sequences_without_a_counted_token_are_neither_counted_nor_rejected() -> None:
    mask = torch.tensor([False, False, True, True, True, False, True, True])
    kept, counts = kept_tokens(OLD, ENGINE, SEQUENCE, mask, {"seq_mean_abs": 0.5})
    assert kept.tolist() == [True] * 6 + [False] * 2
    assert (counts["sequences"].item(), counts["rejected"].item()) == (3, 1)


def test_a_log_probability_that_is_not_known_speaks_against_nothing() -> None:
    engine = ENGINE.clone()
    engine[6] = math.nan
    limits = {"seq_mean_k1": 1.01, "seq_mean_abs": 0.01, "seq_mean_k3": 1e-5, "token_veto": 0.9}
    assert kept_tokens(OLD, engine, SEQUENCE, MASK, limits)[0][6:].all()


def test_no_tokens() -> None:
    none, empty = torch.zeros(0), torch.zeros(0, dtype=torch.long)
    kept, counts = kept_tokens(none, none, empty, empty.bool(), {"token_veto": 0.5, "seq_mean_k1": 2.0})
    assert len(kept) == 0 and counts["sequences"] == 0


@pytest.mark.parametrize(
    "limits", [{"seq_mean_k1": 1.1}, {"seq_mean_abs": 0.3}, {"seq_mean_k3": 0.05}, {"token_veto": 0.5}]
)
def test_equals_numpy(limits: dict[str, float]) -> None:
    rng = np.random.default_rng(1)
    sequence = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    old, engine = rng.normal(-2, 0.3, len(sequence)), rng.normal(-2, 0.3, len(sequence))
    mask = rng.random(len(sequence)) < 0.8
    [(name, limit)] = limits.items()
    rejected = set()
    for s in range(60):
        r = np.exp(old - engine)[(sequence == s) & mask]
        beyond = {
            "seq_mean_k1": lambda r: not 1 / 1.1 <= np.prod(r) ** (1 / len(r)) <= 1.1,
            "seq_mean_abs": lambda r: np.abs(np.log(r)).mean() > 0.3,
            "seq_mean_k3": lambda r: (r - 1 - np.log(r)).mean() > 0.05,
            "token_veto": lambda r: r.min() < 0.5,
        }[name]
        if len(r) and beyond(r):
            rejected.add(s)
    tensors = [torch.tensor(x) for x in (old, engine, sequence, mask)]
    kept, counts = kept_tokens(*tensors, {name: limit})
    assert {int(s) for s in sequence[~kept.numpy()]} == rejected
    assert 0 < len(rejected) == counts["rejected"].item() < 60


@pytest.fixture(scope="module")
def samples(tiny_model: Path) -> list[Sample]:
    """Six completions with the learner's own log-probabilities; the engine differs about the second and the fifth."""
    rng = np.random.default_rng(0)
    made = [
        Sample(
            (5, 6, 7 + n // 3), tuple(int(x) for x in rng.integers(5, 200, 4)), (-1.0,) * 4, float(rng.normal()), True
        )
        for n in range(6)
    ]
    own = step(tiny_model, made, AlgorithmSection(), [])[0].logps
    made = [replace(sample, engine_logps=tuple(own[n])) for n, sample in enumerate(made)]
    for n in (1, 4):
        made[n] = replace(made[n], engine_logps=tuple(x + 2 for x in made[n].engine_logps))
    return made


def step(
    model: Path, samples: list[Sample], algorithm: AlgorithmSection, gradients: list[Any], **section: Any
) -> tuple[Update, list[Any]]:
    """One step of SGD, unclipped; adds the last gradient to `gradients`."""
    learner = load_policy(
        MODEL.model_copy(update={"name": str(model)}), "cpu", torch.float32, seed=0, keep_reference=algorithm.beta > 0
    )
    optimizer = torch.optim.SGD(learner.trainable.values(), lr=0.1)
    update = learn(
        learner,
        optimizer,
        samples,
        algorithm,
        OptimizerSection(max_grad_norm=0, **section),
        LearnerSettings(0.8, 4, 99),
    )
    gradients.append({name: p.grad.clone() for name, p in learner.trainable.items()})
    return update, gradients


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo", "cispo"])
@pytest.mark.parametrize("iterations", [1, 2])
@pytest.mark.parametrize("section", [{}, {"micro_batch_size": 1}])
def test_rejected_completions_have_no_part_in_the_gradient(
    tiny_model: Path, samples: list[Sample], loss_type: Any, iterations: int, section: dict[str, Any]
) -> None:
    """As if their advantage were 0, which leaves what the loss divides by as it is."""
    common = {"loss_type": loss_type, "num_iterations": iterations, "importance_sampling_correction": "none"}
    rejecting = AlgorithmSection(**common, rollout_rs=RolloutRejection(seq_mean_abs=1.0))
    update, gradients = step(tiny_model, samples, rejecting, [], **section)
    without = [replace(sample, advantage=0.0) if n in (1, 4) else sample for n, sample in enumerate(samples)]
    step(tiny_model, without, AlgorithmSection(**common), gradients)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=1e-4)
    assert update.metrics["correction/rejected"] == pytest.approx(2 / 6)
    assert update.metrics["correction/rejected/seq_mean_abs"] == pytest.approx(2 / 6)
    assert update.metrics["grad_norm"] > 0


def test_shares_of_both_bounds_are_logged(tiny_model: Path, samples: list[Sample]) -> None:
    """Two completions of six are exp(-2) as probable to the learner."""
    algorithm = AlgorithmSection(importance_sampling_correction="geometric_mask", importance_sampling_floor=0.5)
    metrics = step(tiny_model, samples, algorithm, [])[0].metrics
    assert metrics["correction/floored"] == pytest.approx(2 / 6) and metrics["correction/capped"] == 0
    assert metrics["correction/mean"] == pytest.approx(4 / 6)
    assert not any(name.startswith("correction/rejected") for name in metrics)
