"""Answers announced by a marker at the start of a line, GSM8K's calculator marks, and solutions that were cut off."""

import json
import os
import re
import time
from fractions import Fraction
from pathlib import Path

import pytest

from rewards.math import Extraction, find_answer
from rewards.math.grade import decide, gold_text
from rewards.verdict import Verdict


def outcome(gold: str, completion: str, extraction: Extraction = "flexible") -> str:
    decided = decide(gold, completion, extraction=extraction)
    assert isinstance(decided, Verdict), decided
    return decided.outcome


WORKED = "Each of the 5 has 3*4=<<3*4=12>>12 marbles.\nTogether they have 5 * 12 = $<<5*12=60.0>>60\n"


@pytest.mark.parametrize("before", ["", "The sum is 7.\n", WORKED, "So the answer is 7 each.\n\n"])
@pytest.mark.parametrize(
    ("line", "gold"),
    [
        ("A: 26", "26"),
        ("A: 26\n", "26"),
        ("A:26", "26"),
        ("A: 90,000", "90000"),
        ("A: 1,234,567", "1234567"),
        ("A: -129025", "-129025"),
        ("A: 1.50", "1.5"),
        ("A: -0.75", "-3/4"),
        ("A: $3.50", "3.5"),
        ("A: 26 marbles.", "26"),
        ("A: 5 + 3 = 8", "8"),
        ("A: five", "5"),
        ("A: 3:4", "3:4"),
        ("A: \\frac{1}{2}", "0.5"),
        ("**A:** 26", "26"),
        ("**A: 26**", "26"),
        ("A: 26\n\nQ: What is 2 + 2?\nA: 4", "26"),
        ("Answer: 26", "26"),
        ("**Answer:** 26", "26"),
        ("ANSWER - 26", "26"),
        ("Answer – 26", "26"),
        ("Answer -26", "-26"),
        ("Final answer: 26", "26"),
        ("**Final Answer**: 26", "26"),
        ("Final answer - **26**", "26"),
        ("Ans: 26", "26"),
        ("Ans. = 26", "26"),
        ("#### 26", "26"),
        ("#### A: 26", "26"),
        ("<answer>A: 26</answer>", "26"),
        ("\\boxed{A: 26}", "26"),
    ],
)
def test_a_marker_gives_the_answer(before: str, line: str, gold: str) -> None:
    assert outcome(gold, before + line) == "correct"
    assert outcome("7", before + line) == "wrong"
    assert outcome("12", before + line) == "wrong"


@pytest.mark.parametrize(
    ("gold", "completion", "right"),
    [
        ("A", "A: 12", True),  # the first choice, with what it says
        ("B", "A: 12", False),
        ("A", "Thus\nA: 12", True),
        ("B", "A: B", True),  # the answer to a question, which is a choice
        ("A", "A: B", False),
        ("A", "A: A", True),
        ("B", "A: 12\nB: 13\nC: 14\nThe answer is B.", True),
        ("A", "A: 12\nB: 13\nC: 14\nThe answer is B.", False),
        ("3:4", "A:B = 3:4", True),
        ("3:4", "A : B = 3 : 4", True),
        ("12", "Ages:\nA: 5\nTogether they are 12.", True),  # a label, no marker: more follows
    ],
)
def test_choices_ratios_and_labels(gold: str, completion: str, right: bool) -> None:
    assert (outcome(gold, completion) == "correct") is right


@pytest.mark.parametrize(
    "completion",
    [
        "The answer is 5, or perhaps the answer is 6.",
        "Die Antwort ist 5 oder die Antwort ist 6.",
        "La réponse est 5 ou la réponse est 6.",
        "Ответ: 5 или ответ: 6",
        "Ответ: 6 или ответ: 5",
        "Antwort: es sind 5 oder 6",
    ],
)
def test_alternatives_earn_nothing_in_any_language(completion: str) -> None:
    for gold in ("5", "6"):
        assert outcome(gold, completion) != "correct"


@pytest.mark.parametrize(
    "cut",
    [
        "For the tenth cup she pays 8 * 1/2 = $<<8*1/2=4.0>>4.\nFor the eleventh cup she needs to pay 8 * 1",
        "That makes 3*4=<<3*4=12>>12 cups.",
        "That makes 3*4=<<3*4=12>>12 cups.\nA:",
        "That makes 3*4=<<3*4=12>>12 cups.\nSo in total it is <<12+",
    ],
)
def test_a_worked_solution_without_its_last_line_was_cut_off(cut: str) -> None:
    for number in ("1", "4", "8", "12"):
        assert outcome(number, cut) == "unparseable"


def test_calculator_marks_are_no_part_of_the_answer() -> None:
    assert outcome("12", "So the answer is <<3*4=12>>12 cups.") == "correct"
    assert outcome("12", "So \\boxed{<<3*4=12>>12}") == "correct"
    assert outcome("7", "W+3 = <<W+3=10>>10 birds\nA: 7") == "correct"
    assert find_answer("a << b and c >> d, so the answer is 5").readings[-1] == "5"


def gsm8k() -> list[str]:
    path = Path(os.environ.get("PENNY_DATA", "")) / "gsm8k_test.jsonl"
    if not os.environ.get("PENNY_DATA") or not path.is_file():
        pytest.skip("PENNY_DATA names no folder with gsm8k_test.jsonl")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["answer"] for line in lines]


def test_gsm8k_golds_in_the_style_of_its_example_solutions() -> None:
    solutions = gsm8k()
    assert len(solutions) == 1319
    for solution in solutions:
        steps, _, number = solution.rpartition("#### ")
        value = Fraction(number.replace(",", ""))
        assert value.denominator == 1
        for written in (f"{value.numerator:,}", str(value.numerator), f"${value.numerator:,}.00"):
            assert outcome(gold_text(solution), f"{steps}A: {written}") == "correct", (solution, written)
        for other in (value.numerator + 1, value.numerator * 10, -value.numerator or 5):
            assert outcome(gold_text(solution), f"{steps}A: {other:,}") == "wrong", (solution, other)
        if "<<" in steps:
            assert outcome(gold_text(solution), steps) == "unparseable"


@pytest.mark.parametrize(
    "unit",
    ["A: 1\n", "A: ", "A:", "<<1=1>>", "<<1=", "<<", ">>", "ans - ", "\nans", "*", "\n**A", "A: 1\nB: ", "Q:\nA: 1.\n"],
)
def test_time_is_linear_in_hostile_markers(unit: str) -> None:
    text = unit * (99_000 // len(unit))
    started = time.process_time()
    find_answer(text)
    find_answer(re.sub("1", "1 ", text)[:99_000])
    assert time.process_time() - started < 5  # quadratic time would be minutes
