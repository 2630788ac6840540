"""Language consistency: the share of the reasoning's words that are in the language of the prompt.

Source: DeepSeek-R1 (arXiv 2501.12948, section 2.3.2), which adds this share to the accuracy reward and says neither how
words are told apart nor how their language is. Here `rewards.words` tells words from code and formulas and knows their
script. Between languages that share a script the detector py3langid decides, a few sentences at a time, and only
between the language wanted and the common ones of that script: over all 140 that it knows, fragments of mathematics
look like Latin or Catalan. Chinese and Japanese are told apart by kana.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rewards.completions import texts
from rewards.errors import BadInput
from rewards.words import Word, prose_words

FEWEST_WORDS = 6  # of a piece of text whose language is judged; a shorter sentence is judged with the next one
MOST_WORDS = 40  # then a piece ends even within a sentence
LONGEST_WORD = 50  # characters that the detector gets of a word
MARGIN = 0.7  # of log-probability per square root of bytes: less does not tell two languages apart
KANA_SHARE = 0.1  # of the words of Japanese; real text has several times as many


class Language(NamedTuple):
    """A language: its English name, and the scripts it is written in."""

    name: str
    scripts: tuple[str, ...]


LATIN, CYRILLIC, ARABIC, DEVANAGARI = ("latin",), ("cyrillic",), ("arabic",), ("devanagari",)
LANGUAGES = {
    "af": Language("afrikaans", LATIN),
    "am": Language("amharic", ("ethiopic",)),
    "ar": Language("arabic", ARABIC),
    "az": Language("azerbaijani", LATIN),
    "be": Language("belarusian", CYRILLIC),
    "bg": Language("bulgarian", CYRILLIC),
    "bn": Language("bengali", ("bengali",)),
    "ca": Language("catalan", LATIN),
    "cs": Language("czech", LATIN),
    "da": Language("danish", LATIN),
    "de": Language("german", LATIN),
    "el": Language("greek", ("greek",)),
    "en": Language("english", LATIN),
    "es": Language("spanish", LATIN),
    "et": Language("estonian", LATIN),
    "eu": Language("basque", LATIN),
    "fa": Language("persian", ARABIC),
    "fi": Language("finnish", LATIN),
    "fr": Language("french", LATIN),
    "gu": Language("gujarati", ("gujarati",)),
    "he": Language("hebrew", ("hebrew",)),
    "hi": Language("hindi", DEVANAGARI),
    "hr": Language("croatian", LATIN),
    "hu": Language("hungarian", LATIN),
    "hy": Language("armenian", ("armenian",)),
    "id": Language("indonesian", LATIN),
    "it": Language("italian", LATIN),
    "ja": Language("japanese", ("han", "kana")),
    "ka": Language("georgian", ("georgian",)),
    "kk": Language("kazakh", CYRILLIC),
    "km": Language("khmer", ("khmer",)),
    "kn": Language("kannada", ("kannada",)),
    "ko": Language("korean", ("hangul",)),
    "lo": Language("lao", ("lao",)),
    "lt": Language("lithuanian", LATIN),
    "lv": Language("latvian", LATIN),
    "mk": Language("macedonian", CYRILLIC),
    "ml": Language("malayalam", ("malayalam",)),
    "mn": Language("mongolian", CYRILLIC),
    "mr": Language("marathi", DEVANAGARI),
    "ms": Language("malay", LATIN),
    "my": Language("burmese", ("myanmar",)),
    "ne": Language("nepali", DEVANAGARI),
    "nl": Language("dutch", LATIN),
    "no": Language("norwegian", LATIN),
    "or": Language("odia", ("odia",)),
    "pa": Language("punjabi", ("gurmukhi",)),
    "pl": Language("polish", LATIN),
    "ps": Language("pashto", ARABIC),
    "pt": Language("portuguese", LATIN),
    "ro": Language("romanian", LATIN),
    "ru": Language("russian", CYRILLIC),
    "si": Language("sinhala", ("sinhala",)),
    "sk": Language("slovak", LATIN),
    "sl": Language("slovenian", LATIN),
    "sq": Language("albanian", LATIN),
    "sr": Language("serbian", ("cyrillic", "latin")),
    "sv": Language("swedish", LATIN),
    "sw": Language("swahili", LATIN),
    "ta": Language("tamil", ("tamil",)),
    "te": Language("telugu", ("telugu",)),
    "th": Language("thai", ("thai",)),
    "tl": Language("tagalog", LATIN),
    "tr": Language("turkish", LATIN),
    "ug": Language("uyghur", ARABIC),
    "uk": Language("ukrainian", CYRILLIC),
    "ur": Language("urdu", ARABIC),
    "vi": Language("vietnamese", LATIN),
    "zh": Language("chinese", ("han",)),
}
# Languages of shared scripts that are looked for unasked. Where a text is too short to tell, the first likely one wins.
COMMON = (
    *("en", "es", "fr", "de", "pt", "it", "nl", "id", "tr", "vi"),
    *("pl", "ro", "cs", "sv", "hu", "da", "no", "fi", "tl", "sw"),
    *("ru", "uk", "bg"),
    *("ar", "fa", "ur"),
    *("hi", "mr", "ne"),
)
CODES = {language.name: code for code, language in LANGUAGES.items()} | {"farsi": "fa", "mandarin": "zh", "nb": "no"}


def language_consistency(
    completions: Sequence[Any],
    prompts: Sequence[Any] | None = None,
    language: str | Sequence[str | None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """The share of target-language words in the reasoning, from 0 to 1.

    The reasoning is the inside of the think block, or the whole completion if it has none. Reasoning without any word
    earns 0: silence, or formulas alone, is no language. Code, formulas, numbers, tags and addresses do not count.

    Args:
        completions: plain or conversational.
        prompts: tell the target language where `language` does not: plain, or conversational, of which the last user
            message counts.
        language: ISO 639-1 code (`pt`, also `pt-BR`) or English name, for all or one a completion.

    Returns:
        One share a completion; None where the target language is not given and the prompt has no words to tell it by.

    Raises:
        BadInput: a language is not known, or there is neither a language nor a prompt.
    """
    if language is None or isinstance(language, str):
        language = [language] * max(1, len(completions))  # checked even where there is nothing to grade
    named = [None if name is None else language_code(name) for name in language][: len(completions)]
    if prompts is None and None in named:
        raise BadInput(
            "the reward 'language_consistency' has no prompts to tell the language from; give the option or the column "
            "'language', such as 'en'"
        )
    asked = prompts if prompts is not None else [None] * len(completions)
    shares: list[float | None] = []
    for text, code, prompt in zip(texts(completions), named, asked, strict=True):
        target = code or detect_language(_question(prompt))
        shares.append(None if target is None else language_share(reasoning(text), target))
    return shares


def language_code(name: str) -> str:
    """The ISO 639-1 code of a code or an English name; a region after `-` or `_` does not matter.

    Raises:
        BadInput: there is no such language in `LANGUAGES`.
    """
    plain = str(name).strip().lower()
    for key in (plain, plain.replace("_", "-").partition("-")[0]):
        if key in LANGUAGES:
            return key
        if key in CODES:
            return CODES[key]
    raise BadInput(
        f"the language {str(name)[:50]!r} of the reward 'language_consistency' is not known; give the ISO 639-1 "
        f"code of one of these: {', '.join(sorted(LANGUAGES))}"
    )


def reasoning(completion: str) -> str:
    """The inside of the think block; all of a completion without one. A missing tag at either end is made up for."""
    inside, closed, _ = completion.rpartition("</think>")
    if not closed:
        inside = completion
    before, opened, after = inside.partition("<think>")
    return after if opened else before


def language_share(text: str, code: str) -> float:
    """Share of a text's words that are in the language, from 0 to 1; 0 if there are none."""
    words = prose_words(text)
    scripts = LANGUAGES[code].scripts
    spoken = 0
    for family in {_family(script) for script in scripts}:
        for piece in _pieces(word for word in words if _family(word.script) == family):
            if _is_spoken(piece, code, family):
                spoken += sum(word.weight for word in piece if word.script in scripts)
    total = sum(word.weight for word in words)
    return spoken / total if total else 0.0


@functools.lru_cache(maxsize=1024)  # the completions of a group share their prompt
def detect_language(text: str) -> str | None:
    """The code of the common language that most of a text is in; None if it has no words."""
    words = prose_words(text)
    counts = Counter[str]()
    for word in words:
        counts[_family(word.script)] += word.weight
    if not counts:
        return None
    family = counts.most_common(1)[0][0]
    own = [word for word in words if _family(word.script) == family]
    if family == "han":
        return "ja" if _is_japanese(own) else "zh"
    candidates = _candidates(family)
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    scores = _scores(own)
    best = max(scores[code] for code in candidates)
    return next(code for code in candidates if scores[code] >= best - MARGIN)


def _question(prompt: Any) -> str:
    """The last user message of a conversational prompt, all of a plain one."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    asked = [message for message in prompt if isinstance(message, Mapping) and message.get("role") == "user"]
    return texts([asked[-1:] or prompt])[0]


def _family(script: str) -> str:
    return "han" if script == "kana" else script  # Chinese and Japanese are judged together


def _pieces(words: Iterable[Word]) -> list[list[Word]]:
    """The words in pieces long enough to be judged, which end with a sentence where possible."""
    pieces: list[list[Word]] = []
    size = MOST_WORDS
    for word in words:
        if size >= MOST_WORDS or (size >= FEWEST_WORDS and word.sentence != pieces[-1][-1].sentence):
            pieces.append([])
            size = 0
        pieces[-1].append(word)
        size += word.weight
    if len(pieces) > 1 and size < FEWEST_WORDS:
        pieces[-2:] = [pieces[-2] + pieces[-1]]
    return pieces


def _is_spoken(piece: Sequence[Word], code: str, family: str) -> bool:
    """Whether a piece is in the language, as far as can be told: no other one is clearly likelier."""
    if family == "han":
        return _is_japanese(piece) == (code == "ja")
    rivals = [rival for rival in _candidates(family) if rival != code]
    if not rivals:
        return True
    scores = _scores(piece)
    return scores[code] >= max(scores[rival] for rival in rivals) - MARGIN


def _is_japanese(words: Sequence[Word]) -> bool:
    kana = sum(word.weight for word in words if word.script == "kana")
    return kana >= KANA_SHARE * sum(word.weight for word in words)


@functools.cache
def _candidates(script: str) -> tuple[str, ...]:
    """The languages that a text in the script may be in, likelier ones first."""
    common = tuple(code for code in COMMON if script in LANGUAGES[code].scripts)
    return common or tuple(code for code, language in LANGUAGES.items() if script in language.scripts)


def _scores(words: Iterable[Word]) -> dict[str, float]:
    """Log-probability in each language the detector knows, divided by the square root of bytes, up to a constant.

    The detector normalizes, which takes time quadratic in the accents on one letter: so no word may be long.
    """
    text = " ".join(word.text[:LONGEST_WORD] for word in words)
    scale = math.sqrt(len(text.encode(errors="surrogatepass")))
    return {code: score / scale for code, score in _detector().rank(text)}


@functools.cache
def _detector() -> Any:
    # Here, because it takes a second and needs numpy, and not every text has a shared script.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
