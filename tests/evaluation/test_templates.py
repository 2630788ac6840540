"""Prompt templates: their exact text, their stop strings, and answers in each of them under the real graders."""

import contextlib
import io
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from rewards.code.extract import program_text
from rewards.countdown import countdown
from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection, RewardsSection
from rl.evaluation import shots
from rl.evaluation.templates import AFTER_A_FUNCTION, TEMPLATES, TURNS, default_template, templated
from rl.grading.answers import build_grader
from rl.problems.benchmark import Benchmark, builtin_benchmark
from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter
from tests.conftest import byte_tokenizer

HEAD = 'def twice(x: int) -> int:\n    """Two times x: {2x}."""\n'
SUM = {"question": "What is 6 * 7 in {braces}?", "answer": "42"}
TASK = {
    "question": "Write a function to double a number.",
    "asserts": "assert twice(2) == 4",
    "kind": "check",
    "entry_point": "twice",
    "check": "assert twice(2) == 4",
}
FUNCTION = {
    "question": HEAD,
    "prefix": HEAD,
    "kind": "check",
    "entry_point": "twice",
    "check": "def check(candidate):\n    assert candidate(2) == 4\n",
}
GAME = {"question": "Write an expression that equals 7.", "nums": [3, 4], "target": 7}
STEPS = "\nThink step by step, and end with the final answer inside \\boxed{}."


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


def shown(name: str, template: str, columns: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast) -> Prompt:
    section = templated(builtin_benchmark(name), template).problems.model_copy(update={"max_prompt_length": 10_000})
    prompt = Prompter(section, tokenizer).render(Problem("p/0", columns))
    assert tokenizer.decode(list(prompt.token_ids)) == prompt.text and prompt.text.endswith(prompt.prefill)
    return prompt


def stops(name: str, template: str) -> list[str]:
    return templated(builtin_benchmark(name), template).stop


def test_chat(tokenizer: PreTrainedTokenizerFast) -> None:
    benchmark = builtin_benchmark("gsm8k")
    assert templated(benchmark, "chat") == benchmark
    question = SUM["question"] + STEPS
    text = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    assert shown("gsm8k", "chat", SUM, tokenizer).text == text


def test_plain(tokenizer: PreTrainedTokenizerFast) -> None:
    assert shown("gsm8k", "plain", SUM, tokenizer).text == f"Question: {SUM['question']}{STEPS}\nAnswer:"
    assert stops("gsm8k", "plain") == ["\nQuestion:"]


def test_a_prompt_that_was_written_as_text_stays_as_it_is() -> None:
    section = ProblemsSection(source="jsonl", path="x", prompt="{question} =", chat_template=False)
    benchmark = Benchmark(name="sums", problems=section, rewards=RewardsSection(functions={"exact_number": 1.0}))
    assert templated(benchmark, "plain") == benchmark
    assert templated(benchmark, "chat").problems.chat_template


def test_few_shot(tokenizer: PreTrainedTokenizerFast) -> None:
    text = shown("gsm8k", "few-shot", SUM, tokenizer).text
    first, second = shots.MATHEMATICS[0], shots.MATHEMATICS[1]
    assert text.startswith(f"Question: {first[0]}\nAnswer: {first[1]}\n\nQuestion: {second[0]}\nAnswer: ")
    assert text.endswith(f"\n\nQuestion: {SUM['question']}\nAnswer:") and text.count("Question: ") == 5
    assert "Think step by step" not in text and stops("gsm8k", "few-shot") == ["\nQuestion:"]
    text = shown("humaneval", "few-shot", FUNCTION, tokenizer).text
    assert text.endswith(f"```\n\nQuestion: {HEAD}\nAnswer:") and text.count("\nAnswer:\n```python\n") == 3
    text = shown("mbpp", "few-shot", TASK, tokenizer).text
    assert text.endswith("double a number.\nYour program should pass these tests:\nassert twice(2) == 4\nAnswer:")
    assert shown("countdown", "few-shot", GAME, tokenizer).text.count("<answer>") == 3


def test_a_benchmarks_own_examples_come_first(tokenizer: PreTrainedTokenizerFast) -> None:
    own = builtin_benchmark("gsm8k").model_copy(update={"shots": [("1 + 1?", "\\boxed{2}")]})
    prompt = Prompter(templated(own, "few-shot").problems, tokenizer).render(Problem("p/0", SUM))
    assert prompt.text == f"Question: 1 + 1?\nAnswer: \\boxed{{2}}\n\nQuestion: {SUM['question']}\nAnswer:"


@pytest.mark.parametrize(
    ("functions", "loader"), [({"reasoning_gym": 1.0}, None), ({"mine.py:f": 1.0}, None), ({"math": 1.0}, lambda: [])]
)
def test_without_examples_there_is_no_few_shot_prompt(functions: dict[str, float], loader: Any) -> None:
    section = ProblemsSection(source="jsonl", path="x")
    benchmark = Benchmark(name="b", problems=section, rewards=RewardsSection(functions=functions), loader=loader)
    with pytest.raises(
        BadInput, match=r"no worked examples for .* of b; use another template \(chat, plain, none, r1\)"
    ):
        templated(benchmark, "few-shot")


def test_none(tokenizer: PreTrainedTokenizerFast) -> None:
    assert shown("gsm8k", "none", SUM, tokenizer).text == SUM["question"] and stops("gsm8k", "none") == []
    assert shown("humaneval", "none", FUNCTION, tokenizer).text == HEAD
    assert stops("humaneval", "none") == list(AFTER_A_FUNCTION)
    prompt = shown("mbpp", "none", TASK, tokenizer)
    words = "Write a function to double a number.\nYour program should pass these tests:\nassert twice(2) == 4\n\n"
    assert (prompt.text, prompt.prefill) == (words + "```python\n", "```python\n")
    assert stops("mbpp", "none") == ["\n```"]


def test_r1(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt = shown("gsm8k", "r1", SUM, tokenizer)
    assert prompt.text == f"{TURNS}\n\nUser: {SUM['question']}{STEPS}\nAssistant: <think>"
    assert prompt.prefill == "<think>" and stops("gsm8k", "r1") == ["</answer>", "\nUser:"]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", ["math500", "countdown", "humaneval", "mbpp", "livecodebench"])
def test_only_prompts_and_stop_strings_change(name: str, template: str) -> None:
    before, after = builtin_benchmark(name), templated(builtin_benchmark(name), template)
    ours = {"chat_template", "prompt", "system_prompt", "few_shot", "prefill"}
    assert before.model_copy(update={"problems": None, "stop": None}) == after.model_copy(
        update={"problems": None, "stop": None}
    )
    assert before.problems.model_dump(exclude=ours) == after.problems.model_dump(exclude=ours)
    assert Benchmark.model_validate(after.model_dump()) == after


def test_the_benchmarks_own_stop_strings_stay() -> None:
    benchmark = builtin_benchmark("gsm8k").model_copy(update={"stop": ["###"]})
    assert [templated(benchmark, name).stop[0] for name in TEMPLATES] == ["###"] * 5


def test_names() -> None:
    assert (default_template(True), default_template(False)) == ("chat", "plain")
    with pytest.raises(BadInput, match="no prompt template 'fewshot'; did you mean few-shot"):
        templated(builtin_benchmark("gsm8k"), "fewshot")
    with pytest.raises(BadInput, match="'xyz'; the templates are chat, plain, few-shot, none, r1"):
        templated(builtin_benchmark("gsm8k"), "xyz")


BODY = "    return 2 * x\n"
PROGRAM = f"```python\ndef twice(x):\n{BODY}```"
BOXED = " 6 * 7 = 42. The answer is \\boxed{42}."


@pytest.fixture(scope="module")
def grade() -> Iterator[Any]:
    """Whether a benchmark's graders call a completion right, the prompt's prefill before it."""
    with contextlib.ExitStack() as stack:
        graders: dict[str, Any] = {}

        def grade(name: str, template: str, columns: Mapping[str, Any], completion: str) -> bool | None:
            if name not in graders:
                graders[name] = stack.enter_context(build_grader(builtin_benchmark(name).rewards))
            prefill = templated(builtin_benchmark(name), template).problems.prefill
            given = {key: [value] for key, value in columns.items()}
            (graded,) = graders[name].grade([prefill + completion], [""], given)
            return graded.solved

        yield grade


@pytest.mark.parametrize(  # a completion keeps the stop string that ended it
    ("name", "template", "columns", "completion"),
    [
        ("gsm8k", "plain", SUM, BOXED + "\nQuestion:"),
        ("gsm8k", "few-shot", SUM, BOXED + "\n\nQuestion:"),
        ("gsm8k", "none", SUM, BOXED),
        ("gsm8k", "r1", SUM, f" six sevens</think> <answer>{BOXED}</answer>"),
        ("gsm8k", "r1", SUM, " six sevens</think>\n<answer>\\boxed{42}</answer>\nUser:"),
        ("countdown", "few-shot", GAME, " <answer>3 + 4</answer>\n\nQuestion:"),
        ("countdown", "r1", GAME, " 3 + 4</think> <answer>3 + 4</answer>"),
        ("mbpp", "plain", TASK, f"\n{PROGRAM}\n\nQuestion:"),
        ("mbpp", "few-shot", TASK, f"\n{PROGRAM}\n\nQuestion:"),
        ("mbpp", "few-shot", TASK, f" {PROGRAM}"),
        ("mbpp", "none", TASK, f"def twice(x):\n{BODY}```"),
        ("mbpp", "r1", TASK, f" doubling</think>\n<answer>\n{PROGRAM}\n</answer>"),
        ("humaneval", "few-shot", FUNCTION, f"\n{PROGRAM}\n\nQuestion:"),
        ("humaneval", "r1", FUNCTION, f" doubling</think> <answer>\n{PROGRAM}</answer>"),
        *[("humaneval", "none", FUNCTION, BODY + stop) for stop in ("", *AFTER_A_FUNCTION)],
    ],
)
def test_right_answers_are_found_and_wrong_ones_are_not(
    name: str, template: str, columns: dict[str, Any], completion: str, grade: Any
) -> None:
    assert grade(name, template, columns, completion) is True
    wrong = completion.replace("42", "43").replace("3 + 4", "3 * 4").replace("2 * x", "3 * x")
    assert grade(name, template, columns, wrong) is False


@pytest.mark.parametrize(
    ("shot", "gold"),
    list(zip(shots.MATHEMATICS, ["89", "15", "\\frac{1}{6}", "61"], strict=True)),
    ids=lambda _: "",
)
def test_the_examples_of_mathematics_are_right(shot: tuple[str, str], gold: str, grade: Any) -> None:
    assert grade("gsm8k", "few-shot", {"question": shot[0], "answer": gold}, shot[1]) is True
    assert re.search(r"The answer is \\boxed\{.+\}\.$", shot[1])


@pytest.mark.parametrize("shot", shots.COUNTDOWN, ids=lambda _: "")
def test_the_examples_of_countdown_are_right(shot: tuple[str, str]) -> None:
    target, numbers = re.findall(r"equals (\d+) and uses each of the numbers \[(.*?)\]", shot[0])[0]
    assert countdown([shot[1]], [[int(number) for number in numbers.split(",")]], [int(target)]) == [1.0]


def run(program: str, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "example.py"
    path.write_text("from typing import List\n" + program)
    return runpy.run_path(str(path))


@pytest.mark.parametrize("shot", [*shots.TASKS, *shots.HEADS], ids=lambda _: "")
def test_the_examples_of_functions_are_right(shot: tuple[str, str], tmp_path: Path) -> None:
    checks = re.findall("^assert .*", shot[0], re.M)
    checks += [f"assert {call} == {value}" for call, value in re.findall(r">>> (.*)\n *(.*)", shot[0])]
    program = program_text(shot[1])
    assert program and checks
    run(program + "\n" + "\n".join(checks), tmp_path)


def test_the_examples_of_contests_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for question, answer in shots.CONTESTS:
        program = program_text(answer)
        assert program
        if "Input:" not in question:
            best = run(program, tmp_path)["Solution"]().mostArticles
            assert (best([5, 1, 3], 4), best([5], 4), best([2, 2], 4)) == (2, 0, 2)
            continue
        given, wanted = re.findall(r"Input:\n(.*)\n\nOutput:\n(.*)", question, re.S)[0]
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        with contextlib.redirect_stdout(io.StringIO()) as said:
            run(program, tmp_path)
        assert said.getvalue().strip() == wanted
