"""Functions of users in the place of losses, estimators and corrections: what is refused, and what they are given."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rewards.errors import BadInput
from rl.base import ranks
from rl.base.errors import PlugInFailed
from rl.config import plug_ins as names
from rl.config.recipe import AlgorithmSection
from rl.learner.advantages import ESTIMATORS, compute_advantages
from rl.learner.correction import CORRECTIONS, importance_weights
from rl.learner.losses import LOSSES, Totals, policy_loss
from rl.learner.plug_ins import PlugIns, load_plug_ins
from rl.learner.step import failing_together

Load = Callable[..., PlugIns]
GOOD = "-x.advantages * x.logps"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a function `f` of a file with this text, for a key of `algorithm`."""

    def loaded(text: str, key: str = "loss_type", **settings: Any) -> PlugIns:
        file = tmp_path / "mine.py"
        file.write_text(f"import sys, torch\nfrom rl.learner import losses\n{text}\n")
        return load_plug_ins(AlgorithmSection.model_validate({key: f"{file}:f"} | settings))

    return loaded


def share(loss: Any, counted: list[bool], totals: Totals, **options: Any) -> tuple[float, list[float], dict[str, Any]]:
    """The loss of three tokens of two sequences, its gradient, and its sums."""
    logps = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    value, sums = policy_loss(
        logps,
        torch.tensor([-1.0, -2.5, -3.0]),
        torch.tensor([2.0, -1.0]),
        torch.tensor([0, 0, 1]),
        torch.tensor(counted),
        totals,
        loss_type=loss,
        epsilon=0.2,
        epsilon_high=0.3,
        **options,
    )
    gradient = torch.autograd.grad(value, logps)[0]
    return value.item(), gradient.tolist(), sums


def test_the_recipe_knows_the_names_of_what_is_built_in() -> None:
    assert (tuple(LOSSES), tuple(ESTIMATORS), tuple(CORRECTIONS)) == (names.LOSSES, names.ESTIMATORS, names.CORRECTIONS)
    assert LOSSES["bnpo"] is LOSSES["dapo"]


def test_a_tensor_of_losses_is_a_mean_over_the_tokens_of_the_batch(load: Load) -> None:
    loss = load(f"def f(x): return {GOOD}").loss
    # tokens 0 and 2 of 5 in the batch: -(2 * -1) / 5 - (-1 * -3) / 5
    value, gradient, sums = share(loss, [True, False, True], Totals(4, 5, 8))
    assert value == pytest.approx((2 - 3) / 5)
    assert gradient == pytest.approx([-2 / 5, 0, 1 / 5])
    assert set(sums) == {"tokens"} and sums["tokens"] == 2


def test_weights_and_statistics_of_a_loss_are_taken(load: Load) -> None:
    stats = "{'old': x.old_logps, 'ratio': x.ratio()}"
    loss = load(f"def f(x): return losses.LossOutput({GOOD}, losses.over_constant(x), {stats})").loss
    value, _, sums = share(loss, [True, True, True], Totals(4, 5, 8))
    assert value == pytest.approx((2 + 4 - 3) / (4 * 8))
    assert sums["loss/old"].item() == pytest.approx(-6.5)
    assert sums["ratio"].item() == pytest.approx(2 + torch.tensor(0.5).exp().item())


def test_correction_kl_and_entropy_are_added_to_a_loss_of_ones_own(load: Load) -> None:
    loss = load(f"def f(x): return {GOOD}").loss
    more = {
        "correction": torch.tensor([0.5, 1.0, 2.0]),
        "kl": torch.tensor([1.0, 1.0, 1.0]),
        "beta": 0.1,
        "entropy": torch.tensor([3.0, 3.0, 3.0]),
        "entropy_coef": 0.01,
    }
    value, _, _ = share(loss, [True, True, True], Totals(4, 3, 8), **more)
    assert value == pytest.approx((2 * 0.5 + 4 - 3 * 2) / 3 + 0.1 - 0.03)


def test_a_loss_sees_the_engine_and_the_learner_where_the_engine_gave_nothing(load: Load) -> None:
    loss = load(f"def f(x): return {GOOD} + x.engine_logps").loss
    engine = torch.tensor([-1.5, torch.nan, -3.0])
    value, _, _ = share(loss, [True, True, True], Totals(2, 1, 8), engine_logps=engine)
    assert value == pytest.approx((2 + 4 - 3) - 1.5 - 2.5 - 3)


def test_a_loss_is_not_asked_about_nothing(load: Load) -> None:
    loss = load("def f(x):\n    assert len(x.logps)\n    return -x.advantages * x.logps").loss
    value, gradient, _ = share(loss, [False, False, False], Totals(2, 3, 8))
    assert (value, gradient) == (0, [0, 0, 0])


def test_tokens_without_a_gradient_are_no_failure(load: Load) -> None:
    good = "-x.advantages.clamp(min=0) * x.logps"
    loss = load(f"def f(x): return {good} if (x.advantages > 0).any() else torch.zeros(len(x.logps))").loss
    value, gradient, _ = share(loss, [False, False, True], Totals(2, 3, 8))
    assert (value, gradient) == (0, [0, 0, 0])


@pytest.mark.parametrize(
    ("text", "needs_all"), [(f"def f(x): return {GOOD}", False), ("def f(x): return -x.logps", True)]
)
def test_completions_without_advantage_are_learned_only_if_they_add_to_the_loss(
    load: Load, text: str, needs_all: bool
) -> None:
    assert load(text).needs_all is needs_all


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def g(x): return 0", "the loss file {file} has no function 'f'; define it there or correct the name"),
        ("f = 3", "is a int, and must be a function of Python's"),
        ("def f(x, y): return x", "has the parameters (x, y), and is called with one, a LossInput: write f(x)"),
        ("def f(): return 1", "has the parameters (), and is called with one"),
        ("1 / 0", "the loss file {file} does not import: ZeroDivisionError: division by zero; correct it"),
        ("def f(x):\n    return x.nothing",
         "raised AttributeError: 'LossInput' object has no attribute 'nothing' at {file}, line 4"),
        ("def f(x): return losses.importance_ratio(x.logps, x.sequence, 2, 'all')",
         "use token or sequence. at {file}, line 3"),
        ("def f(x): sys.exit(2)", "raised SystemExit: 2 at {file}, line 3"),
        ("def f(x): return 0.5", "returned a float, and must return a tensor [n]"),
        ("def f(x): return (-x.logps).mean()",
         "returned a tensor [], and must return one [n], a number for each token"),
        ("def f(x): return losses.LossOutput(-x.logps, torch.ones(2))", "returned a tensor [2], and must return one"),
        ("def f(x): return x.logps / 0", "returned a number that is NaN or infinite at {file}, line 3"),
        ("def f(x): return -x.logps.detach()", "has no gradient with respect to x.logps"),
        ("def f(x): return (x.ratio() - 1) ** 2", "has no gradient with respect to x.logps"),  # in the first update
        ("def f(x): return (x.logps - x.old_logps).abs().sqrt()", "has a gradient that is NaN or infinite"),
        ("def f(x): return -x.logps / len(x.logps)", "does not add up over micro-batches"),
        ("def f(x): return -x.logps * (x.advantages - x.advantages.mean())", "does not add up over micro-batches"),
        ("def f(x):\n    y = x.logps.exp()\n    z = y * y\n    y += 1\n    return z",
         "cannot be differentiated: one of the variables"),
    ],
)  # fmt: skip
def test_a_loss_that_cannot_work_is_one_sentence(load: Load, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(text)
    sentence = str(caught.value)
    assert said.format(file=tmp_path / "mine.py") in sentence and "\n" not in sentence


def test_a_missing_file_names_the_places_and_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "losses.py").touch()
    with pytest.raises(BadInput, match=r"the loss file .*/loses.py does not exist .* did you mean .*/losses.py\?"):
        load_plug_ins(AlgorithmSection(loss_type=f"{tmp_path}/loses.py:f"))
    with pytest.raises(BadInput, match="names no function; write mine.py:function_name"):
        load_plug_ins(AlgorithmSection(loss_type="mine.py"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(scores, valid): return scores",
         "asks for 'scores', and may ask for rewards, valid and scale by these names"),
        ("def f(rewards, /, valid): return rewards", "asks for 'rewards', and may ask for rewards, valid and scale"),
        ("def f(rewards): return rewards.sum()", "returned a tensor [], and must return one [P, G], here [5, 4]"),
        ("def f(rewards, valid): return (rewards - rewards.mean(1, keepdim=True)) / rewards.std(1, keepdim=True)",
         "returned a number that is NaN or infinite"),  # a group whose rewards are equal
        ("def f(rewards): return rewards - rewards.mean(1, keepdim=True)",
         "looks at rewards of completions that have no grade"),
        ("def f(rewards): return 0 * rewards", "gives every completion the advantage 0"),
        ("def f(rewards): return rewards[9]", "raised IndexError"),
    ],
)  # fmt: skip
def test_an_estimator_that_cannot_work_is_one_sentence(load: Load, text: str, said: str) -> None:
    with pytest.raises(BadInput, match="^the advantage estimator '.*mine.py:f' ") as caught:
        load(text, "advantage_estimator")
    assert said in str(caught.value)


def test_an_estimator_gets_what_it_names_and_its_ungraded_completions_get_0(load: Load) -> None:
    estimator = load(
        "def f(valid, rewards, *, scale, more=2): return more * rewards + len(scale) + ~valid", "advantage_estimator"
    ).estimator
    rewards = torch.tensor([[1.0, torch.nan]], dtype=torch.float64)
    assert compute_advantages(estimator, "none", rewards, rewards.isfinite()).tolist() == [[6, 0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(ratio): return ratio",
         "asks for 'ratio', and may ask for learner_logps, engine_logps, mask, sequence, cap and floor"),
        ("def f(mask): return mask.sum()", "returned a tensor [], and must return one [N], here [10]"),
        ("def f(learner_logps): return learner_logps", "returned a negative weight"),
        ("def f(learner_logps, engine_logps): return 1 / (learner_logps - engine_logps)",
         "returned a number that is NaN or"),
        ("def f(learner_logps): return learner_logps / learner_logps.mean()",
         "gives a token another weight when the batch is cut"),
        ("def f(learner_logps, sequence):\n    sums = learner_logps.new_zeros(4).index_add(0, sequence, learner_logps)"
         "\n    return -sums[sequence]",
         "looks at tokens that do not count: leave out those where mask is False"),
    ],
)  # fmt: skip
def test_a_correction_that_cannot_work_is_one_sentence(load: Load, text: str, said: str) -> None:
    with pytest.raises(BadInput, match="^the correction '.*mine.py:f' ") as caught:
        load(text, "importance_sampling_correction")
    assert said in str(caught.value)


def test_a_correction_gets_bounds_and_cannot_change_what_it_is_given(load: Load) -> None:
    text = "def f(learner_logps, engine_logps, mask, cap):\n    learner_logps -= engine_logps"
    text += "\n    return learner_logps.exp().clamp(max=cap)"
    correct = load(text, "importance_sampling_correction").correction
    old, engine = torch.tensor([-1.0, -2.0, -1.0]), torch.tensor([-3.0, -2.5, torch.nan])
    mask = torch.tensor([True, True, True])
    weights, sums = importance_weights(old, engine, torch.tensor([0, 0, 0]), mask, correct, 2.0)
    assert weights.tolist() == pytest.approx([2, torch.tensor(0.5).exp().item(), 1])
    assert old.tolist() == [-1, -2, -1]
    assert sums["correction"].item() == pytest.approx(weights.sum().item())
    assert (sums["correction_capped"], sums["correction_floored"]) == (0, 0)


def test_a_failure_goes_from_rank_to_rank_whole() -> None:
    failure = PlugInFailed("loss", "mine.py:f", "raised KeyError: 1", "mine.py, line 3", "Traceback")
    told = pickle.loads(pickle.dumps(failure))
    assert str(told) == str(failure) == "the loss 'mine.py:f' raised KeyError: 1 at mine.py, line 3"
    assert told.report() == failure.report()


def test_what_fails_on_another_rank_fails_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = PlugInFailed("loss", "mine.py:f", "raised KeyError: 1")
    monkeypatch.setattr(ranks, "gather", lambda items: [*items, elsewhere])
    for moved in (False, True):
        with pytest.raises(PlugInFailed, match="raised KeyError: 1") as caught, failing_together(moved):
            pass
        assert caught.value.moved is moved


def test_ratios_of_sequences_are_those_of_the_recipe(load: Load) -> None:
    loss = load("def f(x): return -x.ratio() * x.advantages", importance_sampling_level="sequence").loss
    value, _, _ = share(loss, [True, True, True], Totals(2, 3, 8), importance_sampling_level="sequence")
    # ratios of sequence 0: 1 and e^0.5, whose geometric mean is e^0.25; of sequence 1: 1
    assert value == pytest.approx((-2 * 2 * torch.tensor(0.25).exp().item() + 1) / 3)
