import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rewards.kit.audit import Audit, audit
from rewards.kit.probes import Gold, probes
from rewards.kit.rows import FORMS, answers_of, form, gold_completions, read_rows

ROWS = [{"question": f"What is {n} and {n}?", "answer": str(2 * n)} for n in (17, 36, 50)]
Write = Callable[[str], str]

HEAD = """
import os, random, time
def last(completion):
    return completion.rpartition("\\\\boxed{")[2].partition("}")[0] if "\\\\boxed{" in completion else ""
"""
CAREFUL = "def f(completion, answer): return last(completion) == answer\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a reward `f`, in a folder that is the current one, and names it."""
    monkeypatch.chdir(tmp_path)

    def written(code: str) -> str:
        (tmp_path / "mine.py").write_text(HEAD + code, encoding="utf-8")
        return "mine.py:f"

    return written


def audited(spec: str, rows: list[dict[str, Any]] = ROWS, **options: Any) -> Audit:
    return audit(spec, rows, options={}, **options)


def findings(result: Audit) -> dict[str, list[str]]:
    return {probe.name: probe.findings for probe in result.probes if probe.findings}


def test_a_careful_reward_passes(write: Write) -> None:
    result = audited(write(CAREFUL))
    assert result.findings == [] and result.notes == []
    assert result.gold == "\\boxed{}" and result.rows == 3
    right, *others = result.probes
    assert (right.name, right.completions, right.lowest, right.mean, right.highest) == ("right answer", 3, 1, 1, 1)
    assert [probe.name for probe in others if probe.highest] == []
    assert {probe.name for probe in others if not probe.judged} == {"in odd script"}
    assert all(probe.p50 is not None and 0 < probe.p50 <= (probe.p99 or 0) for probe in result.probes)


def test_a_reward_that_pays_for_mentions_is_found(write: Write) -> None:
    found = findings(audited(write("def f(completion, answer): return answer in completion\n")))
    assert found.keys() == {"answer spam", "one of several named"}
    assert found["answer spam"][0].startswith("9 of 9 are paid")
    assert found["one of several named"][0].startswith("6 of 6 are paid, up to 1 for 'It might be 35, or 34, ")


@pytest.mark.slow
def test_what_flexible_extraction_pays_for_is_shown() -> None:
    result = audited("math")
    assert result.findings == []
    assert {reading.name: (reading.strict, reading.flexible) for reading in result.readings} == {
        "right, marked": (1, 1),
        "right, in a sentence": (0, 1),
        "right, before other words": (0, 1),
        "cut off after the right number": (0, 1),
        "right by guess, in a sentence": (0, 1),
        "right, then a wrong sentence": (0, 0),
        "wrong, then the right one in brackets": (0, 0),
        "right or wrong": (0, 0),
        "not the right one": (0, 0),
        "right, in a program": (0, 0),
    }


def test_a_reward_without_the_option_has_one_reading(write: Write) -> None:
    assert audited(write(CAREFUL)).readings == []


def test_what_pays_a_part_may_be_allowed(write: Write) -> None:
    part = write(
        "def f(completion, answer): return 1 if last(completion) == answer else 0.1 * (answer in completion)\n"
    )
    assert findings(audited(part))
    assert findings(audited(part, may_pay=0.1)) == {}


@pytest.mark.slow
def test_code_that_runs_and_powers_that_hang_are_found(write: Write) -> None:
    evaluating = write(
        "def f(completion, answer):\n    try: return str(eval(last(completion))) == answer\n"
        "    except Exception: return 0\n"
    )
    found = findings(audited(evaluating, timeout=5))
    assert found["code"] == ["a completion was executed as a program"]
    assert found["giant powers"] == ["hangs: no answer within 5 s"]


def test_what_pays_for_nothing_at_all_is_found(write: Write) -> None:
    found = findings(audited(write("def f(completion, answer): return float(last(completion) in ('', answer))\n")))
    assert {"empty", "white space", "the prompt again"} <= found.keys()
    assert found["empty"] == ["3 of 3 are paid, up to 1 for '' on row 1"]


def test_right_answers_that_are_not_paid_are_found(write: Write) -> None:
    result = audited(write("def f(completion, answer): return None if answer == '72' else 0.0\n"))
    assert findings(result)["right answer"] == [
        "2 of 3 are not paid, such as 'So it is \\\\boxed{34}.' on row 1",
        "1 of 3 are ungradable, such as row 2",
    ]
    assert findings(result).keys() == {"right answer"}  # None on row 2 hides nothing: its gold answer is at fault


@pytest.mark.parametrize("code", ["def f(completion): return None\n", "def f(completion, answer): return None\n"])
def test_a_reward_that_grades_nothing_is_found(code: str, write: Write) -> None:
    [finding] = audited(write(code)).findings
    assert finding.startswith("right answer: all 3 get None, so the reward graded nothing")


def test_hiding_from_the_loss_is_found(write: Write) -> None:
    result = audited(write("def f(completion, answer): return last(completion) == answer if completion else None\n"))
    assert "3 of 3 get None where a right answer does not" in findings(result)["empty"][0]
    (empty,) = [probe for probe in result.probes if probe.name == "empty"]
    assert (empty.ungradable, empty.mean) == (3, None)


def test_exceptions_are_found_with_their_message(write: Write) -> None:
    found = findings(
        audited(write("def f(completion, answer): completion.encode(); return last(completion) == answer\n"))
    )
    assert found.keys() == {"Unicode"}
    assert found["Unicode"][0].startswith("UnicodeEncodeError: 'utf-8' codec can't encode")


def test_sums_of_the_wrong_size_are_found(write: Write) -> None:
    found = findings(audited(write("def f(completions, answer): return [1.0]\n")))
    assert "returned 1 items for 3 completions" in found["right answer"][0]


def test_chance_is_found(write: Write) -> None:
    found = findings(
        audited(write("def f(completion, answer): return random.random() * (last(completion) == answer)\n"))
    )
    assert any(finding.endswith("the second time") for finding in found["right answer"])


def test_dependence_on_the_order_is_found_and_on_the_batch_is_noted(write: Write) -> None:
    first = write("def f(completions, answer): return [last(c) == a and 1 / (1 + i) for i, (c, a) in "
                  "enumerate(zip(completions, answer))]\n")  # fmt: skip
    result = audited(first)
    assert any(finding.endswith("in another order") for finding in findings(result)["right answer"])
    shared = audited(write("def f(completions, answer): return [(last(c) == a) / len(answer) for c, a in "
                           "zip(completions, answer)]\n"))  # fmt: skip
    assert shared.findings == []
    assert shared.notes == ["what a completion earns depends on the others of its batch: right answer"]


@pytest.mark.slow
def test_a_hang_and_a_death_cost_one_probe_and_leave_no_process(write: Write, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    fragile = write(
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "def f(completion, answer):\n"
        "    while len(completion) > 50_000: time.sleep(1)\n"
        "    if not completion: os._exit(7)\n"
        "    return last(completion) == answer\n"
    )
    began = time.monotonic()
    result = audited(fragile, timeout=5)
    assert findings(result) == {
        "empty": ["ended its process with exit code 7, as os._exit does"],
        "very long": ["hangs: no answer within 5 s"],
    }
    assert time.monotonic() - began < 60
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 3  # the first, and one after each failure
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_format_reward_is_shown_and_not_judged() -> None:
    result = audited("answer_format")
    assert result.gold == "<answer>" and result.findings == []
    assert result.notes == [
        "it asks for no column and pays right and wrong answers alike, so what it pays is not judged"
    ]
    assert not any(probe.judged for probe in result.probes)


def test_columns_taken_by_stars_are_judged_by_what_they_pay(write: Write) -> None:
    found = findings(audited(write("def f(completion, **columns): return columns['answer'] in completion\n")))
    assert "answer spam" in found


def test_token_ids_and_options_are_given(write: Write) -> None:
    spec = write(
        "class f:\n    def __init__(self, most): self.most = most\n"
        "    def __call__(self, completion, answer, completion_ids):\n"
        "        return len(completion_ids) <= self.most and last(completion) == answer\n"
    )
    assert audit(spec, ROWS, options={"most": 100}).findings == []
    short = audit(spec, ROWS, options={"most": 3})
    assert findings(short)["right answer"][0].startswith("3 of 3 are not paid")


def test_the_right_answer_may_be_a_column_of_completions() -> None:
    rows: list[dict[str, Any]] = [
        {"nums": [3, 4], "target": 12, "completion": "<answer>3 * 4</answer>"},
        {"nums": [9, 5], "target": 4, "completion": "<answer>9 - 5</answer>"},
    ]
    result = audited("countdown", rows)
    assert result.gold == "the column 'completion'" and result.findings == []
    assert result.notes == ["the rows have no short right answers, so it was not tried with many answers at once"]
    assert "answer spam" not in {probe.name for probe in result.probes}


@pytest.mark.parametrize(
    ("code", "rows", "said"),
    [
        (CAREFUL, [{"question": "?", "gold": "1"}], "needs the column 'answer'.*question, gold: give answer=KEY"),
        (
            "def f(completion, **c): return 1\n",
            [{"question": "?"}],
            "do not tell the right answers; give them a column",
        ),
        ("def f(completion, a, b): return 1\n", [{"a": 1, "b": 2}], "do not tell the right answers"),
        ("def f(completion, answer, /): return 1\n", ROWS, "takes 'completion' by position only"),
        ("class f:\n  def __init__(self, x): 1\n  def __call__(self, completion): 1\n", ROWS, "the option 'x'"),
        ("1 / 0\n", ROWS, "ZeroDivisionError"),
        ("raise SystemExit('no')\n", ROWS, "mine.py does not import: SystemExit: no; correct it"),
    ],
)
def test_bad_input_is_one_sentence(code: str, rows: list[dict[str, Any]], said: str, write: Write) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        audited(write(code), rows)
    assert "\n" not in str(caught.value)


def test_an_unknown_option_is_refused(write: Write) -> None:
    with pytest.raises(BadInput, match="has no option 'strict'"):
        audit(write(CAREFUL), ROWS, options={"strict": True})


def oracle(completion: str, answer: str) -> bool:
    """A careful grader: after the thinking, the last answer in each usual form, or the whole text, is the right one."""
    rest = completion.rpartition("</think>")[2]
    given = {
        rest.strip(),
        rest.rpartition("\\boxed{")[2].partition("}")[0].strip() if "\\boxed{" in rest else None,
        rest.rpartition("</answer>")[0].rpartition("<answer>")[2].strip() if "</answer>" in rest else None,
        rest.rpartition("####")[2].strip() if "####" in rest else None,
    }
    return answer in given


@pytest.mark.parametrize("way", [*FORMS, "the column 'solution'"])
@pytest.mark.parametrize("answers", [["34", "1,200", "-7"], ["Paris", "Rome", "Paris"], ["x+1", "1/2", "3.50"]])
def test_a_careful_grader_can_refuse_every_probe(way: str, answers: list[str], tmp_path: Path) -> None:
    completions = [form(way if way in FORMS else "\\boxed{}", answer) for answer in answers]
    gold = Gold(way, ["What is it?"] * 3, completions, answers)
    assert all(oracle(text, answer) for text, answer in zip(completions, answers, strict=True))
    names = []
    for probe in probes(gold, tmp_path):
        names.append(probe.name)
        assert len(probe.completions) == len(probe.rows) > 0
        assert json.loads(json.dumps(probe.completions)) == probe.completions  # they reach the other process unharmed
        if probe.judged:
            paid = [t for t, row in zip(probe.completions, probe.rows, strict=True) if oracle(t, answers[row])]
            assert paid == [], probe.name
    assert len(names) == len(set(names)) == 13


def test_spam_holds_the_right_answer_among_fifty(tmp_path: Path) -> None:
    gold = Gold("\\boxed{}", [""], [form("\\boxed{}", "34")], ["34"])
    spam = next(probe for probe in probes(gold, tmp_path) if probe.name == "answer spam")
    assert spam.completions[0].count("\\boxed{") == 50 and spam.completions[0].count("\\boxed{34}") == 1


def test_answers_and_ways_to_give_them() -> None:
    assert answers_of([{"answer": "Two. #### 72"}, {"answer": 5}], []) == ["72", "5"]
    assert answers_of([{"capital": "Rome"}], ["capital"]) == ["Rome"]
    assert answers_of([{"a": 1, "b": 1}], ["a", "b"]) is None
    assert answers_of([{"answer": [1]}], []) is None
    ways = gold_completions([{"solution": "It is 2.", "answer": "2"}], ["2"])
    assert ways["the column 'solution'"] == ["It is 2."] and ways["####"] == ["Let me see.\n#### 2"]
    assert list(gold_completions([{"completion": "x"}], None)) == ["the column 'completion'"]


def test_rows_are_read_renamed_and_limited(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"q": "a\u2028b", "a": 1}\n\n{"q": "c", "a": 2}\nnever read\n', encoding="utf-8")
    rows = read_rows(path, {"answer": "a", "question": "q"}, limit=2)
    assert [(row["question"], row["answer"]) for row in rows] == [("a\u2028b", 1), ("c", 2)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no row"),
        ('{"a": 1}\n{"a": 1', "line 2: not JSON"),
        ("[1]", "line 1: a JSON list, not a JSON object"),
        ('{"b": 1}', "line 1 has no key 'a' for the column 'answer'; it has b"),
        ('{"a": 1}\n{"a": 1, "c": 2}', "line 2: only some rows have the key 'c'"),
        ("\udcff", "line 1: not UTF-8 text"),
    ],
)
def test_bad_rows_are_told_by_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=said):
        read_rows(path, {"answer": "a"}, limit=9)
    with pytest.raises(BadInput, match="cannot be read"):
        read_rows(tmp_path / "missing.jsonl", {}, limit=9)
