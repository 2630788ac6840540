"""Pay for programs that pass their tests.

A program runs in a sandbox (`rewards.sandbox`) and is judged from outside: what it prints, returns, raises or exits
with is compared, never believed. Neither tests nor expected values enter its process. Three kinds of tests:

- `call`: `tests` are `{"args": [...], "kwargs": {...}, "expected": value}` for the function `entry_point`, or a method
  such as `Solution.add`; compared by `rewards.code.compare.equal`.
- `stdio`: `tests` are `{"stdin": text, "stdout": text}`; each runs the program anew, which must end with status 0;
  compared by `rewards.code.compare.same_output`.
- `check`: a script with assertions, as HumanEval and MBPP have it, which runs in a second sandboxed process. It sees
  the program's objects through stand-ins (`rewards.sandbox.remote`); arguments are copies, which the program may change
  where the script does not look at what it returns.

Which part of a completion is the program, and what becomes of one that only goes on from the head of a function (the
column `prefix`): see `rewards.code.extract`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rewards.code.extract import Program, extract, program_text
from rewards.code.rows import BadRow, Task, task_of
from rewards.code.script import ScriptError, compiled
from rewards.completions import texts
from rewards.errors import BadInput
from rewards.fairness import LONGEST
from rewards.gold import checks_gold
from rewards.pool import GraderPool, Result, shared
from rewards.sandbox import MODES, Mode
from rewards.sandbox.warm import check_isolation
from rewards.verdict import LogExtra, LogMetric, Verdict, log_verdicts

__all__ = ["code", "grade_code", "program_text"]

JUDGE = "rewards.code.judge:judge"
CONTROL = "rewards.code.judge:control"
SPARE_SECONDS = 150.0  # beyond the programs' own time: two starts of the sandbox
DEFAULT_MEMORY = 1024


def bad_golds(columns: Mapping[str, Sequence[Any]], pool: GraderPool, options: Mapping[str, Any]) -> list[str | None]:
    """Why a problem's column `solution` fails its own tests, or the problem has none, in a few words; else None.

    Raises:
        BadInput: this machine offers no sandbox of the kind asked for.
    """
    count = len(next(iter(columns.values()), ()))
    rows = [{name: column[place] for name, column in columns.items()} for place in range(count)]
    if "solution" not in columns:
        return [_fault(row) for row in rows]
    solved = [{**row, "completion": str(row["solution"] or "")} for row in rows]
    limits = {name: options[name] for name in ("sandbox", "memory_mib") if name in options}
    verdicts = grade_code(solved, pool, timeout=options.get("timeout", pool.timeout), **limits)
    return [None if verdict.outcome == "correct" else verdict.reason for verdict in verdicts]


def _fault(row: Mapping[str, Any]) -> str | None:
    try:
        task_of(row, None)
    except BadRow as error:
        return str(error)
    return None


@checks_gold(bad_golds)
def code(
    completions: Sequence[Any],
    kind: Sequence[str | None] | None = None,
    entry_point: Sequence[str | None] | None = None,
    tests: Sequence[Any] | None = None,
    check: Sequence[str | None] | None = None,
    time_limit_s: Sequence[float | None] | None = None,
    prefix: Sequence[str | None] | None = None,
    preamble: Sequence[str | None] | None = None,
    unordered: Sequence[bool | None] | None = None,
    partial: bool = False,
    sandbox: Mode = "auto",
    memory_mib: int = DEFAULT_MEMORY,
    timeout: float | None = None,
    grader_pool: GraderPool | None = None,
    log_extra: LogExtra | None = None,
    log_metric: LogMetric | None = None,
    **columns: Any,
) -> list[float | None]:
    """1 for a program that passes all tests, 0 for one that does not and for none; None where that cannot be told.

    Args:
        completions: plain or conversational.
        kind: `call`, `stdio` or `check` (see the module); absent: told by what the row has.
        entry_point: name of the function; needed by `call` and by scripts that only define `check(candidate)`.
        tests: list of tests, its JSON, or what `rewards.code.rows.packed` made of it.
        check: check script.
        time_limit_s: wall-clock seconds for all tests of a completion together; absent: 10.
        prefix: head of a function that the completion may go on from, in place of being a program.
        preamble: statements that run before the program, such as imports. What they define is not the program's own.
        unordered: true where calls are to return a list whose order does not matter; a set of its elements will do.
        partial: pay the share of tests passed; a check script passes or fails as a whole. It invites programs that
            know the answers to a few tests by heart.
        sandbox: `auto`, `namespaces`, `landlock` or, for programs with your own rights, `unsafe`.
        memory_mib: memory that a program may use.
        timeout: the most that `time_limit_s` may be, and what it is where absent; default: that of the pool.

    Raises:
        BadInput: there is neither a column `tests` nor `check`, or this machine offers no sandbox.
    """
    given = {"kind": kind, "entry_point": entry_point, "tests": tests, "check": check, "time_limit_s": time_limit_s}
    given |= {"prefix": prefix, "preamble": preamble, "unordered": unordered}
    if tests is None and check is None:
        raise BadInput("the reward 'code' needs the column 'tests' or 'check', and the problems have neither; add one")
    present = {name: column for name, column in given.items() if column is not None}
    rows = [
        {"completion": text} | {name: column[place] for name, column in present.items()}
        for place, text in enumerate(texts(completions))
    ]
    check_isolation(sandbox)
    pool = shared() if grader_pool is None else grader_pool
    verdicts = grade_code(rows, pool, sandbox, partial, memory_mib, pool.timeout if timeout is None else timeout)
    if log_extra is not None:  # whole: a program that is cut is none
        log_extra("code/answer", [verdict.answer for verdict in verdicts])
    log_verdicts("code", verdicts, log_extra, log_metric)
    return [verdict.partial_reward if partial else verdict.reward for verdict in verdicts]


def grade_code(
    rows: Sequence[Mapping[str, Any]],
    pool: GraderPool,
    sandbox: Mode = "auto",
    partial: bool = False,
    memory_mib: int = DEFAULT_MEMORY,
    timeout: float | None = None,
) -> list[Verdict]:
    """A verdict on each row, which has a `completion` and the columns of `code`; its `answer` is the program.

    Raises:
        BadInput: an option is wrong, or this machine offers no sandbox.
    """
    if sandbox not in MODES:
        raise BadInput(f"sandbox is {sandbox!r}; choose one of {', '.join(MODES)}")
    for name, value in (("memory_mib", memory_mib), ("timeout", timeout)):
        if value is not None and not value > 0:
            raise BadInput(f"{name} is {value!r} for the reward 'code'; give a positive number")
    prepared = [_prepared(row, timeout) for row in rows]
    options = {"memory_mib": memory_mib, "sandbox": sandbox, "partial": partial}
    jobs = [({**_job(*item), **options},) for item in prepared if not isinstance(item, Verdict)]
    longest = max((job["seconds"] for (job,) in jobs), default=0.0)
    results = iter(pool.map(JUDGE, jobs, control=CONTROL, seconds=LONGEST * longest + SPARE_SECONDS))
    return [
        item if isinstance(item, Verdict) else replace(_verdict(next(results)), answer=item[0].text)
        for item in prepared
    ]


def _prepared(row: Mapping[str, Any], timeout: float | None) -> Verdict | tuple[Program, Task]:
    """A program and what is asked of it, or the verdict where there is nothing to run."""
    try:
        task = task_of(row, timeout)
    except BadRow as error:
        return Verdict("ungradable", f"the row cannot be graded: {error}")
    found = extract(row["completion"], task.prefix, _wanted(task, row["completion"]))
    return Verdict("unparseable", "no program in the answer") if found is None else (found, task)


def _wanted(task: Task, completion: str) -> Sequence[str]:
    """Names that the tests use; of a script that does not say so, only where there may be several blocks to choose."""
    if task.entry_point is not None:
        return (task.entry_point,)
    if task.kind != "check" or completion.count("```") + completion.count("~~~") < 3:
        return ()
    try:
        return compiled(task.check, None).names
    except ScriptError:  # the grader process says why
        return ()


def _job(program: Program, task: Task) -> dict[str, Any]:
    return {"program": program.text, "fenced": program.fenced} | vars(task)


def _verdict(result: Result) -> Verdict:
    if result.kind != "value":  # its control ran, so the completion is at fault, unless the pool says otherwise
        return Verdict("ungradable" if result.kind == "ungradable" else "wrong", result.reason, result.seconds)
    if "bad_input" in result.value:
        raise BadInput(result.value["bad_input"])
    return Verdict(result.value["outcome"], result.value["reason"], result.seconds, result.value["share"])
