"""From a problem to the exact token ids that the model gets.

Two forms, chosen by `problems.chat_template`:

- chat: system prompt, few-shot pairs as user and assistant turns, the question, the opening of the assistant's turn;
- plain text, for base models: system prompt and a blank line, each few-shot pair as prompt, completion and a blank
  line, the question. Nothing follows the question, so a prompt can end with `=` or `Answer:`.

A row whose column holds a list of messages (TRL's conversational format) brings its own turns, see `ask`.

`prefill` comes last in both. Few-shot texts are sent as they stand; only `problems.prompt` is a template. A `<think>`
that the chat template opens counts as the beginning of the prefill: both are the first words of the assistant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jinja2

from rewards.errors import BadInput
from rewards.format import thought_opening
from rl.config.recipe import ProblemsSection
from rl.problems.chat_template import check_chat_template
from rl.problems.conversation import SYSTEM, Message, is_conversation, read_messages
from rl.problems.problem import Problem, Prompt
from rl.problems.template import fill, template_columns

if TYPE_CHECKING:  # transformers takes seconds to import, and checking a recipe does not need it
    from transformers import PreTrainedTokenizerBase


class Prompter:
    """Renders problems as prompts for one tokenizer.

    Raises:
        BadInput: the recipe asks for a chat template, and the tokenizer has none or one that does not end.
    """

    def __init__(self, section: ProblemsSection, tokenizer: "PreTrainedTokenizerBase") -> None:
        if section.chat_template and not tokenizer.chat_template:
            raise BadInput(
                "problems.chat_template is true but the model's tokenizer has no chat template; set it to false "
                "(plain text prompts, as base models want) or use an instruct model."
            )
        if section.chat_template:
            check_chat_template(tokenizer)
        self._section = section
        self._tokenizer = tokenizer
        # Some tokenizers also end a text with EOS; a prompt is to be continued, so only the opening BOS is wanted.
        opening = list(tokenizer("").input_ids[:1])
        self._bos = opening if opening == [tokenizer.bos_token_id] else []

    def render(self, problem: Problem) -> Prompt:
        """The prompt of one problem, as token ids and as text.

        Raises:
            BadInput: what `ask` raises, the chat template refuses the messages (for example a system prompt), or the
                prompt is empty or longer than `problems.max_prompt_length` tokens.
        """
        section = self._section
        asked = ask(section, problem)
        messages = asked.messages
        turns = self._chat(messages) if messages else asked.text
        text, prefill = turns + asked.opening, (thought_opening(turns) if messages else "") + asked.opening
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
        return Prompt(problem, tuple(ids), text, prefill, messages, asked.conversation)

    def _chat(self, messages: Sequence[Message]) -> str:
        turns = [dict(message) for message in messages]
        try:
            return str(self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
        except Exception as error:  # a template is a program of others: whatever it raises is a fault of its own
            said = str(error) if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: {error}"
            raise BadInput(
                f"The tokenizer's chat template refuses the messages ({said}); change problems.system_prompt or "
                "problems.few_shot, or set problems.chat_template to false."
            ) from error


def render_without_tokenizer(section: ProblemsSection, problem: Problem) -> Prompt:
    """The prompt of one problem for a server, or for outputs that are there already: messages or text, no token ids.

    Raises:
        BadInput: what `ask` raises, or a chat that opens the assistant's turn (`prefill`, or a row whose last message
            is the assistant's), which servers refuse.
    """
    asked = ask(section, problem)
    if not section.chat_template:
        return Prompt(problem, (), asked.text + asked.opening, asked.opening)
    if section.prefill:
        raise BadInput("A chat server cannot be given problems.prefill: set it to '', or use a template of plain text.")
    if asked.opening:
        raise BadInput(
            f"problem {problem.id} ends with a message of the assistant, which a chat server cannot go on from: leave "
            "that message out, or use a local model."
        )
    text = "\n\n".join(message["content"] for message in asked.messages)
    return Prompt(problem, (), text, "", asked.messages, asked.conversation)


@dataclass(frozen=True)
class Wording:
    """What is said to the model for one problem.

    Attributes:
        messages: system prompt, few-shot pairs and the question's turns; empty without a chat template.
        text: the same as plain text; empty with a chat template.
        opening: what the assistant's turn begins with: the row's own last message, if the assistant says it, then
            `prefill`.
        own: the turns are the row's own, which a column of messages holds.
    """

    messages: tuple[Message, ...]
    text: str
    opening: str
    own: bool

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The messages, where the turns are the row's own."""
        return self.messages if self.own else ()

    def questions(self) -> list[str]:
        """What the user says, text by text; all of a plain text."""
        said = [str(turn["content"]) for turn in self.messages if turn["role"] == "user"]
        return [text.strip() for text in said or [self.text]]


def ask(section: ProblemsSection, problem: Problem) -> Wording:
    """Put a problem in words: the filled template as the user's turn, or the turns of the row's own conversation.

    A row's own system message stands in place of `system_prompt`; few-shot pairs come between it and the other turns.
    The template is filled with the last thing that the user says, and stands for it.

    Raises:
        BadInput: what `fill` and `read_messages` raise, two columns of messages in the template, a conversation
            without a user, or one of several turns without a chat template.
    """
    where = f"problem {problem.id}"
    turns = _own_turns(section, problem, where)
    own = bool(turns)
    if not turns:
        turns = [{"role": "user", "content": fill(section.prompt, problem.columns, where)}]
    opening = str(turns.pop()["content"]) if turns[-1]["role"] == "assistant" else ""
    system = str(turns.pop(0)["content"]) if turns and turns[0]["role"] in SYSTEM else section.system_prompt
    if not any(turn["role"] == "user" for turn in turns):
        raise BadInput(f"{where}: its messages have none of the user's, so nothing is asked; add one.")
    if system != section.system_prompt:
        section = section.model_copy(update={"system_prompt": system})
    if section.chat_template:
        return Wording((*before_question(section), *turns), "", opening + section.prefill, own)
    if len(turns) > 1:
        raise BadInput(
            f"{where} is a conversation of {len(turns)} turns, which plain text cannot tell apart; set "
            "problems.chat_template to true, or give it one question."
        )
    text = plain_text(section, str(turns[0]["content"]))
    return Wording((), text, opening + section.prefill, own)


def asked_length(section: ProblemsSection, problem: Problem) -> int:
    """Characters that are said to the model for one problem, a stand-in for its tokens. Raises BadInput as `ask`."""
    asked = ask(section, problem)
    return len(asked.text) + sum(len(message["content"]) for message in asked.messages) + len(asked.opening)


def _own_turns(section: ProblemsSection, problem: Problem, where: str) -> list[Message]:
    """The messages of the column that the template names, with the template filled; empty if no column holds any."""
    columns = problem.columns
    held = [name for name in template_columns(section.prompt) if is_conversation(columns.get(name))]
    if not held:
        return []
    if len(held) > 1:
        raise BadInput(f"problems.prompt names two columns of messages, {held[0]} and {held[1]}, in {where}; name one.")
    turns = list(read_messages(columns[held[0]], f"{where}, column {held[0]}"))
    last = max((place for place, turn in enumerate(turns) if turn["role"] == "user"), default=None)
    if last is not None:
        filled = fill(section.prompt, {**columns, held[0]: turns[last]["content"]}, where)
        turns[last] = {**turns[last], "content": filled}
    return turns


def chat_messages(section: ProblemsSection, question: str) -> tuple[Message, ...]:
    """System prompt, few-shot pairs as turns, and the question."""
    return (*before_question(section), {"role": "user", "content": question})


def before_question(section: ProblemsSection) -> list[Message]:
    """System prompt and few-shot pairs as turns."""
    messages: list[Message] = [] if section.system_prompt is None else [_turn("system", section.system_prompt)]
    for prompt, completion in section.few_shot:
        messages += [_turn("user", prompt), _turn("assistant", completion)]
    return messages


def plain_text(section: ProblemsSection, question: str) -> str:
    """System prompt, few-shot pairs and the question as one text."""
    system = "" if section.system_prompt is None else section.system_prompt + "\n\n"
    shots = "".join(f"{prompt}{completion}\n\n" for prompt, completion in section.few_shot)
    return system + shots + question


def _turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}
