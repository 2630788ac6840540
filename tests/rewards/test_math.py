"""The reward `math`: verdicts, the pool as its last rung, hostile answers, gold answers that cannot be graded."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from math_verify import parse, verify

from rewards.errors import BadInput
from rewards.math import bad_golds, grade_math, math
from rewards.math.verify import costly, judge
from rewards.pool import GraderPool


class NoPool(GraderPool):
    """Fails the test when a job reaches it."""

    def map(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError(f"the pool was asked: {arguments}")


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2, timeout=20) as made:  # generous: a busy machine must not fail a test
        yield made


@pytest.fixture(scope="module")
def impatient() -> Iterator[GraderPool]:
    with GraderPool(workers=2, timeout=3) as made:
        yield made


@pytest.fixture
def no_pool() -> NoPool:
    return NoPool(workers=1, timeout=1)


CHEAP = [
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
    ("5", "either \\boxed{6} or \\boxed{5}", 0.0),
    ("5", "\\boxed{5 \\text{ or } 6}", 0.0),
    ("42", "The answer is 41 or the answer is 42.", 0.0),
    ("42", "The answer could be 40, 41 or 42.", 0.0),
    ("42", "1 2 3 4 5 42", 0.0),
    ("42", "The number 42 appears in the problem.", 0.0),
    ("42", "الجواب هو ٤٢", 1.0),
    ("42", "答案是４２。", 1.0),
    ("42", "答案是43。", 0.0),
    ("5", "\\boxed{9^{9^{9^9}}-9^{9^{9^9}}+5}", 0.0),
    ("9^{9^{9}}", "\\boxed{9^{9^{9}}}", 1.0),
    ("12", f"\\boxed{{{'9' * 20_000}}}", 0.0),
    ("1" * 4000, f"\\boxed{{{'1' * 4000}}}", 1.0),
    ("1" * 4000, f"\\boxed{{{'1' * 3999}2}}", 0.0),
    ("1", f"\\boxed{{{'(' * 3000}1{')' * 3000}}}", 1.0),
    ("", "42", None),
]


def test_ordinary_and_hostile_answers_never_reach_the_pool(no_pool: NoPool) -> None:
    golds, completions, expected = zip(*CHEAP, strict=True)
    assert math(completions, answer=golds, grader_pool=no_pool, prompts=[""] * len(CHEAP)) == list(expected)


def test_golds_may_be_numbers_or_missing(no_pool: NoPool) -> None:
    assert math(["7", "7", "7"], answer=[7, 7.5, None], grader_pool=no_pool) == [1.0, 0.0, None]


def test_prose_earns_by_option_only(no_pool: NoPool) -> None:
    said = ["So the total cost is 29.", "The answer is 29.", "29", "So the total cost is 30."]
    golds = ["29"] * 4
    assert math(said, answer=golds, grader_pool=no_pool) == [0.0, 1.0, 1.0, 0.0]
    assert math(said, answer=golds, grader_pool=no_pool, extraction="strict") == [0.0, 1.0, 1.0, 0.0]
    assert math(said, answer=golds, grader_pool=no_pool, extraction="flexible") == [1.0, 1.0, 1.0, 0.0]
    assert [v.outcome for v in grade_math(golds, said, no_pool, extraction="flexible")] == ["correct"] * 3 + ["wrong"]


@pytest.mark.parametrize("way", ["loose", "Strict", "", None, 1])
def test_another_way_to_read_answers_is_refused(no_pool: NoPool, way: Any) -> None:
    with pytest.raises(BadInput, match="extraction=.*the reward 'math'.*strict or flexible"):
        math([], answer=[], grader_pool=no_pool, extraction=way)


def test_conversational_completions_and_callbacks(no_pool: NoPool) -> None:
    extra: dict[str, list[Any]] = {}
    metrics: dict[str, float] = {}
    completions = [[{"role": "assistant", "content": "\\boxed{5}"}], [{"role": "assistant", "content": ""}]]
    rewards = math(
        completions, answer=["5", "5"], grader_pool=no_pool, log_extra=extra.__setitem__, log_metric=metrics.__setitem__
    )
    assert rewards == [1.0, 0.0]
    assert extra["math/verdict"] == ["correct", "unparseable"]
    assert extra["math/reason"] == ["equal as text", "no answer found"]
    assert extra["math/answer"] == ["5", None]
    assert metrics["math/correct"] == 0.5


def test_the_answer_that_decided_is_logged(pool: GraderPool) -> None:
    rows = [
        ("5", "So \\boxed{5.0}.", "5.0"),
        ("1.5", "The answer is 1,000 marbles.", "1,000 marbles"),
        ("18", "48/2=<<48/2=24>>24\nA: $18", "$18"),
        ("A", "A: 12", "A: 12"),
        ("7", "\\boxed{\\int_0^7 dx}", "\\int_0^7 dx"),  # math-verify decided
        ("5", "either \\boxed{6} or \\boxed{5}", "6, 5"),
        ("5", "\\boxed{10^{10^{10}}}", "10^{10^{10}}"),
        ("5", "<think>5", None),
        ("\\frac{", "42", "42"),
    ]
    golds, completions, answers = zip(*rows, strict=True)
    extra: dict[str, list[Any]] = {}
    math(completions, answer=golds, grader_pool=pool, log_extra=extra.__setitem__)
    assert extra["math/answer"] == list(answers)


def test_what_is_logged_of_an_answer_is_short(no_pool: NoPool) -> None:
    extra: dict[str, list[Any]] = {}
    math(["\\boxed{" + "1" * 50_000 + "}"], answer=["1"], grader_pool=no_pool, log_extra=extra.__setitem__)
    assert extra["math/answer"] == ["1" * 2_000]


def test_verdicts_say_why_and_how_long(no_pool: NoPool) -> None:
    golds = ["5", "5", "\\frac{1}{3}", "5"]
    completions = ["\\boxed{6} or \\boxed{5}", "\\boxed{5.0}", "\\boxed{0.33}", "<think>5"]
    verdicts = grade_math(golds, completions, no_pool)
    assert [verdict.outcome for verdict in verdicts] == ["wrong", "correct", "wrong", "unparseable"]
    assert [verdict.reason for verdict in verdicts] == [
        "two different boxed answers",
        "equal as numbers",
        "different numbers",
        "the thinking never ends",
    ]
    assert all(0 < verdict.seconds < 1 for verdict in verdicts)


PASSED_ON = [
    ("7", "\\boxed{\\int_0^7 dx}", 1.0),
    ("385", "\\boxed{\\sum_{k=1}^{10} k^2}", 1.0),
    ("384", "\\boxed{\\sum_{k=1}^{10} k^2}", 0.0),
    ("0", "\\boxed{\\lim_{x\\to\\infty}\\frac{1}{x}}", 1.0),
    ("0", "\\boxed{e^{-1000}}", 0.0),
    ("5", "\\boxed{\\frac{5}{0}}", 0.0),
    ("2", "\\boxed{\\sqrt{}}", 0.0),
    ("\\frac{", "42", None),
]


def test_the_last_rung_decides_the_rest(pool: GraderPool) -> None:
    golds, completions, expected = zip(*PASSED_ON, strict=True)
    verdicts = grade_math(golds, completions, pool)
    assert [verdict.reward for verdict in verdicts] == list(expected)
    assert verdicts[0].reason == "equal by math-verify"
    assert verdicts[-1].outcome == "ungradable"


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
    assert [verdict.outcome == "correct" for verdict in grade_math(golds, completions, pool)] == direct


def test_math_verifys_leading_digits_are_looked_at_again() -> None:
    assert judge("\\frac{1}{2^{99}}", "\\frac{1}{2^{98}}") == (False, "equal in leading digits only")
    assert judge("\\frac{1}{2^{99}}", "2^{-99}") == (True, "equal by math-verify")
    assert judge("\\frac{", "1")[0] is None


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("\\sum_{k=1}^{10} 9^{9^9}", True),
        ("7^{7^{7^{7}}} \\bmod 10", True),
        ("(10^{9})!", True),
        ("123456! \\bmod 7", True),
        ("\\binom{10^{9}}{5}", True),
        ("\\prod_{k=1}^{10^{8}} k", True),
        ("\\begin{pmatrix}1&1\\\\1&0\\end{pmatrix}^{100000}", True),
        ("\\sum_{k=1}^{100} k^2", False),
        ("\\int_0^1 x^2 dx", False),
        ("2^{10}", False),
    ],
)
def test_what_is_refused_before_math_verify(text: str, refused: bool) -> None:
    assert costly(text) is refused


@pytest.mark.slow
def test_what_hangs_math_verify_costs_its_time_and_is_wrong(impatient: GraderPool) -> None:
    started = time.monotonic()
    tower = "\\int_0^1 99^{98 \\cdot 98^{97}} dx"
    verdicts = grade_math(["5"] * 3, [f"\\boxed{{{tower}}}", "\\boxed{\\int_0^5 dx}", "6"], impatient)
    assert [verdict.outcome for verdict in verdicts] == ["wrong", "correct", "wrong"]
    assert verdicts[0].reason == "timed out after 3 s"
    assert verdicts[0].seconds >= 3
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_a_hanging_gold_answer_is_not_the_completions_fault(impatient: GraderPool) -> None:
    [verdict] = grade_math(["\\int_0^1 99^{98^{97}} x dx"], ["\\boxed{\\int_0^1 x dx}"], impatient)
    assert verdict.outcome == "ungradable"


def test_a_slow_machine_is_not_the_completions_fault() -> None:
    with GraderPool(workers=1, timeout=1e-5) as pool:
        assert math(["\\boxed{\\int_0^7 dx}"], answer=["7"], grader_pool=pool) == [None]


def test_gold_answers_are_checked_before_training(pool: GraderPool) -> None:
    golds = [
        "72",
        "x+1",
        "\\text{Evelyn}",
        "(1,2)",
        "B",
        "204_5",
        "\\sum_{k=1}^{n} k",
        "",
        "\\frac{",
        None,
        "72",
        "#### 3",
    ]
    complaints = bad_golds(golds, pool)
    assert [complaint is None for complaint in complaints] == [True] * 7 + [False] * 3 + [True] * 2
    assert complaints[7] == "it is empty"
    assert complaints[8] == "the gold answer cannot be read"


def test_checking_ordinary_golds_needs_no_process(no_pool: NoPool) -> None:
    golds = [str(number) for number in range(1000)] * 20
    started = time.process_time()
    assert bad_golds(golds, no_pool) == [None] * 20_000
    assert time.process_time() - started < 5
