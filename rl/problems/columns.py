"""The columns `question` and `answer` of a problem, made from what its row has, and what a prompt must not show."""

import re
from collections.abc import Iterable

from rewards.completions import message_text
from rewards.errors import BadInput
from rewards.jsonl import Row
from rl.config.recipe import ProblemsSection
from rl.problems.conversation import is_conversation
from rl.problems.template import fill, template_columns

ANSWERS = ("answer", "ground_truth", "solution")  # where a gold answer may be, the first that a row has


def with_answer(row: Row, section: ProblemsSection, name: str) -> Row:
    """The row with a column `answer`: from `section.answer`, else the first of `ANSWERS` that it has.

    Of a worked solution only the result is the answer (see `final_answer`); the whole text is kept as `solution`.
    """
    if section.answer is not None:
        check_columns(row, [section.answer], "problems.answer", name)
    column = section.answer or next((column for column in ANSWERS if column in row), None)
    if column is None:
        return row
    text = row[column]
    if isinstance(text, str) and (result := final_answer(text)) is not None:
        return {"solution": text, **row, "answer": result}
    if column == "solution" and section.answer is None:
        return row  # a solution without a marked result, such as a program, is no answer unless the recipe says so
    return {**row, "answer": text}


def with_question(row: Row, section: ProblemsSection, name: str) -> Row:
    """The row with all columns that the template names; `question` may be called `prompt`, as in TRL's data sets.

    Raises:
        BadInput: one is missing, or holds what cannot be asked (see `fill`).
    """
    asked = template_columns(section.prompt)
    if "question" in asked and "question" not in row and "prompt" in row:
        row = {**row, "question": row["prompt"]}
    check_columns(row, asked, "problems.prompt", name)
    fill(section.prompt, row, f"problem {name}")
    return row


def check_template(section: ProblemsSection) -> None:
    """Refuse a template that names the column of the gold answer, unless `gold_in_prompt` allows it."""
    gold = {*ANSWERS, section.answer}
    shown = [name for name in template_columns(section.prompt) if name in gold]
    if shown and not section.gold_in_prompt:
        raise BadInput(_shows_gold(f"the column {shown[0]!r}"))


def check_first(row: Row, section: ProblemsSection, name: str) -> None:
    """Refuse a template that shows a worked solution with the gold answer in it, as the first problem tells."""
    for column in () if section.gold_in_prompt else template_columns(section.prompt):
        value, gold = row[column], row.get("answer")
        text = "".join(message_text(m.get("content")) for m in value) if is_conversation(value) else value
        if isinstance(text, str) and gold is not None and final_answer(text) == str(gold).strip() != "":
            raise BadInput(_shows_gold(f"the column {column!r}, in which problem {name} is solved"))


def _shows_gold(what: str) -> str:
    return (
        f"problems.prompt names {what}, so the prompt would show the answer: take it out, or set "
        "problems.gold_in_prompt to true."
    )


def check_columns(row: Row, columns: Iterable[str], option: str, name: str) -> None:
    """Raise BadInput if a row lacks a column that an option names."""
    missing = [column for column in columns if column not in row]
    if missing:
        raise BadInput(
            f"{option} names the column {missing[0]!r}, which row {name} does not have; its columns: {', '.join(row)}."
        )


def final_answer(solution: str) -> str | None:
    r"""The marked result of a worked solution; None if none is marked.

    It follows `####` in the last line (GSM8K), or is the content of the last `\boxed{...}` (MATH).
    """
    last_line = solution.strip().split("\n")[-1]
    return last_line[4:].strip() if last_line.startswith("####") else last_boxed(solution)


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}`, `\fbox{...}` or `\boxed 5` of a LaTeX text; None if there is none."""
    matches = list(re.finditer(r"\\(?:boxed|fbox)\s*(\{|[^\s{}$])", text))
    if not matches:
        return None
    start = matches[-1].end()
    if matches[-1].group(1) != "{":
        return matches[-1].group(1)
    depth = 1
    for token in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):  # \{ and \} are characters, not groups
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0:
            return text[start : start + token.start()].strip()
    return None
