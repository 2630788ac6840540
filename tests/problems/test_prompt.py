"""Prompts: exact text and token ids in both forms, and every way a template can be wrong."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter
from rl.problems.template import fill, template_columns

PROBLEM = Problem("test/7", {"question": "2 + 3", "answer": "5", "nums": [1, 2, 3], "meta": {"level": 4}})


def section(**keys: Any) -> ProblemsSection:
    return ProblemsSection.model_validate({"source": "jsonl", "path": "x", **keys})


def test_chat_prompt_in_full(tokenizer: PreTrainedTokenizerFast) -> None:
    prompter = Prompter(
        section(
            prompt="What is {question}?",
            system_prompt="Think {first}.",
            few_shot=[("What is 1 + 1?", "2"), ("{x}", "y")],
            prefill="<think>\n",
        ),
        tokenizer,
    )
    prompt = prompter.render(PROBLEM)
    assert prompt.text == (
        "<|im_start|>system\nThink {first}.<|im_end|>\n"
        "<|im_start|>user\nWhat is 1 + 1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
        "<|im_start|>user\n{x}<|im_end|>\n<|im_start|>assistant\ny<|im_end|>\n"
        "<|im_start|>user\nWhat is 2 + 3?<|im_end|>\n<|im_start|>assistant\n<think>\n"
    )
    assert prompt.prefill == "<think>\n" and prompt.problem is PROBLEM
    assert tokenizer.decode(list(prompt.token_ids)) == prompt.text
    assert prompt.token_ids[0] == tokenizer.bos_token_id  # the template's, once
    assert prompt.token_ids.count(tokenizer.bos_token_id) == 7  # turns


def test_a_thought_that_the_chat_template_opens_is_prefill(tokenizer: PreTrainedTokenizerFast) -> None:
    thinking = copy.deepcopy(tokenizer)
    thinking.chat_template = f"{tokenizer.chat_template}{{% if add_generation_prompt %}}<think>\n{{% endif %}}"
    rendered = Prompter(section(), thinking).render(PROBLEM)
    assert rendered.text.endswith("assistant\n<think>\n") and rendered.prefill == "<think>\n"
    both = Prompter(section(prefill="Well,"), thinking).render(PROBLEM)
    assert both.text.endswith("assistant\n<think>\nWell,") and both.prefill == "<think>\nWell,"
    asked = section(chat_template=False, prompt="Think: <think>")  # the question's own words, no opening of the answer
    assert Prompter(asked, thinking).render(PROBLEM).prefill == ""
    thinking.chat_template += "{% if add_generation_prompt %}\n</think>\n\n{% endif %}"  # switched off, as in Qwen3
    assert Prompter(section(), thinking).render(PROBLEM).prefill == ""


def test_chat_prompt_has_the_ids_that_transformers_gives(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 3"}]
    theirs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert list(Prompter(section(system_prompt="Be brief."), tokenizer).render(PROBLEM).token_ids) == theirs


def test_plain_prompt_in_full(tokenizer: PreTrainedTokenizerFast) -> None:
    plain = section(
        chat_template=False,
        prompt="{question} =",
        system_prompt="Sums.",
        few_shot=[("1 + 1 =", " 2"), ("4 + 0 =", " 4")],
    )
    prompt = Prompter(plain, tokenizer).render(PROBLEM)
    assert prompt.text == "Sums.\n\n1 + 1 = 2\n\n4 + 0 = 4\n\n2 + 3 ="
    assert tokenizer.decode(list(prompt.token_ids)) == prompt.text  # and no special token: this tokenizer adds none
    prefilled = Prompter(plain.model_copy(update={"prefill": " <think>"}), tokenizer).render(PROBLEM)
    assert prefilled.text == prompt.text + " <think>"


def word_tokenizer(template: str) -> PreTrainedTokenizerFast:
    """Words a to d as tokens 3 to 6, special tokens around a text by `template`, e.g. `<s> $A </s>`."""
    vocab = {"<s>": 0, "</s>": 1, "<unk>": 2, "a": 3, "b": 4, "c": 5, "d": 6}
    words = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(template, special_tokens=[("<s>", 0), ("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize(
    ("template", "opening"), [("$A", ()), ("<s> $A", (0,)), ("<s> $A </s>", (0,)), ("$A </s>", ())]
)
def test_plain_prompt_opens_as_its_tokenizer_does_and_stays_open(template: str, opening: tuple[int, ...]) -> None:
    prompter = Prompter(section(chat_template=False, prompt="{q} d"), word_tokenizer(template))
    assert prompter.render(Problem("p", {"q": "a b"})).token_ids == (*opening, 3, 4, 6)


def test_chat_prompt_gets_no_second_bos() -> None:
    chat = word_tokenizer("<s> $A </s>")
    chat.chat_template = "<s> {% for m in messages %}{{ m['content'] }} c{% endfor %}"
    assert Prompter(section(prompt="a"), chat).render(PROBLEM).token_ids == (0, 3, 5)


def test_chat_without_a_template_is_refused() -> None:
    with pytest.raises(BadInput, match=r"problems\.chat_template is true .* has no chat template"):
        Prompter(section(), word_tokenizer("$A"))


def test_what_the_chat_template_refuses_is_bad_input() -> None:
    chat = word_tokenizer("$A")
    chat.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}a"
    assert Prompter(section(), chat).render(PROBLEM).token_ids == (3,)
    with pytest.raises(BadInput, match="no system role"):
        Prompter(section(system_prompt="x"), chat).render(PROBLEM)


def test_the_length_limit_is_exact(tokenizer: PreTrainedTokenizerFast) -> None:
    plain = {"chat_template": False, "prompt": "{question}"}  # 5 bytes
    assert len(Prompter(section(**plain, max_prompt_length=5), tokenizer).render(PROBLEM).token_ids) == 5
    with pytest.raises(BadInput, match=r"test/7 has 5 tokens, more than problems\.max_prompt_length = 4"):
        Prompter(section(**plain, max_prompt_length=4), tokenizer).render(PROBLEM)


def test_an_empty_prompt_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(BadInput, match="prompt of problem test/7 is empty"):
        Prompter(section(chat_template=False, prompt=""), tokenizer).render(PROBLEM)


def test_templates_follow_format_map() -> None:
    template = r"{{{nums}}} {nums[2]} {meta[level]} {question!r:>8} \boxed{{}}"
    assert fill(template, PROBLEM.columns, "here") == r"{[1, 2, 3]} 3 4  '2 + 3' \boxed{}"
    assert template_columns(template) == ("nums", "meta", "question")


@given(st.text())
def test_columns_are_put_in_as_they_stand(text: str) -> None:
    assert fill("<{x}>", {"x": text}, "here") == f"<{text}>"  # braces in a question are no template


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{topic}", r"'topic', which problem test/7 does not have; its columns: question, answer, nums, meta"),
        (r"in \boxed{answr}", r"'answr'.*brace that is meant as one is written twice"),
        ("{question", "malformed"),
        ("{}", "braces without a column name"),
        ("{0}", "braces without a column name"),
        ("{nums[9]}", "does not fit problem test/7"),
        ("{nums[x]}", "does not fit"),
        ("{meta[depth]}", "does not fit"),
        ("{question.size}", "does not fit"),
        ("{question:d}", "does not fit"),
        ("{nums:5}", "does not fit"),
    ],
)
def test_wrong_templates_are_bad_input(template: str, sentence: str, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(BadInput, match=sentence):
        Prompter(section(prompt=template), tokenizer).render(PROBLEM)
