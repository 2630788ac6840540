"""Recipes, templates and files of problems that ask for more than a machine has get a sentence, at once."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rewards.errors import BadInput
from rewards.jsonl import jsonl_rows
from rl.cli import app
from rl.config.recipe_file import load_recipe
from rl.config.yaml_text import dump_yaml, parse_yaml
from rl.problems.template import fill

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGES = "a0: &a0 {k0: 1}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n  k{n}: 1\n" for n in range(1, 10)
)
LONG = "a: &a " + "x" * 100_000 + "\nb: &b [" + ", ".join(["*a"] * 1000) + "]\nc: [" + ", ".join(["*b"] * 100) + "]\n"

DOCUMENTS = {
    "laughs": LAUGHS,
    "merges": MERGES,
    "long text in aliases": LONG,
    "itself": "a: &a [*a, *a]\n",
    "itself as a key": "&a {x: *a}\n",
    "deep lists": "a: " + "[" * 5000 + "]" * 5000,
    "deep lists without ends": "a: " + "[" * 100_000,
    "deep mappings": "{a: " * 3000 + "1" + "}" * 3000,
    "deep blocks": "\n".join(" " * n + "a:" for n in range(300)),
    "long text": "a: " + "x" * 10**7,
    "many values": "a: [" + "1, " * 60_000 + "1]",
    "a number of many digits": "a: " + "9" * 5000,
    "a date that is none": "a: 2001-99-99\n",
    "a time that is none": "a: 2001-01-01 99:99:99\n",
    "a date as a key": "2001-01-01: x\n",
    "a number as a key": "1: x\n",
    "nothing as a key": "? \n: x\n",
    "a truth value as a key": "true: x\n",
    "bytes as a key": "? !!binary aGk=\n: x\n",
    "a list as a key": "? [a, b]\n: x\n",
    "an object": "a: !!python/object/apply:os.system [true]\n",
    "a key twice": "name: a\nname: b\n",
    "an alias of nothing": "a: *b\n",
    "a null byte": "a: \0\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "a set": "!!set {a, b}\n",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_is_too_much_is_refused_at_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(DOCUMENTS[name])
    began = time.monotonic()
    with pytest.raises(BadInput) as said:
        load_recipe(str(path))
    assert time.monotonic() - began < 20  # most of it is PyYAML's reading of a large file on a busy machine
    assert len(str(said.value)) < 1000


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name: a\n---\nname: b\n", "expected a single document in the stream, but found another document"),
        ("name: [a\n", "expected ',' or ']', but got '<stream end>'"),
        ("name: !!set [a]\n", "expected a mapping node, but found sequence"),
    ],
)
def test_the_fault_of_a_document_is_a_whole_sentence(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        load_recipe(str(tmp_path / "a.yaml"))
    assert f"Not valid YAML: {fault} (" in str(caught.value)


def test_anchors_and_merge_keys_of_honest_recipes_are_read() -> None:
    text = "base: &base {a: 1, b: [1, 2]}\none: *base\ntwo:\n  c: 3\n  copied: *base\n"
    assert parse_yaml(text) == {
        "base": {"a": 1, "b": [1, 2]},
        "one": {"a": 1, "b": [1, 2]},
        "two": {"c": 3, "copied": {"a": 1, "b": [1, 2]}},
    }
    merged = parse_yaml("base: &base {a: 1, b: 2}\ntwo:\n  <<: *base\n  b: 3\n")
    assert merged["two"] == {"a": 1, "b": 3}
    many = {"few_shot": [["question " * 20, "answer " * 20]] * 64}
    assert parse_yaml(dump_yaml(many)) == many


OVERRIDES = [
    "rollout.num_generations=1000000000000",
    "rollout.num_generations=-1",
    "rollout.num_generations=1e400",
    "rollout.num_generations=.nan",
    "rollout.num_generations=2.5",
    "rollout.num_generations=" + "9" * 5000,
    "rollout.max_completion_length=10000000000",
    "rollout.max_num_seqs=99999999999",
    "rollout.temperature=.inf",
    "rollout.temperature=1e300",
    "algorithm.problems_per_step=1000000000000",
    "algorithm.num_iterations=1000000",
    "optimizer.max_steps=1000000000000000000",
    "optimizer.max_steps=0x7fffffffffffffff",
    "optimizer.learning_rate=.nan",
    "optimizer.learning_rate=-.inf",
    "optimizer.learning_rate=1e400",
    "optimizer.learning_rate=-1",
    "optimizer.warmup_steps=1e300",
    "problems.size=1000000000000",
    "problems.max_prompt_length=99999999999",
    "rewards.workers=100000",
    "rewards.timeout=1e300",
    "run.seed=99999999999999999999",
    "run.max_hours=.inf",
    "evaluation.size=1000000000000",
    "evaluation.num_samples=1000000",
    "model.lora_r=1000000000",
    "optimizer.max_steps=" + "[" * 1000,
    "optimizer.max_steps=[" + "1," * 5000 + "1]",
]


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda text: text[:50])
def test_an_absurd_number_is_refused_by_its_key(override: str) -> None:
    with pytest.raises(BadInput) as said:
        load_recipe("quickstart", [override])
    assert override.partition("=")[0] in str(said.value)
    assert len(str(said.value)) < 500


def test_large_numbers_that_are_meant_are_taken() -> None:
    recipe = load_recipe(
        "quickstart", ["run.seed=9007199254740993", "optimizer.max_steps=1000000", "run.max_hours=1e6"]
    )
    assert (recipe.run.seed, recipe.optimizer.max_steps) == (9007199254740993, 10**6)


ROW: dict[str, Any] = {"question": "1 + 1?", "n": 7, "x": 0.5, "nums": [1, 2], "info": {"a.b": "c"}, "w": "9" * 12}
TEMPLATES = [
    "{question:>3000000000}",
    "{question:>1001}",
    "{question:" + "0" * 100_000 + "9}",
    "{n:3000000000d}",
    "{n:>{w}}",
    "{question:{n}}",
    "{x:.1000000000f}",
    "{x:.99999e}",
    "{question.__class__}",
    "{question.__class__.__name__}",
    "{question.__class__.__init__.__globals__[sys]}",
    "{nums.__len__}",
    "{nums[0].real}",
    "{n.real}",
    "{nums[99999999999999999999]}",
    "{nums[-1]}",
    "{info}",
    "{}",
    "{0}",
    "{question!x}",
    "{question",
    "}",
    "{question[}",
    "{question:,}",
    "{missing}",
]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda text: text[:50])
def test_a_template_that_asks_too_much_is_refused_at_once(template: str) -> None:
    began = time.monotonic()
    with pytest.raises(BadInput, match=r"problems\.prompt"):
        fill(template, ROW, "problem p")
    assert time.monotonic() - began < 2


def test_a_template_that_repeats_a_long_column_is_refused() -> None:
    with pytest.raises(BadInput, match="more than 10,000,000 characters"):
        fill("{question}" * 10_000, {"question": "x" * 10_000}, "problem p")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{question:>8}|{n:03d}|{x:.2f}|{nums[1]}|{info[a.b]}|{n!r}|{{n}}", "  1 + 1?|007|0.50|2|c|7|{n}"),
        ("{question}" * 150, "1 + 1?" * 150),
    ],
)
def test_formats_elements_and_conversions_stay(template: str, text: str) -> None:
    assert fill(template, ROW, "problem p") == text


def test_the_largest_recipe_is_read_again_once_it_is_written_out() -> None:
    shared = ["y" * 2000] * 400
    tree = parse_yaml("text: &t " + "y" * 2000 + "\nall: [" + ", ".join(["*t"] * 400) + "]\n")
    assert tree["all"] == shared
    assert parse_yaml(dump_yaml({"all": ["y" * 2000 + str(n) for n in range(400)]}))["all"][0] == "y" * 2000 + "0"


LINES = {
    "deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of many digits": b'{"a": ' + b"9" * 5000 + b"}",
    "a key twice": b'{"a": 1, "a": 2}',
    "half of a character": b'{"a": "\\ud800"}',
    "null bytes": b"\0" * 1000,
    "too long": b'{"a": "' + b"x" * 5000 + b'"}',
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", LINES)
def test_a_line_of_a_problem_file_that_is_too_much(
    name: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "too long":
        monkeypatch.setattr("rewards.jsonl.LONGEST_LINE", 4096)
    path, content = tmp_path / "p.jsonl", b'{"a": 1}\n' + LINES[name] + b"\n"
    path.write_bytes(gzip.compress(content) if packed else content)
    rows = jsonl_rows(path)
    assert next(rows) == (1, {"a": 1})
    with pytest.raises(BadInput, match="line 2") as said:
        next(rows)
    assert len(str(said.value)) < 500


def test_a_line_of_the_longest_length_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"a": "x" * 100})
    monkeypatch.setattr("rewards.jsonl.LONGEST_LINE", len(line))
    path = tmp_path / "p.jsonl"
    path.write_text(f"{line}\n{line}")
    assert [number for number, _ in jsonl_rows(path)] == [1, 2]


@pytest.mark.parametrize("name", ["laughs", "merges", "itself", "deep lists", "a date as a key", "a number as a key"])
@pytest.mark.parametrize("command", [["train"], ["plan"], ["run"], ["eval", "--model", "tiny", "--benchmark"]])
def test_commands_refuse_such_a_file_in_a_sentence(command: list[str], name: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(DOCUMENTS[name])
    result = CliRunner().invoke(app, [*command, str(path)])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit) and "error: " in result.output
    assert len(result.output) < 2000
