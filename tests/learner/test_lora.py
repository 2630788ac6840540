"""Fused LoRA layers against peft's own."""

import copy

import peft
import pytest
import torch
from torch import nn

from rl.learner.lora import FusedForward, fuse_adapters


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 10), nn.Linear(10, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


def adapted(**options: object) -> peft.PeftModel:
    torch.manual_seed(0)
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["first", "second"], **options)
    model = peft.get_peft_model(Two(), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    return model


def grads(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    y = model(x)
    found = torch.autograd.grad((y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum(), [x, *trainable(model)])
    return [y.detach(), *found]


def trainable(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}])
def test_outputs_and_gradients_are_pefts(options: dict) -> None:
    theirs = adapted(**options)
    ours = copy.deepcopy(theirs)
    assert fuse_adapters(ours) == 2
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    for one, other in zip(grads(ours, x), grads(theirs, x), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_switched_off_the_base_is_computed() -> None:
    model = adapted()
    fuse_adapters(model)
    x = torch.ones(1, 6)
    with model.disable_adapter():
        off = model(x)
    assert torch.allclose(
        off, model.get_base_model().second.base_layer(torch.tanh(model.get_base_model().first.base_layer(x)))
    )
    assert not torch.allclose(off, model(x))


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}])
def test_what_is_more_than_plain_stays_with_peft(options: dict) -> None:
    model = adapted(**options)
    assert fuse_adapters(model) == 0
    assert not any(isinstance(module.forward, FusedForward) for module in model.modules())


def test_in_bfloat16_the_adapters_keep_float32_gradients() -> None:
    model = adapted().to(torch.bfloat16)
    for parameter in trainable(model):
        parameter.data = parameter.data.float()
    fuse_adapters(model)
    y = model(torch.ones(1, 6, dtype=torch.bfloat16))
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in trainable(model))
