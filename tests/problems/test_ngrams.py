"""Shared n-grams: what a word is, what is counted, and copies in other clothes, which must all be found."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.config.recipe import ProblemsSection
from rl.problems.ngrams import MIN_COVERAGE, NGRAM, Question, longest_run, overlaps, read, read_tokens

INSTRUCTION = " Let's think step by step and output the final answer within \\boxed{}."
PLAIN = st.text(st.characters(exclude_characters="\\"), max_size=60)  # no command that swallows what comes after
words_of = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=14)


def questions(*texts: str) -> list[Question]:
    return [Question(str(number), text) for number, text in enumerate(texts)]


def coverage(training: str, benchmark: str, n: int = 3) -> float:
    found = overlaps(questions(training), questions(benchmark), n)
    return found[0].coverage if found else 0.0


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Is It 3x?  (½)", ["is", "it", "3", "x", "1", "2"]),
        (r"\(\dfrac{1}{2} \leq \sin x\)", ["frac", "1", "2", "le", "sin", "x"]),
        (r"$\left\{\text{odd }n, \dots\right\}$", ["odd", "n"]),
        (r"\begin{array}{cl} x-5 \\text \end{array}", ["x", "-", "5", "text"]),  # \\ breaks a line, so `text` is a word
        (r"\leftarrow \texts", ["leftarrow", "texts"]),
        ("小明有3个 apples", ["小", "明", "有", "3", "个", "apples"]),
        ("りんごが12個", ["り", "ん", "ご", "が", "12", "個"]),
        ("किताब हैं", ["कतब", "ह"]),  # vowel signs are marks: words stay whole without them
        ("café", ["café"]),
        ("snake_case == 2**3", ["snake", "case", "=", "=", "2", "*", "*", "3"]),
    ],
)
def test_what_a_token_is(text: str, tokens: list[str]) -> None:
    assert read_tokens(text) == tokens


def test_coverage_is_the_share_of_the_benchmarks_ngrams() -> None:
    # abc bcd cde def: of four trigrams the first two and, apart from them, the last are in the other text
    [found] = overlaps(questions("x a b c d y d e f"), questions("a b c d e f"), 3)
    assert found.coverage == 3 / 4 and found.shared == "a b c d"
    assert coverage("a b x c d", "a b c d") == 0
    assert coverage("a b a b a b", "a b a b") == 1  # aba and bab, each once
    assert coverage("a b c", "a b c a b c") == 1 / 3  # distinct: abc bca cab


def test_overlaps_come_in_order_and_above_the_limit() -> None:
    found = overlaps(questions("a b c d", "b c d e f"), questions("a b c d e", "c d e f"), 3)
    assert [(o.training, o.benchmark, o.coverage) for o in found] == [
        ("0", "0", 2 / 3),
        ("1", "1", 1.0),
        ("1", "0", 2 / 3),
    ]
    assert overlaps(questions("a b c d", "b c d e f"), questions("a b c d e", "c d e f"), 3, 0.7) == found[1:2]


def test_short_problems_are_looked_for_as_a_whole_with_their_signs() -> None:
    assert coverage("Compute $5 + 3$.", "compute 5+3", n=8) == 1
    assert coverage("Compute 5 - 3.", "compute 5+3", n=8) == 0
    assert coverage("Please compute 5+3. Show your work on this, and then answer.", "Compute $5+3$", n=8) == 1
    assert coverage("Compute 5 + 3 + 1", "compute 5+3", n=8) == 0
    assert coverage("Compute 5 + 31", "compute 5+3", n=8) == 0
    assert coverage(r"Evaluate $\log_82$.", r"Evaluate $\log_8 2$.", n=8) == 1
    assert coverage("Solve it now and then", "Solve", n=8) == 0 and coverage("solve.", "Solve", n=8) == 1
    assert coverage("", "", n=8) == coverage("?", ".?", n=8) == 0


def test_whole_texts_are_equal_or_not() -> None:
    keys = [Question("a", "countdown [1, 2, 3, 4, 5, 6, 7, 8] 9", whole=True)]
    assert [o.coverage for o in overlaps(keys, keys)] == [1.0]
    assert overlaps(keys, [Question("b", "countdown [1, 2, 3, 4, 5, 6, 7, 8] 10", whole=True)]) == []


@settings(max_examples=150, deadline=None)
@given(words_of, words_of, st.integers(2, 5))
def test_against_a_plain_count(training: list[str], benchmark: list[str], n: int) -> None:
    def ngrams(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    found = overlaps(questions(" ".join(training)), questions(" ".join(benchmark)), n)
    if ngrams(benchmark) and "".join(training) != "".join(benchmark):
        share = len(ngrams(training) & ngrams(benchmark)) / len(ngrams(benchmark))
        assert [o.coverage for o in found] == ([share] if share else [])
    for overlap in found:
        runs = [
            benchmark[i:j]
            for i in range(len(benchmark))
            for j in range(i + 1, len(benchmark) + 1)
            if f" {' '.join(benchmark[i:j])} " in f" {' '.join(training)} "
        ]
        assert len(overlap.shared.split()) == max(map(len, runs), default=0)


@settings(max_examples=100, deadline=None)
@given(PLAIN, PLAIN, st.integers(2, 8))
def test_a_copy_is_found_whatever_stands_around_it(text: str, around: str, n: int) -> None:
    asked = read(Question("b", text), n)
    if asked.ngrams:
        assert coverage(f"{around}\n. {text}\n. {around}", text, n) == 1
    elif asked.key:
        assert coverage(text, text, n) == 1


def test_longest_run_takes_the_first_of_several() -> None:
    assert longest_run(["a", "b", "x", "c", "d"], ["c", "d", "y", "a", "b"]) == "a b"
    assert longest_run(["a"], ["b"]) == ""


def test_the_recipes_default_is_the_same() -> None:
    assert ProblemsSection(source="arithmetic").decontaminate_ngram == NGRAM


def respaced(text: str) -> str:
    """The same problem as another set would have it: other delimiters, other white space, other fractions."""
    text = re.sub(r"\$([^$]+)\$", r"\\( \1 \\)", text).replace(r"\[", "$$").replace(r"\]", "$$")
    text = text.replace(r"\frac", r"\dfrac").replace(r"\left", "").replace(r"\right", "").replace(r"\dots", r"\ldots")
    return "\n " + re.sub(r"\s+", "  ", text.replace(",", " , ").replace("=", " = ")) + "\n"


def test_every_problem_of_math500_is_found_in_a_reshuffled_training_set(benchmark_data: Path) -> None:
    """As in a set that passes for MATH's training split and holds 287 of MATH-500; here all, and in other clothes."""
    rows = [json.loads(line) for line in (benchmark_data / "math500.jsonl").read_text().splitlines()]
    benchmark = questions(*(row["problem"] for row in rows))
    assert len(benchmark) == 500
    for change in (respaced, lambda text: respaced(text) + INSTRUCTION, lambda text: "Question: " + text.upper()):
        training = [Question(question.id, change(question.text)) for question in benchmark]
        found = overlaps(training, benchmark, min_coverage=MIN_COVERAGE)
        missed = {question.id for question in benchmark} - {o.training for o in found if o.training == o.benchmark}
        assert missed == set()


def test_maths_training_split_has_no_copy_of_math500_and_one_pair_twice(benchmark_data: Path) -> None:
    """A problem that is 100 % covered may still differ in a sign; equal ones are equal without white space."""
    lines = (benchmark_data / "math_train.jsonl").read_text().splitlines()
    training = questions(*(json.loads(line)["problem"] for line in lines))
    keys: dict[str, list[str]] = {}
    for question in training:
        keys.setdefault(read(question, NGRAM).key, []).append(question.id)
    assert {("925", "959"), ("1168", "1227")} <= {tuple(ids) for ids in keys.values() if len(ids) == 2}
    rows = (benchmark_data / "math500.jsonl").read_text().splitlines()
    assert not {read(Question("", json.loads(row)["problem"]), NGRAM).key for row in rows} & keys.keys()
