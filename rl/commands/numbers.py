"""Bounds of numbers on the command line."""

import math

import typer

MOST = 10**9  # of problems, rows or steps
MOST_SAMPLES = 2**16  # of a problem
MOST_TOKENS = 2**24  # of a completion


def finite(number: float | None) -> float | None:
    """Pass on a number that is one: no option means infinity, and the bounds of an option let `nan` through."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no finite number.")
    return number
