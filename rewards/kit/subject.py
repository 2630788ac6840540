"""A reward under audit: it runs in a process of its own, which is killed when it does not answer in time."""

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rewards.errors import BadInput
from rewards.failures import RewardFailed
from rewards.isolated.ended import ProcessEnded
from rewards.isolated.reward import Home, IsolatedReward, Settings
from rewards.logs import BatchLogs
from rewards.registry import accepted, checked_options, required_columns

WORKERS = 2
LONGEST_REASON = 500  # characters


@dataclass(frozen=True)
class Answer:
    """What became of one batch.

    Attributes:
        rewards: what the reward returned; None where there is a `failure`.
        seconds: that it took.
        failure: an exception, a hang, or the end of the process, in one line.
    """

    rewards: list[float | None] | None = None
    seconds: float = 0.0
    failure: str = ""


class Subject:
    """The reward of a name or path, with its options, as training would load it.

    Args:
        spec: as for `load_reward`.
        options: keyword arguments.
        seconds: that one batch may take. One completion may take a tenth of it in a grader process, at most 10 s.

    Attributes:
        required: the columns that it cannot do without.
        has_extraction: it has an option `extraction`.

    Raises:
        BadInput: there is no such reward, or it does not take these options.
    """

    def __init__(self, spec: str, options: Mapping[str, Any], seconds: float) -> None:
        self._home = Home(quiet=True)
        settings = Settings(WORKERS, min(10.0, seconds / 10), seconds, batch=sys.maxsize)
        try:
            self._reward = IsolatedReward(spec, None, settings, self._home)
            self._options = checked_options(spec, self._reward, options)
        except BaseException:  # Ctrl-C while it imports must not leave it behind
            self._home.stop()
            raise
        self._spec, self._seconds = spec, seconds
        self.required = sorted(required_columns(self._reward))
        names = inspect.signature(self._reward).parameters
        self.has_extraction = "extraction" in names
        self._wants_ids = "completion_ids" in names

    def grade(self, completions: Sequence[str], prompts: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Answer:
        """Grade a batch, each completion with the columns of its row. After a failure the process is a new one.

        Where the reward asks for token ids, it gets one a byte.
        """
        given: dict[str, Any] = {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
        given |= {"completions": list(completions), "prompts": list(prompts), "sandbox": "auto"}
        given |= dict.fromkeys(("grader_pool", "log_extra", "log_metric"))  # its process has them
        if self._wants_ids:
            given["completion_ids"] = [list(text.encode("utf-8", "surrogatepass")) for text in completions]
        taken = accepted(self._reward, given)
        try:
            return Answer(*self._reward.timed_part(self._spec, taken, self._options, BatchLogs(len(completions))))
        except BadInput as error:
            return Answer(failure=f"BadInput: {error}"[:LONGEST_REASON])
        except RewardFailed as failed:
            return Answer(failure=self._said(failed))

    def close(self) -> None:
        """End the process."""
        self._home.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _said(self, failed: RewardFailed) -> str:
        if isinstance(failed.__cause__, ProcessEnded) and failed.__cause__.late:
            return f"hangs: no answer within {self._seconds:g} s"
        return " ".join(failed.said.removeprefix("raised ").split())
