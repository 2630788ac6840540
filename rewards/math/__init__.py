"""Equality of mathematical answers, by a ladder from cheap to dear that never hangs and never pays for a guess.

`find_answer` says what a completion answers; the rungs of `rewards.math.compare` decide most answers in microseconds in
this process; what they cannot decide goes to math-verify in the grader pool, which is killed when it hangs.
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
    is too large to work out, one that hangs the grader, one that is equal in its leading digits only, and a problem
    restated (columns `question`, `problem`, `prompts`) earn 0. The optional column `tolerance` allows real scalars an
    absolute difference (a number, or text such as `1e-1`; None: exact).

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
