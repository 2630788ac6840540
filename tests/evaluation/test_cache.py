"""The answer cache: what is stored comes back whole, and only for exactly what was asked."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.errors import BadInput
from rl.evaluation.cache import FILE, AnswerCache, answer_key
from rl.grading.outputs import Output
from rl.problems.problem import Problem, Prompt
from rl.rollout.engine import SamplingParams

PROMPT = Prompt(Problem("set/0"), (5, 6, 7), "1 + 1?")
PARAMS = SamplingParams(16, temperature=0.7, stop=("\n",))
IDENTITY = {"weights": "abc", "engine": "vllm"}


def test_an_answer_comes_back_as_it_was(tmp_path: Path) -> None:
    whole = Output("two — 二", (1, 2, 49151), (-0.1, -1e-300, 0.0), 3, "stop")
    bare = Output("", (), (), None, None)
    with AnswerCache(tmp_path) as cache:
        assert cache.get("a") is None
        cache.put("a", whole)
        cache.put("b", bare)
    with AnswerCache(tmp_path) as cache:
        assert (cache.get("a"), cache.get("b"), cache.get("c")) == (whole, bare, None)


@pytest.mark.parametrize(
    "other",
    [
        answer_key({**IDENTITY, "weights": "abd"}, PROMPT, PARAMS, 3),
        answer_key(IDENTITY, replace(PROMPT, token_ids=(5, 6, 8)), PARAMS, 3),
        answer_key(IDENTITY, PROMPT, replace(PARAMS, temperature=0.8), 3),
        answer_key(IDENTITY, PROMPT, replace(PARAMS, max_tokens=17), 3),
        answer_key(IDENTITY, PROMPT, replace(PARAMS, stop=()), 3),
        answer_key(IDENTITY, PROMPT, PARAMS, 4),
        answer_key(IDENTITY, PROMPT, PARAMS, None),
        answer_key(IDENTITY, replace(PROMPT, token_ids=()), PARAMS, 3),
        answer_key(IDENTITY, replace(PROMPT, token_ids=(), messages=({"content": "1 + 1?"},)), PARAMS, 3),
    ],
)
def test_whatever_decides_an_answer_is_in_the_key(other: str) -> None:
    assert other != answer_key(IDENTITY, PROMPT, PARAMS, 3)


def test_what_does_not_decide_an_answer_is_not_in_the_key() -> None:
    same = Prompt(Problem("other/9", {"answer": "2"}), PROMPT.token_ids, "shown otherwise")
    assert answer_key(IDENTITY, same, PARAMS, 3) == answer_key(IDENTITY, PROMPT, PARAMS, 3)
    assert answer_key(dict(reversed(IDENTITY.items())), PROMPT, PARAMS, 3) == answer_key(IDENTITY, PROMPT, PARAMS, 3)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), unique=True), st.text())
def test_prompts_that_differ_have_keys_that_differ(prompts: list[tuple[int, int]], text: str) -> None:
    keys = {answer_key(IDENTITY, Prompt(Problem("p"), ids, text), PARAMS, 0) for ids in prompts}
    assert len(keys) == len(prompts)


def test_answers_survive_kill_9(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from rl.evaluation.cache import AnswerCache\n"
        "from rl.grading.outputs import Output\n"
        "cache = AnswerCache(Path(sys.argv[1]))\n"
        "for i in range(10**6):\n"
        "    cache.put(str(i), Output(str(i), (i,), (-1.0,), 1, 'stop')); print(i, flush=True)\n"
    )
    process: Any = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    said = [int(process.stdout.readline()) for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with AnswerCache(tmp_path) as cache:
        assert [cache.get(str(i)) for i in said] == [Output(str(i), (i,), (-1.0,), 1, "stop") for i in said]


def test_a_cache_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="answer cache .*file.* cannot be used"):
        AnswerCache(tmp_path / "file" / "deeper")
    (tmp_path / FILE).write_text("this is no database, but it is long enough to be looked at as one " * 40)
    with pytest.raises(BadInput, match="not a database"):
        AnswerCache(tmp_path)
