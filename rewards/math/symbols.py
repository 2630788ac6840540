"""Unicode mathematics as plain characters and LaTeX: digits of any script, superscripts, fractions, signs, Greek."""

import re
import unicodedata

# Characters whose meaning compatibility normalisation (NFKC) would lose, and signs that LaTeX spells out.
_SIGNS = {
    "−": "-", "–": "-", "—": "-", "‒": "-", "―": "-", "‐": "-", "‑": "-", "﹣": "-", "－": "-", "➖": "-",
    "×": r"\times ", "✕": r"\times ", "✖": r"\times ", "⨯": r"\times ", "÷": r"\div ", "·": r"\cdot ", "⋅": r"\cdot ",
    "∙": r"\cdot ", "•": r"\cdot ", "∗": "*", "＊": "*", "⁄": "/", "∕": "/", "∶": ":", "±": r"\pm ", "∓": r"\mp ",
    "√": r"\sqrt ", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]", "∞": r"\infty ",
    "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≦": r"\le ", "≧": r"\ge ", "≠": r"\ne ", "≈": r"\approx ",
    "≡": r"\equiv ", "∈": r"\in ", "∉": r"\notin ", "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ",
    "∅": r"\emptyset ",
    "⊂": r"\subset ", "⊆": r"\subseteq ", "→": r"\to ", "⇒": r"\Rightarrow ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "∂": r"\partial ", "∠": r"\angle ", "∧": r" and ", "∨": r" or ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "〈": r"\langle ", "〉": r"\rangle ", "°": r"^\circ ", "º": r"^\circ ", "˚": r"^\circ ", "℃": r"^\circ C",
    "′": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"', "‹": "'", "›": "'",
    "…": r"\ldots ", "⋯": r"\ldots ",
    "、": ",", "，": ", ", "。": ". ", "；": "; ", "：": ": ", "،": ", ", "؛": "; ", "۔": ". ", "।": ". ",
    "٫": ".", "٬": ",", "٪": "%",
    "﹪": "%", "％": "%", "！": "! ", "？": "? ", "؟": "? ", "【": "[", "】": "]", "「": '"', "」": '"', "﷼": "",
    "¼": r"\frac{1}{4}", "½": r"\frac{1}{2}", "¾": r"\frac{3}{4}",
}  # fmt: skip
_GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu",
    "nu", "xi", "omicron", "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
)  # fmt: skip
_SIGNS |= {chr(0x3B1 + i): f"\\{name} " for i, name in enumerate(_GREEK)}
_SIGNS |= {chr(0x391 + i): f"\\{name.capitalize()} " for i, name in enumerate(_GREEK) if i != 17}
_SIGNS |= {"ϕ": r"\phi ", "ϵ": r"\epsilon ", "ϑ": r"\theta ", "µ": r"\mu "}
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ", "0123456789+-()nix", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₖ", "0123456789+-()nk", strict=True))
_INVISIBLE = dict.fromkeys(map(ord, (
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068"
    "\u2069\ufeff\u00ad\u061c\u2061\u2062\u0640"
)))  # zero-width and direction marks, soft hyphen, tatweel  # fmt: skip
_TABLE = str.maketrans(_SIGNS) | _INVISIBLE
# Letters that Latin and Greek formulae do not use, with their vowel signs, which \w does not match.
FOREIGN = "\u0400-\u07bf\u0900-\u0e7f\u3040-\u30ff\uac00-\ud7af"
_RAISED = re.compile(f"[{''.join(_SUPERSCRIPTS)}]++")
_LOWERED = re.compile(f"[{''.join(_SUBSCRIPTS)}]++")
_WIDE_COMMA = re.compile(r"(?<=\d)[，،](?=\d)")  # of full width, or Arabic
_GROUP_SPACE = re.compile(r"(?<=\d)[\u00a0\u2007-\u2009\u202f](?=\d{3}(?!\d))")  # 1 234, without a line's end
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def plain(text: str) -> str:
    """The text with digits of any script as 0-9 and mathematical characters as ASCII or LaTeX. Linear; never raises.

    Guillemets do not occur in what is returned: `rewards.math.clean` uses them as marks of its own.
    """
    if text.isascii():
        return _CONTROL.sub(" ", text) if not text.isprintable() else text
    if "，" in text or "،" in text:
        text = _WIDE_COMMA.sub(",", text)
    text = _GROUP_SPACE.sub("", text)
    text = _RAISED.sub(lambda run: "^{" + "".join(map(_SUPERSCRIPTS.__getitem__, run[0])) + "}", text)
    text = _LOWERED.sub(lambda run: "_{" + "".join(map(_SUBSCRIPTS.__getitem__, run[0])) + "}", text)
    text = text.translate(_TABLE)
    if text.isascii():
        return _CONTROL.sub(" ", text)
    text = "".join(character if character < "\x80" else _character(character) for character in text)
    return _CONTROL.sub(" ", text.translate(_TABLE))


def _character(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if character in "£€¥₹₽₩₪":  # NFKC leaves most of them; full-width ones become these
        return character
    normal = unicodedata.normalize("NFKC", character)
    if "⁄" in normal:  # a vulgar fraction
        over, under = normal.split("⁄", 1)
        return f"\\frac{{{over}}}{{{under}}}" if under else over + "/"
    return normal if len(normal) <= 8 else character
