"""From a problem to the exact token ids that the model gets.

Two forms, chosen by `problems.chat_template`:

- chat: system prompt, few-shot pairs as user and assistant turns, the question, the opening of the assistant's turn;
- plain text, for base models: system prompt and a blank line, each few-shot pair as prompt, completion and a blank
  line, the question. Nothing follows the question, so a prompt can end with `=` or `Answer:`.

`prefill` comes last in both. Few-shot texts are sent as they stand; only `problems.prompt` is a template. A `<think>`
that the chat template opens counts as the beginning of the prefill: both are the first words of the assistant.
"""

import re
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2

from rewards.errors import BadInput
from rewards.format import thought_opening
from rl.problems.problem import Problem, Prompt
from rl.recipe import ProblemsSection

if TYPE_CHECKING:  # transformers takes seconds to import, and checking a recipe does not need it
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, str]  # role and content


class Prompter:
    """Renders problems as prompts for one tokenizer.

    Raises:
        BadInput: the recipe asks for a chat template and the tokenizer has none.
    """

    def __init__(self, section: ProblemsSection, tokenizer: "PreTrainedTokenizerBase") -> None:
        if section.chat_template and not tokenizer.chat_template:
            raise BadInput(
                "problems.chat_template is true but the model's tokenizer has no chat template; set it to false "
                "(plain text prompts, as base models want) or use an instruct model."
            )
        self._section = section
        self._tokenizer = tokenizer
        # Some tokenizers also end a text with EOS; a prompt is to be continued, so only the opening BOS is wanted.
        opening = list(tokenizer("").input_ids[:1])
        self._bos = opening if opening == [tokenizer.bos_token_id] else []

    def render(self, problem: Problem) -> Prompt:
        """The prompt of one problem, as token ids and as text.

        Raises:
            BadInput: the template names a column that the problem lacks, the chat template refuses the messages (for
                example a system prompt), or the prompt is empty or longer than `problems.max_prompt_length` tokens.
        """
        section = self._section
        question = fill(section.prompt, problem.columns, f"problem {problem.id}")
        messages = chat_messages(section, question) if section.chat_template else ()
        turns = self._chat(messages) if messages else plain_text(section, question)
        text, prefill = turns + section.prefill, (thought_opening(turns) if messages else "") + section.prefill
        # Chat templates write special tokens such as BOS as text.
        ids = ([] if section.chat_template else self._bos) + list(
            self._tokenizer(text, add_special_tokens=False).input_ids
        )
        if not ids:
            raise BadInput(
                f"The prompt of problem {problem.id} is empty; write problems.prompt so that it asks something."
            )
        if len(ids) > section.max_prompt_length:
            raise BadInput(
                f"The prompt of problem {problem.id} has {len(ids)} tokens, more than problems.max_prompt_length = "
                f"{section.max_prompt_length}; raise the limit or leave the problem out (problems.where)."
            )
        return Prompt(problem, tuple(ids), text, prefill, messages)

    def _chat(self, messages: Sequence[Message]) -> str:
        turns = [dict(message) for message in messages]
        try:
            return str(self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
        except jinja2.TemplateError as error:  # what a template's own raise_exception(...) ends as
            raise BadInput(
                f"The tokenizer's chat template refuses the messages ({error}); change problems.system_prompt or "
                "problems.few_shot, or set problems.chat_template to false."
            ) from error


def render_without_tokenizer(section: ProblemsSection, problem: Problem) -> Prompt:
    """The prompt of one problem for a server, or for outputs that are there already: messages or text, no token ids.

    Raises:
        BadInput: what `fill` raises, or a chat that opens the assistant's turn (`prefill`), which servers refuse.
    """
    question = fill(section.prompt, problem.columns, f"problem {problem.id}")
    if not section.chat_template:
        return Prompt(problem, (), plain_text(section, question) + section.prefill, section.prefill)
    if section.prefill:
        raise BadInput("A chat server cannot be given problems.prefill: set it to '', or use a template of plain text.")
    messages = chat_messages(section, question)
    return Prompt(problem, (), "\n\n".join(message["content"] for message in messages), "", messages)


def chat_messages(section: ProblemsSection, question: str) -> tuple[Message, ...]:
    """System prompt, few-shot pairs as turns, and the question."""
    messages = [{"role": "system", "content": section.system_prompt}] if section.system_prompt is not None else []
    for prompt, completion in section.few_shot:
        messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    return (*messages, {"role": "user", "content": question})


def plain_text(section: ProblemsSection, question: str) -> str:
    """System prompt, few-shot pairs and the question as one text."""
    system = "" if section.system_prompt is None else section.system_prompt + "\n\n"
    shots = "".join(f"{prompt}{completion}\n\n" for prompt, completion in section.few_shot)
    return system + shots + question


def fill(template: str, columns: Mapping[str, Any], where: str, option: str = "problems.prompt") -> str:
    """Put a row's columns into a template such as `What is {question}?`, by the rules of `str.format_map`.

    `{{` and `}}` stand for braces, `{operands[0]}` for an element, and a list is written as `[1, 2, 3]`.

    Raises:
        BadInput: the template is malformed, or names something that the row does not have; names `where` and `option`.
    """
    missing = [name for name in template_columns(template, option) if name not in columns]
    if missing:
        raise BadInput(
            f"{option} names the column {missing[0]!r}, which {where} does not have; its columns: "
            f"{', '.join(columns)} (a brace that is meant as one is written twice)."
        )
    try:
        return template.format_map(columns)
    except (LookupError, AttributeError, ValueError, TypeError) as error:  # {nums[9]}, {nums.x}, {target:q}, {nums:3}
        raise BadInput(
            f"{option} does not fit {where} ({type(error).__name__}: {error}); correct {template!r}."
        ) from error


def template_columns(template: str, option: str = "problems.prompt") -> list[str]:
    """The columns that a prompt template names, in order, each once. Raises BadInput if it is malformed."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise BadInput(
            f"{option} is malformed ({error}): {template!r}; write a brace that is meant as one twice."
        ) from error
    names = list(dict.fromkeys(re.split(r"[.\[]", field, maxsplit=1)[0] for field in fields))
    if any(not name or name.isdigit() for name in names):
        raise BadInput(
            f"{option} has braces without a column name: {template!r}; write {{question}} for a column, and "
            "a brace that is meant as one twice."
        )
    return names
