"""`optimizer.micro_batch_tokens: auto`: measured once, kept from then on."""

from pathlib import Path

import pytest
import torch

from rl.config.recipe import USUAL_PASS, ModelSection, OptimizerSection
from rl.config.recipe_file import load_recipe
from rl.learner.budget import auto_budget
from rl.learner.policy import Policy, load_policy
from rl.training import launch
from rl.training.launch import run_recipe, settle_pass


@pytest.fixture
def policy(tiny_model: Path) -> Policy:
    return load_policy(ModelSection(name=str(tiny_model)), "cpu", torch.float32, seed=0, keep_reference=False)


def test_a_number_stays_and_auto_counts_as_the_usual_one_until_it_is_measured(policy: Policy) -> None:
    recipe = load_recipe("quickstart", ["optimizer.micro_batch_tokens=77"], smoke=True)
    assert settle_pass(recipe, policy) == 77
    assert OptimizerSection(micro_batch_tokens="auto").pass_tokens == USUAL_PASS


def test_auto_is_what_fits_the_memory_that_is_free(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("quickstart", ["optimizer.micro_batch_tokens=auto"], smoke=True)
    monkeypatch.setattr(launch, "available_bytes", lambda _device: 2**40)
    assert settle_pass(recipe, policy) == USUAL_PASS
    fitting = auto_budget(policy, 48 * 2**20, USUAL_PASS)
    assert 0 < fitting < USUAL_PASS
    monkeypatch.setattr(launch, "available_bytes", lambda _device: 48 * 2**20)
    assert settle_pass(recipe, policy) == fitting


def test_a_checkpoint_keeps_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "settle_pass", lambda _recipe, _policy: 512)
    options = ["optimizer.micro_batch_tokens=auto", "rollout.engine=transformers", f"run.dir={tmp_path / 'run'}"]
    code, path = run_recipe(load_recipe("quickstart", options, smoke=True))
    assert code == 0
    state = torch.load(path / "checkpoints" / "step-000002" / "state.pt", weights_only=True)
    assert state["micro_batch_tokens"] == 512
