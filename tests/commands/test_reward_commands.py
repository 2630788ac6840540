import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rl.commands.reward import reward_app

GOOD = "def f(completion, answer, factor=1.0): return factor * (completion.endswith(f'#### {answer}'))\n"
BAD = "def f(completion, answer): return answer in completion\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"{n} + 20?", "gold": str(n + 20)} for n in (30, 40)]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("good.py").write_text(GOOD)
    Path("bad.py").write_text(BAD)
    return tmp_path


def penny_reward(*arguments: str) -> Result:
    result = CliRunner().invoke(reward_app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["sample", "batch", "class"])
def test_a_new_reward_works_passes_its_test_and_the_audit(shape: str) -> None:
    made = penny_reward("new", "shout", "--shape", shape, "--json")
    assert json.loads(made.stdout) == {"reward": "shout.py:shout", "test": "test_shout.py"}
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shout.py"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert tested.returncode == 0 and "4 passed" in tested.stdout, tested.stdout
    for file in ("shout.py", "test_shout.py"):
        assert "my_reward" not in Path(file).read_text()
    tried = penny_reward("test", "shout.py:shout", "--data", "rows.jsonl", "--column", "answer=gold")
    assert tried.exit_code == 0, tried.output
    assert "right answers given as <answer>" in tried.output and "nothing suspicious" in tried.output


def test_the_test_of_a_new_reward_can_fail() -> None:
    penny_reward("new", "shout")
    path = Path("shout.py")
    path.write_text(path.read_text().replace("return float(found == answer.strip())", "return 1.0"))
    tested = subprocess.run([sys.executable, "-m", "pytest", "-q", "test_shout.py"], capture_output=True, timeout=60)
    assert tested.returncode == 1


def test_new_says_what_to_do_next() -> None:
    Path("inner").mkdir()
    said = penny_reward("new", "inner/mine.py").output
    assert said.splitlines()[:2] == ["inner/mine.py", "inner/test_mine.py"]
    assert "penny reward test inner/mine.py:mine --data" in said
    assert sorted(path.name for path in Path("inner").iterdir()) == ["mine.py", "test_mine.py"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("good", "good.py exists already and is not overwritten"),
        ("other", "test_other.py exists already"),
        ("2nd", "'2nd' cannot name a function"),
        ("class", "'class' cannot name a function"),
        ("random", "'random' is a module of Python"),
        ("missing/mine", "missing/mine.py cannot be written; give a name in an existing"),
    ],
)
def test_new_refuses(name: str, said: str, folder: Path) -> None:
    Path("test_other.py").write_text("")
    before = sorted(folder.iterdir())
    result = penny_reward("new", name)
    assert result.exit_code == 2 and said in result.output
    assert sorted(folder.iterdir()) == before and Path("good.py").read_text() == GOOD


def test_suspicious_rewards_exit_with_3_and_say_why() -> None:
    result = penny_reward("test", "bad.py:f", "--data", "rows.jsonl", "--column", "answer=gold")
    assert result.exit_code == 3
    assert "suspicious: answer spam: " in result.output and "2 suspicious findings" in result.output


def test_the_table_is_whole_in_60_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = penny_reward("test", "bad.py:f", "--data", "rows.jsonl", "--column", "answer=gold").output.splitlines()
    heads = next(line.split() for line in lines if line.startswith("completions"))
    row = next(line.split() for line in lines if line.startswith("one of several named"))
    assert heads == ["completions", "n", "min", "mean", "max", "p99", "ms", "verdict"]
    assert row[:8] == ["one", "of", "several", "named", "4", "1", "1", "1"] and row[-1] == "suspicious"
    assert max(map(len, lines)) <= 60 and "…" not in "".join(lines)


def test_as_json() -> None:
    arguments = ["test", "bad.py:f", "--data", "rows.jsonl", "--column", "answer=gold", "--json"]
    result = penny_reward(*arguments, "--limit", "1")
    assert result.exit_code == 3
    told = json.loads(result.stdout)
    assert told["reward"] == "bad.py:f" and told["rows"] == 1
    assert told["probes"][0]["name"] == "right answer" and told["probes"][0]["mean"] == 1.0
    assert len(told["findings"]) == 2


@pytest.mark.parametrize("given", [["factor=0.5"], ['{"factor": 0.5}'], ["factor=2", "factor=0.5"]])
def test_options_are_json_or_pairs(given: list[str]) -> None:
    options = [word for text in given for word in ("--options", text)]
    result = penny_reward("test", "good.py:f", "--data", "rows.jsonl", "--column", "answer=gold", "--json", *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["probes"][0]["highest"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["good.py:f", "--data", "rows.jsonl", "--column", "answer"], "--column 'answer' is not of the form NAME=KEY"),
        (["good.py:f", "--data", "rows.jsonl", "--options", "factor"], "is not of the form KEY=VALUE"),
        (["good.py:f", "--data", "rows.jsonl"], "needs the column 'answer'"),
        (["good.py:f", "--data", "none.jsonl"], "none.jsonl cannot be read"),
        (["good.py:g", "--data", "rows.jsonl", "--column", "answer=gold"], "no function 'g'"),
    ],
)
def test_bad_input_exits_with_2(arguments: list[str], said: str) -> None:
    result = penny_reward("test", *arguments)
    assert result.exit_code == 2 and said in result.output
