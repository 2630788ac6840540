"""Files of stored outputs in the shapes that people have, and the sentences for those that cannot be read."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewards.errors import BadInput
from rl.evaluation.stored import StoredOutput, read_rows

CHAT = [
    {"role": "user", "content": "2 + 3?"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "No: 5"},
]
PARTS = [{"role": "assistant", "content": [{"type": "text", "text": "No"}, {"type": "text", "text": ": 5"}]}]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(path: Path) -> list[list[str]]:
    return [[output.text for output in row.outputs] for row in read_rows(path)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"output": "a"}, ["a"]),
        ({"output": ""}, [""]),
        ({"output": None}, [""]),
        ({"output": 5}, ["5"]),
        ({"output": 0.5}, ["0.5"]),
        ({"output": CHAT}, ["No: 5"]),
        ({"output": PARTS}, ["No: 5"]),
        ({"output": [{"role": "assistant", "content": None}]}, [""]),
        ({"output": ["a", "b"]}, ["a", "b"]),
        ({"outputs": ["a", None, "a"]}, ["a", "", "a"]),
        ({"outputs": [CHAT, PARTS]}, ["No: 5", "No: 5"]),
        ({"outputs": "a"}, ["a"]),
        ({"output": None, "outputs": ["a"]}, ["a"]),
        ({"completion": "a"}, ["a"]),
        ({"completions": ["a", "b"]}, ["a", "b"]),
        ({"response": "a"}, ["a"]),
        ({"generation": "a"}, ["a"]),
        ({"generations": ["a", "b"]}, ["a", "b"]),
        ({"task_id": "x", "completion": "    return 1"}, ["    return 1"]),
        ({"task_id": "x", "solution": "def f(): ...", "completion": "..."}, ["def f(): ..."]),
        ({"output": "a", "solution": "the gold one"}, ["a"]),
        ({"doc_id": 0, "resps": [["a", "b"]], "filtered_resps": ["5"]}, ["a", "b"]),
        ({"doc_id": 0, "filtered_resps": ["5"]}, ["5"]),
        ({"doc_id": 0, "resps": [["a"]], "filtered_resps": [["def f():a"]]}, ["a"]),
        ({"output": "\ud83d\ude00 and \ud83d"}, ["\U0001f600 and \ufffd"]),
        ({"output": "line\u2028line"}, ["line\u2028line"]),
    ],
)
def test_outputs_of_a_row(tmp_path: Path, row: dict[str, Any], said: list[str]) -> None:
    assert texts(lines(tmp_path / "a.jsonl", row)) == [said]


@pytest.mark.parametrize(
    ("row", "column", "id", "index"),
    [
        ({"id": "a"}, None, "a", None),
        ({"id": 3}, None, "3", None),
        ({"id": 3.0}, None, "3", None),
        ({"id": " a "}, None, "a", None),
        ({"id": None, "index": 7}, None, None, 7),
        ({"index": "7"}, None, None, 7),
        ({"index": 7.0}, None, None, 7),
        ({"index": -1}, None, None, -1),
        ({"doc_id": 7}, None, None, 7),
        ({"task_id": "HumanEval/3"}, None, "HumanEval/3", None),
        ({"problem_id": "gsm8k/test/3"}, None, "gsm8k/test/3", None),
        ({"unique_id": "test/1.json"}, "unique_id", "test/1.json", None),
        ({"unique_id": "test/1.json"}, None, None, None),
        ({"id": "a", "index": 2}, None, "a", 2),
        ({}, None, None, None),
    ],
)
def test_names_of_a_rows_problem(
    tmp_path: Path, row: dict[str, Any], column: str | None, id: str | None, index: int | None
) -> None:
    (found,) = read_rows(lines(tmp_path / "a.jsonl", row | {"output": "x"}), column)
    assert (found.id, found.index, found.place) == (id, index, "line 1")


@pytest.mark.parametrize(
    ("extra", "outputs"),
    [
        ({"num_tokens": 12, "finish_reason": "length"}, [StoredOutput("a", 12, "length")]),
        ({"tokens": 12}, [StoredOutput("a", 12)]),
        ({"tokens": [5, 6, 7]}, [StoredOutput("a", 3)]),
        ({"tokens": []}, [StoredOutput("a", 0)]),
        ({"num_tokens": "many", "finish_reason": 3}, [StoredOutput("a")]),
        ({"output": ["a", "b"], "num_tokens": [1, 2]}, [StoredOutput("a", 1), StoredOutput("b", 2)]),
        ({"output": ["a", "b"], "tokens": [[1], [2, 3]]}, [StoredOutput("a", 1), StoredOutput("b", 2)]),
        ({"output": ["a", "b"], "num_tokens": 7}, [StoredOutput("a"), StoredOutput("b")]),
        (
            {"output": ["a", "b"], "finish_reason": ["stop", "length"]},
            [StoredOutput("a", None, "stop"), StoredOutput("b", None, "length")],
        ),
    ],
)
def test_lengths_and_endings_are_kept(tmp_path: Path, extra: dict[str, Any], outputs: list[StoredOutput]) -> None:
    (row,) = read_rows(lines(tmp_path / "a.jsonl", {"output": "a"} | extra))
    assert list(row.outputs) == outputs


def test_every_kind_of_file_says_the_same(tmp_path: Path) -> None:
    rows = [{"id": 1, "output": "é"}, {"id": 2, "output": None}]
    plain = lines(tmp_path / "a.jsonl", *rows)
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "list.jsonl").write_text(json.dumps(rows))
    (tmp_path / "marked.jsonl").write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n\r\n"))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.json", "list.jsonl", "marked.jsonl", "a.jsonl.gz", "a.parquet"):
        found = read_rows(tmp_path / name)
        assert [(row.id, row.outputs) for row in found] == [("1", (StoredOutput("é"),)), ("2", (StoredOutput(""),))], (
            name
        )
    assert [row.place for row in read_rows(tmp_path / "marked.jsonl")] == ["line 1", "line 3"]
    assert [row.place for row in read_rows(tmp_path / "a.json")] == ["item 0", "item 1"]
    assert [row.place for row in read_rows(tmp_path / "a.parquet")] == ["row 0", "row 1"]


def test_columns_of_parquet_that_only_other_rows_fill_do_not_count(tmp_path: Path) -> None:
    rows = [{"index": 0, "output": "a", "outputs": None}, {"index": None, "output": None, "outputs": ["b", "c"]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet") == [["a"], ["b", "c"]]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"id": 1, "answer": "5"}, "line 2 has no output, only id, answer"),
        ({}, "line 2 has no output, only nothing"),
        ({"id": 1, "solution": "5"}, "has no output, only id, solution"),
        ({"output": "a", "outputs": ["a"]}, "line 2 has both `output` and `outputs`"),
        ({"outputs": []}, "line 2 has an empty list of outputs"),
        ({"output": True}, "line 2 has an output that is neither a text nor"),
        ({"output": {"text": "a"}}, "line 2 has an output that is neither"),
        ({"outputs": [["a"]]}, "line 2 has an output that is neither"),
        ({"doc_id": 0, "resps": [[["-1.5", "True"]]]}, "line 2 has an output that is neither"),
        ({"output": [{"role": "user", "content": "2 + 3?"}]}, "line 2 has a chat in which no assistant speaks"),
        ({"id": True, "output": "a"}, "line 2: id is True"),
        ({"id": [1], "output": "a"}, r"line 2: id is \[1\]"),
        ({"id": 1.5, "output": "a"}, r"line 2: id is 1\.5"),
        ({"index": "one", "output": "a"}, "line 2: index is 'one': give the problem's number, counted from 0"),
        ({"index": True, "output": "a"}, "line 2: index is True"),
        ({"doc_id": 1.5, "output": "a"}, r"line 2: doc_id is 1\.5"),
        ([], "line 2: a JSON list, not a JSON object"),
        ("a", "line 2: a JSON text, not a JSON object"),
    ],
)
def test_rows_that_cannot_be_read(tmp_path: Path, row: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_rows(lines(tmp_path / "a.jsonl", {"index": 0, "output": "a"}, row))


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.jsonl", b'{"output": "a"}\n{"output": \n', "line 2: not JSON"),
        ("a.jsonl", b'{"a":' * 100_000, "line 1: not JSON"),
        ("a.json", b'[{"output": "a"}', "a.json, the list that begins in line 1: not JSON"),
        ("a.jsonl", b"", "has no rows"),
        ("a.jsonl", b"\n \n", "has no rows"),
        ("a.jsonl", b"\xff\xfe{}", "line 1: not UTF-8 text but UTF-16"),
        ("a.jsonl.gz", b"{}", "line 1 has no output"),
        ("a.jsonl.gz", gzip.compress(b"{}" * 50)[:-9], "cannot be read"),
        ("a.parquet", b"{}", "cannot be read as parquet"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=sentence):
        read_rows(tmp_path / name)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a.jsonl does not exist"):
        read_rows(tmp_path / "a.jsonl")
    with pytest.raises(BadInput, match="is a folder"):
        read_rows(tmp_path)
