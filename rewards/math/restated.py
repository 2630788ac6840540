"""Answers that leave the work undone: `456 \\times 123` for "What is 123 * 456?" equals the gold one and earns nothing.

Where the problem is at hand, two rules hold:

- A plain number wants one: digits, scientific notation, a power of ten, a fraction or mixed number that is not whole,
  with or without sign, unit and percent sign; or an equation with one. `6 \\cdot 7`, `\\frac{84}{2}`, `5!`, `2^{10}`
  and `\\log_2 8` are unevaluated. The exact value of a rounded gold answer is allowed (`\\sqrt{2}` for 1.41421).
- Every other answer is refused if it is an expression that stands in the problem as it is, unless the gold answer is
  written so.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rewards.math.clean import unbraced
from rewards.math.compare import cleaned
from rewards.math.exact import NotRational, TooLarge, rational
from rewards.math.extract import Extraction, find_answer
from rewards.math.grade import gold_text
from rewards.math.numerals import Number, read_number
from rewards.math.scalars import is_text, quantity
from rewards.math.shapes import Relation, Scalar, shape
from rewards.math.tree import parse
from rewards.verdict import Verdict

SPELLINGS = [("\\cdot", "*"), ("\\times", "*"), ("×", "*"), ("·", "*"), ("**", "^"), ("\\dfrac", "\\frac")]
UNFINISHED = re.compile(r"(?<=.)[-+*/^!]|\\(?!text|mathrm)[a-z]")  # something is left to work out
OPERATIONS = re.compile(
    r"\\(?:sum|prod|int|lim|binom)(?![a-z])|[\d)}]\s*+(?:[+*^!]|-\s*+[\d({])"
)  # of what `parse` refuses
MARKED = re.compile(r"‹[^‹›]*+›")
FILLING = re.compile(r"\\(?:left|right|displaystyle|[,;:! ])|[\s$]")


def without_restated(
    verdicts: Sequence[Verdict],
    texts: Sequence[str],
    golds: Sequence[Any],
    columns: Mapping[str, Sequence[Any]],
    extraction: Extraction = "strict",
) -> list[Verdict]:
    """The verdicts, `correct` turned to `wrong` where the answer leaves the work undone.

    The problem is the column `question` or `problem`. Where only `prompts` are there, which may hold worked examples,
    the rule on plain numbers alone holds.
    """
    problems = next((columns[name] for name in ("question", "problem") if name in columns), None)
    if problems is None and "prompts" not in columns:
        return list(verdicts)
    judged = []
    for position, (verdict, text, gold) in enumerate(zip(verdicts, texts, golds, strict=True)):
        reason = ""
        if verdict.outcome == "correct":
            if is_unevaluated(gold_text(gold), verdict.answer or ""):
                reason = "an expression that is not worked out"
            elif problems is not None and restates(text, str(problems[position]), str(gold), extraction):
                reason = "it restates the problem"
        judged.append(replace(verdict, outcome="wrong", reason=reason, share=0.0) if reason else verdict)
    return judged


@functools.lru_cache(maxsize=8192)
def is_unevaluated(gold: str, answer: str) -> bool:
    """Whether an answer that equals a plain number is an expression for it."""
    wanted = quantity(cleaned(gold))[1]
    if wanted is None or gold.strip() == answer.strip():
        return False
    found = shape(cleaned(answer))
    if isinstance(found, Relation):
        return not any(_is_worked_out(side, wanted) for side in found.sides)
    return isinstance(found, Scalar) and not _is_worked_out(found.text, wanted)


def _is_worked_out(text: str, wanted: Number) -> bool:
    body, number, _, _ = quantity(text)
    if number is not None:
        whole = wanted.value.denominator == 1 and number.value.denominator == 1
        return not (whole and ("\\frac" in body or "/" in body))
    read = parse(unbraced(body))
    if read is None:
        return is_text(text) or not OPERATIONS.search(MARKED.sub(" ", text))
    tree = read[0][1] if read[0][0] == "neg" else read[0]
    if tree[0] == "num" or tree[0] == "pow" and tree[1] == ("num", 10):
        return True
    try:
        rational(tree)
    except NotRational:
        return wanted.digits is not None
    except TooLarge:
        return False
    return False


def restates(completion: str, problem: str, gold: str, extraction: Extraction = "strict") -> bool:
    """Whether the answer of a completion is an expression that the problem asks to work out."""
    for reading in find_answer(completion, extraction).readings[:1]:
        said = _plain(reading)
        if UNFINISHED.search(said) and read_number(reading) is None and said != _plain(gold):
            return re.search(r"(?<![\d.])" + re.escape(said) + r"(?!\.?\d)", _plain(problem)) is not None
    return False


def _plain(text: str) -> str:
    text = FILLING.sub("", text)
    for spelling, plain in SPELLINGS:
        text = text.replace(spelling, plain)
    return text
