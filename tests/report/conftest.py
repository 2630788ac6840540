"""Fixtures of a small run."""

from tests.small_run import folder, recipe

__all__ = ["folder", "recipe"]
