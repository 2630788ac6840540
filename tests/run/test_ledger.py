import pytest

from rl.base import jsonl
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger, ledger_totals


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def session(folder: RunFolder, rate: float = 36.0) -> tuple[Ledger, Clock]:
    clock = Clock()
    return Ledger(folder, rate, clock), clock


def test_seconds_go_to_their_phase_and_the_rest_is_idle(folder: RunFolder) -> None:
    ledger, clock = session(folder)
    with ledger.phase("start"):
        clock.now += 8
    with ledger.phase("generate"):
        clock.now += 4
    clock.now += 1
    with ledger.phase("learn"):
        clock.now += 5
    ledger.add_tokens(generated=30)
    ledger.add_tokens(generated=10, trained=12)
    costs = ledger.step_done(1)
    assert costs == {
        "time/generate": 4,
        "time/grade": 0,
        "time/learn": 5,
        "time/sync": 0,
        "time/evaluate": 0,
        "time/save": 0,
        "time/idle": 1,
        "time/step": 10,
        "tokens_per_second": 4.0,
        "dollars": pytest.approx(0.18),  # 18 s at 36 dollars an hour
    }


def test_the_lines_of_a_session_add_up_to_its_wall_time(folder: RunFolder) -> None:
    ledger, clock = session(folder)
    with ledger:
        for step in (1, 2):
            clock.now += 3
            with ledger.phase("sync"):
                clock.now += 4
            ledger.step_done(step)
        with ledger.phase("save"):
            clock.now += 2
    totals = ledger_totals(folder)
    assert totals["total_seconds"] == 16
    assert totals["seconds"] == {
        "start": 0, "generate": 0, "grade": 0, "learn": 0, "sync": 8, "evaluate": 0, "save": 2, "idle": 6,
    }  # fmt: skip
    assert [line["step"] for line in jsonl.read(folder.ledger)] == [1, 2, None]


def test_work_done_again_after_a_kill_is_paid_twice(folder: RunFolder) -> None:
    for rate in (36.0, 72.0):  # the second machine costs twice as much
        ledger, clock = session(folder, rate)
        with ledger.phase("generate"):
            clock.now += 100
        ledger.add_tokens(generated=7, trained=5)
        ledger.step_done(1)
        with folder.ledger.open("a") as file:
            file.write('{"session": 1, "st')  # killed while it wrote
    totals = ledger_totals(folder)
    assert totals["sessions"] == 2
    assert totals["tokens"] == {"generated": 14, "trained": 10}
    assert totals["dollars"] == pytest.approx(1 + 2)
    assert totals["dollars_by_phase"]["generate"] == pytest.approx(3)
    assert totals["peak_memory_gib"]["ram"] > 0.01


def test_dollars_and_hours_run_while_a_phase_is_open(folder: RunFolder) -> None:
    ledger, clock = session(folder)
    clock.now += 3600
    ledger.step_done(1)
    ledger, clock = session(folder)
    with ledger.phase("generate"):
        clock.now += 1800
        assert ledger.hours == pytest.approx(1.5)
        assert ledger.dollars == pytest.approx(54.0)


def test_time_counts_when_a_phase_fails(folder: RunFolder) -> None:
    ledger, clock = session(folder)
    with pytest.raises(KeyboardInterrupt), ledger, ledger.phase("learn"):
        clock.now += 6
        raise KeyboardInterrupt
    assert ledger_totals(folder)["seconds"]["learn"] == 6


def test_phases_do_not_nest(folder: RunFolder) -> None:
    ledger, _ = session(folder)
    with (
        pytest.raises(RuntimeError, match="grade inside phase evaluate"),
        ledger.phase("evaluate"),
        ledger.phase("grade"),
    ):
        pass


def test_no_ledger_costs_nothing(folder: RunFolder) -> None:
    totals = ledger_totals(folder)
    assert totals["total_seconds"] == totals["dollars"] == totals["sessions"] == 0


def test_what_passed_before_the_ledger_was_made_is_paid_for(folder: RunFolder) -> None:
    clock = Clock()
    ledger = Ledger(folder, 3600.0, clock, began=88.0)  # a dollar a second; the clock shows 100
    clock.now += 30
    ledger.step_done(None)
    totals = ledger_totals(folder)
    assert totals["seconds"]["start"] == 12.0 and totals["seconds"]["idle"] == 30.0
    assert totals["total_seconds"] == 42.0 and totals["dollars"] == 42.0
