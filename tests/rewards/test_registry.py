import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewards.countdown import countdown
from rewards.errors import BadInput
from rewards.number import exact_number
from rewards.registry import (
    BUILTIN,
    accepted,
    close,
    load_reward,
    names,
    parameters_with_default,
    required_columns,
    required_options,
)

SHAPED = """
class Scaled:
    def __init__(self, top, scale=1.0): self.top, self.scale = top, scale
    def __call__(self, completion, answer, strict=False): return self.scale
"""


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_names_load(name: str) -> None:
    assert name in names()
    function = load_reward(name)
    assert function.__name__ == name
    assert {"completions", "columns"} <= set(accepted(function, {"completions": [], "columns": []}))


def test_names_are_told_without_importing_them() -> None:
    code = "import sys, rewards; rewards.names(); assert not {'rewards.gym', 'rewards.countdown'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_required_columns() -> None:
    assert required_columns(countdown) == {"nums", "target"}
    assert required_columns(exact_number) == {"answer"}
    assert required_columns(lambda completions, prompts, completion_ids, *, level, unit="m", **others: None) == {
        "level"
    }


def test_what_a_trainer_offers_is_neither_column_nor_option() -> None:
    def f(completions, solved, trainer_state, level, grader_pool=None, log_extra=None, log_metric=None, unit="m"):  # type: ignore[no-untyped-def]
        return []

    assert required_columns(f) == {"level"}
    assert parameters_with_default(f) == {"unit"}


def test_options_of_a_class_are_those_of_its_constructor_and_its_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(SHAPED)
    monkeypatch.chdir(tmp_path)
    function = load_reward("mine.py:Scaled")
    assert required_columns(function) == {"answer"}
    assert parameters_with_default(function) == {"top", "scale", "strict"}
    assert required_options(function) == {"top"}
    assert required_options(countdown) == set()
    close(function)
    close(countdown)


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


def test_a_file_is_looked_for_in_the_folder_and_then_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, value in (("here", 1), ("there", 2)):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "mine.py").write_text(f"def f(completion): return {value}\n")
    (tmp_path / "here" / "sub" / "only.py").write_text("def f(completion): return 3\n")
    monkeypatch.chdir(tmp_path / "here")
    there = str(tmp_path / "there")
    assert [load_reward("mine.py:f")([""]), load_reward("mine.py:f", there)([""])] == [[1], [2]]
    assert load_reward("sub/only.py:f", there)([""]) == [3]
    with pytest.raises(BadInput, match=rf"looked in {there} and {tmp_path}/here\); did you mean sub/only.py\?"):
        load_reward("sub/onyl.py:f", there)


def test_functions_of_a_file_share_it_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("seen = []\ndef a(completion): return len(seen)\ndef b(completion): return seen.append(1)\n")
    first, second = load_reward(f"{path}:a"), load_reward(f"{path}:b")
    second(["x"])
    assert first(["x"]) == [1]
    path.write_text("def a(completion): return -1\n")
    os.utime(path, ns=(0, 0))
    assert load_reward(f"{path}:a")(["x"]) == [-1]


def test_a_function_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("def short(completion):\n    return -len(completion)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_reward("some_package.inner:short")(["ab", ""]) == [-2, 0]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("countdwon", "no reward named 'countdwon'; did you mean 'countdown'"),
        ("exact-number", "did you mean 'exact_number'"),
        ("missing.py:f", "missing.py does not exist"),
        ("good.py", "write good.py:function_name"),
        ("good.py:", "write good.py:function_name"),
        ("good.py:shrt", "no function 'shrt'; did you mean 'short'"),
        ("good.py:other", "no function of `completions`"),
        ("good.py:number", "is of the type int, no function of `completions`"),
        ("raises.py:f", "does not import: ZeroDivisionError: division by zero"),
        ("syntax.py:f", "does not import: SyntaxError"),
        ("imports.py:f", "does not import: ModuleNotFoundError: No module named 'no_such_module'"),
        ("no_such_package.inner:f", "No module named 'no_such_package'; install its package"),
        ("json:f", "the reward module json has no function 'f'"),
        ("imports_nothing:f", "imports_nothing does not import: RuntimeError: two lines; correct it"),
    ],
)
def test_bad_specs_are_one_sentence(spec: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.py").write_text("number = 1\ndef short(completions): return []\ndef other(texts): return []\n")
    (tmp_path / "raises.py").write_text("1 / 0\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    (tmp_path / "imports.py").write_text("import no_such_module\n")
    (tmp_path / "imports_nothing.py").write_text("raise RuntimeError('two\\nlines')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadInput) as caught:
        load_reward(spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def install_plug_in(folder: Path, code: str) -> None:
    (folder / "plug_in.py").write_text(code)
    information = folder / "plug_in-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[penny.rewards]\nloud = plug_in:loud\n")


def test_entry_points_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plug_in(tmp_path, "def loud(completions, **columns):\n    return [1.0 for _ in completions]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "plug_in", raising=False)
    assert "loud" in names()
    assert load_reward("loud")(["a", "b"]) == [1.0, 1.0]


def test_a_plug_in_that_does_not_import_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plug_in(tmp_path, "import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "plug_in", raising=False)
    with pytest.raises(BadInput, match="plug_in:loud does not import: ModuleNotFoundError"):
        load_reward("loud")
