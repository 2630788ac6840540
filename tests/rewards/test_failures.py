"""A reward that raises is named with its line and its completion, and never ends the process."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rewards.failures import RewardFailed
from rewards.grading import Grader
from rewards.registry import load_reward

SETTINGS: dict[str, Any] = {"timeout": 5.0, "workers": 1, "accuracy": None, "correct_above": 0.5}
AUTHORS = """import asyncio, json, sys
def looped(completions, answer, **columns):
    return [float(text) - float(gold) for text, gold in zip(completions, answer)]
def indexed(completions, **columns):
    grades = []
    for i in range(len(completions)):
        grades.append(float(completions[i]))
    return grades
def single(completion, answer):
    completion = completion.strip()
    return float(completion)
def library(completions, **columns):
    return [json.loads(text) for text in completions]
async def awaited(completion):
    await asyncio.sleep(0)
    return float(completion)
def talk(completions):
    return [float(messages[0]["content"]) for messages in completions]
talk.conversational = True
def whole(completions):
    return 1 / 0
def leaves(completions):
    sys.exit(0)
def leaves_alone(completion):
    raise SystemExit
async def leaves_async(completion):
    sys.exit(0)
def interrupts(completions):
    raise KeyboardInterrupt("mine")
async def interrupts_async(completion):
    raise KeyboardInterrupt
class Silent(Exception):
    def __str__(self): raise ValueError
def silent(completions):
    raise Silent
def half(completions):
    raise ValueError("\\ud800")
def ends(completions):
    raise GeneratorExit
class Kept:
    def __init__(self): sys.exit(3)
    def __call__(self, completion): return 1.0
class Closed:
    def __call__(self, completion): return 1.0
    def close(self): sys.exit(0)
"""


@pytest.fixture(params=[False, True], ids=["within", "isolated"], autouse=True)
def isolated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether users' rewards run in a process of their own: what they earn and what is said of them is the same."""
    monkeypatch.setitem(SETTINGS, "isolated", request.param)
    return bool(request.param)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(AUTHORS)
    return tmp_path


def failure(name: str) -> RewardFailed:
    """What a reward raises that is given "10 ", "twelve" and "14", of which it understands two."""
    columns = {"answer": ["10", "12", "14"]}
    with Grader({f"mine.py:{name}": 1.0}, **SETTINGS) as grader, pytest.raises(RewardFailed) as caught:
        grader.grade(["10 ", "twelve", "14"], ["ten", "a dozen", "14?"], columns)
    return caught.value


@pytest.mark.parametrize(
    ("name", "line"),
    [("looped", 3), ("indexed", 7), ("single", 11), ("awaited", 16), ("talk", 18)],
)
def test_the_line_and_the_completion_are_named(folder: Path, name: str, line: int) -> None:
    error = failure(name)
    assert str(error) == (
        f"the reward 'mine.py:{name}' raised ValueError: could not convert string to float: 'twelve' "
        f"at mine.py, line {line}, on completion 2 of the batch"
    )
    error.problem = "train/7"
    assert str(error).endswith("on completion 2 of the batch (problem train/7)")
    report = error.report()
    assert report.startswith(str(error)) and "Traceback" in report and report.endswith("The completion:\n\ntwelve\n")
    assert SETTINGS["isolated"] or isinstance(error.__cause__, ValueError)


def test_a_line_in_a_library_is_not_the_authors(folder: Path) -> None:
    assert "at mine.py, line 13, on completion 2" in str(failure("library"))


def test_what_no_completion_explains_names_none(folder: Path) -> None:
    error = failure("whole")
    assert str(error) == "the reward 'mine.py:whole' raised ZeroDivisionError: division by zero at mine.py, line 21"
    assert error.row is None and "The completion" not in error.report()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leaves", "raised SystemExit: 0 at mine.py, line 23"),
        ("leaves_alone", "raised SystemExit at mine.py, line 25, on completion 1 of the batch"),
        ("leaves_async", "raised SystemExit: 0 at mine.py, line 27, on completion 1 of the batch"),
        ("interrupts_async", "raised KeyboardInterrupt at mine.py, line 31, on completion 1 of the batch"),
        ("silent", "raised Silent at mine.py, line 35"),
        ("half", "raised ValueError: ? at mine.py, line 37"),
        ("ends", "raised GeneratorExit at mine.py, line 39"),
        ("Kept", "raised SystemExit: 3 at mine.py, line 41"),
    ],
)
def test_nothing_that_a_reward_raises_ends_the_process(folder: Path, name: str, said: str) -> None:
    if name == "interrupts_async":  # in a thread, where no Ctrl-C comes
        assert in_thread(name) == f"the reward 'mine.py:{name}' {said}"
    else:
        assert str(failure(name)) == f"the reward 'mine.py:{name}' {said}"


def test_the_loop_of_coroutines_outlives_an_exit(folder: Path) -> None:
    failure("leaves_async")
    assert load_reward("mine.py:awaited")(completions=["1", "2"]) == [1.0, 2.0]


def test_an_interrupt_is_the_users_in_the_main_thread_alone(folder: Path) -> None:
    if not SETTINGS["isolated"]:  # a process of rewards gets no Ctrl-C
        with Grader({"mine.py:interrupts": 1.0}, **SETTINGS) as grader, pytest.raises(KeyboardInterrupt):
            grader.grade(["1"], ["1"], {})
    assert in_thread("interrupts") == (
        "the reward 'mine.py:interrupts' raised KeyboardInterrupt: mine at mine.py, line 29"
    )


def in_thread(name: str) -> str:
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(str(failure(name))))
    thread.start()
    thread.join(20)
    return said[0]


def test_a_file_that_exits_when_it_is_imported_is_bad_input(folder: Path) -> None:
    Path("script.py").write_text("import sys\ndef reward(completion): return 1.0\nsys.exit(0)\n")
    with pytest.raises(BadInput, match="script.py does not import: SystemExit: 0; correct it"):
        load_reward("script.py:reward")


def test_an_exit_on_closing_loses_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Grader({"mine.py:Closed": 1.0}, **SETTINGS) as grader:
        assert grader.grade(["1"], ["1"], {})[0].reward == 1.0
    assert "'mine.py:Closed' could not be closed" in caplog.text


def test_a_bad_completion_column_keeps_its_row_when_texts_repeat(folder: Path) -> None:
    Path("gold.py").write_text(
        "def f(completions, answer):\n    return [float(c) - float(a) for c, a in zip(completions, answer)]\n"
    )
    said = "12 or so"
    with Grader({"gold.py:f": 1.0}, **SETTINGS) as grader, pytest.raises(RewardFailed) as caught:
        grader.grade(["12", "12", "12"], ["p"] * 3, {"answer": ["11", "13", said]})
    assert caught.value.row == 2
