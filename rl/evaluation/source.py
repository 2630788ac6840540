"""Where answers come from: what is known of a model, a server or a file before it starts, and how to start it."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl.evaluation.answerers import Answerer
from rl.evaluation.units import Unit

if TYPE_CHECKING:  # takes seconds to import, and a file of outputs does not need it
    from transformers import PreTrainedTokenizerBase


@dataclass
class Source:
    """A model or a server that can be asked.

    Attributes:
        subject: as `results.json` has it.
        engine: `vllm`, `transformers`, `endpoint` or `stored`.
        dtype: of the engine; None where unknown.
        tokenizer: None: the server's own.
        has_chat: whether it takes chats.
        context: prompt and completion in tokens, at most; None where unknown.
        identity: what decides its answers beside prompt and sampling, for the cache.
        begin: starts it for some units; what must be closed goes on the stack.
        run: the folder of the run that the weights are of, if any.
        dollars_per_hour: what the machine costs, as far as the subject says (a run's recipe does).
        load_seconds: that starting took.
    """

    subject: Mapping[str, Any]
    engine: str
    dtype: str | None
    tokenizer: "PreTrainedTokenizerBase | None"
    has_chat: bool
    context: int | None
    identity: Mapping[str, Any]
    begin: Callable[[Sequence[Unit], ExitStack], Answerer]
    run: Path | None = None
    dollars_per_hour: float = 0.0
    load_seconds: float = field(default=0.0, init=False)

    def starter(self, units: Sequence[Unit], stack: ExitStack) -> Callable[[], Answerer]:
        """A function that starts it at the first call, and gives the same answerer at every one."""
        started: list[Answerer] = []

        def start() -> Answerer:
            if not started:
                began = time.perf_counter()
                started.append(self.begin(units, stack))
                self.load_seconds = time.perf_counter() - began
            return started[0]

        return start
