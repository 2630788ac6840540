"""LaTeX without its dress: what the rungs of the ladder compare.

In a cleaned text `‹...›` marks what was `\\text{...}`, `«` and `»` are the braces of a set, `§` is the dollar, `∧` and
`∨` stand for the words "and" and "or", and no macro for size, space or color is left.
"""

import functools
import re

from rewards.math.braces import without_bare_braces
from rewards.math.grouping import joined_groups
from rewards.math.numerals import SCALE_WORD
from rewards.math.symbols import plain

_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|sf|sc|normal|up)?|mbox|hbox|mathrm|mathbf|mathit|mathsf|mathtt|mathnormal|boldsymbol|bm|bold|emph|rm|bf)"
    r"\s*+\{((?:[^{}]++|\{[^{}]*+\})*+)\}"
)
_UNWRAP = re.compile(
    r"\\(?:boxed|fbox|framebox|ensuremath|operatorname\*?|underline|mathstrut|phantom|hphantom|vphantom|displaylines)(?=\s*+\{)"
    r"|\\(?:text)?color\s*+\{[^{}]*+\}|\\color\s++\w++"
)
_DROP = re.compile(
    r"\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|scriptstyle|limits|nolimits|hspace\s*+\{[^{}]*+\}|"
    r"boldmath|bf|rm|it|quad|qquad|enspace|thinspace|newline|hfill|null|strut|rule\{[^{}]*+\}\{[^{}]*+\}|label\{[^{}]*+\}|tag\{[^{}]*+\})(?![A-Za-z])\.?+"
    r"|\\[hv]?phantom(?![A-Za-z])\s*+[-+\d]|\\[;:> ]|~|&nbsp;"
)
_NO_SPACE = re.compile(r"\\hspace\*?\s*+\{\s*+0(?:\.0*)?\s*+(?:pt|em|ex|cm|mm|in)?\s*+\}")
_ALIASES = {
    "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "dbinom": r"\binom", "tbinom": r"\binom",
    "leq": r"\le", "geq": r"\ge", "leqslant": r"\le", "geqslant": r"\ge", "neq": r"\ne", "lt": "<", "gt": ">",
    "varnothing": r"\emptyset", "lbrace": "«", "rbrace": "»", "langle": "(", "rangle": ")",
    "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "lVert": "|",
    "rVert": "|", "Vert": "|", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "ast": "*", "star": "*",
    "wedge": "∧", "land": "∧", "vee": "∨", "lor": "∨", "times": "*", "cdot": "*", "div": "/", "cdots": r"\ldots",
    "dots": r"\ldots", "dotsc": r"\ldots", "dotsb": r"\ldots", "degree": r"^\circ", "infin": r"\infty",
    "epsilon": r"\epsilon", "varepsilon": r"\epsilon", "varphi": r"\phi", "vartheta": r"\theta", "to": r"\to",
    "rightarrow": r"\to", "pounds": "£", "euro": "€", "dollar": "§", "arcsin": r"\arcsin", "approx": "=", "simeq": "=",
    "backslash": "", "colon": ":", "smallsetminus": r"\setminus", "rm": "", "bar": r"\overline",
}  # fmt: skip
_MACRO = re.compile(r"\\([A-Za-z]+)")
_THOUSANDS = re.compile(
    r"(?<![\d.])(?P<first>\d{1,3}+)(?P<rest>(?:(?:,?\\[!,;: ]"
    r"|\s?\{(?:[,.~]|\\[!,;: ]|\\thinspace)?\s?\}|\\,|,\\!|\\thinspace|~)\s*+\d{3}(?!\d))++)"
)
_OPERATOR = re.compile(r"(?<![\^_A-Za-z}])\{\s?(\\times|\\cdot|[-+*/=<>:,.])\s?\}")  # 3{,}5 and 4{:}30
_AND = re.compile(
    r"‹[\s,]*+(?:and|și|et|und|y)\s*+›|(?<![A-Za-z\\])and(?![A-Za-z])|(?<=[\s\d)}\]])(?:和|以及|与|及|و)(?=[\s\d(\\-])"
)
_OR_WORD = (
    r"(?:or|oder|ou|o|или|або|hoặc|veya|ya da|atau|lub|albo|oppure|eller|sau|nebo|또는|혹은|または|もしくは|あるいは"
    r"|या|अथवा|বা|অথবা|یا|أو|或者?)"
)
_OR = re.compile(
    rf"‹[\s,]*+{_OR_WORD}\s*+›"
    r"|(?<![A-Za-z\\])or(?![A-Za-z])|(?<=[\s\d)}\]])(?:或者?|أو)(?=[\s\d(\\-])"
)
# Between numbers only, for some are letters of formulae: Spanish, French, German, Russian, Swahili, Persian and Urdu,
# Thai, Bengali, Telugu, Japanese.
_AND_BETWEEN = re.compile(r"(?<=\d) (?:y|et|und|и|na|اور|และ|এবং|ও|మరియు) (?=[-\d$])|(?<=\d)と(?=\d)")
_OR_BETWEEN = re.compile(
    rf"(?<=[\d)}}\]]) ?{_OR_WORD} ?(?=[a-zA-Z]\s?(?:[=<>≤≥]|\\[lg]e))"
    r"|(?<=\d) (?:o|u|ou|oder|или|au|یا|หรือ|বা|లేదా) (?=[-\d$])|(?<=\d)(?:か|または)(?=\d)"
)
_NOT = re.compile(r"\\not\s*+(?:(\\in(?![A-Za-z]))|=)")
_RELATIONS = re.compile(r"<=|>=|=<|=>|!=|==|:=|≤|≥|\\approx|\\sim(?![a-z])")
_RELATION = {"<=": r"\le ", "=<": r"\le ", ">=": r"\ge ", "=>": r"\Rightarrow ", "!=": r"\ne ", "==": "=", ":=": "=",
             "\\approx": "=", "\\sim": "="}  # fmt: skip
_DOUBLED = re.compile(r"(?<!\\)\\\\(?=[A-Za-z])")
_ROW = re.compile(r"\\\\(?:\s*+\[[-\d.]{0,6}[a-z]{2}\])?")
_ESCAPED = re.compile(r"\\([()\[\]{}$%#&_|])")
_ESCAPE = {
    "(": " ",
    ")": " ",
    "[": " ",
    "]": " ",
    "{": "«",
    "}": "»",
    "$": "§",
    "%": "%",
    "#": "#",
    "&": "&",
    "_": "_",
    "|": "|",
}
_STARS = re.compile(r"[\w)}]\s?\*\*\s?[\w({-]")
_PRIMES = re.compile(r"\s?\^\s?(?:\{\s*+((?:\\prime\s*+){1,3})\}|(\\prime)(?![A-Za-z]))")
_WORD_BELOW = re.compile(r"_\s?\{\s*+‹([^‹›{}]{1,30})›\s*+\}")  # x_{\text{max}}
_MODULE = re.compile(r"(?<![A-Za-z.])(?:np|numpy|math)\.(?=[a-z]{2})")
_TIMES_TEN = re.compile(r"(?<=\d)\s?[xX]\s?(?=10\s?\^)")
_PERCENT_OF = re.compile(r"百分之\s*+([\d.]++)")
_OVER = re.compile(r"\{([^{}]{1,80}?)\\over(?![a-z])([^{}]{1,80})\}")
_LETTERS = re.compile(r"‹\s?([A-Z](?:\s?,\s?[A-Z])*)\s?›")
_SPACES = re.compile(r"\s++")
_MARKED_SCALE = re.compile(  # 7\text{ million dollars}: a power of ten, and no unit
    rf"(?<=[\d)}}§])\s*+‹\s*+({SCALE_WORD})\b\s*+([^‹›]*+)›", re.IGNORECASE
)
_LABEL = re.compile(
    r"^\W{0,3}(?:the\s+)?(?:final\s+)?(?:answer|ans|result|solution)s?\W*?(?:[:=]|\bis\b|\bare\b)\s*+", re.IGNORECASE
)


def clean(text: str) -> str:
    """An answer with the dress of LaTeX taken off. Linear in its length; never raises."""
    text = plain(text).strip()
    if "\\" not in text and "{" not in text and text.isascii() and text.isalnum():
        return text
    if "\\" in text:
        text = _escapes(text)
    if "*" in text or "`" in text:
        text = text.strip("*` ")
        text = text.replace("**", "^") if _STARS.search(text) else text.replace("**", " ")
    if "$" in text:
        text = _dollars(text)
    if "\\" in text or "{" in text:
        text = _latex(text)
    if "." in text:
        text = _MODULE.sub("", text)
    text = _TIMES_TEN.sub("*", _PERCENT_OF.sub(r"\1%", text.replace("~", " ")))
    if "\\not" in text:
        text = _NOT.sub(lambda match: r"\notin " if match[1] else r"\ne ", text)
    text = _RELATIONS.sub(lambda match: _RELATION.get(match[0], match[0]), text)
    text = _OR.sub(" ∨ ", _AND.sub(" ∧ ", text))
    text = _OR_BETWEEN.sub(" ∨ ", _AND_BETWEEN.sub(" ∧ ", text))
    text = _SPACES.sub(" ", text).strip()
    text = joined_groups(_undotted(_LABEL.sub("", text) if len(text) < 400 else text))
    letters = _LETTERS.fullmatch(text)
    return letters[1] if letters is not None else text


def _escapes(text: str) -> str:
    r"""Rows `\\` as `¦`, escaped signs as themselves, display brackets gone, doubled backslashes halved."""
    if "\\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)
    text = _ROW.sub("¦", text)
    return _ESCAPED.sub(lambda match: _ESCAPE[match[1]], text)


def _dollars(text: str) -> str:
    """Signs of math mode dropped; a single dollar sign before or after a number is money."""
    if text.count("$") == 1:
        return re.sub(r"\$(?=\s?\.?\d)|(?<=\d)\s?\$", "§", text).replace("$", " ")
    return text.replace("$", " ")


def _latex(text: str) -> str:
    text = _THOUSANDS.sub(_joined, text)
    text = _OPERATOR.sub(r"\1", text)
    if "\\" in text:
        text = _NO_SPACE.sub("", text).replace("\\!", "").replace("\\,", " ").replace("\\n", " \\n")
    text = _OVER.sub(r"\\frac{\1}{\2}", text) if "\\over" in text else text
    text = _TEXT.sub(_marked, text)
    text = _TEXT.sub(r"‹\1›", text) if _TEXT.search(text) else text
    if "‹" in text:
        text = _MARKED_SCALE.sub(_unmarked_scale, text)
    text = _UNWRAP.sub("", text)
    text = re.sub(r"\\n(?![a-zA-Z])|\\n(?=[A-Z])", " ", text)
    text = _WORD_BELOW.sub(r"_{\1}", _PRIMES.sub(_primes, _DROP.sub(" ", text)))
    return without_bare_braces(_MACRO.sub(_alias, text).replace("\\ ", " "))


def _joined(match: re.Match[str]) -> str:
    """Digits in groups that LaTeX spaces, as 1\\,234 and 1{,}234, without what separates them; not 0{,}125."""
    if not match["first"].strip("0"):
        return match[0]
    return match["first"] + re.sub(r"\D", "", match["rest"])


def _primes(match: re.Match[str]) -> str:
    return "'" * match[0].count("prime")


def _marked(match: re.Match[str]) -> str:
    """Text between marks; a bold letter and a number as they are."""
    inside = match[1].strip()
    bold_letter = len(inside) == 1 and match[0].startswith(("\\mathbf", "\\bold", "\\bm", "\\mathit"))
    return match[1] if bold_letter or inside.isdecimal() else f"‹{match[1]}›"


def _unmarked_scale(match: re.Match[str]) -> str:
    return f" {match[1]} ‹{match[2]}›" if match[2] else f" {match[1]} "


def _alias(match: re.Match[str]) -> str:
    known = _ALIASES.get(match[1])
    if known is None:
        return match[0]
    return known if known.startswith("\\") else f" {known} " if known in "<>*/∧∨=" else known


def _undotted(text: str) -> str:
    """Without the punctuation of a sentence around it."""
    text = text.strip().rstrip(";:,?\"'`").lstrip(',;:"`')
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1]
    return text.strip()


_BETWEEN_DIGITS = re.compile(r"(?<=\d) (?=\d)")
_SHORT_INDEX = re.compile(r"([\^_])\{(\w)\}")
_SHORT_FRACTION = re.compile(r"\\frac(\d)(\d)")


@functools.lru_cache(maxsize=8192)
def spaceless(text: str) -> str:
    """A cleaned text for comparison letter by letter: no spaces but between digits, no needless braces or marks."""
    if text.isalnum():
        return text
    text = _BETWEEN_DIGITS.sub("\x1f", text)
    text = text.replace(" ", "").replace("\x1f", " ").replace("‹", "").replace("›", "")
    text = _SHORT_INDEX.sub(r"\1\2", text)
    return _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)


_WORD = re.compile(r"\w+(?:[-']\w+)*", re.UNICODE)
_ARTICLES = {"the", "a", "an"}


def words(text: str) -> tuple[str, ...]:
    """The words of a textual answer, in lower case and without articles."""
    found = [word.casefold() for word in _WORD.findall(text.replace("‹", " ").replace("›", " "))]
    return tuple(word for word in found if word not in _ARTICLES) or tuple(found)


def unbraced(text: str) -> str:
    """Without braces or parentheses that enclose all of it. Linear in its length."""
    depth = _enclosing(text)
    return text[depth : len(text) - depth] if depth else text


def _enclosing(text: str) -> int:
    """How many pairs of `{}` or `()` enclose the whole text, one inside the other with nothing between."""
    if not text or text[0] not in "{(" or text[-1] not in "})":
        return 0
    opened: list[int] = []
    partner: dict[int, int] = {}
    for position, character in enumerate(text):
        if character in "{(":
            opened.append(position)
        elif character in "})":
            if not opened or text[opened[-1]] + character not in ("{}", "()"):
                return 0
            partner[opened.pop()] = position
    depth = 0
    while depth < len(text) // 2 and not opened and partner.get(depth) == len(text) - 1 - depth:
        depth += 1
    return depth
