"""The reader of JSON Lines: what it reads right, and the sentence for each line that it cannot read."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.errors import BadInput
from rewards.jsonl import BOM, DEEPEST, file_lines, jsonl_rows, parse, plain_size, read_lines


def rows(path: Path, data: bytes) -> list[tuple[int, dict[str, Any]]]:
    path.write_bytes(data)
    return list(jsonl_rows(path))


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"", []),
        (BOM, []),
        (b'\xef\xbb\xbf{"a": 1}\n', [(1, {"a": 1})]),
        (b'{"a": 1}\n\xef\xbb\xbf{"a": 2}\n', [(1, {"a": 1}), (2, {"a": 2})]),  # two files joined
        (b'{"a": 1}\r\n\r\n{"a": 2}\r\n', [(1, {"a": 1}), (3, {"a": 2})]),
        (b'\n\n {"a": 1} \n\t\n{"a": 2}', [(3, {"a": 1}), (5, {"a": 2})]),
        ('{"a": "x\u2028y\u0085z"}\n'.encode(), [(1, {"a": "x\u2028y\u0085z"})]),
        (b'{"a": "\\u0000"}', [(1, {"a": "\0"})]),
        (b'{"a": "\\ud83d\\ude00"}', [(1, {"a": "\U0001f600"})]),
        (b'{"a": "\\\\ud800"}', [(1, {"a": "\\ud800"})]),  # a backslash and letters
        (b'{"a": ' + b"9" * 4300 + b"}", [(1, {"a": int("9" * 4300)})]),
        (b'{"a": 1e999}', [(1, {"a": float("inf")})]),
        (b"{}", [(1, {})]),
        (b'{"a": ' + b"[" * 199 + b"]" * 199 + b"}", [(1, {"a": json.loads("[" * 199 + "]" * 199)})]),
        (b'{"a": "' + b"[{" * 500 + b'"}', [(1, {"a": "[{" * 500})]),  # brackets of a text
    ],
)
def test_what_is_read(tmp_path: Path, data: bytes, read: Any) -> None:
    assert rows(tmp_path / "a.jsonl", data) == read
    assert rows(tmp_path / "a", gzip.compress(data)) == read


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b'{"a": 1', "not JSON (it ends within a value, as if cut off or written over several lines): write one JSON"),
        (b'{"a": "b', "not JSON (it ends within a value"),
        (b'{"a', "not JSON (it ends within a value"),
        (b"{", "not JSON (it ends within a value"),
        (b"[", "not JSON (it ends within a value"),
        (b"[1, 2]", "a JSON list, not a JSON object: write one JSON object a line"),
        (b"null", "a JSON null, not"),
        (b"true", "a JSON truth value, not"),
        (b"-1.5", "a JSON number, not"),
        (b'"a"', "a JSON text, not"),
        (b"{a: 1}", "not JSON (Expecting property name enclosed in double quotes at character 2)"),
        (b'{"a": "\t"}', "not JSON (Invalid control character at character 8)"),
        (b'{"a": 1} {"a": 2}', "not JSON (another value begins at character 10): write one JSON object a line"),
        (b'{"a": 1}\r{"a": 2}', "not JSON (another value begins at character 10)"),
        (b'{"a": 1, "a": 2}', "the key 'a' is there twice: leave one out"),
        (b'{"b": [{"a": 1, "c": 3, "a": 1}]}', "the key 'a' is there twice"),
        (b"[" * 3000, "nested more than 200 levels deep): write nested data as a text"),
        (b'{"a": ' + b"[" * 3000 + b"]" * 3000 + b"}", "nested more than 200 levels deep"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "nested more than 200 levels deep"),
        (b'{"a": ' + b"9" * 4301 + b"}", "a number has more than 4,300 digits): write the number as a text"),
        (b'{"a": "\\ud800"}', "\\ud800 is half of a character (a lone surrogate)"),
        (b'{"\\uDFFFa": 1}', "\\udfff is half of a character"),
        (b'{"a": "\xe9"}', "not UTF-8 text (byte 0xe9 at position 8): save the file as UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8 text (byte 0xed at position 8)"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8 text but UTF-16: save the file as UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "not JSON (it has NUL bytes, as UTF-16 text or a damaged file has)"),
        (b"PAR1\x15\x04\xff", "not UTF-8 text but a parquet file: write it as JSON lines"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_the_sentence_names_file_and_line_and_what_to_do(tmp_path: Path, line: bytes, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        rows(tmp_path / "a.jsonl", b'{"a": 1}\n\n' + line + b"\n")
    assert str(refused.value).startswith(f"{tmp_path}/a.jsonl, line 3: ")
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.jsonl", None, "No such file or directory"),
        (".", None, "Is a directory"),
        ("a\0b", None, "embedded null byte"),
        ("a.jsonl", gzip.compress(b"{}\n" * 1000)[:-12], "ended before"),
        ("a.jsonl", gzip.compress(b"{}\n" * 1000)[:12] + b"\xff" * 20, "invalid"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, data: bytes | None, reason: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=f"cannot be read: .*{reason}.*; give an existing file of JSON lines"):
        list(jsonl_rows(tmp_path / name))


def test_texts_of_completions_are_mended() -> None:
    [line] = read_lines([b'{"a": ["x\\ud800"], "\\udc00": 1}'], mend_text=True)
    assert line.row == {"a": ["x\ufffd"], "\ufffd": 1} and not line.fault


def test_lines_say_where_they_end() -> None:
    assert [line.end for line in read_lines([b'{"a": 1}\n', b"\n", b"{"])] == [9, 11]


def test_the_size_is_known_only_of_plain_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"{}\n")
    (tmp_path / "b").write_bytes(gzip.compress(b"{}\n"))
    assert [plain_size(tmp_path / name) for name in ("a", "b", "none", ".")] == [3, 0, 0, 0]
    assert list(file_lines(tmp_path / "b")) == [b"{}\n"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=10,
)


@given(JSON, st.booleans())
def test_standard_json_is_read_as_pythons_own_reader_does(value: Any, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == (value, "")


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()[:-1]))
def test_any_bytes_end_in_a_value_or_in_one_sentence(text: bytes) -> None:
    value, fault = parse(text)
    assert not fault or (value is None and "\n" not in fault)


def test_nesting_is_counted_by_its_deepest_place() -> None:
    text = b'{"a": [1, ' + b"[" * (DEEPEST - 2) + b"]" * (DEEPEST - 2) + b"]}"
    assert parse(text)[1] == ""
    assert "200 levels" in parse(text.replace(b"[1, ", b"[1, [").replace(b"]}", b"]]}"))[1]
