"""The rollouts that one step learns from, and how they are kept in a checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rewards.grading import Grade
from rl.grading.answers import Answer
from rl.problems.problem import Prompt
from rl.rollout.engine import Completion
from rl.run.rollouts import extra_columns, read_extra


@dataclass(frozen=True)
class SamplingCounts:
    """Counts of all that a step sampled on this rank, the groups that were replaced among it.

    Attributes:
        groups: groups of completions.
        useful: those of them with signal.
        completions, ungradable, solved: completions, those that no grader could grade, and those that are right.
        tokens: sampled tokens.
    """

    groups: int
    useful: int
    completions: int
    ungradable: int
    solved: int
    tokens: int


@dataclass(frozen=True)
class Batch:
    """What a step learns from, on this rank.

    Attributes:
        step: the step that learns from it.
        weights: the step whose weights sampled it; `step` - 1 but for batches that were sampled ahead.
        end: stream position of the next step's first problem.
        positions: stream position of each group's problem.
        answers: the completions, group by group in stream order.
        logged: what the reward functions logged by `log_metric`.
        tried: counts of all that was sampled for it.
        generated: tokens of all completions that ended, those among them that went back to the stream; of a batch out
            of a checkpoint 0, for they were paid before.
    """

    step: int
    weights: int
    end: int
    positions: tuple[int, ...]
    answers: tuple[Answer, ...]
    logged: Mapping[str, float]
    tried: SamplingCounts
    generated: int = 0


def to_state(batch: Batch) -> dict[str, Any]:
    """A batch as plain numbers, texts, lists and dictionaries. Prompts are left out: their positions tell them."""
    return {
        "step": batch.step,
        "weights": batch.weights,
        "end": batch.end,
        "positions": list(batch.positions),
        "logged": dict(batch.logged),
        "tried": asdict(batch.tried),
        "answers": [_answer_state(answer) for answer in batch.answers],
    }


def from_state(state: Mapping[str, Any], prompt_at: Callable[[int], Prompt]) -> Batch:
    """The batch that `to_state` was given; `prompt_at` renders the problem of a stream position.

    What reward functions logged of a completion comes back as text, which is how it is stored with the rollouts.
    """
    prompts = [prompt_at(position) for position in state["positions"]]
    size = len(state["answers"]) // len(prompts)
    return Batch(
        step=state["step"],
        weights=state["weights"],
        end=state["end"],
        positions=tuple(state["positions"]),
        answers=tuple(_answer(prompts[i // size], answer) for i, answer in enumerate(state["answers"])),
        logged=state["logged"],
        tried=SamplingCounts(**state["tried"]),
    )


def _answer_state(answer: Answer) -> dict[str, Any]:
    said, graded = answer.completion, answer.graded
    return {
        "sample": answer.sample,
        "text": answer.text,
        "token_ids": list(said.token_ids),
        "logprobs": list(said.logprobs),
        "finish_reason": said.finish_reason,
        "reward": graded.reward,
        "solved": graded.solved,
        "parts": dict(graded.parts),
        "extra": read_extra(extra_columns(graded.extra)),
    }


def _answer(prompt: Prompt, state: Mapping[str, Any]) -> Answer:
    said = Completion(tuple(state["token_ids"]), tuple(state["logprobs"]), state["finish_reason"])
    graded = Grade(state["reward"], state["parts"], state["solved"], state["extra"])
    return Answer(prompt, state["sample"], said, state["text"], graded)


def count_tokens(answers: Sequence[Answer]) -> int:
    """Sampled tokens."""
    return sum(len(answer.completion.token_ids) for answer in answers)
