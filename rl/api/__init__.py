"""The Python API: what `import rl` offers."""
