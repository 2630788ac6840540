"""Golds and questions of rows: what is taken, and what is refused before anything is asked."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.problems.sources import load_problems
from rl.problems.template import fill

Write = Callable[[list[Any]], str]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "null"),
        ([], "a list"),
        (["a"], "a list"),
        ({"a": 1}, "an object"),
        (True, "a truth value"),
        (float("nan"), "nan, no finite number"),
        (float("-inf"), "-inf, no finite number"),
    ],
)
def test_questions_that_nobody_can_answer_are_refused(value: Any, fault: str, write_jsonl: Write) -> None:
    path = write_jsonl([{"question": "2 + 3?"}, {"question": value}])
    with pytest.raises(BadInput, match=f"problem rows/1: question is {fault}, which cannot be put into"):
        load_problems(ProblemsSection(source="jsonl", path=path))


@pytest.mark.parametrize(
    ("template", "columns", "filled"),
    [
        ("{question}", {"question": 5}, "5"),
        ("{question:.2f}", {"question": 0.125}, "0.12"),
        ("{nums} {meta[level]} {flag}", {"nums": [1, 2.5], "meta": {"level": 4}, "flag": True}, "[1, 2.5] 4 True"),
        ("{words[1]}", {"words": ["a", "b"]}, "b"),
        ("{day:%Y}", {"day": date(2024, 5, 1)}, "2024"),
        ("{question} {{x}}", {"question": [{"role": "user", "content": "{y}"}]}, "{y} {x}"),
    ],
)
def test_what_a_template_writes(template: str, columns: dict[str, Any], filled: str) -> None:
    assert fill(template, columns, "problem a") == filled


@pytest.mark.parametrize(
    ("template", "columns", "fault"),
    [
        ("{nums}", {"nums": [1, None]}, "nums is a list with null in it"),
        (
            "{nums}",
            {"nums": [[1], [float("nan")]]},
            r"nums is a list with a list with nan, no .* in it in it",
        ),
        ("{meta}", {"meta": {"a": 1}}, "meta is an object"),
        ("{meta[a]}", {"meta": {"a": None}}, r"meta\[a\] is null"),
        ("{image}", {"image": object()}, "image is of the type object"),
        ("{image}", {"image": b"x"}, "image is of the type bytes"),
    ],
)
def test_what_a_template_does_not_write(template: str, columns: dict[str, Any], fault: str) -> None:
    with pytest.raises(BadInput, match=f"problem a: {fault}, which cannot be put into problems.prompt"):
        fill(template, columns, "problem a")


@pytest.mark.parametrize(
    ("keys", "row"),
    [
        ({"prompt": "{question} = {answer}"}, {"question": "2 + 3", "answer": "5"}),
        ({"prompt": "{q} {gold}", "answer": "gold"}, {"q": "2 + 3", "gold": "5"}),
        ({"prompt": "{question} {solution}"}, {"question": "q", "solution": "\\boxed{5}"}),
        ({"prompt": "{question} {ground_truth[0]}"}, {"question": "q", "ground_truth": ["5"]}),
        ({"prompt": "{text}"}, {"text": "2 + 3? It is\n#### 5", "answer": "5"}),
        ({"prompt": "{text}"}, {"text": "2 + 3? It is \\boxed{5}.", "answer": 5}),
        ({"prompt": "{messages}"}, {"messages": [
            {"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "\\boxed{5}"},
        ], "answer": "5"}),
    ],
)  # fmt: skip
def test_a_prompt_that_shows_the_answer_is_refused(keys: Any, row: Any, write_jsonl: Write) -> None:
    path = write_jsonl([row])
    with pytest.raises(BadInput, match=r"problems\.prompt names the column .*gold_in_prompt to true"):
        load_problems(ProblemsSection(source="jsonl", path=path, **keys))
    assert len(load_problems(ProblemsSection(source="jsonl", path=path, gold_in_prompt=True, **keys))) == 1


@pytest.mark.parametrize("question", ["Give it in \\boxed{}.", "Is it \\boxed{6}?", "#### 5 steps"])
def test_questions_with_a_mark_of_answers_are_asked(question: str, write_jsonl: Write) -> None:
    path = write_jsonl([{"question": question, "answer": "5"}])
    assert len(load_problems(ProblemsSection(source="jsonl", path=path))) == 1
