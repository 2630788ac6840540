"""Who gives the answers of an evaluation: an engine in this process, a server, or a file of outputs that are there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rl.evaluation.cache import AnswerCache, answer_key
from rl.evaluation.samples import Samples
from rl.evaluation.units import Unit
from rl.grading.outputs import Output
from rl.rollout.endpoint import Endpoint
from rl.rollout.engine import RolloutEngine
from rl.rollout.openai_api import Reply, Request

if TYPE_CHECKING:  # takes seconds to import, and a file of outputs does not need it
    from transformers import PreTrainedTokenizerBase

Place = tuple[int, int]  # of the prompt in its unit, and of the sample among those of the prompt
Answered = tuple[int, int, Output]


class Answerer(Protocol):
    """Answers the prompts of a unit at the places that are wanted, in any order, each as soon as it is there."""

    def stream(self, unit: Unit, wanted: Sequence[Place]) -> Iterator[Answered]:
        """Yield each place with its output."""
        ...


@dataclass(frozen=True)
class EngineAnswerer:
    """An engine in this process; text is its tokens, decoded."""

    engine: RolloutEngine
    tokenizer: "PreTrainedTokenizerBase"

    def stream(self, unit: Unit, wanted: Sequence[Place]) -> Iterator[Answered]:
        """See `Answerer`."""
        samples: dict[int, list[int]] = {}
        for p, g in wanted:
            samples.setdefault(p, []).append(g)
        asked = list(samples)
        prompts = [unit.prompts[p].token_ids for p in asked]
        seeds = [[unit.seed_of(p, g) for g in samples[p]] for p in asked]
        for row, column, completion in self.engine.stream(prompts, unit.params, seeds):
            p = asked[row]
            text = str(self.tokenizer.decode(list(completion.token_ids), skip_special_tokens=True))
            yield (
                p,
                samples[p][column],
                Output(
                    text,
                    completion.token_ids,
                    completion.logprobs,
                    len(completion.token_ids),
                    completion.finish_reason,
                ),
            )


@dataclass(frozen=True)
class EndpointAnswerer:
    """An OpenAI-compatible server. Raises EndpointDown where it went away, after all that came."""

    endpoint: Endpoint

    def stream(self, unit: Unit, wanted: Sequence[Place]) -> Iterator[Answered]:
        """See `Answerer`."""
        requests = [request_for(unit, place) for place in wanted]
        for index, reply in self.endpoint.stream(requests, unit.params):
            yield *wanted[index], output_of(reply)


def request_for(unit: Unit, place: Place) -> Request:
    """What a server is asked for a sample of a unit."""
    p, g = place
    prompt = unit.prompts[p]
    seed = unit.seed_of(p, g) if unit.params.temperature > 0 else None
    messages = tuple(dict(message) for message in prompt.messages) or None
    return Request(messages=messages, text=None if messages else prompt.text, seed=seed)


def output_of(reply: Reply) -> Output:
    """What a server said."""
    return Output(
        reply.text, reply.token_ids, reply.logprobs, reply.num_tokens, reply.finish_reason, reply.prompt_tokens
    )


@dataclass(frozen=True)
class StoredAnswerer:
    """Outputs of a file."""

    samples: Samples

    def stream(self, unit: Unit, wanted: Sequence[Place]) -> Iterator[Answered]:
        """See `Answerer`."""
        for p, g in wanted:
            stored = self.samples.outputs[unit.prompts[p].problem.id][g]
            output = Output(stored.text, num_tokens=stored.num_tokens, finish_reason=stored.finish_reason)
            yield p, g, output


@dataclass(frozen=True)
class CachedAnswers:
    """Answers of a unit, those that were paid for before from the cache, and the rest by an answerer.

    Attributes:
        start: gives the answerer; called only when something is missing.
        cache: None: nothing is looked up and nothing is kept.
        identity: what decides an answer beside prompt and sampling: weights, engine, versions, precision.
    """

    start: Callable[[], Answerer]
    cache: AnswerCache | None
    identity: Mapping[str, Any]

    def stream(self, unit: Unit) -> Iterator[tuple[int, int, Output, bool]]:
        """Yield place, output, and whether it came from the cache."""
        places = [(p, g) for p, count in enumerate(unit.samples_P) for g in range(count)]
        if self.cache is None:
            for p, g, output in self.start().stream(unit, places):
                yield p, g, output, False
            return
        keys = {place: self._key(unit, place) for place in places}
        wanted = []
        for place in places:
            found = self.cache.get(keys[place])
            if found is None:
                wanted.append(place)
            else:
                yield *place, found, True
        if not wanted:
            return
        for p, g, output in self.start().stream(unit, wanted):
            self.cache.put(keys[p, g], output)
            yield p, g, output, False

    def _key(self, unit: Unit, place: Place) -> str:
        p, g = place
        seed = unit.seed_of(p, g) if unit.params.temperature > 0 else None
        return answer_key(self.identity, unit.prompts[p], unit.params, seed)
