import io
from collections import deque
from pathlib import Path

import pytest
from rich.console import Console

from rl.run.display import Display, sparkline

STEP = {
    "step": 2,
    "reward/mean": 0.5,
    "pass_rate": 0.25,
    "completions/mean_length": 17.4,
    "gap/mean": 0.0123,
    "tokens_per_second": 210.0,
    "time/step": 30.0,
    "dollars": 0.07,
}
SUMMARY = {
    "before": {"pass@1": 0.275, "ci95": [0.21, 0.34], "n": 200},
    "after": {"pass@1": 0.66, "ci95": [0.59, 0.72], "n": 200},
    "band_met": True,
    "band_reason": "Band met: as promised.",
    "minutes": 7.94,
    "dollars": 0.0132,
    "tokens": 51200,
}


def show(terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with Display("sums [1]", 10, console=console) as display:
        display.message("loading [tiny]")
        display.step(STEP)
        display.summary(SUMMARY, Path("runs/sums/report.html"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_step_is_one_plain_line_away_from_a_terminal() -> None:
    lines = show(terminal=False).splitlines()
    assert lines[0] == "loading [tiny]"
    assert lines[1] == (
        "step 2/10  reward 0.500  pass 25.0%  length 17  gap 0.0123  tokens/s 210  s/step 30.0  cost $0.07  left 4:00"
    )
    assert lines[-1] == "report: runs/sums/report.html"
    text = "\n".join(lines)
    assert "\x1b" not in text
    for fact in (
        "27.5 %",
        "[59.0 %, 72.0 %]",
        "+38.5 points",
        "Band met: as promised.",
        "7.9 minutes",
        "51,200 tokens",
    ):
        assert fact in text


def test_a_terminal_gets_a_panel_with_the_same_facts() -> None:
    text = show(terminal=True)
    for fact in ("sums [1]", "step 2/10", "4:00 left", "0.0123", "25.0%", "+38.5 points"):
        assert fact in text


def test_json_keeps_standard_output_empty(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("sums", 10, json=True) as display:
        display.message("loading")
        display.step(STEP)
        display.summary(SUMMARY, Path("report.html"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "step 2/10" in captured.err and "report: report.html" in captured.err


def test_a_step_without_metrics_shows_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("sums", 10, json=True) as display:
        display.step({"step": 1, "reward/mean": None})
    assert "reward –  pass –" in capsys.readouterr().err


def test_sparkline() -> None:
    assert sparkline(deque([0.0, 0.5, 0.99, 1.0])) == "▁▅██"
