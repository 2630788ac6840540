"""What an evaluation asks: each benchmark under each prompt template is one unit."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rewards.errors import BadInput
from rl.evaluation.samples import Samples
from rl.evaluation.statistics.measures import usual_count
from rl.evaluation.templates import OWN, TEMPLATES, default_template, has_shots, templated
from rl.problems.benchmark import Benchmark, Sampling
from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter, render_without_tokenizer
from rl.problems.stream import completion_seed
from rl.problems.template import fill
from rl.rollout.engine import SamplingParams

if TYPE_CHECKING:  # takes seconds to import, and a file of outputs does not need it
    from transformers import PreTrainedTokenizerBase

DRAWN = ("temperature", "top_p", "top_k", "min_p", "max_tokens")
NO_LIMIT = 2**31  # no problem of a benchmark is too long but for the model's context


@dataclass(frozen=True)
class StoredFacts:
    """What is known of outputs that were there already.

    Attributes:
        unanswered: problems that are asked and have no output.
        unknown_rows: rows of the file that name no problem of the benchmark, and were left out.
        stated: how they were drawn, as far as the file says it alike in all rows: `temperature`, `top_p`, `top_k`,
            `min_p`, `max_tokens`.
    """

    unanswered: int
    unknown_rows: int
    stated: Mapping[str, float]


@dataclass(frozen=True)
class Unit:
    """One benchmark under one template.

    Attributes:
        benchmark: as the template has changed it.
        template: its name.
        prompts: of the problems that are asked, in the benchmark's order.
        samples_P: how many answers each prompt gets.
        params: how they are drawn.
        seed: of the draw; that of a sample depends on this, its prompt's place and its own number alone.
        data_sha256: of all problems of the benchmark, also of those beyond a limit; see `asked_sha256`.
        stored: of outputs that were there already, where `params` and `seed` mean nothing; else None.
    """

    benchmark: Benchmark
    template: str
    prompts: Sequence[Prompt]
    samples_P: Sequence[int]
    params: SamplingParams
    seed: int
    data_sha256: str
    stored: StoredFacts | None = None

    @property
    def problems(self) -> int:
        """How many are asked, with those that a file has no output for."""
        return len(self.prompts) + (self.stored.unanswered if self.stored else 0)

    @property
    def num_samples(self) -> int:
        """Answers to a problem that are wanted; of a file as many as most of its problems have."""
        return usual_count(self.samples_P)

    @property
    def drawn(self) -> dict[str, Any]:
        """How the answers are drawn, for `results.json`; None where nobody knows."""
        if self.stored is not None:
            known = dict.fromkeys(("shots", *DRAWN, "stop", "seed"))
            return known | {name: value for name, value in self.stored.stated.items() if name in DRAWN}
        params = self.params
        drawn = {name: getattr(params, name) for name in DRAWN}
        return {"shots": len(self.benchmark.problems.few_shot), **drawn, "stop": list(params.stop), "seed": self.seed}

    @property
    def longest_prompt(self) -> int:
        """Tokens of the longest prompt; 0 where nobody counted."""
        return max(len(prompt.token_ids) for prompt in self.prompts)

    def seed_of(self, p: int, g: int) -> int:
        """The sampling seed of sample g of prompt p."""
        return completion_seed(self.seed, 0, p, g)


@dataclass(frozen=True)
class Protocol:
    """What the user wants otherwise than the benchmark does; None: as the benchmark does.

    Attributes:
        limit: only the first so many problems.
        max_tokens: longest completion, in tokens.
    """

    limit: int | None = None
    num_samples: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuse numbers that mean nothing. Raises BadInput."""
        for name in ("limit", "num_samples", "max_tokens"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise BadInput(f"{name} is {number}: give 1 or more.")
        if self.seed < 0:
            raise BadInput(f"seed is {self.seed}: give 0 or more.")
        if self.temperature is not None and not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise BadInput(f"temperature is {self.temperature}: give a finite number, 0 for greedy.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise BadInput(f"top_p is {self.top_p}: give more than 0 and at most 1.")
        if self.min_p is not None and not 0 <= self.min_p < 1:
            raise BadInput(f"min_p is {self.min_p}: give at least 0 and less than 1.")
        if self.top_k is not None and self.top_k < 0:
            raise BadInput(f"top_k is {self.top_k}: give 0 (all tokens) or more.")

    def sampling(self, benchmark: Benchmark) -> Sampling:
        """The benchmark's way of drawing, as changed here. Raises BadInput for several greedy answers."""
        names = ("num_samples", "temperature", "top_p", "top_k", "min_p")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if changes.get("temperature") == 0:  # greedy: truncation means nothing, and one answer is all there is
            changes = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "num_samples": 1} | changes
        sampling = benchmark.sampling.model_copy(update=changes)
        if sampling.num_samples > 1 and sampling.temperature == 0:
            raise BadInput(
                f"At temperature 0 all {sampling.num_samples} answers to a problem of {benchmark.name} would be equal: "
                "give a temperature above 0, or one sample."
            )
        return sampling


def make_units(
    benchmarks: Sequence[Benchmark],
    templates: Sequence[str],
    protocol: Protocol,
    tokenizer: "PreTrainedTokenizerBase | None",
    has_chat: bool = True,
) -> list[Unit]:
    """The units of an evaluation, prompts rendered.

    Args:
        templates: see `chosen_templates`.
        tokenizer: of the model; None: a server's, so prompts stay messages or text.
        has_chat: whether the model takes chats.

    Raises:
        BadInput: problems that cannot be read, a template that the model or the benchmark does not have, a protocol
            that makes no sense.
    """
    units = []
    for benchmark in benchmarks:
        problems = benchmark.load()
        sampling, data_sha256 = protocol.sampling(benchmark), asked_sha256(benchmark, problems)
        params = SamplingParams(
            protocol.max_tokens or benchmark.max_completion_length,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
        )
        asked = problems[: protocol.limit]
        for template, shown in chosen_templates(benchmark, templates, has_chat):
            prompts = render(shown, asked, tokenizer)
            counts = [sampling.num_samples] * len(prompts)
            stop = replace(params, stop=tuple(shown.stop))
            units.append(Unit(shown, template, prompts, counts, stop, protocol.seed, data_sha256))
    return units


def chosen_templates(benchmark: Benchmark, names: Sequence[str], has_chat: bool) -> list[tuple[str, Benchmark]]:
    """The templates that are wanted, and the benchmark as each changes it.

    Args:
        names: of templates; `all` alone: every one that the model and the benchmark have; none: the chat template where
            the model has one, else plain text, and for a recipe that was written for plain text its own prompt.

    Raises:
        BadInput: no such template, a chat for a model that takes none, no worked examples for a few-shot prompt.
    """
    if not names:
        if not benchmark.problems.chat_template:
            return [(OWN, benchmark)]
        names = [default_template(has_chat)]
    if list(names) == ["all"]:
        possible = [name for name in TEMPLATES if name != "chat" or has_chat]
        return [(name, templated(benchmark, name)) for name in possible if name != "few-shot" or has_shots(benchmark)]
    if "chat" in names and not has_chat:
        raise BadInput(
            "The model's tokenizer has no chat template, and the template chat was asked for: use plain, few-shot, "
            "none or r1."
        )
    return [(name, templated(benchmark, name)) for name in names]


def asked_sha256(benchmark: Benchmark, problems: Sequence[Problem]) -> str:
    """SHA-256 over ids, questions and gold answers, in order: what two evaluations must share to be compared.

    What graders need beside them, such as tests, is left out: it may be mended, and stored answers graded again.
    """
    digest = hashlib.sha256()
    for problem in problems:
        asked = fill(benchmark.problems.prompt, problem.columns, f"problem {problem.id}")
        row = json.dumps([problem.id, asked, str(problem.columns.get("answer"))])
        digest.update(row.encode() + b"\n")
    return digest.hexdigest()


def stored_unit(benchmark: Benchmark, samples: Samples, problems: Sequence[Problem], data_sha256: str) -> Unit:
    """The unit of outputs that are there already; the prompts are only for people and graders.

    Nobody knows whether the outputs begin with the prefill, so it stands in the prompts' texts alone.
    """
    asked = [problem for problem in problems if samples.outputs.get(problem.id)]
    section = benchmark.problems.model_copy(update={"prefill": ""})
    rendered = [render_without_tokenizer(section, problem) for problem in asked]
    prompts = [replace(prompt, text=prompt.text + benchmark.problems.prefill) for prompt in rendered]
    counts = [len(samples.outputs[problem.id]) for problem in asked]
    facts = StoredFacts(samples.missing, samples.unknown, samples.stated)
    params = SamplingParams(benchmark.max_completion_length)
    return Unit(benchmark, "stored", prompts, counts, params, 0, data_sha256, facts)


def render(
    benchmark: Benchmark, problems: Sequence[Problem], tokenizer: "PreTrainedTokenizerBase | None"
) -> list[Prompt]:
    """The prompts of the problems, in order."""
    if tokenizer is None:
        return [render_without_tokenizer(benchmark.problems, problem) for problem in problems]
    section = benchmark.problems.model_copy(update={"max_prompt_length": NO_LIMIT})
    prompter = Prompter(section, tokenizer)
    return [prompter.render(problem) for problem in problems]


def fitted(
    units: Sequence[Unit], context: int | None, asked_tokens: int | None, name: str
) -> tuple[list[Unit], list[str]]:
    """The units with completions that fit the model's context, and what was changed for that, in sentences.

    A length that the benchmark brings is lowered; one that the user asked for is refused. Raises BadInput.
    """
    kept, notes = [], []
    for unit in units:
        room = NO_LIMIT if context is None else context - unit.longest_prompt
        tokens = unit.params.max_tokens
        if room < 1 or (asked_tokens is not None and tokens > room):
            raise BadInput(
                f"The longest prompt of {unit.benchmark.name} has {unit.longest_prompt} tokens and a completion may "
                f"have {tokens}, more than the context of {name}, {context}: lower max_tokens."
            )
        if tokens > room:
            notes.append(
                f"{unit.benchmark.name}: completions of {room} tokens, not {tokens}; {name} has no more context"
            )
        kept.append(replace(unit, params=replace(unit.params, max_tokens=min(tokens, room))))
    return kept, notes
