"""Name the packages: pyproject.toml, which has all the rest, has no way to say that `rl.recipes` is `recipes/`."""

from setuptools import find_packages, setup

RECIPES = ["rl.recipes", "rl.recipes.pipelines", "rl.recipes.smoke"]

setup(
    packages=[*find_packages(include=["rl", "rl.*", "rewards", "rewards.*"]), *RECIPES],
    package_dir={"rl.recipes": "recipes"},
)
