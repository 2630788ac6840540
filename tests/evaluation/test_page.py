import re
from functools import cached_property
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from rl.evaluation.show import page
from rl.evaluation.show.cards import MOST_PROBLEMS, Cut
from rl.evaluation.show.page import write_page
from rl.evaluation.show.plots import VERDICTS
from rl.evaluation.statistics.measures import measures
from tests.stored_evaluations import made_folder, made_result, made_row, made_subject

ATTACK = "</pre></details><script>alert(1)</script><img src='http://example.com/x' onerror=x><!--"
VOID = ("meta", "br", "input")


class Element:
    """An element of a page, its attributes, and where in the text of the page its own begins and ends."""

    def __init__(self, data: list[str], tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        self.tag, self.attributes = tag, {name: value or "" for name, value in attrs}
        self._data, self._start, self.stop = data, len(data), len(data)

    @property
    def text(self) -> str:
        return "".join(self._data[self._start : self.stop])

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


class Page(HTMLParser):
    """The elements of a page, which must be balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._data: list[str] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, f"<{self._open[-1].tag}> is never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(self._data, tag, attrs))
        if tag in VOID:
            self._data.append(" ")
        else:
            self._open.append(self.elements[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(self._data, tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        closed = self._open.pop()
        assert closed.tag == tag, f"</{tag}> closes something else"
        closed.stop = len(self._data)
        self._data.append(" ")  # cells of a table are words of their own

    def handle_data(self, data: str) -> None:
        self._data.append(data)

    def tagged(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def of(self, name: str) -> list[Element]:
        """The elements of a class."""
        return [element for element in self.elements if name in element.attributes.get("class", "").split()]

    @cached_property
    def words(self) -> str:
        return self.tagged("body")[0].words

    @cached_property
    def style(self) -> str:
        return self.tagged("style")[0].text

    @property
    def counts(self) -> dict[str, int]:
        """By the id of each radio button the number on its label."""
        labels = [element.words.split()[-1].replace(",", "") for element in self.tagged("label")]
        ids = [element.attributes["id"] for element in self.tagged("input")]
        return {name: int(label) for name, label in zip(ids, labels, strict=True)}


def written(*folders: Any) -> Page:
    path = write_page(folders[0], folders[1:])
    assert path == folders[0].path / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def few(path: Path, name: str = "tiny", **other: Any) -> Any:
    """Three benchmarks: four kinds of verdict, five right of six, and all wrong and cut off."""
    kinds = [made_row(n, verdict, tokens=100 * n) for n, verdict in enumerate(VERDICTS, start=1)]  # type: ignore[arg-type]
    good = [made_row(f"g{n}", "correct" if n else "wrong") for n in range(6)]
    bad = [made_row(f"b{n}", "wrong", cut=True) for n in range(2)]
    sets = {"gsm8k": kinds, "humaneval": good, "countdown": bad}
    answers = [(made_result(rows, benchmark=benchmark), rows) for benchmark, rows in sets.items()]
    return made_folder(
        path,
        answers,
        subject=made_subject(name),
        **other,
    )


def hidden_by(page: Page, chosen: set[str]) -> int:
    """How many problems the style sheet of the page hides when these radio buttons are chosen."""
    rule = re.compile(
        r"body((?::has\(#[\w-]+:checked\))+) ([^{,]*(?:\([^)]*\))?[^{,]*?):not\(\[(data-\w)(~?)=\"([\w-]+)\"\]\)"
    )
    hidden = set()
    for conditions, target, attribute, among, value in rule.findall(page.style):
        assert ".problem" in target
        if set(re.findall(r"#([\w-]+):", conditions)) <= chosen:
            for place, problem in enumerate(page.of("problem")):
                found = problem.attributes[attribute]
                values = found.split() if among else [found]
                hidden |= {place} if value not in values else set()
    return len(hidden)


def test_the_page_shows_numbers_conditions_costs_and_answers(tmp_path: Path) -> None:
    shown = written(few(tmp_path / "a"))
    for fact in (
        "tiny complete",
        "gsm8k, pass@1 on 3 of 4 problems 33.3 % [6.1 %, 79.2 %]",
        "humaneval, pass@1 on 6 problems 83.3 %",
        "7.9 min wall time, 84 % of it generating",
        "1,200,000 tokens generated",
        "3,000 tokens a second",
        "$0.263 in all, $0.219 per million tokens",
        "fingerprint f00d",
        "engine vllm float32",
        "hardware a GPU, a processor, 2 cores",
        "versions python 3.11.9, torch 2.13.0",
        "command penny eval --model tiny",
        "a/set, test 4711",
        "All 12 problems are shown",
        "Answers were cut off at the limit in countdown (100.0 %)",
    ):
        assert fact in shown.words, fact
    answer = shown.of("problem")[0].words
    for fact in (
        "set/test/1",
        "Be brief. Question 1?",
        "taken for the answer 0",
        "right answer 7",
        "why because correct",
    ):
        assert fact in answer, fact
    assert "sample 0 · 100 tokens" in answer and "I say 0" in answer and "reward 1" in answer
    assert [element.text.split()[0] for element in shown.of("answer")[:4]] == ["✓", "✗", "–", "?"]
    assert "nothing" in shown.of("answer")[2].text
    assert len(shown.tagged("figure")) == 1 + 3  # radar, and lengths


def test_text_of_models_stays_text_and_nothing_runs_or_is_fetched(tmp_path: Path) -> None:
    hostile = {name: ATTACK for name in ("prompt", "completion", "gold", "answer", "reason")}
    rows = [made_row(f"{ATTACK}{n}", "correct", **hostile) for n in range(2)]
    result = made_result(rows, benchmark=ATTACK, description=ATTACK, answers="answers/x.parquet", stop=[ATTACK])
    subject = {"kind": ATTACK, "name": ATTACK, "checkpoint": "x", "base": ATTACK, "fingerprint": ATTACK}
    folder = made_folder(tmp_path / "a", [(result, rows)], subject=subject, command=ATTACK, engine=ATTACK)
    shown = written(folder)
    tags = {element.tag for element in shown.elements}
    assert not tags & {"script", "img", "link", "iframe", "object", "base", "form", "a"}
    assert shown.words.count(ATTACK) > 15
    for element in shown.elements:
        assert not [name for name in element.attributes if name.startswith("on")]
        assert all(element.attributes.get(name, "#")[:1] == "#" for name in ("src", "href", "xlink:href", "action"))
    policy = [element.attributes["content"] for element in shown.tagged("meta") if "http-equiv" in element.attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_every_choice_of_a_filter_leaves_as_many_as_it_says(tmp_path: Path) -> None:
    shown = written(few(tmp_path / "a"))
    total = len(shown.of("problem"))
    counts = shown.counts
    assert counts == {
        **{"benchmark-all": 12, "benchmark-0": 4, "benchmark-1": 6, "benchmark-2": 2},
        **{
            "verdict-all": 12,
            "verdict-correct": 6,
            "verdict-wrong": 4,
            "verdict-unparseable": 1,
            "verdict-ungradable": 1,
        },
        **{"length-all": 12, "length-short": 8, "length-middle": 1, "length-long": 1, "length-cut-off": 2},
    }
    for chosen, count in counts.items():
        assert total - hidden_by(shown, {chosen}) == count, chosen
    checked = [element.attributes["id"] for element in shown.tagged("input") if "checked" in element.attributes]
    assert checked == ["benchmark-all", "verdict-all", "length-all"] and hidden_by(shown, set(checked)) == 0


def test_filters_together_look_at_one_and_the_same_answer(tmp_path: Path) -> None:
    # The problem has a wrong answer and a short answer, but no answer that is both.
    rows = [made_row(1, "correct", 0, 10), made_row(1, "wrong", 1, 20), made_row(1, "wrong", 2, 30)]
    rows += [made_row(2, "wrong", sample, 10 * sample) for sample in range(1, 4)]
    shown = written(made_folder(tmp_path / "a", [(made_result(rows), rows)]))
    both = [f"verdict-{a}" for a in ("correct", "wrong")], [f"length-{b}" for b in ("short", "middle", "long")]
    left = {pair: 2 - hidden_by(shown, set(pair)) for pair in product(*both)}
    assert left == {
        ("verdict-correct", "length-short"): 1,
        ("verdict-correct", "length-middle"): 0,
        ("verdict-correct", "length-long"): 0,
        ("verdict-wrong", "length-short"): 1,
        ("verdict-wrong", "length-middle"): 2,
        ("verdict-wrong", "length-long"): 2,
    }


def test_two_evaluations_stand_side_by_side(tmp_path: Path) -> None:
    before = [made_row(n, "correct" if n < 4 else "wrong", completion=f"early {n}") for n in range(24)]
    after = [made_row(n, "correct" if n != 0 else "wrong", completion=f"late {n}") for n in range(23)]
    folders = [
        made_folder(tmp_path / name, [(made_result(rows, problems=24), rows)])
        for name, rows in (("a", before), ("b", after))
    ]
    shown = written(*folders)
    assert "A tiny (a) B tiny (b)" in shown.words  # the same model: told apart by the folders
    # 19 won, 1 lost of the 23 that both have; 3 of 23 before, 22 after.
    assert "gsm8k 17.4 % B 95.7 % +78.3" in shown.words
    assert "B is better by 78.3 points" in shown.words and "left out: 1 that only A and 0 that only B" in shown.words
    assert {name: count for name, count in shown.counts.items() if name.startswith("sides")} == {
        "sides-all": 24, "sides-differ": 20, "sides-agree": 3, "sides-first": 1, "sides-other": 19,
    }  # fmt: skip
    for choice in ("differ", "agree", "first", "other"):
        assert 24 - hidden_by(shown, {f"sides-{choice}"}) == shown.counts[f"sides-{choice}"]
    first = shown.of("problem")[0].words
    assert first.startswith("A ✓ B ✗") and first.index("early 0") < first.index("late 0")
    assert first.count("Question 0?") == 1  # both sides were asked the same
    assert "has no answer to it" in shown.of("problem")[23].text


def test_a_third_evaluation_is_called_by_its_letter(tmp_path: Path) -> None:
    folders = []
    for name, solved in (("x", 0), ("y", 0), ("z", 12)):
        asked = {"prompt": f"as {name} asks"}  # prompts that differ stand on their own side
        rows = [made_row(n, "correct" if n < solved else "wrong", **asked) for n in range(16)]
        folders.append(made_folder(tmp_path / name, [(made_result(rows), rows)]))
    shown = written(*folders)
    assert "gsm8k: no difference shown" in shown.words and "gsm8k: C is better by 75.0 points" in shown.words
    assert shown.counts["sides-differ"] == 12 and shown.counts["sides-agree"] == 4
    assert "sides-first" not in shown.counts
    assert "as z asks" in shown.of("problem")[3].text


def test_other_problems_are_not_set_beside_each_other(tmp_path: Path) -> None:
    rows = [made_row(n) for n in range(8)]
    other = made_result(
        rows, dataset={"name": "a/set", "config": None, "split": "test", "revision": "1", "sha256": "ff" * 32}
    )
    shown = written(
        made_folder(tmp_path / "a", [(made_result(rows), rows)]), made_folder(tmp_path / "b", [(other, rows)])
    )
    assert "Gsm8k was not measured alike: other problems." in shown.words
    assert "Problem by problem" not in shown.words and "sides-differ" not in shown.counts


@pytest.mark.parametrize("samples", [2, 64])
def test_of_many_samples_each_verdict_is_shown(tmp_path: Path, samples: int) -> None:
    rows = [made_row(1, "correct" if n == samples - 1 else "wrong", n, 10 * n) for n in range(samples)]
    shown = written(made_folder(tmp_path / "a", [(made_result(rows, temperature=0.6), rows)]))
    assert f"1 of {samples} right; {min(samples, 4)} of {samples} shown" in shown.words
    assert shown.counts["verdict-correct"] == shown.counts["verdict-wrong"] == 1
    assert f"sample {samples - 1}" in shown.of("answer")[-1].text
    assert "pass@k and maj@k over k on gsm8k" in [
        element.attributes.get("aria-label") for element in shown.tagged("svg")
    ]
    assert "temperature 0.6, top p 1.0, seed 0" in shown.words


def test_stored_outputs_have_neither_tokens_nor_sampling(tmp_path: Path) -> None:
    rows = [made_row(n, tokens=None, finish_reason=None, completion="x" * (10 * n)) for n in range(1, 7)]
    facts = {
        "subject": made_subject("outputs.jsonl") | {"kind": "samples", "fingerprint": None},
        "cost": {"tokens": 0, "dollars": 0.0, "dollars_per_million_tokens": None},
        "engine": "stored",
        "dtype": None,
        "hardware": None,
    }
    unknown = dict.fromkeys(("shots", "temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "seed"))
    result = made_result(rows, template="stored", **unknown)
    shown = written(made_folder(tmp_path / "a", [(result, rows)], **facts))
    assert "outputs.jsonl (samples)" in shown.words and "not stated not stated" in shown.words
    assert "characters" in shown.words and "fingerprint f" not in shown.words and "$" not in shown.words
    assert [shown.counts[f"length-{name}"] for name in ("short", "middle", "long")] == [2, 2, 2]
    stated = made_folder(tmp_path / "b", [(result | {"temperature": 0.7, "max_tokens": 2048}, rows)], **facts)
    assert "temperature 0.7 2,048" in written(stated).words
    old = {name: value for name, value in made_result(rows, template="stored").items() if name != "unanswered"}
    assert "not stated not stated" in written(made_folder(tmp_path / "c", [(old, rows)], **facts)).words


def test_missing_answers_stand_on_the_page(tmp_path: Path) -> None:
    rows = [made_row(n, "correct") for n in range(2)]
    result = made_result(rows, problems=4, asked=4, **measures(rows, majority=True, problems=4))
    shown = written(made_folder(tmp_path / "a", [(result | {"unknown_rows": 1}, rows)], complete=False))
    for fact in (
        "not complete",
        "pass@1 on 2 of 4 problems 100.0 %",
        "Not complete: 2 of 4 problems have no answer in gsm8k. pass@1 is of the 2 answers that are there; with each "
        "of the 2 missing answers as not solved it is 50.0 % [15.0 %, 85.0 %].",
        "1 row of the file names no problem of gsm8k, and is left out.",
    ):
        assert fact in shown.words, fact


def test_incomplete_results_say_so(tmp_path: Path) -> None:
    rows = [made_row(n) for n in range(3)]
    partial, empty = (
        made_result(rows, problems=10, asked=10),
        made_result([], benchmark="humaneval", problems=5, asked=5),
    )
    shown = written(made_folder(tmp_path / "a", [(partial, rows), (empty, [])], complete=False))
    assert "not complete" in shown.words
    assert "Not complete: 3 of 15 answers are there, and the numbers are of these." in shown.words
    nothing = written(made_folder(tmp_path / "b", [(empty, [])], complete=False))
    assert not nothing.of("problem") and "humaneval, pass@1 on 0 of 5 problems –" in nothing.words


def test_several_templates_of_one_benchmark(tmp_path: Path) -> None:
    good, bad = [made_row(n, "correct") for n in range(4)], [made_row(n, "wrong") for n in range(4)]
    answers = [(made_result(bad, best=False), bad), (made_result(good, template="few-shot"), good)]
    shown = written(made_folder(tmp_path / "a", answers))
    assert "Best template for gsm8k: few-shot, 100.0 %; the chat one gives 0.0 %" in shown.words
    assert "gsm8k (few-shot), pass@1 on 4 problems" in shown.words and "gsm8k (chat), pass@1" not in shown.words
    assert shown.counts["benchmark-0"] == shown.counts["benchmark-1"] == 4


def test_a_page_holds_some_of_every_kind_of_many_problems(tmp_path: Path) -> None:
    rows = [made_row(n, "correct" if n % 700 else "ungradable") for n in range(1400)]
    rare = [made_row(f"r{n}", "wrong") for n in range(5)]
    answers = [(made_result(rows), rows), (made_result(rare, benchmark="rare"), rare)]
    shown = written(made_folder(tmp_path / "a", answers))
    assert shown.counts["verdict-all"] == MOST_PROBLEMS == len(shown.of("problem"))
    assert shown.counts["verdict-ungradable"] == 2 and shown.counts["benchmark-1"] == 5
    assert f"{MOST_PROBLEMS} of 1,405 problems are shown" in shown.words
    ids = [element.text for element in shown.of("id")]
    assert ids[:3] == ["set/test/0", "set/test/1", "set/test/2"] and ids[-1] == "set/test/r4"


def test_a_page_stays_within_its_size(tmp_path: Path) -> None:
    long = "<&\"'é" * 3_000  # takes five times its length when escaped
    rows = [
        made_row(n, "wrong", sample, completion=f"{n}{long}the end", prompt=f"{n}{long}")
        for n in range(60)
        for sample in range(4)
    ]
    folder = made_folder(tmp_path / "a", [(made_result(rows), rows)])
    html = write_page(folder).read_text(encoding="utf-8")
    assert 0.8 * page.MOST_BYTES < len(html.encode("utf-8")) <= page.MOST_BYTES
    shown = Page(html)
    assert "characters are left out here" in shown.words and "the end" in shown.of("answer")[0].text
    assert 10 < len(shown.of("problem")) < 60 and "of 60 problems are shown" in shown.words


@pytest.mark.parametrize(("text", "cut"), [("abcdef", Cut("abcdef")), ("abcdefg", Cut("abc", 1, "efg")), ("", Cut(""))])
def test_long_texts_lose_their_middle(text: str, cut: Cut) -> None:
    assert Cut.of(text, longest=6) == cut
