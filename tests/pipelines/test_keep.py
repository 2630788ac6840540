"""Which traces are kept, on cases small enough to work out by hand."""

from hypothesis import given
from hypothesis import strategies as st

from rl.pipelines.keep import Trace, balanced, choose, similarity
from rl.pipelines.schema import KeepSection
from rl.problems.problem import Problem


def trace(text: str, solved: bool | None = True, rate: float = 1.0, sample: int = 0, **other: object) -> Trace:
    keys = {"num_tokens": len(text.split()), "finish_reason": "stop", "reward": 1.0, "prompt": "?"} | other
    return Trace(Problem("p"), sample, completion=text, solved=solved, pass_rate=rate, **keys)  # type: ignore[arg-type]


def texts(traces: list[Trace]) -> list[str]:
    return [one.completion for one in traces]


def test_the_shortest_right_trace_of_each_problem_is_the_default() -> None:
    groups = [
        [trace("a b c d", sample=0), trace("a b", sample=1), trace("x", solved=False, sample=2)],
        [trace("q r", solved=False)],
        [trace("cut", finish_reason="length"), trace("much longer than that")],
    ]
    kept, dropped = choose(groups, KeepSection())
    assert texts(kept) == ["a b", "much longer than that"]
    assert dropped == {"verified": 2, "truncated": 1, "per_problem": 1}


def test_an_ungradable_trace_is_not_verified() -> None:
    assert choose([[trace("a", solved=None)]], KeepSection())[0] == []
    assert texts(choose([[trace("a", solved=None)]], KeepSection(verified=False))[0]) == ["a"]


def test_problems_outside_the_band_of_pass_rates_go() -> None:
    groups = [[trace("easy", rate=1.0)], [trace("fit", rate=0.5)], [trace("hard", rate=0.1)]]
    kept, dropped = choose(groups, KeepSection(min_pass_rate=0.2, max_pass_rate=0.9))
    assert texts(kept) == ["fit"]
    assert dropped == {"pass_rate": 2}


def test_equal_texts_are_one_whatever_their_case_and_spaces() -> None:
    group = [trace("One two  three", sample=0), trace("one TWO three\n", sample=1), trace("four five six", sample=2)]
    kept, dropped = choose([group], KeepSection(per_problem=3))
    assert texts(kept) == ["One two  three", "four five six"]
    assert dropped == {"max_similarity": 1}


def test_similarity_is_the_share_of_common_three_word_runs() -> None:
    # abc bcd cde, and abc bcd bcx: two of four
    assert similarity(trace("a b c d e"), trace("a b c d x")) == 2 / 4
    assert similarity(trace("a b"), trace("a b")) == 1.0
    assert similarity(trace("a b c"), trace("d e f")) == 0.0
    group = [trace("a b c d e", sample=0), trace("a b c d x", sample=1)]
    assert len(choose([group], KeepSection(per_problem=2, max_similarity=0.5))[0]) == 2
    assert len(choose([group], KeepSection(per_problem=2, max_similarity=0.4))[0]) == 1


def test_diverse_takes_the_one_that_is_least_like_those_taken() -> None:
    group = [trace("a b c d e", sample=0), trace("a b c d x", sample=1), trace("p q r s t", sample=2)]
    assert texts(choose([group], KeepSection(per_problem=2, prefer="diverse"))[0]) == ["a b c d e", "p q r s t"]


def test_longest_and_first() -> None:
    group = [trace("b c", sample=0), trace("d", sample=1), trace("e f g", sample=2)]
    assert texts(choose([group], KeepSection(prefer="longest"))[0]) == ["e f g"]
    assert texts(choose([group], KeepSection(prefer="first"))[0]) == ["b c"]


def test_balance_takes_from_each_quarter_in_turn() -> None:
    traces = [trace(f"easy {n}", rate=0.9) for n in range(6)] + [trace("hard", rate=0.1), trace("middle", rate=0.5)]
    assert texts(balanced(traces, 4)) == ["easy 0", "easy 1", "hard", "middle"]
    groups = [[one] for one in traces]
    assert texts(choose(groups, KeepSection(max_traces=4, balance=True))[0]) == ["easy 0", "easy 1", "hard", "middle"]
    assert texts(choose(groups, KeepSection(max_traces=2))[0]) == ["easy 0", "easy 1"]


@given(st.lists(st.floats(0, 1), max_size=40), st.integers(1, 50))
def test_balance_keeps_as_many_as_asked_and_never_starves_a_quarter(rates: list[float], size: int) -> None:
    traces = [trace(str(n), rate=rate) for n, rate in enumerate(rates)]
    kept = balanced(traces, size)
    assert len(kept) == min(size, len(traces))
    counts = [sum(min(3, int(one.pass_rate * 4)) == quarter for one in kept) for quarter in range(4)]
    there = [sum(min(3, int(rate * 4)) == quarter for rate in rates) for quarter in range(4)]
    # A quarter that has more to give gives at most one less than any other.
    assert all(count == total or count >= max(counts) - 1 for count, total in zip(counts, there, strict=True))
