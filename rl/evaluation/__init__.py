"""Benchmarks, statistics, comparisons, and their pages."""
