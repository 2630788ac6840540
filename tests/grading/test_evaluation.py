"""The way from prompts to graded answers."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rewards.grading import Grade, Grader
from rl.grading.answers import (
    Answer,
    answer_all,
    as_columns,
    grade_all,
    graded_text,
    training_row,
    verdict_of,
)
from rl.models.source import load_tokenizer
from rl.problems.problem import Problem, Prompt
from rl.rollout.engine import Completion, IndexedCompletion, NamedTensors, Refill, SamplingParams, in_order
from rl.run.evaluations import EvaluationRow


def a_prompt(name: str, ids: tuple[int, ...] = (5,), prefill: str = "", **columns: Any) -> Prompt:
    return Prompt(Problem(name, columns), ids, f"asked {name}", prefill)


def test_rows_become_columns_and_what_is_missing_none() -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": [2]}, {"b": 3, "c": None}, {}]
    assert as_columns(rows) == {"a": [1, None, None], "b": [[2], 3, None], "c": [None, None, None]}
    assert as_columns([]) == {}


class Echo:
    """An engine that answers with the seeds it was given."""

    name = "echo"

    def generate(
        self, prompts_P: Sequence[Sequence[int]], params: SamplingParams, seeds_P_G: Sequence[Sequence[int]]
    ) -> list[list[Completion]]:
        return in_order(self.stream(prompts_P, params, seeds_P_G), seeds_P_G)

    def stream(
        self,
        prompts_P: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds_P_G: Sequence[Sequence[int]],
        refill: Refill | None = None,
    ) -> Generator[IndexedCompletion, None, None]:
        for p, ids in reversed(list(enumerate(prompts_P))):  # the last prompt ends first
            for g, seed in enumerate(seeds_P_G[p]):
                yield p, g, Completion((*ids, seed), (0.0,) * (len(ids) + 1), "stop")

    def load_weights(self, weights: NamedTensors) -> None: ...

    def load_adapter(self, folder: str) -> None: ...

    def sleep(self) -> None: ...

    def close(self) -> None: ...


def asked(prompts: int, num_samples: int, seed: int = 0) -> list[list[tuple[int, ...]]]:
    made = [a_prompt(str(i), (i,)) for i in range(prompts)]
    heard: list[tuple[int, int]] = []
    groups = answer_all(
        Echo(), made, SamplingParams(4), num_samples, seed, lambda done, wanted: heard.append((done, wanted))
    )
    wanted = prompts * num_samples
    assert heard == [(done, wanted) for done in range(1, wanted + 1)]
    return [[completion.token_ids for completion in group] for group in groups]


def test_seeds_differ_and_stay_when_there_is_more_to_do() -> None:
    groups = asked(5, 3)
    assert [[ids[0] for ids in group] for group in groups] == [[i] * 3 for i in range(5)]
    assert len({ids[1] for group in groups for ids in group}) == 15
    more = asked(7, 4)
    assert [group[:3] for group in more[:5]] == groups
    assert asked(5, 3, seed=1) != groups


def test_graders_see_prefill_text_and_the_problems_columns(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_model))

    def completion(text: str) -> Completion:
        ids = (*tokenizer(text).input_ids, tokenizer.eos_token_id)
        return Completion(ids, (0.0,) * len(ids), "stop")

    prompts = [a_prompt("a", answer="12"), a_prompt("b", prefill="It is 3", answer="34", hint="x")]
    groups = [[completion("so 12"), completion("13")], [completion("4"), completion(" 4")]]
    with Grader({"exact_number": 2.0}, timeout=5, workers=1, accuracy=None, correct_above=0.999) as grader:
        graded = grade_all(prompts, groups, grader, tokenizer)
    assert [(a.prompt.problem.id, a.sample, a.text) for a in graded] == [
        ("a", 0, "so 12"),
        ("a", 1, "13"),
        ("b", 0, "It is 34"),
        ("b", 1, "It is 3 4"),
    ]
    assert [a.graded.solved for a in graded] == [True, False, True, False]
    assert [a.graded.reward for a in graded] == [2.0, 0.0, 2.0, 0.0]


CHAT = ({"role": "user", "content": "2 + 2?"},)


@pytest.mark.parametrize(
    ("prompt", "said", "whole"),
    [
        (a_prompt("a", prefill="<think>\n"), "so</think>4", "<think>\nso</think>4"),
        (replace(a_prompt("a"), messages=CHAT), "so</think>4", "so</think>4"),  # the prompt is known, and opens nothing
        (replace(a_prompt("a", ()), messages=CHAT), "so</think>4", "<think>\nso</think>4"),  # a server's template did
        (replace(a_prompt("a", ()), messages=CHAT), "<think>so</think>4", "<think>so</think>4"),
        (replace(a_prompt("a", ()), messages=CHAT), "4", "4"),
        (replace(a_prompt("a", ()), messages=CHAT), "a</think>b<think>c", "<think>\na</think>b<think>c"),
        (a_prompt("a", ()), "so</think>4", "so</think>4"),  # plain text is sent as it is known here
    ],
)  # fmt: skip
def test_graders_see_the_thought_from_its_opening_on(prompt: Prompt, said: str, whole: str) -> None:
    assert graded_text(prompt, said) == whole


def test_a_row_holds_what_was_asked_said_and_thought_of_it() -> None:
    prompt = a_prompt("a", (5, 6), answer=12)
    logged = {"math/verdict": "unparseable", "math/reason": "no answer", "math/answer": None, "format/reason": "?"}
    answer = Answer(prompt, 3, Completion((7, 8), (-0.5, -0.25), "length"), "text", Grade(0.5, {}, False, logged))
    assert training_row(answer, "math") == EvaluationRow(
        problem_id="a",
        sample=3,
        prompt="asked a",
        completion="text",
        finish_reason="length",
        reward=0.5,
        solved=False,
        token_ids=[7, 8],
        logprobs=[-0.5, -0.25],
        extra=logged,
        prompt_token_ids=[5, 6],
        num_tokens=2,
        gold="12",
        answer=None,
        verdict="unparseable",
        reason="no answer",
    )


@pytest.mark.parametrize(
    ("solved", "verdict"), [(True, "correct"), (False, "wrong"), (None, "ungradable")], ids=["right", "wrong", "none"]
)
def test_a_function_that_only_returns_numbers_has_verdicts_too(solved: bool | None, verdict: str) -> None:
    assert verdict_of(Grade(None, {}, solved), "mine") == verdict
    assert verdict_of(Grade(None, {}, solved, {"other/verdict": "unparseable"}), "mine") == verdict
    assert verdict_of(Grade(None, {}, solved, {"mine/verdict": "nonsense"}), "mine") == verdict
