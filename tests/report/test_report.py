import json
from html.parser import HTMLParser

import pytest

from rl.config.recipe import Recipe
from rl.report import charts
from rl.report.report import duration, write_report
from rl.report.reward_curves import reward_curves
from rl.run.evaluations import EvaluationRow, write_evaluation
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger
from rl.run.manifest import write_manifest
from rl.run.metrics import MetricsLog
from rl.run.summary import write_summary

ATTACK = "</pre><script>alert(1)</script><img src='http://example.com/x'>"


class Page(HTMLParser):
    """Collects tags, attributes and the text outside of styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.labels: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.labels += [value or "" for name, value in attrs if name == "aria-label"]
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.text += data


def answers(solved: list[bool | None], text: str) -> list[EvaluationRow]:
    return [
        EvaluationRow(f"test/{n}", 0, f"problem {n} {text}", f"answer {n} {text}", "stop", 1.0, ok, [1, 2], [0.0, 0.0])
        for n, ok in enumerate(solved)
    ]


def result(rate: float) -> dict[str, object]:
    return {"pass@1": rate, "ci95": [rate - 0.1, rate + 0.1], "n": 4}


def train(folder: RunFolder, recipe: Recipe, steps: int) -> None:
    write_manifest(folder, recipe, {"model": {"name": "tiny"}})
    with Ledger(folder, 36.0) as ledger:
        for step in range(1, steps + 1):
            with ledger.phase("generate"):
                ledger.add_tokens(generated=500)
            costs = ledger.step_done(step)
            metrics = {name: 0.5 for name in ("reward/mean", "reward/std", "pass_rate", "gap/mean", "gap/max")}
            MetricsLog(folder).append({"step": step, **metrics, "entropy": None, "grad_norm": 1.0, **costs})


def page(folder: RunFolder) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_a_finished_run_shows_everything(folder: RunFolder, recipe: Recipe) -> None:
    train(folder, recipe, 4)
    write_evaluation(folder, 0, result(0.25), answers([True, False, False, True, None], "early"))
    write_evaluation(folder, 4, result(0.75), answers([True, True, False, False, True], "late"))
    write_summary(folder, result(0.25), result(0.75), None, 1.0, 0.1, 2000)
    shown = page(folder)
    assert "pass@1 before and after, with 95 % intervals" in shown.labels
    assert len(shown.labels) == 9
    words = " ".join(shown.text.split())
    for fact in (
        "25.0 % → 75.0 %",
        "+50.0 points",
        "1 learned",
        "1 still wrong",
        "1 lost",
        "1 kept",
        "1 ungradable",
        "2,000 tokens",
    ):
        assert fact in words
    learned = words[words.index("Learned 1 of 1") : words.index("Still wrong 1 of 1")]
    assert "✗ before" in learned and "answer 1 early" in learned
    assert "✓ after" in learned and "answer 1 late" in learned
    assert "lora_alpha: 32" in shown.text and '"seed": 7' in shown.text


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_run_that_has_not_ended_has_a_report(folder: RunFolder, recipe: Recipe, steps: int) -> None:
    assert "not finished" in page(folder).text  # nothing at all yet
    train(folder, recipe, steps)
    write_evaluation(folder, 0, result(0.25), answers([True, False], "early"))
    shown = page(folder)
    words = " ".join(shown.text.split())
    assert f"step {steps} of 4" in words and "25.0 %" in words and "1 solved" in words
    assert len(shown.labels) == (9 if steps else 1)


def test_what_penny_eval_measured_of_the_run_is_listed(folder: RunFolder, recipe: Recipe) -> None:
    train(folder, recipe, 1)
    assert "Benchmarks" not in Page(write_report(folder).read_text()).text
    stored = {
        "created": "2026-01-02T03:04:05+00:00",
        "subject": {"checkpoint": str(folder.checkpoints / "step-000010" / "policy")},
        "results": [{**result(0.5), "benchmark": "gsm8k <b>", "template": "chat"}],
    }
    (folder.evals / "one").mkdir(parents=True)
    (folder.evals / "one" / "results.json").write_text(json.dumps(stored))
    page = Page(write_report(folder).read_text())
    assert all(text in page.text for text in ("Benchmarks", "gsm8k <b>", "step-000010", "50.0 %", "[40.0 %, 60.0 %]"))
    assert ("href", "evals/one/report.html") in page.attributes


def test_an_evaluation_on_the_way_stands_for_the_end(folder: RunFolder, recipe: Recipe) -> None:
    train(folder, recipe, 3)
    for step in (0, 2):
        write_evaluation(folder, step, result(0.25), answers([True, False], "x"))
    words = " ".join(page(folder).text.split())
    assert "+0.0 points at step 2" in words and "not finished" in words


def test_text_of_models_stays_text_and_nothing_is_fetched(folder: RunFolder, recipe: Recipe) -> None:
    recipe = recipe.model_copy(update={"description": ATTACK})
    RunFolder.create(folder.path, recipe)
    train(folder, recipe, 2)
    write_evaluation(folder, 0, result(0.25), answers([True, False], ATTACK))
    shown = page(folder)
    assert shown.text.count(ATTACK) == 2 * 2 + 2  # prompts and completions; the description, here and in the recipe
    assert not {"script", "img", "link", "iframe", "object"} & set(shown.tags)
    outside = [
        (name, value) for name, value in shown.attributes if name in ("src", "href", "xlink:href") and value[0] != "#"
    ]
    assert outside == []
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in shown.attributes


def test_equal_runs_draw_equal_charts() -> None:
    rows = [{"step": step, "gap/mean": 0.1 * step, "gap/max": None} for step in range(1, 60)]
    assert charts.gap(rows) == charts.gap(rows)


def test_the_limit_of_the_gap_is_drawn_as_the_steps_had_it() -> None:
    rows = [{"step": step, "gap/mean": 0.01, "gap/limit": limit} for step, limit in ((1, 0.1), (2, 0.03), (3, 0.05))]
    limited = charts.gap(rows)
    assert "limit of the mean" in limited and "limit of the mean" not in charts.gap([{"step": 1, "gap/mean": 0.01}])
    assert limited != charts.gap([row | {"gap/limit": 0.1} for row in rows])


def test_nulls_and_absent_keys_are_holes() -> None:
    rows = [{"step": 1, "kl": 0.5}, {"step": 2, "kl": None}, {"step": 3}]
    steps, numbers = charts.values(rows, "kl")
    assert steps == [1, 2] and numbers[0] == 0.5 and numbers[1] != numbers[1]
    assert charts.reward(rows).startswith("<svg role=")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (42.4, "42 s"), (474, "7.9 min"), (11520, "3.2 h")]
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def logged(folder: RunFolder, recipe: Recipe, **more: float) -> Page:
    write_manifest(folder, recipe, {"model": {"name": "tiny"}})
    for step in (1, 2):
        MetricsLog(folder).append({"step": step, "reward/mean": 0.5, "reward/std": 0.1, "pass_rate": 0.0, **more})
    return page(folder)


def test_parts_of_the_reward_verdicts_and_logged_numbers_have_charts(folder: RunFolder, recipe: Recipe) -> None:
    shares = {f"rewards/math/{outcome}": 0.25 for outcome in ("correct", "wrong", "unparseable", "ungradable")}
    parts = {"reward/math": 0.2, "reward//home/me/_mine.py:_f$1$": 0.3}
    own = {"rewards/tool calls": 2.0, f"rewards/{ATTACK}": 1.0, "rewards/mine/correct": 0.5}
    shown = logged(folder, recipe, **shares, **parts, **own)
    for title in ("Reward parts", "Verdicts of math", "tool calls", "mine/correct"):
        assert f"{title} by step" in shown.labels
    assert shown.labels.count("Verdicts of math by step") == 1 and "math/wrong by step" not in shown.labels
    assert "script" not in shown.tags and "img" not in shown.tags
    assert "_mine.py:_f$1$" in shown.text.replace("\u200b", "")
    assert "/home/me" not in " ".join(shown.labels)


def test_a_single_reward_has_no_chart_of_its_parts(folder: RunFolder, recipe: Recipe) -> None:
    assert "Reward parts by step" not in logged(folder, recipe, **{"reward/math": 0.5}).labels


def test_a_flood_of_logged_numbers_does_not_fill_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "curve", lambda *_: "")
    drawn = reward_curves([{"step": 1} | {f"rewards/problem {i}": 1.0 for i in range(40)}])
    assert [title for title, _, _ in drawn] == [f"problem {i}" for i in range(24)]
    assert all("24 of 40 are drawn" in note for _, note, _ in drawn)


def test_a_run_that_solves_nothing_shows_its_rewards_and_a_warning(folder: RunFolder, recipe: Recipe) -> None:
    none = {"pass@1": 0.0, "ci95": [0.0, 0.5], "n": 4, "accuracy/max": 0.3}
    train(folder, recipe, 1)
    write_evaluation(folder, 0, none | {"reward": 0.05, "reward_ci95": [0.04, 0.06]}, answers([False], "early"))
    write_evaluation(folder, 1, none | {"reward": 0.2, "reward_ci95": None}, answers([False], "late"))
    assert "Nothing was ever solved" not in page(folder).text  # half of the training rollouts were
    folder.metrics.write_text('{"step": 1, "pass_rate": 0.0, "accuracy/max": 0.4}\n')
    words = " ".join(page(folder).text.split())
    assert "Nothing was ever solved" in words and "was 0.4. Lower it" in words
    assert "mean reward 0.050 [0.040, 0.060] before, 0.200 after, +0.150" in words
