"""Evaluations as tables, charts, a page, and in formats of others."""
