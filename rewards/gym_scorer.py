"""The inside of the sandbox for reasoning-gym: its scorers, behind a second fence.

Most of them run `eval`, or sympy's `parse_expr`, which does the same, on the model's answer. The sandbox keeps that
from doing harm; but an answer that executes could still make its own score. So what reaches `eval` here must be an
expression of numbers, names and calls, without the names by which Python programs take hold of more.
"""

import ast
import builtins
import functools
import json
import math
from typing import Any

import reasoning_gym

from rewards.sandbox.errand import answering

GRID_TASKS = ("arc_agi", "rearc")  # their scorers compare tuples with the entry's grid, whose rows JSON made lists
FORBIDDEN = frozenset(
    ("eval", "exec", "compile", "open", "input", "breakpoint", "globals", "locals", "vars", "dir", "type", "object")
    + ("getattr", "setattr", "delattr", "hasattr", "super", "classmethod", "staticmethod", "property", "memoryview")
    + ("exit", "quit", "help", "lambdify", "sympify", "parse_expr", "preview")
)
ALLOWED = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.keyword, ast.Starred, ast.Subscript, ast.Slice),
    *(ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop, ast.BoolOp, ast.boolop, ast.Compare, ast.cmpop, ast.IfExp),
    *(ast.List, ast.Tuple, ast.Set, ast.Dict),
)

_eval = builtins.eval


def serve(descriptor: int) -> None:
    """Score one answer: the request is `[task, config, entry, answer]`."""
    builtins.eval = guarded_eval
    answering(score, descriptor)


def guarded_eval(source: Any, *scope: Any) -> Any:
    """`eval`, for harmless expressions only. Raises ValueError for all others."""
    if not isinstance(source, str):
        raise ValueError("only text is evaluated here")
    check_harmless(source)
    return _eval(source, *scope)


def check_harmless(source: str) -> None:
    """Raise ValueError unless a text is an expression without attributes, functions of its own, and forbidden names."""
    for node in ast.walk(ast.parse(source.strip(), mode="eval")):
        if not isinstance(node, ALLOWED):
            raise ValueError(f"an answer may not contain {type(node).__name__}")
        if isinstance(node, ast.Name) and (node.id in FORBIDDEN or node.id.startswith("_")):
            raise ValueError(f"an answer may not use {node.id}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "__" in node.value:
            raise ValueError("an answer may not use names with two underscores")


def score(task: str, config: str, entry: dict[str, Any], answer: str | None) -> float:
    """What the task's own `score_answer` gives."""
    if task in GRID_TASKS:
        entry = entry | {"metadata": entry["metadata"] | {"output": _tuples(entry["metadata"]["output"])}}
    value = float(dataset(task, config).score_answer(answer, entry))
    if not math.isfinite(value):
        raise ValueError(f"{task} scored {value}")
    return value


@functools.lru_cache(maxsize=64)
def dataset(task: str, config: str) -> Any:
    """The task with its options; slow for those with word lists, so it is made before the sandboxed process is."""
    return reasoning_gym.create_dataset(task, **json.loads(config))


def _tuples(grid: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in grid)
