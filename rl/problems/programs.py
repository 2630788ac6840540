"""Problem sets of programs: from the fields of MBPP, HumanEval and EvalPlus to the columns of the reward `code`.

A row keeps its own fields and gets:

- `question`: the task in words, or the head of the function to complete;
- `kind`, `entry_point`, `tests`, `check`: how a program is tested (`check`: a script, run after the program);
- `solution`: a program that passes;
- `prefix` (HumanEval): the head, which an answer may go on from in place of being a whole program;
- `time_limit_s`: seconds for all its tests; a recipe's `rewards.timeout` can only shorten them;
- `asserts`, `example` (MBPP): all asserts that may be shown, one a line, and the first of them.

A program that has seen every test can be a table of their answers. So training shows `example` and keeps the others
hidden; measuring shows what the benchmark's authors show.
"""

import ast
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rewards.errors import BadInput

Row = dict[str, Any]
NamedRows = Iterator[tuple[str, Row]]  # id and columns

MBPP = "google-research-datasets/mbpp"
MBPP_PLUS = "evalplus/mbppplus"
HUMANEVAL = "openai/openai_humaneval"
HUMANEVAL_PLUS = "evalplus/humanevalplus"

MBPP_SPLITS = {  # by task_id, in both configurations
    "prompt": range(1, 11),
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
}
# Its test calls `_poly(*candidate(*inp), inp)`, which unpacks a number: no program can pass.
BROKEN = {(HUMANEVAL_PLUS, "HumanEval/32")}
SECONDS = {MBPP: 10.0, MBPP_PLUS: 30.0, HUMANEVAL: 10.0, HUMANEVAL_PLUS: 30.0}
# How the scripts of HumanEval+ and MBPP+ compare floats. numpy stretches one value over many, and over none: `[]` is
# close to every number. So the comparison is made stricter, as EvalPlus has it: the same shape, and numbers in it.
CLOSE = "assert np.allclose(out, exp, "
SAME_SHAPE = "assert np.shape(out) == np.shape(exp) and np.asarray(out).dtype.kind in 'iufc' and np.allclose(out, exp, "
# Three scripts of MBPP+ (737, 787, 794) work out whether an answer is right, and then do not ask for it.
WORKED_OUT = "        exact_match = exp == (out is not None)\n"
# Tasks whose own solutions take, on a free core: about 6 s (MBPP 123), 5 to 15 s, and more than 15 s (MBPP+ 599).
SLOW: dict[tuple[str, Any], float] = {
    (MBPP, 123): 30.0,
    **{(HUMANEVAL_PLUS, f"HumanEval/{number}"): 90.0 for number in (15, 130, 139)},
    **{(MBPP_PLUS, number): 90.0 for number in (255, 271, 392)},
    (MBPP_PLUS, 599): 150.0,
}


def mbpp_columns(row: Row) -> Row:
    """MBPP, both configurations, and MBPP+: a task in words, and asserts that call a function by its name.

    The set-up of two tasks uses classes of the program, so all of the script comes after the program. MBPP+'s script
    has the asserts' cases among its own.
    """
    asserts = row["test_list"]
    setup = [row["test_setup_code"]] if row.get("test_setup_code") else row.get("test_imports", [])
    return {
        "question": row["text"] if "text" in row else row["prompt"],
        "entry_point": _function_called(row["code"], asserts),
        "check": "\n".join([*setup, *([_strict(row["test"])] if "test" in row else asserts)]) + "\n",
        "solution": row["code"],
        "asserts": "\n".join(asserts),
        "example": asserts[0],
    }


def humaneval_columns(row: Row) -> Row:
    """HumanEval and HumanEval+: the head of a function to complete, and a script that defines `check(candidate)`.

    Answers are whole programs, or bodies that go on from the head. What the head has before the function, imports and
    helpers, is there for whole programs too, as it is where the authors run the head and the answer as one. Some tests
    use functions that the head defines (`poly`, `encode_cyclic`), so the script begins with the head: those of the task
    count, and not what the program may define by the same names.
    """
    return {
        "question": row["prompt"],
        "entry_point": row["entry_point"],
        "check": row["prompt"] + _strict(row["test"]),
        "solution": row["prompt"] + row["canonical_solution"],
        "prefix": row["prompt"],
        "preamble": row["prompt"][: row["prompt"].rindex(f"def {row['entry_point']}(")],
    }


def _strict(script: str) -> str:
    """A script that takes no value of another shape or type for the float that it expects, and asserts something."""
    return script.replace(CLOSE, SAME_SHAPE).replace(WORKED_OUT, WORKED_OUT + "    assert exact_match\n")


MAKERS: dict[str, Callable[[Row], Row]] = {
    MBPP: mbpp_columns,
    MBPP_PLUS: mbpp_columns,
    HUMANEVAL: humaneval_columns,
    HUMANEVAL_PLUS: humaneval_columns,
}


def with_program_columns(name: str, rows: NamedRows) -> NamedRows:
    """The rows of a hub data set, with the columns for `code` if it is one of programs, without its broken rows.

    Raises:
        BadInput: a row lacks a field that its data set has.
    """
    make = MAKERS.get(name)
    for row_id, row in rows:
        if make is None:
            yield row_id, row
            continue
        try:
            key = (name, row["task_id"])
            columns = {"kind": "check", "tests": [], "time_limit_s": SLOW.get(key, SECONDS[name]), **make(row)}
        except KeyError as error:
            raise BadInput(
                f"Row {row_id} of {name} has no field {error}, only {', '.join(row)}; give the data set as it is on "
                "the hub, or correct problems.config."
            ) from error
        if key not in BROKEN:
            yield row_id, {**row, **columns}


def in_split(name: str, split: str, row: Row) -> bool:
    """Whether a row of a local file that holds all splits is in one of them; true for files of one split."""
    return name != MBPP or row.get("task_id") in MBPP_SPLITS[split]


def _function_called(program: str, asserts: Sequence[str]) -> str | None:
    """The one function of a program that its asserts call by name; None if there are none or several."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of the data set's own style
            tree = ast.parse(program)
    except SyntaxError:  # grading the solution will tell
        return None
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    called = {
        node.func.id
        for node in ast.walk(ast.parse("\n".join(asserts)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    names = sorted(defined & called)
    return names[0] if len(names) == 1 else None
