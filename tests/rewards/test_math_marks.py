"""No mark that is empty, broken or only mentioned hides a good one, before or after it, of its kind or of another."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.math import find_answer
from rewards.math.grade import decide
from rewards.verdict import Verdict

GOOD = {
    "box": ["So it is \\boxed{25}.", "\\[\\boxed{\\boxed{25}}\\]", "\\boxed{\n25\n}", "\\boxed{x = \\boxed{25}}"],
    "tag": [
        "<answer>25</answer>",
        "<answer>\\boxed{25\n</answer>",
        "<answer><answer>25</answer>",
        "<Answer> 25 </Answer>",
    ],
    "hashes": ["#### 25", "so #### 25", "####\n25"],
    "phrase": [
        "The answer is 25.",
        "Answer: `25`",
        "**Final answer**: 25",
        "ANSWER: [25]",
        "The answer is 25 since 5*5 = 25.",
    ],
}
NOTHING = {  # says nothing, wherever it stands
    "box": [
        "Put it in \\boxed.",
        "The box \\boxed should hold it:",
        "(It is marked with \\boxed as you asked.)",
        "You said: put the answer in \\boxed{}.",
        "It stands within `\\boxed{}`.",
        "Use \\boxed{...}.",
        "Use \\boxed{your answer}.",
        "Use \\boxed{the number}.",
        "Use \\boxed{____}.",
    ],
    "tag": [
        "<answer></answer>",
        "<answer> \n </answer>",
        "<answer>",
        "</answer>",
        "</answer></answer>",
        "It is in the <answer> tag.",
        "It is in `<answer>`.",
        "<answer>...</answer>",
        "<answer>\\dots</answer>",
        "<answer>____</answer>",
    ],
    "hashes": ["####", "#### Step 2", "#### 2. Add both\nWe add.", "It follows #### as you asked.", "#### ####"],
    "phrase": [
        "The answer is correct.",
        "Answer:",
        "The answer is",
        "The final answer is given above.",
        "The result is clear.",
    ],
}
TAKES_BACK = [
    "To be exact, \\boxed{}",
    "\\boxed{",
    "So \\boxed{25",
    "\\boxed{ }",
    "Finally: $\\boxed{\\text{}}$",
    "<answer>\\boxed{}</answer>",
]
KINDS = list(GOOD)


def is_read(text: str) -> bool:
    decided = decide("25", text)
    return isinstance(decided, Verdict) and decided.outcome == "correct"


@pytest.mark.parametrize("bad_kind", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_says_nothing_hides_nothing(kind: str, bad_kind: str) -> None:
    for good in GOOD[kind]:
        assert is_read(good)
        for bad in NOTHING[bad_kind]:
            for text in (f"{bad}\n{good}", f"{good}\n{bad}", f"{bad}\n{good}\n{bad}"):
                assert is_read(text), text


@pytest.mark.parametrize("bad", TAKES_BACK)
def test_an_empty_or_broken_box_hides_nothing_after_it_and_no_other_kind(bad: str) -> None:
    for kind, texts in GOOD.items():
        for good in texts:
            assert is_read(f"{bad}\n{good}"), (bad, good)
            assert kind == "box" or "box" in good or is_read(f"{good}\n{bad}"), (good, bad)


@pytest.mark.parametrize("bad", TAKES_BACK)
def test_an_empty_or_broken_box_takes_a_box_before_it_back(bad: str) -> None:
    for good in GOOD["box"]:
        for extraction in ("strict", "flexible"):
            assert find_answer(f"{good}\n{bad}", extraction).readings == (), (good, bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad", ["\\boxed{}", "\\boxed{", "\\boxed{25", "<answer></answer>", "<answer>", "</answer>", "####", "Answer:"]
)
def test_nothing_alone_is_nothing(bad: str) -> None:
    for extraction in ("strict", "flexible"):
        found = find_answer(bad, extraction)  # type: ignore[arg-type]
        assert not any(character.isdigit() for reading in found.readings for character in reading), found


@pytest.mark.parametrize("formula", ["$ </answer> $", "$</answer> \t$", "\\[ \\]", "\\( \\)", "$$ $$"])
def test_a_formula_without_anything_in_it_is_no_number(formula: str) -> None:
    for extraction in ("strict", "flexible"):
        assert find_answer(f"So it goes, as one sees: {formula}", extraction).readings[1:] == ()  # type: ignore[arg-type]
    assert find_answer(f"In the end {formula} there are 25 of them.", "flexible").readings[-1] == "25"


OPEN = ("<answer>", "Answer:", "The answer is", "####")  # what follows them is the answer
pieces = st.lists(
    st.sampled_from([bad for kind in KINDS for bad in NOTHING[kind] if not bad.endswith(OPEN)]), max_size=4
)


@given(pieces, st.sampled_from([good for kind in KINDS for good in GOOD[kind]]), pieces)
def test_any_number_of_them_hides_nothing(before: list[str], good: str, after: list[str]) -> None:
    assert is_read("\n".join([*before, good, *after]))


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("<think>The <answer>7</answer> tag holds it.</think> <answer>25</answer>", ("25",)),
        ("<think>It goes into <answer></think> \\boxed{25}", ("25",)),
        ("<answer>7</answer> No: <answer>25</answer>", ("25",)),
        ("<answer>25</answer>\n<answer>25</answer>\n<answer>", ("25",)),
        ("<answer>7 <answer>25</answer>", ("25",)),
        ("25</answer>", ("25",)),
        ("\\boxed{25}</answer>", ("25",)),
        ("\\boxed{\\boxed{1}, 2}", ("\\boxed{1}, 2",)),
        ("\\boxed{The answer is \\boxed{25}}", ("25",)),
        ("\\boxed 25", ("25",)),
        ("\\boxed{\\{\\}}", ("\\{\\}",)),
        ("#### 25 apples\nbye", ("25 apples",)),
        ("#### yes", ("yes",)),
        ("#### 7\nNo.\n#### 25\nbye", ("25",)),
        ("```latex\n\\boxed{25}\n```", ("25",)),
        ("Answer:\n```\n25\n```", ("25",)),
        ("```python\nprint('The answer is 7')  # \\boxed{7}\n```\nThe answer is 25.", ("25",)),
        ("The answer is 25.\n```python\n# The answer is 7", ("25",)),
        ("The answer is C because I computed the integral.", ("C",)),
        ("ANSWER: [B]", ("B",)),
    ],
)
def test_marks_in_and_around_each_other(text: str, readings: tuple[str, ...]) -> None:
    assert find_answer(text).readings == readings


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "\\boxed{",
        "\\boxed{}",
        "\\boxed{1",
        "\\boxed{\\boxed{1}",
        "\\boxed{x=\\boxed{1}",
        "in \\boxed{} ",
        "<answer>",
        "<answer>1",
        "<answer></answer>",
        "</answer>",
        "####",
        "#### ",
        "#### x",
        "#### x\n",
        "####\n",
        "```\n",
        "```python\n",
        "~~~",
        "answer is . ",
        "The answer is correct. ",
        "**1**",
        "**",
        "1 or ",
        "1, ",
        "$1 ",
        "$ 1",
        "$a$",
        "(",
        "1 (",
        "- 1",
        "1\n",
        "1.\n",
        "two ",
        "one-",
        "because 1 ",
        "than 1 ",
        "1:2 ",
        "Step 1 ",
        "\\frac{1}",
        "\\frac",
        "https://1",
        "May 1 ",
        "1/",
        "1.",
        "? ",
        "hope ",
        "\ue000",
    ],
)
def test_time_is_linear_in_hostile_marks_and_prose(unit: str) -> None:
    text = unit * (99_000 // len(unit))
    started = time.process_time()
    find_answer(text, "flexible")
    find_answer(text + "}" * 1_000, "flexible")
    assert time.process_time() - started < 3  # quadratic time would be minutes
