"""Which blocks of an answer are its program."""

import time

import pytest

from rewards.code import program_text

ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
USE = "print(add(1, 2))\n"
SCRIPT = "n = int(input())\nprint(2 * n)\n"


def fenced(*programs: str) -> str:
    return "\nand\n".join(f"```python\n{program}```" for program in programs)


@pytest.mark.parametrize(
    ("blocks", "wanted", "chosen"),
    [
        ([ADD, USE], "add", [0]),
        ([WRONG, ADD, USE, "assert add(1, 2) == 3\n"], "add", [1]),
        ([ADD, "def add(a, b):\n    ...\n\nprint(add(1, 2))\n"], "add", [0]),
        ([ADD, 'def add(a, b):\n    """Adds."""\n'], "add", [0]),
        ([ADD, "def add(a, b):\n    # as above\n    pass\n"], "add", [0]),
        ([ADD, "def add(a, b):\n    # ...\n    return c\n"], "add", [0]),
        ([ADD, "def add(a, b):\n    # your code here\n    raise NotImplementedError\n"], "add", [0]),
        (['def add(a, b):\n    """Adds."""\n', ADD], "add", [1]),
        (["def add(a, b): ...\n", USE], "add", [0]),
        ([ADD, "def sub(a, b):\n    def add(a, b):\n        return 0\n    return add(a, -b)\n"], "add", [0]),
        ([ADD, "class Test:\n    add = None\n    def add(self): return 1\n"], "add", [0]),
        ([ADD, "'''\ndef add(a, b):\n    return 0\n'''\n"], "add", [0]),
        ([ADD, "# def add(a, b): return 0\nprint('def add')\n"], "add", [0]),
        ([WRONG, "def add(a, b):\n# the sum\n    return a + b\n"], "add", [1]),
        (["add = lambda a, b: a + b\n", USE], "add", [0]),
        ([WRONG, "add = lambda a, b: a + b\nprint(add(1, 2))\n"], "add", [1]),
        ([WRONG, "from operator import add\n"], "add", [1]),
        ([ADD, "from operator import add\nassert add(1, 2) == 3\n"], "add", [0]),
        ([ADD, "from solution import add\n"], "add", [0]),
        (["from operator import (\n    sub,\n    add,\n)\n", USE], "add", [0]),
        (["import operator as add\n", USE], "add", [0]),
        (
            ["try:\n    from fast import add\nexcept ImportError:\n    def add(a, b):\n        return a + b\n", USE],
            "add",
            [0],
        ),
        ([ADD, "add = add(1, 2)\nprint(add)\n"], "add", [0]),
        (["async def add(a, b):\n    return a + b\n", USE], "add", [0]),
        (["@cache\ndef add(a, b):\n    return a + b\n", USE], "add", [0]),
        (["add: object = lambda a, b: a + b\n", USE], "add", [0]),
        (["sub, add = [lambda a, b: a - b, lambda a, b: a + b]\n", USE], "add", [0]),
        (
            ["class Solution:\n    def add(self, a, b):\n        return a + b\n", "s = Solution()\ns.add(1, 2)\n"],
            "add",
            [0],
        ),
        (
            ["class Solution:\n    def add(self, a, b):\n        return a + b\n", "class Solution:\n    x = 1\n"],
            "add",
            [0],
        ),
        (["class Solution(Base):\n    x = 1\n", USE], "add", [0]),
        (["class Solution:\n    def add(self): return 1\n", "s = Solution()\n"], "Solution.add", [0]),
        (
            ["class Adder:\n    def add(self): return 1\n", "class Solution:\n    def sub(self): pass\n"],
            "Adder.add",
            [0],
        ),
        (["1\n", "2\n"], "add", [1]),
    ],
)
def test_the_last_definition_is_the_program(blocks: list[str], wanted: str, chosen: list[int]) -> None:
    assert program_text(fenced(*blocks), wanted) == "\n".join(blocks[place] for place in chosen)


CALLS = "def add(a, b):\n    return plus(a, b)\n"
PLUS = "def plus(a, b):\n    return a + b\n"


@pytest.mark.parametrize(
    ("blocks", "chosen"),
    [
        ([PLUS, CALLS, USE], [0, 1]),
        ([CALLS, PLUS, USE], [1, 0]),  # what it needs comes first
        (["import math\n", "def add(a, b):\n    return math.fsum([a, b])\n", USE], [0, 1]),
        (["from typing import List\n", "def add(a: List, b):\n    return a + b\n"], [0, 1]),
        (["MOD = 7\n", "def add(a, b):\n    return (a + b) % MOD\n"], [0, 1]),
        (["class Pair:\n    pass\n", "def add(a, b):\n    p = Pair()\n    p.s = a + b\n    return p.s\n", USE], [0, 1]),
        (["x = 1\n", "def plus(a, b):\n    return a + b + x\n", CALLS], [0, 1, 2]),
        ([PLUS + WRONG, CALLS], [0, 1]),  # a draft beside the helper that the correction needs
        (["def plus(a, b):\n    return 0\n", PLUS, CALLS], [1, 2]),
        (["result = add(1, 2)\nprint(result)\n", "def add(a, b):\n    result = a + b\n    return result\n"], [1]),
        (["plus = add(1, 2)\n", PLUS, CALLS], [1, 2]),
        (["a = b = c = 1\n", "def add(a, b):\n    return [c for c in (a, b)]\n"], [1]),
        (["key = f = e = 1\n", "def add(a, b, *f):\n    return max(a, b, key=lambda e: e)\n"], [1]),
        ([PLUS, "def add(a, b):\n    return a.plus(b)\n"], [1]),
        ([PLUS, "def add(a, b):\n    return 'plus'  # plus\n"], [1]),
    ],
)
def test_what_the_program_needs_comes_with_it(blocks: list[str], chosen: list[int]) -> None:
    assert program_text(fenced(*blocks), "add") == "\n".join(blocks[place] for place in chosen)


def test_a_later_block_that_is_only_a_part_of_the_program_replaces_that_part() -> None:
    better = "def plus(a, b):\n    return b + a\n"
    assert program_text(fenced(PLUS + CALLS, better), "add") == "\n".join([PLUS + CALLS, better])
    for example in (better + USE, "def plus(a, b):\n    ...\n", "plus = None\n"):
        assert program_text(fenced(PLUS + CALLS, example), "add") == PLUS + CALLS


@pytest.mark.parametrize(
    ("blocks", "chosen"),
    [
        ([SCRIPT], [0]),
        ([SCRIPT, "n = int(input())\nprint(n + n)\n"], [1]),
        ([SCRIPT, "n = int(input())\n"], [0]),
        ([SCRIPT, "print(2 * n)\n"], [0]),
        ([SCRIPT, "n = int(input())\n...\nprint(2 * n)\n"], [0]),
        ([SCRIPT, "    print(input())\n"], [0]),
        (["def main():\n    print(2 * int(input()))\n", "main()\n"], [0, 1]),
        (["def main():\n    print(2 * int(input()))\n", "if __name__ == '__main__':\n    main()\n"], [0, 1]),
        (["def f(n):\n    return 2 * n\n", "print(f(int(input())))\n", "print(f(3))\nassert f(2) == 4\n"], [0, 1]),
        (["def f():\n    print(2 * int(input()))\nf()\n", "import sys, io\nsys.stdin = io.StringIO('4')\nf()\n"], [0]),
        (["import sys\ninput = sys.stdin.readline\n", "print(2 * int(input()))\n"], [1]),
        (["print(5)\n", "print(6)\n"], [1]),
        (["x = 1\n", "y = 2\n"], [1]),
    ],
)
def test_the_last_whole_script_is_the_program(blocks: list[str], chosen: list[int]) -> None:
    assert program_text(fenced(*blocks)) == "\n".join(blocks[place] for place in chosen)


def test_input_and_output_in_blocks_of_their_own_are_no_program() -> None:
    sample = "Input:\n```\n4\n```\nOutput:\n```\n8\n```"
    assert program_text(f"```python\n{SCRIPT}```\n{sample}") == SCRIPT
    assert program_text(f"```\n{SCRIPT}```\n{sample}") == SCRIPT
    assert program_text(f"```\n{ADD}```\n```python\n{USE}```", "add") == ADD


@pytest.mark.parametrize(
    ("answer", "wanted", "program"),
    [
        (f"Here is the function:\n\n{ADD}\nIt adds two numbers.", "add", ADD),
        (f"{ADD}\nUse it like this:\n```python\n{USE}```", "add", ADD),
        (f"import math\n\n{ADD}\n```python\n{USE}```\n", "add", f"import math\n\n{ADD}"),
        (f"First:\n{WRONG}\nNo. Then:\n\n{ADD}\n- It is short.\n- It works.", "add", ADD),
        (f"Sure!\n{SCRIPT}\nThis doubles it.", None, SCRIPT),
        ("A, B = map(int, input().split())\nN: int = A\nprint(A + B + N)\n", None, None),
        (f"'''\nThis doubles a number.\n'''\n{SCRIPT}", None, None),
        ("I would add the two numbers.", "add", None),
    ],
)
def test_code_without_a_fence(answer: str, wanted: str | None, program: str | None) -> None:
    assert program_text(answer, wanted) == (answer if program is None else program)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        fenced("def f():\n    g()\n") + "\n",
        fenced("x = y\n") + "\n",
        "```python\n" + "import a\n" * 9 + "```\n",
        "Text:\ndef f():\n",
    ],
)
@pytest.mark.parametrize("wanted", ["f", None])
def test_time_is_linear(piece: str, wanted: str | None) -> None:
    text = piece * (500_000 // len(piece))
    started = time.process_time()
    program_text(text, wanted)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "line", ["for " * 100_000, "lambda " * 100_000, "x, " * 100_000, "(" * 100_000, "a = " * 100_000]
)
def test_time_is_linear_in_a_line(line: str) -> None:
    started = time.process_time()
    program_text(fenced(line + "\n", ADD), "add")
    assert time.process_time() - started < 5
