"""The table of benchmarks: whole, pinned, with prompts that fit; and a user's own entry, right or wrong."""

import re
import string
from pathlib import Path

import pytest

from rewards.errors import BadInput
from rl.config.yaml_text import dump_yaml, parse_yaml
from rl.problems.benchmark import (
    Benchmark,
    Sampling,
    benchmark_table,
    builtin_benchmark,
    check_benchmark,
    read_benchmark,
    suite_table,
)
from rl.problems.problem import HELD_OUT_SEED, Problem
from rl.problems.programs import SLOW
from rl.problems.sources import NOT_ON_THE_HUB, load_problems

MGSM = ("en", "es", "fr", "de", "ru", "zh", "ja", "th", "sw", "bn", "te")
MATH = ("gsm8k", "math500", "aime24", "aime25", "amc23", "minerva", "olympiadbench", *(f"mgsm-{x}" for x in MGSM))
CODE = ("humaneval", "humanevalplus", "mbpp", "mbpp-sanitized", "mbppplus")

ENTRY = {
    "name": "mine",
    "problems": {"source": "jsonl", "path": "mine.jsonl", "prompt": "{question}"},
    "rewards": {"functions": {"math": 1.0}},
}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_benchmark_that_is_promised_is_there() -> None:
    table = benchmark_table()
    assert set(table) >= {*MATH, *CODE, "countdown", "countdown3"}
    assert all(name == benchmark.name and benchmark.description for name, benchmark in table.items())
    assert builtin_benchmark("gsm8k") is table["gsm8k"]
    with pytest.raises(BadInput, match="no benchmark 'gsm9k' in the table; it has gsm8k, math500"):
        builtin_benchmark("gsm9k")


def test_what_comes_from_the_hub_is_pinned_to_a_commit() -> None:
    hub = [benchmark.problems for benchmark in benchmark_table().values() if benchmark.problems.source == "hub"]
    pinned = [section for section in hub if (section.name, section.split) not in NOT_ON_THE_HUB]
    assert len(pinned) == len(hub) - 1 >= 22
    assert all(re.fullmatch(r"[0-9a-f]{40}", section.revision or "") for section in pinned)


def test_suites_name_benchmarks() -> None:
    suites = suite_table()
    assert suites["math"] == ["gsm8k", "math500", "aime24", "aime25", "amc23", "minerva", "olympiadbench"]
    assert suites["mgsm"] == [f"mgsm-{language}" for language in MGSM]
    assert {"humaneval", "humanevalplus", "mbpp", "mbppplus"} <= set(suites["code"])
    assert {"aime24", "math500"} <= set(suites["r1"])
    assert {name for names in suites.values() for name in names} <= set(benchmark_table())


def test_the_published_protocols() -> None:
    table = benchmark_table()
    for name in ("aime24", "aime25"):  # DeepSeek-R1's report
        assert table[name].sampling == Sampling(num_samples=64, temperature=0.6, top_p=0.95)
        assert table[name].max_completion_length == 32768
    assert table["amc23"].sampling == Sampling(num_samples=16, temperature=0.6, top_p=0.95)
    greedy = [table[name] for name in (*MATH, *CODE, "countdown", "countdown3") if name[:3] not in ("aim", "amc")]
    assert all(benchmark.sampling == Sampling(num_samples=1, temperature=0.0) for benchmark in greedy)


@pytest.mark.parametrize("name", MATH)
def test_mathematics_is_answered_in_a_box_and_can_vote(name: str) -> None:
    benchmark = benchmark_table()[name]
    prompt = benchmark.problems.prompt.format(question="How {many}?")
    assert prompt.startswith("How {many}?\n")
    assert re.search(r"\\boxed\{\}[.。]?$", prompt)
    assert benchmark.bare == "{question}" and benchmark.majority
    assert list(benchmark.rewards.functions) == ["math"]


def test_the_instruction_of_mgsm_is_in_its_language() -> None:
    prompts = [benchmark_table()[f"mgsm-{language}"].problems.prompt for language in MGSM]
    assert len(set(prompts)) == len(MGSM)
    letters = {"ru": "Ѐ-ӿ", "zh": "一-鿿", "ja": "ぁ-ヿ", "th": "ก-๛", "bn": "ঀ-৾", "te": "ఀ-౿"}
    for language, range_ in letters.items():
        prompt = benchmark_table()[f"mgsm-{language}"].problems.prompt
        assert re.search(f"[{range_}]", prompt)
        others = "".join(other for name, other in letters.items() if name not in (language, "zh"))
        assert not re.search(f"[{others}]", prompt)


def test_the_bare_question_is_the_prompt_without_its_instruction() -> None:
    for benchmark in benchmark_table().values():
        named = {field for _, field, _, _ in string.Formatter().parse(benchmark.problems.prompt) if field}
        bare = {field for _, field, _, _ in string.Formatter().parse(benchmark.bare) if field}
        assert bare and bare <= named, benchmark.name
        assert benchmark.bare in benchmark.problems.prompt, benchmark.name


def test_programs_have_time_for_the_slowest_solution() -> None:
    assert min(benchmark_table()[name].rewards.timeout for name in CODE) >= max(SLOW.values())


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("gsm8k", 1319, None),
        ("math500", 500, "test/precalculus/807.json"),
        ("aime24", 30, 60),
        ("aime25", 30, "2025-I-1"),
        ("amc23", 40, 0),
        ("minerva", 272, 0),
        ("olympiadbench", 675, 1606),
        ("countdown3", 256, None),
        ("mbpp-sanitized", 257, 11),
    ],
)
def test_local_sets_are_whole_and_have_their_ids(name: str, count: int, first: object, benchmark_data: Path) -> None:
    benchmark = benchmark_table()[name]
    problems = benchmark.load()
    assert len(problems) == count == len({problem.id for problem in problems})
    assert problems == load_problems(benchmark.problems, seed=HELD_OUT_SEED)
    if benchmark.id_column is not None:
        ids = [problem.columns[benchmark.id_column] for problem in problems]
        assert ids[0] == first and len(set(ids)) == count
    else:
        assert first is None


def test_what_is_on_no_hub_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENNY_DATA", raising=False)
    with pytest.raises(BadInput, match=r"not on the hub: set PENNY_DATA .* countdown3_test\.jsonl, made from .*d1"):
        benchmark_table()["countdown3"].load()


def test_a_loader_stands_for_the_problems_and_is_not_written() -> None:
    problems = [Problem("a/0", {"question": "1 + 1"})]
    benchmark = Benchmark.model_validate({**ENTRY, "loader": lambda: problems})
    assert benchmark.load() is problems
    assert check_benchmark(benchmark.model_dump(mode="json"), "x").model_dump() == benchmark.model_dump()
    assert "loader" not in benchmark.model_dump()


def test_a_benchmark_goes_through_yaml_and_comes_back() -> None:
    for benchmark in benchmark_table().values():
        assert check_benchmark(parse_yaml(dump_yaml(benchmark.model_dump(mode="json"))), "x") == benchmark


def test_a_file_of_ones_own_in_five_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "there/sums.jsonl", '{"question": "1 + 1", "answer": "2"}\n')
    path = write(
        tmp_path / "there/sums.yaml",
        'description: sums\nproblems: {source: jsonl, path: sums.jsonl, prompt: "{question}="}\n'
        "rewards: {functions: {math: 1}}\nsampling: {num_samples: 4, temperature: 1}\nstop: ['.']\n",
    )
    benchmark = read_benchmark(path)
    assert (benchmark.name, benchmark.description, benchmark.stop) == (str(path), "sums", ["."])
    assert benchmark.sampling == Sampling(num_samples=4, temperature=1.0)
    assert [problem.id for problem in benchmark.load()] == ["sums/0"]
    # A file of the working folder goes before one beside the YAML file.
    write(tmp_path / "sums.jsonl", '{"question": "2 + 2", "answer": "4"}\n')
    assert read_benchmark(path).load()[0].columns["answer"] == "4"
    assert read_benchmark(write(tmp_path / "named.yaml", dump_yaml(ENTRY))).name == "mine"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"promt": "x"}, r"own\.yaml: promt is no key of a benchmark; did you mean problems\?"),
        ({"xyz": "x"}, "xyz is no key of a benchmark; known: name, description, problems"),
        ({"sampling": {"temprature": 1}}, "sampling.temprature is no key .* did you mean temperature?"),
        ({"sampling": {"temperature": -1}}, "sampling.temperature: .*greater than or equal to 0, not -1"),
        ({"sampling": {"num_samples": True}}, "sampling.num_samples: .*valid integer, not True"),
        ({"rewards": None}, "rewards: .*not None"),
        ({"problems": {}}, "problems.source is missing; add it"),
        ({"loader": "os.system"}, "loader: .*callable, not 'os.system'"),
        ({"shots": [["only a question"]]}, r"shots\.0\.1 is missing"),
    ],
)
def test_a_wrong_entry_is_bad_input(change: dict[str, object], sentence: str, tmp_path: Path) -> None:
    path = write(tmp_path / "own.yaml", dump_yaml({**ENTRY, **change}))
    with pytest.raises(BadInput, match=sentence):
        read_benchmark(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n- b\n", "holds no mapping of keys"),
        ("a: [1\n", "cannot be read as YAML"),
        ("bare: a\nbare: b\n", "cannot be read as YAML .*key 'bare' is given twice"),
    ],
)
def test_a_file_that_is_no_entry_is_bad_input(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_benchmark(write(tmp_path / "own.yaml", text))
    with pytest.raises(BadInput, match="cannot be read as YAML .*No such file"):
        read_benchmark(tmp_path / "none.yaml")
