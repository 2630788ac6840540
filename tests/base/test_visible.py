"""Text of others cannot command a terminal, hide or turn what stands there, or end a command."""

import ast
import io
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from rl.base.columns import Column, listing_text, table_text
from rl.base.visible import emit, visible, visible_line
from rl.cli import app
from rl.config.recipe_file import load_recipe
from rl.run.display import Display
from rl.run.folder import RunFolder
from rl.run.rollouts import RolloutRow, write_rollouts

TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "\x1b[31m\x1b]0;title\x07\r\x08\x00\x7f\x9b2J\u202egpj\u2066\u200b\ufeff\u2028\ud800[red]"
ESCAPED = (
    r"\x1b[31m\x1b]0;title\x07\r\x08\x00\x7f\x9b2J\u202egpj\u2066\u200b\ufeff\u2028\ud800[red]"  # brackets are text
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE, ESCAPED),
        ("one\n\ttwo", "one\n\ttwo"),
        ("один 中文 हिन्दी می‌خواهم é 👩‍👩‍👧 ∨", "один 中文 हिन्दी می‌خواهم é 👩‍👩‍👧 ∨"),
        ("\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\", r"\x1b]8;;http://evil\x1b\text\x1b]8;;\x1b" + "\\"),
        ("\x1bP+q\x1b\\", r"\x1bP+q\x1b" + "\\"),  # a terminal's reply would be typed into the shell
        ("a\x0b\x0cb", r"a\x0b\x0cb"),
        ("\u061c\u200e\u200f\u202a\u2069", r"\u061c\u200e\u200f\u202a\u2069"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


@given(st.text(st.characters(codec=None), max_size=40))
def test_any_text_is_shown_without_control_characters(text: str) -> None:
    out = io.StringIO()
    emit(text, file=out)
    for c in out.getvalue():
        kind = unicodedata.category(c)  # Cc: control, Cs: half of a character, Zl and Zp: ends of lines
        assert c in "\n\t" or kind not in ("Cc", "Cs", "Zl", "Zp") and unicodedata.bidirectional(c) not in TURNS
    assert "\n" not in visible_line(text) and "\t" not in visible_line(text)


def test_a_stream_of_few_characters_gets_escapes() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    emit("é 中", file=out)
    out.flush()
    assert out.buffer.getvalue() == b"\\xe9 \\u4e2d\n"  # type: ignore[attr-defined]


def test_cells_and_lists_are_as_wide_as_they_are_shown() -> None:
    table = table_text([Column("name", ["a\nb", HOSTILE], left=True), Column("n", ["1", "2"])])
    first, second, third = table.split("\n")
    assert second.startswith(r"a\nb ") and third.startswith(ESCAPED)
    assert len(first) == len(second) == len(third)
    assert listing_text([("\x1bname", "what\x07")]) == r"\x1bname  what\x07"


def test_the_display_of_a_run_shows_text() -> None:
    out = io.StringIO()
    with Display(HOSTILE, 1, console=Console(file=out, width=200)) as display:
        display.message(HOSTILE)
    assert out.getvalue() == f"{ESCAPED}\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = RunFolder.create(tmp_path / "run", load_recipe("quickstart"))
    row = RolloutRow(
        problem_id="id\r\x1b[A",
        sample=0,
        prompt="asked \x1b[2J",
        prompt_token_ids=[1],
        completion="said \x1b]0;x\x07 \u202e [bold]",
        token_ids=[2],
        logprobs=[-0.5],
        learner_logprobs=None,
        finish_reason="stop",
        reward=1.0,
        parts={},
        solved=True,
        advantage=None,
        extra={"note\x1b": "of the reward \x9b"},
    )
    write_rollouts(folder, 1, [row])
    return folder.path


def test_samples_show_completions_as_text(run: Path) -> None:
    result = CliRunner().invoke(app, ["samples", str(run)])
    assert result.exit_code == 0, result.output
    assert r"said \x1b]0;x\x07 \u202e [bold]" in result.output and r"[note\x1b] of the reward \x9b" in result.output
    assert visible(result.output) == result.output


def test_samples_as_json_are_exact(run: Path) -> None:
    [row] = json.loads(CliRunner().invoke(app, ["samples", str(run), "--json"]).stdout)
    assert row["completion"] == "said \x1b]0;x\x07 \u202e [bold]"


COMMANDS = {
    "train": ["train", "NAME"],
    "train with a key": ["train", "quickstart", "--dry-run", "optimizer.NAME=1"],
    "train with a value": ["train", "quickstart", "--dry-run", "optimizer.max_steps=NAME"],
    "resume": ["train", "--resume", "NAME"],
    "plan": ["plan", "NAME"],
    "run": ["run", "NAME"],
    "report": ["report", "NAME"],
    "samples": ["samples", "NAME"],
    "eval": ["eval", "--model", "NAME", "--benchmark", "gsm8k"],
    "eval on": ["eval", "--model", "tiny", "--benchmark", "NAME"],
    "eval at": ["eval", "--endpoint", "NAME", "--model", "m", "--benchmark", "gsm8k"],
    "eval alone": ["eval", "NAME"],
    "compare": ["compare", "NAME", "NAME"],
    "results": ["results", "NAME"],
    "decontaminate": ["decontaminate", "NAME"],
    "grade": ["grade", "math", "NAME"],
    "regrade": ["regrade", "NAME"],
    "reward": ["reward", "test", "NAME", "--data", "NAME"],
    "export": ["export", "NAME", "-o", "/nowhere/NAME"],
    "chat": ["chat", "NAME", "hello"],
    "price": ["price", "NAME", "--dollars-per-hour", "1"],
    "serve": ["serve", "NAME"],
    "difficulty": ["difficulty", "NAME"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_names_in_errors_are_text(name: str) -> None:
    odd = "no\x1b[31msuch\x07\u202e\r\udcff"  # the last is how Python reads a byte that is no UTF-8
    result = CliRunner().invoke(app, [word.replace("NAME", odd) for word in COMMANDS[name]])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output and isinstance(result.exception, SystemExit | None)
    assert visible(result.output) == result.output


def test_no_command_prints_by_itself() -> None:
    own = {"rl/base/visible.py", "rl/base/install.py"}  # the second runs before anything is installed
    for path in sorted((ROOT / "rl").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        found = [node.lineno for node in calls if node.func.id == "print"]  # type: ignore[attr-defined]
        if str(path.relative_to(ROOT)) not in own:
            assert not found, f"{path}: print by rl.base.visible.emit in lines {found}"
