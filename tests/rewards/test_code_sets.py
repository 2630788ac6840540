"""The canonical solutions of public benchmarks pass their own tests, and programs of the cases files as labeled.

Needs the benchmarks in the folder PENNY_DATA, and code_attacks.jsonl and code_more.jsonl in the folder PENNY_CASES.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rewards.code import grade_code
from rewards.files import grade_file
from rewards.pool import GraderPool
from rl.problems.programs import HUMANEVAL_PLUS, MBPP_PLUS, with_program_columns

Row = dict[str, Any]
SECONDS = 120.0  # one solution of MBPP takes more than 5 s of processor time, one of MBPP+ 14


def lines_of(variable: str, name: str) -> list[Row]:
    folder = os.environ.get(variable)
    if not folder or not (path := Path(folder) / name).exists():
        pytest.skip(f"{variable} names no folder with {name}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def of_humaneval(row: Row) -> Row:
    solution = row["prompt"] + row["canonical_solution"]
    return {"completion": f"```python\n{solution}\n```", "check": row["prompt"] + row["test"]}


def of_humaneval_body(row: Row) -> Row:
    body = row["canonical_solution"] + "\n\ndef another(x"
    return {"completion": body, "prefix": row["prompt"], "check": row["prompt"] + row["test"]}


def of_humaneval_fenced_body(row: Row) -> Row:
    return {**of_humaneval_body(row), "completion": f"```python\n{row['canonical_solution']}```"}


def of_humaneval_wrong_body(row: Row) -> Row:
    return {**of_humaneval_body(row), "completion": f"    return 'no'\n{row['canonical_solution']}"}


def of_mbpp(row: Row) -> Row:
    setup = row.get("test_setup_code") or "\n".join(row.get("test_imports", []))
    tests = row.get("test") or "\n".join(row["test_list"])
    return {"completion": f"```python\n{row['code']}\n```", "check": f"{setup}\n{tests}"}


def of_mbpp_plus(row: Row) -> Row:
    entry_point = "sum" if str(row["task_id"]) == "126" else None  # elsewhere the only name that is not built in
    return of_mbpp({**row, "test_imports": []}) | {"entry_point": entry_point}


def failing(rows: list[Row], convert: Callable[[Row], Row]) -> dict[str, str]:
    converted = [{"entry_point": row.get("entry_point"), **convert(row), "time_limit_s": SECONDS} for row in rows]
    with GraderPool(2, 10) as pool:
        verdicts = grade_code(converted, pool)
    pairs = zip(rows, verdicts, strict=True)
    return {str(row["task_id"]): verdict.reason for row, verdict in pairs if verdict.outcome != "correct"}


def test_a_sample_of_humaneval() -> None:
    assert failing(lines_of("PENNY_DATA", "humaneval.jsonl")[::4], of_humaneval) == {}


def test_bodies_of_a_sample_of_humaneval() -> None:
    rows = lines_of("PENNY_DATA", "humaneval.jsonl")[2::8]
    assert failing(rows, of_humaneval_body) == failing(rows, of_humaneval_fenced_body) == {}
    assert len(failing(rows, of_humaneval_wrong_body)) == len(rows)


def test_a_sample_of_mbpp() -> None:
    rows = lines_of("PENNY_DATA", "mbpp.jsonl")
    kept = {126, 367, 533, 596, 601, 927}  # a built-in's name, classes of the program's, a type as argument
    assert failing(rows[10::18] + [row for row in rows if row["task_id"] in kept], of_mbpp) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "convert", "count", "bad"),
    [
        ("humaneval", of_humaneval, 164, set()),
        ("humaneval", of_humaneval_body, 164, set()),
        ("humaneval", of_humaneval_fenced_body, 164, set()),
        ("mbpp", of_mbpp, 974, set()),
        ("mbpp_sanitized", of_mbpp, 427, set()),
        ("humanevalplus", of_humaneval, 164, {"HumanEval/32"}),  # its test calls a function wrongly
        ("mbppplus", of_mbpp_plus, 378, {"255"}),  # it returns 128 million items
    ],
)
def test_canonical_solutions(name: str, convert: Callable[[Row], Row], count: int, bad: set[str]) -> None:
    rows = lines_of("PENNY_DATA", f"{name}.jsonl")
    failed = failing(rows, convert)
    assert len(rows) == count and set(failed) == bad, failed


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["namespaces", "landlock"])
def test_attacks(mode: Any) -> None:
    rows = lines_of("PENNY_CASES", "code_attacks.jsonl")
    with GraderPool(2, 10) as pool:
        verdicts = grade_code(rows, pool, sandbox=mode)
    assert len(rows) == 70
    pairs = list(zip(rows, verdicts, strict=True))
    assert {row["name"]: said for row, said in pairs if said.reward != row["expected_reward"]} == {}


def test_quick_attacks() -> None:
    """Those that do not run into their time limit."""
    slow = ("loop", "never_exits", "ignored", "swallow", "block_all", "bomb")
    rows = [row for row in lines_of("PENNY_CASES", "code_attacks.jsonl") if not any(x in row["name"] for x in slow)]
    with GraderPool(2, 10) as pool:
        verdicts = grade_code(rows, pool)
    pairs = list(zip(rows, verdicts, strict=True))
    assert {row["name"]: said for row, said in pairs if said.reward != row["expected_reward"]} == {}


def test_programs_in_the_manner_of_bug_reports(tmp_path: Path) -> None:
    rows = lines_of("PENNY_CASES", "code_more.jsonl")
    source, target = tmp_path / "rows.jsonl", tmp_path / "graded.jsonl"
    kept = [row for row in rows if row["name"] not in ("n-c18.1", "n-c18.2")]  # they sleep
    source.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    summary = grade_file("code", source, target, workers=2)
    graded = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert {row["name"]: row["reason"] for row in graded if row["reward"] != row["expected_reward"]} == {}
    assert (len(rows), summary.rows, summary.verdicts["correct"], summary.verdicts["wrong"]) == (52, 50, 42, 8)


NOTHING = ("[]", "()", "{}", "None", "0", "0.0", "True", '""', "np.array([])", "float('nan')", "object()")


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name"), [("humanevalplus", HUMANEVAL_PLUS), ("mbppplus", MBPP_PLUS)])
def test_nothing_passes_no_task(file: str, name: str) -> None:
    rows = [row for _, row in with_program_columns(name, enumerate_rows(lines_of("PENNY_DATA", f"{file}.jsonl")))]
    passed: dict[str, list[Any]] = {}
    with GraderPool(2, 10) as pool:
        for value in NOTHING:
            head = "```python\nimport numpy as np\ndef"
            answers = [
                {**row, "completion": f"{head} {row['entry_point']}(*a, **k): return {value}\n```"} for row in rows
            ]
            verdicts = zip(rows, grade_code(answers, pool), strict=True)
            passed[value] = [row["task_id"] for row, said in verdicts if said.outcome != "wrong"]
    assert len(rows) in (163, 378) and passed == dict.fromkeys(NOTHING, []), passed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name", "bad"), [("humanevalplus", HUMANEVAL_PLUS, set()), ("mbppplus", MBPP_PLUS, set())]
)
def test_solutions_pass_the_stricter_scripts(file: str, name: str, bad: set[str]) -> None:
    rows = [row for _, row in with_program_columns(name, enumerate_rows(lines_of("PENNY_DATA", f"{file}.jsonl")))]
    with GraderPool(2, 10) as pool:
        verdicts = grade_code([{**row, "completion": f"```python\n{row['solution']}\n```"} for row in rows], pool)
    failed = {
        str(row["task_id"]): said.reason for row, said in zip(rows, verdicts, strict=True) if said.outcome != "correct"
    }
    assert failed.keys() == bad, failed


def enumerate_rows(rows: list[Row]) -> Iterator[tuple[str, Row]]:
    return ((str(row["task_id"]), row) for row in rows)
