import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from rl.evaluation.show import plots
from tests.stored_evaluations import made_result, made_row

NAMES = ["gsm8k", "math500", "humaneval", "countdown"]


def rated(benchmark: str, rate: float, **other: object) -> dict[str, object]:
    return made_result(benchmark=benchmark, **{"n": 100, "pass@1": rate, "ci95": [rate - 0.05, rate + 0.05]} | other)


def texts(svg: str) -> list[str]:
    """The words of a chart, which must be well-formed."""
    page = ElementTree.fromstring(f'<p xmlns:xlink="in HTML it is known">{svg}</p>')
    return [element.text or "" for element in page.iter() if element.tag.endswith("text")]


def fills(svg: str) -> set[str]:
    return set(re.findall(r"fill: (#[0-9a-f]{6})", svg))


def test_bars_name_every_benchmark_and_rate_of_every_evaluation() -> None:
    base = [rated(name, rate) for name, rate in zip(NAMES, (0.1, 0.2, 0.3, 0.4), strict=True)]
    svg = plots.bars([("base", base), ("tuned", [rated("gsm8k", 0.55)])])
    assert {*NAMES, "10.0 %", "20.0 %", "30.0 %", "40.0 %", "55.0 %", "base", "tuned"} <= set(texts(svg))
    assert {plots.color(0), plots.color(1)} <= fills(svg)
    assert svg.startswith('<svg role="img" aria-label="pass@1 by benchmark')


def test_bars_tell_templates_apart_and_leave_out_what_has_no_grade() -> None:
    results = [rated("gsm8k", 0.1), rated("gsm8k", 0.2, template="few-shot"), rated("code", 0.0, n=0)]
    words = texts(plots.bars([("base", results)]))
    assert {"gsm8k (chat)", "gsm8k (few-shot)", "code", "10.0 %", "20.0 %"} <= set(words)
    assert "0.0 %" not in words and "base" not in words


def test_a_radar_needs_three_benchmarks_that_all_have() -> None:
    results = [rated(name, 0.3) for name in NAMES]
    assert plots.radar([("base", results[:2])]) == ""
    assert plots.radar([("base", results), ("tuned", results[2:])]) == ""
    words = texts(plots.radar([("base", results), ("tuned", results[1:])]))
    assert set(NAMES[1:]) <= set(words) and "gsm8k" not in words
    assert {"10 %", "20 %", "30 %", "40 %"} <= set(words)  # the outer ring is the next round one above 30 %


def test_a_radar_shows_the_best_template() -> None:
    results = [rated(name, 0.3) for name in NAMES[:2]]
    results += [rated("code", 0.9, best=False), rated("code", 0.5, template="none")]
    assert {"15 %", "60 %"} <= set(texts(plots.radar([("base", results)])))


def test_the_curve_over_k_needs_several_samples() -> None:
    one = made_result(**{"pass@k": {"1": 0.5}})
    assert plots.pass_at_k_curve([("base", [one])]) == ""
    assert plots.pass_at_k_curve([("base", [])]) == ""
    several = made_result(**{"pass@k": {"1": 0.1, "2": 0.2, "10": 0.4}, "maj@k": {"1": 0.1, "2": 0.1, "10": 0.3}})
    words = texts(plots.pass_at_k_curve([("base", [several])]))
    assert {"1", "2", "10", "k", "pass@k", "maj@k"} <= set(words)
    code = made_result(**{"pass@k": {"1": 0.1, "4": 0.2}, "maj@k": None})
    words = texts(plots.pass_at_k_curve([("base", [several]), ("tuned", [code])]))
    assert {"base, pass@k", "base, maj@k", "tuned, pass@k"} <= set(words) and "tuned, maj@k" not in words


def test_lengths_by_verdict_in_tokens_or_else_in_characters() -> None:
    assert plots.length_histogram([]) == ""
    rows = [made_row(1, "correct"), made_row(2, "wrong", tokens=0), made_row(3, "unparseable", tokens=9000)]
    words = texts(plots.length_histogram(rows))
    assert {"correct", "wrong", "unparseable", "tokens"} <= set(words) and "ungradable" not in words
    words = texts(plots.length_histogram([*rows, made_row(4, "ungradable", tokens=None)]))
    assert "characters" in words and "ungradable" in words


@pytest.mark.parametrize(("longest", "bounds", "last"), [(0, 2, 1), (29, 31, 30), (1024, 22, 1050), (30000, 17, 32000)])
def test_bins_are_whole_and_hold_the_longest(longest: int, bounds: int, last: int) -> None:
    found = plots._bins(longest)
    assert len(found) == bounds and found[-1] == last > longest and all(bound == int(bound) for bound in found)


@pytest.mark.parametrize("draw", [plots.bars, plots.radar, plots.pass_at_k_curve])
def test_names_are_text_in_charts(draw: Callable[..., str]) -> None:
    hostile = '"><script>$\\frac{1}{0}$'
    by_k = {"pass@k": {"1": 0.1, "2": 0.2}}
    results = [rated(name, 0.3, **by_k) for name in (hostile, "b", "c")]
    svg = draw([(hostile, results), ("other", results)])
    assert "<script" not in svg
    assert any(hostile[:8] in word for word in texts(svg))


def test_equal_evaluations_draw_equal_charts() -> None:
    named = [("base", [rated(name, 0.3) for name in NAMES])]
    assert plots.radar(named) == plots.radar(named) and plots.bars(named) == plots.bars(named)
