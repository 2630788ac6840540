"""Claims of no single value in 20 languages earn nothing, and plain claims in the same languages are paid.

The tables are in `hedges.txt`. The oracle is the kind of the sentence: it was built to claim one number, or none.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rewards.math import EXTRACTIONS
from rewards.math.grade import decide
from rewards.verdict import Verdict

Table = dict[str, list[str]]

HEDGES = ("alternatives", "denials", "bounds", "ranges")
NUMBERS = [("41", "42"), ("17", "23"), ("5", "10")]
FRAMES = [
    "{}", "**{}**", "\\boxed{{{}}}", "\\boxed{{\\text{{{}}}}}", "<answer>{}</answer>", "<answer>\\boxed{{{}}}</answer>",
    "#### {}",
]  # fmt: skip
WORDS = re.compile(r"[^\d–/()$\s-](?:[^\d–/()$]*[^\d–/()$\s-])?")


def tables() -> dict[str, Table]:
    found: dict[str, Table] = {}
    language = ""
    for line in (Path(__file__).parent / "hedges.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        key, colon, sentences = line.partition(": ")
        if colon:
            found[language][key] = sentences.split(" | ")
        else:
            language = line
            found[language] = {}
    return found


LANGUAGES = tables()


def in_latex(claim: str) -> str:
    """A claim as a formula, its words in \\text{}."""
    return WORDS.sub(lambda words: f"\\text{{ {words[0]} }}", claim)


def is_paid(gold: str, completion: str, extraction: str) -> bool:
    """Whether a completion is paid; math-verify takes any number out of a sentence, so its job counts as paid."""
    decided = decide(gold, completion, extraction=extraction)  # type: ignore[arg-type]
    return not isinstance(decided, Verdict) or decided.outcome == "correct"


def hedged(table: Table) -> Iterator[tuple[str, str]]:
    """(gold answer, completion) for each part of a sentence, in each frame."""
    sentences = [*table["said"], *table["bare"]]
    for place, part in enumerate(part for kind in HEDGES for part in table[kind]):
        a, b = NUMBERS[place % len(NUMBERS)]
        claim = part.format(a=a, b=b)
        forms = [frame.format(claim) for frame in (*FRAMES, *sentences)]
        forms += [sentence.format(f"**{claim}**") for sentence in table["said"]]
        forms += [f"\\boxed{{{in_latex(claim)}}}", f"${in_latex(claim)}$"]
        forms += [table["said"][0].format(f"${in_latex(claim)}$"), table["said"][0].format(f"$\\boxed{{{claim}}}$")]
        for gold in (a, b) if "{b}" in part else (a,):
            yield from ((gold, form) for form in forms)


def refused(table: Table) -> Iterator[tuple[str, str]]:
    for sentence in table["refusals"]:
        for a, b in NUMBERS:
            claim = sentence.format(a=a)
            for form in (
                *(frame.format(claim) for frame in FRAMES),
                f"We compute {b} + 3.\n{claim}",
                *(sentence.format(a=dressed) for dressed in (f"**{a}**", f"${a}$", f"$\\boxed{{{a}}}$")),
            ):
                yield a, form


def test_the_generator_is_large() -> None:
    assert sum(1 for table in LANGUAGES.values() for _ in (*hedged(table), *refused(table))) > 10_000


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("extraction", EXTRACTIONS)
def test_no_hedge_is_paid(language: str, extraction: str) -> None:
    table = LANGUAGES[language]
    pairs = [*hedged(table), *refused(table)]
    assert [pair for pair in pairs if is_paid(*pair, extraction)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plain_claim_is_paid(language: str) -> None:
    for number in ("42", "7", "1234"):
        for sentence in LANGUAGES[language]["said"]:
            for dressed in (number, f"**{number}**", f"${number}$", f"\\boxed{{{number}}}"):
                for extraction in EXTRACTIONS:
                    assert is_paid(number, sentence.format(dressed), extraction), (sentence, dressed, extraction)
        for sentence in LANGUAGES[language]["bare"]:
            for dressed in (number, f"**{number}**"):
                assert is_paid(number, sentence.format(dressed), "flexible"), (sentence, dressed)


@pytest.mark.parametrize(
    ("gold", "completion"),
    [
        ("42", "There is no doubt that the answer is 42."),
        ("42", "The answer is not hard to find: it is 42."),
        ("5", "It isn't 4 but \\boxed{5}."),
        ("42", "The answer is not 41 but 42."),
        ("5", "The answer is 5, not 4."),
        ("B", "The answer is B, not C."),
        ("5", "We need at most 3 moves, so the answer is 5."),
        ("12", "The answer is about 12 or so."),
        ("1/2", "The answer is 1/2 or 0.5."),
        ("90", "The answer is 90 minutes or 1.5 hours."),
        ("12", "The maximum is \\boxed{12}."),
        ("42", "Since we cannot find a smaller one, the answer is 42."),
        ("42", "The answer is 42, which cannot be reduced further."),
        ("42", "The answer is 42 because no other number is between 41 and 43."),
        ("42", "\\boxed{42}\n\nWait, let me double check: 6*7=42. Yes."),
        ("42", "\\boxed{42}\n\nNote: no, 41 would not work here."),
        ("42", "The answer is 42. Actually, we can verify: 84 / 2 = 42."),
        ("42", "The answer is 42.\n\nIn fact, 42 is also the sum of the digits."),
        ("no", "The answer is no."),
        ("0", "The answer is 0, for there are no solutions."),
        ("42", "La réponse est 42 au total."),
    ],
)
def test_words_of_hedges_beside_a_claim(gold: str, completion: str) -> None:
    for extraction in EXTRACTIONS:
        decided = decide(gold, completion, extraction=extraction)
        assert isinstance(decided, Verdict) and decided.outcome == "correct", (extraction, decided)


@pytest.mark.parametrize(
    ("gold", "completion"),
    [
        ("at most 12", "at most 12"), ("at most 12", "The answer is at most 12."), ("x \\le 12", "\\boxed{x \\le 12}"),
        ("x = 1 or x = 2", "x=1 oder x=2"), ("x = 1 or x = 2", "\\boxed{x=1 \\text{ oder } x=2}"),
        ("x = 1 or x = 2", "\\boxed{x = 1 \\text{ ou } x = 2}"), ("x = 1 or x = 2", "x=1 hoặc x=2"),
        ("x = 1 or x = 2", "x=1 또는 x=2"), ("x = 1 or x = 2", "\\boxed{x=1 \\lor x=2}"), ("1, 2", "1または2"),
        ("x = 1 or x = 2", "x = 1 या x = 2"), ("x = 1 or x = 2", "x = 1 أو x = 2"), ("1, 2", "1 o 2"),
        ("1, 2", "\\boxed{1 \\text{ или } 2}"), ("x = 1 or x = 2", "x=1 atau x=2"),
        ("x = 1 or x = 2", "\\boxed{x=1 \\text{ veya } x=2}"), ("x = 1 or x = 2", "x=1或x=2"),
    ],
)  # fmt: skip
def test_a_gold_answer_may_be_a_bound_or_have_two_values(gold: str, completion: str) -> None:
    for extraction in EXTRACTIONS:
        decided = decide(gold, completion, extraction=extraction)
        assert isinstance(decided, Verdict) and decided.outcome == "correct", (extraction, decided)


CORRECTIONS = [
    "The answer is 7. No wait, 8. Final: 9.",
    "The answer is 7. Actually, it's 9.",
    "\\boxed{7}. Correction: 9",
    "7... no, 9",
    "The answer is 7, no, 9.",
    "The answer is 7 — no, wait, 9.",
    "#### 7\nWait, it's 9.",
    "<answer>7. No, 9.</answer>",
    "\\boxed{7}\n\nActually, that's wrong. It should be 9.",
    "The answer is 7. Scratch that, the answer is 9.",
    "Answer: 7. I mean 9.",
    "The answer is 7. Sorry, I made a mistake. It should be 9.",
    "La respuesta es 7. No, 9.",
    "La réponse est 7. Non, 9.",
    "Die Antwort ist 7. Nein, 9.",
    "Die Antwort ist 7. Korrektur: 9.",
    "A resposta é 7. Não, 9.",
    "La risposta è 7. No, 9.",
    "Ответ: 7. Нет, 9.",
    "答案是7。不对，是9。",
    "答案是7。更正：9",
    "答えは7です。いや、9です。",
    "정답은 7입니다. 아니, 9.",
    "الجواب هو 7. لا، 9.",
    "उत्तर 7 है। नहीं, 9।",
    "Jawabannya adalah 7. Koreksi: 9.",
    "Cevap 7. Hayır, 9.",
    "Đáp án là 7. Không, 9.",
]


@pytest.mark.parametrize("completion", CORRECTIONS)
def test_a_correction_takes_the_last(completion: str) -> None:
    for extraction in EXTRACTIONS:
        assert is_paid("9", completion, extraction), (extraction, decide("9", completion))
        assert not is_paid("7", completion, extraction) and not is_paid("8", completion, extraction)


@pytest.mark.parametrize(
    "completion",
    ["\\boxed{7}\n\nWait, that's wrong.", "The answer is 7. No, that is not right.", "#### 7\nOops, I made a mistake."],
)
def test_an_answer_that_is_taken_back(completion: str) -> None:
    assert not any(is_paid("7", completion, extraction) for extraction in EXTRACTIONS)


@pytest.mark.parametrize(
    "text",
    [
        "wait, " * 900 + "7",
        "no no no " * 900,
        "oh " * 1500,
        "7 or " * 700,
        "not " * 900 + "7",
        "cannot be determined so " * 400,
        "7 à " * 800,
    ],
)
def test_time_is_linear(text: str) -> None:
    import time

    for completion in (f"The answer is 7. {text}", f"\\boxed{{7 {text}}}", f"\\boxed{{7}} {text}", text):
        started = time.process_time()
        decide("7", completion, extraction="flexible")
        assert time.process_time() - started < 1
