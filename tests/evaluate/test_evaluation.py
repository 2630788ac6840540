"""pass@1 and its intervals against formulas written out here, and the way from prompts to graded answers."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.grading import Graded, Grader
from rl.evaluate.evaluation import Answer, answer_all, answer_row, as_columns, grade_all, score
from rl.models import load_tokenizer
from rl.problems.problem import Problem, Prompt
from rl.rollout.engine import Completion, NamedTensors, SamplingParams
from rl.run.evaluations import SCHEMA


def a_prompt(name: str, ids: tuple[int, ...] = (5,), prefill: str = "", **columns: Any) -> Prompt:
    return Prompt(Problem(name, columns), ids, f"asked {name}", prefill)


def answers(verdicts: Mapping[str, Sequence[bool | None]]) -> list[Answer]:
    """Answers to problems by name: solved, not solved, ungradable."""
    completion = Completion((7, 8), (-0.5, -0.25), "stop")
    return [
        Answer(a_prompt(name), g, completion, "text", Graded(None if v is None else float(v), {}, v))
        for name, group in verdicts.items()
        for g, v in enumerate(group)
    ]


def one_each(solved: int, n: int) -> list[Answer]:
    return answers({str(i): [i < solved] for i in range(n)})


def wilson(solved: int, n: int) -> tuple[float, float]:
    """Wilson 1927, as statsmodels' `proportion_confint(method="wilson")` writes it."""
    z = 1.959963984540054
    rate, z2 = solved / n, z * z
    center = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return center - half, center + half


def test_wilson_interval_has_the_published_value() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3 (the score interval): 81 of 263.
    result = score(one_each(81, 263))
    assert result.pass_at_1 == pytest.approx(81 / 263)
    assert [round(end, 4) for end in result.ci95] == [0.2553, 0.3662]


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_one_sample_a_problem_gets_wilsons_interval(counts: tuple[int, int]) -> None:
    solved, n = counts
    result = score(one_each(solved, n))
    assert result.n == n
    assert result.pass_at_1 == pytest.approx(solved / n)
    assert result.ci95 == pytest.approx(wilson(solved, n), abs=1e-9)


def test_several_samples_are_averaged_by_problem_first() -> None:
    # 1/4, 2/2 (two ungradable) and 0/1: each problem weighs the same.
    verdicts: dict[str, list[bool | None]] = {
        "a": [True, False, False, False],
        "b": [None, True, True, None],
        "c": [False],
    }
    assert score(answers(verdicts)).pass_at_1 == pytest.approx((0.25 + 1 + 0) / 3)


def test_several_samples_get_a_bootstrap_over_problems() -> None:
    rates = np.random.default_rng(3).integers(0, 5, size=60) / 4  # of 4 samples each
    result = score(answers({str(i): [g < 4 * rate for g in range(4)] for i, rate in enumerate(rates)}))
    drawn = np.random.default_rng(8).choice(rates, size=(20_000, 60)).mean(axis=1)
    assert result.pass_at_1 == pytest.approx(rates.mean())
    assert result.ci95 == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.01)
    # Narrower than if all 240 samples were problems of their own would be a mistake: samples of a problem are alike.
    low, high = wilson(round(rates.sum() * 4), 240)
    assert result.ci95[1] - result.ci95[0] > high - low


def test_the_bootstrap_repeats_itself() -> None:
    verdicts = {str(i): [i % 3 == 0, i % 2 == 0] for i in range(20)}
    assert score(answers(verdicts)) == score(answers(verdicts))


def test_ungradable_answers_count_neither_way() -> None:
    solved: dict[str, list[bool | None]] = {"a": [True], "b": [False], "c": [True]}
    assert score(answers(solved | {"d": [None], "e": [None]})) == score(answers(solved))


def test_nothing_gradable_is_nothing_known() -> None:
    assert score(answers({"a": [None], "b": [None]})).as_dict() == {"pass@1": 0.0, "ci95": [0.0, 1.0], "n": 0}


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
        return [
            [Completion((*ids, seed), (0.0,) * (len(ids) + 1), "stop") for seed in seeds]
            for ids, seeds in zip(prompts_P, seeds_P_G, strict=True)
        ]

    def load_weights(self, weights: NamedTensors) -> None: ...

    def load_adapter(self, folder: str) -> None: ...

    def sleep(self) -> None: ...

    def close(self) -> None: ...


def asked(prompts: int, num_samples: int, seed: int = 0) -> list[list[tuple[int, ...]]]:
    made = [a_prompt(str(i), (i,)) for i in range(prompts)]
    groups = answer_all(Echo(), made, SamplingParams(4), num_samples, seed)
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


def test_an_answers_row_fits_the_table_of_evaluations() -> None:
    row = answer_row(answers({"a": [None]})[0])
    assert set(row) == {*SCHEMA.names, "extra"}
    assert (row["reward"], row["solved"], row["token_ids"], row["logprobs"]) == (None, None, [7, 8], [-0.5, -0.25])
