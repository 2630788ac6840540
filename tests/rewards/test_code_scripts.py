"""Programs that read standard input, in the ways that programs of contests do; and why they end otherwise."""

from collections.abc import Iterator
from typing import Any

import pytest

from rewards.code import grade_code
from rewards.pool import GraderPool
from rewards.sandbox import MODES, Mode
from rewards.verdict import Verdict

THREAD = """
import sys, threading
sys.setrecursionlimit(10 ** 7)
threading.stack_size(2 ** 28)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def main(): print(depth(20000) - 20000 + int(input()) + int(input()))
thread = threading.Thread(target=main)
thread.start()
thread.join()
"""
# Each adds the two numbers of its input, which are 4 and 5.
HONEST = {
    "device": "print(sum(map(int, open('/dev/stdin').read().split())))",
    "device of bytes": "with open('/dev/stdin', 'rb') as file: print(sum(map(int, file)))",
    "numpy": "import numpy\nprint(int(numpy.loadtxt('/dev/stdin').sum()))",
    "seek": "import sys\nsys.stdin.read()\nsys.stdin.seek(0)\nprint(sum(map(int, sys.stdin)))",
    "map": "import mmap\nfile = mmap.mmap(0, 0, access=mmap.ACCESS_READ)\nprint(sum(map(int, file[:].split())))",
    "two readers": "a = int(input())\nprint(a + int(open('/dev/stdin').readline() or 5))",
    "os.open": "import os\nprint(sum(map(int, os.read(os.open('/dev/stdin', os.O_RDONLY), 99).split())))",
    "device if there": "import os\nf = 0 if os.path.exists('/dev/stdin') else 'no'\nprint(sum(map(int, open(f))))",
    "select": "import select, sys\nif select.select([sys.stdin], [], [], 1)[0]: print(sum(map(int, sys.stdin)))",
    "own text": "print(sum(map(int, open(0))) if 'own text' in open(__file__).read() else 0)  # own text",
    "own folder": "import os\nos.chdir(os.path.dirname(os.path.abspath(__file__)))\nprint(sum(map(int, open(0))))",
    "source": "import inspect\ndef f(): return 9\nprint(9 if 'return 9' in inspect.getsource(f) else 0)",
    "path": "from pathlib import Path\nprint(sum(map(int, Path('/dev/stdin').read_text().split())))",
    "instead of stdin": "import sys\nsys.stdin = open('/dev/stdin')\nprint(int(input()) + int(input()))",
    "descriptor by path": "print(sum(map(int, open('/proc/self/fd/0'))))",
    "descriptor": "a, b = map(int, open(0))\nopen('/dev/stdout', 'w').write(str(a + b))",
    "buffer": "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))",
    "lines": "import sys\ninput = sys.stdin.readline\nprint(int(input()) + int(input()))",
    "system call": "import io, os\nprint(sum(map(int, io.BytesIO(os.read(0, 1 << 16)))))",
    "fileinput": "import fileinput\nprint(sum(map(int, fileinput.input())))",
    "up to the end": "t = 0\ntry:\n    while True: t += int(input())\nexcept EOFError:\n    print(t)",
    "guard": "def main():\n    print(int(input()) + int(input()))\nif __name__ == '__main__':\n    main()",
    "exit": "print(int(input()) + int(input()))\nexit()",
    "sys.exit": "import sys\nprint(int(input()) + int(input()))\nsys.exit(0)",
    "os._exit": "import os\nprint(int(input()) + int(input()), flush=True)\nos._exit(0)",
    "threads": THREAD,
    "stack": "import resource as r\nr.setrlimit(r.RLIMIT_STACK, (-1, -1))\nprint(int(input()) + int(input()))",
    "digits": "print(len(str(2 ** 20000)) - 6021 + int('0' * 5000 + input()) + int(input()))",
    "own place": "import os\nos.path.abspath(__file__)\nprint(int(input()) + int(input()))",
    "file if there": "import os\nprint(int(input()) + int(input()) if not os.path.exists('input.txt') else 0)",
}
FAILING = {
    "int('x')": "it ended with exit status 1: ValueError: invalid literal for int() with base 10: 'x'",
    "x = bytearray(2 << 30)": "it ended with exit status 1: MemoryError (it may use 200 MiB)",
    "input(); input(); input()": "it ended with exit status 1: EOFError: EOF when reading a line",
    "exit(3)": "it ended with exit status 3",
    "import os; os.closerange(3, 99); 1 / 0": "it ended with exit status 1",
    "import ctypes; ctypes.string_at(0)": "it crashed (signal 11, Segmentation fault): a fault in compiled code, or",
    "import time; time.sleep(100)": "timed out after 1 s",
}


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(1, 10) as pool:
        yield pool


def graded(pool: GraderPool, programs: list[str], mode: Mode = "auto", **columns: Any) -> list[Verdict]:
    tests = [{"stdin": "4\n5\n", "stdout": "9\n"}]
    rows = [{"completion": f"```python\n{program}\n```", "tests": tests, **columns} for program in programs]
    return grade_code(rows, pool, mode, memory_mib=200 if columns else 1024)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "unsafe"])
def test_honest_programs(pool: GraderPool, mode: Mode) -> None:
    verdicts = dict(zip(HONEST, graded(pool, list(HONEST.values()), mode), strict=True))
    assert {name: said.reason for name, said in verdicts.items() if said.outcome != "correct"} == {}


def test_the_reason_says_why_a_program_ended(pool: GraderPool) -> None:
    verdicts = graded(pool, list(FAILING), time_limit_s=1)
    for said, reason in zip(verdicts, FAILING.values(), strict=True):
        assert said.outcome == "wrong" and said.reason.removeprefix("test 1: ").startswith(reason), said.reason


def test_a_program_that_kills_itself_is_said_to_have_done_so(pool: GraderPool) -> None:
    (said,) = graded(pool, ["import os; os.kill(os.getpid(), 9)"], "landlock")
    assert "killed (signal 9): by itself" in said.reason


def test_large_numbers_are_compared_in_full(pool: GraderPool) -> None:
    rows = [
        {"completion": f"```python\nprint({power})\n```", "tests": [{"stdin": "", "stdout": expected}]}
        for power, expected in (("10 ** 6000", "1" + "0" * 6000), ("10 ** 6000 + 1", "1" + "0" * 6000))
    ]
    assert [said.outcome for said in grade_code(rows, pool)] == ["correct", "wrong"]
    check = {"completion": "```python\ndef f(n): return 10 ** n\n```", "check": "assert len(str(f(6000))) == 6001"}
    call = {"completion": "```python\ndef f(n): return str(10 ** n)\n```", "entry_point": "f"}
    call["tests"] = [{"args": [6000], "expected": "1" + "0" * 6000}]  # type: ignore[assignment]
    assert [said.outcome for said in grade_code([check, call], pool)] == ["correct", "correct"]
