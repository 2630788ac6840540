"""Stored outputs find their problems by id, index and order, and what does not fit is refused in one sentence."""

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection, RewardsSection
from rl.evaluation.samples import Samples, read_samples
from rl.evaluation.stored import StoredOutput
from rl.problems.benchmark import Benchmark, benchmark_table
from rl.problems.problem import Problem
from rl.run.evaluations import EvaluationRow, write_answers

HUMANEVAL_IDS = {number: {"task_id": f"HumanEval/{number}"} for number in (0, 1, 3, 4)}  # 2 is left out
MBPP_IDS = {number: {"task_id": 11 + number} for number in range(500)}
MATH_IDS = {0: {"unique_id": "test/precalculus/807.json"}, 1: {"unique_id": "test/algebra/5.json"}}
AIME_IDS = {number: {"id": 60 + number} for number in range(30)}


def benchmark(
    columns: dict[int, dict[str, Any]], name: str = "sums", id_column: str | None = None, stem: str = "sums/test"
) -> Benchmark:
    problems = [Problem(f"{stem}/{number}", row) for number, row in columns.items()]
    return Benchmark(
        name=name,
        problems=ProblemsSection(source="jsonl", path="nowhere.jsonl"),
        rewards=RewardsSection(functions={"math": 1.0}),
        id_column=id_column,
        loader=lambda: problems,
    )


def numbered(count: int) -> Benchmark:
    return benchmark({number: {"question": f"{number} + 1"} for number in range(count)})


HUMANEVAL = benchmark(HUMANEVAL_IDS, "humanevalplus", "task_id", "humanevalplus/test")
MBPP = benchmark(MBPP_IDS, "mbpp", "task_id", "mbpp/test")
MATH = benchmark(MATH_IDS, "math500", "unique_id", "MATH-500/test")
AIME = benchmark(AIME_IDS, "aime24", "id", "aime24/train")


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Samples]:
    """Writes rows and reads them as samples for the first `limit` problems of a benchmark."""

    def write_and_read(chosen: Benchmark, rows: Sequence[Any], limit: int | None = None) -> Samples:
        path = tmp_path / "samples.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_samples(path, chosen, chosen.load()[:limit])

    return write_and_read


def said(samples: Samples) -> dict[str, list[str]]:
    return {name: [output.text for output in outputs] for name, outputs in samples.outputs.items()}


def test_rows_by_index_in_any_order_and_number(read: Callable[..., Samples]) -> None:
    rows = [{"index": 2, "output": "c"}, {"index": 0, "outputs": ["a", "A"]}, {"index": 2, "output": "C"}]
    samples = read(numbered(4), rows)
    assert said(samples) == {"sums/test/0": ["a", "A"], "sums/test/2": ["c", "C"]}
    assert list(samples.outputs) == ["sums/test/0", "sums/test/2"]
    assert (samples.missing, samples.passed_over, samples.notes) == (2, 0, [])


def test_index_counts_rows_that_are_left_out(read: Callable[..., Samples]) -> None:
    samples = read(HUMANEVAL, [{"index": number, "output": str(number)} for number in range(5)])
    assert said(samples) == {f"humanevalplus/test/{number}": [str(number)] for number in (0, 1, 3, 4)}
    assert (samples.missing, samples.passed_over) == (0, 1)
    assert samples.notes == ["Rows for problems that humanevalplus leaves out are passed over: number 2."]


@pytest.mark.parametrize(
    ("chosen", "spelling", "problem"),
    [
        (HUMANEVAL, "HumanEval/3", "humanevalplus/test/3"),
        (HUMANEVAL, "humaneval/3", "humanevalplus/test/3"),
        (HUMANEVAL, "humanevalplus/test/3", "humanevalplus/test/3"),
        (HUMANEVAL, "3", "humanevalplus/test/3"),
        (HUMANEVAL, 3, "humanevalplus/test/3"),
        (MBPP, 11, "mbpp/test/0"),
        (MBPP, "11", "mbpp/test/0"),
        (MBPP, "Mbpp/11", "mbpp/test/0"),
        (MBPP, "MBPP/11", "mbpp/test/0"),
        (MBPP, "mbpp/test/11", "mbpp/test/11"),
        (MBPP, "mbpp/510", "mbpp/test/499"),
        (MATH, "test/algebra/5.json", "MATH-500/test/1"),
        (MATH, "MATH-500/test/1", "MATH-500/test/1"),
        (AIME, 60, "aime24/train/0"),
        (AIME, "89", "aime24/train/29"),
        (numbered(3), 2, "sums/test/2"),
        (numbered(3), "2", "sums/test/2"),
        (numbered(3), "sums/2", "sums/test/2"),
        (numbered(3), "sums/test/2", "sums/test/2"),
    ],
)
def test_spellings_of_ids(read: Callable[..., Samples], chosen: Benchmark, spelling: Any, problem: str) -> None:
    assert said(read(chosen, [{"id": spelling, "output": "x"}])) == {problem: ["x"]}
    assert said(read(chosen, [{"task_id": spelling, "completion": "x"}])) == {problem: ["x"]}


@pytest.mark.parametrize("spelling", ["HumanEval/2", "humanevalplus/test/2", 2])
def test_ids_of_problems_that_are_left_out_are_passed_over(read: Callable[..., Samples], spelling: Any) -> None:
    samples = read(HUMANEVAL, [{"id": "HumanEval/0", "output": "x"}, {"id": spelling, "output": "y"}])
    assert (said(samples), samples.passed_over) == ({"humanevalplus/test/0": ["x"]}, 1)


def test_ids_that_are_none_of_the_authors_are_numbers(read: Callable[..., Samples]) -> None:
    samples = read(AIME, [{"id": number, "output": str(number)} for number in range(30)])
    assert said(samples)["aime24/train/7"] == ["7"]
    assert samples.notes == ["The ids are taken for numbers in aime24, as none is an id of its own."]


@pytest.mark.parametrize(
    ("count", "limit", "kept", "over"),
    [(5, None, 5, 0), (5, 2, 2, 3), (2, 2, 2, 0)],
)
def test_rows_by_order(read: Callable[..., Samples], count: int, limit: int | None, kept: int, over: int) -> None:
    samples = read(numbered(5), [{"output": str(number)} for number in range(count)], limit)
    assert said(samples) == {f"sums/test/{number}": [str(number)] for number in range(kept)}
    assert (samples.missing, samples.passed_over) == (0, over)
    assert samples.notes[0] == "The rows have no ids: they are taken in the benchmark's order."
    assert samples.notes[1:] == ([f"{over} rows are for problems beyond the limit."] if over else [])


def test_rows_by_order_may_leave_out_what_we_leave_out(read: Callable[..., Samples]) -> None:
    four = read(HUMANEVAL, [{"output": text} for text in "abde"])
    five = read(HUMANEVAL, [{"output": text} for text in "abcde"])
    assert (
        said(four) == said(five) == {f"humanevalplus/test/{n}": [t] for n, t in zip((0, 1, 3, 4), "abde", strict=True)}
    )
    assert (four.passed_over, five.passed_over) == (0, 1)


def test_a_limit_passes_over_named_rows_beyond_it(read: Callable[..., Samples]) -> None:
    rows = [{"id": f"HumanEval/{number}", "output": str(number)} for number in range(5)]
    samples = read(HUMANEVAL, rows, 2)
    assert said(samples) == {"humanevalplus/test/0": ["0"], "humanevalplus/test/1": ["1"]}
    assert (samples.missing, samples.passed_over) == (0, 3)
    assert samples.notes[0] == "2 rows are for problems beyond the limit."


def test_an_id_and_an_index_that_agree(read: Callable[..., Samples]) -> None:
    rows = [{"id": 11 + number, "index": number, "output": "x"} for number in range(3)] + [{"index": 3, "output": "x"}]
    assert len(read(MBPP, rows).outputs) == 4


def test_lengths_come_along(read: Callable[..., Samples]) -> None:
    samples = read(numbered(1), [{"index": 0, "output": "a", "num_tokens": 3, "finish_reason": "length"}])
    assert samples.outputs == {"sums/test/0": [StoredOutput("a", 3, "length")]}


def test_what_the_harness_logs_counts_once_though_it_has_two_filters(read: Callable[..., Samples]) -> None:
    rows = [
        {"doc_id": number, "doc": {"question": f"{number} + 1"}, "resps": [[f"{number} and"]], "filter": name}
        for name in ("strict-match", "flexible-extract")
        for number in range(2)
    ]
    samples = read(numbered(2), rows)
    assert said(samples) == {"sums/test/0": ["0 and"], "sums/test/1": ["1 and"]}
    assert samples.notes == ["The rows of the filters flexible-extract repeat those of strict-match and do not count."]


def test_our_own_answers_come_back_in_the_order_of_their_samples(tmp_path: Path) -> None:
    rows = [
        EvaluationRow(
            f"sums/test/{p}", g, "asked", f"said {p}.{g}", "stop", 1.0, True, [1, 2], [-0.5, -0.5], num_tokens=2
        )
        for g in (1, 0)
        for p in (0, 1)
    ]
    write_answers(tmp_path / "answers.parquet", rows)
    chosen = numbered(2)
    samples = read_samples(tmp_path / "answers.parquet", chosen, chosen.load())
    assert said(samples) == {"sums/test/0": ["said 0.0", "said 0.1"], "sums/test/1": ["said 1.0", "said 1.1"]}
    assert samples.outputs["sums/test/0"][0] == StoredOutput("said 0.0", 2, "stop")


def test_sets_of_several_sources_are_counted_through(read: Callable[..., Samples]) -> None:
    problems = [Problem(f"mgsm/{language}/test/{n}", {}) for language in ("en", "fa") for n in range(2)]
    chosen = numbered(1).model_copy(update={"name": "mgsm", "loader": lambda: problems})
    by_index = read(chosen, [{"index": number, "output": str(number)} for number in range(4)])
    assert said(by_index) == {problem.id: [str(number)] for number, problem in enumerate(problems)}
    assert said(read(chosen, [{"id": "mgsm/fa/test/1", "output": "x"}])) == {"mgsm/fa/test/1": ["x"]}


@pytest.mark.parametrize(
    ("chosen", "rows", "sentence"),
    [
        (numbered(3), [{"index": 3}], "line 1: index 3 is not in sums, which counts from 0 to 2"),
        (numbered(3), [{"index": 0}, {"index": -1}], "line 2: index -1 is not in sums"),
        (
            numbered(30),
            [{"id": 1}, {"id": 2}, {"id": 31}],
            "line 3: sums has no problem '31', the nearest is 'sums/test/29'",
        ),
        (
            HUMANEVAL,
            [{"id": "HumanEval/0"}, {"id": "HumanEval/1"}, {"id": "HumanEval/41"}],
            "line 3: humanevalplus has no problem 'HumanEval/41', the nearest is 'HumanEval/4'",
        ),
        (MBPP, [{"id": 11}, {"id": 511}, {"id": 12}], "mbpp has no problem '511', the nearest is '510'"),
        (MBPP, [{"id": "mbpp/test/500"}], "no problem 'mbpp/test/500'"),
        (MBPP, [{"id": f"HumanEval/{n}"} for n in range(11, 15)], "line 1: 4 of 4 ids are not in mbpp, such as 'Hum"),
        (HUMANEVAL, [{"id": f"Mbpp/{n}"} for n in range(2)], "2 of 2 ids .* another benchmark"),
        (MATH, [{"id": "test/algebra/6.json"}], "no problem .*the nearest is 'test/algebra/5.json'"),
        (MATH, [{"id": 11}, {"id": 12}], "2 of 2 ids .*its own are such as 'test/precalculus/807.json'"),
        (AIME, [{"id": number} for number in range(50, 70)], "aime24 has no problem '50', the nearest is '60'"),
        (MBPP, [{"id": 11, "index": 1}], "line 1: id '11' is number 0 of mbpp, and index is 1"),
        (numbered(3), [{"index": 0}, {}], "line 2 has no id or index, but .*line 1 has an index"),
        (numbered(3), [{"index": 0}, {"id": 1}], "line 2 has an id, but .*line 1 has an index"),
        (numbered(3), [{"id": 0}, {"index": 1}], "line 2 has an index, but .*line 1 has an id"),
        (numbered(3), [{}, {}], "has 2 rows without id or index, and sums has 3 problems: .* or use `--limit 2`"),
        (
            numbered(3),
            [{}, {}, {}, {}],
            "has 4 rows without id or index, and sums has 3 problems: give each row an `id`",
        ),
        (HUMANEVAL, [{}] * 6, "has 6 rows .* humanevalplus has 4 problems"),
    ],
)
def test_rows_that_do_not_fit(
    read: Callable[..., Samples], chosen: Benchmark, rows: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        read(chosen, [row | {"output": "x"} for row in rows])


def test_rows_by_order_that_fit_neither_limit_nor_benchmark(read: Callable[..., Samples]) -> None:
    with pytest.raises(BadInput, match="has 3 rows .* sums has 5 problems"):
        read(numbered(5), [{"output": "x"}] * 3, 2)


def test_an_id_of_several_problems_is_refused(read: Callable[..., Samples]) -> None:
    chosen = benchmark({0: {"id": "a"}, 1: {"id": "a"}, 2: {"id": "b"}}, id_column="id")
    assert said(read(chosen, [{"id": "b", "output": "x"}])) == {"sums/test/2": ["x"]}
    with pytest.raises(BadInput, match="'a' stands for several problems of sums: give the `index`"):
        read(chosen, [{"id": "a", "output": "x"}])


def test_questions_that_belong_to_other_problems_are_refused(read: Callable[..., Samples]) -> None:
    right = [{"output": "x", "question": f"What is {number} + 1 ? Think."} for number in range(3)]
    assert len(read(numbered(3), right).outputs) == 3
    shifted = [{"output": "x", "question": f"{(number + 1) % 3} +  1"} for number in range(3)]
    with pytest.raises(BadInput, match="line 1 is for number 0 of sums, but asks what number 1 asks"):
        read(numbered(3), shifted)
    foreign = [{"index": number, "output": "x", "problem": "Prove it."} for number in range(3)]
    with pytest.raises(BadInput, match="not one of its questions is in sums"):
        read(numbered(3), foreign)
    assert len(read(numbered(3), [*foreign[:2], {"index": 2, "output": "x", "question": "2 + 1"}]).outputs) == 3


def test_equal_questions_of_two_problems_are_no_misfit(read: Callable[..., Samples]) -> None:
    chosen = benchmark({0: {"question": "1 + 1"}, 1: {"question": "1 + 1"}})
    assert len(read(chosen, [{"index": n, "output": "x", "question": "1 + 1"} for n in range(2)]).outputs) == 2


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 6))
def test_no_row_is_lost(tmp_path_factory: pytest.TempPathFactory, indices: list[int], limit: int) -> None:
    chosen = numbered(6)
    path = tmp_path_factory.mktemp("samples") / "a.jsonl"
    path.write_text("".join(json.dumps({"index": n, "output": str(n)}) + "\n" for n in indices))
    samples = read_samples(path, chosen, chosen.load()[:limit])
    kept = [text for outputs in samples.outputs.values() for text in (output.text for output in outputs)]
    assert sorted(kept) == sorted(str(n) for n in indices if n < limit)
    assert len(kept) + samples.passed_over == len(indices)
    assert len(samples.outputs) + samples.missing == limit


def real(name: str) -> tuple[Benchmark, list[Problem]]:
    if not os.environ.get("PENNY_DATA"):
        pytest.skip("PENNY_DATA is not set: no local benchmark files to check against")
    chosen = benchmark_table().get(name)
    if chosen is None:
        pytest.skip(f"no benchmark {name} in the table")
    return chosen, chosen.load()


@pytest.mark.parametrize(
    ("name", "column", "source_rows"),
    [
        ("humaneval", "task_id", 164),
        ("humanevalplus", "task_id", 164),
        ("mbpp", "task_id", 500),
        ("mbppplus", "task_id", 378),
        ("math500", "unique_id", 500),
        ("aime24", "id", 30),
        ("aime25", "id", 30),
        ("olympiadbench", "id", None),
        ("gsm8k", None, 1319),
    ],
)
def test_real_sets_by_id_by_index_and_by_order(
    tmp_path: Path, name: str, column: str | None, source_rows: int | None
) -> None:
    chosen, problems = real(name)
    expected = {problem.id: [f"answer to {problem.id}"] for problem in problems}
    rows = [(problem, {"output": f"answer to {problem.id}"}) for problem in problems]
    path = tmp_path / "a.jsonl"

    def samples(rows: Sequence[Any]) -> Samples:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_samples(path, chosen, problems)

    shuffled = random.Random(0).sample(rows, len(rows))
    ways = [
        [row for _, row in rows],
        [row | {"id": problem.id} for problem, row in shuffled],
        [row | {"index": int(problem.id.split("/")[-1])} for problem, row in shuffled],
        *([[row | {"id": str(problem.columns[column])} for problem, row in shuffled]] if column else []),
        *([[row | {column: problem.columns[column]} for problem, row in shuffled]] if column else []),
    ]
    for way in ways:
        found = samples(way)
        assert said(found) == expected
        assert (found.missing, found.passed_over) == (0, 0)
    if source_rows is not None:
        found = samples([{"output": str(number)} for number in range(source_rows)])
        assert (found.missing, found.passed_over) == (0, source_rows - len(problems))
        assert all(output[0].text == name.split("/")[-1] for name, output in found.outputs.items())
