"""Answers to GSM8K in natural sentences: read flexibly they are found, and no other number of the solution is."""

import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from rewards.math import EXTRACTIONS, Extraction
from rewards.math.grade import decide, gold_text
from rewards.verdict import Verdict

# N is the answer, M the answer with separators of thousands, A and B two numbers of the solution that differ from it.
# What is marked, strict reads, too.
MARKED = {
    "box": "He starts with A and gets B more.\n\nSo the total is $\\boxed{N}$.",
    "phrase": "First A, then B. The final answer is $M.",
    "result as a heading": "## Result\n\nOnce A are gone she keeps N of them.\n\n### Step 4",
    "hashes": "A * B gives it.\n#### N",
    "phrase with a reason": "The answer is N, because A and B were given. I hope this helps!",
    "only the answer": "N",
    "money in a formula": "At first A, so Tom earns $\\$M$.",
    "formula": "With A and B we get $x = N$.",
}
PLAIN = {
    "bold": "We know A and B.\n\nIn the end there are **N** of them.",
    "leaves": "He had A and lost some. That leaves N apples.",
    "money": "A and B together: Tom earns $M in total.",
    "escaped money": "From A and B it follows that Tom earns \\$M in total.",
    "bold phrase": "**Step 1:** A\n**Step 2:** B\n\nTherefore, he has **N apples** left.",
    "bold calculation": "The price is A.\n\n$A - $B = **$M**",
    "hours": "A comes from step 1. It takes her N hours.",
    "no verb": "A plus B.\n\nN people in all",
    "number first": "Of A people B went home. N people had to leave for other reasons.",
    "future": "By Friday (day 5), after A and B, he will have eaten N.",
    "chatter": "First A, then B. So they sold N tickets altogether. 🎉\n\nHope this helps! Ask me if you need 2 more.",
    "question": "A and B are given. There are now N birds.\n\nWould you like to see another 3 problems?",
    "code": "```python\nprint(A + B)\n```\nThe program gives the sum, and so N stamps are needed.",
    "open code": "A of them are red. So N stamps are blue.\n\n```python\nstamps = A",
    "list": "1. The first part is A.\n2. The second part is B.\n3. Together that makes N.",
    "heading": "## Summary\n\nOnce A are gone she keeps N of them.\n\n### Step 4",
    "in brackets": "All in all the trip costs N dollars (A + B).",
    "because": "They need M bricks because A and B were broken.",
    "several lines": "Monday: A\nTuesday: B\nTotal: N",
    "table": "| day | eggs |\n|---|---|\n| 1 | A |\n| all | M |",
    "decimals": "A at first. She pays $M.00 for everything.",
    "equation": "A apples - B apples = N apples",
    "italics and quotes": 'After A comes B. The result of all this is *"N"*.',
}
FORMS = MARKED | PLAIN


def solutions() -> list[str]:
    path = Path(os.environ.get("PENNY_DATA", "")) / "gsm8k_test.jsonl"
    if not os.environ.get("PENNY_DATA") or not path.is_file():
        pytest.skip("PENNY_DATA names no folder with gsm8k_test.jsonl")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["answer"] for line in lines]


def written(solution: str, form: str) -> tuple[str, str, list[str]]:
    """(gold answer, the form filled in, the other numbers in it)."""
    gold = gold_text(solution).replace(",", "")
    steps = solution.rpartition("####")[0]
    found = dict.fromkeys(number.replace(",", "") for number in re.findall(r"(?<![\d.])\d[\d,]*\d|\b\d\b", steps))
    others = [number for number in found if Fraction(number) != Fraction(gold)] + ["77", "88"]
    numbers = {"N": gold, "M": f"{int(gold):,}", "A": others[0], "B": others[1]}
    return gold, re.sub(r"\b[NMAB]\b", lambda letter: numbers[letter[0]], form), others[:2]


def rates(sample: Sequence[str], extraction: Extraction) -> Iterator[tuple[str, float, int]]:
    """Of each form the share that is paid, and how often another number in it is."""
    for name, form in FORMS.items():
        paid = wrongly = 0
        for solution in sample:
            gold, text, others = written(solution, form)
            paid += is_paid(gold, text, extraction)
            wrongly += sum(is_paid(other, text, extraction) for other in others)
        yield name, paid / len(sample), wrongly


def is_paid(gold: str, text: str, extraction: Extraction) -> bool:
    decided = decide(gold, text, extraction=extraction)
    return isinstance(decided, Verdict) and decided.outcome == "correct"


def check(sample: Sequence[str]) -> list[str]:
    table = []
    found = {extraction: {name: rest for name, *rest in rates(sample, extraction)} for extraction in EXTRACTIONS}
    for name in FORMS:
        (strict, wrong_strict), (flexible, wrong_flexible) = (found[extraction][name] for extraction in EXTRACTIONS)
        table.append(f"{name}: {strict:.1%} {flexible:.1%}, wrongly {wrong_strict} {wrong_flexible}")
        assert flexible >= 0.98 and wrong_strict == wrong_flexible == 0, table[-1]
        assert strict >= 0.98 if name in MARKED else strict <= 0.02, table[-1]
    return table


def test_a_sample_of_gsm8k_in_natural_sentences() -> None:
    check(random.Random(0).sample(solutions(), 40))


@pytest.mark.slow
def test_all_of_gsm8k_in_natural_sentences() -> None:
    print("\n".join(check(solutions())))
