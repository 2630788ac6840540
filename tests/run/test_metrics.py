import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewards.errors import BadInput
from rl.run.folder import RunFolder
from rl.run.metrics import MetricsLog, read_metrics


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_round_trip_exactly(folder: RunFolder, value: float) -> None:
    MetricsLog(folder).append({"step": 1, "loss": value})
    assert read_metrics(folder)[-1]["loss"].hex() == value.hex()


def test_nan_becomes_null(folder: RunFolder) -> None:
    MetricsLog(folder).append({"step": 1, "loss": float("nan"), "grad_norm": 0.5})
    assert read_metrics(folder) == [{"step": 1, "loss": None, "grad_norm": 0.5}]


def test_a_resumed_run_writes_later_steps_again(folder: RunFolder) -> None:
    log = MetricsLog(folder)
    for step in range(1, 6):
        log.append({"step": step, "loss": step / 3})
    uninterrupted = folder.metrics.read_bytes()
    log.truncate_after(2)
    assert [row["step"] for row in read_metrics(folder)] == [1, 2]
    for step in range(3, 6):
        log.append({"step": step, "loss": step / 3})
    assert folder.metrics.read_bytes() == uninterrupted


def test_a_log_cut_at_any_byte_goes_on_cleanly(folder: RunFolder) -> None:
    log = MetricsLog(folder)
    for step in (1, 2):
        log.append({"step": step, "loss": 0.25})
    whole = folder.metrics.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(len(whole)):
        folder.metrics.write_bytes(whole[:cut])
        kept = [] if cut < first else [1]
        assert [row["step"] for row in read_metrics(folder)] == kept
        MetricsLog(folder).append({"step": 9})
        assert [row["step"] for row in read_metrics(folder)] == [*kept, 9]


def test_garbage_in_the_middle_is_named(folder: RunFolder) -> None:
    folder.metrics.write_text('{"step": 1}\n{"ste\n{"step": 3}\n')
    with pytest.raises(BadInput, match="metrics.jsonl, line 2"):
        read_metrics(folder)


def test_no_log_is_an_empty_one(folder: RunFolder) -> None:
    assert read_metrics(folder) == []
