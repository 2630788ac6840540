"""What is meant by words of a command that stand in the wrong place."""

from pathlib import Path


def what_to_measure(odd: list[str], benchmarks: list[str], model: str | None) -> str:
    """Say what is missing from the command, or too much in it."""
    if odd and model is None:
        named = ",".join(benchmarks) or "NAME"
        return f"A model is named by --model: penny eval --model {odd[0]} --benchmark {named}."
    if odd and not benchmarks:
        return f"A benchmark is named by --benchmark: penny eval --model {model} --benchmark {','.join(odd)}."
    if odd:
        return f"{odd[0]!r} stands alone: every word but a value belongs to an option (`penny eval --help`)."
    own = f", or recipe:{model}/recipe.yaml for the run's own problems" if is_run_folder(model) else ""
    return f"Say on what to measure: --benchmark NAME (`penny benchmarks` lists them){own}."


def is_run_folder(name: str | None) -> bool:
    """Tell whether a name is that of a run's folder."""
    return name is not None and (Path(name) / "recipe.yaml").is_file()
