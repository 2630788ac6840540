"""The step's gradient does not depend on how the batch is cut, and its parts are those of the plain formula."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rl.base.errors import RunStopped
from rl.config.recipe import AlgorithmSection, ModelSection, OptimizerSection, RolloutRejection
from rl.learner.fuse import LogitError, absolute_limit
from rl.learner.packing import Sample
from rl.learner.policy import Policy, load_policy
from rl.learner.step import LearnerSettings, learn
from rl.models.source import load_model
from rl.rollout.engine import SamplingParams
from rl.rollout.transformers_engine import TransformersEngine

SETTINGS = LearnerSettings(temperature=0.8, max_completion_length=6, max_gap=0.01)
ALGORITHM = AlgorithmSection(beta=0.05, entropy_coef=0.01, loss_type="grpo", importance_sampling_level="sequence")


def policy(model: Path, **options: object) -> Policy:
    return load_policy(
        ModelSection(name=str(model), lora_r=4, **options), "cpu", torch.float32, seed=0, keep_reference=True
    )


@pytest.fixture(scope="module")
def samples(tiny_model: Path) -> list[Sample]:
    """Two groups of four completions, really sampled, with made-up advantages; one sample is masked."""
    engine = TransformersEngine(str(tiny_model))
    prompts = [(5, 6, 7, 8), (5, 6, 9)]
    groups = engine.generate(prompts, SamplingParams(6, temperature=0.8), [[1, 2, 3, 4], [5, 6, 7, 8]])
    advantages = iter([1.0, -0.5, 0.25, -0.75, 0.5, 1.5, -1.0, -1.0])
    flat = [(prompt, c) for prompt, group in zip(prompts, groups, strict=True) for c in group]
    made = [Sample(tuple(p), c.token_ids, c.logprobs, next(advantages), True) for p, c in flat]
    return [*made[:-1], replace(made[-1], counted=False)]


def gradients(
    model: Path,
    samples: list[Sample],
    algorithm: AlgorithmSection,
    settings: LearnerSettings = SETTINGS,
    **section: object,
) -> dict:
    """The gradient that a step leaves behind, taken without clipping."""
    learner = policy(model)
    optimizer = torch.optim.SGD(learner.trainable.values(), lr=0.0)
    learn(learner, optimizer, samples, algorithm, OptimizerSection(max_grad_norm=0, **section), settings)
    return {name: p.grad.clone() for name, p in learner.trainable.items()}


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for the rounding of float32 sums."""
    return float((one - other).abs().max()) <= 1e-5 * max(float(other.abs().max()), 1e-3)


@pytest.mark.parametrize(
    "algorithm", [ALGORITHM, AlgorithmSection(loss_type="dapo"), AlgorithmSection(loss_type="cispo")]
)
@pytest.mark.parametrize("section", [{"micro_batch_size": 1}, {"micro_batch_size": 3}, {"micro_batch_tokens": 9}])
def test_gradient_is_the_same_in_micro_batches_of_any_size(
    tiny_model: Path, samples: list[Sample], algorithm: AlgorithmSection, section: dict
) -> None:
    whole = gradients(tiny_model, samples, algorithm)
    cut = gradients(tiny_model, samples, algorithm, **section)
    assert sum(g.abs().sum() for g in whole.values()) > 0
    for name, gradient in whole.items():
        assert same(cut[name], gradient), name


def test_gradient_equals_autograd_of_the_padded_formula(tiny_model: Path, samples: list[Sample]) -> None:
    """DAPO on the first update: mean over counted tokens of -A * ratio, with ratio 1 and one pass per sequence."""
    learner = policy(tiny_model)
    learner.use_layout("padded")  # plain attention
    counted = [s for s in samples if s.counted]
    tokens = sum(len(s.completion_ids) for s in counted)
    loss = torch.zeros(())
    for s in counted:
        logits = learner.model(torch.tensor([s.prompt_ids + s.completion_ids])).logits[0, len(s.prompt_ids) - 1 : -1]
        logps = torch.log_softmax(logits / 0.8, -1)[range(len(s.completion_ids)), list(s.completion_ids)]
        loss = loss - s.advantage * (logps - logps.detach()).exp().sum() / tokens
    loss.backward()
    plain = AlgorithmSection(loss_type="dapo", importance_sampling_correction="none")
    for name, gradient in gradients(tiny_model, samples, plain).items():
        assert torch.allclose(gradient, learner.trainable[name].grad, atol=1e-6), name


def test_second_iteration_compares_with_the_first(tiny_model: Path, samples: list[Sample]) -> None:
    learner = policy(tiny_model)
    optimizer = torch.optim.SGD(learner.trainable.values(), lr=5.0)
    algorithm = AlgorithmSection(num_iterations=2, epsilon=0.001, loss_type="dapo")
    update = learn(learner, optimizer, samples, algorithm, OptimizerSection(max_grad_norm=0), SETTINGS)
    assert update.metrics["clip_ratio/low"] + update.metrics["clip_ratio/high"] > 0  # ratios have left 1
    assert update.metrics["gap/mean"] < 1e-5  # measured before the first update


def test_groups_without_signal_leave_the_weights_and_still_measure_the_gap(
    tiny_model: Path, samples: list[Sample]
) -> None:
    learner = policy(tiny_model)
    flat = [replace(s, advantage=0.0) for s in samples]
    optimizer = torch.optim.SGD(learner.trainable.values(), lr=1.0)
    update = learn(learner, optimizer, flat, AlgorithmSection(), OptimizerSection(), SETTINGS)
    assert update.metrics["grad_norm"] == 0 and update.metrics["gap/mean"] < 1e-5
    assert list(update.logps) == [0]


def test_engine_that_disagrees_stops_the_step_before_the_update(tiny_model: Path, samples: list[Sample]) -> None:
    learner = policy(tiny_model)
    before = {name: p.detach().clone() for name, p in learner.trainable.items()}
    wrong = [replace(s, engine_logps=tuple(x - 0.5 for x in s.engine_logps)) for s in samples]
    optimizer = torch.optim.SGD(learner.trainable.values(), lr=1.0)
    with pytest.raises(RunStopped, match=r"0\.5000 is above the limit 0\.01 of rollout.max_gap;"):
        learn(learner, optimizer, wrong, AlgorithmSection(), OptimizerSection(), SETTINGS)
    assert all(torch.equal(before[name], p) for name, p in learner.trainable.items())


@pytest.mark.parametrize("wrong", [0.6, 1.0])
def test_a_wrong_temperature_stops_the_first_step(tiny_model: Path, samples: list[Sample], wrong: float) -> None:
    learner = policy(tiny_model)
    optimizer = torch.optim.SGD(learner.trainable.values(), lr=1.0)
    limit = absolute_limit(torch.float32, torch.float32, apart=False, stale=False)
    settings = replace(SETTINGS, max_gap=limit)
    learn(learner, optimizer, samples, AlgorithmSection(), OptimizerSection(), settings)
    with pytest.raises(RunStopped, match=r"is above the limit 0\.02 of rollout\.max_gap;"):
        learn(
            policy(tiny_model),
            optimizer,
            samples,
            AlgorithmSection(),
            OptimizerSection(),
            replace(settings, temperature=wrong),
        )


def test_a_gap_above_that_of_the_first_step_stops_the_step(tiny_model: Path, samples: list[Sample]) -> None:
    """The absolute limit would let it pass."""
    learner = policy(tiny_model)
    optimizer = torch.optim.SGD(learner.trainable.values(), lr=1.0)
    wrong = [replace(s, engine_logps=tuple(x - 0.02 for x in s.engine_logps)) for s in samples]
    first = replace(SETTINGS, max_gap=0.1, first_gap=LogitError(0.001, 100))
    with pytest.raises(RunStopped, match=r"0\.0200 is above the limit 0\.00\d+ .*; it was 0\.0010 in the first step"):
        learn(learner, optimizer, wrong, AlgorithmSection(), OptimizerSection(), first)
    same = replace(first, first_gap=LogitError(0.016, 100))
    metrics = learn(learner, optimizer, wrong, AlgorithmSection(), OptimizerSection(), same).metrics
    assert 0.016 < metrics["gap/logit"] < 0.017  # T |d| / (1 - p), of tokens of small probability
    assert metrics["gap/limit"] == pytest.approx(0.02 * 2.5 * 0.016 / metrics["gap/logit"], rel=0.6)
    assert metrics["gap/limit"] > metrics["gap/mean"]


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}])
def test_exported_weights_are_the_adapter_merged_and_the_base_is_untouched(tiny_model: Path, options: dict) -> None:
    learner = policy(tiny_model, **options)
    base = {name: p.clone() for name, p in learner.causal_lm.named_parameters() if "base_layer" in name}
    torch.manual_seed(0)
    with torch.no_grad():
        for p in learner.trainable.values():
            p.add_(torch.randn_like(p) * 0.05)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    learner.use_layout("padded")  # plain attention
    expected = learner.model(ids).logits
    merged = load_model(str(tiny_model))
    missing, unexpected = merged.load_state_dict(dict(learner.export()), strict=False)
    assert not unexpected
    unchanged = {"embed_tokens", "lm_head", "norm", "input_layernorm", "post_attention_layernorm"}
    assert {name.split(".")[-2] for name in missing} == unchanged  # only what learns is sent
    assert torch.allclose(merged(ids).logits, expected, atol=1e-4)
    assert all(torch.equal(p, base[name]) for name, p in learner.causal_lm.named_parameters() if name in base)


RANK_SCRIPT = """
import json, pickle, sys
import torch
from rl.base import ranks
from rl.learner.policy import load_policy
from rl.learner.step import LearnerSettings, learn
from rl.config.recipe import AlgorithmSection, ModelSection, OptimizerSection
model, samples, target = sys.argv[1], pickle.load(open(sys.argv[2], "rb")), sys.argv[3]
ranks.start("cpu")
add_at_once = ranks.add_gradients
def add_and_compare(parameters):
    parameters = list(parameters)
    one_by_one = [p.grad.clone() for p in parameters]
    for gradient in one_by_one:
        torch.distributed.all_reduce(gradient)
    add_at_once(parameters)
    assert all(torch.equal(p.grad, gradient) for p, gradient in zip(parameters, one_by_one, strict=True))
    open(f"{target}-{ranks.rank()}.compared", "w").close()
ranks.add_gradients = add_and_compare
share = len(samples) // ranks.world_size()
mine = samples[ranks.rank() * share : (ranks.rank() + 1) * share]
learner = load_policy(ModelSection(name=model, lora_r=4), "cpu", torch.float32, seed=0, keep_reference=True)
algorithm = AlgorithmSection.model_validate_json(sys.argv[4])
update = learn(learner, torch.optim.SGD(learner.trainable.values(), lr=0.0), mine, algorithm,
               OptimizerSection(max_grad_norm=0), LearnerSettings(0.8, 6, 10.0))
torch.save({n: p.grad for n, p in learner.trainable.items()}, f"{target}-{ranks.rank()}.pt")
json.dump(update.metrics, open(f"{target}-{ranks.rank()}.json", "w"))
ranks.stop()
"""


def test_two_ranks_have_the_gradient_of_one(tiny_model: Path, samples: list[Sample], tmp_path: Path) -> None:
    """Two completions are rejected, one of each rank."""
    algorithm = ALGORITHM.model_copy(update={"rollout_rs": RolloutRejection(seq_mean_abs=2.0)})
    for n in (1, 6):
        far = tuple(x - 3 for x in samples[n].engine_logps)
        samples = [*samples[:n], replace(samples[n], engine_logps=far), *samples[n + 1 :]]
    script, data = tmp_path / "rank.py", tmp_path / "samples.pkl"
    script.write_text(RANK_SCRIPT)
    data.write_bytes(pickle.dumps(samples))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    arguments = [str(tiny_model), str(data), str(tmp_path / "out"), algorithm.model_dump_json()]
    root = Path(__file__).parents[2]
    subprocess.run(command + arguments, check=True, env=os.environ | {"PYTHONPATH": str(root)}, timeout=300)
    one = gradients(tiny_model, samples, algorithm, replace(SETTINGS, max_gap=10.0))
    for rank in (0, 1):
        assert (tmp_path / f"out-{rank}.compared").exists()  # one sum of all gradients is that of each, bit for bit
        both = torch.load(tmp_path / f"out-{rank}.pt")
        assert all(same(both[name], one[name]) for name in one)
    first, second = (json.loads((tmp_path / f"out-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second  # loss, entropy, gap: of the whole batch on every rank
    assert first["correction/rejected"] == pytest.approx(2 / 7)  # of those that count
