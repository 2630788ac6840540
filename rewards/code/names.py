"""Which names a block of Python defines, and which it takes from elsewhere; read without compiling it.

Only what a module would hold counts as defined: not what stands in a function or in a class, though methods are known
by a dotted name. A definition is a sketch where its body is left out (`...`, `pass`, a docstring alone), where it is an
import from a module that is not Python's own, and where a block imports or assigns a name and uses it, as an example
does. Time is linear in the length.
"""

import builtins
import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from rewards.code.lines import CLOSED, masked, open_after

DEFINITION = re.compile(r"(?:async[ \t]++)?(def|class)[ \t]++(\w++)")
IMPORT = re.compile(r"(?:from|import)\b")
FROM = re.compile(r"from[ \t]++(\w++)")
IMPORTED = re.compile(r"\bimport\b[\s(]*+(.*)", re.DOTALL)
LEFT_OUT = re.compile(
    r"#[ \t]*+(?:\.\.\.|…|.*\b(?:as (?:above|before)|unchanged|your code|code here)\b)", re.IGNORECASE
)
WORDS = re.compile(r"\w++|:=|==|[^\w\s]")
KNOWN = {*keyword.kwlist, *dir(builtins), "self", "__name__", "__file__"}
EMPTY = ("...", "pass")


@dataclass(slots=True)
class Definition:
    """A definition of a name: what its body consists of.

    Attributes:
        statements: how many, without docstrings and `pass`.
        gap: code was left out of it, or it only gives a name to what stands elsewhere.
        noted: a comment says that code was left out.
    """

    statements: int = 0
    gap: bool = False
    noted: bool = False

    @property
    def is_sketch(self) -> bool:
        """Whether code is missing from it."""
        return not self.statements or self.gap or (self.noted and self.statements == 1)


# What a line stands in: indentation, path, whether it is a class, definition.
Around = tuple[int, str, bool, Definition]


@dataclass(slots=True)
class Names:
    """The names of a block.

    Attributes:
        defined: the last definition of each; methods of its classes as `Class.method`.
        assigned: those of them that are defined by an import, or an assignment other than of a `lambda`.
        taken: names that it uses and binds nowhere.
        acts: it does something but define, import and assign.
    """

    defined: dict[str, Definition] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    acts: bool = False


def names_of(text: str) -> Names:
    """Read a block of Python."""
    found, bound, used = Names(), set[str](), set[str]()
    outer: list[Around] = []
    branches = False  # the last statement at column 0 has a body of the module's own, such as that of `if`
    for indent, statement, comments in _statements(text):
        if not statement:  # a comment, which may stand at any column
            for *_, around in outer:
                around.noted = around.noted or LEFT_OUT.match(comments) is not None
            continue
        while outer and indent <= outer[-1][0]:
            outer.pop()
        match = DEFINITION.match(statement)
        if not indent:
            branches = match is None and statement.endswith(":")
        if match is not None:
            path = _path(outer, match[2]) if outer or branches or not indent else ""
            definition = Definition(statements=int(_has_inline_body(statement)))
            if path:
                found.defined[path] = definition
            outer.append((indent, path, match[1] == "class", definition))
        else:
            _note(found, outer, statement)
        _words(statement, used, bound)
    for name in found.assigned & used:
        found.defined[name].gap = True
    found.taken = used - bound - KNOWN - {name.partition(".")[0] for name in found.defined}
    return found


def defines(text: str, name: str) -> bool:
    """Whether a program defines a name, or the class whose method it may be."""
    function = re.search(rf"^def[ \t]++{re.escape(name)}\b", text, re.MULTILINE)
    if function is not None:  # mostly, and quickly seen
        state = CLOSED
        for line in text[: function.start()].split("\n"):
            state = open_after(line, state)
        if state == CLOSED:
            return True
    names = names_of(text)
    return provides(names, name) is not None or container(name) in names.defined


def provides(names: Names, name: str) -> Definition | None:
    """The definition of a name; of a name without a dot also as a method of the class `Solution`."""
    return names.defined.get(name) or names.defined.get(f"Solution.{name}")


def container(name: str) -> str:
    """The class that may have a name as its method: it may inherit the method."""
    return name.partition(".")[0] if "." in name else "Solution"


def _path(outer: list[Around], name: str) -> str:
    """How a name that is defined here is found from outside; empty if it is not."""
    if not outer:
        return name
    _, path, is_class, _ = outer[-1]
    return f"{path}.{name}" if is_class and len(outer) == 1 else ""


def _note(found: Names, outer: list[Around], statement: str) -> None:
    """Take note of a statement that is neither `def` nor `class`."""
    for *_, around in outer:
        around.gap = around.gap or statement == "..."
        around.statements += statement not in EMPTY and not statement.startswith("raise NotImplementedError")
    targets = _targets(statement)
    module = FROM.match(statement)
    is_whole = "lambda" in statement
    foreign = module is not None and module[1] not in sys.stdlib_module_names
    for target in targets:
        path = _path(outer, target)
        if path and is_whole:
            found.defined[path] = Definition(statements=1)
        elif path and path not in found.defined:
            found.defined[path] = Definition(statements=1, gap=foreign)
            found.assigned.add(path)
    if outer or statement in EMPTY or statement.startswith("@") or IMPORT.match(statement):
        return
    found.acts = found.acts or not targets or "(" in statement.partition("=")[2]


def _targets(statement: str) -> list[str]:
    """Names that a statement imports or assigns."""
    if IMPORT.match(statement):
        imported = IMPORTED.search(statement)
        parts = [part.split() for part in imported[1].strip("() \n").split(",")] if imported else []
        return [part[-1].partition(".")[0] for part in parts if part and part[-1] != "*"]
    names: list[str] = []
    waiting: list[str] = []
    before = ""
    for word in WORDS.findall(statement):
        if word == "=":
            names += waiting
            waiting = []
        elif word.isidentifier() and not keyword.iskeyword(word):
            waiting.append(word)
        elif word == ":" and len(waiting) == 1 and before == waiting[0]:  # an annotation
            return waiting if "=" in statement else []
        elif word not in (",", "(", ")", "*") or (word == "(" and before.isidentifier()):
            break
        before = word
    return names


def _has_inline_body(statement: str) -> bool:
    body = statement.rpartition(":")[2].strip()
    return bool(body) and body not in EMPTY


def _words(statement: str, used: set[str], bound: set[str]) -> None:
    """Sort the words of a statement into those that it uses and those that it binds, somewhere."""
    words = WORDS.findall(statement)
    if IMPORT.match(statement):
        bound.update(word for word in words if word.isidentifier())
        return
    targets = _targets(statement)
    bound.update(targets)
    if targets:
        words = words[words.index("=") :]
    binding = ""  # the word that began names which are bound until its end
    depth = 0
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        depth += (word in "([{") - (word in ")]}")
        if word in ("for", "lambda", "def"):
            binding = word
        elif (binding, word) in (("for", "in"), ("lambda", ":")) or (binding == "def" and word == ")" and not depth):
            binding = ""
        elif word.isidentifier() and before != "." and not (after == "=" and depth):  # neither attribute nor keyword
            is_bound = binding in ("for", "lambda") or before in ("as", "class", "def") or after == ":="
            is_bound = is_bound or (binding == "def" and before in ("(", ",", "*"))
            (bound if is_bound else used).add(word)


def _statements(text: str) -> Iterator[tuple[int, str, str]]:
    """Indentation, masked text and comment of each statement; a line that is a comment is one without text."""
    state = CLOSED
    parts: list[str] = []
    indent = 0
    for line in text.split("\n"):
        if state == CLOSED:
            indent = len(line) - len(line.lstrip())
        mask, state = masked(line, state)
        parts.append(mask)
        if state == CLOSED:
            statement = " ".join(parts).strip().rstrip(";")
            parts = []
            if statement or "#" in line:
                yield indent, statement, line.strip()
    if parts:
        yield indent, " ".join(parts).strip(), ""
