"""A merged model is put together weight by weight, so the machine that learned needs no room for all of them."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rl.config.recipe import ModelSection
from rl.models.source import load_model, load_tokenizer
from rl.pipelines.merged import replace_weights, write_merged


def test_no_two_weights_live_at_a_time(tiny_model: Path, tmp_path: Path) -> None:
    expected = {name: value * 2 for name, value in load_model(str(tiny_model)).named_parameters()}
    alive = weakref.WeakSet[torch.Tensor]()
    most = 0

    def doubled() -> Iterator[tuple[str, torch.Tensor]]:
        nonlocal most
        for name in expected:
            weight = expected[name].clone()
            alive.add(weight)
            most = max(most, len(alive))
            yield name, weight
            del weight

    write_merged(ModelSection(name=str(tiny_model)), doubled(), load_tokenizer(str(tiny_model)), tmp_path / "merged")
    assert most <= 2 < len(expected)  # one that is copied, and one that is made
    written = load_model(str(tmp_path / "merged"))
    assert {name for name, _ in written.named_parameters()} == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in written.named_parameters())


def test_what_does_not_fit_is_refused(tiny_model: Path) -> None:
    model = load_model(str(tiny_model))
    with pytest.raises(ValueError, match="the model has no weight nowhere"):
        replace_weights(model, [("nowhere", torch.zeros(1))])
    with pytest.raises(ValueError, match=r"model.norm.weight has shape \(128,\), the new one \(1,\)"):
        replace_weights(model, [("model.norm.weight", torch.zeros(1))])
