"""The grader processes' side of code rewards: one completion a job, run in this process's sandbox.

This process knows the tests. It executes nothing of a completion and nothing that a completion returns.
"""

import ast
import functools
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from rewards.code import kinds
from rewards.code.compare import equal, printable
from rewards.code.script import ScriptError, compiled
from rewards.code.trial import Failed, Starved, TimedOut, Trial
from rewards.errors import BadInput
from rewards.sandbox import Limits, Sandbox, values
from rewards.sandbox.warm import with_sandbox

ROLES = ("rewards.sandbox.roles", "rewards.sandbox.checker")
NUMPY = ("numpy",) if importlib.util.find_spec("numpy") else ()  # slow to import, and dear to fork with
OPENS_A_BROWSER = {"antigravity"}
CONTROL_SECONDS = 10.0  # for a program that returns at once
PromptCompletion = dict[str, Any]


def judge(job: Mapping[str, Any]) -> PromptCompletion:
    """Grade one program.

    Args:
        job: the fields of `rewards.code.rows.Task`, and `program`, `fenced`, `memory_mib`, `sandbox`, `partial`.

    Returns:
        `outcome`, `reason` and `share` of a verdict; or `bad_input` if this machine offers no such sandbox.

    Raises:
        SandboxError: the sandbox failed twice.
    """
    try:
        return with_sandbox(job["sandbox"], _preload(job), lambda sandbox: _graded(sandbox, job))
    except BadInput as error:
        return {"bad_input": str(error)}


def _preload(job: Mapping[str, Any]) -> tuple[str, ...]:
    """What the sandbox is to have imported: modules of the preamble, numpy only where it is spoken of."""
    common = filter(_is_there, _imported(job["preamble"]))
    spoken = any(name in text for name in ("numpy", "np.") for text in (job["program"], job["check"]))
    testing = ("numpy.testing",) if NUMPY and ".testing" in job["check"] else ()  # for `checker.refuse_nothing`
    return (*ROLES, *sorted(common), *(NUMPY if spoken else ()), *testing)


@functools.lru_cache(maxsize=16)  # the completions of a group come one after the other
def _imported(preamble: str) -> frozenset[str]:
    """Modules of the standard library that a preamble imports as soon as it runs, and without a `try` around it."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of the row's own style
            statements = ast.parse(preamble).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # running it will tell
        return frozenset()
    names = [alias.name for item in statements if isinstance(item, ast.Import) for alias in item.names]
    names += [item.module or "" for item in statements if isinstance(item, ast.ImportFrom) and not item.level]
    return sys.stdlib_module_names & {name.partition(".")[0] for name in names} - OPENS_A_BROWSER


@functools.cache
def _is_there(module: str) -> bool:
    """Whether this system has a module of the standard library: some are for other systems, some are left out."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def control(job: Mapping[str, Any]) -> bool:
    """Run a program that returns at once; raise if that fails: then a job's failure was not its own fault."""
    with_sandbox(job["sandbox"], ROLES, _control)
    return True


def _graded(sandbox: Sandbox, job: Mapping[str, Any]) -> PromptCompletion:
    try:
        tests = _tests(job)  # before the clock starts
        if job["preamble"] and (why := _fault(sandbox, job["preamble"])):
            return _said("ungradable", f"the preamble itself fails: {why}")
        with Trial(sandbox, Limits(job["seconds"], job["memory_mib"]), job["seconds"]) as trial:
            _run(trial, job, tests)
    except kinds.NotPython as failure:
        return _said("wrong" if job["fenced"] else "unparseable", failure)
    except TimedOut as failure:
        if not failure.certain and not _is_able(sandbox):
            return _said("ungradable", "timed out, and so did a program that does nothing")
        return _said("wrong", failure, failure.share)
    except Failed as failure:
        limit = f" (it may use {job['memory_mib']} MiB)" if "MemoryError" in str(failure) else ""
        return _said("wrong", f"{failure}{limit}", failure.share)
    except (Starved, ScriptError, kinds.Unusable) as failure:
        return _said("ungradable", failure)
    return _said("correct", "all tests passed", 1.0)


def _tests(job: Mapping[str, Any]) -> Any:
    if job["kind"] == "check":
        return compiled(job["check"], job["entry_point"])
    return [values.decode(test.encode("ascii")) for test in job["tests"]]


def _run(trial: Trial, job: Mapping[str, Any], tests: Any) -> None:
    source = kinds.Source(job["program"], job["preamble"])
    if job["kind"] == "check":
        kinds.by_script(trial, source, tests)
    elif job["kind"] == "stdio":
        kinds.by_output(trial, source, tests, job["partial"])
    else:
        matches = functools.partial(equal, unordered=job["unordered"])
        kinds.by_calls(trial, source, job["entry_point"], tests, job["partial"], matches)


def _said(outcome: str, reason: object, share: float = 0.0) -> PromptCompletion:
    return {"outcome": outcome, "reason": printable(str(reason)), "share": share}


def _is_able(sandbox: Sandbox) -> bool:
    try:
        _control(sandbox)
    except Failed:
        return False
    return True


@functools.lru_cache(maxsize=16)  # the completions of a group come one after the other
def _fault(sandbox: Sandbox, preamble: str) -> str:
    """Why a preamble fails by itself; empty if it does not."""
    try:
        _control(sandbox, preamble)
    except Failed as failure:
        return str(failure)
    return ""


def _control(sandbox: Sandbox, preamble: str = "") -> None:
    """Run a right program; Failed if it fails."""
    with Trial(sandbox, Limits(seconds=CONTROL_SECONDS), CONTROL_SECONDS) as trial:
        one = kinds.Source("def one():\n    return 1\n", preamble)
        kinds.by_calls(trial, one, "one", [{"args": [], "expected": 1}], partial=False, matches=equal)
