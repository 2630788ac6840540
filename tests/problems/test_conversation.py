"""Rows that are conversations, as TRL's data sets have them: what the model is sent, and what rewards get."""

from collections.abc import Callable
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.grading.answers import grade_texts
from rl.problems.conversation import as_text, read_messages
from rl.problems.decontaminate import as_question
from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter, asked_length, render_without_tokenizer
from rl.problems.sets import content_key
from rl.problems.sources import load_problems

USER = {"role": "user", "content": "What is 2 + 3?"}
SYSTEM = {"role": "system", "content": "Be brief."}
HISTORY = [{"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": "2"}]


def section(**keys: Any) -> ProblemsSection:
    return ProblemsSection.model_validate({"source": "jsonl", "path": "x", "prompt": "{prompt}", **keys})


def row(*messages: Any, **columns: Any) -> Problem:
    return Problem("rows/4", {"prompt": list(messages), **columns})


@pytest.mark.parametrize(
    ("messages", "keys", "sent", "opening"),
    [
        ([USER], {}, [USER], ""),
        ([SYSTEM, USER], {}, [SYSTEM, USER], ""),
        ([SYSTEM, USER], {"system_prompt": "Think."}, [SYSTEM, USER], ""),  # the row's own stands
        ([USER], {"system_prompt": "Think."}, [{"role": "system", "content": "Think."}, USER], ""),
        ([*HISTORY, USER], {}, [*HISTORY, USER], ""),
        ([SYSTEM, USER], {"few_shot": [("1 + 1?", "2")]}, [
            SYSTEM, {"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}, USER,
        ], ""),
        ([USER], {"prefill": "<think>\n"}, [USER], "<think>\n"),
        ([USER, {"role": "assistant", "content": "So "}], {"prefill": "x"}, [USER], "So x"),
        ([*HISTORY, USER], {"prompt": "{prompt} Box it."}, [
            *HISTORY, {"role": "user", "content": "What is 2 + 3? Box it."},
        ], ""),
        ([{"role": "user", "content": [{"type": "text", "text": "2 "}, {"type": "text", "text": "+ 3"}]}], {}, [
            {"role": "user", "content": "2 + 3"},
        ], ""),
        ([{**USER, "tool_calls": None, "name": None}], {}, [USER], ""),  # nulls, as tables fill them in
    ],
)  # fmt: skip
def test_what_is_sent(
    tokenizer: PreTrainedTokenizerFast, messages: list[Any], keys: dict[str, Any], sent: list[Any], opening: str
) -> None:
    prompt = Prompter(section(**keys), tokenizer).render(row(*messages))
    theirs = tokenizer.apply_chat_template(sent, add_generation_prompt=True, tokenize=False)
    assert prompt.text == theirs + opening and prompt.prefill == opening
    assert tokenizer.decode(list(prompt.token_ids)) == prompt.text
    assert list(prompt.messages) == sent == prompt.for_rewards
    if not opening:
        served = render_without_tokenizer(section(**keys), row(*messages))
        assert list(served.messages) == sent == served.for_rewards


def test_plain_text_takes_a_system_message_and_one_question(tokenizer: PreTrainedTokenizerFast) -> None:
    plain = section(chat_template=False, system_prompt="Think.", prefill=" =", few_shot=[("1 + 1", " 2")])
    prompt = Prompter(plain, tokenizer).render(row(SYSTEM, {"role": "user", "content": "2 + 3"}))
    assert prompt.text == "Be brief.\n\n1 + 1 2\n\n2 + 3 =" == render_without_tokenizer(plain, prompt.problem).text
    assert prompt.messages == () and prompt.for_rewards == prompt.text
    with pytest.raises(BadInput, match="problem rows/4 is a conversation of 3 turns, which plain text cannot tell"):
        Prompter(plain, tokenizer).render(row(*HISTORY, USER))


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ([SYSTEM], "problem rows/4: its messages have none of the user's"),
        ([SYSTEM, {"role": "assistant", "content": "x"}], "none of the user's"),
        ([USER, {"role": 5, "content": "x"}], "column prompt, message 2: its role is a number"),
        ([USER, {"role": "user"}], "message 2: its content is null; write a text"),
        ([{"role": "user", "content": 7}], "message 1: its content is a number"),
        ([{"role": "user", "content": [{"type": "image"}]}], "message 1 has a part that is no text .image."),
        ([{"role": "user", "content": ["x"]}], "has a part that is no text"),
        ([USER, "x"], "prompt is a list, which cannot be put into problems.prompt"),
        ([], "prompt is a list"),
    ],
)
def test_what_cannot_be_sent_is_one_sentence(
    tokenizer: PreTrainedTokenizerFast, messages: list[Any], sentence: str
) -> None:
    for render in (Prompter(section(), tokenizer).render, lambda problem: render_without_tokenizer(section(), problem)):
        with pytest.raises(BadInput, match=sentence) as refused:
            render(row(*messages))
        assert "\n" not in str(refused.value)


def test_two_conversations_in_a_template_are_refused() -> None:
    problem = row(USER, chosen=[USER])
    with pytest.raises(BadInput, match="names two columns of messages, prompt and chosen"):
        render_without_tokenizer(section(prompt="{prompt} {chosen}"), problem)


def test_a_server_cannot_go_on_from_the_assistants_words() -> None:
    with pytest.raises(BadInput, match="problem rows/4 ends with a message of the assistant"):
        render_without_tokenizer(section(), row(USER, {"role": "assistant", "content": "So"}))


def test_tool_calls_are_kept() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    assert read_messages([call], "x") == ({**call, "content": ""},)


def test_what_is_compared_is_what_the_user_says() -> None:
    one, other = row(SYSTEM, *HISTORY, USER), row(*HISTORY[:1], {"role": "assistant", "content": "two"}, USER)
    assert content_key(one, "{prompt}") == content_key(other, "{prompt}") == "whatis1+1?whatis2+3?"
    assert as_question(one, ["prompt"]).text == "What is 1 + 1?\nWhat is 2 + 3?" == as_text(one.columns["prompt"])
    assert asked_length(section(), one) == len("Be brief.What is 1 + 1?2What is 2 + 3?")


def test_trls_columns_work_as_they_are(write_jsonl: Callable[[list[Any]], str]) -> None:
    rows = [{"prompt": [USER], "ground_truth": "5"}, {"prompt": [USER], "solution": "So \\boxed{5}."}]
    problems = load_problems(ProblemsSection(source="jsonl", path=write_jsonl(rows)))
    assert [problem.columns["answer"] for problem in problems] == ["5", "5"]
    prompt = render_without_tokenizer(ProblemsSection(source="jsonl", path="x"), problems[0])
    assert list(prompt.messages) == [USER]


class Seen:
    """Stands in for a grader and keeps what it got."""

    def grade(self, completions: Any, prompts: Any, columns: Any) -> list[Any]:
        self.prompts = prompts
        return []


def test_rewards_get_the_messages_of_a_conversation_and_the_text_of_other_prompts() -> None:
    seen = Seen()
    asked = render_without_tokenizer(section(system_prompt="Think."), row(USER))
    grade_texts([asked, Prompt(Problem("a"), (), "text")], ["x", "y"], [[], []], seen)  # type: ignore[arg-type]
    assert seen.prompts == [[{"role": "system", "content": "Think."}, USER], "text"]
