"""Grading a run's completions again: originals untouched, changes told, problems that do not fit refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rl.cli import app
from rl.config.recipe_file import load_recipe
from rl.run.folder import RunFolder
from rl.run.rollouts import RolloutRow, read_rollouts, write_rollouts

RECIPE = """
name: mine
model: {name: tiny}
problems: {source: jsonl, path: rows.jsonl}
rewards: {functions: {exact_number: 1}}
evaluation: {size: 2, problems: {path: other.jsonl}}
"""
REWARDS = """
def long(completions, log_extra, **columns):
    log_extra("long/reason", [f"{len(c)} characters" for c in completions])
    return [len(c) / 10 for c in completions]
def counts_tokens(completions, completion_ids, prompts, answer):
    assert [prompt[:11] for prompt in prompts] == ["User: rows "] * len(completions)
    return [float(sum(ids)) for ids in completion_ids]
"""


def rolled(number: int, completion: str, reward: float | None, token: int = 7) -> RolloutRow:
    return RolloutRow(
        problem_id=f"rows/{number}",
        sample=0,
        prompt=f"User: rows {number}\nAssistant:",
        completion=completion,
        prompt_token_ids=[1],
        token_ids=[token],
        logprobs=[-0.5],
        finish_reason="stop",
        reward=reward,
        solved=None if reward is None else reward == 1,
        advantage=0.25,
        parts={"exact_number": reward},
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run of two steps; the answer of problem n is n. What step 2 has of the second completion is a lie."""
    monkeypatch.chdir(tmp_path)
    for name, offset in (("rows", 0), ("other", 100)):
        lines = [json.dumps({"question": f"{name} {n}", "answer": str(n + offset)}) + "\n" for n in range(4)]
        Path(f"{name}.jsonl").write_text("".join(lines))
    Path("mine.yaml").write_text(RECIPE)
    Path("mine.py").write_text(REWARDS)
    folder = RunFolder.create(Path("runs/mine-1"), load_recipe("mine.yaml"))
    write_rollouts(folder, 1, [rolled(1, "1", 1.0), rolled(2, "3", 0.0)])
    write_rollouts(folder, 2, [rolled(3, "3", 1.0), rolled(1, "2", 1.0, token=9), rolled(2, "2", None)])
    return folder


def penny(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def test_the_same_rewards_find_what_was_graded_wrongly(run: RunFolder) -> None:
    before = {path: path.read_bytes() for path in run.rollouts.iterdir()}
    result = penny("regrade", run.path, "--name", "again", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["folder"] == "runs/mine-1/regraded/again"
    first, second = found["steps"]
    assert first == {"step": 1, "rows": 2, "reward": [0.5, 0.5], "solved": [0.5, 0.5], "changed": 0, "parts": {}}
    assert (second["step"], second["rows"], second["changed"]) == (2, 3, 2)
    assert second["reward"] == second["solved"] == [1.0, pytest.approx(2 / 3)]
    assert second["parts"] == {"exact_number": [1.0, pytest.approx(2 / 3)]}
    assert {path: path.read_bytes() for path in run.rollouts.iterdir()} == before
    assert sorted(path.name for path in Path(found["folder"]).iterdir()) == [
        "recipe.yaml",
        "step-000001.parquet",
        "step-000002.parquet",
    ]


def test_other_rewards_are_stored_beside_the_old_ones(run: RunFolder) -> None:
    changed = "rewards.functions={'mine.py:long': 2, exact_number: 0, 'mine.py:counts_tokens': 0}"
    result = penny("regrade", run.path, changed, "rewards.accuracy=exact_number", "--name", "long")
    assert result.exit_code == 0, result.stderr
    again = RunFolder(run.path / "regraded")
    rows = read_rollouts_in(again.path / "long", 2)
    assert [row.reward for row in rows] == [pytest.approx(0.2)] * 3
    assert [row.solved for row in rows] == [True, False, True]
    assert [row.parts["mine.py:counts_tokens"] for row in rows] == [7.0, 9.0, 7.0]
    assert rows[0].extra["long/reason"] == "1 characters"
    assert (rows[0].advantage, rows[0].logprobs) == (0.25, [-0.5])
    assert "mine.py:long" in (again.path / "long" / "recipe.yaml").read_text()
    assert "1.000 -> 0.200" in result.stdout and "mine.py:long - -> 0.100" in result.stdout
    assert result.stdout.splitlines()[-1] == "runs/mine-1/regraded/long"


def read_rollouts_in(parent: Path, step: int) -> list[RolloutRow]:
    (parent / "rollouts").mkdir()
    (parent / f"step-{step:06d}.parquet").rename(parent / "rollouts" / f"step-{step:06d}.parquet")
    return read_rollouts(RunFolder(parent), step)


def test_nothing_is_overwritten(run: RunFolder) -> None:
    assert penny("regrade", run.path, "--name", "a").exit_code == 0
    assert "a exists already: give another --name" in penny("regrade", run.path, "--name", "a").stderr
    assert "without a slash" in penny("regrade", run.path, "--name", "../rollouts").stderr
    assert "without a slash" in penny("regrade", run.path, "--name", "..").stderr
    assert penny("regrade", run.path).exit_code == 0  # named by the time
    assert len(list((run.path / "regraded").iterdir())) == 2


def test_what_does_not_fit_is_refused_and_leaves_nothing(run: RunFolder) -> None:
    def refusal(*arguments: str) -> str:
        result = penny("regrade", run.path, "--name", "x", *arguments)
        assert result.exit_code == 2
        assert not list(run.path.glob("regraded/*"))
        return result.stderr

    assert "does not change how a run is graded" in refusal("optimizer.max_steps=3")
    assert "needs the column 'nums'" in refusal("rewards.functions={countdown: 1}")
    text = Path("rows.jsonl").read_text()
    Path("rows.jsonl").rename("moved.jsonl")
    assert "rows.jsonl" in refusal()
    Path("rows.jsonl").write_text("".join(text.splitlines(keepends=True)[:2]))
    assert "Step 1 has completions of rows/2 (and 0 more problems)" in refusal()
    assert penny("regrade", run.path, "problems.path=moved.jsonl").exit_code == 2  # other ids: moved/0, ...
    Path("rows.jsonl").write_text(text.replace("rows 2", "another question"))
    assert "Step 1 asked rows/2 something else" in refusal()
    Path("old").mkdir()
    Path("moved.jsonl").rename("old/rows.jsonl")
    assert penny("regrade", run.path, "problems.path=old/rows.jsonl").exit_code == 0


def test_a_step_without_rows_asks_no_reward(run: RunFolder) -> None:
    write_rollouts(run, 2, [])
    result = penny("regrade", run.path, "rewards.functions={mine.py:counts_tokens: 1}", "--json")
    assert result.exit_code == 0, result.output
    assert [step["rows"] for step in json.loads(result.stdout)["steps"]] == [2, 0]


def test_a_run_without_completions_is_refused(run: RunFolder) -> None:
    for path in run.rollouts.iterdir():
        path.unlink()
    assert "has no completions yet" in penny("regrade", run.path).stderr
    assert penny("regrade", "runs/none").exit_code == 2


def test_a_reward_that_raises_is_one_sentence(run: RunFolder) -> None:
    Path("bad.py").write_text("import sys\ndef bad(completion):\n    sys.exit(0)\n")
    result = penny("regrade", run.path, "rewards.functions={'bad.py:bad': 1.0}", "--name", "bad")
    assert result.exit_code == 1
    sentence = (
        "the reward 'bad.py:bad' raised SystemExit: 0 at bad.py, line 3, on completion 1 of the batch (problem rows/1)"
    )
    report = run.path / "reward-error.txt"
    assert f"error: {sentence} (the whole traceback is in {report})" in result.stderr
    assert "Traceback" in report.read_text()
    assert not list(run.path.glob("regraded/*"))
