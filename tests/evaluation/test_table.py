import pytest

from rl.evaluation.show.table import results_markdown, results_text, side_by_side, side_by_side_markdown
from rl.evaluation.statistics.measures import measures
from tests.stored_evaluations import made_result, made_results, made_row

GSM8K = made_result(
    **{"n": 1319, "problems": 1319, "pass@1": 0.12, "ci95": [0.1, 0.141], "mean_length": 1212.4, "unparseable": 0.03}
)


def cells(text: str) -> list[list[str]]:
    """The cells of the Markdown table in `text`."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def test_the_numbers_of_one_evaluation() -> None:
    header, _, row = cells(results_markdown(made_results([GSM8K])))
    assert dict(zip(header, row, strict=True)) == {
        "benchmark": "gsm8k",
        "pass@1": "12.0 %",
        "95 % interval": "[10.0 %, 14.1 %]",
        "problems": "1,319",
        "mean length": "1,212",
        "cut off": "0.0 %",
        "no answer": "3.0 %",
        "ungradable": "0.0 %",
    }


def test_the_terminal_shows_what_markdown_shows() -> None:
    results = made_results([GSM8K])
    header, _, row = cells(results_markdown(results))
    head, line, *below = results_text(results, 200).splitlines()
    assert [part.strip() for part in line.split("  ") if part.strip()] == row
    assert " ".join(head.split()) == " ".join(header)
    assert below == ["cost: 7.9 min, 1,200,000 tokens, 3,000 tokens/s, $0.263, $0.219 per million tokens"]


def test_costs_that_nobody_knows_are_left_out() -> None:
    cost = {"tokens": 0, "cached_tokens": 4000, "dollars": 0.0, "dollars_per_million_tokens": None}
    text = results_markdown(made_results([GSM8K], cost=cost))
    assert "\ncost: 7.9 min, 4,000 tokens from the cache\n" in text


def test_several_samples_show_the_largest_k_and_those_that_papers_report() -> None:
    by_k = {"1": 0.1, "8": 0.3, "10": 0.35, "64": 0.5}
    several = {"num_samples": 64, "pass@k": by_k, "maj@k": {"1": 0.1, "10": 0.15, "64": 0.2}}
    header, _, row = cells(results_markdown(made_results([made_result(**several)])))
    assert header[3:6] == ["pass@10", "pass@64", "maj@64"] and row[3:6] == ["35.0 %", "50.0 %", "20.0 %"]
    header, *_ = cells(results_markdown(made_results([made_result(num_samples=2, **{"pass@k": {"1": 0.1}})])))
    assert header[3] == "problems"  # no problem has two graded answers
    other = made_result(benchmark="code", **{**several, "pass@k": {"1": 0.1, "4": 0.4}, "maj@k": None})
    header, _, *rows = cells(results_markdown(made_results([made_result(**several), other, GSM8K])))
    assert header[3:7] == ["pass@4", "pass@10", "pass@64", "maj@64"]
    assert [row[3:7] for row in rows] == [
        ["–", "35.0 %", "50.0 %", "20.0 %"],
        ["40.0 %", "–", "–", "–"],
        ["–", "–", "–", "–"],
    ]


def test_a_hundred_samples_show_pass_at_10() -> None:
    rows = [made_row(0, "correct" if sample < 10 else "wrong", sample=sample) for sample in range(100)]
    result = made_result(rows, **measures(rows, majority=False))
    header, _, row = cells(results_markdown(made_results([result])))
    assert header[3:5] == ["pass@10", "pass@100"]
    assert row[3:5] == ["67.0 %", "100.0 %"]  # 1 - C(90, 10) / C(100, 10)


def test_missing_answers_have_a_column_of_their_own() -> None:
    rows = [made_row(n, "correct") for n in range(2)]
    result = made_result(rows, **measures(rows, majority=False, problems=4), problems=4)
    header, _, row = cells(results_markdown(made_results([result], complete=False)))
    assert header[1:5] == ["pass@1", "95 % interval", "missing as not solved", "problems"]
    assert row[1:5] == ["100.0 %", "[34.2 %, 100.0 %]", "50.0 % [15.0 %, 85.0 %]", "2 of 4"]
    assert results_text(made_results([result], complete=False)).count("warning: Not complete: 2 of 4 problems") == 1


def test_the_best_template_stands_beside_the_chat_one() -> None:
    def tried(template: str, rate: float, best: bool) -> dict[str, object]:
        return GSM8K | {"template": template, "pass@1": rate, "best": best}

    chat, plain = tried("chat", 0.08, False), tried("plain", 0.1, False)
    text = results_markdown(made_results([chat, plain, tried("few-shot", 0.12, True)]))
    assert "\nbest template for gsm8k: few-shot, 12.0 %; the chat one gives 8.0 %\n" in text
    assert [row[:2] for row in cells(text)[2:]] == [["gsm8k", "chat"], ["gsm8k", "plain"], ["gsm8k", "few-shot"]]
    text = results_markdown(made_results([tried("chat", 0.3, True), plain, tried("none", 0.2, False)]))
    assert "\nbest template for gsm8k: chat, 30.0 %; the none one gives 20.0 %\n" in text


def test_warnings_stand_only_where_they_are_due() -> None:
    def warned(**shares: float) -> str:
        return results_markdown(made_results([GSM8K | shares]))

    assert "Warning" not in warned(ungradable=0.01, truncated=0.2)
    assert "left out of gsm8k (1.1 %): see their reasons" in warned(ungradable=0.011)
    assert "cut off at the limit in gsm8k (20.1 %): a higher one" in warned(truncated=0.201)
    partial = GSM8K | {"problems": 1319, "asked": 2638, "samples": 1400}
    text = results_text(made_results([partial | {"missing": 0}], complete=False))
    assert "warning: Not complete: 1,400 of 2,638 answers are there" in text


def test_nothing_graded_has_no_rate() -> None:
    none = made_result(n=0, problems=1319, ungradable=1.0, mean_length=None, **{"pass@1": 0.0, "ci95": [0.0, 1.0]})
    _, _, row = cells(results_markdown(made_results([none])))
    assert row[1:5] == ["–", "–", "0 of 1,319", "0.0 %"]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 140])
def test_a_narrow_terminal_shows_everything(width: int) -> None:
    long = GSM8K | {"benchmark": "reasoning_gym:simple_equations", "pass@1": 0.345}
    text = results_text(made_results([GSM8K, long]), width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for fact in ("12.0 %", "34.5 %", "[10.0 %, 14.1 %]", "1,319", "1,212", "length", "ungradable", "3.0 %"):
        assert fact in words


def test_sixty_columns_hold_a_record_for_each_benchmark() -> None:
    assert results_text(made_results([GSM8K, GSM8K | {"benchmark": "math500"}]), 60) == (
        "gsm8k\n"
        "  pass@1         12.0 %\n"
        "  95 % interval  [10.0 %, 14.1 %]\n"
        "  problems       1,319\n"
        "  mean length    1,212\n"
        "  cut off        0.0 %\n"
        "  no answer      3.0 %\n"
        "  ungradable     0.0 %\n"
        "math500\n"
        "  pass@1         12.0 %\n"
        "  95 % interval  [10.0 %, 14.1 %]\n"
        "  problems       1,319\n"
        "  mean length    1,212\n"
        "  cut off        0.0 %\n"
        "  no answer      3.0 %\n"
        "  ungradable     0.0 %\n"
        "cost: 7.9 min, 1,200,000 tokens, 3,000 tokens/s, $0.263,\n"
        "$0.219 per million tokens"
    )


def test_a_pipe_gets_neither_colors_nor_padding() -> None:
    text = results_text(made_results([GSM8K | {"truncated": 0.5}], complete=False))
    assert "\x1b" not in text and text.count("warning: ") == 2
    assert all(line == line.rstrip() for line in text.splitlines())


def test_names_are_text_in_every_table() -> None:
    named = GSM8K | {"benchmark": "[bold]my|set"}
    assert "[bold]my|set" in results_text(made_results([named]))
    assert "| [bold]my\\|set |" in results_markdown(made_results([named]))


def test_two_evaluations_side_by_side() -> None:
    after = GSM8K | {"pass@1": 0.3, "ci95": [0.28, 0.32]}
    code = GSM8K | {"benchmark": "humaneval"}
    pair = [("base", made_results([GSM8K, code])), ("tuned", made_results([after]))]
    assert cells(side_by_side_markdown(pair)) == [
        ["benchmark", "base", "95 % interval", "tuned", "95 % interval", "difference"],
        [":--", "--:", "--:", "--:", "--:", "--:"],
        ["gsm8k", "12.0 %", "[10.0 %, 14.1 %]", "30.0 %", "[28.0 %, 32.0 %]", "+18.0 points"],
        ["humaneval", "12.0 %", "[10.0 %, 14.1 %]", "–", "–", "–"],
    ]
    narrow = side_by_side(pair, 50).splitlines()
    assert narrow[:6] == [
        "gsm8k",
        "  base           12.0 %",
        "  95 % interval  [10.0 %, 14.1 %]",
        "  tuned          30.0 %",
        "  95 % interval  [28.0 %, 32.0 %]",
        "  difference     +18.0 points",
    ]
    assert "Warning" not in side_by_side_markdown(pair)


def test_templates_stand_beside_their_like_or_the_best_beside_the_best() -> None:
    def tried(template: str, rate: float, best: bool) -> dict[str, object]:
        return GSM8K | {"template": template, "pass@1": rate, "best": best}

    first = made_results([tried("chat", 0.1, False), tried("plain", 0.2, True)])
    second = made_results([tried("few-shot", 0.3, True), tried("chat", 0.15, False)])
    third = made_results([tried("chat", 0.17, True)])
    text = side_by_side_markdown([("A", first), ("B", second), ("C", third)])
    rows = [[row[0], row[1], row[2], row[4], row[6]] for row in cells(text)[2:]]
    assert rows == [
        ["gsm8k", "chat", "10.0 %", "15.0 %", "17.0 %"],
        ["gsm8k", "plain / few-shot", "20.0 %", "30.0 %", "–"],
    ]
    assert "gsm8k was not measured alike: other templates." in text


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"dataset": {"sha256": "other"}}, "problems"),
        ({"problems": 100}, "problems"),
        ({"temperature": 0.6}, "sampling"),
        ({"extraction": "flexible"}, "extraction"),
        ({"max_tokens": 512, "top_p": 0.9}, "limits of length and sampling"),
        ({"template": "stored", "temperature": 1.0, "max_tokens": 1}, None),
    ],
)
def test_numbers_that_cannot_be_compared_are_named(change: dict[str, object], what: str | None) -> None:
    text = side_by_side_markdown([("A", made_results([GSM8K])), ("B", made_results([GSM8K | change]))])
    assert (f"gsm8k was not measured alike: other {what}." in text) if what else "not measured alike" not in text
