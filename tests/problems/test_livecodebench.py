"""LiveCodeBench: small files in its own format, windows of releases and contests, and pickles that are refused."""

import base64
import datetime
import json
import os
import pickle
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rewards.code import grade_code
from rewards.errors import BadInput
from rewards.pool import GraderPool
from rl.config.recipe import ProblemsSection
from rl.problems import livecodebench
from rl.problems.benchmark import Benchmark, builtin_benchmark
from rl.problems.livecodebench import LIVECODEBENCH, PREAMBLE, private_cases, windowed
from rl.problems.problem import Problem
from rl.problems.sources import load_problems

STARTER = "class Solution:\n    def sumUp(self, nums: List[int], start: int) -> int:\n        "
STDIN_CASES = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
CALL_CASES = [{"input": "[1, 2]\n4", "output": "7", "testtype": "functional"}]


def as_pickle(cases: Any) -> str:
    """Test cases as the hub has them: base64 of zlib of a pickle of their JSON."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


def stdin_row(name: str, day: str, **fields: Any) -> dict[str, Any]:
    return {
        "question_title": "Sum",
        "question_content": "Add two numbers.",
        "platform": "atcoder",
        "question_id": name,
        "contest_id": "abc1",
        "contest_date": f"{day}T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps(STDIN_CASES),
        "private_test_cases": as_pickle([{"input": "-5 7\n", "output": "2\n", "testtype": "stdin"}]),
        "metadata": "{}",
    } | fields


def call_row(name: str, day: str, **fields: Any) -> dict[str, Any]:
    own = {
        "question_content": "Add numbers.\n\n",
        "platform": "leetcode",
        "starter_code": STARTER,
        "public_test_cases": json.dumps(CALL_CASES),
        "private_test_cases": json.dumps([{"input": "[]\n0", "output": "0", "testtype": "functional"}]),
        "metadata": '{"func_name": "sumUp"}',
    }
    return stdin_row(name, day) | own | fields


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for `PENNY_DATA` with the files of four releases."""
    files = {
        "test": [stdin_row("a", "2023-05-07"), call_row("b", "2024-03-01")],
        "test2": [stdin_row("c", "2024-05-31")],
        "test3": [stdin_row("d", "2024-07-31")],
        "test4": [call_row("e", "2024-08-01"), stdin_row("f", "2024-07-30"), stdin_row("g", "2024-09-30")],
        "test5": [stdin_row("h", "2025-01-31"), stdin_row("i", "2025-02-01")],
    }
    (tmp_path / "livecodebench").mkdir()
    for name, rows in files.items():
        path = tmp_path / "livecodebench" / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setenv("PENNY_DATA", str(tmp_path))
    return tmp_path


def load(**options: Any) -> list[Problem]:
    section = {"source": "hub", "name": LIVECODEBENCH, "split": "test", "options": {"release": "v5", **options}}
    return load_problems(ProblemsSection.model_validate(section))


def asked(problems: list[Problem]) -> str:
    return "".join(problem.columns["question_id"] for problem in problems)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "abcdefghi"),
        ({"release": "v1"}, "ab"),
        ({"release": "v4"}, "abcdefg"),
        ({"from": "2024-08-01"}, "eghi"),
        ({"from": "2024-08-01", "to": "2025-02-01"}, "egh"),
        ({"to": datetime.date(2024, 3, 1)}, "a"),
        ({"from": "2024-07-31", "release": "v3"}, "d"),
        ({"from": "2024-09-30", "to": "2024-10-01"}, "g"),
    ],
)
def test_releases_and_days(data: Path, options: dict[str, Any], names: str) -> None:
    assert asked(load(**options)) == names


def test_ids_are_places_in_the_files_whatever_the_window(data: Path) -> None:
    problems = {problem.columns["question_id"]: problem.id for problem in load()}
    assert problems["a"] == "livecodebench/test/0" and problems["g"] == "livecodebench/test4/2"
    assert all(problems[p.columns["question_id"]] == p.id for p in load(**{"from": "2024-08-01"}))


def test_files_of_earlier_releases_are_not_needed(data: Path) -> None:
    for name in ("test", "test2", "test3"):
        (data / "livecodebench" / f"{name}.jsonl").unlink()
    assert asked(load(**{"from": "2024-08-01"})) == "eghi"
    with pytest.raises(BadInput, match=r"has test3.jsonl, .* not|not test.jsonl, test2.jsonl, test3.jsonl"):
        load()
    with pytest.raises(BadInput, match=r"not test3.jsonl.*problems\.options"):
        load(**{"from": "2024-07-31"})


def test_files_may_lie_in_the_folder_itself(data: Path) -> None:
    for path in (data / "livecodebench").iterdir():
        path.rename(data / f"livecodebench_{path.name}")
    assert asked(load()) == "abcdefghi" and load()[0].id == "livecodebench/test/0"


def test_files_of_the_hub_are_fetched_at_the_revision(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENNY_DATA")
    fetched = []

    def hub_files(name: str, revision: str | None, files: list[str]) -> list[Path]:
        fetched.append((name, revision, *files))
        return [data / "livecodebench" / file for file in files]

    monkeypatch.setattr(livecodebench, "hub_files", hub_files)
    section = builtin_benchmark("livecodebench").problems.model_copy(update={"options": {"release": "v2"}})
    assert asked(load_problems(section)) == "abc"
    revision = "0fe84c3912ea0c4d4a78037083943e8f0c4dd505"
    assert fetched == [(LIVECODEBENCH, revision, "test.jsonl"), (LIVECODEBENCH, revision, "test2.jsonl")]


def test_no_network_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENNY_DATA", raising=False)

    def hub_files(*_: Any) -> list[Path]:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(livecodebench, "hub_files", hub_files)
    with pytest.raises(BadInput, match=r"test.jsonl .* cannot be had \(no route to host\).*PENNY_DATA"):
        load()


def test_columns(data: Path) -> None:
    problems = {problem.columns["question_id"]: problem.columns for problem in load()}
    script, function = problems["a"], problems["b"]
    assert (script["kind"], script["entry_point"], script["prefix"], script["time_limit_s"]) == ("stdio", None, "", 12)
    assert script["question"] == "Add two numbers." and "standard input" in script["instruction"]
    assert (function["kind"], function["entry_point"]) == ("call", "sumUp")
    assert function["prefix"] == STARTER.rstrip() + "\n"
    assert function["question"] == "Add numbers.\n\n" + function["prefix"]
    assert "private_test_cases" not in script and script["difficulty"] == "easy"
    cases = [{"input": "1\n", "output": "1\n", "testtype": "stdin"}] * 50
    path = data / "livecodebench" / "test.jsonl"
    path.write_text(json.dumps(stdin_row("a", "2023-05-07", private_test_cases=json.dumps(cases))))
    assert load(release="v1")[0].columns["time_limit_s"] == 90


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(1, 20) as pool:
        yield pool


@pytest.mark.parametrize(
    ("name", "completion", "outcome"),
    [
        ("a", "```python\na, b = map(int, input().split())\nprint(a + b)\n```", "correct"),
        (
            "a",
            "```python\nif __name__ == '__main__':\n    print(reduce(add, map(int, stdin.read().split())))\n```",
            "correct",
        ),
        ("a", "```python\nprint(3)\n```", "wrong"),  # the private test
        ("b", f"```python\n{STARTER}return sum(nums) + start\n```", "correct"),
        ("b", "```python\ndef sumUp(nums, start):\n    return sum(nums) + start\n```", "correct"),
        ("b", "        return sum(nums, start)\n\n    def other(self):\n        pass\n\n# so\nprint(", "correct"),
        ("b", f"```python\n{STARTER}return 7\n```", "wrong"),
    ],
)
def test_programs_are_graded(data: Path, pool: GraderPool, name: str, completion: str, outcome: str) -> None:
    (problem,) = (problem for problem in load(release="v1") if problem.columns["question_id"] == name)
    (verdict,) = grade_code([{**problem.columns, "completion": completion}], pool)
    assert verdict.outcome == outcome, verdict.reason


@pytest.fixture
def own_limits() -> Iterator[None]:
    """Give the limits of this process back, which the preamble raises."""
    digits, depth = sys.get_int_max_str_digits(), sys.getrecursionlimit()
    yield
    sys.set_int_max_str_digits(digits)
    sys.setrecursionlimit(depth)


def test_the_preamble_leaves_the_built_in_functions(own_limits: None) -> None:
    names: dict[str, Any] = {}
    exec(PREAMBLE, names)
    assert names["pow"] is pow and names["open"] is open and names["List"] and names["heappush"] and names["inf"]
    assert names["datetime"] is datetime  # the module, as there


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


@pytest.mark.parametrize(
    "thing", [Harm(), [Harm()], b"text", ["a"], {"a": 1}, 5, None, ("[]", "[]")], ids=lambda thing: type(thing).__name__
)
def test_a_pickle_of_anything_but_a_text_is_refused(
    thing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        text = base64.b64encode(zlib.compress(pickle.dumps(thing, protocol))).decode()
        with pytest.raises(ValueError, match="pickle of its test cases holds"):
            private_cases(text)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("long", [False, True])
def test_a_pickle_of_a_text_is_read(protocol: int, long: bool) -> None:
    cases = [{"input": "é\ud83d\n" * (50_000 if long else 1), "output": "1", "testtype": "stdin"}]
    for ascii_only in (True, False):
        text = json.dumps(cases, ensure_ascii=ascii_only)
        packed = base64.b64encode(zlib.compress(pickle.dumps(text, protocol))).decode()
        assert private_cases(packed) == json.loads(text)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"private_test_cases": "????"}, "neither JSON nor packed"),
        ({"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps("[1, 2"))).decode()}, "cannot be read"),
        ({"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps([1]))).decode()}, "more than a text"),
        ({"public_test_cases": "[1]"}, "cannot be read"),
        ({"contest_date": "May"}, "cannot be read"),
        ({"metadata": "[]"}, "cannot be read"),
    ],
)
def test_rows_that_are_none(data: Path, fields: dict[str, Any], sentence: str) -> None:
    path = data / "livecodebench" / "test.jsonl"
    path.write_text(json.dumps(stdin_row("a", "2023-05-07", **fields)))
    with pytest.raises(BadInput, match=f"Row livecodebench/test/0 .*{sentence}"):
        load(release="v1")


def test_a_missing_field_is_bad_input(data: Path) -> None:
    row = stdin_row("a", "2023-05-07")
    del row["metadata"]
    (data / "livecodebench" / "test.jsonl").write_text(json.dumps(row))
    with pytest.raises(BadInput, match="Row livecodebench/test/0 has no field 'metadata'"):
        load(release="v1")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"release": "v7"}, r"problems\.options\.release"),
        ({"from": "2024-13-01"}, r"problems\.options\.from"),
        ({"to": 2024}, r"problems\.options\.to"),
        ({"form": "2024-01-01"}, "no option 'form'"),
        ({"from": "2024-08-01", "to": "2024-08-01"}, "there is no day"),
    ],
)
def test_wrong_options(data: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        load(**options)


@pytest.mark.parametrize(
    ("window", "options"),
    [
        ("v5", {"release": "v5"}),
        ("2024-08..2025-01", {"from": "2024-08-01", "to": "2025-02-01"}),
        ("2024-12..2024-12", {"from": "2024-12-01", "to": "2025-01-01"}),
        ("2024-08-15..2025-01-31", {"from": "2024-08-15", "to": "2025-02-01"}),
        ("2024-08..", {"from": "2024-08-01"}),
        ("..2024-02", {"to": "2024-03-01"}),
    ],
)
def test_windows(window: str, options: dict[str, str]) -> None:
    benchmark = builtin_benchmark("livecodebench")
    found = windowed(benchmark, window)
    assert found.name == f"livecodebench:{window}" and window in found.description
    assert found.problems.options == options and benchmark.problems.options == {"release": "v6"}
    assert Benchmark.model_validate(found.model_dump()) == found


@pytest.mark.parametrize("window", ["", "v9", "..", "2024", "2024-08", "2024-13..", "2024-08..x", "x..2024-08"])
def test_what_is_no_window(window: str) -> None:
    with pytest.raises(BadInput, match=r"is no window; give a release \(v1, .*2024-08\.\.2025-01"):
        windowed(builtin_benchmark("livecodebench"), window)


def test_other_benchmarks_have_no_windows() -> None:
    with pytest.raises(BadInput, match="gsm8k has no release windows"):
        windowed(builtin_benchmark("gsm8k"), "v5")
