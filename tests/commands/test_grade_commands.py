"""The commands that grade: what they print where, and their exit codes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rewards import files
from rewards.errors import BadInput
from rewards.files import Progress
from rewards.verdict import Verdict
from rl.cli import app
from rl.commands.grade import plain_lines

ROWS = '{"gold": "4", "response": "It is \\\\boxed{4}.", "correct": true}\n{"gold": "4", "response": "\\\\boxed{5}"}\n'


def penny(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(ROWS)
    return path


def test_grade_writes_the_rows_and_prints_the_summary(source: Path, tmp_path: Path) -> None:
    result = penny("grade", "math", source, "-o", tmp_path / "out.jsonl", "--workers", 1)
    assert result.exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["verdict"], row["reward"]) for row in rows] == [("correct", 1.0), ("wrong", 0.0)]
    first, labels = result.stdout.splitlines()
    assert first.startswith("2 rows: 1 correct, 1 wrong, 0 unparseable, 0 ungradable; ")
    assert labels == "agreement with the labels: 100.0% of 1, 0 false positives, 0 false negatives, 0 ungradable"
    assert result.stderr == "graded 2 rows (100%)\n"


def test_grade_code_runs_programs_in_the_sandbox(tmp_path: Path) -> None:
    task = {"kind": "call", "entry_point": "f", "tests": [{"args": [2], "expected": 4}], "time_limit_s": 5}
    programs = ["def f(x): return x * x", "def f(x): return x * 3", "raise SystemExit(0)"]
    rows = [task | {"completion": program, "expected_reward": n == 0} for n, program in enumerate(programs)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = penny("grade", "code", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--workers", 1)
    assert result.exit_code == 0, result.stderr
    graded = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["reward"] for row in graded] == [1.0, 0.0, 0.0]
    assert "agreement with the labels: 100.0% of 3" in result.stdout


def test_without_a_target_only_rows_are_on_standard_output(source: Path) -> None:
    result = penny("grade", "math", source, "--json")
    assert [json.loads(line)["verdict"] for line in result.stdout.splitlines()] == ["correct", "wrong"]
    assert json.loads(result.stderr.splitlines()[-1])["rows"] == 2


def test_bad_rows_are_told_and_are_exit_code_1(source: Path, tmp_path: Path) -> None:
    source.write_text(ROWS + "oops\n")
    result = penny("grade", "math", source, "-o", tmp_path / "out.jsonl", "--json")
    assert result.exit_code == 1
    assert result.stderr.startswith("bad row, line 3: not JSON")
    figures = json.loads(result.stdout)
    assert (figures["rows"], figures["bad_rows"], figures["correct"]) == (3, 1, 1)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def test_a_file_that_cannot_be_read_is_exit_code_2(tmp_path: Path) -> None:
    result = penny("grade", "math", tmp_path / "none.jsonl", "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 2 and "none.jsonl cannot be read" in result.stderr


@pytest.mark.parametrize(("options", "verdict"), [((), "correct"), (("--extraction", "strict"), "wrong")])
def test_prose_is_read_unless_a_mark_is_asked_for(tmp_path: Path, options: tuple[str, ...], verdict: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"gold": "29", "response": "So the total cost is 29 dollars."}\n')
    result = penny("grade", "math", tmp_path / "in.jsonl", "--workers", 1, *options)
    assert json.loads(result.stdout)["verdict"] == verdict
    assert penny("grade", "math", tmp_path / "in.jsonl", "--extraction", "loose").exit_code == 2


def test_ctrl_c_says_how_far_it_got(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def grade(rows: Sequence[Any], *_: object) -> list[Verdict]:
        if rows[0].data["response"] != "It is \\boxed{4}.":
            raise KeyboardInterrupt
        return [Verdict("correct", "equal")]

    monkeypatch.setattr(files, "CHUNK", 1)
    monkeypatch.setattr(files, "_grade", grade)
    result = penny("grade", "math", source, "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 130
    assert f"stopped after 1 rows; nothing was written to {tmp_path}/out.jsonl" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert "stopped after 1 rows; they were printed" in penny("grade", "math", source).stderr


def test_progress_without_a_terminal_is_a_line_for_each_tenth() -> None:
    out = StringIO()
    show = plain_lines(out)
    for rows in range(1, 101):
        show(Progress(rows, rows / 100))
    lines = out.getvalue().splitlines()
    assert len(lines) in (10, 11) and lines[0] == "graded 10 rows (10%)" and lines[-1] == "graded 100 rows (100%)"
    show(Progress(101, None))  # of a pipe, nobody knows the size
    assert out.getvalue().splitlines() == lines


@dataclass(frozen=True)
class Probe:
    layer: str
    active: bool
    detail: str
    escape: str


@pytest.mark.parametrize(
    ("escapes", "code"), [(["held", "held"], 0), (["held", "ESCAPED"], 1), (["not tried", "held"], 0)]
)
def test_doctor_says_whether_programs_are_isolated(
    escapes: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe_all(mode: str) -> list[Probe]:
        assert mode == "landlock"
        return [Probe(f"layer {n}", n > 0, "[of] this kernel", escape) for n, escape in enumerate(escapes)]

    monkeypatch.setattr("rewards.sandbox.probe.probe_all", probe_all)
    result = penny("doctor", "sandbox", "--sandbox", "landlock")
    assert result.exit_code == code
    assert all(escape in result.stdout for escape in escapes) and "[of] this kernel" in result.stdout
    found = json.loads(penny("doctor", "--sandbox", "landlock", "--json").stdout)
    assert found["safe"] is (code == 0)
    assert found["layers"][1] == {
        "layer": "layer 1",
        "active": True,
        "detail": "[of] this kernel",
        "escape": escapes[1],
    }


def test_doctor_fails_where_nothing_isolates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewards.sandbox.probe.probe_all", lambda mode: [Probe("seccomp", False, "none", "held")])
    assert penny("doctor").exit_code == 1

    def refuse(mode: str) -> list[Probe]:
        raise BadInput("no isolation can be had here")

    monkeypatch.setattr("rewards.sandbox.probe.probe_all", refuse)
    result = penny("doctor", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"safe": False, "layers": [], "reason": "no isolation can be had here"}


def test_the_commands_of_rewards_are_mounted() -> None:
    assert "new" in penny("reward", "--help").stdout
