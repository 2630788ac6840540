"""Programs that try to be paid for nothing, to hang the grader or to harm the machine; and odd ones that are right."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from rewards.code import grade_code
from rewards.pool import GraderPool
from rewards.verdict import Verdict

ADD = [{"args": [1, 2], "expected": 3}, {"args": [-5, 5], "expected": 0}, {"args": [7, 35], "expected": 42}]
LINES = [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "-5 5\n", "stdout": "0\n"}]
CHECK = {
    "kind": "check",
    "entry_point": "add",
    "check": "def check(f):\n    assert abs(f(1, 2) - 3) < 1e-9\n    assert round(f(7, 35)) == 42\n",
}
RIGHT = "def add(a, b):\n    return a + b\n"

PROGRAMS = Path(__file__).with_name("programs.txt")  # "#: outcome kind: name", then the program


def programs_of(heading: str) -> dict[str, str]:
    """The programs under a heading such as `wrong call`, by name."""
    parts = [part.partition("\n") for part in PROGRAMS.read_text().split("#: ")[1:]]
    titles = [(*title.split(": "), text) for title, _, text in parts]
    return {name: text for found, name, text in titles if found == heading}


def rows_of(programs: dict[str, str], **columns: Any) -> list[dict[str, Any]]:
    return [{"completion": f"````python\n{text}\n````", **columns} for text in programs.values()]


def outcomes(programs: dict[str, str], verdicts: list[Verdict]) -> dict[str, tuple[str, str]]:
    return {name: (verdict.outcome, verdict.reason) for name, verdict in zip(programs, verdicts, strict=True)}


@pytest.fixture(scope="module")
def pool() -> Any:
    with GraderPool(2, 10) as pool:
        yield pool


CALL = {"kind": "call", "entry_point": "add", "tests": ADD}
DEEP = {"deep source": "(" * 5000 + ")" * 5000}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outcome", "programs", "columns"),
    [
        ("wrong", programs_of("wrong call") | DEEP, CALL),
        ("correct", programs_of("right call"), CALL),
        ("wrong", programs_of("wrong call") | programs_of("wrong check"), CHECK),
        ("correct", programs_of("right call"), CHECK),
        ("wrong", programs_of("wrong stdio") | DEEP, {"kind": "stdio", "tests": LINES}),
        ("correct", programs_of("right stdio"), {"kind": "stdio", "tests": LINES}),
    ],
    ids=["wrong calls", "right calls", "wrong checks", "right checks", "wrong scripts", "right scripts"],
)
def test_verdicts(pool: GraderPool, outcome: str, programs: dict[str, str], columns: dict[str, Any]) -> None:
    limit = 5 if outcome == "correct" else 1
    found = outcomes(programs, grade_code(rows_of(programs, time_limit_s=limit, **columns), pool))
    others = {name: said for name, said in found.items() if said[0] != outcome}
    starved = {name for name, (outcome, reason) in others.items() if reason.endswith("for a processor")}
    assert {name: said for name, said in others.items() if name not in starved} == {}
    if starved:
        pytest.skip(f"the machine is too busy to run {', '.join(starved)}")


def test_nothing_is_left_behind(pool: GraderPool) -> None:
    """Files of the machine cannot be read, written or removed, and no process outlives its verdict."""
    secret = Path("/tmp") / f"penny-canary-{os.getpid()}"
    secret.write_text("canary")
    daemon = Path("/tmp") / f"penny-daemon-{os.getpid()}"
    programs = {
        "reads": f"def add(a, b): return open('{secret}').read()",
        "removes": f"import os\nos.remove('{secret}')\n" + RIGHT,
        "daemon": "import os, time\nif os.fork() == 0:\n    if os.fork() == 0:\n        time.sleep(1)\n"
        f"        open('{daemon}', 'w').write('x')\n        time.sleep(60)\n    os._exit(0)\n" + RIGHT,
    }
    try:
        found = outcomes(programs, grade_code(rows_of(programs, entry_point="add", tests=ADD), pool))
        assert [said[0] for said in found.values()] == ["wrong", "wrong", "correct"], found
        time.sleep(1.2)
        assert secret.read_text() == "canary" and not daemon.exists()
    finally:
        secret.unlink()
        daemon.unlink(missing_ok=True)
