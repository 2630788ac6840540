import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rewards.errors import BadInput
from rl.run.evaluations import EvaluationRow, read_answers, read_evaluation_rows, read_evaluations, write_evaluation
from rl.run.folder import RunFolder
from rl.run.rollouts import RolloutRow, read_rollouts, rollout_steps, write_rollouts

ROWS = [
    RolloutRow(
        problem_id="train/1",
        sample=0,
        prompt="1 + 1?",
        completion="<b>2</b> \u2713",
        prompt_token_ids=[1, 2, 49151],
        token_ids=[5, 6],
        logprobs=[math.log(1 / 3), -1e-17],
        learner_logprobs=[math.log(0.3), 0.0],
        finish_reason="stop",
        reward=1.5,
        parts={"number": 1.0, "rewards/mine.py:style": 0.5},
        extra={"math/verdict": "correct", "math/reason": "\u0662 equals 2", "mine": None},
        solved=True,
        advantage=1 / 7,
    ),
    RolloutRow(
        problem_id="train/1",
        sample=1,
        prompt="1 + 1?",
        completion="",
        prompt_token_ids=[1, 2, 49151],
        token_ids=[7],
        logprobs=[-2.5],
        finish_reason="length",
        reward=None,
        parts={"number": None, "rewards/mine.py:style": 0.0},
        extra={"math/verdict": "ungradable", "math/reason": "bad gold", "mine": "x"},
        solved=None,
        advantage=None,
    ),
]


def test_rollouts_come_back_exactly(folder: RunFolder) -> None:
    write_rollouts(folder, 12, ROWS)
    assert read_rollouts(folder, 12) == ROWS
    assert folder.rollouts.joinpath("step-000012.parquet").exists()


def test_columns_are_plain_for_other_programs(folder: RunFolder) -> None:
    table = pq.read_table(write_rollouts(folder, 3, ROWS))
    assert table.column("step").to_pylist() == [3, 3]
    assert table.column("reward/number").to_pylist() == [1.0, None]
    assert str(table.schema.field("logprobs").type.value_type) == "double"


def test_what_was_logged_is_kept_as_text(folder: RunFolder) -> None:
    logged = {"length": 3, "score": 0.5, "found": ["a", None], "cut": "\ud800", "text": "3"}
    write_rollouts(folder, 4, [replace(ROWS[0], extra=logged), replace(ROWS[1], extra={})])
    first, second = read_rollouts(folder, 4)
    assert first.extra == {"length": "3", "score": "0.5", "found": '["a", null]', "cut": "?", "text": "3"}
    assert second.extra == dict.fromkeys(logged)  # a column is there for all rows
    assert pq.read_table(folder.rollouts / "step-000004.parquet").column("extra/length").to_pylist() == ["3", None]


def test_what_json_does_not_take_is_kept_as_python_shows_it(folder: RunFolder) -> None:
    itself: list[object] = []
    itself.append(itself)
    write_rollouts(folder, 4, [replace(ROWS[0], extra={"pairs": {(1, 2): 3}, "itself": itself})])
    assert read_rollouts(folder, 4)[0].extra == {"pairs": "{(1, 2): 3}", "itself": "[[...]]"}


def test_rollouts_of_before_there_were_reasons_are_read(folder: RunFolder) -> None:
    plain = replace(ROWS[0], extra={})
    write_rollouts(folder, 5, [plain])
    assert not [n for n in pq.read_schema(folder.rollouts / "step-000005.parquet").names if n.startswith("extra")]
    assert read_rollouts(folder, 5) == [plain]


def test_a_step_done_again_replaces_the_old(folder: RunFolder) -> None:
    write_rollouts(folder, 2, ROWS)
    write_rollouts(folder, 10, ROWS[1:])
    write_rollouts(folder, 2, ROWS[:1])
    assert rollout_steps(folder) == [2, 10]
    assert read_rollouts(folder, 2) == ROWS[:1]
    assert read_rollouts(folder, 10) == ROWS[1:]  # columns of nulls keep their type


def test_evaluations_come_back_in_the_order_of_steps(folder: RunFolder) -> None:
    row = EvaluationRow("test/1", 0, "1 + 1?", "2", "stop", 1.0, True, [5], [-0.25])
    unsure = EvaluationRow("test/2", 0, "?", "", "length", None, None, [6], [-0.5], {"math/reason": "bad gold"})
    row = replace(row, extra={"math/reason": "equal"})
    for step in (10, 0):
        write_evaluation(folder, step, {"pass@1": 0.5, "ci95": (0.25, 0.75), "n": 2}, [row, unsure])
    assert read_evaluations(folder) == [
        {"step": 0, "pass@1": 0.5, "ci95": [0.25, 0.75], "n": 2},
        {"step": 10, "pass@1": 0.5, "ci95": [0.25, 0.75], "n": 2},
    ]
    assert read_evaluation_rows(folder, 10) == [row, unsure]


def test_an_evaluation_without_its_summary_does_not_count(folder: RunFolder) -> None:
    write_evaluation(folder, 0, {"pass@1": 0.5, "ci95": [0.25, 0.75], "n": 0}, []).unlink()
    assert read_evaluations(folder) == []


def changed(path: Path, name: str, values: list[object] | None) -> None:
    """Give a column of a parquet file other values, or take it away."""
    table = pq.read_table(path).drop_columns([name])
    pq.write_table(table if values is None else table.append_column(name, [values]), path)


def test_a_column_of_another_type_is_named(folder: RunFolder) -> None:
    path = write_rollouts(folder, 1, ROWS)
    changed(path, "completion", [1, 2])
    with pytest.raises(BadInput, match=r"step-000001\.parquet is damaged \(its column completion is of another type"):
        read_rollouts(folder, 1)


@pytest.mark.parametrize("name", ["prompt", "finish_reason", "reward"])
def test_answers_may_lack_only_what_has_a_default(name: str, folder: RunFolder) -> None:
    row = EvaluationRow("test/1", 0, "1 + 1?", "2", "stop", 1.0, True, [], [])
    path = write_evaluation(folder, 0, {}, [row]).with_suffix(".parquet")
    changed(path, "gold", None)
    assert read_answers(path) == [row]
    changed(path, name, None)
    with pytest.raises(BadInput, match=f"it has no column {name}"):
        read_answers(path)
