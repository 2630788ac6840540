"""Tables as text: what fits, what is broken into lines, and what becomes records."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from rl.base.columns import Column, folded_text, listing_text, output_width, sentence_text, table_text

COLUMNS = [
    Column("what", ["short", "a name of several more words"], left=True),
    Column("mean length", ["1", "1,234"]),
    Column("share", ["12.0 %", "–"]),
]


def test_columns_that_fit_are_aligned() -> None:
    assert table_text(COLUMNS).splitlines() == [
        "what                          mean length   share",
        "short                                   1  12.0 %",
        "a name of several more words        1,234       –",
    ]


def test_words_and_heads_give_way_first() -> None:
    assert table_text(COLUMNS, 37).splitlines() == [
        "what                     mean   share",
        "                       length",
        "short                       1  12.0 %",
        "a name of several       1,234       –",
        "more words",
    ]


def test_what_has_no_room_is_a_record_without_what_is_unknown() -> None:
    assert table_text(COLUMNS, 28).splitlines() == [
        "short",
        "  mean length  1",
        "  share        12.0 %",
        "a name of several more words",
        "  mean length  1,234",
    ]


def test_a_word_is_not_broken_while_there_is_another_way() -> None:
    names = ["reasoning_gym:simple_equations", "sums of two numbers that have at most two digits each"]
    lines = table_text([Column("benchmark", names, left=True), COLUMNS[1]], 40).splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "benchmark",
        "",
        "reasoning_gym:simple_equations",
        "sums of two numbers that have at",
        "most two digits each",
    ]


def test_names_and_meanings_hang() -> None:
    pairs = [("gsm8k", "grade-school word problems"), ("mbpp", "programs")]
    assert listing_text(pairs, 24).splitlines() == ["gsm8k  grade-school word", "       problems", "mbpp   programs"]
    assert listing_text(pairs).splitlines()[0] == "gsm8k  grade-school word problems"


def test_sentences_break_between_words_only() -> None:
    path = "evals/" + "x" * 40
    assert sentence_text(f"kept in {path} for now", 20) == f"kept in\n{path}\nfor now"
    assert sentence_text("kept in one line", None) == "kept in one line"


WORDS = st.lists(st.text(st.sampled_from("abc漢é%"), max_size=9), max_size=6).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4), st.integers(24, 100))
@settings(max_examples=60, deadline=None)
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(rows: list[tuple[str, str, str]], width: int) -> None:
    cells = list(zip(*rows, strict=True))
    columns = [Column(name, column, left) for name, column, left in zip("xyz", cells, (True, False, True), strict=True)]
    text = table_text(columns, width)
    assert max(map(cell_len, text.splitlines()), default=0) <= width
    assert set("".join(map("".join, rows))) <= set(text) | {" "}


@given(WORDS, st.integers(2, 30))
def test_folding_keeps_the_text(text: str, width: int) -> None:
    lines = folded_text(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(cell_len(line) <= width for line in lines) or cell_len(text) <= width


def test_the_width_is_that_of_the_environment_or_none_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert output_width() == 60
    monkeypatch.delenv("COLUMNS")
    assert output_width() is None  # pytest takes standard output
