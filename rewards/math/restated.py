"""Answers that are the problem again: `123 \\cdot 456` for "What is 123 * 456?" equals the gold one and earns nothing.

What counts: the answer is no plain number, it stands in the problem as it is, and it is not how the gold answer is
written.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rewards.math.extract import Extraction, find_answer
from rewards.math.numerals import read_number
from rewards.verdict import Verdict

SPELLINGS = [("\\cdot", "*"), ("\\times", "*"), ("×", "*"), ("·", "*"), ("**", "^"), ("\\dfrac", "\\frac")]
UNFINISHED = re.compile(r"(?<=.)[-+*/^!]|\\(?!text|mathrm)[a-z]")  # something is left to work out
FILLING = re.compile(r"\\(?:left|right|displaystyle|[,;:! ])|[\s$]")


def without_restated(
    verdicts: Sequence[Verdict],
    texts: Sequence[str],
    golds: Sequence[Any],
    columns: Mapping[str, Sequence[Any]],
    extraction: Extraction = "strict",
) -> list[Verdict]:
    """The verdicts, `correct` turned to `wrong` where the answer restates the column `question` or `problem`."""
    problems = next((columns[name] for name in ("question", "problem") if name in columns), None)
    if problems is None:
        return list(verdicts)
    return [
        replace(verdict, outcome="wrong", reason="it restates the problem", share=0.0)
        if verdict.outcome == "correct" and restates(text, str(problem), str(gold), extraction)
        else verdict
        for verdict, text, problem, gold in zip(verdicts, texts, problems, golds, strict=True)
    ]


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
