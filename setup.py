"""Name the packages: pyproject.toml, which has all the rest, has no way to say that `rl.recipes` is `recipes/`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["rl", "rl.*", "rewards", "rewards.*"]), "rl.recipes"],
    package_dir={"rl.recipes": "recipes"},
)
