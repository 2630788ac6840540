"""A trained model behind an API, in a talk, and at a price per token.

Serving is vLLM's own OpenAI-compatible server, started on a folder with the adapter merged in.
"""

import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from rl.caches import cache_folder
from rl.evaluate.answerers import EngineAnswerer
from rl.evaluate.sources import model_source
from rl.evaluate.subject import Subject, fingerprint, merged_weights
from rl.evaluate.units import OWN, Unit
from rl.models import load_tokenizer, pinned
from rl.problems.benchmark import Benchmark
from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter, chat_messages, template_columns
from rl.problems.stream import completion_seeds
from rl.recipe import ProblemsSection, RewardsSection
from rl.recipe_file import load_recipe
from rl.rollout.engine import RolloutEngine, SamplingParams
from rl.run.folder import RunFolder
from rl.stages.merged import write_merged

YI_LIGHTNING = 14.0  # cents for a million tokens, as press reports of October 2024 gave them for that model
STORY = "Once upon a time, in a village by the river,"  # a prompt that any model goes on with


def servable(subject: Subject) -> str:
    """What vLLM is started on: the subject's folder or hub model, or, with an adapter, a folder with it merged in.

    Merged weights are kept in the cache by their fingerprint, so the second start takes none of the time.
    """
    if subject.adapter is None:
        return pinned(subject.model.name, subject.model.revision)
    folder = cache_folder() / "merged" / fingerprint(subject)[:16]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        tokenizer = load_tokenizer(subject.model.name, subject.model.revision)
        write_merged(subject.model, merged_weights(subject.model, subject.adapter), tokenizer, folder)
    return str(folder)


def server_command(model: str, name: str, host: str, port: int, extra: Sequence[str] = ()) -> list[str]:
    """How vLLM's server is started. The command `vllm` is not used: the CPU build's does not start."""
    module = "vllm.entrypoints.openai.api_server"
    options = ["--model", model, "--served-model-name", name, "--host", host, "--port", str(port)]
    return [sys.executable, "-m", module, *options, *extra]


def own_section(subject: Subject) -> ProblemsSection | None:
    """How the run that the subject is of put its problems, if it asked for nothing but a question; else None."""
    if subject.run is None:
        return None
    section = load_recipe(str(RunFolder(subject.run).recipe)).problems
    return section if template_columns(section.prompt) == ["question"] else None


@contextmanager
def opened(
    subject: Subject, model: str, checkpoint: str, engine: str, prompt_tokens: int, max_tokens: int
) -> Iterator[RolloutEngine]:
    """An engine with the subject's weights, for prompts and completions of up to so many tokens."""
    section = own_section(subject) or ProblemsSection(source="arithmetic", chat_template=False)
    benchmark = Benchmark(name="talk", problems=section, rewards=RewardsSection(functions={"exact_number": 1.0}))
    longest = Prompt(Problem("longest"), (0,) * prompt_tokens, "")
    unit = Unit(benchmark, OWN, [longest], [1], SamplingParams(max_tokens), 0, "")
    with ExitStack() as stack:
        answerer = model_source(model, checkpoint, engine).starter([unit], stack)()
        assert isinstance(answerer, EngineAnswerer)
        yield answerer.engine


@dataclass
class Talk:
    """A talk with a model, in the form that it was trained on where that is known.

    Attributes:
        section: how a question is put; None: the chat template if there is one, else as it stands.
        turns: what was said so far; plain text has no memory.
    """

    engine: RolloutEngine
    tokenizer: Any
    params: SamplingParams
    section: ProblemsSection | None = None
    seed: int = 0
    turns: list[Mapping[str, str]] = field(default_factory=list)

    def say(self, question: str) -> str:
        """The model's answer, as text, with the prefill before it."""
        ids, opening = self._prompt(question)
        seeds = [completion_seeds(self.seed, len(self.turns), 0, 1)]
        [[completion]] = self.engine.generate([ids], self.params, seeds)
        answer = opening + str(self.tokenizer.decode(list(completion.token_ids), skip_special_tokens=True))
        self.turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return answer

    def _prompt(self, question: str) -> tuple[list[int], str]:
        section = self.section or ProblemsSection(
            source="arithmetic", prompt="{question}", chat_template=bool(self.tokenizer.chat_template)
        )
        if not (section.chat_template and self.turns):
            problem = Problem("talk", {"question": question})
            whole = section.model_copy(update={"max_prompt_length": 2**31})
            return list(Prompter(whole, self.tokenizer).render(problem).token_ids), section.prefill
        first, *_ = chat_messages(section, "")
        system = [first] if first["role"] == "system" else []
        asked = [*system, *self.turns, {"role": "user", "content": question}]
        text = self.tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True) + section.prefill
        return list(self.tokenizer(text, add_special_tokens=False).input_ids), section.prefill


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
