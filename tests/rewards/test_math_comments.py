"""Answers with a comment, and answers that a denial or the next sentence takes back, in many languages."""

import pytest

from rewards.math import EXTRACTIONS
from rewards.math.comments import claimed
from rewards.math.grade import decide
from rewards.verdict import Verdict


def is_paid(gold: str, completion: str) -> bool:
    """Whether a completion is paid, by each way to read it; the ways agree. math-verify's job counts as paid."""
    decided = [decide(gold, completion, extraction=extraction) for extraction in EXTRACTIONS]
    paid = {not isinstance(verdict, Verdict) or verdict.outcome == "correct" for verdict in decided}
    assert len(paid) == 1, decided
    return paid.pop()


# fmt: off
CLAIMS = [  # all claim 42
    "The answer is 42 (not 41).", "The answer is **42** (not 41).", "The answer is $42$ (and not $41$).",
    "The answer is 42 — not 41.", "The answer is 42; 41 is wrong.", "The answer is 42, not 41 as one might think.",
    "The answer is 42 rather than 41.", "The answer is 42 out of 50.", "The answer is 42, but not 41.",
    "The answer is 42 (which is less than 50).", "The answer is 42 (previously I said 41).",
    "The answer is 42, the only integer between 41 and 43.", "The answer is 42 (6 rows and 7 columns).",
    "The answer is 42 (or, equivalently, 84/2).", "The answer is 42, or forty-two.",
    "The answer is 42, no matter what.",
    "The answer is none other than 42.", "The answer is no number other than 42.", "The answer is not 41, it's 42.",
    "There is no doubt that the answer is 42.", "It is not hard to see that the answer is 42.",
    "That is wrong. The answer is 42.", "\\boxed{42}\n\nThis is wrong if x = 0, but x > 0.",
    "\\boxed{42}. Some say that it is 41. That is wrong.", "\\boxed{42}\n\nThe correct answer is 42.",
    "La respuesta es 42 (no 41).", "La respuesta no es otra que 42.", "La réponse est 42 et non 41.",
    "La réponse n'est autre que 42.", "La réponse est 42, car il n'y a pas d'autre nombre.",
    "Die Antwort ist 42 (nicht 41).", "Die Antwort ist nichts anderes als 42.", "A resposta é 42, pois não há outra.",
    "La risposta non è altro che 42.", "Ответ: 42 (не 41).", "Ответ: 42, а не 41.", "答案是42，不是41。",
    "答案不是41，而是42。", "答案是42，因为没有其他的数。", "答えは41ではなく42です。", "정답은 41이 아니라 42입니다.",
    "الجواب هو 42 وليس 41.", "उत्तर 41 नहीं, 42 है।", "उत्तर 42 है, 41 नहीं।", "Cevap 41 değil, 42.",
    "Cevap 42, 41 değil.",
    "উত্তর হল 42, 41 নয়।", "جواب 42 ہے، 41 نہیں۔", "Odpowiedź: 42, a nie 41.", "Het antwoord is 42, niet 41.",
]
HEDGES = [  # none claims 42
    "The answer is 41, not 42.", "The answer is 41 (not 42).", "The answer is not 42 but 41.",
    "The answer is 41; 42 is wrong.",
    "The answer is not 41, 42.", "The answer is not 41 or 42.", "The answer is neither 41 nor 42.",
    "The answer is 41 rather than 42.", "The answer is 41 out of 42.", "The answer is 42 (or 43).",
    "The answer is 42 (43 if x is odd).", "The answer is 42 (unless x is odd).", "The answer is 42 (or more).",
    "The answer is 42, though it might be 43.", "The answer is 42, although 43 is possible.",
    "The answer is 42, and the other one is 43.", "The answer is 42 (x = 1) and 43 (x = 2).",
    "The answer is 42, the first, and 43, the second.", "The answer is 42 for even x, otherwise it is 43.",
    "The answer is all but 42.", "The answer is far from 42.", "The answer is hardly 42.",
    "The answer can't possibly be 42.",
    "The answer is just below 42.", "I doubt that the answer is 42.", "I don't think the answer is 42.",
    "It is not true that the answer is 42.", "It is false that the final answer is 42.",
    "Nobody would say that the answer is 42.",
    "The answer is 42. That is wrong.", "The answer is 42. But this is incorrect.",
    "The answer is 42. That's not right.",
    "\\boxed{42}? No.", "\\boxed{42}\n\nThe correct answer is 43.", "The answer is 42. Oops, 43.",
    "The answer is 42. Edit: 43",
    "\\boxed{\\lesssim 42}", "\\boxed{41 \\to 42}", "La respuesta es otra que 42.", "La respuesta es todo menos 42.",
    "La respuesta es 42. Eso es incorrecto.", "La réponse est autre que 42.", "La réponse est tout sauf 42.",
    "La réponse est 42. C'est faux.", "La réponse est 41 et non 42.", "Die Antwort ist alles außer 42.",
    "Die Antwort ist etwas anderes als 42.", "Die Antwort ist 42. Das ist falsch.", "Die Antwort ist 42 (oder 43).",
    "La risposta è tutto tranne 42.", "A resposta é tudo menos 42.", "Ответ: что угодно, кроме 42.",
    "Ответ отличен от 42.",
    "Ответ: 42. Нет, подожди, 43.", "Ответ: 41, а не 42.", "答案是42。这是错的。", "答案不是42，而是41。",
    "答案是42，也可能是43。", "答えは42以外です。", "答えは42ではなく41です。", "정답은 42일 수 없습니다.",
    "정답은 42가 아니라 41입니다.", "정답은 41 아니면 42입니다.", "उत्तर 42 नहीं, 41 है।", "Cevap 42'den farklıdır.",
    "Cevap 42 değil, 41.", "Jawabannya adalah hingga 42.", "Jawabannya adalah selain 42.", "Het antwoord is tot 42.",
    "Svaret är högst 42.", "الجواب هو 41 وليس 42.",
]
# fmt: on


@pytest.mark.parametrize("completion", CLAIMS)
def test_a_claim_with_a_comment_is_paid(completion: str) -> None:
    assert is_paid("42", completion)
    assert not is_paid("41", completion)


@pytest.mark.parametrize("completion", HEDGES)
def test_what_is_taken_back_is_not_paid(completion: str) -> None:
    assert not is_paid("42", completion)


@pytest.mark.parametrize(
    ("gold", "completion"),
    [
        ("2", "The answer is 2 girls were not able to come."),
        ("8", "It is clear that no number other than $\\boxed{8}$ can work."),
        ("B", "The answer is (B) (not (A))."),
        ("B", "The answer is B (none of the others fit)."),
        ("(2,3)", "The answer is (2,3), not (3,2)."),
        ("\\frac{1}{2}", "The answer is $\\frac{1}{2}$, not $\\frac{1}{3}$."),
        ("5", "The answer is x = 5, not x = 4."),
        ("5", "The answer is 5 cm, not 5 mm."),
        ("-3", "The answer is -3, not 3."),
        ("1.5", "The answer is 1.5 hours (or 90 minutes)."),
        ("\\infty", "\\boxed{\\lim_{n\\to\\infty} n}"),
        ("56088", "\\boxed{56{\\,}088}"),
        ("56088", "The answer is $56{\\ }088$."),
        ("1234567.5", "\\boxed{1{\\,}234{\\,}567.5}"),
    ],
)
def test_other_values_with_comments(gold: str, completion: str) -> None:
    assert is_paid(gold, completion)


@pytest.mark.parametrize(
    "said", ["42", "not 42", "41 and 42", "42, 43", "3 (mod 7)", "5 feet, 3 inches", "3, sqrt(5)", "(2, 5)", "3(x+1)"]
)
def test_what_is_no_comment_stays(said: str) -> None:
    assert claimed(said) == said
