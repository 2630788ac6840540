import json
from pathlib import Path

import pytest

from rewards.errors import BadInput
from rewards.files import grade_math_file


def test_rows_come_back_in_order_with_verdicts(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "gold": "\\frac12", "response": "\\boxed{0.5}", "kept": [1]},
        {"id": 2, "gold": "3", "response": "four\u2028"},
        {"id": 3, "gold": "", "response": "3"},
    ]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    assert grade_math_file(source, target, workers=1) == {"rows": 3, "correct": 1, "wrong": 1, "ungradable": 1}
    written = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["correct"] for row in written] == [True, False, None]
    assert [{key: row[key] for key in row if key not in ("correct", "reason")} for row in written] == rows
    assert all(row["reason"] for row in written)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is not JSON"),
        ("[" * 100_000, "line 2 is not JSON"),
        ("[1]", "line 2 is no object"),
        ('{"gold": "1"}', "line 2 has no text under 'response'"),
        ('{"gold": 1, "response": "1"}', "line 2 has no text under 'gold'"),
    ],
)
def test_a_bad_line_is_told_by_its_number(tmp_path: Path, line: str, said: str) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"gold": "1", "response": "1"}\n' + line + "\n")
    with pytest.raises(BadInput, match=said):
        grade_math_file(source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        grade_math_file(tmp_path / "missing.jsonl", tmp_path / "out.jsonl")
    (tmp_path / "in.jsonl").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        grade_math_file(tmp_path / "in.jsonl", tmp_path / "no" / "out.jsonl")
