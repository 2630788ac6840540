"""Which answers a page shows: some of every kind, few enough to open at once, and marked for its filters."""

import os.path
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

from markupsafe import escape

from rl.evaluation.show.findings import Result, verdict
from rl.evaluation.show.plots import VERDICTS
from rl.run.evaluations import EvaluationRow

T = TypeVar("T")
RowsByProblem = Mapping[str, Sequence[EvaluationRow]]

MOST_PROBLEMS, MOST_SAMPLES = 400, 4
LONGEST_TEXT, LONGEST_ANSWER, LONGEST_GIST = 6000, 300, 110  # characters
# Bytes of HTML around the text of a problem and of an answer; a little more than they are.
FRAME, ANSWER_FRAME = 1200, 1300
LENGTHS = ("short", "middle", "long", "cut off")
DIFFER = {"differ": "differ", "agree": "agree", "first": "only A right", "other": "only B right"}


@dataclass(frozen=True)
class Cut:
    """A text whose middle may be left out: `left_out` characters between head and tail, 0 if it is whole."""

    head: str
    left_out: int = 0
    tail: str = ""

    @classmethod
    def of(cls, text: str, longest: int = LONGEST_TEXT) -> "Cut":
        """The text, cut to about `longest` characters; the end, where answers stand, keeps as much as the beginning."""
        half = longest // 2
        return cls(text) if len(text) <= longest else cls(text[:half], len(text) - 2 * half, text[-half:])

    @property
    def bytes(self) -> int:
        """Size in HTML, escaped."""
        return len(escape(self.head + self.tail).encode("utf-8"))


@dataclass(frozen=True)
class Group:
    """The answers to one benchmark under one template.

    Attributes:
        name: of the benchmark, with its template where it has several.
        results: one for each evaluation; None where it has none.
        sides: their rows by problem.
        bounds: the lengths up to which an answer of the first evaluation is short, and up to which it is middle.
        in_tokens: whether lengths are tokens; else characters, because tokens are not known.
    """

    name: str
    results: Sequence[Result | None]
    sides: Sequence[RowsByProblem]
    bounds: tuple[int, int]
    in_tokens: bool

    @classmethod
    def of(cls, name: str, results: Sequence[Result | None], rows: Sequence[Sequence[EvaluationRow]]) -> "Group":
        """The group whose evaluations gave `rows`, the first one first."""
        in_tokens = all(row.num_tokens is not None for row in rows[0])
        lengths = sorted(_length(row, in_tokens) for row in rows[0] if row.finish_reason != "length")
        last = len(lengths) - 1
        bounds = (lengths[last // 3], lengths[2 * last // 3]) if lengths else (0, 0)
        return cls(name, results, [_by_problem(side) for side in rows], bounds, in_tokens)

    def length_class(self, row: EvaluationRow) -> str:
        """One of `LENGTHS`: thirds of the answers that were not cut off."""
        if row.finish_reason == "length":
            return "cut off"
        length = _length(row, self.in_tokens)
        return "short" if length <= self.bounds[0] else "middle" if length <= self.bounds[1] else "long"


@dataclass(frozen=True)
class Shown:
    """One answer on the page; `tags`: what the filters of verdict and length find it by, for the first evaluation."""

    row: EvaluationRow
    verdict: str
    completion: Cut
    answer: Cut | None
    gold: Cut | None
    reason: Cut
    tags: str


@dataclass(frozen=True)
class Side:
    """The answers of one evaluation to a problem: some of them, and of how many; `right` of the `graded` ones."""

    answers: Sequence[Shown]
    samples: int
    graded: int
    right: int
    prompt: Cut | None


@dataclass(frozen=True)
class Card:
    """One problem on the page, with one side for each evaluation. The prompt is None where the sides have their own."""

    group: int
    problem_id: str
    gist: str
    prompt: Cut | None
    sides: Sequence[Side]
    differ: str

    @property
    def tags(self) -> str:
        """What the filters of verdict and length find the problem by."""
        return " ".join(dict.fromkeys(tag for shown in self.sides[0].answers for tag in shown.tags.split()))

    @property
    def bytes(self) -> int:
        """About what the card takes on the page."""
        answers = [shown for side in self.sides for shown in side.answers]
        texts = [self.prompt, *(side.prompt for side in self.sides)]
        texts += [text for shown in answers for text in (shown.completion, shown.answer, shown.gold, shown.reason)]
        return FRAME + ANSWER_FRAME * len(answers) + sum(text.bytes for text in texts if text)


@dataclass(frozen=True)
class Choice:
    """What a filter offers: its id on the page, its label, and how many of the shown problems it leaves."""

    id: str
    label: str
    count: int


def choose(groups: Sequence[Group], most_bytes: int) -> list[Card]:
    """The problems that are shown, in their order: of each group and of each kind in turn until there are enough.

    A kind is: which verdicts the first evaluation has, and which of the others are right. So what is rare is there.
    """
    queues = []
    for number, group in enumerate(groups):
        kinds: dict[object, list[tuple[int, int, str]]] = {}
        for place, problem in enumerate(group.sides[0]):
            kinds.setdefault(_kind(group, problem), []).append((number, place, problem))
        queues.append(interleaved(kinds.values()))
    starts = [_gist_start(group) for group in groups]
    chosen, size = [], 0
    for number, place, problem in interleaved(queues)[:MOST_PROBLEMS]:
        card = _card(number, groups[number], problem, starts[number])
        size += card.bytes
        if size > most_bytes:
            break
        chosen.append((number, place, card))
    return [card for _, _, card in sorted(chosen, key=lambda item: item[:2])]


def interleaved(queues: Iterable[Sequence[T]]) -> list[T]:
    """The first of each queue, the second of each, and so on."""
    return [item for items in zip_longest(*queues) for item in items if item is not None]


def filters(cards: Sequence[Card], groups: Sequence[Group]) -> dict[str, list[Choice]]:
    """By the name of each filter that has something to choose, its choices, `all` first."""
    tags = Counter(tag for card in cards for tag in card.tags.split())
    differ = Counter(tag for card in cards for tag in card.differ.split())
    benchmarks = Counter(card.group for card in cards)
    found = {
        "benchmark": [Choice(str(place), group.name, benchmarks[place]) for place, group in enumerate(groups)],
        "verdict": [Choice(name, name, tags[name]) for name in VERDICTS],
        "length": [Choice(word(name), name, tags[word(name)]) for name in LENGTHS],
        "sides": [Choice(name, label, differ[name]) for name, label in DIFFER.items()],
    }
    there = {name: [choice for choice in choices if choice.count] for name, choices in found.items()}
    return {name: [Choice("all", "all", len(cards)), *choices] for name, choices in there.items() if len(choices) > 1}


def word(name: str) -> str:
    """A name as one word, for an attribute."""
    return name.replace(" ", "-")


def _by_problem(rows: Iterable[EvaluationRow]) -> dict[str, list[EvaluationRow]]:
    found: dict[str, list[EvaluationRow]] = {}
    for row in rows:
        found.setdefault(row.problem_id, []).append(row)
    return found


def _length(row: EvaluationRow, in_tokens: bool) -> int:
    return (row.num_tokens or 0) if in_tokens else len(row.completion)


def _kind(group: Group, problem: str) -> object:
    first, *others = (side.get(problem, []) for side in group.sides)
    return frozenset(map(verdict, first)), tuple(_right(rows) for rows in others)


def _right(rows: Sequence[EvaluationRow]) -> bool | None:
    """Whether at least half of the graded answers to a problem are right; None if there are none."""
    solved = [row.solved for row in rows if row.solved is not None]
    return 2 * sum(solved) >= len(solved) if solved else None


def _gist_start(group: Group) -> int:
    """Where the prompts of a group begin to differ, at the beginning of a word: there the question is."""
    prompts = [rows[0].prompt for rows in group.sides[0].values()]
    common = os.path.commonprefix(prompts) if len(prompts) > 1 else ""
    return max(map(common.rfind, " \n\t>")) + 1


def _card(number: int, group: Group, problem: str, start: int) -> Card:
    sides = [side.get(problem, []) for side in group.sides]
    prompts = {rows[0].prompt for rows in sides if rows}
    same = len(prompts) == 1
    gist = " ".join(sides[0][0].prompt[start : start + 4 * LONGEST_GIST].split())
    return Card(
        group=number,
        problem_id=problem,
        gist=gist if len(gist) <= LONGEST_GIST else f"{gist[:LONGEST_GIST]}…",
        prompt=Cut.of(prompts.pop()) if same else None,
        sides=[_side(group, rows, is_first=place == 0, own_prompt=not same) for place, rows in enumerate(sides)],
        differ=_differ([_right(rows) for rows in sides]),
    )


def _side(group: Group, rows: Sequence[EvaluationRow], is_first: bool, own_prompt: bool) -> Side:
    # Verdicts in turn, and lengths in turn within each, so that the few that are shown are of many kinds.
    kinds: dict[str, dict[str, list[EvaluationRow]]] = {}
    for row in rows:
        kinds.setdefault(verdict(row), {}).setdefault(group.length_class(row), []).append(row)
    picked = interleaved([interleaved(found.values()) for found in kinds.values()])[:MOST_SAMPLES]
    picked.sort(key=lambda row: row.sample)
    solved = [row.solved for row in rows if row.solved is not None]
    return Side(
        answers=[_answer(group, row, is_first) for row in picked],
        samples=len(rows),
        graded=len(solved),
        right=sum(solved),
        prompt=Cut.of(rows[0].prompt) if own_prompt and rows else None,
    )


def _answer(group: Group, row: EvaluationRow, is_first: bool) -> Shown:
    name, length = verdict(row), word(group.length_class(row))
    return Shown(
        row=row,
        verdict=name,
        completion=Cut.of(row.completion),
        answer=None if row.answer is None else Cut.of(row.answer, LONGEST_ANSWER),
        gold=Cut.of(row.gold, LONGEST_ANSWER) if row.gold else None,
        reason=Cut.of(row.reason, LONGEST_ANSWER),
        tags=f"{name} {length} {name}-{length}" if is_first else "",
    )


def _differ(right: Sequence[bool | None]) -> str:
    """What the filter of the sides finds a problem by: nothing unless all sides have a graded answer to it."""
    if len(right) < 2 or None in right:
        return ""
    if len(set(right)) == 1:
        return "agree"
    return "differ" if len(right) > 2 else f"differ {'first' if right[0] else 'other'}"
