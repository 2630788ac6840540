"""Scores, intervals and tests: numbers in, numbers out."""
