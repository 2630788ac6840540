"""Check scripts (HumanEval's `def check(candidate)`, MBPP's assertions), compiled once for all completions.

A script runs with the program's functions in place of the names that it uses and does not define. Its own definitions,
Python's built-in functions and the standard library's modules come first, so that a program cannot put its `abs` or its
`math` into the comparison; only the entry point always is the program's.
"""

import ast
import builtins
import functools
import marshal
import symtable
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from rewards.sandbox.checker import DISCARDED, FILE

MODULES = {name: name for name in sys.stdlib_module_names} | {"np": "numpy", "numpy": "numpy"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class ScriptError(ValueError):
    """A check script cannot be used, whatever the program."""


@dataclass(frozen=True)
class Script:
    """A compiled check script.

    Attributes:
        code: for `marshal.loads`.
        names: what it takes from the program, the entry point first if it is known.
        entry_point: the name that a program must define; None where several may be it.
        lines: its text, for reports.
    """

    code: bytes
    names: list[str]
    entry_point: str | None
    lines: list[str]

    def line(self, number: int) -> str:
        """A line of it; empty if it has none of that number."""
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""


@functools.lru_cache(maxsize=16)  # the completions of a group come one after the other
def compiled(check: str, entry_point: str | None) -> Script:
    """Compile a check script.

    Raises:
        ScriptError: it is no Python, or needs an entry point and has none.
    """
    try:
        tree = ast.parse(check, FILE)
        names = _names(tree, check, entry_point)
        needed = names[0] if entry_point or len(names) == 1 else None
        _call_check(tree, needed)
        _mark_discarded(tree)
        code = marshal.dumps(compile(tree, FILE, "exec"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ScriptError(f"the check script cannot be used: {error}") from error
    return Script(code, names, needed, check.split("\n"))


def _names(tree: ast.Module, check: str, entry_point: str | None) -> list[str]:
    """Names that the program is to define. The tree loses stubs of the entry point and gains forgotten imports."""
    if entry_point:  # HumanEval's prompt, which may stand before the tests, has a stub of it
        tree.body = [item for item in tree.body if not (isinstance(item, DEFINITIONS) and item.name == entry_point)]
    free = _free(symtable.symtable(check, FILE, "exec")) - {entry_point}
    _import(tree, {name: MODULES[name] for name in sorted(free) if name in MODULES})
    wanted = sorted(name for name in free if name not in MODULES and not hasattr(builtins, name))
    if entry_point:
        return [entry_point, *wanted]
    called = set(_calls_of_module(tree))  # MBPP has a function named sum
    return wanted or [name for name in free if called == {name}]


def _free(module: symtable.SymbolTable) -> set[str]:
    """Global names that a module reads and never binds."""
    read: set[str] = set()
    bound: set[str] = set()
    waiting = [module]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        for symbol in table.get_symbols():
            if table is module or symbol.is_global():
                if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
                    bound.add(symbol.get_name())
                if symbol.is_referenced():
                    read.add(symbol.get_name())
    return read - bound


def _import(tree: ast.Module, modules: dict[str, str]) -> None:
    """Put imports before the first statement that is neither a docstring nor from __future__."""
    place = 0
    for item in tree.body:
        docstring = isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
        if not docstring and not (isinstance(item, ast.ImportFrom) and item.module == "__future__"):
            break
        place += 1
    imports = [ast.Import([ast.alias(module, name)]) for name, module in modules.items()]
    tree.body[place:place] = map(ast.fix_missing_locations, imports)


def _call_check(tree: ast.Module, entry_point: str | None) -> None:
    """Add `check(entry_point)` to a script that defines `check` and does not call it."""
    if not any(isinstance(item, DEFINITIONS) and item.name == "check" for item in tree.body):
        return
    if any(call == "check" for call in _calls_of_module(tree)):
        return
    if entry_point is None:
        raise ScriptError("the check script defines check(candidate), and no entry_point says what the candidate is")
    name = ast.Name(entry_point, ast.Load())  # also one with a dot: the checker binds it as it is
    call = ast.Expr(ast.Call(ast.Name("check", ast.Load()), [name], []))
    tree.body.append(ast.fix_missing_locations(call))


def _mark_discarded(tree: ast.Module) -> None:
    """Put `f(x)` as a statement through `checker.DISCARDED`: the script looks at what it does, not what it returns."""
    for statement in _statements(tree):
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and not (isinstance(call.func, ast.Name) and hasattr(builtins, call.func.id)):
            name = ast.copy_location(ast.Name(DISCARDED, ast.Load()), call)
            call.args.insert(0, call.func)
            call.func = name


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements below a module, statement, handler or case; to walk expressions, too, takes far longer."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, field, ()):
            if isinstance(inner, ast.stmt):
                yield inner
            yield from _statements(inner)


def _calls_of_module(tree: ast.Module) -> Iterator[str]:
    """Names of the functions that are called outside of definitions."""
    for item in tree.body:
        if not isinstance(item, DEFINITIONS):
            for node in ast.walk(item):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    yield node.func.id
