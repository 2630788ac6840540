"""Worked examples for few-shot prompts, written for this purpose and in no benchmark: (question, answer).

Questions are as the benchmarks' `bare` puts them.
"""

Shots = list[tuple[str, str]]

MATHEMATICS: Shots = [
    (
        "A baker puts 12 rolls into each of 7 bags and has 5 rolls left over. How many rolls did she bake?",
        "The bags hold 12 * 7 = 84 rolls. With the 5 left over she baked 84 + 5 = 89 rolls. The answer is \\boxed{89}.",
    ),
    (
        "Solve $3x - 7 = 2(x + 4)$ for $x$.",
        "Multiplying out gives $3x - 7 = 2x + 8$. Taking $2x$ from both sides gives $x - 7 = 8$, so $x = 8 + 7 = 15$. "
        "The answer is \\boxed{15}.",
    ),
    (
        "A jar holds 4 red, 3 green and 2 white beads. Two are drawn without putting the first back. What is the "
        "probability that both are red?",
        "There are 4 + 3 + 2 = 9 beads. The first is red with probability 4/9, and then 3 of the 8 that are left are "
        "red. The probability is $\\frac{4}{9} \\cdot \\frac{3}{8} = \\frac{12}{72} = \\frac{1}{6}$. "
        "The answer is \\boxed{\\frac{1}{6}}.",
    ),
    (
        "A garden is a rectangle 11 meters wide and 60 meters long. How many meters long is a straight path from one "
        "corner to the opposite one?",
        "The path is the hypotenuse of a right triangle with legs 11 and 60. Its square is 121 + 3600 = 3721, and "
        "$61^2 = 3721$, so it is 61 meters long. The answer is \\boxed{61}.",
    ),
]

TASKS: Shots = [
    (
        """\
Write a function to give change for an amount with as few coins of 10, 5 and 1 as possible, as a list of three counts.
Your program should pass these tests:
assert give_change(28) == [2, 1, 3]
assert give_change(4) == [0, 0, 4]""",
        """\
```python
def give_change(amount):
    counts = []
    for coin in (10, 5, 1):
        counts.append(amount // coin)
        amount %= coin
    return counts
```""",
    ),
    (
        """\
Write a function to list the balance of an account after each of its payments.
Your program should pass these tests:
assert balances([5, -2, 4]) == [5, 3, 7]
assert balances([]) == []""",
        """\
```python
from itertools import accumulate


def balances(payments):
    return list(accumulate(payments))
```""",
    ),
    (
        """\
Write a function to fill a name with dots on its right, up to a given width.
Your program should pass these tests:
assert with_dots('tea', 5) == 'tea..'
assert with_dots('coffee', 3) == 'coffee'""",
        """\
```python
def with_dots(name, width):
    return name + "." * max(width - len(name), 0)
```""",
    ),
]

HEADS: Shots = [
    (
        '''\
def minutes_between(start: str, end: str) -> int:
    """Count the minutes from one time of a day to a later one.
    >>> minutes_between("09:50", "11:05")
    75
    """
''',
        '''\
```python
def minutes_between(start: str, end: str) -> int:
    """Count the minutes from one time of a day to a later one."""

    def minutes(time: str) -> int:
        hours, rest = time.split(":")
        return 60 * int(hours) + int(rest)

    return minutes(end) - minutes(start)
```''',
    ),
    (
        '''\
from typing import List


def spread(readings: List[float]) -> float:
    """Tell how far the largest reading is above the smallest; 0 without readings.
    >>> spread([2.5, 7.0, 4.0])
    4.5
    """
''',
        '''\
```python
from typing import List


def spread(readings: List[float]) -> float:
    """Tell how far the largest reading is above the smallest; 0 without readings."""
    if not readings:
        return 0
    return max(readings) - min(readings)
```''',
    ),
    (
        '''\
def initials(name: str) -> str:
    """Give the first letters of the parts of a name, each with a dot.
    >>> initials("ada king lovelace")
    'A.K.L.'
    """
''',
        '''\
```python
def initials(name: str) -> str:
    """Give the first letters of the parts of a name, each with a dot."""
    return "".join(part[0].upper() + "." for part in name.split())
```''',
    ),
]

CONTESTS: Shots = [
    (
        """\
The first line of the input has the number n of days, the second one n temperatures. Print on how many days it was \
warmer than on the day before.

Input:
5
12 14 13 13 17

Output:
2""",
        """\
```python
input()
days = list(map(int, input().split()))
print(sum(later > earlier for earlier, later in zip(days, days[1:])))
```""",
    ),
    (
        """\
You are given the prices of some articles and a budget. Return how many articles can be bought at most.

class Solution:
    def mostArticles(self, prices: List[int], budget: int) -> int:
""",
        """\
```python
class Solution:
    def mostArticles(self, prices: List[int], budget: int) -> int:
        bought = 0
        for price in sorted(prices):
            budget -= price
            if budget < 0:
                break
            bought += 1
        return bought
```""",
    ),
    (
        """\
The input is one line of lower-case letters. Print those that occur exactly once, in their order, or NONE.

Input:
pepper

Output:
r""",
        """\
```python
from collections import Counter

line = input().strip()
counts = Counter(line)
print("".join(letter for letter in line if counts[letter] == 1) or "NONE")
```""",
    ),
]

COUNTDOWN: Shots = [
    (
        f"Write an arithmetic expression that equals {target} and uses each of the numbers {numbers} exactly once. "
        "You may add (+), subtract (-), multiply (*), divide (/) and set parentheses.",
        answer,
    )
    for numbers, target, answer in (
        (
            [13, 4, 41],
            93,
            "13 * 4 = 52 is too small by 41, which is the number left: 52 + 41 = 93. <answer>13 * 4 + 41</answer>",
        ),
        (
            [8, 2, 66, 1],
            297,
            "8 + 1 = 9 and 9 * 66 = 594, which is twice the target: 594 / 2 = 297. <answer>(8 + 1) * 66 / 2</answer>",
        ),
        (
            [90, 27, 14],
            49,
            "90 - 27 = 63 is too large by 14, which is the number left: 63 - 14 = 49. <answer>90 - 27 - 14</answer>",
        ),
    )
]
