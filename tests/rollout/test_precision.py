"""What `auto` is: by the GPU's units, by the processor's measured rates, and measured once."""

import json
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rl.rollout import precision
from rl.rollout.precision import measured_rates, pick_dtype, rates_of

ORIGINAL = precision.product_rates  # before any test puts another in its place


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A processor with given rates, and an empty cache; `measured` counts the measurements."""
    found = SimpleNamespace(ratio=4.0, measured=0, cache=tmp_path / "cache")

    def measure() -> dict[str, float]:
        found.measured += 1
        return {"float32": 1e11, "bfloat16": found.ratio * 1e11}

    def fresh() -> dict[str, float]:
        return ORIGINAL.__wrapped__()

    monkeypatch.setenv("PENNY_CACHE", str(found.cache))
    monkeypatch.setattr(precision, "measured_rates", measure)
    monkeypatch.setattr(precision, "product_rates", fresh)
    return found


@pytest.mark.parametrize(
    "ratio, dtype", [(0.01, torch.float32), (1.49, torch.float32), (1.5, torch.bfloat16), (4.7, torch.bfloat16)]
)
def test_auto_on_a_cpu_is_bfloat16_from_one_and_a_half_times_the_rate(
    cpu: SimpleNamespace, ratio: float, dtype: torch.dtype
) -> None:
    cpu.ratio = ratio
    assert pick_dtype("auto", "cpu") == dtype


def test_a_machine_is_measured_once(cpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_dtype("auto", "cpu") == torch.bfloat16
    cpu.ratio = 0.1  # would be float32 if it were measured again
    assert pick_dtype("auto", "cpu") == torch.bfloat16
    assert cpu.measured == 1
    monkeypatch.setattr(precision, "processor", lambda: "another one")
    assert pick_dtype("auto", "cpu") == torch.float32
    assert len(json.loads((cpu.cache / precision.RATES).read_text())) == 2
    assert [file.name for file in cpu.cache.iterdir()] == [precision.RATES]


@pytest.mark.parametrize("stored", ["", "{", "[]", "{}", '{"x": 3}', '{"x": {"float32": "fast"}}', "\x00"])
def test_a_damaged_cache_is_measured_anew(cpu: SimpleNamespace, stored: str) -> None:
    cpu.cache.mkdir()
    (cpu.cache / precision.RATES).write_text(stored)
    assert pick_dtype("auto", "cpu") == torch.bfloat16
    assert cpu.measured == 1


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(cpu: SimpleNamespace) -> None:
    cpu.cache.write_text("a file where the folder should be")
    assert pick_dtype("auto", "cpu") == torch.bfloat16
    assert stat.S_ISREG(cpu.cache.stat().st_mode)


def test_named_precisions_are_not_measured(cpu: SimpleNamespace) -> None:
    named = [pick_dtype(name, "cpu") for name in ("float32", "bfloat16", "float16")]
    assert named == [torch.float32, torch.bfloat16, torch.float16]
    assert cpu.measured == 0


@pytest.mark.parametrize(
    "available, units, dtype",
    [(True, True, torch.bfloat16), (True, False, torch.float16), (False, False, torch.bfloat16)],
    ids=["A100", "T4", "a plan without a GPU"],
)
def test_auto_on_a_gpu_is_float16_where_bfloat16_is_emulated(
    monkeypatch: pytest.MonkeyPatch, available: bool, units: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or units)
    assert pick_dtype("auto", "cuda") == dtype


def test_where_bfloat16_is_emulated_nothing_large_is_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def rates(dtypes: tuple[str, ...], *size: int) -> dict[str, float]:
        sizes.append(size)
        return {"float32": 1e11, "bfloat16": 1e9}

    monkeypatch.setattr(precision, "rates_of", rates)
    assert measured_rates() == {"float32": 1e11, "bfloat16": 1e9}
    assert sizes == [(64, 576, 576)]


def test_rates_are_those_of_both_products() -> None:
    ticks = iter(range(1000))
    real = precision.time.perf_counter
    try:
        precision.time.perf_counter = lambda: float(next(ticks))  # each pair of products takes a second
        found = rates_of(("float32", "bfloat16"), 4, 3, 5)
    finally:
        precision.time.perf_counter = real
    assert found == {"float32": 240.0, "bfloat16": 240.0}  # two products of 2 x 4 x 3 x 5 operations
