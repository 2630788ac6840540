"""Answers are drawn, decoded and graded, through the same graders in training and in `penny eval`."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rewards.failures import RewardFailed
from rewards.grading import Grade, Grader
from rewards.verdict import OUTCOMES, Outcome
from rl.config.recipe import RewardsSection
from rl.grading.outputs import Output
from rl.problems.problem import Prompt
from rl.problems.stream import completion_seeds
from rl.rollout.engine import Completion, IndexedCompletion, RolloutEngine, SamplingParams, in_order
from rl.run.evaluations import EvaluationRow


@dataclass(frozen=True)
class Answer:
    """One completion of one problem, decoded and graded."""

    prompt: Prompt
    sample: int
    completion: Completion
    text: str
    graded: Grade


PromptCompletion = tuple[Prompt, int, Completion]  # a prompt, the place of a sample in its group, and the sample


def build_grader(section: RewardsSection) -> Grader:
    """The graders that a recipe or a benchmark names. Raises BadInput as `Grader` does."""
    return Grader(
        section.functions,
        options=section.options,
        timeout=section.timeout,
        workers=section.workers,
        accuracy=section.accuracy,
        correct_above=section.correct_above,
        gated=section.gated,
        sandbox=section.sandbox,
        folder=section.folder,
        isolated=section.isolated,
        batch_timeout=section.batch_timeout,
    )


def accuracy_of(section: RewardsSection) -> str:
    """The function that says solved or not."""
    return section.accuracy or next(iter(section.functions))


def highest_part(parts: Sequence[Mapping[str, float | None]], section: RewardsSection) -> float | None:
    """The most that the function which says solved or not gave to any completion; None: it graded none."""
    return max((part for part in (row.get(accuracy_of(section)) for row in parts) if part is not None), default=None)


def answer_all(
    engine: RolloutEngine,
    prompts: Sequence[Prompt],
    params: SamplingParams,
    num_samples: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> list[list[Completion]]:
    """Sample `num_samples` completions of each prompt; seeds depend on `seed` and the prompt's place alone.

    `progress` gets the number of completions that have ended, and how many are wanted.
    """
    seeds = [completion_seeds(seed, 0, place, num_samples) for place in range(len(prompts))]

    def counted(stream: Iterable[IndexedCompletion]) -> Iterator[IndexedCompletion]:
        for done, placed in enumerate(stream, start=1):
            progress(done, num_samples * len(prompts))
            yield placed

    return in_order(counted(engine.stream([p.token_ids for p in prompts], params, seeds)), seeds)


def grade_all(
    prompts: Sequence[Prompt], completions_P_G: Sequence[Sequence[Completion]], grader: Grader, tokenizer: Any
) -> list[Answer]:
    """Decode and grade every completion, all in one call."""
    said = [(prompt, g, c) for prompt, group in zip(prompts, completions_P_G, strict=True) for g, c in enumerate(group)]
    return grade_said(said, grader, tokenizer)


def grade_said(
    said: Sequence[PromptCompletion], grader: Grader, tokenizer: Any, names: Collection[str] = ()
) -> list[Answer]:
    """Decode and grade what was said; graders see the prefill as the beginning of the completion.

    `names` are columns that the graders get in any case, None where no problem among these has them.
    """
    texts = [p.prefill + tokenizer.decode(c.token_ids, skip_special_tokens=True) for p, _, c in said]
    graded = grade_texts([p for p, _, _ in said], texts, [c.token_ids for _, _, c in said], grader, names)
    return [Answer(p, g, c, text, grade) for (p, g, c), text, grade in zip(said, texts, graded, strict=True)]


def grade_texts(
    prompts: Sequence[Prompt],
    texts: Sequence[str],
    token_ids: Sequence[Sequence[int]],
    grader: Grader,
    names: Collection[str] = (),
) -> list[Grade]:
    """Grade texts, each with the prompt that it answers; `names`: see `grade_said`."""
    columns = as_columns([prompt.problem.columns for prompt in prompts], names) | {"completion_ids": list(token_ids)}
    with problems_named([prompt.problem.id for prompt in prompts]):
        return grader.grade(list(texts), [prompt.for_rewards for prompt in prompts], columns)


@contextmanager
def problems_named(ids: Sequence[str]) -> Iterator[None]:
    """Let a reward that raises say on the completion of which problem; `ids`: of each completion's problem."""
    try:
        yield
    except RewardFailed as error:
        if error.row is not None:
            error.problem = ids[error.row]
        raise


def as_columns(rows: Sequence[Mapping[str, Any]], names: Collection[str] = ()) -> dict[str, list[Any]]:
    """Rows as columns, those of `names` among them, as reward functions take them; what a row lacks is None."""
    every = {name for row in rows for name in row}.union(names)
    return {name: [row.get(name) for row in rows] for name in sorted(every)}


def graded_text(prompt: Prompt, said: str) -> str:
    """What graders see of an answer: the assistant's opening, then what it said.

    A server that applies its own chat template, or a file of outputs, does not show the end of the prompt: there a
    `</think>` without a `<think>` before it says that the template opened the thought.
    """
    rendered_here = bool(prompt.token_ids) or not prompt.messages
    thought, closed, _ = said.partition("</think>")
    return "<think>\n" + said if closed and not rendered_here and "<think>" not in thought else prompt.prefill + said


def training_row(answer: Answer, accuracy: str) -> EvaluationRow:
    """An answer of an evaluation within training, as a row."""
    said = answer.completion
    output = Output(answer.text, said.token_ids, said.logprobs, len(said.token_ids), said.finish_reason)
    return evaluation_row(answer.prompt, answer.sample, answer.text, output, answer.graded, accuracy)


def evaluation_row(
    prompt: Prompt, sample: int, completion: str, output: Output, graded: Grade, accuracy: str
) -> EvaluationRow:
    """What was asked, said and thought of it. `completion`: the output's text with the prefill before it."""
    columns = prompt.problem.columns
    answer, reason = (graded.extra.get(f"{accuracy}/{name}") for name in ("answer", "reason"))
    return EvaluationRow(
        problem_id=prompt.problem.id,
        sample=sample,
        prompt=prompt.text,
        completion=completion,
        finish_reason=output.finish_reason,
        reward=graded.reward,
        solved=graded.solved,
        token_ids=list(output.token_ids),
        logprobs=list(output.logprobs),
        extra=graded.extra,
        prompt_token_ids=list(prompt.token_ids),
        num_tokens=output.num_tokens,
        gold="" if columns.get("answer") is None else str(columns["answer"]),
        answer=None if answer is None else str(answer),
        verdict=verdict_of(graded, accuracy),
        reason="" if reason is None else str(reason),
    )


def verdict_of(graded: Grade, accuracy: str) -> Outcome:
    """The verdict that the accuracy function logged; of one that only returns numbers, what they say."""
    logged = graded.extra.get(f"{accuracy}/verdict")
    if logged in OUTCOMES:
        return OUTCOMES[OUTCOMES.index(logged)]
    if graded.solved is None:
        return "ungradable"
    return "correct" if graded.solved else "wrong"
