"""Folders of evaluations and of pipelines, file by file: damaged ones end in one sentence."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rewards.errors import BadInput
from rl.base.stored import read_object
from rl.cli import app
from rl.config.yaml_text import dump_yaml
from rl.models.adapter_base import NOTE, base_of
from rl.pipelines.books import PipelineFolder, StageResult, enter, open_pipeline
from rl.pipelines.ladder import ladder
from rl.pipelines.pipeline_file import load_pipeline
from rl.pipelines.sft import agree_on_data
from rl.pipelines.teachers import Spending
from tests.pipelines.conftest import tree
from tests.run.test_corruption import DAMAGES, a_list, an_object, cut, null
from tests.stored_evaluations import made_folder, made_result, made_row

ANSWERS = "answers/gsm8k.chat.parquet"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [made_row(number, "correct" if number % 2 else "wrong") for number in range(4)]
    return made_folder(tmp_path_factory.mktemp("evals") / "one", [(made_result(rows), rows)]).path


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_evaluation(damage: Callable[[Path], None], evaluation: Path, tmp_path: Path) -> None:
    for name, commands in {"results.json": ("results", "compare", "report"), ANSWERS: ("compare", "report")}.items():
        copy = Path(shutil.copytree(evaluation, tmp_path / name.replace("/", "-")))
        damage(copy / name)
        for command in commands:
            others = [str(evaluation)] if command == "compare" else []
            result = CliRunner().invoke(app, [command, str(copy), *others])
            assert isinstance(result.exception, SystemExit), (name, command, result.exception)
            assert result.exit_code == 2, (name, command, result.output)
            [sentence] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
            assert str(copy) in sentence


def test_results_that_are_none(evaluation: Path, tmp_path: Path) -> None:
    for number, text in enumerate(('{"results": []}', '{"results": [1]}', '{"results": [{"benchmark": "gsm8k"}]}')):
        copy = Path(shutil.copytree(evaluation, tmp_path / str(number)))
        (copy / "results.json").write_text(text)
        result = CliRunner().invoke(app, ["results", str(copy)])
        assert result.exit_code == 2 and "results.json is damaged" in result.stderr


@pytest.fixture
def pipeline(tiny_model: Path, tmp_path: Path) -> PipelineFolder:
    """A pipeline whose first stage is done."""
    file = tmp_path / "ladder.yaml"
    file.write_text(dump_yaml(tree(tiny_model)))
    books = enter(tmp_path / "run", load_pipeline(str(file)))
    books.stage("worked").mkdir()
    figures = {"kept": 1, "answers": 2, "solved": 1, "dollars_per_trace": 0.1}
    books.finish("worked", StageResult("distill", data="traces.jsonl", figures=figures))
    return books


@pytest.mark.parametrize("damage", DAMAGES[1:], ids=lambda damage: damage.__name__)
def test_a_damaged_result_of_a_stage(damage: Callable[[Path], None], pipeline: PipelineFolder) -> None:
    file = pipeline.stage("worked") / "result.json"
    damage(file)
    if not file.exists():  # a loop of links: the stage counts as not done
        assert pipeline.result("worked") is None
        return
    with pytest.raises(BadInput, match=r"result\.json is damaged \(.*\): bring it back from a copy, or do the stage"):
        ladder(pipeline)


# Half of the settings are those of a shorter pipeline.
@pytest.mark.parametrize("damage", [item for item in DAMAGES if item is not cut], ids=lambda damage: damage.__name__)
def test_damaged_settings_of_a_pipeline(damage: Callable[[Path], None], pipeline: PipelineFolder) -> None:
    damage(pipeline.settings)
    with pytest.raises(BadInput) as caught:
        open_pipeline(pipeline.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [cut, null, a_list, an_object], ids=lambda damage: damage.__name__)
def test_small_files_of_stages_and_adapters(damage: Callable[[Path], None], tmp_path: Path) -> None:
    agree_on_data("tune", tmp_path, [], False)
    damage(tmp_path / "examples.json")
    with pytest.raises(BadInput, match=r"examples\.json is damaged .*: begin the stage again by --from tune\."):
        agree_on_data("tune", tmp_path, [], False)
    (tmp_path / "bill.json").write_text('{"dollars": 1.5}\n')
    assert Spending(file=tmp_path / "bill.json").dollars == 1.5
    damage(tmp_path / "bill.json")
    with pytest.raises(BadInput, match=r"bill\.json is damaged"):
        Spending(file=tmp_path / "bill.json")
    (tmp_path / NOTE).write_text('{"name": "smollm2"}\n')
    damage(tmp_path / NOTE)
    with pytest.raises(BadInput, match="is damaged"):
        base_of(tmp_path, {})


def test_what_a_damaged_file_lacks_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for text, words in (
        ("", "it is empty"),
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ("{}", "it has no step"),
        ('{"step": "1"}', "its step is of another type"),
        ('{"step": 1, "sets": 2}', "its sets is of another type"),
    ):
        file.write_text(text)
        with pytest.raises(BadInput) as caught:
            read_object(file, "mend it", {"step": int}, {"sets": dict})
        assert str(caught.value) == f"{file} is damaged ({words}): mend it."
    file.write_text('{"step": 1}')
    assert read_object(file, "mend it", {"step": int}, {"sets": dict}) == {"step": 1}
