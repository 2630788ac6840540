"""The commands that grade without training: `penny grade`, `penny regrade` and `penny doctor`."""

import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from rl.base.exits import expected_errors
from rl.base.visible import emit
from rl.commands.numbers import finite

if TYPE_CHECKING:
    from rewards.files import Progress, Summary
    from rl.evaluation.regrading import Regraded
    from rl.grading.regrade import StepChange

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]

NUMERIC = re.compile(r"[-+$0-9.,%e ]*")
PLAIN_EVERY = 0.1  # of the file, between two lines of progress where no terminal shows a bar


class Kind(StrEnum):
    math = "math"
    code = "code"


class Extraction(StrEnum):
    strict = "strict"
    flexible = "flexible"


class Sandbox(StrEnum):
    auto = "auto"
    namespaces = "namespaces"
    landlock = "landlock"
    unsafe = "unsafe"


class Part(StrEnum):
    sandbox = "sandbox"
    gpu = "gpu"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


SandboxOption = Annotated[
    Sandbox, typer.Option(metavar="MODE", help=f"How programs are isolated: {', '.join(Sandbox)}.")
]


def grade(
    kind: Annotated[Kind, typer.Argument(help="What the answers are: math or code.")],
    source: Annotated[Path, typer.Argument(metavar="IN", help="JSON lines, one answer a line.")],
    target: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT", help="The same lines with verdicts; default: print.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(callback=finite, min=0.1, help="Seconds that one answer may take; default: 10, or a row's own."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Grader processes.")] = os.cpu_count() or 1,
    sandbox: SandboxOption = Sandbox.auto,
    extraction: Annotated[
        Extraction, typer.Option(help="How answers of math are read: strict wants a mark, flexible reads prose, too.")
    ] = Extraction.flexible,
    as_json: Json = False,
) -> None:
    """Grade a file of answers.

    Rows of math have gold and response; rows of code have completion, kind, and tests or check. Each comes back with
    verdict, reward, reason and seconds. Exit code 1: some rows were no such rows.
    """
    with expected_errors(as_json):
        from rewards.files import grade_file

        with shown_progress(target) as progress:
            summary = grade_file(
                kind.value,
                source,
                target,
                timeout=timeout,
                workers=workers,
                sandbox=sandbox.value,
                extraction=extraction.value,
                on_progress=progress,
                on_bad_row=lambda reason: emit(f"bad row, {reason}", file=sys.stderr),
            )
        out = sys.stderr if target is None else sys.stdout  # standard output has the rows
        emit(json.dumps(summary.as_dict()) if as_json else summary_text(summary), file=out)
    raise typer.Exit(1 if summary.bad_rows else 0)


def regrade(
    run: Annotated[Path, typer.Argument(metavar="RUN_OR_EVAL", help="Folder of a run or an evaluation.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[rewards.KEY=VALUE ...]", help="Changes to the rewards.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new set of grades; default: the time.")] = None,
    as_json: Json = False,
) -> None:
    """Grade the stored answers of a run or an evaluation again.

    By their own or by changed rewards. The originals stay; the new grades go to RUN_OR_EVAL/regraded.
    """
    with expected_errors(as_json):
        from rl.evaluation.folder import is_evaluation
        from rl.evaluation.regrading import regrade_evaluation
        from rl.grading.regrade import regrade_run

        if is_evaluation(run):
            folder, regraded = regrade_evaluation(run, overrides or [], name)
            told_json = {"folder": str(folder), "results": [change.as_dict() for change in regraded]}
            show = functools.partial(print_regraded, regraded)
        else:
            folder, changes = regrade_run(run, overrides or [], name)
            told_json = {"folder": str(folder), "steps": [change.as_dict() for change in changes]}
            show = functools.partial(print_changes, changes)
        if as_json:
            emit(json.dumps(told_json))
            return
        show()
        emit(folder)


def doctor(
    part: Annotated[Part, typer.Argument(help="What to examine.")] = Part.sandbox,
    sandbox: SandboxOption = Sandbox.auto,
    only: Annotated[
        str | None, typer.Option(metavar="NAMES", help="gpu: checks by name, e.g. driver,attention; default: all.")
    ] = None,
    device: Annotated[Device, typer.Option(help="gpu: what is examined.")] = Device.auto,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="gpu: where the findings are written.")
    ] = Path("gpu-check.json"),
    as_json: Json = False,
) -> None:
    """Examine this machine: how programs are isolated, or what works on its GPU.

    sandbox: each layer is tried by an escape. Exit code 1: one succeeded, or there is no isolation to be had.

    gpu: every part of a run is tried, in at most 15 minutes. Exit code 1: something does not work.
    """
    if part is Part.gpu:
        examine_gpu(only, device, output, as_json)
    with expected_errors(as_json):
        from rewards.errors import BadInput
        from rewards.sandbox.probe import probe_all

        try:
            probes = probe_all(sandbox.value)
        except BadInput as error:  # none of that kind can be had: an answer, not a mistake
            emit(json.dumps({"safe": False, "layers": [], "reason": str(error)}) if as_json else error)
            raise typer.Exit(1) from None
        safe = all(probe.escape != "ESCAPED" for probe in probes) and any(probe.active for probe in probes)
        keys = ("layer", "active", "detail", "escape")
        rows = [{key: getattr(probe, key) for key in keys} for probe in probes]
        if as_json:
            emit(json.dumps({"safe": safe, "layers": rows}))
        else:
            print_table(
                ["layer", "active", "escape", "detail"],
                [[row["layer"], "yes" if row["active"] else "no", row["escape"], row["detail"]] for row in rows],
            )
            emit("programs are isolated" if safe else "programs are NOT isolated")
    raise typer.Exit(0 if safe else 1)


def examine_gpu(only: str | None, device: Device, output: Path, as_json: bool) -> None:
    """Run the checks of a GPU, and leave with exit code 1 if one fails."""
    with expected_errors(as_json):
        from rl.run.loading import LIBRARIES, loading

        with loading(LIBRARIES):
            from rl.doctor.command import examine, show
        found = examine(only, device.value, output, quiet=as_json)
        if as_json:
            emit(json.dumps(found))
        else:
            show(found, output)
    raise typer.Exit(0 if found["passed"] else 1)


@contextmanager
def shown_progress(target: Path | None) -> Iterator[Callable[["Progress"], None]]:
    """Show progress on standard error: a bar on a terminal, else a line now and then. On Ctrl-C, say how far it got."""
    rows = 0

    def count(show: Callable[["Progress"], None]) -> Callable[["Progress"], None]:
        def counted(progress: "Progress") -> None:
            nonlocal rows
            rows = progress.rows
            show(progress)

        return counted

    try:
        if sys.stderr.isatty():
            with bar() as show:
                yield count(show)
        else:
            yield count(plain_lines(sys.stderr))
    except KeyboardInterrupt:
        left = f"nothing was written to {target}" if target else "they were printed"
        emit(f"\nstopped after {rows} rows; {left}", file=sys.stderr)
        raise


@contextmanager
def bar() -> Iterator[Callable[["Progress"], None]]:
    """A bar on the terminal of standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.fields[rows]} rows"), BarColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("", total=1.0, rows=0)
        yield lambda progress: shown.update(task, completed=progress.share or 0.0, rows=progress.rows)


def plain_lines(out: TextIO) -> Callable[["Progress"], None]:
    """A line for each tenth of the file."""
    told_share = 0.0

    def show(progress: "Progress") -> None:
        nonlocal told_share
        if progress.share is not None and (progress.share >= told_share + PLAIN_EVERY or progress.share == 1):
            told_share = progress.share
            emit(f"graded {progress.rows} rows ({progress.share:.0%})", file=out)

    return show


def summary_text(summary: "Summary") -> str:
    """What a file's grading came to, in a few lines."""
    figures = summary.as_dict()
    counts = ", ".join(f"{figures[name]} {name}" for name in ("correct", "wrong", "unparseable", "ungradable"))
    bad = f" ({summary.bad_rows} bad rows)" if summary.bad_rows else ""
    lines = [f"{summary.rows} rows: {counts}{bad}; {figures['seconds']:.1f} s, {figures['rows_per_second']:g} rows/s"]
    if "agreement" in figures:
        total = figures["agreement"]
        lines.append(f"agreement with the labels: {tally_text(total)}")
        lines += [f"  {name}: {tally_text(group)}" for name, group in total["groups"].items()]
    return "\n".join(lines)


def tally_text(tally: dict[str, Any]) -> str:
    """The figures of labelled rows on one line."""
    return (
        f"{tally['agreement']:.1%} of {tally['rows']}, {tally['false_positives']} false positives, "
        f"{tally['false_negatives']} false negatives, {tally['ungradable']} ungradable"
    )


def print_changes(changes: list["StepChange"]) -> None:
    """A table of what changed, a line for each step."""

    def both(pair: tuple[float | None, float | None], form: str) -> str:
        return " -> ".join("-" if value is None else format(value, form) for value in pair)

    rows = [
        [
            str(change.step),
            str(change.rows),
            both(change.reward, ".3f"),
            both(change.solved, ".1%"),
            str(change.changed),
            ", ".join(f"{name} {both(pair, '.3f')}" for name, pair in change.parts.items()) or "none",
        ]
        for change in changes
    ]
    print_table(["step", "rows", "mean reward", "solved", "changed", "parts that changed"], rows)


def print_regraded(changes: list["Regraded"]) -> None:
    """A table of what changed, a line for each benchmark under each template."""
    rows = [
        [
            change.benchmark,
            change.template,
            str(change.rows),
            f"{change.before:.1%} -> {change.after:.1%}",
            str(change.changed),
        ]
        for change in changes
    ]
    print_table(["benchmark", "template", "answers", "pass@1", "verdicts changed"], rows)


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    """A table on standard output, as wide as the terminal, or as its content where that is no terminal."""
    from rl.base.columns import Column, output_width, table_text

    cells = list(zip(*rows, strict=True)) or [()] * len(heads)
    columns = [
        Column(head, column, left=not all(map(NUMERIC.fullmatch, column)))
        for head, column in zip(heads, cells, strict=True)
    ]
    emit(table_text(columns, output_width()))
