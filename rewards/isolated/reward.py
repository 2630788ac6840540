"""A user's reward that runs in the process of users' rewards, as its grader sees it.

One process serves all rewards of a run, as one interpreter would: what their files share, they share there. It starts
with the first reward that is loaded, and ends with the run, or when it is needed in another folder.
"""

import atexit
import itertools
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any, NoReturn

from rewards.errors import BadInput
from rewards.failures import RewardFailed
from rewards.isolated.carried import NotCarried, packed
from rewards.isolated.ended import ProcessEnded
from rewards.isolated.process import FAREWELL_SECONDS, RewardProcess
from rewards.logs import BatchLogs
from rewards.pool import GraderPool
from rewards.shapes import REQUIRED

BATCH_SECONDS = 600.0
BATCH = 64  # completions that may take so long
START_SECONDS = 300.0  # to import a reward, and what it imports, on a slow disk
CLOSE_SECONDS = 30.0
CURE = "set rewards.isolated to false to run rewards within the run"
KINDS = {
    int(kind): kind
    for kind in (
        Parameter.POSITIONAL_ONLY,
        Parameter.POSITIONAL_OR_KEYWORD,
        Parameter.VAR_POSITIONAL,
        Parameter.KEYWORD_ONLY,
        Parameter.VAR_KEYWORD,
    )
}
MADE_THERE = ("grader_pool", "log_extra", "log_metric")  # what the process offers by itself


@dataclass(frozen=True)
class Settings:
    """How long rewards may work, and by how many grader processes.

    Attributes:
        workers: grader processes that the function may use.
        timeout: seconds that one job may take in these.
        batch_timeout: seconds that a batch may take.
        batch: completions that it may have; a larger one may take as many times longer.
    """

    workers: int
    timeout: float
    batch_timeout: float = BATCH_SECONDS
    batch: int = BATCH

    @property
    def pool(self) -> tuple[int, float]:
        """What grader processes of the function are made with."""
        return self.workers, self.timeout

    def seconds(self, count: int) -> float:
        """Return how long a batch of so many completions may take."""
        return self.batch_timeout * max(1, -(-count // self.batch))


class Home:
    """The process in which rewards are, started when one is loaded and again after it has ended."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._working = threading.Lock()
        self._process: RewardProcess | None = None
        self._where: tuple[Any, ...] = ()

    def ask(self, reward: "IsolatedReward", request: dict[str, Any], seconds: float) -> Any:
        """Ask about a reward, which is loaded first where it is not yet.

        Raises:
            BadInput: the reward raised it, cannot be loaded, or cannot be sent what it is given.
            ProcessEnded: the process ended.
            RewardFailed: the reward failed.
        """
        with self._working:
            if not self.holds(reward):
                self._load(reward)
            assert self._process is not None  # `_load` has started it
            return _checked(reward.spec, self._process.ask(request | {"key": reward.key}, seconds))

    def load(self, reward: "IsolatedReward") -> Any:
        """Import a reward. Returns its description; raises BadInput."""
        with self._working:
            return self._load(reward)

    def holds(self, reward: "IsolatedReward") -> bool:
        """Tell whether the process that has loaded the reward is there."""
        return self._process is not None and self._process.alive and reward.loaded_by == self._process.pid

    def stop_work(self) -> None:
        """Kill the process if it works now, from any thread."""
        if self._working.acquire(blocking=False):
            self._working.release()
        elif self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """End the process."""
        self.stop_work()
        with self._working:
            self._stop()

    def forget(self) -> None:
        """Begin anew in a forked child, whose parent owns the process."""
        self._working = threading.Lock()
        self._process = None

    def _load(self, reward: "IsolatedReward") -> Any:
        here = (os.getcwd(), tuple(sys.path))
        if self._process is not None and (not self._process.alive or self._where != here):
            self._stop()
        if self._process is None:
            self._process, self._where = RewardProcess(self._quiet), here
        request = {"do": "load", "key": reward.key, "spec": reward.spec, "folder": reward.folder}
        try:
            description = _checked(reward.spec, self._process.ask(request, START_SECONDS))
        except (ProcessEnded, RewardFailed) as error:
            how = error.how if isinstance(error, ProcessEnded) else error.said
            at = f" at {error.line}" if error.line else ""
            raise BadInput(f"the reward {reward.spec!r} does not import: its file {how}{at}; correct it") from error
        reward.loaded_by = self._process.pid
        return description

    def _stop(self) -> None:
        if self._process is not None:
            self._process.stop(FAREWELL_SECONDS)
            self._process = None


class IsolatedReward:
    """A user's reward in its process, with the signature that it has there.

    Args:
        spec: as for `load_reward`.
        folder: where its file is looked for before the working folder.
        settings: how long it may work.
        home: its process.

    Raises:
        BadInput: as `load_reward` does, or because its file ends or hangs the process when it is imported.
    """

    def __init__(self, spec: str, folder: str | None, settings: Settings, home: Home) -> None:
        self.key, self.spec, self.folder = next(_keys), spec, folder
        self.loaded_by = 0  # the number of a process
        self._settings, self._home = settings, home
        described = home.load(self)
        self.__signature__ = Signature([_parameter(*one) for one in described["parameters"]])
        self._closes: bool = described["closes"]
        self.column_faults = {
            column: lambda value, column=column: self.faults(column, [value])[0]
            for column in described["column_faults"]
        }
        if described["checks_gold"]:
            self.bad_golds = self._bad_golds

    def __call__(self, **given: Any) -> list[float | None]:
        """Grade a batch as the function itself would, with nothing logged."""
        return self.part(self.spec, given, {}, BatchLogs(len(given["completions"])))

    def part(
        self, name: str, given: Mapping[str, Any], options: Mapping[str, Any], logs: BatchLogs
    ) -> list[float | None]:
        """As `rewards.part.part_of` does, in the process of the reward. Raises RewardFailed for its end, too."""
        return self.timed_part(name, given, options, logs)[0]

    def timed_part(
        self, name: str, given: Mapping[str, Any], options: Mapping[str, Any], logs: BatchLogs
    ) -> tuple[list[float | None], float]:
        """Return the grades of a batch, and the seconds that the reward took for them in its process."""
        request = {
            "do": "grade",
            "name": name,
            "given": self._carried("column", {key: value for key, value in given.items() if key not in MADE_THERE}),
            "offered": {key: self._settings.pool for key in MADE_THERE if key in given},
            "options": self._carried("option", options),
        }
        try:
            answer = self._home.ask(self, request, self._settings.seconds(logs.count))
        except ProcessEnded as ended:
            ended.how += " (rewards.batch_timeout)" if ended.late else ""
            _fail(name, ended, given["completions"])
        except RewardFailed as failed:
            failed.name = name
            failed.completion = None if failed.row is None else given["completions"][failed.row]
            raise
        logs.add(*answer["logged"])
        return answer["grades"], answer["seconds"]

    def faults(self, column: str, values: Sequence[Any]) -> list[str | None]:
        """Say why the reward cannot use values of a column: one item each, None where it can."""
        packed_values = self._carried("column", {column: list(values)})[column]
        return list(self._checked({"do": "faults", "column": column, "values": packed_values})["faults"])

    def check_carried(self, columns: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Raise BadInput for the first column or option that cannot be sent to the process."""
        self._carried("column", {name: list(values) for name, values in columns.items()})
        self._carried("option", options)

    def close(self) -> None:
        """End what the reward holds open. Used again, it is set up anew."""
        if self._closes and self._home.holds(self):
            self._asked({"do": "close"}, CLOSE_SECONDS)

    def stop_work(self) -> None:
        """End what the reward does now."""
        self._home.stop_work()

    def _bad_golds(
        self, columns: Mapping[str, Sequence[Any]], pool: GraderPool, options: Mapping[str, Any]
    ) -> list[str | None]:
        request = {
            "do": "bad_golds",
            "columns": self._carried("column", {name: list(values) for name, values in columns.items()}),
            "pool": (pool.workers, pool.timeout),
            "options": self._carried("option", options),
        }
        seconds = self._settings.seconds(len(next(iter(columns.values()), ())))
        return list(self._checked(request, seconds)["reasons"])

    def _checked(self, request: dict[str, Any], seconds: float = START_SECONDS) -> Any:
        """Return the answer to a question about problems, before a run: what fails then is bad input."""
        try:
            return self._asked(request, seconds)
        except RewardFailed as failed:
            raise BadInput(f"{failed}, when it checked problems; correct it") from failed

    def _asked(self, request: dict[str, Any], seconds: float) -> Any:
        try:
            return self._home.ask(self, request, seconds)
        except ProcessEnded as ended:
            _fail(self.spec, ended, ())

    def _carried(self, what: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return columns or options as they are sent. Raises BadInput for the first that cannot be."""
        sent = {}
        for name, value in values.items():
            try:
                sent[name] = packed(value)
            except NotCarried as error:
                raise BadInput(
                    f"the {what} {name!r} holds {error}, which cannot be sent to the process of the reward "
                    f"{self.spec!r}; write it as text, numbers or lists, or {CURE}"
                ) from error
        return sent


_keys = itertools.count()
_home = Home()
atexit.register(_home.stop)
os.register_at_fork(after_in_child=_home.forget)


def isolated_reward(spec: str, folder: str | None, settings: Settings) -> IsolatedReward:
    """Return the reward of a name or path in the process that all users' rewards of this run share."""
    return IsolatedReward(spec, folder, settings, _home)


def _checked(spec: str, answer: Mapping[str, Any]) -> Any:
    """Return the answer, or what it says went wrong."""
    if "bad_input" in answer:
        raise BadInput(answer["bad_input"])
    if "failed" in answer:
        raise RewardFailed(spec, **answer["failed"])
    return answer


def _fail(name: str, ended: ProcessEnded, completions: Sequence[Any]) -> NoReturn:
    completion = completions[ended.row] if ended.row is not None and ended.row < len(completions) else None
    raise RewardFailed(name, ended.how, ended.line, ended.row, ended.trace, completion) from ended


def _parameter(name: str, kind: int, default: str) -> Parameter:
    defaults = {"none": Parameter.empty, "required": REQUIRED, "some": None}
    return Parameter(name, KINDS[kind], default=defaults[default])
