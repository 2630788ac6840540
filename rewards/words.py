"""The words of a text's prose, each with its script: code, formulas, tags, addresses and numbers are left out.

Words are told apart by Unicode blocks alone. Where a script puts no spaces between words, so many characters count as
one (`CHARACTERS_A_WORD`): one Chinese character is a word, as is a run of up to three kana.

Time is linear in the length of the text: each pattern stops where another match of it could begin.
"""

import re
from typing import NamedTuple

# The letters of each script, and those of its marks that stand in the same block.
SCRIPTS = {
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f"
    "\ua722-\ua788\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7cb",
    "greek": "\u0370-\u0374\u0376-\u037d\u037f\u0386\u0388-\u03f5\u03f7-\u03ff\u1f00-\u1ffc",
    "cyrillic": "\u0400-\u0481\u0483-\u0487\u048a-\u052f\u1c80-\u1c88\ua640-\ua66f",
    "armenian": "\u0531-\u0556\u0559\u0561-\u0588",
    "hebrew": "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u05d0-\u05f2",
    "arabic": "\u0610-\u061a\u0620-\u065f\u066e-\u06d3\u06d5-\u06dc\u06df-\u06e8\u06ea-\u06ef\u06fa-\u06fc\u06ff"
    "\u0750-\u077f\u08a0-\u08e1\u08e3-\u08ff\ufb50-\ufbb1\ufbd3-\ufd3d\ufd50-\ufdc7\ufdf0-\ufdfb\ufe70-\ufefc",
    "devanagari": "\u0900-\u0963\u0971-\u097f",
    "bengali": "\u0980-\u09e3\u09f0\u09f1",
    "gurmukhi": "\u0a01-\u0a5e\u0a70-\u0a75",
    "gujarati": "\u0a81-\u0ae3",
    "odia": "\u0b01-\u0b63\u0b71",
    "tamil": "\u0b82-\u0bd7",
    "telugu": "\u0c00-\u0c63",
    "kannada": "\u0c80-\u0c83\u0c85-\u0ce3",
    "malayalam": "\u0d00-\u0d4e\u0d54-\u0d57\u0d5f-\u0d63\u0d7a-\u0d7f",
    "sinhala": "\u0d81-\u0ddf",
    "thai": "\u0e01-\u0e3a\u0e40-\u0e4e",
    "lao": "\u0e81-\u0ecd\u0edc-\u0edf",
    "myanmar": "\u1000-\u103f\u1050-\u108f\u109a-\u109d",
    "khmer": "\u1780-\u17d3\u17d7",
    "georgian": "\u10a0-\u10fa\u10fc-\u10ff\u1c90-\u1cbf",
    "ethiopic": "\u1200-\u135f\u1380-\u138f",
    "hangul": "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb",
    "kana": "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "han": "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
}
CHARACTERS_A_WORD = {"han": 1, "kana": 3, "thai": 5, "lao": 5, "myanmar": 5, "khmer": 5}

# Inside a word also: combining accents, joiners, and an apostrophe between letters.
_WORD = re.compile(
    "|".join(
        f"(?P<{name}>[{first}][{first}\u0300-\u036f\u200c\u200d]*+(?:['’][{first}]++)*+)"
        for name, first in SCRIPTS.items()
    )
    + r"|(?P<other>(?![\u02b0-\u02ff\u2070-\u214f])[^\W\d_])"  # superscripts and ℝ are formulas
)
_FORMULA_OR_CODE = re.compile(
    r"```.*?(?:```|\Z)"
    r"|\[asy\].*?(?:\[/asy\]|\Z)"  # drawings of MATH
    r"|`[^`\n]++`"
    r"|\$\$[^$]++\$\$"
    r"|(?<!\\)\$(?![\s$])(?:[^$\n\\]|\\[^\n])++(?<!\s)\$(?!\d)"  # `$5 and $7` are prices, as for pandoc
    r"|\\\[(?:[^\\]|\\[^\[\]])*+\\\]"
    r"|\\\((?:[^\\]|\\[^()])*+\\\)"
    r"|\\boxed\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*+\})*+\})*+\}"
    r"|\\begin\{[a-z]++\*?+\}(?:[^\\]|\\(?!begin|end))*+\\end\{[a-z]++\*?+\}",
    re.DOTALL,
)
_OF_FORMULAS = re.compile(f"[{SCRIPTS['latin']}{SCRIPTS['greek']}]++")
_NO_PROSE = re.compile(
    r"(?:https?://|www\.)[!-~]++"
    r"|</?[A-Za-z|][^<>\s]{0,40}+>"
    r"|\\[A-Za-z]++"
    r"|(?<![A-Za-z\d_])[A-Za-z]*+[\d_][A-Za-z\d_]*+"  # x_1, 3cm
)
_SENTENCE_END = re.compile(r"[.!?…。！？؟۔।॥;；\n]++")
_NOTATION = re.compile("sin|cos|tan|cot|sec|log|ln|exp|lim|max|min|mod|gcd|lcm|det|[cmk]m|kg|ml", re.IGNORECASE)


class Word(NamedTuple):
    """A word, or a run of characters of a script without spaces.

    Attributes:
        text: as written.
        script: a key of `SCRIPTS`, or `other`.
        sentence: number of the sentence it stands in, ascending.
        weight: how many words it counts as.
    """

    text: str
    script: str
    sentence: int
    weight: int


def prose_words(text: str) -> list[Word]:
    """The words of a text, in order.

    Not counted as words: single letters, up to four capitals (`ABC`) and names of functions and units, in Latin or
    Greek letters. In code and formulas such letters are ignored altogether; words of other scripts are no code, so they
    count there too, and a foreign language cannot hide in a code block unless it is written like code.
    """
    prose = _NO_PROSE.sub(" ", _FORMULA_OR_CODE.sub(lambda match: _OF_FORMULAS.sub(" ", match[0]), text))
    words = []
    for sentence, part in enumerate(_SENTENCE_END.split(prose)):
        for match in _WORD.finditer(part):
            script, word = match.lastgroup or "other", match[0]
            if not _is_symbol(word, script):
                words.append(Word(word, script, sentence, -(-len(word) // CHARACTERS_A_WORD.get(script, len(word)))))
    return words


def _is_symbol(word: str, script: str) -> bool:
    if script not in ("latin", "greek"):
        return False
    return len(word) == 1 or (len(word) <= 4 and word.isupper()) or _NOTATION.fullmatch(word) is not None
