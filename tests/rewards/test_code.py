"""The reward for programs: columns, options, verdicts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from rewards.code import code, grade_code
from rewards.code import rows as code_rows
from rewards.code.rows import packed
from rewards.errors import BadInput
from rewards.gold import gold_check
from rewards.pool import GraderPool, Result
from rewards.registry import load_reward, required_columns

ADD = "def add(a, b):\n    return a + b\n"
RIGHT = f"```python\n{ADD}```"
WRONG = "```python\ndef add(a, b):\n    return 3\n```"
TESTS = [{"args": [1, 2], "expected": 3}, {"args": [2, 2], "expected": 4}]
CHECK = "def check(candidate):\n    assert candidate(2, 2) == 4\n"


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(1, 10) as pool:
        yield pool


def test_it_is_found_by_name_and_needs_no_column() -> None:
    assert load_reward("code") is code and required_columns(code) == set()


def test_rewards_of_each_kind(pool: GraderPool) -> None:
    said: dict[str, Any] = {}
    rewards = code(
        [RIGHT, [{"role": "assistant", "content": WRONG}], RIGHT, "```\nprint(input())\n```", "I cannot.", RIGHT],
        entry_point=["add", "add", "add", None, "add", "add"],
        tests=[TESTS, TESTS, None, [{"stdin": "a\n", "stdout": "a\n", "args": None}], TESTS, json.dumps(TESTS)],
        check=[None, None, CHECK, None, None, None],
        grader_pool=pool,
        log_extra=said.__setitem__,
        log_metric=said.__setitem__,
    )
    assert rewards == [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    assert said["code/verdict"] == ["correct", "wrong", "correct", "correct", "unparseable", "correct"]
    assert said["code/reason"][1] == "test 2: returned 3, expected 4"
    assert said["code/correct"] == pytest.approx(4 / 6)
    assert said["code/answer"] == [ADD, WRONG[10:-3], ADD, "print(input())\n", "I cannot.", ADD]


HEAD = 'def twice(x):\n    return 2 * x\n\n\ndef add(a, b):\n    """Add."""\n'
BODY = "    return (twice(a) + twice(b)) // 2\n"


def test_bodies_go_on_from_the_head(pool: GraderPool) -> None:
    said: dict[str, Any] = {}
    completions = [
        BODY,
        f"```python\n{BODY}```",
        BODY + "\n\n# test\nprint(",
        BODY.replace("2", "3"),
        RIGHT,
        "no way",
        "```",
    ]
    rewards = code(
        completions,
        entry_point=["add"] * 7,
        tests=[TESTS] * 7,
        prefix=[HEAD] * 7,
        grader_pool=pool,
        log_extra=said.__setitem__,
    )
    assert rewards == [1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    assert said["code/answer"] == [HEAD + BODY] * 3 + [HEAD + BODY.replace("2", "3"), ADD, "no way", None]
    assert said["code/verdict"][-2:] == ["unparseable", "unparseable"]
    assert code([BODY], entry_point=["add"], tests=[TESTS], prefix=[None], grader_pool=pool) == [0.0]
    (verdict,) = grade_code([{"completion": BODY, "check": CHECK, "entry_point": "add", "prefix": HEAD}], pool)
    assert verdict.outcome == "correct", verdict.reason


SUM = {"check": "assert sum([1, 2]) == 3\nassert sum([2, 2]) == 4", "entry_point": "sum"}


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("def total(x): return x", "wrong"),
        ("def outer():\n    def sum(x): return 3", "wrong"),
        ("class A:\n    sum = staticmethod(lambda x: x[0] + x[1])", "wrong"),
        ("def sum(x): return x[0] + x[1]", "correct"),
        ("from math import fsum as sum", "correct"),
        ("from builtins import sum", "correct"),
        ("class Solution:\n    def sum(self, x): return x[0] + x[1]", "correct"),
        ("class Solution:\n    def total(self, x): return x[0] + x[1]", "wrong"),
        ("def sum(x):\n    return 3", "wrong"),
    ],
)
def test_the_entry_point_is_the_programs_own(pool: GraderPool, program: str, outcome: str) -> None:
    tests = [{"args": [[1, 2]], "expected": 3}, {"args": [[2, 2]], "expected": 4}]
    candidate = "def check(candidate):\n    try:\n        assert candidate([1, 2]) == 3\n        ok = candidate([2, 2])"
    ways = [
        SUM,
        SUM | {"entry_point": None},
        SUM | {"check": f"{candidate}\n    except NameError:\n        return\n    assert ok == 4\n"},
        {"tests": tests, "entry_point": "sum"},
        {"tests": tests, "entry_point": "sum", "preamble": "from builtins import *\ndef sum(x): return x[0] + x[1]"},
    ]
    verdicts = grade_code([{"completion": f"```python\n{program}\n```", **way} for way in ways], pool)
    assert [verdict.outcome for verdict in verdicts] == [outcome] * len(ways), verdicts


def test_names_of_the_preamble_are_not_the_programs(pool: GraderPool) -> None:
    method = "class Solution:\n    def product(self, a, b): return a * b"
    row = {"tests": [{"args": [2, 3], "expected": 6}], "entry_point": "product", "preamble": "from itertools import *"}
    again = "from operator import mul\nproduct = mul"
    programs = [method, again, "from math import prod"]
    verdicts = grade_code([{"completion": f"```python\n{program}\n```", **row} for program in programs], pool)
    assert [verdict.outcome for verdict in verdicts] == ["correct", "correct", "wrong"]
    assert verdicts[2].reason == "test 1: NameError: the program does not define product"
    same = {
        **row,
        "completion": "```python\nfrom math import gcd\n```",
        "entry_point": "gcd",
        "preamble": "from math import *",
    }
    script = {"preamble": "from math import *", "check": "assert isclose(add(1, 2), 3 * pi / pi)", "entry_point": "add"}
    verdicts = grade_code([{**same, "tests": [{"args": [4, 6], "expected": 2}]}, {"completion": RIGHT, **script}], pool)
    assert [verdict.outcome for verdict in verdicts] == ["correct", "correct"]


def test_a_script_without_an_entry_point_chooses_the_block_all_the_same(pool: GraderPool) -> None:
    row = {"completion": f"{RIGHT}\nUse it:\n```python\nprint(add(1, 2))\n```", "check": "assert add(2, 2) == 4"}
    verdicts = grade_code([row, {**row, "check": "assert ("}], pool)
    assert [verdict.outcome for verdict in verdicts] == ["correct", "ungradable"]


@pytest.mark.parametrize("future", ["", "# mine\n\nfrom __future__ import annotations\n"])
def test_the_preamble_runs_before_the_program(pool: GraderPool, future: str) -> None:
    row = {"completion": f"```python\n{future}x: List[int] = [floor(2.5)]\nprint(*x)\n```"}
    row |= {"tests": [{"stdin": "", "stdout": "2"}], "preamble": "from typing import *; from math import *"}
    assert [verdict.outcome for verdict in grade_code([row, {**row, "preamble": ""}], pool)] == ["correct", "wrong"]


@pytest.mark.parametrize(
    "preamble",
    [
        "try:\n    import msvcrt\nexcept ImportError:\n    msvcrt = None\n",
        "# numbers come from nt, winreg and tkinter\nimport math",
        "try:\n    import tkinter, lib2to3, idlelib.run\nexcept ImportError: pass",
        "import sys\nif sys.platform == 'win32':\n    import winreg, nt",
        "def later():\n    import _winapi",
        "import os, os.path as path, json, xml.dom, asyncio",
        "from __future__ import annotations\nfrom math import *",
    ],
)
def test_a_preamble_may_name_a_module_of_another_system(pool: GraderPool, preamble: str) -> None:
    (verdict,) = grade_code([{"completion": RIGHT, "entry_point": "add", "tests": TESTS, "preamble": preamble}], pool)
    assert verdict.outcome == "correct", verdict.reason


def test_packed_tests(pool: GraderPool) -> None:
    text = packed(TESTS)
    assert len(packed(TESTS * 1000)) < len(json.dumps(TESTS * 1000)) / 50
    rows = [{"completion": completion, "entry_point": "add", "tests": text} for completion in (RIGHT, WRONG)]
    assert [verdict.outcome for verdict in grade_code(rows, pool)] == ["correct", "wrong"]


def test_share_of_the_tests(pool: GraderPool) -> None:
    given: dict[str, Any] = {"entry_point": ["add"], "tests": [TESTS], "grader_pool": pool}
    assert code([WRONG], **given) == [0.0]
    assert code([WRONG], partial=True, **given) == [0.5]
    assert code(["```\ndef add(a, b): return 1 // (a - b) or 3\n```"], partial=True, **given) == [0.0]
    dies = "```\nimport os\ndef add(a, b): return 3 if a == 1 else os._exit(0)\n```"
    assert code([dies], partial=True, **given) == [0.5]
    lines = [{"stdin": "1", "stdout": "1"}, {"stdin": "2", "stdout": "3"}, {"stdin": "4", "stdout": "4"}]
    assert code(["```\nprint(input())\n```"], tests=[lines], partial=True, grader_pool=pool) == [2 / 3]
    assert code([WRONG], entry_point=["add"], check=[CHECK], partial=True, grader_pool=pool) == [0.0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "neither tests nor a check script"),
        ({"tests": []}, "neither tests nor a check script"),
        ({"tests": "["}, "no JSON"),
        ({"tests": "zlib+base64:eJ"}, "cannot be unpacked"),
        ({"tests": "zlib+base64:AAAA"}, "cannot be unpacked"),
        ({"tests": packed(TESTS)[:-8], "entry_point": "add"}, "cut off"),
        ({"tests": TESTS, "entry_point": "add", "prefix": 5}, "prefix is no text"),
        ({"tests": TESTS, "entry_point": "add", "preamble": ["import re"]}, "preamble is no text"),
        ({"kind": "calls", "tests": TESTS}, "none of call, stdio, check"),
        ({"tests": TESTS}, "no entry_point"),
        ({"tests": TESTS, "entry_point": 5}, "no text"),
        ({"kind": "check", "tests": TESTS}, "no check script"),
        ({"tests": [{"args": [1]}], "entry_point": "add"}, "args and the value expected"),
        ({"tests": [1], "entry_point": "add"}, "no list of tests"),
        ({"tests": [{"args": [object()], "expected": 1}], "entry_point": "add"}, "cannot be sent"),
        ({"kind": "stdio", "tests": [{"stdin": 5, "stdout": "a"}]}, "stdin and stdout"),
        ({"tests": TESTS, "entry_point": "add", "time_limit_s": 0}, "no positive number"),
        ({"check": "assert (", "entry_point": "add"}, "cannot be used"),
        ({"check": "import no_such_module\nassert add(1, 2) == 3"}, "fails: import no_such_module"),
        ({"check": "assert 1 == 1", "entry_point": "add"}, "never uses the program"),
        ({"check": "assert 1 == 2", "entry_point": "add"}, "itself fails: assert 1 == 2"),
        ({"check": "def check(candidate): pass"}, "no entry_point"),
    ],
)
def test_rows_that_cannot_be_graded(pool: GraderPool, row: Mapping[str, Any], reason: str) -> None:
    (verdict,) = grade_code([{"completion": RIGHT, **row}], pool)
    assert verdict.outcome == "ungradable" and reason in verdict.reason


def test_packed_tests_have_a_limit(pool: GraderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_rows, "LARGEST_UNPACKED", 1 << 20)
    bomb = packed([{"stdin": "a" * (2 << 20), "stdout": ""}])
    (verdict,) = grade_code([{"completion": RIGHT, "tests": bomb}], pool)
    assert verdict.outcome == "ungradable" and "more than 1 MiB" in verdict.reason


@pytest.mark.parametrize(
    ("program", "check", "outcome"),
    [
        (ADD, "try:\n    add(1, 'a')\nexcept TypeError:\n    pass\nelse:\n    assert False", "correct"),
        ("class E(KeyError): pass\ndef f():\n    raise E", "try:\n    f()\nexcept LookupError:\n    pass", "correct"),
        ("def f():\n    raise UnicodeDecodeError('a', b'b', 0, 1, 'c')", "try: f()\nexcept Exception: 0", "correct"),
        ("import os\ndef f(): os._exit(0)", "try:\n    f()\nexcept BaseException: pass", "wrong"),
        (ADD, "assert ad(1, 2) == 3", "wrong"),
        ("class P:\n    def __init__(self, x): self.x = x\ndef f(p): return p.x", "assert f(P(3)) == 3", "correct"),
        ("class N: pass\ndef f(a): return a.n.v", "a = N()\na.n = N()\na.n.v = 3\nassert f(a) == 3", "correct"),
        ("class P:\n    pass\np = P()\ndef f(): return p", "assert f() is f() and f() == f()", "correct"),
        ("def f(n): yield from range(n)", "assert list(f(3)) == [0, 1, 2]", "correct"),
        ("class L:\n    def __len__(s): return 2\n    def __getitem__(s, i): return [5, 6][i]\ndef f(): return L()",
         "assert len(f()) == 2 and f()[1] == 6 and list(f()) == [5, 6]", "correct"),
        ("def f(t, x): return [v for v in x if type(v) is t]", "assert f(int, [1, 'a']) == [1]", "correct"),
        ("def f(xs): xs.append(1); return xs", "xs = []\nassert f(xs) == [1] and xs == []", "correct"),
        ("from collections import Counter as f", "assert f('aab') == {'a': 2, 'b': 1}", "correct"),
        ("def f(x): return x", "assert f((1, {2: {3}}, 1j, b'a')) == (1, {2: {3}}, 1j, b'a')", "correct"),
        ("class Solution:\n    def f(self, x): return x", "def check(c):\n    assert c(3) == 3", "correct"),
        (ADD + "def all(x): return True", "assert all([add(1, 2) == 4])", "wrong"),
        (ADD + "class math:\n    isclose = lambda *a: True", "assert math.isclose(add(1, 2), 4)", "wrong"),
        ("def f(): raise SystemExit", "f()", "wrong"),
        ("def f(x): raise StopIteration", "assert all(map(f, [1]))", "wrong"),
    ],
)  # fmt: skip
def test_check_scripts(pool: GraderPool, program: str, check: str, outcome: str) -> None:
    entry_point = "f" if "def check" in check else None
    row = {"completion": f"```python\n{program}\n```", "check": check, "entry_point": entry_point}
    (verdict,) = grade_code([row], pool)
    assert verdict.outcome == outcome, verdict.reason


@pytest.mark.parametrize(
    ("entry_point", "program"),
    [
        ("Solution.add", "class Solution:\n    def add(self, a, b): return a + b"),
        ("add", "class Solution:\n    def add(self, a, b): return a + b"),
        ("Calculator.add", "class Calculator:\n    @staticmethod\n    def add(a, b): return a + b"),
    ],
)
def test_methods(pool: GraderPool, entry_point: str, program: str) -> None:
    row = {"completion": f"```python\n{program}\n```", "entry_point": entry_point, "tests": TESTS}
    (verdict,) = grade_code([row], pool)
    assert verdict.outcome == "correct", verdict.reason


def test_keyword_arguments_and_values_that_are_no_json(pool: GraderPool) -> None:
    test = {"args": [(1, 2)], "kwargs": {"k": {3}}, "expected": [[1, 2], {3}]}
    row = {"completion": "```\ndef f(x, *, k): return x, k\n```", "entry_point": "f", "tests": [test]}
    (verdict,) = grade_code([row], pool)
    assert verdict.outcome == "correct", verdict.reason


def test_time_limits(pool: GraderPool) -> None:
    row = {"completion": "```\nimport time\ntime.sleep(1e6)\n```", "entry_point": "f", "tests": TESTS}
    (verdict,) = grade_code([{**row, "time_limit_s": 0.5}], pool)
    assert (verdict.outcome, verdict.reason) == ("wrong", "timed out after 0.5 s")
    (verdict,) = grade_code([{**row, "time_limit_s": 60}], pool, timeout=0.3)
    assert (verdict.outcome, verdict.reason) == ("wrong", "timed out after 0.3 s")


def test_memory_limit(pool: GraderPool) -> None:
    row = {"completion": f"```\nx = bytearray(300 << 20)\n{ADD}\n```", "entry_point": "add", "tests": TESTS}
    verdicts = [grade_code([row], pool, memory_mib=size)[0].outcome for size in (200, 600)]
    assert verdicts == ["wrong", "correct"]


def test_bad_input() -> None:
    pool: Any = None
    with pytest.raises(BadInput, match="'tests' or 'check'"):
        code([RIGHT], entry_point=["add"])
    with pytest.raises(BadInput, match="sandbox is 'none'"):
        code([RIGHT], tests=[TESTS], sandbox="none", grader_pool=pool)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="memory_mib is 0"):
        code([RIGHT], tests=[TESTS], memory_mib=0, grader_pool=pool)


class FakePool:
    """A pool whose every job ends the same way."""

    timeout = 10.0

    def __init__(self, result: Result) -> None:
        self.result = result

    def map(self, function: str, jobs: Sequence[Any], **options: Any) -> list[Result]:
        return [self.result] * len(jobs)


@pytest.mark.parametrize(
    ("kind", "reward"), [("ungradable", None), ("crashed", 0.0), ("timed_out", 0.0)]
)  # after a crash, the pool had its control run
def test_what_the_pool_says(kind: Any, reward: float | None) -> None:
    pool: Any = FakePool(Result(kind, reason="because"))
    assert code([RIGHT], entry_point=["add"], tests=[TESTS], grader_pool=pool) == [reward]


def test_no_isolation_is_one_sentence() -> None:
    pool: Any = FakePool(Result("value", {"bad_input": "this machine offers no isolation"}))
    with pytest.raises(BadInput, match="offers no isolation"):
        code([RIGHT], entry_point=["add"], tests=[TESTS], grader_pool=pool)


def test_gold_solutions(pool: GraderPool) -> None:
    bad_golds = gold_check(code)
    assert bad_golds is not None
    columns = {"entry_point": ["add"] * 3, "tests": [TESTS, TESTS, None], "solution": [ADD, "def add(): pass", ADD]}
    good, wrong, untested = bad_golds(columns, pool, {})
    assert good is None and "TypeError" in str(wrong) and "neither" in str(untested)
    nowhere: Any = FakePool(Result("value", {"bad_input": "this machine offers no isolation"}))
    with pytest.raises(BadInput, match="offers no isolation"):
        bad_golds(columns, nowhere, {})
    del columns["solution"]
    assert [said is None for said in bad_golds(columns, pool, {})] == [True, True, False]


@pytest.mark.parametrize("preamble", ["import no_such_module", "from math import no_such_name", "x = ("])
def test_a_preamble_that_fails_is_said_to(pool: GraderPool, preamble: str) -> None:
    row = {"completion": RIGHT, "entry_point": "add", "tests": TESTS}
    failing, passing = grade_code([{**row, "preamble": preamble}, row], pool)
    assert (failing.outcome, passing.outcome) == ("ungradable", "correct") and "preamble" in failing.reason
