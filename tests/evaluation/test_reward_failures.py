"""A reward that raises in `penny eval`, on stored outputs, in `penny regrade`: one sentence, and exit code 1."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rl.cli import app
from rl.evaluation import sources
from rl.evaluation.folder import EvaluationFolder
from rl.models.source import load_tokenizer
from rl.run.failures import REPORT
from tests.evaluation.test_command import Known

REWARD = "import sys\ndef number(completion, answer):\n    return float(completion) == float(answer)\n"


@pytest.fixture
def own(recipe_path: Path, own_folder: Path) -> Path:
    """A benchmark whose reward takes numbers alone."""
    (own_folder / "mine.py").write_text(REWARD)
    recipe_path.write_text(recipe_path.read_text().replace("exact_number: 1.0", "'mine.py:number': 1.0"))
    return recipe_path


def penny(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def is_one_sentence(result: Result, report: Path) -> None:
    """Assert that the failure is told as such, with the file of the traceback."""
    assert result.exit_code == 1, result.output
    assert result.stderr.splitlines()[-1].startswith(
        "error: the reward 'mine.py:number' raised ValueError: could not convert string to float: 'seven' at mine.py, "
        "line 3, on completion "
    )
    assert (
        "Traceback" not in result.output and f"(problem sums/1) (the whole traceback is in {report})" in result.stderr
    )
    assert "Traceback" in report.read_text() and "The completion:\n\nseven" in report.read_text()


def test_of_a_model(own: Path, own_folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Known(load_tokenizer(str(tiny_model)), ["7", "seven", "17"])
    monkeypatch.setattr(sources, "build_engine", lambda recipe: engine)
    asked = ("eval", "--model", tiny_model, "--benchmark", own, "-o", "out", "--engine", "transformers")
    is_one_sentence(penny(*asked), Path(REPORT))
    assert not Path("out").exists()
    Path("mine.py").write_text(REWARD.replace("float(completion) ==", "completion == 'seven' or float(completion) =="))
    engine.texts = []  # the answers that were given are not asked for again
    assert penny(*asked).exit_code == 0
    assert [row.solved for row in EvaluationFolder.open(Path("out")).rows(results(Path("out")))] == [True] * 3
    Path("mine.py").write_text(REWARD)
    is_one_sentence(penny("regrade", "out"), Path("out") / REPORT)
    assert not list(Path("out").glob("regraded/*"))


def results(path: Path) -> dict[str, object]:
    [result] = EvaluationFolder.open(path).results()["results"]
    return dict(result)


def test_of_stored_outputs(own: Path, own_folder: Path) -> None:
    lines = [json.dumps({"index": number, "output": text}) for number, text in enumerate(["7", "seven", "17"])]
    Path("said.jsonl").write_text("\n".join(lines) + "\n")
    is_one_sentence(
        penny("eval", "--samples", "said.jsonl", "--benchmark", own, "-o", "made/out"), Path("made") / REPORT
    )


def test_an_exit_is_no_success(own: Path, own_folder: Path) -> None:
    Path("mine.py").write_text(REWARD.replace("return", "sys.exit(0); return"))
    Path("said.jsonl").write_text(json.dumps({"index": 0, "output": "7"}) + "\n")
    result = penny("eval", "--samples", "said.jsonl", "--benchmark", own)
    assert result.exit_code == 1 and "raised SystemExit" in result.stderr
