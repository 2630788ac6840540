import time
from collections.abc import Iterator

import pytest
from math_verify import parse, verify

from rewards.math import GRADED_END, LONGEST_COMPLETION, candidate, grade_math, math_verify
from rewards.pool import GraderPool


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2, timeout=20) as made:  # generous: a busy machine must not fail a test
        yield made


@pytest.fixture(scope="module")
def impatient() -> Iterator[GraderPool]:
    with GraderPool(workers=2, timeout=3) as made:
        yield made


PAIRS = [
    ("72", "\\boxed{72}", 1.0),
    ("72", "The answer is 72.", 1.0),
    ("72", "\\boxed{73}", 0.0),
    ("\\frac{1}{2}", "$0.5$", 1.0),
    ("\\frac{1}{2}", "<think>\\boxed{2}</think> <answer>\\frac{2}{4}</answer>", 1.0),
    ("She sold 48 + 24 = 72 clips.\n#### 72", "#### 72", 1.0),
    ("$x+1$", "\\boxed{1+x}", 1.0),
    ("\\boxed{(1,2)}", "\\boxed{(2,1)}", 0.0),
    ("1,234", "<answer>1234</answer>", 1.0),
    ("42", "<think>it is \\boxed{42}</think> I do not know", 0.0),
    ("42", "<think>it is \\boxed{42}", 0.0),
    ("42", "\\boxed{42} so \\boxed{", 0.0),
    ("42", "", 0.0),
    ("42", "\ud800 \x00", 0.0),
    ("", "42", None),
    ("\\frac{", "42", None),
]


def test_verdicts(pool: GraderPool) -> None:
    golds, completions, expected = zip(*PAIRS, strict=True)
    assert math_verify(completions, answer=golds, grader_pool=pool, prompts=[""] * len(PAIRS)) == list(expected)


def test_golds_may_be_numbers_or_missing(pool: GraderPool) -> None:
    assert math_verify(["7", "7", "7"], answer=[7, 7.5, None], grader_pool=pool) == [1.0, 0.0, None]


def test_agrees_with_math_verify_called_directly(pool: GraderPool) -> None:
    pairs = [
        ("\\sqrt{8}", "$2\\sqrt{2}$"),
        ("(x-1)^2", "$x^2-2x+1$"),
        ("\\{1,2\\}", "$\\{2,1\\}$"),
        ("[0,1)", "$[0,1]$"),
        ("3\\pi", "$9.42$"),
        ("\\begin{pmatrix}1&2\\end{pmatrix}", "$\\begin{pmatrix}1&2\\end{pmatrix}$"),
    ]
    direct = [
        verify(
            parse(f"\\boxed{{{gold}}}", parsing_timeout=None), parse(text, parsing_timeout=None), timeout_seconds=None
        )
        for gold, text in pairs
    ]
    assert {True, False} <= set(direct)
    golds, completions = zip(*pairs, strict=True)
    assert [verdict.correct for verdict in grade_math(golds, completions, pool)] == direct


def test_towers_of_powers_cost_their_time_and_are_wrong(impatient: GraderPool) -> None:
    started = time.monotonic()
    hostile = ["\\boxed{99^{98^{97}}}", "99**98**97", "<answer>99**98**97</answer>"]
    verdicts = grade_math(["5"] * 5, [*hostile, "5", "6"], impatient)
    assert [verdict.correct for verdict in verdicts] == [False, False, False, True, False]
    assert any(verdict.reason.startswith("timed_out") for verdict in verdicts)
    assert time.monotonic() - started < 60


def test_a_hanging_gold_answer_is_not_the_completions_fault(impatient: GraderPool) -> None:
    [verdict] = grade_math(["99^{98^{97}}+\\frac{1}{2}"], ["5"], impatient)
    assert verdict.correct is None


def test_a_slow_machine_is_not_the_completions_fault() -> None:
    with GraderPool(workers=1, timeout=1e-5) as pool:
        assert math_verify(["\\boxed{72}"], answer=["72"], grader_pool=pool) == [None]


def test_only_the_end_of_a_very_long_completion_is_graded(pool: GraderPool) -> None:
    long = "\\boxed{1} " * LONGEST_COMPLETION + "\\boxed{72}"
    assert len(candidate(long)) == GRADED_END
    assert len(candidate(long[:LONGEST_COMPLETION])) == LONGEST_COMPLETION
    [verdict] = grade_math(["72"], ["x" * LONGEST_COMPLETION + " \\boxed{72}"], pool)
    assert verdict.correct
