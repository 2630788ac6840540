"""A trained model behind an API, in a talk, and at a price per token.

Serving is vLLM's own OpenAI-compatible server, started on a folder with the adapter merged in.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from rewards.errors import BadInput
from rl.base.caches import cache_folder
from rl.config.recipe import ProblemsSection, RewardsSection
from rl.evaluation.answerers import EngineAnswerer
from rl.evaluation.sources import model_source
from rl.evaluation.subject import Subject, fingerprint, merged_weights
from rl.evaluation.templates import OWN
from rl.evaluation.units import Unit
from rl.models.source import load_config, load_tokenizer, pinned, resolve_model
from rl.pipelines.manner import Manner
from rl.pipelines.merged import write_merged
from rl.problems.benchmark import Benchmark
from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter, chat_messages, plain_text
from rl.problems.stream import completion_seeds
from rl.rollout.engine import RolloutEngine, SamplingParams

YI_LIGHTNING = 14.0  # cents for a million tokens, as press reports of October 2024 gave them for that model
STORY = "Once upon a time, in a village by the river,"  # a prompt that any model goes on with


def servable(subject: Subject) -> str:
    """What vLLM is started on: the subject's folder or hub model, or, with an adapter, a folder with it merged in.

    Merged weights are kept in the cache by their fingerprint, so the second start takes none of the time.
    """
    section = subject.model
    if subject.adapter is None:
        load_config(section.name, section.revision)  # says in one sentence what the server would say in a hundred lines
        return pinned(resolve_model(section.name, section.revision), section.revision)
    folder = cache_folder() / "merged" / fingerprint(subject)[:16]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        tokenizer = load_tokenizer(section.name, section.revision)
        write_merged(section, merged_weights(section, subject.adapter), tokenizer, folder)
    return str(folder)


def server_command(model: str, name: str, host: str, port: int, extra: Sequence[str] = ()) -> list[str]:
    """Return the command that starts vLLM's server. It is not `vllm`: the CPU build's does not start.

    No page of another site may read what the server answers; vLLM's own default allows all of them.

    Args:
        extra: further options, which win over those before them.
    """
    module = "vllm.entrypoints.openai.api_server"
    options = ["--model", model, "--served-model-name", name, "--host", host, "--port", str(port)]
    options += ["--allowed-origins", "[]"]
    return [sys.executable, "-m", module, *options, *extra]


def manner_options(manner: Manner, tokenizer: Any) -> list[str]:
    """Return options by which vLLM's server asks in a manner by default. It cannot keep stop strings."""
    drawn = {"temperature": manner.params.temperature, "max_new_tokens": manner.params.max_tokens}
    return [
        "--chat-template",
        manner_template(manner, tokenizer),
        "--override-generation-config",
        json.dumps(drawn),
    ]


def manner_template(manner: Manner, tokenizer: Any) -> str:
    """Write a chat template that renders a user's message as `Prompter` renders a problem.

    Plain text has no memory, so there only the last message counts. A system message of the request replaces the run's.
    """
    section = manner.section

    def quoted(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)  # which is also how Jinja writes it

    if not section.chat_template:
        begins = list(tokenizer("").input_ids[:1]) == [tokenizer.bos_token_id]
        before = (tokenizer.bos_token if begins else "") + plain_text(section, manner.before)
        return f"{{{{ {quoted(before)} ~ messages[-1].content ~ {quoted(manner.after + section.prefill)} }}}}"
    system = [message for message in chat_messages(section, "")[:-1] if message["role"] == "system"]
    shots = [message for message in chat_messages(section, "")[:-1] if message["role"] != "system"]
    return (
        "{% if messages[0].role == 'system' %}"
        f"{{% set penny = namespace(all=[messages[0]] + {quoted(shots)}, rest=messages[1:]) %}}{{% else %}}"
        f"{{% set penny = namespace(all={quoted(system + shots)}, rest=messages) %}}{{% endif %}}"
        "{% for message in penny.rest %}{% if message.role == 'user' %}"
        f"{{% set said = {quoted(manner.before)} ~ message.content ~ {quoted(manner.after)} %}}"
        "{% set penny.all = penny.all + [{'role': 'user', 'content': said}] %}"
        "{% else %}{% set penny.all = penny.all + [message] %}{% endif %}{% endfor %}"
        "{% set messages = penny.all %}"
        f"{tokenizer.chat_template.removesuffix(chr(10))}"
        f"{{% if add_generation_prompt %}}{{{{ {quoted(section.prefill)} }}}}{{% endif %}}"
    )


@contextmanager
def opened(
    subject: Subject, model: str, checkpoint: str, engine: str, prompt_tokens: int, max_tokens: int
) -> Iterator[RolloutEngine]:
    """An engine with the subject's weights, for prompts and completions of up to so many tokens."""
    section = ProblemsSection(source="arithmetic", chat_template=False)
    benchmark = Benchmark(name="talk", problems=section, rewards=RewardsSection(functions={"exact_number": 1.0}))
    longest = Prompt(Problem("longest"), (0,) * prompt_tokens, "")
    unit = Unit(benchmark, OWN, [longest], [1], SamplingParams(max_tokens), 0, "")
    with ExitStack() as stack:
        answerer = model_source(model, checkpoint, engine).starter([unit], stack)()
        assert isinstance(answerer, EngineAnswerer)
        yield answerer.engine


@dataclass
class Talk:
    """A talk with a model, in the manner in which it was trained where that is known.

    Attributes:
        manner: how a question is put; None: by the chat template if there is one, else as it stands.
        longest: tokens of a prompt, at most.
        turns: what was said so far; plain text has no memory.
    """

    engine: RolloutEngine
    tokenizer: Any
    params: SamplingParams
    manner: Manner | None = None
    longest: int = 2**31
    seed: int = 0
    turns: list[Mapping[str, str]] = field(default_factory=list)

    def say(self, question: str) -> str:
        """Return the model's answer, as text, with the prefill before it, up to a stop string.

        Raises:
            BadInput: the talk has become too long.
        """
        asked = self.manner.put(question) if self.manner else question
        ids, opening = self._prompt(asked)
        if len(ids) > self.longest:
            raise BadInput(
                f"The talk has {len(ids)} tokens, more than --context {self.longest}: raise it, or begin anew."
            )
        seeds = [completion_seeds(self.seed, len(self.turns), 0, 1)]
        [[completion]] = self.engine.generate([ids], self.params, seeds)
        said = str(self.tokenizer.decode(list(completion.token_ids), skip_special_tokens=True))
        ends = [said.index(stop) for stop in self.params.stop if stop in said]
        answer = opening + said[: min(ends, default=len(said))]
        self.turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        return answer

    def _prompt(self, asked: str) -> tuple[list[int], str]:
        """Return token ids, and the opening of the answer that they end with."""
        section = (self.manner.section if self.manner else free_section(self.tokenizer)).model_copy(
            update={"prompt": "{question}", "max_prompt_length": 2**31}
        )
        if not (section.chat_template and self.turns):
            problem = Problem("talk", {"question": asked})
            return list(Prompter(section, self.tokenizer).render(problem).token_ids), section.prefill
        *before, last = chat_messages(section, asked)
        turns = [dict(message) for message in (*before, *self.turns, last)]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + section.prefill
        return list(self.tokenizer(text, add_special_tokens=False).input_ids), section.prefill


def free_section(tokenizer: Any) -> ProblemsSection:
    """Return a section that asks a question as it stands, in the chat template if there is one."""
    return ProblemsSection(source="arithmetic", prompt="{question}", chat_template=bool(tokenizer.chat_template))


@dataclass(frozen=True)
class Speed:
    """How fast a model writes when asked by so many at once.

    Attributes:
        batch: sequences at once.
        tokens_per_second: written, all sequences together, one number a repeat.
    """

    batch: int
    tokens_per_second: Sequence[float]

    @property
    def median(self) -> float:
        """Tokens a second."""
        return statistics.median(self.tokens_per_second)

    def cents_per_million(self, dollars_per_hour: float) -> float:
        """What a million tokens cost on a machine of that price."""
        return dollars_per_hour / 3600 / self.median * 1e6 * 100


def measure_speed(
    engine: RolloutEngine, prompt: Sequence[int], max_tokens: int, batches: Sequence[int], repeats: int
) -> list[Speed]:
    """Time `generate` at each batch size, in turn, after one round that does not count.

    Every sequence has the same prompt and a seed of its own, so that as many tokens are written as the model likes.
    """
    params = SamplingParams(max_tokens)
    found: dict[int, list[float]] = {batch: [] for batch in batches}
    for repeat in range(repeats + 1):
        for batch in batches:
            seeds = completion_seeds(repeat, batch, 0, batch)
            began = time.perf_counter()
            [group] = engine.generate([prompt], params, [seeds])
            seconds = time.perf_counter() - began
            if repeat:
                found[batch].append(sum(len(completion.token_ids) for completion in group) / seconds)
    return [Speed(batch, rates) for batch, rates in found.items()]
