"""Rows from files and the hub: what is kept, what becomes the answer, what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.problems.benchmark import benchmark_table
from rl.problems.columns import final_answer, last_boxed
from rl.problems.problem import Problem
from rl.problems.sources import LOCAL_CONFIGS, LOCAL_FILES, load_problems, local_file

Write = Callable[[list[Any]], str]


def load(**keys: Any) -> list[Problem]:
    return load_problems(ProblemsSection.model_validate(keys))


def jsonl(path: str, **keys: Any) -> list[Problem]:
    return load(source="jsonl", path=path, **keys)


def test_rows_become_problems(write_jsonl: Write) -> None:
    rows: list[dict[str, Any]] = [{"question": "a", "answer": "1"}, {"question": "b", "answer": 2}]
    assert jsonl(write_jsonl(rows)) == [Problem("rows/0", rows[0]), Problem("rows/1", rows[1])]


def test_ids_stay_when_rows_are_filtered(write_jsonl: Write) -> None:
    path = write_jsonl([{"question": str(i), "level": f"Level {i % 3}"} for i in range(9)])
    kept = jsonl(path, where={"level": ["Level 1", "Level 2"]}, size=4)
    assert [problem.id for problem in kept] == ["rows/1", "rows/2", "rows/4", "rows/5"]


def test_rows_without_an_answer_are_left_out_of_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": "q", "answer": answer} for answer in ["", "  ", None, 0, "0"]]
    (tmp_path / "gsm8k_train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("PENNY_DATA", str(tmp_path))
    kept = load(source="hub", name="openai/gsm8k", config="main")
    assert [problem.columns["answer"] for problem in kept] == [0, "0"]


@pytest.mark.parametrize(("answer", "what"), [("", "empty"), ("  ", "empty"), (None, "null")])
def test_rows_without_an_answer_are_refused_in_a_file_of_the_user(answer: Any, what: str, write_jsonl: Write) -> None:
    path = write_jsonl([{"question": "q", "gold": "1"}, {"question": "q", "gold": answer}])
    with pytest.raises(BadInput, match=f"problem rows/1: the column 'gold' is {what}; give an answer"):
        jsonl(path, answer="gold")


@pytest.mark.parametrize(
    ("row", "answer_column", "columns"),
    [
        ({"answer": "Half of 48.\n#### 72"}, None, {"answer": "72", "solution": "Half of 48.\n#### 72"}),
        ({"answer": "#### 1,080 "}, None, {"answer": "1,080", "solution": "#### 1,080 "}),
        ({"answer": "### Title\nx"}, None, {"answer": "### Title\nx"}),
        (
            {"solution": r"So \boxed{\frac{1}{2}}."},
            None,
            {"solution": r"So \boxed{\frac{1}{2}}.", "answer": r"\frac{1}{2}"},
        ),
        ({"solution": r"\boxed{1}", "answer": "one"}, None, {"solution": r"\boxed{1}", "answer": "one"}),
        ({"solution": r"\boxed{1}", "answer": "one"}, "solution", {"solution": r"\boxed{1}", "answer": "1"}),
        ({"solution": "def f(): ..."}, None, {"solution": "def f(): ..."}),
        ({"solution": "x"}, "solution", {"solution": "x", "answer": "x"}),
        ({"gold": [1, 2]}, "gold", {"gold": [1, 2], "answer": [1, 2]}),
        ({"gold": "#### 5", "solution": "other"}, "gold", {"gold": "#### 5", "solution": "other", "answer": "5"}),
    ],
)
def test_the_answer_column(
    row: dict[str, Any], answer_column: str | None, columns: dict[str, Any], write_jsonl: Write
) -> None:
    (problem,) = jsonl(write_jsonl([{"question": "q", **row}]), answer=answer_column)
    assert problem.columns == {"question": "q", **columns}


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{5}", "5"),
        (r"first \boxed{1}, then \boxed{ \frac{a}{b} }", r"\frac{a}{b}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{x}", r"\left\{x"),
        (r"\fbox{7}", "7"),
        (r"$\boxed 5$", "5"),
        (r"\boxed{}", ""),
        (r"\boxed{never closed", None),
        ("no box", None),
    ],
)
def test_last_boxed(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


def test_only_a_last_line_after_four_hashes_is_a_result() -> None:
    assert final_answer("a\n#### 3\n") == "3"
    assert final_answer("#### Heading\ntext") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"question": "a"}\n\n{"question": \n', r"rows\.jsonl, line 3: not JSON"),
        ('{"question": "a"}\n[1]\n', r"rows\.jsonl, line 2: a JSON list, not a JSON object"),
        ("", "jsonl source .* is empty"),
        ("\n\n", "is empty"),
        ('{"question": "a", "answer": ""}', "problem rows/0: the column 'answer' is empty"),
        ('{"problem": "a"}', r"problems\.prompt names the column 'question', which row rows/0 .*columns: problem"),
        ('{"question": "a"}\n{"q": 1}', "row rows/1 does not have; its columns: q"),
    ],
)
def test_wrong_files_are_bad_input(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(BadInput, match=sentence):
        jsonl(str(path))


def test_unreadable_files_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read.*No such file"):
        jsonl(str(tmp_path / "none.jsonl"))
    with pytest.raises(BadInput, match="cannot be read.*directory"):
        jsonl(str(tmp_path))
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "\xe9"}')
    with pytest.raises(BadInput, match="line 1: not UTF-8 text"):
        jsonl(str(tmp_path / "latin.jsonl"))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"answer": "gold"}, r"problems\.answer names the column 'gold'.*columns: question, level"),
        ({"where": {"levl": [1]}}, r"problems\.where names the column 'levl'.*columns: question, level"),
        ({"where": {"level": ["1"]}}, r"problems\.where matches nothing .*\(level has 1, 2\)"),
        ({"prompt": "{question} {x}"}, r"problems\.prompt names the column 'x'"),
        ({"prompt": "{question"}, r"problems\.prompt is malformed"),
    ],
)
def test_wrong_columns_are_bad_input(keys: dict[str, Any], sentence: str, write_jsonl: Write) -> None:
    path = write_jsonl([{"question": "a", "level": 1}, {"question": "b", "level": 2}])
    with pytest.raises(BadInput, match=sentence):
        jsonl(path, **keys)


@pytest.mark.parametrize(("source", "key"), [("hub", "name"), ("jsonl", "path")])
def test_a_source_needs_its_key(source: str, key: str) -> None:
    with pytest.raises(BadInput, match=rf"problems\.{key} is missing; source {source} needs it"):
        load(source=source)


def test_json_strings_may_hold_line_separators(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": "a\u2028b\x85c"}, ensure_ascii=False), encoding="utf-8")
    assert jsonl(str(path))[0].columns["question"] == "a\u2028b\x85c"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A hub of one data set, which records how it is asked; the real one is not within reach of tests."""
    asked = []

    def load_dataset(path: str, name: str | None, *, split: str, revision: str | None) -> datasets.Dataset:
        asked.append((path, name, split, revision))
        if path != "me/sums":
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{path}' doesn't exist on the Hub")
        return datasets.Dataset.from_list([{"question": f"{i} + 1", "answer": str(i + 1)} for i in range(5)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.delenv("PENNY_DATA", raising=False)
    return asked


def test_hub_rows(hub: list[tuple[Any, ...]]) -> None:
    problems = load(source="hub", name="me/sums", config="main", split="test", revision="abc", size=3)
    assert hub == [("me/sums", "main", "test", "abc")]
    assert [problem.id for problem in problems] == ["sums/test/0", "sums/test/1", "sums/test/2"]
    assert problems[2].columns == {"question": "2 + 1", "answer": "3"}


def test_hub_failures_say_what_to_do(hub: list[tuple[Any, ...]]) -> None:
    with pytest.raises(BadInput, match="me/other.*cannot be loaded.*doesn't exist.*network.*PENNY_DATA"):
        load(source="hub", name="me/other")


def test_local_files_stand_in_for_the_hub(
    hub: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENNY_DATA", str(tmp_path))
    (tmp_path / "gsm8k_test.jsonl").write_text('{"question": "q", "answer": "x\\n#### 4"}\n')
    (problem,) = load(source="hub", name="openai/gsm8k", config="main", split="test")
    assert (problem.id, problem.columns["answer"]) == ("gsm8k/test/0", "4")
    with pytest.raises(BadInput, match=r"gsm8k_train\.jsonl cannot be read"):
        load(source="hub", name="openai/gsm8k", config="main", split="train")
    assert hub == []
    assert len(load(source="hub", name="me/sums")) == 5  # what is not known locally still comes from the hub


def test_a_local_file_can_be_of_one_configuration(
    hub: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENNY_DATA", str(tmp_path))
    rows = [{"question": "q", "answer": "18"}, {"question": "r", "answer_number": 3}]
    (tmp_path / "mgsm_te.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems = load(source="hub", name="juletxara/mgsm", config="te", split="test", options={"files": ["mgsm_te.tsv"]})
    assert [(p.id, p.columns["answer"]) for p in problems] == [("mgsm/test/0", "18"), ("mgsm/test/1", "3")]
    with pytest.raises(BadInput, match=r"mgsm_sw\.jsonl cannot be read"):
        load(source="hub", name="juletxara/mgsm", config="sw", split="test")
    for config, split in (("te", "train"), ("xx", "test"), (None, "test")):
        section = {"source": "hub", "name": "juletxara/mgsm", "config": config, "split": split}
        assert local_file(ProblemsSection.model_validate(section)) is None
    assert hub == []


def test_local_files_are_what_the_folder_has(benchmark_data: Path) -> None:
    files = {*LOCAL_FILES.values(), *LOCAL_CONFIGS.values()}
    there = {file.name for file in benchmark_data.glob("*.jsonl")}
    assert {file for file in files if not file.startswith("mgsm_")} <= there


@pytest.fixture
def hub_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A hub of one data set with two files, which records what is downloaded."""
    asked = []
    (tmp_path / "mgsm_es.tsv").write_text('Tiene "dos" y compra tres.\t5\n\n¿Y ahora?\t1,080\r\n', encoding="utf-8")
    (tmp_path / "more.jsonl").write_text('{"question": "q", "answer": "7"}\n', encoding="utf-8")

    def hf_hub_download(repo_id: str, filename: str, *, repo_type: str, revision: str | None) -> str:
        asked.append((repo_id, filename, repo_type, revision))
        if not (tmp_path / filename).exists():
            raise huggingface_hub.errors.LocalEntryNotFoundError(f"no {filename} in the cache, and no network")
        return str(tmp_path / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.delenv("PENNY_DATA", raising=False)
    return asked


def files(*names: str, columns: tuple[str, ...] = ("question", "answer")) -> list[Problem]:
    options = {"files": list(names), "columns": list(columns)}
    return load(source="hub", name="juletxara/mgsm", config="es", split="test", revision="abc", options=options)


def test_named_files_of_a_hub_data_set(hub_files: list[tuple[Any, ...]]) -> None:
    problems = files("mgsm_es.tsv", "more.jsonl")
    assert hub_files == [
        ("juletxara/mgsm", "mgsm_es.tsv", "dataset", "abc"),
        ("juletxara/mgsm", "more.jsonl", "dataset", "abc"),
    ]
    assert problems == [
        Problem("mgsm/test/0", {"question": 'Tiene "dos" y compra tres.', "answer": "5"}),
        Problem("mgsm/test/1", {"question": "¿Y ahora?", "answer": "1,080"}),
        Problem("mgsm/test/2", {"question": "q", "answer": "7"}),
    ]


def test_the_table_names_the_files_of_every_language(hub_files: list[tuple[Any, ...]]) -> None:
    assert [problem.columns["answer"] for problem in benchmark_table()["mgsm-es"].load()] == ["5", "1,080"]
    with pytest.raises(BadInput, match=r"config bn, split test\) cannot be loaded \(not in the cache, and HF_HUB_"):
        benchmark_table()["mgsm-bn"].load()


def test_files_that_cannot_be_read_are_bad_input(hub_files: list[tuple[Any, ...]]) -> None:
    with pytest.raises(
        BadInput, match=r"mgsm_es\.tsv, line 1: 2 values between tabs, and problems\.options\.columns names 1"
    ):
        files("mgsm_es.tsv", columns=("question",))
    with pytest.raises(BadInput, match=r"data\.parquet is neither \.jsonl nor \.tsv"):
        files("data.parquet")
    with pytest.raises(BadInput, match=r"problems\.options: hub has no option 'fils'; did you mean files?"):
        load(source="hub", name="juletxara/mgsm", options={"fils": []})


def test_gsm8k(benchmark_data: Path) -> None:
    for split, size in (("train", 7473), ("test", 1319)):
        problems = load(source="hub", name="openai/gsm8k", config="main", split=split)
        assert len(problems) == size
        assert all(re.fullmatch(r"-?[\d,]+", problem.columns["answer"]) for problem in problems)
        assert all(problem.columns["solution"].endswith(problem.columns["answer"]) for problem in problems)


def test_math(benchmark_data: Path) -> None:
    name = "DigitalLearningGmbH/MATH-lighteval"
    problems = load(source="hub", name=name, prompt="{problem}")
    assert len(problems) == 7498  # two rows have an empty answer
    # The hub's rows have no `answer`; what is taken from their solutions is what the local files say.
    boxed = load(source="hub", name=name, prompt="{problem}", answer="solution")
    assert [p.id for p in boxed] == [p.id for p in problems]
    assert [p.columns["answer"] for p in boxed] == [p.columns["answer"].strip() for p in problems]
    hard = load(source="hub", name=name, prompt="{problem}", where={"level": ["Level 3", "Level 4", "Level 5"]})
    assert 5000 < len(hard) < 6000
    math500 = {"source": "hub", "name": "HuggingFaceH4/MATH-500", "split": "test", "prompt": "{problem}"}
    assert len(load(**math500)) == 500
    assert [p.columns["answer"] for p in load(**math500, answer="solution")] == [
        p.columns["answer"] for p in load(**math500)
    ]


def test_countdown_benchmark(benchmark_data: Path) -> None:
    problems = load(source="hub", name="Jiayi-Pan/Countdown-Tasks-3to4", split="test", prompt="{nums} {target}")
    assert len(problems) == 256 and problems[0].columns == {"nums": [30, 100, 93], "target": 23}
