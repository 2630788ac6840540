"""Recipes: their keys, how a file is read, and how a command line changes it."""
