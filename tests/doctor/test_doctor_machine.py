"""The checks of machine and learner: each passes here, and fails where its subject is broken."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rl.doctor import learner, machine, shapes
from rl.doctor.check import Subject
from rl.learner import flex
from rl.learner.budget import PassCost
from rl.planner.gpus import GPUS, known_gpu


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return Subject("cpu", tmp_path)


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A subject that is said to be a GPU; tensors stay where they can be."""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    return Subject("cuda", tmp_path)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L40", None),
        ("NVIDIA A10G", "a10g"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA A100-SXM4-40GB", "a100-40"),
        ("NVIDIA A100 80GB PCIe", "a100-80"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("Tesla T4", None),
    ],
)
def test_gpus_by_the_names_that_torch_gives_them(name: str, known: str | None) -> None:
    found = known_gpu(name)
    assert (found.name if found else None) == known


def test_the_driver(gpu: Subject, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.driver(subject).status == "SKIP"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.driver(gpu).status == "FAIL"
    about = SimpleNamespace(name="NVIDIA L4", total_memory=22 * 2**30, major=8, minor=9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: about)
    found = machine.driver(gpu)
    assert (found.status, found.figure) == ("PASS", "NVIDIA L4, 22,528 MiB") and "capability 8.9" in found.reason


def test_the_compiler(gpu: Subject, subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert (
        machine.compiler(gpu).status == "FAIL"
        and "neither gcc nor clang is in the PATH" in machine.compiler(gpu).reason
    )
    assert machine.compiler(subject).status == "SKIP"


def test_products_are_right(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.precisions(subject).status == "PASS"
    monkeypatch.setattr(machine, "product", lambda left, right: left @ right.T)
    found = machine.precisions(subject)
    assert found.status == "FAIL" and "float32, bfloat16, float16 are wrong" in found.reason


def test_rates_are_held_against_what_is_published(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SIZE", {"cpu": 256})
    monkeypatch.setattr(machine, "COPIED", {"cpu": 2**20})
    assert (machine.products(subject).status, machine.bandwidth(subject).status) == ("PASS", "PASS")
    for share, status in ((1e-9, "PASS"), (1e9, "FAIL")):
        card = replace(GPUS["l4"], teraflops=121 * share, bandwidth=300 * share)
        monkeypatch.setattr(machine, "published", lambda _, card=card: card)
        assert (machine.products(subject).status, machine.bandwidth(subject).status) == (status, status)


def test_attention(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert learner.attention(subject).status == "PASS"
    monkeypatch.setattr(learner, "pick_layout", lambda *_: "it refuses attention over trees")
    found = learner.attention(subject)
    assert (found.status, found.figure) == ("FAIL", "3 of 3 fall back to padded rows")


@pytest.mark.slow
def test_compiles(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert learner.compiles(subject).facts["compiles"] == 5
    monkeypatch.setattr(flex, "rung", lambda length, _: -(-length // flex.BLOCK) * flex.BLOCK)
    assert learner.compiles(subject).status == "FAIL"


def test_attention_is_timed(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    for slow, status in (("padded", "PASS"), ("tree", "FAIL")):
        wait = {"padded": 0.001, "tree": 0.001} | {slow: 0.01}
        monkeypatch.setattr(learner, "one_pass", lambda _, __, layout, wait=wait: time.sleep(wait[layout]))
        assert learner.attention_speed(subject).status == status


def test_what_is_not_installed_is_skipped(gpu: Subject, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner.importlib.util, "find_spec", lambda _: None)
    for check in (learner.liger, learner.adamw_8bit):
        assert check(subject).status == "SKIP" and "pip install" in check(gpu).reason


def test_fused_kernels_are_compared(gpu: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(learner, "small_policy", lambda *_: SimpleNamespace(model=None))
    monkeypatch.setattr(learner, "apply_liger_kernel", lambda *_: None)
    for apart, status in ((0.01, "PASS"), (1.0, "FAIL")):
        said = iter([torch.zeros(4), torch.full((4,), apart)])
        monkeypatch.setattr(learner, "logps_of", lambda _, said=said: next(said))
        assert learner.liger(gpu).status == status


def test_8_bit_adamw_is_compared(gpu: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner.importlib.util, "find_spec", lambda _: True)
    for factor, status in ((0.97, "PASS"), (0.5, "FAIL")):
        ends = iter([torch.ones(4), torch.full((4,), factor)])
        monkeypatch.setattr(learner, "stepped", lambda *_, ends=ends: next(ends))
        assert learner.adamw_8bit(gpu).status == status


@pytest.mark.slow
def test_memory_and_speed_are_held_against_the_plan(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny: Any = shapes.shape_check("tiny")
    assert shapes.shape_check("3b")(subject).status == "SKIP"
    real = shapes.measure_pass
    monkeypatch.setattr(shapes, "step_seconds", lambda *_: (1.0, 1.0))
    assert tiny(subject).status == "PASS"
    monkeypatch.setattr(shapes, "measure_pass", lambda policy: PassCost(2.0**32, real(policy).token))
    assert tiny(subject).status == "FAIL"
    monkeypatch.setattr(shapes, "measure_pass", real)
    assert shapes.fast_enough(1.9, 1.0, "cuda") and not shapes.fast_enough(2.1, 1.0, "cuda")
    monkeypatch.setattr(shapes, "fast_enough", lambda *_: False)
    assert tiny(subject).status == "FAIL"
