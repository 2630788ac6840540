from pathlib import Path

import pytest

from rewards.countdown import countdown
from rewards.errors import BadInput
from rewards.math import math_verify
from rewards.registry import accepted, load_reward, names, required_columns


def test_builtin_names_load() -> None:
    known = {"answer_format", "countdown", "exact_number", "math_verify", "reasoning_gym"}
    assert known <= set(names())
    assert all(load_reward(name).__name__ == name for name in known)


def test_required_columns() -> None:
    assert required_columns(countdown) == {"nums", "target"}
    assert required_columns(math_verify) == {"answer"}
    assert required_columns(lambda completions, prompts, completion_ids, *, level, unit="m", **others: None) == {
        "level"
    }


def test_a_function_gets_what_it_names_or_everything() -> None:
    arguments: dict[str, list[str]] = {"completions": [], "prompts": [], "answer": []}
    assert set(accepted(lambda completions, answer: None, arguments)) == {"completions", "answer"}
    assert accepted(lambda completions, **columns: None, arguments) == arguments


def test_a_function_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int'\n"
        "def short(completions):\n    return [A(-len(c)).x for c in completions]\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load_reward("mine.py:short")(["ab"]) == [-2]
    assert load_reward(f"{tmp_path}/mine.py:short")(["ab"]) == [-2]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("countdwon", "no reward named 'countdwon'; did you mean 'countdown'"),
        ("math-verify", "did you mean 'math_verify'"),
        ("missing.py:f", "missing.py does not exist"),
        ("good.py", "write good.py:function_name"),
        ("good.py:shrt", "no function 'shrt'; did you mean 'short'"),
        ("good.py:other", "no function of `completions`"),
        ("good.py:number", "no function of `completions`"),
        ("raises.py:f", "does not import: ZeroDivisionError: division by zero"),
        ("syntax.py:f", "does not import: SyntaxError"),
        ("imports.py:f", "does not import: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_bad_specs_are_one_sentence(spec: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.py").write_text("number = 1\ndef short(completions): return []\ndef other(texts): return []\n")
    (tmp_path / "raises.py").write_text("1 / 0\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    (tmp_path / "imports.py").write_text("import no_such_module\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        load_reward(spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_entry_points_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plug_in.py").write_text("def loud(completions, **columns):\n    return [1.0 for _ in completions]\n")
    information = tmp_path / "plug_in-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[penny.rewards]\nloud = plug_in:loud\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "loud" in names()
    assert load_reward("loud")(["a", "b"]) == [1.0, 1.0]
