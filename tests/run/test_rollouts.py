import math

import pyarrow.parquet as pq

from rl.run.evaluations import EvaluationRow, read_evaluation_rows, read_evaluations, write_evaluation
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


def test_a_step_done_again_replaces_the_old(folder: RunFolder) -> None:
    write_rollouts(folder, 2, ROWS)
    write_rollouts(folder, 10, ROWS[1:])
    write_rollouts(folder, 2, ROWS[:1])
    assert rollout_steps(folder) == [2, 10]
    assert read_rollouts(folder, 2) == ROWS[:1]
    assert read_rollouts(folder, 10) == ROWS[1:]  # columns of nulls keep their type


def test_evaluations_come_back_in_the_order_of_steps(folder: RunFolder) -> None:
    row = EvaluationRow("test/1", 0, "1 + 1?", "2", "stop", 1.0, True, [5], [-0.25])
    unsure = EvaluationRow("test/2", 0, "?", "", "length", None, None, [6], [-0.5])
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
