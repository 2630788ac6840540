"""Learning in float16: gradients as in float32, overflows that are skipped, and a loss scale that is resumed."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rl.base.errors import RunStopped
from rl.config.recipe import AlgorithmSection, ModelSection, OptimizerSection
from rl.learner.packing import Sample
from rl.learner.policy import Policy, load_policy
from rl.learner.scaling import LEAST_SCALE, build_scaler, update_weights
from rl.learner.selfcheck import made_up
from rl.learner.step import LearnerSettings, Update, learn

SETTINGS = LearnerSettings(temperature=0.8, max_completion_length=16, max_gap=100.0)


def load(model: Path, dtype: torch.dtype = torch.float16, use_peft: bool = True) -> Policy:
    section = ModelSection(name=str(model), lora_r=4, use_peft=use_peft)
    return load_policy(section, "cpu", dtype, seed=0, keep_reference=True, engine_dtype=dtype)


def samples(size: float = 1.0) -> list[Sample]:
    advantages = [1.0, -0.5, 0.7, -1.2, 0.3, 0.9]
    return [
        Sample(s.prompt_ids, s.completion_ids, (-4.0,) * len(s.completion_ids), size * a, True)
        for s, a in zip(made_up(101), advantages, strict=True)
    ]


def step(policy: Policy, scaler: Any = None, batch: Any = None, optimizer: Any = None, mu: int = 1) -> Update:
    optimizer = optimizer or torch.optim.SGD(policy.trainable.values(), lr=0.1)
    algorithm = AlgorithmSection(beta=0.05, num_iterations=mu)
    section = OptimizerSection(max_grad_norm=0)
    return learn(policy, optimizer, batch or samples(), algorithm, section, SETTINGS, None, scaler)


def flat(policy: Policy, gradients: bool = False) -> torch.Tensor:
    return torch.cat([(p.grad if gradients else p.detach()).flatten() for p in policy.trainable.values()])


@pytest.mark.parametrize("use_peft", [True, False], ids=["LoRA", "full"])
@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-5], ids=str)
def test_gradients_are_those_of_float32_however_small(tiny_model: Path, use_peft: bool, size: float) -> None:
    half, single = (load(tiny_model, dtype, use_peft) for dtype in (torch.float16, torch.float32))
    metrics = step(half, batch=samples(size)).metrics
    step(single, batch=samples(size))
    assert (metrics["skipped"], metrics["grad_scale"]) == (0, 2**16)
    assert metrics["grad_norm"] == pytest.approx(float(flat(half, True).double().norm()), rel=1e-4)
    ours, truth = flat(half, True), flat(single, True)
    assert float((ours - truth).norm() / truth.norm()) < 0.01
    assert half.compute_dtype == torch.float16
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in half.trainable.values() if p.grad is not None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_trees_are_computed_as_padded_rows_are(tiny_model: Path, dtype: torch.dtype) -> None:
    tree, padded = (load(tiny_model, dtype, use_peft=False) for _ in range(2))
    padded.use_layout("padded")
    assert step(tree).metrics["entropy"] == pytest.approx(step(padded).metrics["entropy"], rel=1e-3)
    ours, theirs = flat(tree, True), flat(padded, True)
    assert float((ours - theirs).norm() / theirs.norm()) < 8 * torch.finfo(dtype).eps


def test_without_a_scale_small_gradients_would_be_lost(tiny_model: Path) -> None:
    half, single = (load(tiny_model, dtype) for dtype in (torch.float16, torch.float32))
    step(half, torch.amp.GradScaler("cpu", enabled=False), samples(1e-5))
    step(single, batch=samples(1e-5))
    assert float((flat(half, True) - flat(single, True)).norm() / flat(single, True).norm()) > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions_have_no_scale(tiny_model: Path, dtype: torch.dtype) -> None:
    policy = load(tiny_model, dtype)
    assert build_scaler(policy).state_dict() == {}
    assert not {"grad_scale", "skipped"} & step(policy).metrics.keys()


def test_an_overflow_skips_the_update_and_halves_the_scale(tiny_model: Path) -> None:
    policy = load(tiny_model)
    before, scaler = flat(policy).clone(), torch.amp.GradScaler("cpu", init_scale=2.0**20)
    metrics = step(policy, scaler, mu=2).metrics
    assert (metrics["skipped"], metrics["grad_scale"], scaler.get_scale()) == (2, 2.0**19, 2.0**18)
    assert math.isnan(metrics["grad_norm"])
    assert torch.equal(flat(policy), before)
    while step(policy, scaler).metrics["skipped"]:
        assert torch.equal(flat(policy), before)
    assert flat(policy).isfinite().all() and not torch.equal(flat(policy), before)


def test_of_several_updates_the_skipped_ones_are_counted(tiny_model: Path) -> None:
    policy = load(tiny_model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**19)
    while step(policy, scaler).metrics["skipped"]:
        pass
    scale = scaler.get_scale()
    scaler.update(2 * scale)
    metrics = step(policy, scaler, mu=3).metrics
    assert (metrics["skipped"], metrics["grad_scale"]) == (1, scale)  # the first of three, at twice the scale


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_overflows_that_go_on_stop_the_run(tiny_model: Path, value: float) -> None:
    policy = load(tiny_model)
    before, scaler = flat(policy).clone(), build_scaler(policy)
    optimizer = torch.optim.SGD(policy.trainable.values(), lr=0.1)
    skipped = 0.0
    with pytest.raises(RunStopped, match="overflows float16 even at a loss scale of 64"):
        for _ in range(100):
            scaler.scale(torch.zeros(()))
            for parameter in policy.trainable.values():
                parameter.grad = torch.full_like(parameter, value)
            skipped += update_weights(policy, optimizer, scaler, 1.0)["skipped"]
    assert skipped == math.log2(2**16 / LEAST_SCALE)
    assert torch.equal(flat(policy), before)


def test_in_other_precisions_a_gradient_that_is_not_finite_stops_the_run(tiny_model: Path) -> None:
    policy = load(tiny_model, torch.bfloat16)
    before = flat(policy).clone()
    for parameter in policy.trainable.values():
        parameter.grad = torch.full_like(parameter, math.inf)
    with pytest.raises(RunStopped, match="the gradient is (inf|nan), so the step was not taken"):
        update_weights(policy, torch.optim.SGD(policy.trainable.values(), lr=0.1), build_scaler(policy), 1.0)
    assert torch.equal(flat(policy), before)


def test_a_resumed_scale_goes_on_bit_for_bit(tiny_model: Path, tmp_path: Path) -> None:
    """One step overflows, the state is saved, and the scale grows again after two more."""

    def begin() -> tuple[Policy, torch.optim.Optimizer, Any]:
        policy = load(tiny_model)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=3)
        return policy, torch.optim.AdamW(policy.trainable.values(), lr=1e-3), scaler

    huge = [replace(s, advantage=1e9 * s.advantage) for s in samples()]
    policy, optimizer, scaler = begin()
    first = [step(policy, scaler, batch, optimizer).metrics for batch in (samples(), huge, samples())]
    assert [m["skipped"] for m in first] == [0, 1, 0]
    policy.save(tmp_path / "policy")
    torch.save({"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}, tmp_path / "state.pt")
    rest = [step(policy, scaler, samples(), optimizer).metrics for _ in range(3)]
    assert [m["grad_scale"] for m in rest] == [2**13, 2**13, 2**14]

    again, its_optimizer, its_scaler = begin()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    again.load(tmp_path / "policy")
    its_optimizer.load_state_dict(state["optimizer"])
    its_scaler.load_state_dict(state["scaler"])
    assert [step(again, its_scaler, samples(), its_optimizer).metrics for _ in range(3)] == rest
    assert torch.equal(flat(again), flat(policy))


RANK_SCRIPT = """
import json, sys
from pathlib import Path
import torch
from rl.base import ranks
from tests.learner.test_scaling import flat, load, samples, step
ranks.start("cpu")
policy = load(Path(sys.argv[1]))
half = samples()[ranks.rank() * 3 : ranks.rank() * 3 + 3]
scaler = torch.amp.GradScaler("cpu")
found = []
for size in (1.0, 1e9, 1.0):  # in the second step rank 1 alone overflows
    mine = samples(size if ranks.rank() else 1.0)[ranks.rank() * 3 : ranks.rank() * 3 + 3]
    metrics = step(policy, scaler, mine).metrics
    found.append([metrics["skipped"], metrics["grad_scale"]])
found.append(flat(policy).double().sum().item())
Path(sys.argv[2] + str(ranks.rank())).write_text(json.dumps(found))
ranks.stop()
"""


@pytest.mark.slow
def test_ranks_skip_alike(tiny_model: Path, tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK_SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    root = str(Path(__file__).parents[2])
    subprocess.run(
        [*command, str(tiny_model), str(tmp_path / "out")], check=True, env=os.environ | {"PYTHONPATH": root}
    )
    one, other = (json.loads((tmp_path / f"out{rank}").read_text()) for rank in (0, 1))
    assert one == other
    assert one[:3] == [[0, 2**16], [1, 2**16], [0, 2**15]]
