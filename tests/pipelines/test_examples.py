"""From rows to token ids: what is learned is exactly what follows the prompt that training uses."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.pipelines.examples import Encoder, Example, fitting, gather_rows
from rl.pipelines.schema import DataSection
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter
from tests.conftest import byte_tokenizer

EOS = 2


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


def section(**keys: Any) -> ProblemsSection:
    return ProblemsSection(source="arithmetic", **({"chat_template": False, "prompt": "{question} ="} | keys))


def learned(example: Example) -> list[int]:
    return [token for token, mask in zip(example.input_ids, example.completion_mask, strict=True) if mask]


def trace(completion: str) -> dict[str, Any]:
    return {"problem_id": "p", "problem": {"question": "1 + 1"}, "completion": completion}


@pytest.mark.parametrize("chat", [False, True])
def test_a_trace_follows_the_prompt_that_the_engine_gets(tokenizer: PreTrainedTokenizerFast, chat: bool) -> None:
    put = section(chat_template=chat, prefill="<think>")
    example = Encoder(put, tokenizer).encode(trace("<think>two</think> 2"), "row 1")
    prompt = Prompter(put, tokenizer).render(Problem("p", {"question": "1 + 1"}))
    assert tuple(example.input_ids[: -example.learned]) == prompt.token_ids
    assert tokenizer.decode(learned(example)[:-1]) == "two</think> 2"  # the prefill is given, not learned
    assert learned(example)[-1] == EOS


def test_a_trace_without_the_prefill_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(BadInput, match="line 3 does not begin with problems.prefill"):
        Encoder(section(prefill="<think>"), tokenizer).encode(trace("2"), "traces.jsonl, line 3")


@pytest.mark.parametrize(
    "said", ["<think>\ntwo</think> 2", "two</think> 2", "<think>two</think> 2", "\n<think>two</think> 2"]
)
def test_a_thought_that_the_students_template_opens_is_not_opened_twice(said: str) -> None:
    student = byte_tokenizer()
    student.chat_template = f"{student.chat_template}{{% if add_generation_prompt %}}<think>\n{{% endif %}}"
    example = Encoder(section(chat_template=True), student).encode(trace(said), "row 1")
    assert student.decode(list(example.input_ids)).count("<think>") == 1
    assert student.decode(learned(example)[:-1]).strip() == "two</think> 2"


CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": CHAT},
        {"prompt": CHAT[:1], "completion": CHAT[1:]},
        {"conversations": [{"from": "user", "value": "hi"}, {"from": "assistant", "value": "hello"}]},
    ],
)
def test_chats_of_all_layouts_are_one(tokenizer: PreTrainedTokenizerFast, row: dict[str, Any]) -> None:
    example = Encoder(section(), tokenizer).encode(row, "row")
    assert tokenizer.decode(example.input_ids) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>"
    )
    assert tokenizer.decode(learned(example)) == "hello<|im_end|>"


def test_plain_prompt_and_completion(tokenizer: PreTrainedTokenizerFast) -> None:
    example = Encoder(section(), tokenizer).encode({"prompt": "a", "completion": "b"}, "row")
    assert tokenizer.decode(example.input_ids) == "ab<|im_end|>"
    assert example.completion_mask == [0, 1, 1]


@pytest.mark.parametrize("row", [{"text": "a"}, {"prompt": "a"}, {"messages": CHAT[:1]}])
def test_rows_without_anything_to_learn_are_refused(tokenizer: PreTrainedTokenizerFast, row: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"row 9 (is nothing to learn from|does not end with an assistant)"):
        Encoder(section(), tokenizer).encode(row, "row 9")


def test_longer_sequences_are_left_out_whole() -> None:
    examples = [Example([1] * n, 1) for n in (3, 4, 5)]
    assert fitting(examples, 4) == (examples[:2], 1)


def test_a_data_set_is_mixed_in_by_its_share(tmp_path: Path) -> None:
    traces, others = tmp_path / "a" / "traces.jsonl", tmp_path / "chats.jsonl"
    traces.parent.mkdir()
    traces.write_text("\n".join(json.dumps(trace(str(n))) for n in range(4)))
    others.write_text("\n".join(json.dumps({"messages": CHAT, "n": n}) for n in range(10)))
    mixed = DataSection(source="jsonl", path=str(others), share=0.5)
    rows = gather_rows([traces], mixed, seed=0)
    assert [where for where, _ in rows[:4]] == [f"a/traces.jsonl, line {n}" for n in range(1, 5)]
    assert len(rows) == 6 and rows == gather_rows([traces], mixed, seed=0)
    assert gather_rows([traces], mixed, seed=1) != rows
    assert len(gather_rows([], mixed, seed=0)) == 10
    assert len(gather_rows([traces], DataSection(), seed=0)) == 4
