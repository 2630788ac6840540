"""Equality of mathematical answers, by a ladder from cheap to dear that never hangs and never pays for a guess.

The modules in the order in which a completion passes them:

1. Where the answer is, as text (`extract`): `tags` and `boxes` read marks, `markers` and `prose` what a phrase
   announces, `last_number` plain prose. They share `sentences` and `phrases`. `corrections` reads what takes an answer
   back, and `hedges`, with `hedge_words`, whether the answer is claimed.
2. One form for all spellings (`clean`): `symbols` (Unicode), `braces`, `grouping` (commas and points in numbers),
   `qualifiers` ("for all x").
3. Whether two texts are equal (`compare`): `choices` first; then `shapes` takes each apart into lists, sets and
   relations, and `structure` compares these, with `relations`, and with `intervals` and `regions` for sets of numbers.
4. Whether two single values are equal (`scalars`): `times`, `bases`, then `units` and `numerals`, then formulae, which
   `tree` parses with `macros`, and `numeric` compares by `exact` or by `arithmetic`.
5. What is still open: math-verify (`verify`), in a process that can be killed.

`grade` takes these steps for each completion; `tolerance` and `restated` correct its verdicts, and `classes` counts
votes. Steps 1 and 4 both know numbers: `last_number` and `prose` find where one begins and ends in prose, `numerals`
says what it is worth.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rewards.completions import texts_after_echo
from rewards.errors import BadInput
from rewards.gold import checks_gold, takes, type_fault
from rewards.math.extract import EXTRACTIONS, Answer, Extraction, checked_extraction, find_answer
from rewards.math.grade import bad_golds, grade_math
from rewards.math.restated import without_restated
from rewards.math.tolerance import bad_difference
from rewards.pool import GraderPool, shared
from rewards.verdict import LogExtra, LogMetric, log_verdicts

__all__ = [
    "EXTRACTIONS",
    "Answer",
    "Extraction",
    "bad_golds",
    "checked_extraction",
    "find_answer",
    "grade_math",
    "math",
]


def _bad_golds(columns: Mapping[str, Sequence[Any]], pool: GraderPool, _: Mapping[str, Any]) -> list[str | None]:
    complaints = bad_golds(columns["answer"], pool)
    if "tolerance" not in columns:
        return complaints
    return [
        complaint or bad_difference(difference)
        for complaint, difference in zip(complaints, columns["tolerance"], strict=True)
    ]


@takes(answer=type_fault)
@checks_gold(_bad_golds)
def math(
    completions: Sequence[Any],
    answer: Sequence[Any],
    grader_pool: GraderPool | None = None,
    rel_tol: float = 0.0,
    extraction: Extraction = "strict",
    log_extra: LogExtra | None = None,
    log_metric: LogMetric | None = None,
    **columns: Any,
) -> list[float | None]:
    """1 if the completion's answer equals the column `answer`, 0 if not, None if `answer` or our grader is at fault.

    Where the answer of a completion is looked for: `rewards.math.extract`. Two answers instead of one, an answer that
    is too large to work out, one that hangs the grader, one that is equal in its leading digits only, and an expression
    for a plain number, where the problem is at hand (columns `question`, `problem`, `prompts`), earn 0. The optional
    column `tolerance` allows real scalars an absolute difference (a number, or text such as `1e-1`; None: exact).

    Args:
        completions: strings, or conversational messages.
        answer: LaTeX, plain text or finite numbers, with or without `\\boxed{}` or `$`; of a GSM8K solution, what
            follows `####`.
        grader_pool: where math-verify runs; default: a pool shared by all callers.
        rel_tol: the relative difference that is allowed between real scalars; 0: exact. Minerva's problems are usually
            judged with 1e-4, see `rewards.math.tolerance`.
        extraction: `strict` reads an answer that is marked, or a completion that is nothing else; `flexible` also the
            last number of plain prose.
        log_extra, log_metric: TRL's callbacks, which are told verdicts, reasons and the answers that were read.

    Raises:
        BadInput: `rel_tol` is not in [0, 1), or `extraction` is neither `strict` nor `flexible`.
    """
    if isinstance(rel_tol, bool) or not isinstance(rel_tol, int | float) or not 0 <= rel_tol < 1:
        raise BadInput(
            f"rel_tol={rel_tol!r} of the reward 'math' is no share of the gold answer; give 0 or more, below 1"
        )
    way = checked_extraction(extraction, "the reward 'math'")
    said = texts_after_echo(completions, columns)
    graded = grade_math(answer, said, grader_pool or shared(), columns.get("tolerance"), rel_tol, way)
    verdicts = without_restated(graded, said, answer, columns, way)
    log_verdicts("math", verdicts, log_extra, log_metric, answers=[verdict.answer for verdict in verdicts])
    return [verdict.reward for verdict in verdicts]
