"""What an evaluation asks: templates, protocols, and the hash of the data."""

from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.evaluation.benchmarks import find_benchmark
from rl.evaluation.units import Protocol, asked_sha256, chosen_templates, fitted, make_units
from rl.models.source import load_tokenizer
from rl.problems.problem import Problem


def names(benchmark: str, templates: list[str], has_chat: bool = True) -> list[str]:
    return [name for name, _ in chosen_templates(find_benchmark(benchmark), templates, has_chat)]


@pytest.mark.parametrize(
    ("benchmark", "templates", "has_chat", "chosen"),
    [
        ("gsm8k", [], True, ["chat"]),
        ("gsm8k", [], False, ["plain"]),
        ("gsm8k", ["none", "r1"], True, ["none", "r1"]),
        ("gsm8k", ["all"], True, ["chat", "plain", "few-shot", "none", "r1"]),
        ("gsm8k", ["all"], False, ["plain", "few-shot", "none", "r1"]),
        ("reasoning_gym:chain_sum", ["all"], True, ["chat", "plain", "none", "r1"]),  # nobody wrote examples for it
    ],
)
def test_the_templates_that_are_meant(benchmark: str, templates: list[str], has_chat: bool, chosen: list[str]) -> None:
    assert names(benchmark, templates, has_chat) == chosen


def test_templates_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(BadInput, match="no chat template"):
        names("gsm8k", ["chat"], has_chat=False)
    with pytest.raises(BadInput, match="no worked examples"):
        names("reasoning_gym:chain_sum", ["few-shot"])
    with pytest.raises(BadInput, match="did you mean few-shot"):
        names("gsm8k", ["fewshot"])


def test_a_protocol_changes_what_it_names() -> None:
    aime, gsm8k = find_benchmark("aime24"), find_benchmark("gsm8k")
    assert Protocol().sampling(aime) == aime.sampling and aime.sampling.num_samples == 64
    assert Protocol(num_samples=4).sampling(aime).model_dump() == {**aime.sampling.model_dump(), "num_samples": 4}
    greedy = Protocol(temperature=0).sampling(aime)
    assert (greedy.num_samples, greedy.temperature, greedy.top_p) == (1, 0, 1.0)
    with pytest.raises(BadInput, match="all 3 answers to a problem of gsm8k would be equal"):
        Protocol(num_samples=3).sampling(gsm8k)


def test_units_fit_the_context_or_say_why_not(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "sums.jsonl"
    path.write_text('{"question": "1 + 1", "answer": "2"}\n{"question": "2 + 2", "answer": "4"}\n')
    tokenizer: Any = load_tokenizer(str(tiny_model))
    units = make_units([find_benchmark(str(path))], ["chat", "none"], Protocol(limit=1), tokenizer)
    assert [(unit.template, len(unit.prompts), list(unit.samples_P)) for unit in units] == [
        ("chat", 1, [1]),
        ("none", 1, [1]),
    ]
    longest = units[0].longest_prompt
    kept, notes = fitted(units, longest + 10, None, "tiny")
    assert [unit.params.max_tokens for unit in kept] == [10, longest + 10 - units[1].longest_prompt]
    assert len(notes) == 2 and "completions of 10 tokens, not 1024" in notes[0]
    with pytest.raises(BadInput, match="lower max_tokens"):
        fitted(units, longest + 10, 1024, "tiny")
    with pytest.raises(BadInput, match="lower max_tokens"):
        fitted(units, longest, None, "tiny")
    assert fitted(units, None, None, "a server") == (units, [])


def test_the_hash_is_of_what_is_asked() -> None:
    benchmark = find_benchmark("gsm8k")
    problem = Problem("a/0", {"question": "1 + 1?", "answer": "2", "solution": "long"})

    def changed(name: str = "a/0", **columns: Any) -> str:
        return asked_sha256(benchmark, [Problem(name, {**problem.columns, **columns})])

    assert changed() == changed(solution="other") == asked_sha256(benchmark, [problem])
    others = {changed("a/1"), changed(question="1 + 2?"), changed(answer="3"), asked_sha256(benchmark, [problem] * 2)}
    assert len(others | {changed()}) == 5
