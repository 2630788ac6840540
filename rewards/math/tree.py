"""A small parser of formulae: LaTeX or plain text into a tree. It reads what school mathematics writes and refuses
everything else, which is then left to math-verify. Nothing is evaluated here.

A tree is a tuple: ("num", Fraction), ("sym", name), or (operator, tree, ...) with the operators `add`, `mul`, `div`,
`pow`, `neg`, `fact`, and the names of functions.
"""

import functools
import re
from fractions import Fraction

from rewards.math.macros import CONSTANTS, DEEPEST, WORDS, Tree, Unreadable, macro

TALLEST = 150  # levels of a tree
LONGEST_FORMULA = 1_000  # characters


_TOKEN = re.compile(r"\s*+(?:(\d++(?:\.\d++)?+|\.\d++)|\\([A-Za-z]++)|([A-Za-z])|(.))", re.DOTALL)
_OPENING = {"(": ")", "[": "]", "{": "}"}
_FOREIGN = re.compile(r"[=<>;∧∨«»¦&?#@\"‹›§]|(?<!\d),(?!\d)|,(?!.{0,200}\))")
_LONE = re.compile(r"‹\s?([A-Za-z])\s?›")
_RUN = re.compile(r"[A-Za-z]{5,}")


@functools.lru_cache(maxsize=8192)
def parse(text: str) -> tuple[Tree, bool] | None:
    """(tree, whether it could be read otherwise as well) of a cleaned text, or None. Linear; never raises."""
    text = _LONE.sub(r"\1", text) if "‹" in text else text
    if len(text) > LONGEST_FORMULA or not text or _FOREIGN.search(text):
        return None
    try:
        parser = Parser(text)
        tree = parser.sum(0)
        if parser.kind != "end":
            return None
    except (Unreadable, RecursionError):
        return None
    return (tree, parser.ambiguous) if _is_shallow(tree) else None


def _is_shallow(tree: Tree) -> bool:
    """Whether the tree may be walked recursively: a long product is a deep tree without any nesting of brackets."""
    level = [tree]
    for _ in range(TALLEST):
        level = [part for node in level for part in node[1:] if isinstance(part, tuple)]
        if not level:
            return True
    return False


def names(tree: Tree) -> set[str]:
    """The letters and constants of a formula."""
    if tree[0] == "sym":
        return {tree[1]}
    return set() if tree[0] == "num" else set().union(*(names(part) for part in tree[1:]))


def replaced(tree: Tree, name: str, other: Tree) -> Tree:
    """A formula with another one wherever a letter stands."""
    if tree[0] == "sym":
        return other if tree[1] == name else tree
    return tree if tree[0] == "num" else (tree[0], *(replaced(part, name, other) for part in tree[1:]))


def _call(name: str, value: Fraction) -> Tree:
    """f(0): more likely a value of its own than a product."""
    if name in CONSTANTS:
        raise Unreadable("a constant times a number, or a call")
    return ("sym", f"{name}({value})")


class Parser:
    """Recursive descent over one text. `kind` and `token` are the next token's; `bars` counts open `|`."""

    def __init__(self, text: str) -> None:
        self.text, self.position, self.bars, self.ambiguous = text, 0, 0, False
        self.kind, self.token = "end", ""
        self.advance()

    def advance(self) -> None:
        """Read the next token."""
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            self.kind, self.token = "end", ""
            return
        self.position = match.end()
        self.kind = ("number", "macro", "letter", "sign")[(match.lastindex or 1) - 1]
        self.token = match[match.lastindex or 0]
        if self.kind == "letter":
            word = WORDS.match(self.text, match.start(3))
            if word is not None:
                self.kind, self.token, self.position = "macro", word[0], word.end()
            elif _RUN.match(self.text, match.start(3)):
                raise Unreadable("a word")
        if self.kind == "macro" and self.token in ("infinity", "inf"):
            self.token = "infty"

    def take(self, sign: str) -> None:
        """Read a sign that must come now. Raises Unreadable."""
        if self.kind != "sign" or self.token != sign:
            raise Unreadable(f"{sign} expected")
        self.advance()

    def at(self, *signs: str) -> bool:
        """Return whether one of these signs comes now."""
        return self.kind == "sign" and self.token in signs

    def sum(self, depth: int) -> Tree:
        """Read terms with + and - between them."""
        if depth > DEEPEST:
            raise Unreadable("too deep")
        terms = [self.product(depth)]
        while self.at("+", "-"):
            negative = self.token == "-"
            self.advance()
            term = self.product(depth)
            terms.append(("neg", term) if negative else term)
        return terms[0] if len(terms) == 1 else ("add", *terms)

    def product(self, depth: int) -> Tree:
        """Read factors with signs of multiplication or division, or nothing, between them."""
        if self.at("-", "+"):
            negative = self.token == "-"
            self.advance()
            if depth > DEEPEST:
                raise Unreadable("too deep")
            term = self.product(depth + 1)
            return ("neg", term) if negative else term
        tree = self.power(depth)
        divided = False
        while True:
            if self.at("*"):
                self.advance()
                tree, divided = ("mul", tree, self.signed(depth)), False
            elif self.at("/"):
                self.advance()
                tree, divided = ("div", tree, self.signed(depth)), True
            elif self.starts_factor():
                self.ambiguous |= divided
                call = tree[0] == "sym" and self.at("(")
                factor = self.power(depth)
                call = call and factor[0] == "num"
                self.ambiguous |= call
                tree = _call(tree[1], factor[1]) if call else ("mul", tree, factor)
            else:
                return tree

    def signed(self, depth: int) -> Tree:
        """Read a factor with its sign."""
        if self.at("-", "+"):
            negative = self.token == "-"
            self.advance()
            tree = self.power(depth)
            return ("neg", tree) if negative else tree
        return self.power(depth)

    def starts_factor(self) -> bool:
        """Return whether a factor can begin here."""
        if self.kind == "number":
            if self.text[: self.position - len(self.token)].rstrip()[-1:] not in (")", "}", "!"):
                raise Unreadable("a number after a factor")
            return True
        if self.kind == "macro":
            return self.token not in ("rfloor", "rceil", "mod", "bmod", "pmod", "circ", "end")
        return self.kind == "letter" or self.at("(", "[", "{") or (self.at("|") and self.bars == 0)

    def power(self, depth: int) -> Tree:
        """Read a base with its exponent, if it has one."""
        base = self.postfix(self.primary(depth + 1))
        if not self.at("^"):
            return base
        self.advance()
        if self.kind == "macro" and self.token == "circ":
            self.advance()
            return self.postfix(("mul", base, ("div", ("sym", "pi"), ("num", Fraction(180)))))
        if self.at("{") and self.text[self.position :].lstrip().startswith("\\circ"):
            self.advance()
            self.advance()
            self.take("}")
            return self.postfix(("mul", base, ("div", ("sym", "pi"), ("num", Fraction(180)))))
        return self.postfix(("pow", base, self.exponent(depth + 1)))

    def exponent(self, depth: int) -> Tree:
        """Read what stands behind ^."""
        if depth > DEEPEST:
            raise Unreadable("too deep")
        negative = self.at("-")
        if negative or self.at("+"):
            self.advance()
        tree = self.power(depth)
        return ("neg", tree) if negative else tree

    def postfix(self, tree: Tree) -> Tree:
        """Read signs behind a factor: factorials, percent, degrees."""
        while self.at("!"):
            self.advance()
            tree = ("fact", tree)
        return tree

    def primary(self, depth: int) -> Tree:
        """Read a number, a symbol, a group or a function. Raises Unreadable."""
        if depth > DEEPEST:
            raise Unreadable("too deep")
        if self.kind == "number":
            return self.number()
        if self.kind == "letter":
            return self.symbol()
        if self.kind == "macro":
            return macro(self, depth)
        if self.at("|"):
            self.advance()
            self.bars += 1
            inside = self.sum(depth + 1)
            self.bars -= 1
            self.take("|")
            return ("abs", inside)
        if self.at(*_OPENING):
            return self.group(depth)
        raise Unreadable("nothing that begins a factor")

    def group(self, depth: int) -> Tree:
        """Read what is in brackets."""
        closing = _OPENING.get(self.token) if self.kind == "sign" else None
        if closing is None:
            raise Unreadable("a group expected")
        self.advance()
        bars, self.bars = self.bars, 0
        inside = self.sum(depth + 1)
        self.bars = bars
        self.take(closing)
        return inside

    def number(self) -> Tree:
        """Read a number."""
        text = self.token
        self.advance()
        if self.at("_"):
            raise Unreadable("a numeral with a base")
        value: Tree = ("num", Fraction(text))
        if text.isdecimal() and self.kind == "macro" and self.token == "frac":
            fraction = macro(self, 0)
            over, under = fraction[1:]
            if over[0] == under[0] == "num" and over[1] < under[1] and over[1].denominator == under[1].denominator == 1:
                return ("add", value, fraction)
            return ("mul", value, fraction)
        return value

    def symbol(self) -> Tree:
        """Read a symbol with its primes."""
        name = self.token
        self.advance()
        primes = 0
        while self.at("'"):
            primes += 1
            self.advance()
        if self.at("_"):
            name += "_" + self.subscript()
        return ("sym", name + "'" * primes)

    def subscript(self) -> str:
        """Read what stands behind _."""
        start = self.position
        self.advance()
        if not self.at("{"):
            token = self.token
            if self.kind == "end":
                raise Unreadable("a subscript expected")
            self.advance()
            return token
        end = self.text.find("}", start)
        if end < 0 or "{" in self.text[self.position : end]:
            raise Unreadable("a nested subscript")
        inside = self.text[self.position : end].replace(" ", "")
        self.position = end + 1
        self.advance()
        return inside

    def argument(self, depth: int) -> Tree:
        """What a macro takes: a group, one digit, one letter, or another macro."""
        if self.at("{"):
            return self.group(depth)
        if self.kind == "number":
            if len(self.token) > 1 and "." not in self.token:  # \frac12: one digit each
                self.position -= len(self.token) - 1
                self.token = self.token[0]
            value: Tree = ("num", Fraction(self.token))
            self.advance()
            return value
        if self.kind == "letter":
            return self.symbol()
        if self.kind == "macro":
            return macro(self, depth + 1)
        raise Unreadable("an argument expected")
