"""Twenty thousand gradings, good and hostile: memory stays flat, and no process, descriptor, file or zombie is left."""

import gc
import itertools
import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from rewards.code import grade_code
from rewards.math import grade_math
from rewards.pool import GraderPool

ROUNDS = 20
MATH_A_ROUND, CODE_A_ROUND = 880, 120  # 20,000 in all
GROWTH = 24 << 20  # bytes that the trainer's process may grow by after the first rounds

# gold, response, outcome
ANSWERS = [
    ("72", "So she has \\boxed{72} left.", "correct"),
    ("72", "So she has \\boxed{73} left.", "wrong"),
    ("\\frac{1}{2}", "<think>hm</think> The answer is 0.5.", "correct"),
    ("(1, 2)", "\\boxed{(2, 1)}", "wrong"),
    ("[0, \\infty)", "$\\boxed{x \\ge 0}$", "correct"),
    ("7", "<think>it never ends", "unparseable"),
    ("7", "\\boxed{9^{9^{9^{9}}}}", "wrong"),
    ("12", "\\boxed{12} or perhaps \\boxed{13}", "wrong"),
    ("42", "\\boxed{" * 3000, "unparseable"),
    ("42", "٤٢ هو الجواب: \\boxed{٤٢}", "correct"),
]
DEAR = [
    ("x^2 + 2x + 1", "\\boxed{(x+1)^2}", "correct"),
    ("\\sin(2x)", "\\boxed{2\\sin(x)\\cos(x)}", "correct"),
    ("\\frac{x^2-1}{x-1}", "\\boxed{x+2}", "wrong"),
]
ADD = {
    "kind": "call",
    "entry_point": "add",
    "tests": [{"args": [1, 2], "expected": 3}, {"args": [-5, 5], "expected": 0}],
}
SUM = {"kind": "stdio", "tests": [{"stdin": "1 2\n", "stdout": "3\n"}]}
SORT = {"kind": "check", "entry_point": "my_sort", "check": "def check(f):\n    assert f([2, 1]) == [1, 2]\n"}
PROGRAMS = [
    ({**ADD, "completion": "def add(a, b):\n    return a + b\n"}, "correct"),
    ({**ADD, "completion": "def add(a, b):\n    return a - b\n"}, "wrong"),
    ({**SUM, "completion": "print(sum(map(int, input().split())))\n"}, "correct"),
    ({**SORT, "completion": "```python\ndef my_sort(xs):\n    return sorted(xs)\n```"}, "correct"),
    ({**SORT, "completion": "I would sort them."}, "unparseable"),
]
WRONG = "import ctypes, os, signal, sys, time\ndef add(a, b):\n    return 0\n"
FORKS = """
for _ in range(300):
    try:
        if os.fork() == 0:
            time.sleep(60)
    except OSError:
        break
"""
DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
"""
FORGERY = """
for fd in range(64):
    try:
        os.write(fd, b'passed')
    except OSError:
        pass
"""
HOSTILE = [
    "sys.exit(0)",
    "os._exit(0)",
    "while True: pass",
    FORKS,
    "x = []\nwhile True: x.append(bytearray(b'x') * (64 << 20))",
    "os.kill(os.getppid(), signal.SIGKILL)\nos.kill(-1, signal.SIGKILL)",
    FORGERY,
    DAEMON,
    "open('big', 'wb').write(b'x' * (200 << 20))",
    "ctypes.string_at(0)",
]


def below(process: int) -> set[int]:
    """Processes that come from one, zombies included."""
    try:
        children = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return set()
    found = {int(child) for text in children for child in text.split()}
    return found | {pid for child in found for pid in below(child)}


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def left_files() -> set[str]:
    return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("penny-")}


@pytest.mark.slow
def test_twenty_thousand_gradings_leave_nothing_behind() -> None:
    files, descriptors, family = left_files(), len(os.listdir("/proc/self/fd")), below(os.getpid())
    hostile = itertools.cycle(HOSTILE)
    sizes = []
    graded = 0
    with GraderPool(workers=2, timeout=2) as pool:
        for _ in range(ROUNDS):
            graded += math_round(pool) + code_round(pool, next(hostile))
            sizes.append(resident())
        working = len(below(os.getpid()) - family)
    assert graded == 20_000
    assert working <= 2 * 5  # a grader process has at most two sandboxes of two processes
    assert max(sizes[5:]) - sizes[4] < GROWTH, [size >> 20 for size in sizes]
    assert below(os.getpid()) == family
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert left_files() == files


def math_round(pool: GraderPool) -> int:
    rows = list(itertools.islice(itertools.cycle(ANSWERS), MATH_A_ROUND - 3 * len(DEAR))) + DEAR * 3
    verdicts = grade_math([gold for gold, _, _ in rows], [response for _, response, _ in rows], pool)
    wrong = Counter(
        (gold, response[:40], verdict.outcome, verdict.reason)
        for (gold, response, outcome), verdict in zip(rows, verdicts, strict=True)
        if verdict.outcome != outcome
    )
    assert not wrong
    return len(rows)


def code_round(pool: GraderPool, hostile: str) -> int:
    rows = list(itertools.islice(itertools.cycle(PROGRAMS), CODE_A_ROUND - 4))
    rows += [({**ADD, "completion": WRONG + hostile, "time_limit_s": 1}, "wrong")] * 4
    verdicts = grade_code([row for row, _ in rows], pool)
    wrong = Counter(
        (row["completion"], verdict.outcome, verdict.reason)
        for (row, outcome), verdict in zip(rows, verdicts, strict=True)
        if verdict.outcome != outcome
    )
    assert not wrong
    return len(rows)
