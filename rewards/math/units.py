"""Units, currencies and percent signs around a number: taken off, and told apart where they contradict each other."""

import functools
import re
from fractions import Fraction

from rewards.math.numerals import SCALE_WORD, SCALES
from rewards.math.symbols import FOREIGN

_LENGTH = {"mm": "1/1000", "millimeter": "1/1000", "cm": "1/100", "centimeter": "1/100", "dm": "1/10", "m": "1",
           "meter": "1", "km": "1000", "kilometer": "1000", "in": "127/5000",
           "inch": "127/5000", "ft": "381/1250", "foot": "381/1250", "yd": "1143/1250", "yard": "1143/1250",
           "mi": "201168/125", "mile": "201168/125"}  # fmt: skip
_TIME = {"ms": "1/1000", "s": "1", "sec": "1", "second": "1", "min": "60", "minute": "60", "h": "3600", "hr": "3600",
         "hour": "3600", "day": "86400", "week": "604800"}  # fmt: skip
_LONG_TIME = {"month": "1", "mo": "1", "year": "12", "yr": "12", "decade": "120", "century": "1200"}
_MASS = {"mg": "1/1000", "g": "1", "gram": "1", "kg": "1000", "kilogram": "1000", "ton": "1000000", "tonne": "1000000"}
_WEIGHT = {"oz": "1", "ounce": "1", "lb": "16", "pound": "16"}
_VOLUME = {"ml": "1/1000", "milliliter": "1/1000", "l": "1", "liter": "1"}
_US_VOLUME = {"cup": "1", "pint": "2", "quart": "4", "gallon": "16"}
_MONEY = {"cent": "1/100", "¢": "1/100", "§": "1", "dollar": "1", "usd": "1", "buck": "1"}
_KINDS = {"length": _LENGTH, "time": _TIME, "months": _LONG_TIME, "mass": _MASS, "weight": _WEIGHT, "volume": _VOLUME,
          "us volume": _US_VOLUME, "money": _MONEY, "angle": {"degree": "1", "deg": "1", "°": "1"},
          "radians": {"radian": "1", "rad": "1"}, "euro": {"€": "1", "euro": "1", "eur": "1"},
          "pence": {"£": "1", "gbp": "1"},
          "yen": {"¥": "1", "yen": "1", "yuan": "1", "rmb": "1"}, "rupee": {"₹": "1", "rupee": "1", "rs": "1"},
          "force": {"newton": "1", "n": "1"}, "energy": {"joule": "1", "j": "1", "kj": "1000"},
          "power": {"watt": "1", "w": "1"},
          "voltage": {"volt": "1", "v": "1"}, "celsius": {"celsius": "1", "°c": "1"},
          "fahrenheit": {"fahrenheit": "1", "°f": "1"},
          }  # fmt: skip
_UNITS = {name: (kind, Fraction(scale)) for kind, table in _KINDS.items() for name, scale in table.items()}
_PLURALS = {"feet": "foot", "inches": "inch", "centuries": "century", "metre": "meter", "metres": "meter",
            "kilometre": "kilometer", "centimetre": "centimeter", "litre": "liter", "kilometres": "kilometer",
            "centimetres": "centimeter", "litres": "liter", "hertz": "hertz"}  # fmt: skip
_TRAILING = re.compile(
    r"\s*+(?:\*\s*+)?(?:‹(?P<text>[^‹›]*+)›|(?P<sign>[€£¥₹¢§])"
    r"|\^\s*+(?:\{\s*+)?\\circ(?:\s*+\})?(?:\s*+‹?\s?(?P<temperature>[CF])\b›?)?"
    r"|(?P<percent>%|‹?\b(?:percent(?:age)?(?: points?)?|per cent|pct)\b\.?›?))"
    r"\s*+(?:\^\s*+\{?\s*+(?P<power>-?\d)\s*+\}?)?\s*+$"
)
_LEADING = re.compile(r"^\s*+([-+]?)\s*+(?:[§£€¥₹]|(?:‹\s*+)?(?:USD|US§|Rs\.?|EUR)(?:\s*+›)?)\s*+(?=[-\d.,(\\])")
_SUM = re.compile(r"[§£€¥₹›]\s?[-+]|[-+]\s?[§£€¥₹]")
_TRIGONOMETRIC = re.compile(r"sin|cos|tan|cot|sec|csc")
_WORDS = re.compile(
    r"(?<=[\d)}.])(?P<space> ?)(?P<words>[A-Za-z][A-Za-z./ -]*?"
    r"(?:(?<=[a-z])[²³]|\s?\^\s?\{?[23]\}?)?(?:/[a-z]+(?:\^\{?2\}?)?)?)$"
)
_BEFORE_WORDS = re.compile(r"[\s\d.,/{}()\\+\-*^√§a-z]*+")
_PIECE = re.compile(r"[A-Za-z°€£¥₹¢§]+|/|\^?\s*\{?\s*(-?\d)\s*\}?|[²³]")
_OWN_NUMBER = re.compile(r"(?<![\^\d{-])\d")  # not an exponent
_FOREIGN = re.compile(rf"(?<=[\d%百千万亿億])\s?(?:[^\W\d_a-zA-Zα-ωΑ-Ω百千万亿億]|[{FOREIGN}]){{1,16}}$")
_SCALE = re.compile(rf"{SCALE_WORD}\b", re.IGNORECASE)
_NOT_UNITS = re.compile(
    r"\b(?:and|or|pi|sqrt|sin|cos|tan|log|ln|exp|frac|if|for|where|e|i|x|y|z|n|k|infinity|mod|base)\b"
)


@functools.lru_cache(maxsize=8192)
def split_unit(text: str) -> tuple[str, str, bool]:
    """(what is left, unit or an empty string, whether it is a percentage) of a cleaned text that is one quantity."""
    unit, percent = "", False
    text = _without_foreign(text)
    match = _LEADING.match(text)
    if match is not None:
        unit = re.search(r"[§£€¥₹]|[A-Za-z]+", match[0])[0]  # type: ignore[index]  # the pattern around it has one
        text = match[1] + text[match.end() :]
    for _ in range(6):
        match = _TRAILING.search(text, max(0, len(text) - 120))
        if match is None or match.start() == 0 or ("\\circ" in match[0] and _TRIGONOMETRIC.search(text)):
            break
        if match["percent"]:
            percent = True
        else:
            name = match["text"] or match["sign"] or f"°{(match['temperature'] or '').lower()}"
            if _OWN_NUMBER.search(name):
                break
            unit = f"{name}{match['power'] or ''} {unit}"
        text = text[: match.start()].rstrip()
    text = _without_foreign(text)
    if unit and _SUM.search(text):
        text = _without_repeated(text, unit)
    if not percent and text[-1:].isalpha() or text[-1:] in "}23²³":
        text, unit = _bare_words(text, unit)
    return text.strip(), unit.strip(), percent


def _without_repeated(text: str, unit: str) -> str:
    """A sum whose terms all have the unit, without it: of `§5 - §3` what is left after the first sign."""
    if "*" in text or "/" in text or "\\frac" in text or "^" in text:
        return text
    for name in dict.fromkeys((unit, unit.strip(), f"‹{unit}›", f"‹ {unit.strip()}›", f"‹{unit.strip()}›")):
        if not name.isalnum():
            text = text.replace(name, "")
    return text


def _without_foreign(text: str) -> str:
    """Without a word of another script after the number, unless it is a power of ten."""
    match = _FOREIGN.search(text, max(0, len(text) - 20)) if text[-1:] > "\x7f" else None
    return text if match is None or match[0].strip() in SCALES else text[: match.start()]


def _bare_words(text: str, unit: str) -> tuple[str, str]:
    """Words without `\\text` after a number: all words after a space; known units of two letters also without one."""
    match = _WORDS.search(text, max(0, len(text) - 60))
    if match is None:
        return text, unit
    name, start = match["words"].strip(), match.start()
    scale = _SCALE.match(name)
    if scale is not None:
        name, start = name[scale.end() :].strip(), match.start("words") + scale.end()
        if not name:
            return text, unit
    if _NOT_UNITS.search(name) or not _BEFORE_WORDS.fullmatch(text, 0, match.start()):
        return text, unit
    known = dimensions(name) is not None
    if len(name) < 2 or not (known or match["space"] and re.match(r"[A-Za-z]{3}", name)):
        return text, unit
    return text[:start], f"{name} {unit}"


@functools.lru_cache(maxsize=8192)
def dimensions(unit: str) -> tuple[tuple[tuple[str, int], ...], Fraction] | None:
    """What a unit measures, as powers of kinds, and its size; None if a word of it is not known."""
    name = unit.lower().replace("mph", "mile/hour").replace("kmph", "km/hour").replace("kph", "km/hour")
    powers: dict[str, int] = {}
    scale, sign, next_power, last = Fraction(1), 1, 1, ("", Fraction(1))
    for match in _PIECE.finditer(name):
        piece = match[0].strip()
        if piece in ("/", "per"):
            sign = -1
        elif piece in ("square", "sq", "cubic"):
            next_power = 3 if piece == "cubic" else 2
        elif match[1] or piece in ("²", "³", "squared", "cubed"):
            power = int(match[1] or {"²": 2, "squared": 2}.get(piece, 3))
            if last[0] and abs(power) <= 3:
                powers[last[0]] += sign * (power - 1)
                scale *= last[1] ** (sign * (power - 1))
        else:
            known = _named(piece)
            if known is None:
                return None
            last = known
            powers[known[0]] = powers.get(known[0], 0) + sign * next_power
            scale *= known[1] ** (sign * next_power)
            next_power = 1
    kinds = tuple(sorted((kind, power) for kind, power in powers.items() if power))
    return (kinds, scale) if kinds else None


def _named(word: str) -> tuple[str, Fraction] | None:
    word = _PLURALS.get(word, word)
    return _UNITS.get(word) or (_UNITS.get(word[:-1]) if word.endswith("s") and len(word) > 3 else None)


def conversion(gold: str, answer: str) -> Fraction | None:
    """The factor from the answer's unit to the gold's; 1 if one is missing or not known; None if they contradict."""
    if not gold or not answer or gold == answer:
        return Fraction(1)
    wanted, given = dimensions(gold), dimensions(answer)
    if wanted is None or given is None:
        return Fraction(1)
    return given[1] / wanted[1] if wanted[0] == given[0] else None
