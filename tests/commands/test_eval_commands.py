"""The commands that measure, without a model: what they hand over, and what they print."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rewards.verdict import Outcome
from rl.cli import app
from rl.evaluation.command import EvaluationRequest
from rl.evaluation.folder import EvaluationFolder
from tests.stored_evaluations import made_folder, made_result, made_row


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def penny(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def made(name: str, verdict: Outcome) -> EvaluationFolder:
    """An evaluation of eight problems with the same verdict."""
    rows = [made_row(n, verdict) for n in range(8)]
    return made_folder(Path(name), [(made_result(rows), rows)])


def test_eval_hands_over_its_options_and_prints_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[EvaluationRequest] = []

    def evaluate(request: EvaluationRequest, listener: Any) -> tuple[Path, dict[str, Any]]:
        asked.append(request)
        folder = made("out", "correct") if not Path("out").exists() else EvaluationFolder(Path("out"))
        return folder.path, folder.results()

    monkeypatch.setattr("rl.evaluation.command.evaluate", evaluate)
    options = [
        "--model",
        "tiny",
        "--benchmark",
        "gsm8k,math",
        "--limit",
        8,
        "--engine",
        "transformers",
        "-o",
        "answers",
    ]
    result = penny("eval", *options, "--templates", "chat,none", "--dollars-per-million", "0.14,0.28", "--no-cache")
    assert result.exit_code == 0 and "100.0 %" in result.stdout and "out/report.html" in result.stdout
    request = asked[0]
    assert (request.model, list(request.benchmarks), request.protocol.limit) == ("tiny", ["gsm8k,math"], 8)
    assert (request.engine, request.output, request.templates) == ("transformers", Path("answers"), ["chat", "none"])
    assert (request.dollars_per_million, request.use_cache) == ((0.14, 0.28), False)
    found = json.loads(penny("eval", *options, "--json").stdout)
    assert (found["n"], found["pass@1"], found["results"][0]["benchmark"], found["folder"]) == (8, 1.0, "gsm8k", "out")
    assert "no pair of prices" in penny("eval", *options, "--dollars-per-million", "3").stderr
    assert penny("eval", "--model", "tiny").exit_code == 2


def test_a_benchmark_that_is_none_is_refused_before_libraries_load() -> None:
    result = penny("eval", "--model", "tiny", "--benchmark", "math500,gsm8")
    assert result.exit_code == 2
    assert result.stderr == "error: There is no benchmark 'gsm8'; did you mean gsm8k?\n"


def test_missing_answers_end_with_3_where_all_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sums.jsonl").write_text("".join(f'{{"question": "{n} + 1", "answer": "{n + 1}"}}\n' for n in range(4)))
    Path("two.jsonl").write_text('{"index": 0, "output": "1"}\n{"index": 1, "output": "2"}\n')
    Path("foreign.jsonl").write_text(Path("two.jsonl").read_text() + '{"index": 9, "output": "3"}\n')
    monkeypatch.setenv("COLUMNS", "60")
    options = ["eval", "--benchmark", "sums.jsonl", "-o", "out", "--samples"]
    loose = penny(*options, "two.jsonl")
    assert loose.exit_code == 0 and "50.0 % [15.0 %, 85.0 %]" in loose.stdout
    assert "2 of 4 problems have no answer" in " ".join(loose.stdout.split())
    assert max(map(len, loose.stdout.splitlines())) <= 60
    strict = penny(*options, "two.jsonl", "--require-all", "--json")
    assert strict.exit_code == 3 and "--require-all" in strict.stderr
    assert json.loads(strict.stdout)["complete"] is False and Path("out/results.json").is_file()
    assert "--skip-unknown" in penny(*options, "foreign.jsonl").stderr
    assert json.loads(penny(*options, "foreign.jsonl", "--skip-unknown", "--json").stdout)["unknown_rows"] == 1


def test_ctrl_c_says_how_many_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(request: EvaluationRequest, listener: Any) -> None:
        listener.progress(37, 128, 1000)
        raise KeyboardInterrupt

    monkeypatch.setattr("rl.evaluation.command.evaluate", evaluate)
    options = ("eval", "--model", "tiny", "--benchmark", "gsm8k")
    stopped = penny(*options)
    assert stopped.exit_code == 130 and "stopped after 37 of 128 answers; they are kept" in stopped.stderr
    assert "nothing was kept" in penny(*options, "--no-cache").stderr


@pytest.mark.parametrize("width", [60, 100, 200])
def test_benchmarks_fit_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = penny("benchmarks").stdout.splitlines()
    assert max(map(len, lines)) <= width and lines == [line.rstrip() for line in lines]


def test_evaluations_are_shown_compared_and_handed_on() -> None:
    made("one", "correct")
    made("two", "wrong")
    assert "100.0 %" in penny("results", "one").stdout
    assert "| gsm8k |" in penny("results", "one", "two", "--format", "markdown").stdout
    assert [found["n"] for found in json.loads(penny("compare", "one", "two", "--json").stdout)] == [8]
    assert "gsm8k: " in penny("compare", "one", "two").stdout
    assert Path(penny("report", "one", "two").stdout.strip()).is_file()
    handed = penny("results", "one", "--harness", "harness", "--model-card", "README.md", "--format", "json")
    assert json.loads(handed.stdout)["results"][0]["pass@1"] == 1.0
    assert list(Path("harness").rglob("results_*.json")) and "model-index" in Path("README.md").read_text()
    assert "no.json" in penny("compare", "one", "no.json").stderr
    assert "somewhere does not exist" in penny("report", "somewhere", "one").stderr


def test_benchmarks_are_listed() -> None:
    listed = json.loads(penny("benchmarks", "--json").stdout)
    assert {"gsm8k", "aime24", "livecodebench"} <= {row["name"] for row in listed["benchmarks"]}
    assert set(listed["suites"]) == {"math", "code", "r1", "mgsm"}
    assert "HumanEval" in penny("benchmarks").stdout


def test_decontaminate_reports_what_a_file_shares_with_a_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    question = "Ann has twelve red marbles and gives five of them to her younger brother Tom before school."
    Path("data").mkdir()
    Path("data/gsm8k_test.jsonl").write_text(json.dumps({"question": question, "answer": "#### 7"}) + "\n")
    monkeypatch.setenv("PENNY_DATA", "data")
    other = "Compute the determinant of the identity matrix of order nine and explain each step."
    rows = [{"question": text, "answer": "7"} for text in (question.upper(), other)]
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["decontaminate", "train.jsonl", "--benchmark", "gsm8k"]
    assert "train/0" in penny(*options).stdout
    penny(*options, "-o", "report.json")
    assert json.loads(Path("report.json").read_text()) == json.loads(penny(*options, "--json").stdout)
    assert "Say which benchmarks" in penny("decontaminate", "train.jsonl").stderr
