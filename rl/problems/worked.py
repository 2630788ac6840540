"""Worked solutions of generated problems: the steps by which an expression is computed, for a cold start."""

import ast
import operator
from collections.abc import Callable
from fractions import Fraction

OPERATIONS: dict[type[ast.operator], tuple[str, Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
}


def worked(expression: str) -> str:
    """The steps of an expression of numbers, + - * / and parentheses, in the order in which they are computed.

    `(3 + 4) * 5` gives `3 + 4 = 7; 7 * 5 = 35`; a number alone gives nothing.

    Raises:
        ValueError: it holds something else.
        ZeroDivisionError: it divides by zero.
    """
    steps: list[str] = []
    _value(ast.parse(expression, mode="eval").body, steps)
    return "; ".join(steps)


def _value(node: ast.expr, steps: list[str]) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, steps)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        sign, apply = OPERATIONS[type(node.op)]
        left, right = _value(node.left, steps), _value(node.right, steps)
        result = apply(left, right)
        steps.append(f"{left} {sign} {right if right >= 0 else f'({right})'} = {result}")
        return result
    raise ValueError(f"not an expression of numbers: {ast.unparse(node)}")
