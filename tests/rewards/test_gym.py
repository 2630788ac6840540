import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reasoning_gym as library

from rewards.gym import reasoning_gym
from rewards.gym_scorer import check_harmless
from rewards.pool import GraderPool


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=1, timeout=5) as made:
        yield made


def an_entry(task: str, **config: Any) -> dict[str, Any]:
    """As it comes out of a file: JSON, in which a tuple has become a list."""
    return json.loads(json.dumps(library.create_dataset(task, seed=3, size=1, **config)[0]))


def grade(pool: GraderPool, task: str, entry: dict[str, Any], *completions: str, **config: Any) -> list[float | None]:
    count = len(completions)
    columns: dict[str, Any] = {"task": [task] * count, "task_config": [config] * count, "entry": [entry] * count}
    return reasoning_gym(completions, **columns, prompts=[""] * count, grader_pool=pool)


@pytest.mark.parametrize(
    "task", ["chain_sum", "arc_agi", "rearc", "prime_factorization", "zebra_puzzles", "gsm_symbolic"]
)
def test_gold_answers_score_one(pool: GraderPool, task: str) -> None:
    entry = an_entry(task)
    answer = entry["answer"]
    assert grade(pool, task, entry, f"<think>x</think> {answer}", f"<answer>{answer}</answer> so") == [1.0, 1.0]


def test_partial_scores_pass_through(pool: GraderPool) -> None:
    entry = an_entry("chain_sum", min_terms=2, max_terms=2)
    wrong = str(int(entry["answer"]) + 1)
    direct = library.create_dataset("chain_sum", seed=3, size=1).score_answer(f"It is {entry['answer']}", entry)
    assert 0 < direct < 1
    graded = grade(
        pool, "chain_sum", entry, wrong, f"It is {entry['answer']}", f"<think>{entry['answer']}", min_terms=2
    )
    assert graded == [0.0, direct, 0.0]


def test_a_planted_command_runs_nowhere(pool: GraderPool, tmp_path: Path) -> None:
    note = tmp_path / "note"
    tmp_path.chmod(0o777)
    planted = f"__import__('os').system('touch {note}')"
    for task in ("countdown", "puzzle24", "simple_integration", "polynomial_multiplication", "spiral_matrix"):
        [graded] = grade(pool, task, an_entry(task), f"<answer>{planted}</answer>")
        assert graded is not None and graded < 0.1
    assert not note.exists()


@pytest.mark.parametrize(
    "source",
    [
        "().__class__.__base__.__subclasses__()",
        "__import__('os')",
        "getattr(1, 'real')",
        "(lambda: 1)()",
        "[x for x in (1,)]",
        "open('/etc/passwd')",
        "f'{1}'",
        "Symbol('__x')",
        "x.y",
    ],
)
def test_the_second_fence_refuses(source: str) -> None:
    with pytest.raises(ValueError, match="may not"):
        check_harmless(source)


@pytest.mark.parametrize("source", ["1 + 2*(3 - 4)/5", "Integer(2)*Symbol('x')**Integer(3)", "[[1, 2], [3]]", " 7 % 3"])
def test_the_second_fence_lets_arithmetic_through(source: str) -> None:
    check_harmless(source)


def test_the_fence_changes_no_score_of_an_honest_answer(pool: GraderPool) -> None:
    for task in ("countdown", "puzzle24", "simple_integration", "polynomial_multiplication", "polynomial_equations"):
        entry = an_entry(task)
        direct = library.create_dataset(task, seed=3, size=1)
        answers = [str(entry["answer"]), "x + 1", "3*x**2", "1 + 1", "no idea", "2x", ""]
        wanted = [direct.score_answer(answer, entry) for answer in answers]
        assert grade(pool, task, entry, *(f"<answer>{answer}</answer>" for answer in answers)) == wanted, task


@pytest.mark.slow
def test_answers_that_hang_or_end_the_scorer_are_wrong_and_the_next_is_graded(pool: GraderPool) -> None:
    entry = an_entry("countdown")
    hang, end = "99**98**97", "__import__('os')._exit(0)"
    hostile, ended, gold = grade(pool, "countdown", entry, hang, f"<answer>{end}</answer>", entry["answer"])
    assert (hostile, gold) == (0.0, 1.0)
    assert ended in (0.0, 0.01)


@pytest.mark.slow
def test_a_scorer_that_fails_on_the_gold_answer_is_ungradable(pool: GraderPool) -> None:
    entry = an_entry("arc_agi")
    del entry["metadata"]
    assert grade(pool, "arc_agi", entry, entry["answer"]) == [None]
    assert grade(pool, "no_such_task", an_entry("chain_sum"), "1") == [None]


def test_a_task_without_gold_answer_still_blames_the_completion(pool: GraderPool) -> None:
    entry = an_entry("boxnet")
    assert entry["answer"] is None
    assert grade(pool, "boxnet", entry, "[1]", "not JSON") == [0.0, 0.0]


def test_the_answer_is_logged(pool: GraderPool) -> None:
    entry, extra = an_entry("chain_sum"), dict[str, list[Any]]()
    completions = ["<think>x</think> 5 ", "<answer>6</answer> so", "<think>7"]
    columns: dict[str, Any] = {"task": ["chain_sum"] * 3, "task_config": [None] * 3, "entry": [entry] * 3}
    reasoning_gym(completions, **columns, grader_pool=pool, log_extra=extra.__setitem__)
    assert extra["reasoning_gym/answer"] == ["5", "6", None]
    assert len(extra["reasoning_gym/verdict"]) == 3
