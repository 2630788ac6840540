"""Grading by the ladder: extraction and the cheap rungs here, in the trainer's process, the rest in the grader pool."""

import functools
import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from rewards.gold import type_fault
from rewards.math.bases import read_numeral
from rewards.math.choices import choice_letter
from rewards.math.clean import unbraced
from rewards.math.compare import cleaned, compare
from rewards.math.extract import IN_TEXT, LONGEST_ANSWER, Answer, Extraction, find_answer
from rewards.math.hedges import unclaimed
from rewards.math.numerals import read_number
from rewards.math.phrases import ALTERNATIVES
from rewards.math.relations import is_name
from rewards.math.scalars import is_text
from rewards.math.sentences import WORDY
from rewards.math.shapes import Group, Relation, Shape, Union, shape
from rewards.math.symbols import FOREIGN
from rewards.math.times import read_time
from rewards.math.tolerance import EXACT, Tolerance, bad_difference, is_near, read_difference
from rewards.math.tree import parse
from rewards.math.units import split_unit
from rewards.math.verify import costly
from rewards.pool import GraderPool, Result
from rewards.verdict import Verdict

Job = tuple[str, str]  # gold answer and answer, for the pool

JUDGE = "rewards.math.verify:judge"
LARGEST_IN_WORDS = 1_000
DEEPEST = 50  # open brackets of an answer that math-verify is asked about
CONTROL = "rewards.math.verify:check_gold"

_SENTENCE = re.compile(
    rf"(?:[^\W\d_A-Za-zα-ωΑ-Ω]|(?!\d)[{FOREIGN}]){{3,}}"
    r"|^\s*+(?!sin|cos|tan|log|sqrt)[A-Za-z]{3,}[\s:,]|(?:(?<![\\A-Za-z])(?!and\b)[A-Za-z]{3,}[\s,]+){2}"
)
_REMARK = re.compile(r"^\W*[\d.,/]*\d\W?, [a-z][a-z ]+$", re.IGNORECASE)  # "72, in total"
_WORD_FIRST = re.compile(r"^[^\w\\]*(?!sin|cos|tan|log|ln|sqrt|pi|exp|mod|arc)[A-Za-z]{2,}\b(?!\s*[\^(=_:])")  # "so 7"
_WORDS_EQUAL = re.compile(
    r"(?<!\\)\b(?!sin|cos|tan|log|sqrt|pi|exp)[A-Za-z]{3,}\b[^=]*="
)  # "16 eggs - 7 eggs = 9 eggs"
_SPOKEN = (_SENTENCE, _REMARK, _WORD_FIRST, _WORDS_EQUAL)
_SOUP = re.compile(r"∨|\d \d|\d[?] |\d \| ?\d|\d ?[~–] ?\d")
_NO_VALUE = re.compile(
    r"^(?!.*\\lim).*\\(?:to|(?:long)?rightarrow|mapsto|[lg]tr?sim|lesssim|lnot|neg)(?![A-Za-z])", re.DOTALL
)
# A word of plain text, which no formula that stands alone has.
_PLAIN_WORD = re.compile(
    r"(?<![\\A-Za-z{])(?:(?!sin|cos|tan|cot|sec|csc|arc|log|exp|sqrt|frac|mod|max|min|gcd|lcm|det)[A-Za-z]{3,}"
    r"|is|it|he|we|so|to|of|at|or|if|in|by|no|as|be)\b|\w's\b",
    re.IGNORECASE,
)


def grade_math(
    golds: Sequence[Any],
    completions: Sequence[str],
    pool: GraderPool,
    tolerances: Sequence[Any] | None = None,
    rel_tol: float = 0.0,
    extraction: Extraction = "strict",
) -> list[Verdict]:
    """Verdict on each completion against its gold answer, in order.

    Args:
        golds: LaTeX, plain text or finite numbers, with or without `\\boxed{}` or `$`; of a GSM8K solution, what
            follows `####`.
        completions: what a model wrote.
        pool: processes for what only math-verify can decide; they start when first needed.
        tolerances: for each the absolute difference that is allowed, see `rewards.math.tolerance`; default: none.
        rel_tol: the relative difference that is allowed.
        extraction: how an answer is read, see `rewards.math.extract`.
    """
    verdicts: list[Verdict | None] = []
    jobs: dict[Job, list[int]] = {}
    spent: list[float] = []
    differences = [None] * len(golds) if tolerances is None else tolerances
    for position, (gold, completion, difference) in enumerate(zip(golds, completions, differences, strict=True)):
        started = time.perf_counter()
        decided = _within(gold, completion, difference, rel_tol, extraction)
        spent.append(time.perf_counter() - started)
        if isinstance(decided, tuple):
            jobs.setdefault(decided, []).append(position)
            verdicts.append(None)
        else:
            verdicts.append(replace(decided, seconds=spent[-1]))
    results = pool.map(JUDGE, list(jobs), control=CONTROL) if jobs else []
    for (job, positions), result in zip(jobs.items(), results, strict=True):
        for position in positions:
            verdicts[position] = replace(_verdict(result, pool.timeout, spent[position]), answer=job[1])
    return [verdict for verdict in verdicts if verdict is not None]


def _within(gold: Any, completion: str, difference: Any, rel_tol: float, extraction: Extraction) -> Verdict | Job:
    if (fault := type_fault(gold)) is not None:
        return Verdict("ungradable", f"the gold answer cannot be compared: {fault}")
    absolute = read_difference(difference)
    if absolute is None:
        return Verdict("ungradable", bad_difference(difference) or "")
    return decide(gold_text(gold), completion, Tolerance(absolute, Fraction(str(rel_tol))), extraction)


def bad_golds(golds: Sequence[Any], pool: GraderPool) -> list[str | None]:
    """For each gold answer None if a rung can read it and it equals itself, else the reason why it cannot be graded."""
    faults = [type_fault(gold) for gold in golds]
    texts = ["" if fault else gold_text(gold) for gold, fault in zip(golds, faults, strict=True)]
    found = {text: None if text else "it is empty" for text in texts}
    unread = [text for text in found if text and not readable(text)]
    if unread:
        jobs = [(text, text) for text in unread]
        for text, result in zip(unread, pool.map(JUDGE, jobs), strict=True):
            found[text] = _complaint(result)
    return [fault or found[text] for text, fault in zip(texts, faults, strict=True)]


def gold_text(gold: Any) -> str:
    """The gold answer: what follows `####` of a solution, the last box of a text that has more than a box."""
    text = str(gold).rpartition("####")[2].strip()
    if "\\boxed" in text and not text.startswith("\\boxed"):
        boxed = find_answer(text)
        return boxed.readings[0] if boxed.readings else ""
    return text


@functools.lru_cache(maxsize=8192)
def readable(gold: str) -> bool:
    """Whether the cheap rungs can read a gold answer, so that other spellings of it are recognized."""
    text = cleaned(gold)
    return bool(text) and (is_text(text) or _is_read(shape(text), 0))


def _is_read(found: Shape, depth: int) -> bool:
    if isinstance(found, Group):
        return bool(found.items) and depth < 6 and all(_is_read(item, depth + 1) for item in found.items)
    if isinstance(found, Union):
        return all(_is_read(part, depth + 1) for part in found.parts)
    if isinstance(found, Relation):
        return all(is_name(side) or depth < 4 and _is_read(shape(side), depth + 2) for side in found.sides)
    body = split_unit(found.text)[0]
    if any(read(found.text) is not None for read in (choice_letter, read_time, read_numeral)):
        return True
    known = body.replace(" ", "") in ("\\emptyset", "\\mathbb{R}", "\\mathbbR", "\\ldots")
    based = re.fullmatch(r"-?[\w‹›]+_(?:\w|\{\w+\})", body.replace(" ", "")) is not None
    return (
        known
        or based
        or is_text(body)
        or read_number(unbraced(body).strip("‹› ")) is not None
        or parse(body) is not None
    )


def decide(gold: str, completion: str, allowed: Tolerance = EXACT, extraction: Extraction = "strict") -> Verdict | Job:
    """The verdict on a completion against what `gold_text` made of its gold answer; or the pool's job."""
    if not gold:
        return Verdict("ungradable", "the gold answer is empty")
    answer = find_answer(completion, extraction)
    if not answer.readings:
        return Verdict("unparseable", answer.note)
    undecided = None
    wordy = _PLAIN_WORD if answer.note == IN_TEXT else WORDY  # math-verify takes any number out of a sentence
    for reading in _fitting(answer, gold):
        if len(reading) > LONGEST_ANSWER:
            reading = _without_brackets(reading)
            if len(reading) > LONGEST_ANSWER:
                return _long(gold, reading)
        equal, reason = compare(gold, reading)
        near = equal is not True and is_near(gold, reading, allowed)
        if (near or equal) and (fault := _unclaimed(gold, answer)):
            return Verdict("wrong", fault, answer=reading)
        if near:
            return Verdict("correct", "within the tolerance", answer=reading)
        if equal is not None:
            several = not equal and answer.note.startswith("two different")
            reason = answer.note if several else reason
            return Verdict("correct" if equal else "wrong", reason, answer=reading)
        if undecided is None or wordy.search(undecided):
            undecided = reading
    fault = _unclaimed(gold, answer)
    return Verdict("wrong", fault, answer=undecided) if fault else _for_the_pool(gold, undecided, wordy)


def _unclaimed(gold: str, answer: Answer) -> str:
    """Why an answer that equals the gold one is not claimed; empty if it is."""
    return unclaimed(gold, answer.said or answer.readings[0], answer.before, answer.after, is_marked=not answer.said)


def _long(gold: str, reading: str) -> Verdict:
    same = reading.strip() == _without_brackets(gold).strip()
    if same:
        return Verdict("correct", "equal as text", answer=reading)
    return Verdict("unparseable", "the answer is too long", answer=reading)


def _for_the_pool(gold: str, undecided: str | None, wordy: re.Pattern[str]) -> Verdict | Job:
    """The job of math-verify, unless it would not be a formula, or none that can be worked out."""
    if undecided is None or wordy.search(undecided):
        reason = "no formula that equals the gold answer"
    elif "\\" not in undecided and (_SOUP.search(cleaned(undecided)) or ALTERNATIVES.search(undecided)):
        reason = "several numbers or alternatives"
    elif _NO_VALUE.search(undecided) and not _NO_VALUE.search(gold):
        reason = "no value"
    elif _nesting(undecided) > DEEPEST:
        reason = "nested too deeply"
    elif costly(undecided):
        reason = "too large to work out"
    else:
        return gold, undecided
    return Verdict("wrong", reason, answer=undecided)


def _nesting(text: str) -> int:
    """How many brackets are open at most."""
    return max(itertools.accumulate((character in "([{") - (character in ")]}") for character in text), default=0)


def _fitting(answer: Answer, gold: str) -> tuple[str, ...]:
    """The readings to compare. Not the whole sentence, where what it states can be had and the gold answer is no
    sentence itself; the line `A: 12` as a whole where the gold answer is the letter of a choice.
    """
    readings = answer.readings
    if answer.line and choice_letter(cleaned(gold)) and not choice_letter(cleaned(readings[0])):
        return (answer.line,)
    if answer.in_words and _is_small(gold):
        return (answer.in_words,)
    spoken = len(readings) > 1 and (
        any(form.search(readings[0]) for form in _SPOKEN)
        or ("\n" in readings[0] and _PLAIN_WORD.search(readings[0]) is not None)
    )
    if spoken and not is_text(cleaned(gold)):
        return readings[1:]
    return readings


def _is_small(gold: str) -> bool:
    """Whether a gold answer is a number that people write in words: a small whole one, or a simple fraction."""
    number = read_number(cleaned(gold))
    return number is not None and number.value.denominator <= 10 and abs(number.value) <= LARGEST_IN_WORDS


def _without_brackets(text: str) -> str:
    return unbraced(text.strip())


def _verdict(result: Result, timeout: float, before: float) -> Verdict:
    seconds = before + result.seconds
    if result.kind == "value":
        correct, reason = result.value
        if correct is None:
            return Verdict("ungradable", reason, seconds)
        return Verdict("correct" if correct else "wrong", reason, seconds)
    if result.kind == "ungradable":
        return Verdict("ungradable", result.reason, seconds)
    reason = f"timed out after {timeout:g} s" if result.kind == "timed_out" else f"math-verify failed: {result.reason}"
    return Verdict("wrong", reason[:200], seconds)


def _complaint(result: Result) -> str | None:
    if result.kind == "value":
        correct, reason = result.value
        return None if correct else "it does not equal itself" if correct is False else reason
    return result.reason or "it cannot be read in the time allowed"
