"""How the batch of a step comes about: sampled, graded as it ends, and refilled where a group teaches nothing.

Nothing here depends on what ends first. Answers are put in the order of problems and samples; which problems are asked
is decided by `Selection`; seeds are functions of (run seed, step, place in the step). A group is looked at a fixed
number of engine steps after its last completion, waiting for its grades if need be, so that also the moment at which
further groups join the engine is the same each time: engines round differently in different company.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from rewards.grading import Grader
from rewards.verdict import outcome_shares
from rl.base import ranks
from rl.config.recipe import AlgorithmSection, Recipe
from rl.grading.answers import Answer, PromptCompletion, grade_said
from rl.grading.overlap import Overlap
from rl.learner.advantages import group_advantages
from rl.problems.problem import Prompt
from rl.problems.stream import completion_seeds
from rl.rollout.engine import Completion, RolloutEngine, SampleRequest, SamplingParams
from rl.training.batch import Batch, SamplingCounts, count_tokens
from rl.training.selection import Selection

GRACE = 8  # engine steps between the end of a group and the look at its grades, which seldom take longer
FULL_BATCHES = 4  # default budget of dynamic sampling, in batches whose completions are all as long as can be

Phases = Callable[[Literal["generate", "grade"]], AbstractContextManager[None]]
Grades = tuple[list[Answer], dict[str, float]]  # answers, and what the reward functions logged of them


@dataclass(frozen=True)
class Source:
    """The parts of a run that batches come from.

    Attributes:
        prompt_at: renders the problem at a stream position.
        columns: names of all columns that some training problem has.
        progress: gets how many completions of a batch have ended, and how many were asked for so far.
    """

    recipe: Recipe
    engine: RolloutEngine
    grader: Grader
    tokenizer: Any
    prompt_at: Callable[[int], Prompt]
    columns: frozenset[str]
    progress: Callable[[int, int], None] = lambda done, wanted: None


@dataclass(frozen=True)
class Task:
    """Which batch: of which step, from which stream position on, sampled by the weights of which step."""

    step: int
    begin: int
    weights: int


class Halted(Exception):
    """The batch is not wanted any more."""


def collect(source: Source, task: Task, phase: Phases, halt: threading.Event) -> Batch:
    """Sample and grade this rank's share of a batch. Asks no other rank: `end` is as far as this one knows.

    Args:
        phase: opened while completions are sampled, and then while only graders are waited for.
        halt: set from another thread, it makes an end at the engine's next step.

    Raises:
        Halted: `halt` was set.
        Exception: whatever the engine or a reward function raises.
    """
    collection = _Collection(source, task, halt)
    with collection.grading:
        while not collection.complete():
            with phase("generate"):
                collection.sample()
            with phase("grade"):
                collection.look()
        return collection.batch()


def position_of(place: int, share: int) -> int:
    """The stream position of a place of this rank's step, counted from the step's first.

    Each rank begins with its share of the first problems, one rank after the other; further ones are dealt in turns.
    """
    if place < share:
        return ranks.rank() * share + place
    return share * ranks.world_size() + (place - share) * ranks.world_size() + ranks.rank()


def counts(answer: Answer, algorithm: AlgorithmSection) -> bool:
    """Whether a completion takes part in the loss: graded, and not left out for being cut off at the limit."""
    cut = algorithm.mask_truncated_completions and answer.completion.finish_reason == "length"
    return answer.graded.reward is not None and not cut


def has_signal(group: Sequence[Answer], algorithm: AlgorithmSection) -> bool:
    """Whether any completion of a group that takes part in the loss has an advantage other than 0."""
    rewards = torch.tensor([[answer.graded.reward or 0.0 for answer in group]], dtype=torch.float64)  # [1, G]
    valid = torch.tensor([[answer.graded.reward is not None for answer in group]])  # [1, G]
    advantages = group_advantages(rewards, valid, "none")[0].tolist()
    return any(advantage and counts(answer, algorithm) for answer, advantage in zip(group, advantages, strict=True))


@dataclass
class _Group:
    """The completions of one problem, on their way."""

    position: int
    prompt: Prompt
    seeds: list[int]
    completions: dict[int, Completion] = field(default_factory=dict)  # by sample
    jobs: dict[int, int] = field(default_factory=dict)  # by sample: the number of the grading that it is part of

    @property
    def ended(self) -> bool:
        return len(self.completions) == len(self.seeds)

    def said(self, sample: int) -> PromptCompletion:
        return self.prompt, sample, self.completions[sample]


class _Collection:
    """One batch while it is collected."""

    def __init__(self, source: Source, task: Task, halt: threading.Event) -> None:
        recipe = source.recipe.model_copy(update={"rollout": source.recipe.rollout.at(task.step)})
        source = replace(source, recipe=recipe)
        self._source, self._task, self._halt = source, task, halt
        self.grading: Overlap[Sequence[PromptCompletion], Grades] = Overlap(self._grade_jobs)
        self._share = recipe.algorithm.problems_per_step // ranks.world_size()
        self._budget = token_budget(recipe) / ranks.world_size()
        self._selection = Selection(self._share, self._budget)
        self._groups: list[_Group] = []
        self._due: list[tuple[int, int]] = []  # when to look at the grades of which group that has ended
        self._looked = 0  # how often the engine has asked for more
        self._jobs = 0  # gradings asked for
        self._generated = 0  # tokens
        self._ended = 0  # completions

    def complete(self) -> bool:
        """Whether the batch is settled."""
        return self._selection.complete()

    def sample(self) -> None:
        """Let the engine run until it has nothing to do or the batch is settled; what ends goes to the graders."""
        before, first = self._selection.begun, self._begin()
        stream = self._source.engine.stream(
            [prompt for prompt, _ in first],
            sampling_params(self._source.recipe),
            [seeds for _, seeds in first],
            self._more,
        )
        with contextlib.closing(stream):
            for place, sample, completion in stream:
                self._take(before + place, sample, completion)
                if self.complete():
                    break

    def look(self, until: float = math.inf) -> None:
        """Tell the selection about the groups whose grades are to be looked at by now, waiting for these."""
        while self._due and self._due[0][0] <= until:
            _, place = self._due.pop(0)
            answers = self._answers(place)
            self._selection.ended(place, count_tokens(answers), has_signal(answers, self._source.recipe.algorithm))

    def _grade_jobs(self, jobs: Sequence[Sequence[PromptCompletion]]) -> list[Grades]:
        """Grade in the thread of graders: completions that stand for themselves together, others group by group."""
        if not self._source.grader.one_by_one:
            return [(self._grade(job), dict(self._source.grader.metrics)) for job in jobs]
        each = iter(self._grade([said for job in jobs for said in job]))
        return [([next(each) for _ in job], {}) for job in jobs]

    def _grade(self, said: Sequence[PromptCompletion]) -> list[Answer]:
        return grade_said(said, self._source.grader, self._source.tokenizer, self._source.columns)

    def batch(self) -> Batch:
        """The batch, once it is settled."""
        size = self._source.recipe.rollout.num_generations
        tried = [self._answers(place) for place in range(self._selection.tried())]
        useful = [has_signal(group, self._source.recipe.algorithm) for group in tried]
        flat = [answer for group in tried for answer in group]
        chosen = self._selection.chosen()
        return Batch(
            step=self._task.step,
            weights=self._task.weights,
            end=self._task.begin + len(tried) * ranks.world_size(),
            positions=tuple(self._groups[place].position for place in chosen),
            answers=tuple(answer for place in chosen for answer in tried[place]),
            logged=self._logged(chosen, tried),
            tried=SamplingCounts(
                groups=len(tried),
                useful=sum(useful),
                completions=len(tried) * size,
                ungradable=sum(answer.graded.reward is None for answer in flat),
                solved=sum(bool(answer.graded.solved) for answer in flat),
                tokens=count_tokens(flat),
            ),
            generated=self._generated,
        )

    def _begin(self) -> list[SampleRequest]:
        """Begin the groups that are missing."""
        task, recipe = self._task, self._source.recipe
        new = []
        for _ in range(self._selection.missing()):
            place = position_of(self._selection.begun, self._share)
            seeds = completion_seeds(recipe.run.seed, task.step, place, recipe.rollout.num_generations)
            new.append(_Group(task.begin + place, self._source.prompt_at(task.begin + place), seeds))
            self._selection.begun += 1
        self._groups += new
        return [(group.prompt.token_ids, group.seeds) for group in new]

    def _take(self, place: int, sample: int, completion: Completion) -> None:
        """Note a completion, and have graded what can be: it, or its group once that is whole."""
        group = self._groups[place]
        group.completions[sample] = completion
        self._generated += len(completion.token_ids)
        self._ended += 1
        self._source.progress(self._ended, len(self._groups) * self._source.recipe.rollout.num_generations)
        whole = sorted(group.completions) if group.ended else []
        ready = [sample] if self._source.grader.one_by_one else whole
        if ready:
            self.grading.put([group.said(number) for number in ready])
            group.jobs |= dict.fromkeys(ready, self._jobs)
            self._jobs += 1
        if group.ended:
            self._due.append((self._looked + GRACE, place))

    def _more(self) -> list[SampleRequest]:
        """What the engine, between two of its steps, is to run beside the rest."""
        if self._halt.is_set():
            raise Halted
        if all(group.ended for group in self._groups) or not self._budget:
            return []
        self._looked += 1
        self.look(until=self._looked)
        return self._begin()

    def _answers(self, place: int) -> list[Answer]:
        """The answers of a group in the order of its samples, waiting for their grades."""
        found = {a.sample: a for job in set(self._groups[place].jobs.values()) for a in self.grading.result(job)[0]}
        return [found[sample] for sample in sorted(found)]

    def _logged(self, chosen: Sequence[int], tried: Sequence[Sequence[Answer]]) -> dict[str, float]:
        """What the reward functions logged of the batch: of each metric, the mean over the groups that have it."""
        if self._source.grader.one_by_one:
            return verdict_shares([answer for place in chosen for answer in tried[place]])
        values: dict[str, list[float]] = {}
        for place in chosen:
            for name, value in self.grading.result(self._groups[place].jobs[0])[1].items():
                values.setdefault(name, []).append(value)
        return {name: sum(numbers) / len(numbers) for name, numbers in values.items()}


def verdict_shares(answers: Sequence[Answer]) -> dict[str, float]:
    """The share of each outcome among the verdicts that were logged, `NAME/OUTCOME`, as a grading of all logs them."""
    names = sorted({name for answer in answers for name in answer.graded.extra if name.endswith("/verdict")})
    return {
        f"{name.removesuffix('/verdict')}/{outcome}": share
        for name in names
        for outcome, share in outcome_shares([answer.graded.extra[name] for answer in answers]).items()
    }


def sampling_params(recipe: Recipe) -> SamplingParams:
    """How completions are drawn in training."""
    rollout = recipe.rollout
    return SamplingParams(
        max_tokens=rollout.max_completion_length,
        temperature=rollout.temperature,
        top_p=rollout.top_p,
        top_k=rollout.top_k,
        min_p=rollout.min_p,
        stop=tuple(rollout.stop),
    )


def token_budget(recipe: Recipe) -> int:
    """Tokens of a step, over all ranks, after which no further group is begun; 0: groups are not replaced."""
    algorithm, rollout = recipe.algorithm, recipe.rollout
    if not algorithm.dynamic_sampling:
        return 0
    full = algorithm.problems_per_step * rollout.num_generations * rollout.max_completion_length
    return algorithm.dynamic_sampling_max_tokens or FULL_BATCHES * full
