"""Runs a pipeline: each stage in a process of its own, in order; what is done is not done again.

A process of its own frees all memory and every engine when a stage ends. Signals are handed on to it, so that it stops
at its next safe point, and the same command goes on from there.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rewards.sandbox import kernel
from rl.base.errors import INTERRUPTED, MISSED, STOPPED
from rl.base.signals import StopRequested, StopSignal
from rl.evaluation.command import Listener
from rl.pipelines.books import PipelineFolder, StageResult
from rl.pipelines.export import export_model
from rl.pipelines.ladder import band_met, write_ladder
from rl.pipelines.measure import measure
from rl.pipelines.page import write_page
from rl.pipelines.reinforce import reinforce
from rl.pipelines.schema import BASE, AnyStage, EvaluateStage, GrpoStage, SftStage, TracesStage, with_teacher
from rl.pipelines.sft import fine_tune
from rl.pipelines.teachers import check_teacher
from rl.pipelines.traces import write_traces
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger
from rl.run.loading import keep_log

Launch = Callable[[PipelineFolder, str], int]
Say = Callable[[str], None]


def run_pipeline(books: PipelineFolder, launch: Launch, say: Say) -> int:
    """Do the stages that are not done; returns the exit code.

    0: done, or stopped by SIGTERM or a budget with everything saved; 3: done, but the pipeline's band was missed; else
    what the stage that failed or was stopped has said.

    Args:
        launch: runs one stage and returns its exit code.
    """
    for number, (name, stage) in enumerate(books.pipeline.stages.items(), start=1):
        place = f"stage {number} of {len(books.pipeline.stages)}, {name} ({stage.kind})"
        if books.result(name) is not None:
            say(f"{place}: done before")
            continue
        say(f"{place}: {books.stage(name)}")
        code = launch(books, name)
        write_ladder(books)
        write_page(books)
        if code or books.result(name) is None:
            say(f"stopped in {name}; the same command goes on from there")
            return code
    met = band_met(books)
    return MISSED if met is not None and not met[0] else 0


def launch_process(books: PipelineFolder, name: str, accept_changed_data: bool = False) -> int:
    """Run a stage in a process of its own, which gets the signals that this one gets."""
    command = [sys.executable, "-m", "rl.cli", "stage", str(books.path), name]
    command += ["--accept-changed-data"] * accept_changed_data
    with subprocess.Popen(command, start_new_session=True) as process, handed_on(process):
        code = process.wait()
    if code == -signal.SIGTERM:  # a stage that keeps what it has as it goes, and needs no safe point
        return 0
    return code if code >= 0 else STOPPED


@contextmanager
def handed_on(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Send SIGINT and SIGTERM on to a process while the block runs; only the main thread gets any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hand_on(number: int, _: Any) -> None:
        process.send_signal(number)

    old = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Have this process stopped when the one that started it is killed."""
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)


def run_stage(
    books: PipelineFolder,
    name: str,
    listener: Listener,
    began: float | None = None,
    accept_changed_data: bool = False,
) -> int:
    """Run one stage in this process; returns its exit code.

    `began`: what `time.monotonic` showed when the process began, for the ledger. `accept_changed_data`: go on with a
    stage that learns though its data have changed.

    Raises:
        BadInput, RunStopped: what its kind raises.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the pipeline was started in the background
    with RunFolder(books.path).lock():
        try:
            books.finish(name, stage_result(books, name, listener, began, accept_changed_data))
        except StopRequested as request:
            listener.say(f"stage {name} was stopped ({request}), and has saved")
            return INTERRUPTED if str(request) == signal.SIGINT.name else 0
    return 0


def stage_result(
    books: PipelineFolder, name: str, listener: Listener, began: float | None, accept_changed_data: bool
) -> StageResult:
    """Do the work of a stage, by its kind."""
    stage, folder = resolved(books, name), books.stage(name)
    folder.mkdir(exist_ok=True)
    keep_log(RunFolder(folder).log)
    if isinstance(stage, GrpoStage):  # keeps its own ledger, and stops by itself
        return reinforce(name, stage, folder, listener, began, accept_changed_data)
    with Ledger(RunFolder(folder), stage.run.dollars_per_hour, began=began) as ledger:
        if isinstance(stage, TracesStage):
            return write_traces(name, stage, folder, ledger, listener)
        if isinstance(stage, EvaluateStage):
            return measure(name, stage, books, folder, ledger, listener)
        if isinstance(stage, SftStage):
            with StopSignal().installed() as stop:
                return fine_tune(name, stage, folder, books.data_of(name), ledger, listener, stop, accept_changed_data)
        return export_model(name, stage, books, folder, ledger, listener)


def resolved(books: PipelineFolder, name: str) -> AnyStage:
    """A stage with the model that it starts from. Raises BadInput if that is not there."""
    stage, start = books.pipeline.stages[name], books.start_of(name)
    if isinstance(stage, TracesStage) and stage.teacher is not None:
        check_teacher(name, stage.teacher)
    if isinstance(stage, GrpoStage) and stage.teacher_from is not None:
        stage = with_teacher(stage, books.model_of(stage.teacher_from))
    if start == BASE:
        base = books.pipeline.base
        model = stage.model.model_copy(update={"name": base.name, "revision": base.revision})
    else:
        model = stage.model.model_copy(update={"name": books.model_of(start), "revision": None})
    return stage.model_copy(update={"model": model})
