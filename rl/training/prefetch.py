"""Gives each step its batch: collected when it is asked for, or ahead, in a thread, while the step before learns.

Ahead (`rollout.max_staleness: 1`) means that the batch of step t + 1 comes from the weights that step t began with, one
update older than those that learn from it; verl and AReaL call that a staleness of 1. The thread works only between
`begin` and `finish`, so weights are never replaced, and nothing is measured, while it samples.

One thread, always the same, does all sampling in that mode, the first batch's too: torch keeps settings by thread.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self

from rl.base import ranks
from rl.base.errors import RunStopped
from rl.training.batch import Batch
from rl.training.collect import Source, Task, collect
from rl.training.session import Session

Doing = Literal["generate", "grade"]


class Prefetcher:
    """Gives the batches of a run's steps; a context manager, on whose end no thread is left.

    Whatever the engine or a grader raises in the thread is raised as what it is, by `batch` for the step that wants it:
    the step before is finished first.
    """

    def __init__(self, run: Session) -> None:
        self._run = run
        columns = frozenset(name for problem in run.training for name in problem.columns)
        self._source = Source(
            run.recipe, run.engine, run.grader, run.tokenizer, run.prompt_at, columns, run.recorder.display.progress
        )
        self._ahead = run.recipe.rollout.max_staleness > 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollouts")
        self._future: Future[Batch] | None = None
        self._failure: BaseException | None = None
        self._halt = threading.Event()
        self._news = threading.Condition()
        self._doing: Doing = "generate"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._halt.set()
        at_once = kind is not None and issubclass(kind, KeyboardInterrupt)  # a second Ctrl-C waits for nobody
        self._thread.shutdown(wait=not at_once, cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """The batch of the next step, from what was collected ahead or a checkpoint kept, or else collected now."""
        run = self._run
        if step not in run.state.batches and self._failure is None:
            if self._ahead:
                self._submit(Task(step, run.state.position, weights=step - 1))
                self.finish()
            else:
                self._keep(self._collected(Task(step, run.state.position, weights=step - 1)))
        if self._failure is not None:
            raise self._failure
        if not self._ahead:  # the learner works now; a batch from a checkpoint found the engine awake, too
            with run.recorder.ledger.phase("generate"):
                run.engine.sleep()
        return run.state.batches[step]

    def begin(self, step: int) -> None:
        """Begin to collect ahead, for the step after the one that is learned now, unless the recipe wants it fresh."""
        run = self._run
        if self._ahead and step <= run.recipe.optimizer.max_steps:
            self._submit(Task(step, run.state.batches[step - 1].end, weights=step - 2))

    def finish(self) -> None:
        """Wait for what was begun; in the ledger that is generating or grading, whichever is waited for."""
        future, self._future = self._future, None
        if future is None:
            return
        while not future.done():
            doing = self._doing
            with self._run.recorder.ledger.phase(doing), self._news:
                while self._doing == doing and not future.done():
                    self._news.wait()
        self._keep(future)

    def _collected(self, task: Task) -> "Future[Batch]":
        """Collect a batch now; the result holds it, or the exception that prevented it."""
        future: Future[Batch] = Future()
        try:
            future.set_result(collect(self._source, task, self._run.recorder.ledger.phase, self._halt))
        except Exception as error:  # raised by `batch`, once all ranks know
            future.set_exception(error)
        return future

    def _submit(self, task: Task) -> None:
        self._doing = "generate"
        self._future = self._thread.submit(collect, self._source, task, self._phase, self._halt)
        self._future.add_done_callback(lambda _: self._tell(self._doing))

    @contextmanager
    def _phase(self, name: Doing) -> Iterator[None]:
        """What stands for the ledger's phase in the thread: the ledger counts the main thread's time alone."""
        self._tell(name)
        yield

    def _tell(self, doing: Doing) -> None:
        with self._news:
            self._doing = doing
            self._news.notify_all()

    def _keep(self, collected: "Future[Batch]") -> None:
        """Have the batch at hand, and let all ranks agree where the stream goes on: behind the farthest of them.

        What was dealt to a rank that did not come as far is passed over until the next epoch. If one rank failed, all
        have.
        """
        failure = collected.exception()
        ends = ranks.gather([str(failure) or repr(failure) if failure else collected.result().end])
        others = [end for end in ends if isinstance(end, str)]
        if others:
            self._failure = failure or RunStopped(f"Another rank failed: {others[0]}")
            return
        batch = collected.result()
        self._run.recorder.ledger.add_tokens(generated=batch.generated)
        self._run.state.batches[batch.step] = replace(batch, end=max(end for end in ends if isinstance(end, int)))
