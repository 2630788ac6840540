"""From traces and chat data sets to token ids: what supervised fine-tuning learns.

A trace is put to the student as training will put its problem: by `problems`, with the student's own tokenizer and
chat template, prefill included. The completion is followed by the end-of-sequence token, so that the student learns to
stop.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from transformers import PreTrainedTokenizerBase

from rewards.errors import BadInput
from rewards.jsonl import jsonl_rows
from rl.config.recipe import ProblemsSection
from rl.pipelines.schema import DataSection
from rl.problems.chat_template import check_chat_template
from rl.problems.conversation import Message, read_messages
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter

Row = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """One sequence to learn: `input_ids` [T], of which the last `learned` are the completion."""

    input_ids: Sequence[int]
    learned: int

    @property
    def completion_mask(self) -> list[int]:
        """[T] 1 where the completion is."""
        return [0] * (len(self.input_ids) - self.learned) + [1] * self.learned


class Encoder:
    """Rows as examples for one tokenizer. Raises BadInput as `Prompter` does."""

    def __init__(self, section: ProblemsSection, tokenizer: PreTrainedTokenizerBase) -> None:
        self._section, self._tokenizer = section, tokenizer
        self._prompter = Prompter(section, tokenizer)

    def encode(self, row: Row, where: str) -> Example:
        """One row: a trace, a chat (`messages` or `conversations`), or a `prompt` and a `completion`.

        Raises:
            BadInput: it is none of these, or its trace does not begin with the prefill.
        """
        if isinstance(row.get("problem"), dict) and "problem_id" in row and isinstance(row.get("completion"), str):
            return self._trace(row, where)
        messages = self._messages(row, where)
        if messages is not None:
            return self._chat(messages, where)
        if isinstance(row.get("prompt"), str) and isinstance(row.get("completion"), str):
            return self._joined(self._ids(row["prompt"], special=True), row["completion"])
        raise BadInput(
            f"{where} is nothing to learn from: it needs messages, or prompt and completion, and has {', '.join(row)}."
        )

    def _trace(self, row: Row, where: str) -> Example:
        prompt = self._prompter.render(Problem(str(row["problem_id"]), row["problem"]))
        completion: str = row["completion"]
        if completion.startswith(prompt.prefill):
            return self._joined(prompt.token_ids, completion[len(prompt.prefill) :])
        if self._section.prefill:
            raise BadInput(
                f"{where} does not begin with problems.prefill ({prompt.prefill!r}), which the student's turn does: "
                "leave it out, or let the teacher write it."
            )
        # The student's chat template opens the thought: the trace may do so, with other white space, or leave it out.
        return self._joined(prompt.token_ids, completion.lstrip().removeprefix(prompt.prefill.strip()))

    def _chat(self, messages: Sequence[Message], where: str) -> Example:
        if not self._tokenizer.chat_template:
            raise BadInput(f"{where} is a chat, and the student's tokenizer has no chat template: use another model.")
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise BadInput(f"{where} does not end with an assistant's answer to something: there is nothing to learn.")
        check_chat_template(self._tokenizer)
        asked = [dict(message) for message in messages[:-1]]
        try:
            opening = self._tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        except jinja2.TemplateError as error:  # what a template's own raise_exception(...) ends as
            raise BadInput(
                f"{where}: the student's chat template refuses the messages ({error}); correct them."
            ) from error
        return self._joined(self._ids(str(opening), special=False), str(messages[-1]["content"]))

    def _messages(self, row: Row, where: str) -> tuple[Message, ...] | None:
        """The turns of a chat in any of the layouts that data sets have; None if the row is none."""
        from trl.data_utils import maybe_convert_to_chatml  # takes a second

        chat = maybe_convert_to_chatml(dict(row))
        if isinstance(chat.get("messages"), list):
            return read_messages(chat["messages"], where)
        prompt, completion = chat.get("prompt"), chat.get("completion")
        if not isinstance(prompt, list) or not isinstance(completion, list):
            return None
        return read_messages([*prompt, *completion], where)

    def _joined(self, prompt_ids: Sequence[int], completion: str) -> Example:
        learned = [*self._ids(completion, special=False), self._tokenizer.eos_token_id]
        return Example([*prompt_ids, *learned], len(learned))

    def _ids(self, text: str, special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special).input_ids)


def gather_rows(traces: Sequence[Path], data: DataSection, seed: int) -> list[tuple[str, Row]]:
    """All rows to learn from, each with the name that errors give it: traces, then the mixed-in data set's share."""
    rows = [(f"{path.parent.name}/{path.name}, line {n}", row) for path in traces for n, row in jsonl_rows(path)]
    if data.source == "stages":
        return rows
    others = list(other_rows(data))
    wanted = round(data.share * len(rows)) if rows else len(others)
    if len(others) > wanted:
        others = random.Random(seed).sample(others, wanted)
    return rows + others


def other_rows(data: DataSection) -> Iterator[tuple[str, Row]]:
    """The rows of a data set that is not a stage's. Raises BadInput if it cannot be read."""
    if data.source == "jsonl":
        if data.path is None:
            raise BadInput("data.path is missing; source jsonl needs it.")
        path = Path(data.path).expanduser()
        yield from ((f"{path.name}, line {number}", row) for number, row in jsonl_rows(path))
        return
    from rl.problems.sources import hub_rows  # takes a second

    if data.name is None:
        raise BadInput("data.name is missing; source hub needs it.")
    section = ProblemsSection(
        source="hub", name=data.name, config=data.config, split=data.split, revision=data.revision
    )
    yield from hub_rows(section)


def fitting(examples: Iterable[Example], max_length: int) -> tuple[list[Example], int]:
    """The examples of at most `max_length` tokens, and how many are longer."""
    some = list(examples)
    kept = [example for example in some if len(example.input_ids) <= max_length]
    return kept, len(some) - len(kept)
