import io
import shlex
import signal
import time
from collections import deque
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from rl.base.signals import StopSignal
from rl.run.activity import Activity
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
        "step 2/10  reward 0.500  pass 25.0 %  length 17  gap 0.0123  tokens/s 210  s/step 30.0  "
        "cost 7 cents  left 4:00"
    )
    assert "report: runs/sums/report.html" in lines
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
    for fact in ("sums [1]", "step 2/10", "4:00 left", "0.0123", "25.0 %", "+38.5 points"):
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


class Clock:
    """Time that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def panel_of(width: int, *, wanted: int = 0) -> list[str]:
    """What a terminal of this width shows in the middle of a step."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=40)
    clock = Clock()
    with Display("sums", 30, console=console, clock=clock) as display:
        clock.now += 60
        display.step(STEP)
        display.phase("evaluate" if wanted else "generate")
        clock.now += 12
        display.progress(50 if wanted else 0, wanted)
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().rpartition("╭")[2]
    return Text.from_ansi(f"╭{last}").plain.splitlines()


@pytest.mark.parametrize("width", [60, 120])
def test_the_clock_ticks_within_a_step_and_says_what_is_happening(width: int) -> None:
    shown = panel_of(width)
    assert any("generating, 0:12 in step 3, 1:12 in all" in line for line in shown)
    assert max(map(len, shown)) <= width
    text = "\n".join(shown)
    for fact in (
        "step 2/30",
        "reward 0.500",
        "pass 25.0 %",
        "gap 0.0123",
        "tokens/s 210",
        "s/step 30.0",
        "cost 7 cents",
    ):
        assert fact in text  # nothing is cut off


@pytest.mark.parametrize("width", [60, 120])
def test_an_evaluation_has_a_bar_with_answers_and_time_left(width: int) -> None:
    text = "\n".join(panel_of(width, wanted=200))
    assert "50 of 200 answers" in text and "0:36 left" in text  # 12 s for 50, so 36 s for 150
    assert "evaluating, 0:12, 1:12 in all" in text


def test_a_step_counts_its_answers_and_only_while_they_are_waited_for() -> None:
    activity = Activity(10, Clock())
    activity.begin("generate")
    activity.count(3, 16)
    assert activity.counting and activity.counted() == ("3 of 16 answers", "")
    activity.begin(None)
    activity.begin("learn")
    activity.count(1, 16)  # of the next batch, which is sampled meanwhile
    assert not activity.counting and activity.line() == "step 0/10 done; learning, 0:00 in step 1, 0:00 in all"


def test_the_clock_of_a_step_begins_when_what_came_before_it_has_ended() -> None:
    clock = Clock()
    activity = Activity(10, clock)
    shown = []
    for phase, seconds in (("start", 40), ("evaluate", 30), ("generate", 5), ("learn", 7), ("save", 2)):
        activity.begin(phase)
        clock.now += seconds
        shown.append(activity.clocks())
    activity.step_done(1)
    activity.begin("generate")
    clock.now += 3
    assert shown == [
        "starting, 0:40 in all",
        "evaluating, 0:30, 1:10 in all",
        "generating, 0:05 in step 1, 1:15 in all",
        "learning, 0:12 in step 1, 1:22 in all",
        "saving, 0:02, 1:24 in all",
    ]
    assert activity.clocks() == "generating, 0:03 in step 2, 1:27 in all"


def test_a_terminal_breaks_sentences_between_words_and_leaves_commands_whole() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=30)
    with Display("sums", 10, console=console) as display:
        display.message("step 0: pass@1 35.0 % of 200 held-out problems")
        display.message("what next:\n    penny export runs/sums-20260101-000000 -o exported/sums")
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in Text.from_ansi(console.file.getvalue()).plain.splitlines()]
    assert "step 0: pass@1 35.0 % of 200" in lines and "held-out problems" in lines
    assert "    penny export runs/sums-20260101-000000 -o exported/sums" in lines


def test_ctrl_c_is_answered_in_the_panel_until_the_run_has_stopped() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=40)
    said = "SIGINT: the run stops as soon as its work is saved"
    with Display("sums", 10, console=console) as display, StopSignal(display.stopping).installed() as stop:
        with stop.safe_points():
            signal.raise_signal(signal.SIGINT)
        display.phase("learn")
        display.step(STEP)
    assert isinstance(console.file, io.StringIO)
    last = Text.from_ansi("╭" + console.file.getvalue().rpartition("╭")[2]).plain
    assert said in last and "step 2/10" in last


def test_ctrl_c_is_answered_by_a_line_away_from_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with Display("sums", 10, json=True) as display:
        stop = StopSignal(display.stopping)
        with stop.installed(), stop.safe_points():
            signal.raise_signal(signal.SIGINT)
    assert "once more stops it at once\n" in capfd.readouterr().err


def test_a_long_silence_is_broken_by_a_line_away_from_a_terminal() -> None:
    console = Console(file=io.StringIO(), width=100)
    assert isinstance(console.file, io.StringIO)
    clock = Clock()
    with Display("sums", 10, console=console, clock=clock, silence=0.02) as display:
        clock.now += 5
        display.phase("evaluate")
        clock.now += 75
        display.progress(30, 120)
        deadline = time.monotonic() + 5
        while "answers" not in console.file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = console.file.getvalue().splitlines()
    assert lines[-1] == "step 0/10 done; evaluating, 1:15, 1:20 in all, 30 of 120 answers, 3:45 left"


def test_lines_that_come_often_enough_are_left_alone() -> None:
    console = Console(file=io.StringIO(), width=100)
    with Display("sums", 10, console=console, silence=30) as display:
        display.message("loading")
        display.phase("generate")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "loading\n"


def test_the_end_says_what_to_do_next_in_commands_that_can_be_copied(tmp_path: Path) -> None:
    run = tmp_path / "my runs" / "sums"
    console = Console(file=io.StringIO(), width=60)
    with Display("sums", 10, console=console) as display:
        display.summary(SUMMARY | {"dollars": 0.004}, run / "report.html")
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    assert "7.9 minutes, 0.4 cents, 51,200 tokens" in lines
    assert (run / "report.html").as_uri() in lines and "%20" in (run / "report.html").as_uri()
    commands = [shlex.split(line) for line in lines if "penny" in line]
    assert [words[1 if words[0].endswith("penny") else 3] for words in commands] == [
        "samples",
        "chat",
        "eval",
        "export",
    ]
    assert all(str(run) in words for words in commands)  # whole, although the terminal is narrower


def test_warnings_a_slow_machine_and_rewards_are_told_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    before = {"pass@1": 0.0, "ci95": [0.0, 0.02], "n": 200, "reward": 0.05, "reward_ci95": [0.04, 0.06]}
    after = before | {"reward": 0.2, "reward_ci95": [0.18, 0.22]}
    told = {
        "before": before,
        "after": after,
        "slower": "Slower than expected.",
        "warnings": ["Nothing was ever solved."],
    }
    told |= {"same_problems": False, "band_met": None, "band_reason": "The held-out problems changed."}
    with Display("sums", 10, json=True) as display:
        display.summary(SUMMARY | told | {"dollars": 0.0}, Path("runs/sums/report.html"))
    error = capsys.readouterr().err
    assert "mean reward 0.050 [0.040, 0.060] before, 0.200 [0.180, 0.220] after, +0.150" in error
    assert error.count("The held-out problems changed.") == 1
    assert "Slower than expected." in error and "Nothing was ever solved." in error
    assert "7.9 minutes, 51,200 tokens" in error  # no price was given
