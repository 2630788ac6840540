"""Format rewards where the prompt opens `<think>`: a chat template or a recipe does, in `penny eval` and on files."""

import json
from pathlib import Path
from typing import Any

import pytest

from rl.evaluation import sources
from rl.evaluation.regrading import regrade_evaluation
from rl.models.source import load_tokenizer
from rl.models.tiny import save_tiny_model
from tests.evaluation.test_command import Known
from tests.evaluation_runs import evaluate, rows_of

pytestmark = pytest.mark.usefixtures("own_folder")
REWARDS = "rewards: {functions: {answer_format: 1.0}}"
GOOD = "so</think> <answer>7</answer>"
SAID = (GOOD, f"<think>\n{GOOD}", "7")


@pytest.fixture(scope="module")
def thinking_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose chat template opens the thought, as those of Qwen3 and DeepSeek-R1 do."""
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.chat_template = f"{tokenizer.chat_template}{{% if add_generation_prompt %}}<think>\n{{% endif %}}"
    folder = tmp_path_factory.mktemp("models") / "thinking"
    save_tiny_model(tokenizer, folder)
    return folder


@pytest.fixture
def formatted(recipe_path: Path) -> Path:
    text = recipe_path.read_text().replace("rewards: {functions: {exact_number: 1.0}}", REWARDS)
    recipe_path.write_text(text.replace("max_completion_length: 6", "max_completion_length: 60"))
    return recipe_path


def test_the_template_opens_the_thought(
    thinking_model: Path, formatted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Known(load_tokenizer(str(thinking_model)), SAID)
    monkeypatch.setattr(sources, "build_engine", lambda recipe: engine)
    assert evaluate(thinking_model, formatted, output=tmp_path / "out")["pass@1"] == pytest.approx(2 / 3)
    assert [row.solved for row in rows_of(tmp_path / "out")] == [True, True, False]
    assert rows_of(tmp_path / "out")[0].completion == "<think>\n" + GOOD
    regraded, changes = regrade_evaluation(tmp_path / "out", [], "again")
    assert [change.changed for change in changes] == [0]
    assert [row.solved for row in rows_of(regraded)] == [True, True, False]


@pytest.mark.parametrize("opening", ["", "I think.\n<think>"])  # whether the file has the prefill
def test_the_recipes_prefill_opens_the_thought_of_stored_outputs(formatted: Path, tmp_path: Path, opening: str) -> None:
    plain = 'prompt: "{question} =", chat_template: false, prefill: "I think.\\n<think>"'
    formatted.write_text(formatted.read_text().replace('prompt: "{question}"', plain))
    assert stored(formatted, tmp_path, [opening + said for said in SAID]) == [True, True, False]


def test_an_unknown_template_has_opened_the_thought_of_stored_outputs(formatted: Path, tmp_path: Path) -> None:
    assert stored(formatted, tmp_path, list(SAID)) == [True, True, False]


def stored(benchmark: Path, folder: Path, said: list[str]) -> list[Any]:
    lines = [json.dumps({"index": number, "output": text}) for number, text in enumerate(said)]
    (folder / "outputs.jsonl").write_text("\n".join(lines) + "\n")
    evaluate(None, benchmark, samples=folder / "outputs.jsonl", output=folder / "stored")
    return [row.solved for row in rows_of(folder / "stored")]
