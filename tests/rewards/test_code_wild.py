"""Programs as models wrap them: beside blocks that use them, after drafts, among marks of chat templates.

The programs are the canonical solutions of HumanEval and MBPP, which pass bare; each shape must leave them right. The
same shapes around a program that answers `no` to everything must leave that wrong. Needs the folder PENNY_DATA.
"""

import ast
import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rewards.code import grade_code, program_text
from rewards.pool import GraderPool

pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in the data sets' own programs


class Task(NamedTuple):
    """A function that is asked for, a program that has it, and its tests."""

    name: str
    entry_point: str
    program: str
    check: str


def using(task: Task) -> str:
    """A block that calls the function as examples do, and would fail without it."""
    return f"```python\nfrom pprint import pprint\n\nresult = {task.entry_point}\npprint(result)\n```"


def draft(task: Task) -> str:
    """The same function, wrong."""
    return f"```python\ndef {task.entry_point}(*values, **options):\n    return 'a first try'\n```"


def parts(task: Task) -> tuple[str, str]:
    """What stands before the function, and the function."""
    tree = ast.parse(task.program)
    body = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == task.entry_point)
    lines = task.program.split("\n")
    first = min([body.lineno, *(item.lineno for item in body.decorator_list)]) - 1
    rest = [*lines[:first], *lines[body.end_lineno :]]
    return "\n".join(rest), "\n".join(lines[first : body.end_lineno])


def in_class(task: Task) -> str:
    inner = textwrap.indent(task.program, " " * 8)
    name = task.entry_point
    return f"class Solution:\n    def {name}(self, *values):\n{inner}\n        return {name}(*values)\n"


def built_up(task: Task) -> str:
    before, function = parts(task)
    return f"First the helpers:\n```python\n{before}\n```\nNow the function:\n```python\n{function}\n```\n{using(task)}"


# Shapes that leave the program as it is.
SAME: dict[str, Callable[[Task], str]] = {
    "used, and its output": lambda t: (
        f"Sure! Here it is:\n\n```python\n{t.program}\n```\n\nYou can use it like this:\n\n{using(t)}\n\n"
        "This prints:\n\n```\n[1, 2, 3]\n```\nI hope this helps!"
    ),
    "no language": lambda t: f"The code:\n```\n{t.program}\n```\nFor example:\n{using(t)}",
    "asserts": lambda t: f"```python\n{t.program}\n```\n```python\nassert callable({t.entry_point})\n```",
    "corrected": lambda t: (
        f"First try:\n{draft(t)}\nThat was wrong. Corrected:\n```python\n{t.program}\n```\n{using(t)}"
    ),
    "shortened": lambda t: (
        f"```python\n{t.program}\n```\nIn use:\n```python\ndef {t.entry_point}(*values):\n    ...\n\nprint('done')\n```"
    ),
    "thought": lambda t: f"<think>\nHm.\n{draft(t)}\nNo.\n</think>\n```python\n{t.program}\n```\n{using(t)}",
    "thought, open": lambda t: f"<think>\n```python\ndef {t.entry_point}(\n</think>\n```python\n{t.program}\n```",
    "tagged": lambda t: f"{draft(t)}\n<answer>\n```python\n{t.program}\n```\n{using(t)}\n</answer>",
    "tag left empty": lambda t: f"```python\n{t.program}\n```\n<answer></answer>",
    "prompt opened it": lambda t: f"{t.program}\n```\n\nIt can be used so:\n{using(t)}",
    "one line": lambda t: f"Here is the code: ```python\n{t.program}\n```<|im_end|>",
    "list": lambda t: (
        "1. Write it:\n" + textwrap.indent(f"```python\n{t.program}\n```", "   ") + f"\n2. Use:\n{using(t)}"
    ),
    "tildes": lambda t: f"~~~python\n{t.program}\n~~~\n{using(t)}",
    "lines of Windows": lambda t: f"Code:\n```python\n{t.program}\n```\n{using(t)}".replace("\n", "\r\n"),
    "chatml": lambda t: f"<|im_start|>assistant\n```python\n{t.program}\n```<|im_end|>\n<|im_start|>user\n{draft(t)}",
    "llama": lambda t: f"<|start_header_id|>assistant<|end_header_id|>\n\n```python\n{t.program}\n```<|eot_id|>",
    "end of text": lambda t: f"<s> ```python\n{t.program}\n```</s>",
    "next document": lambda t: f"```python\n{t.program}\n```\n<|endoftext|>\n{draft(t)}",
    "byte order mark": lambda t: f"\ufeff```python\n\ufeff{t.program}\n\u200b```\u200b\n{using(t)}",
    "marks of CodeLlama": lambda t: f"[PYTHON]\n{t.program}\n[/PYTHON]",
    "marks of MBPP": lambda t: f"[BEGIN]\n{t.program}\n[DONE]\n\nYou are an expert Python programmer.",
    "HTML": lambda t: f'<pre><code class="language-python">\n{t.program}\n</code></pre>',
    "bare, end of text": lambda t: f"{t.program}<|endoftext|>",
    "bare, next document": lambda t: f"{t.program}\n<|endoftext|>Write a poem.",
}
# Shapes that give the same program in other words.
OTHER: dict[str, Callable[[Task], str]] = {
    "class": lambda t: f"```python\n{in_class(t)}\n```\n```python\nprint(Solution().{t.entry_point}())\n```",
    "built up": built_up,
}


def lines_of(name: str) -> list[dict[str, Any]]:
    folder = os.environ.get("PENNY_DATA")
    if not folder or not (path := Path(folder) / name).exists():
        pytest.skip(f"PENNY_DATA names no folder with {name}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def humaneval() -> list[Task]:
    return [
        Task(row["task_id"], row["entry_point"], row["prompt"] + row["canonical_solution"], row["prompt"] + row["test"])
        for row in lines_of("humaneval.jsonl")
    ]


def mbpp() -> list[Task]:
    tasks = []
    for row in lines_of("mbpp_sanitized.jsonl"):
        check = "\n".join([*row["test_imports"], *row["test_list"]])
        called = {
            node.func.id
            for node in ast.walk(ast.parse(check))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        names = [node.name for node in ast.parse(row["code"]).body if isinstance(node, ast.FunctionDef)]
        entry_point = next(name for name in reversed(names) if name in called)
        tasks.append(Task(str(row["task_id"]), entry_point, row["code"].replace("\r", ""), check))
    return tasks


def stripped(program: str) -> str:
    return "\n".join(line.rstrip() for line in program.split("\n")).strip("\n")


def wrong(task: Task) -> Task:
    return task._replace(program=f"def {task.entry_point}(*values, **options):\n    return 'no'")


def graded(tasks: list[Task], shapes: dict[str, Callable[[Task], str]]) -> dict[str, str]:
    """The reasons of those that do not pass, by task and shape."""
    rows = {
        f"{task.name}, {name}": {
            "completion": shape(task),
            "kind": "check",
            "entry_point": task.entry_point,
            "check": task.check,
            "time_limit_s": 60,
        }
        for task in tasks
        for name, shape in shapes.items()
    }
    with GraderPool(2, 60) as pool:
        verdicts = grade_code(list(rows.values()), pool)
    return {name: said.reason for name, said in zip(rows, verdicts, strict=True) if said.outcome != "correct"}


def test_the_program_is_what_it_was() -> None:
    for task in [*humaneval()[::3], *mbpp()[::3]]:
        for name, shape in SAME.items():
            found = program_text(shape(task), task.entry_point)
            assert found is not None and stripped(found) == stripped(task.program), (task.name, name)


def test_a_sample() -> None:
    tasks = [*humaneval()[5::41], *mbpp()[5::71]]
    assert len(tasks) == 10
    assert graded(tasks, OTHER) == {}
    assert graded(tasks[::5], SAME) == {}
    assert len(graded([wrong(task) for task in tasks[::5]], SAME | OTHER)) == 2 * len(SAME | OTHER)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SAME, *OTHER])
def test_all(name: str) -> None:
    shape = {name: (SAME | OTHER)[name]}
    tasks = [*humaneval(), *mbpp()]
    assert len(tasks) == 164 + 427
    assert graded(tasks, shape) == {}
    assert len(graded([wrong(task) for task in tasks], shape)) == len(tasks)
