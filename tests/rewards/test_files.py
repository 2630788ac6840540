"""Grading files: what goes in comes out in order, whatever the lines, the graders and the user do."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rewards import files
from rewards.errors import BadInput
from rewards.files import Progress, Summary, grade_file
from rewards.pool import GraderPool
from rewards.verdict import Verdict


class Stub:
    """Stands in for the graders: paid is what equals the gold; `?` cannot be graded."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.interrupt_at: int | None = None
        self.options: dict[str, Any] = {}

    def grade_math(
        self, golds: Sequence[Any], completions: Sequence[str], pool: GraderPool, extraction: str
    ) -> list[Verdict]:
        self.options = {"extraction": extraction}
        if self.interrupt_at == len(self.batches):
            raise KeyboardInterrupt
        self.batches.append(len(golds))
        return [self.verdict(gold, text) for gold, text in zip(golds, completions, strict=True)]

    def grade_code(self, rows: Sequence[dict[str, Any]], pool: GraderPool, **options: Any) -> list[Verdict]:
        self.options = options
        return [self.verdict("right", row["completion"]) for row in rows]

    def verdict(self, gold: Any, text: str) -> Verdict:
        if text == "?":
            return Verdict("ungradable", "cannot tell", 0.5)
        equal = str(gold) == text
        return Verdict("correct" if equal else "wrong", "equal" if equal else "not equal", 0.25)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    made = Stub()
    monkeypatch.setattr("rewards.math.grade_math", made.grade_math)
    monkeypatch.setattr("rewards.code.grade_code", made.grade_code)
    return made


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def pairs(*texts: str) -> list[dict[str, Any]]:
    return [{"gold": "1", "response": text} for text in texts]


def test_rows_come_back_in_order_with_their_verdicts(stub: Stub, tmp_path: Path) -> None:
    rows = [
        {"id": 1, "gold": 1, "response": "1", "kept": [1], "verdict": "old"},
        {"id": 2, "gold": "3", "response": "four\u2028"},
        {"id": 3, "gold": 2.5, "response": "?"},
    ]
    source = write(tmp_path / "in.jsonl", rows)
    source.write_text("\ufeff\n" + source.read_text().replace("\n", "\n\n"))  # empty lines and a byte order mark
    summary = grade_file("math", source, tmp_path / "out.jsonl")
    assert read(tmp_path / "out.jsonl") == [
        rows[0] | {"verdict": "correct", "reward": 1.0, "reason": "equal", "seconds": 0.25},
        rows[1] | {"verdict": "wrong", "reward": 0.0, "reason": "not equal", "seconds": 0.25},
        rows[2] | {"verdict": "ungradable", "reward": None, "reason": "cannot tell", "seconds": 0.5},
    ]
    figures = summary.as_dict()
    assert (figures["rows"], figures["bad_rows"]) == (3, 0)
    assert [figures[name] for name in ("correct", "wrong", "unparseable", "ungradable")] == [1, 1, 0, 1]
    assert figures["seconds"] > 0 and figures["rows_per_second"] > 0 and "agreement" not in figures
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_how_answers_are_read_is_an_option(stub: Stub, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", pairs("1"))
    grade_file("math", source, tmp_path / "out.jsonl")
    assert stub.options == {"extraction": "flexible"}
    grade_file("math", source, tmp_path / "out.jsonl", extraction="strict")
    assert stub.options == {"extraction": "strict"}
    with pytest.raises(BadInput, match="extraction='loose' of `penny grade math`"):
        grade_file("math", source, tmp_path / "out.jsonl", extraction="loose")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"gold": ' + b"9" * 5000 + b', "response": "1"}', "not JSON"),
        (b'{"gold": "\xff"}', "not UTF-8 text"),
        (b"[1]", "a JSON list, not a JSON object"),
        (b'{"gold": "1"}', "no text under 'response'"),
        (b'{"gold": "1", "response": 1}', "no text under 'response', but 1"),
        (b'{"gold": true, "response": "1"}', "no text or finite number under 'gold', but true"),
        (b'{"response": "1"}', "no text or finite number under 'gold'"),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_the_rest_is_graded(
    stub: Stub, tmp_path: Path, line: bytes, said: str
) -> None:
    source, good = tmp_path / "in.jsonl", b'{"gold": "1", "response": "1"}\n'
    source.write_bytes(good + b"\n" + line + b"\n" + good)
    reasons: list[str] = []
    summary = grade_file("math", source, tmp_path / "out.jsonl", on_bad_row=reasons.append)
    first, bad, last = read(tmp_path / "out.jsonl")
    assert first["verdict"] == last["verdict"] == "correct"
    assert (bad["verdict"], bad["reward"], bad["seconds"]) == ("ungradable", None, 0.0)
    assert bad["reason"].startswith(f"line 3: {said}")
    assert reasons == [bad["reason"]]
    assert (summary.rows, summary.bad_rows, summary.verdicts["ungradable"]) == (3, 1, 1)


CALL = {"completion": "right", "kind": "call", "entry_point": "f", "tests": [{"args": [], "expected": 1}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"time_limit_s": 2.5}, None),
        ({"kind": "check", "tests": None, "check": "assert f() == 1"}, None),
        ({"completion": None}, "no text under 'completion', but null"),
        ({"kind": "exec"}, "its kind is 'exec', which is none of call, stdio, check"),
        ({"entry_point": None}, "it is of kind call and has no entry_point"),
        ({"tests": []}, "it is of kind call and has no list of tests"),
        ({"time_limit_s": 0}, "its time_limit_s is no positive number"),
    ],
)
def test_rows_of_programs(stub: Stub, tmp_path: Path, change: dict[str, Any], said: str | None) -> None:
    source = write(tmp_path / "in.jsonl", [CALL | change])
    summary = grade_file("code", source, tmp_path / "out.jsonl", sandbox="landlock")
    [row] = read(tmp_path / "out.jsonl")
    assert row["verdict"] == ("correct" if said is None else "ungradable")
    assert row["reason"] == ("equal" if said is None else f"line 1: {said}")
    assert summary.bad_rows == (said is not None)
    assert stub.options == {"sandbox": "landlock", "timeout": None}
    grade_file("code", source, tmp_path / "out.jsonl", timeout=3)
    assert stub.options == {"sandbox": "auto", "timeout": 3}


def test_large_files_go_by_chunks_and_tell_how_far_they_got(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK", 2)
    source = write(tmp_path / "in.jsonl", pairs("1", "2", "1", "1", "2"))
    told: list[Progress] = []
    grade_file("math", source, tmp_path / "out.jsonl", on_progress=told.append)
    assert stub.batches == [2, 2, 1]
    assert [row["reward"] for row in read(tmp_path / "out.jsonl")] == [1, 0, 1, 1, 0]
    assert told == [Progress(2, pytest.approx(0.4)), Progress(4, pytest.approx(0.8)), Progress(5, 1.0)]


def test_an_interrupt_leaves_nothing_half_written(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK", 2)
    source = write(tmp_path / "in.jsonl", pairs("1", "2", "1"))
    (tmp_path / "out.jsonl").write_text("old")
    stub.interrupt_at = 1
    told: list[Progress] = []
    with pytest.raises(KeyboardInterrupt):
        grade_file("math", source, tmp_path / "out.jsonl", on_progress=told.append)
    assert [progress.rows for progress in told] == [2]
    assert (tmp_path / "out.jsonl").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_target_rows_go_to_standard_output(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grade_file("math", write(tmp_path / "in.jsonl", pairs("1", "2")), None)
    assert [json.loads(line)["reward"] for line in capsys.readouterr().out.splitlines()] == [1, 0]


def test_a_file_may_be_graded_onto_itself_and_keeps_its_links_and_rights(stub: Stub, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", pairs("1"))
    (tmp_path / "link.jsonl").symlink_to(source)
    grade_file("math", source, tmp_path / "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink() and read(source)[0]["verdict"] == "correct"
    mask = os.umask(0)
    os.umask(mask)
    assert source.stat().st_mode & 0o777 == 0o666 & ~mask


def test_an_empty_file_is_no_rows(stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").touch()
    assert grade_file("math", tmp_path / "in.jsonl", tmp_path / "out.jsonl").as_dict()["rows"] == 0
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="missing.jsonl cannot be read: No such file"):
        grade_file("math", tmp_path / "missing.jsonl", tmp_path / "out.jsonl")
    (tmp_path / "in.jsonl").touch()
    with pytest.raises(BadInput, match="cannot be written; give a file name in an existing"):
        grade_file("math", tmp_path / "in.jsonl", tmp_path / "no" / "out.jsonl")
    with pytest.raises(BadInput, match="null is no regular file; name a new file"):
        grade_file("math", tmp_path / "in.jsonl", Path("/dev/null"))


def test_labels_are_compared_with_the_verdicts(stub: Stub, tmp_path: Path) -> None:
    labels: list[dict[str, Any]] = [
        {"correct": True, "cat": "number"},
        {"correct": False, "cat": "number"},  # paid: a false positive
        {"correct": True, "cat": "text"},  # not paid: a false negative
        {"correct": False, "cat": "text"},
        {"correct": True, "cat": "text"},  # ungradable
        {"expected_reward": 0, "tags": ["host", "fake"]},
        {"expected_reward": 1, "tags": ["host"]},  # a false negative
        {"expected_reward": 0.5},  # no label that a verdict could meet
        {"correct": "yes"},
        {"correct": True, "gold": None},  # a bad row is not judged
    ]
    texts = ["1", "1", "2", "2", "?", "2", "2", "1", "1", "1"]
    rows = [row | label for row, label in zip(pairs(*texts), labels, strict=True)]
    summary: Summary = grade_file("math", write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl")
    found = summary.as_dict()["agreement"]
    assert {key: found[key] for key in found if key != "groups"} == {
        "agreement": pytest.approx(3 / 7),
        "rows": 7,
        "false_positives": 1,
        "false_negatives": 2,
        "ungradable": 1,
    }
    assert list(found["groups"]) == ["fake", "host", "number", "text"]
    assert found["groups"]["number"]["agreement"] == 0.5 and found["groups"]["number"]["false_positives"] == 1
    assert (found["groups"]["host"]["rows"], found["groups"]["host"]["false_negatives"]) == (2, 1)
    assert found["groups"]["text"]["agreement"] == pytest.approx(1 / 3)
