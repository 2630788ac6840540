"""Who writes traces: a model in our engine, a server, or the rows of a data set. Each is a source of answers.

So traces come by the code that evaluations come by: through the cache of answers, which is what a killed stage goes on
from, and graded while others are still written.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from rewards.errors import BadInput
from rl.base import atomic
from rl.base.stored import NUMBER, read_object
from rl.evaluation.answerers import Answered, Answerer, Place, output_of, request_for
from rl.evaluation.source import Source
from rl.evaluation.units import Unit
from rl.grading.outputs import Output
from rl.pipelines.schema import TeacherSection
from rl.problems.conversation import is_conversation, read_messages
from rl.problems.problem import Problem
from rl.problems.template import fill, template_columns
from rl.rollout.endpoint import Endpoint, EndpointSettings
from rl.rollout.openai_api import Request
from rl.rollout.server_url import is_local, normalized

# Whose published terms of use keep what their models write from training others that compete. Not a complete list, so
# every server that is not on this machine is asked about.
RESTRICTED = ("openai.com", "anthropic.com", "googleapis.com")
MILLION = 1e6


def check_teacher(name: str, teacher: TeacherSection) -> None:
    """Refuse a teacher that lacks what its source needs, or whose terms nobody has accepted. Raises BadInput."""
    needs = {"model": ["name"], "endpoint": ["name", "url"], "column": ["template"]}[teacher.source]
    if missing := [key for key in needs if not getattr(teacher, key)]:
        raise BadInput(f"{name}.teacher.{missing[0]} is missing; source {teacher.source} needs it.")
    if teacher.max_dollars is not None and teacher.dollars_per_million is None:
        raise BadInput(
            f"{name}.teacher.max_dollars needs the price: set teacher.dollars_per_million, like [0.14, 0.28]."
        )
    if teacher.source == "endpoint" and not teacher.terms_accepted:
        url = normalized(teacher.url or "")
        host = httpx.URL(url).host
        if is_local(url):
            return
        known = any(host == name or host.endswith(f".{name}") for name in RESTRICTED)
        why = "forbid training models that compete on what it writes" if known else "may forbid training on its output"
        raise BadInput(
            f"The terms of {host} {why}: read them, and if you may, set {name}.teacher.terms_accepted to true."
        )


@dataclass
class Spending:
    """What a server was paid so far, earlier sessions included.

    Attributes:
        prices: dollars for a million tokens, of prompts and of completions.
        file: where the sum is kept after every answer, so that a stage that was killed goes on from it.
    """

    prices: tuple[float, float] = (0.0, 0.0)
    limit: float | None = None
    file: Path | None = None
    dollars: float = 0.0

    def __post_init__(self) -> None:
        if self.file is not None and self.file.exists():
            cure = "bring it back from a copy, or write what the server has cost so far"
            self.dollars = float(read_object(self.file, cure, {"dollars": NUMBER})["dollars"])

    @property
    def over(self) -> bool:
        """Whether nothing more is to be asked."""
        return self.limit is not None and self.dollars >= self.limit

    def pay(self, output: Output) -> None:
        """Count an answer."""
        sent, written = output.prompt_tokens or 0, output.num_tokens or 0
        self.dollars += (sent * self.prices[0] + written * self.prices[1]) / MILLION
        if self.file is not None and any(self.prices):
            atomic.write_json(self.file, {"dollars": self.dollars})


@dataclass(frozen=True)
class ServerTeacher:
    """A server that is asked at a bounded rate, and no more once the money is spent.

    What was asked before that is still taken, so a budget is overspent by at most `concurrency` answers.
    """

    endpoint: Endpoint
    concurrency: int
    interval: float  # seconds between two requests, at least
    spending: Spending
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def stream(self, unit: Unit, wanted: Sequence[Place]) -> Iterator[Answered]:
        """See `Answerer`."""
        todo, began, asked, answered = iter(wanted), self.clock(), list[Place](), 0

        def more() -> list[Request]:
            waiting = len(asked) - answered
            if self.spending.over or waiting >= self.concurrency or len(asked) == len(wanted):
                return []
            due = began + len(asked) * self.interval
            if not waiting:  # nothing would ask again
                self.sleep(max(0.0, due - self.clock()))
            allowed = self.concurrency - waiting
            if self.interval:
                allowed = min(allowed, int((self.clock() - due) / self.interval + 1e-9) + 1)
            places = list(itertools.islice(todo, max(0, allowed)))
            asked.extend(places)
            return [request_for(unit, place) for place in places]

        for index, reply in self.endpoint.stream([], unit.params, more):
            answered += 1
            output = output_of(reply)
            self.spending.pay(output)
            yield *asked[index], output


@dataclass(frozen=True)
class ColumnTeacher:
    """Traces that stand in the problems' rows."""

    template: str

    def texts(self, problem: Problem) -> list[str]:
        """The traces of a row: several if the template is a column with a list of texts. Raises BadInput."""
        where = f"problem {problem.id}"
        alone = [name for name in template_columns(self.template, "teacher.template") if self.template == f"{{{name}}}"]
        value = problem.columns.get(alone[0]) if alone else None
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            return value
        if value is not None and is_conversation(value):  # the trace is what the assistant says last
            said = [turn for turn in read_messages(value, where) if turn["role"] == "assistant"]
            if not said:
                raise BadInput(f"{where}, column {alone[0]}: no message is the assistant's, so there is no trace.")
            return [str(said[-1]["content"])]
        return [fill(self.template, problem.columns, where, "teacher.template")]

    def stream(self, unit: Unit, wanted: Sequence[Place]) -> Iterator[Answered]:
        """See `Answerer`."""
        for p, g in wanted:
            yield p, g, Output(self.texts(unit.prompts[p].problem)[g], finish_reason="stop")


def teacher_source(teacher: TeacherSection, engine: str, spending: Spending) -> Source:
    """The teacher as a source of answers. Raises BadInput if there is no such model or server."""
    if teacher.source == "column":
        return column_source(teacher.template or "")
    # Imported late: peft and transformers take seconds, and a column does not need them.
    from rl.evaluation.sources import endpoint_source, model_source

    if teacher.source == "model":
        return model_source(teacher.name or "", "last", engine)
    source = endpoint_source(teacher.url or "", teacher.name or "", teacher.api_key_env, teacher.concurrency)

    def begin(_: Sequence[Unit], stack: ExitStack) -> Answerer:
        settings = EndpointSettings(
            teacher.url or "", teacher.name or "", teacher.api_key_env, concurrency=teacher.concurrency
        )
        endpoint = Endpoint(settings)
        stack.callback(endpoint.close)
        interval = 60 / teacher.requests_per_minute if teacher.requests_per_minute else 0.0
        return ServerTeacher(endpoint, teacher.concurrency, interval, spending)

    return replace(source, begin=begin)


def column_source(template: str) -> Source:
    """The rows themselves."""
    return Source(
        subject={"kind": "column", "name": template, "checkpoint": template, "base": None, "fingerprint": None},
        engine="stored",
        dtype=None,
        tokenizer=None,
        has_chat=True,
        context=None,
        identity={},
        begin=lambda units, stack: ColumnTeacher(template),
    )
