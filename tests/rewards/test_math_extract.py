"""Where the answer of a completion is found."""

import pytest

from rewards.math import find_answer


@pytest.mark.parametrize(
    ("completion", "reading"),
    [
        ("so \\boxed{42}", "42"),
        ("first \\boxed{3}. Then \\boxed{7}.", "7"),
        ("\\boxed{5}. Wait, I made a mistake: it is \\boxed{6}.", "6"),
        ("\\boxed{1} and \\boxed{2}", "1, 2"),
        ("$\\boxed{1}\\boxed{2}$", "1, 2"),
        ("$y_1 = \\boxed{a}$ and $y_2 = \\boxed{b}$", "a, b"),
        ("\\boxed{1} no no no no no \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{\\{2\\}}}", "\\frac{1}{\\{2\\}}"),
        ("\\\\boxed{42}", "42"),
        ("\\boxed 42", "42"),
        ("\\fbox{42}", "42"),
        ("<answer>42</answer>", "42"),
        ("<answer>42", "42"),
        ("<answer>41</answer> \\boxed{42}", "41"),
        ("<answer>\\boxed{42}</answer> \\boxed{41}", "42"),
        ("</think>42", "42"),
        ("<think>\\boxed{41}</think> \\boxed{42}", "42"),
        ("12 + 30\n#### 42", "42"),
        ("#### 41\nNo wait.\n#### 42\nbye", "42"),
        ("The answer is 42. I hope it is correct.", "42"),
        ("Answer: 34\nHmm, redo.\nAnswer: 42", "42"),
        ("**Answer: B**", "B"),
        ("**Final Answer**\n\n$42$", "42"),
        ("Answer \\[ 9 \\]", "9"),
        ("答案是43。", "43"),
        ("因此答案为 43", "43"),
        ("الجواب هو ٤٢", "٤٢"),
        ("Ответ: 42", "42"),
        ("The final answer is 3.5. Done.", "3.5"),
        ("$1$ and $2$ and $3$", "1, 2, 3"),
        ("<|im_start|>Answer: 42<|im_end|>", "42"),
        ("The answer is 42. <|im_start|>user What is 1+1? The answer is 2.", "42"),
    ],
)
def test_the_answer_is_found(completion: str, reading: str) -> None:
    assert reading in [
        text.strip("$ ").removeprefix("\\[").removesuffix("\\]").strip() for text in find_answer(completion).readings
    ]


@pytest.mark.parametrize(
    ("completion", "reading"),
    [
        ("Therefore, the area of $ABC$ is 120.", "120"),
        ("the number is not 10 which is 1,000.99€", "1,000.99€"),
    ],
)
def test_prose_is_read_where_that_is_asked_for(completion: str, reading: str) -> None:
    assert reading in find_answer(completion, "flexible").readings
    assert reading not in find_answer(completion).readings


@pytest.mark.parametrize(
    ("completion", "note"),
    [
        ("", "no answer found"),
        ("<think>42</think>", "no answer found"),
        ("<think>the answer is 42", "the thinking never ends"),
        ("\\boxed{42} so \\boxed{", "the last box is not closed"),
        ("\\boxed{}", "the last box is empty"),
        ("<answer></answer>", "no answer found"),
    ],
)
def test_no_answer_is_found(completion: str, note: str) -> None:
    found = find_answer(completion)
    assert found.readings == ()
    assert found.note == note


@pytest.mark.parametrize(
    "completion",
    [
        "either $\\boxed{6}$ or $\\boxed{5}$.",
        "\\boxed{6}. Alternatively, \\boxed{5}.",
        "\\boxed{6}, perhaps \\boxed{5}",
    ],
)
def test_alternatives_stay_together(completion: str) -> None:
    found = find_answer(completion)
    assert found.readings == ("6, 5",)
    assert (found.note, found.boxes) == ("two different boxed answers", 2)


def test_of_a_very_long_completion_the_end_is_read() -> None:
    assert find_answer("so \\boxed{1}. " * 50_000 + "\\boxed{72}").readings == ("72",)
