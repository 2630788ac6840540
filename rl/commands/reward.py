"""The commands `penny reward ...`: write a reward from a template, and try to cheat one."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewards.errors import BadInput
from rl.base.errors import MISSED
from rl.base.exits import expected_errors
from rl.base.visible import emit
from rl.commands.completion import complete_reward
from rl.commands.grade import print_table
from rl.commands.numbers import MOST, finite

if TYPE_CHECKING:
    from rewards.kit.audit import Audit, ProbeResult

ROWS = 10

reward_app = typer.Typer(no_args_is_help=True, help="Write a reward of your own, and try to cheat it.")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class Shape(StrEnum):
    """The templates of a new reward."""

    sample = "sample"
    batch = "batch"
    class_ = "class"


@reward_app.command("new")
def new(
    where: Annotated[str, typer.Argument(metavar="NAME", help="Name of the reward, or path of its file.")],
    shape: Annotated[Shape, typer.Option(help="One completion at a time, a batch, or a class with set-up.")] = (
        Shape.sample
    ),
    as_json: Json = False,
) -> None:
    """Write a reward that works and its test, to begin with."""
    with expected_errors(as_json):
        from rewards.kit.new import new_reward

        path, test = new_reward(where, shape.value)
        if as_json:
            emit(json.dumps({"reward": f"{path}:{path.stem}", "test": str(test)}))
            return
        emit(f"{path}\n{test}")
        emit(f"try:  python -m pytest {test}")
        emit(f"then: penny reward test {path}:{path.stem} --data FILE.jsonl")


@reward_app.command("test")
def test(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="REWARD", help="Name, file.py:function or module:function.", autocompletion=complete_reward
        ),
    ],
    data: Annotated[Path, typer.Option(metavar="FILE", help="JSON lines: problems whose right answers are known.")],
    column: Annotated[
        list[str] | None, typer.Option(metavar="NAME=KEY", help="The column NAME is the file's KEY. Repeatable.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--options", metavar="KEY=VALUE|JSON", help="Options of the reward. Repeatable."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="Only the first so many problems.")] = ROWS,
    timeout: Annotated[float, typer.Option(callback=finite, min=0.1, help="Seconds that one batch may take.")] = 60.0,
    may_pay: Annotated[float, typer.Option(help="What a completion that is not right may earn at most.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Try to cheat a reward: right answers must pay, nothing else may. Exits with 3 if something is suspicious."""
    with expected_errors(as_json):
        from rewards.kit.audit import audit
        from rewards.kit.rows import read_rows

        columns = dict(_pair(text, "--column", "NAME=KEY") for text in column or [])
        result = audit(
            spec, read_rows(data, columns, limit), options=_options(option or []), timeout=timeout, may_pay=may_pay
        )
        if as_json:
            emit(json.dumps(asdict(result) | {"findings": result.findings}))
        else:
            _show(result)
    raise typer.Exit(MISSED if result.findings else 0)


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise BadInput(f"{option} {text!r} is not of the form {form}; write {form}")
    return name, value


def _options(texts: list[str]) -> dict[str, Any]:
    """Options given as JSON objects or as KEY=VALUE, where VALUE is JSON if it can be read so, and else text."""
    options: dict[str, Any] = {}
    for text in texts:
        whole = _read(text) if text.lstrip().startswith("{") else None
        if isinstance(whole, dict):
            options |= whole
        else:
            key, value = _pair(text, "--options", "KEY=VALUE")
            options[key] = _read(value)
    return options


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show(result: "Audit") -> None:
    """The audit for people: what each kind of completion earns, then notes and findings, as wide as the terminal."""
    from rl.base.columns import output_width, sentence_text

    width = output_width()
    emit(sentence_text(f"{result.reward} on {result.rows} problems, right answers given as {result.gold}", width))
    emit()
    nones = any(probe.ungradable for probe in result.probes)
    heads = ["completions", "n", "min", "mean", "max", *(["None"] if nones else []), "p99 ms", "verdict"]
    print_table(heads, [_cells(probe, nones) for probe in result.probes])
    emit()
    if result.readings:
        emit("what an answer earns by the option extraction:\n")
        print_table(
            ["completions", "strict", "flexible"],
            [[reading.name, _number(reading.strict), _number(reading.flexible)] for reading in result.readings],
        )
        emit()
    for said in (*(f"note: {note}" for note in result.notes), *(f"suspicious: {text}" for text in result.findings)):
        emit(sentence_text(said, width))
    count = len(result.findings)
    emit(f"{count} suspicious finding{'s' * (count != 1)}" if count else "nothing suspicious")


def _cells(probe: "ProbeResult", nones: bool) -> list[str]:
    rewards = [_number(value) for value in (probe.lowest, probe.mean, probe.highest)]
    ungradable = [str(probe.ungradable or "-")] if nones else []
    slowest = "-" if probe.p99 is None else f"{1000 * probe.p99:.2g}" if probe.p99 < 0.01 else f"{1000 * probe.p99:.0f}"
    verdict = "suspicious" if probe.findings else "ok" if probe.judged else "not judged"
    return [probe.name, str(probe.completions), *rewards, *ungradable, slowest, verdict]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
