"""`penny eval` end to end on a tiny model, and with engines whose answers are known."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.evaluation import sources
from rl.models.source import load_tokenizer
from rl.rollout.engine import Completion, NamedTensors, SamplingParams
from tests.evaluation_runs import evaluate, rows_of

pytestmark = pytest.mark.usefixtures("own_folder")


class Known:
    """An engine that gives known answers, in the order of the prompts."""

    name = "known"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
        self.tokenizer, self.texts = tokenizer, list(texts)
        self.prompts: list[str] = []
        self.params: SamplingParams | None = None
        self.closed = False

    def stream(
        self, prompts_P: Sequence[Sequence[int]], params: SamplingParams, seeds_P_G: Sequence[Sequence[int]]
    ) -> Iterator[tuple[int, int, Completion]]:
        self.prompts = [str(self.tokenizer.decode(list(ids))) for ids in prompts_P]
        self.params = params
        for p, seeds in enumerate(seeds_P_G):
            for g in range(len(seeds)):
                if not self.texts:
                    raise RuntimeError("out of memory")
                yield p, g, self._completion(self.texts.pop(0), params)

    def _completion(self, text: str, params: SamplingParams) -> Completion:
        ids = (*self.tokenizer(text).input_ids, self.tokenizer.eos_token_id)
        cut = len(ids) > params.max_tokens
        ids = ids[: params.max_tokens]
        return Completion(ids, (-1.0,) * len(ids), "length" if cut else "stop")

    def load_weights(self, weights: NamedTensors) -> None: ...

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def known(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Known]:
    """Makes an engine with known answers the one that gets built."""

    def make(*texts: str) -> Known:
        engine = Known(load_tokenizer(str(tiny_model)), texts)
        monkeypatch.setattr(sources, "build_engine", lambda recipe: engine)
        return engine

    return make


def test_known_answers_get_their_known_score(
    tiny_model: Path, sums: Path, tmp_path: Path, known: Callable[..., Known]
) -> None:
    engine = known("so \\boxed{7}", "15", "\\boxed{18}", "\\boxed{22} and on")
    result = evaluate(tiny_model, sums, max_tokens=12, output=tmp_path / "out")
    assert (result["pass@1"], result["n"], result["ungradable"]) == (0.75, 4, 0)
    assert result["ci95"] == pytest.approx([0.3006418423, 0.9544127392])  # Wilson, 3 of 4
    # Lengths in bytes and one end of sequence, cut at 12: 13 -> 12, 3, 11, 18 -> 12.
    assert (result["mean_length"], result["tokens"], result["truncated"]) == (38 / 4, 38, 0.5)
    assert result["template"] == "chat"
    assert engine.prompts[0].startswith("<|im_start|>user\n3 + 4\nThink step by step")
    assert engine.params == SamplingParams(12, temperature=0.0)
    assert engine.closed
    rows = rows_of(tmp_path / "out")
    assert [row.verdict for row in rows] == ["correct", "correct", "wrong", "correct"]
    assert [row.answer for row in rows] == ["7", "15", "18", "22"]
    assert [row.gold for row in rows] == ["7", "15", "17", "22"]
    assert [row.problem_id for row in rows] == [f"sums/{i}" for i in range(4)]
    assert (tmp_path / "out" / "report.html").is_file()


def test_several_samples_of_the_first_problems(tiny_model: Path, sums: Path, known: Callable[..., Known]) -> None:
    known("7", "8", "7.0", "7", "15", "1", "2", "1")
    result = evaluate(tiny_model, sums, limit=2, num_samples=4, temperature=0.7)
    assert (result["n"], result["pass@1"]) == (2, pytest.approx((3 / 4 + 1 / 4) / 2))
    assert (result["num_samples"], result["temperature"], result["max_tokens"]) == (4, 0.7, 1024)
    assert result["pass@k"] == pytest.approx({"1": 0.5, "2": (1 + 1 / 2) / 2, "4": 1.0})
    # 7, 7.0 and 7 are one class and win; of 15, 1, 2 and 1 the wrong 1 wins.
    assert result["maj@k"]["4"] == pytest.approx(0.5)


def test_a_model_without_a_chat_template_gets_a_plain_prompt(
    base_model: Path, sums: Path, known: Callable[..., Known]
) -> None:
    engine = known(" 7\nQuestion:", "0", "0", "0")
    result = evaluate(base_model, sums)
    assert (result["template"], result["pass@1"]) == ("plain", 0.25)
    opening = "Question: 3 + 4\nThink step by step, and end with the final answer inside \\boxed{}.\nAnswer:"
    assert engine.prompts[0].removeprefix("<|im_start|>") == opening
    assert engine.params is not None
    assert engine.params.stop == ("\nQuestion:",)


def test_a_recipes_plain_prompt_stays_as_it_is(
    tiny_model: Path, recipe_path: Path, known: Callable[..., Known]
) -> None:
    recipe_path.write_text(recipe_path.read_text().replace('"{question}"', '"{question} =", chat_template: false'))
    engine = known("7", "7", "7")
    assert evaluate(tiny_model, recipe_path)["template"] == "own"
    assert all(prompt.endswith(" =") and "Question" not in prompt for prompt in engine.prompts)


def test_several_templates_and_the_best_of_them(
    tiny_model: Path, sums: Path, tmp_path: Path, known: Callable[..., Known]
) -> None:
    known(*["7", "0", "0", "0"], *["7", "15", "0", "0"], *["0"] * 4)
    results = evaluate(tiny_model, sums, templates=["chat", "none", "few-shot"], output=tmp_path / "out")["results"]
    assert [(r["template"], r["pass@1"], r["best"]) for r in results] == [
        ("chat", 0.25, False),
        ("none", 0.5, True),
        ("few-shot", 0.0, False),
    ]
    assert len(rows_of(tmp_path / "out")) == 12


def test_the_engine_is_closed_when_it_fails(tiny_model: Path, sums: Path, known: Callable[..., Known]) -> None:
    engine = known("7")
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate(tiny_model, sums)
    assert engine.closed


def test_what_was_answered_before_a_failure_is_not_paid_twice(
    tiny_model: Path, sums: Path, known: Callable[..., Known], no_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    known("7", "15")
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate(tiny_model, sums, use_cache=True)
    engine = known("17", "21")
    result = evaluate(tiny_model, sums, use_cache=True)
    assert [prompt.split("user\n")[1][:5] for prompt in engine.prompts] == ["8 + 9", "20 + "]
    assert (result["pass@1"], result["tokens"], result["cached_tokens"]) == (0.75, 3 + 3, 2 + 3)
    monkeypatch.setattr(sources, "build_engine", lambda recipe: pytest.fail("the engine was started"))
    again = evaluate(tiny_model, sums, use_cache=True)
    assert (again["pass@1"], again["tokens"], again["cached_tokens"]) == (0.75, 0, 11)
    assert again["cost"]["dollars_per_million_tokens"] is None


def test_more_samples_cost_only_what_is_new(tiny_model: Path, sums: Path, known: Callable[..., Known]) -> None:
    sampled = {"limit": 1, "temperature": 1.0, "use_cache": True}
    known("7", "1")
    evaluate(tiny_model, sums, num_samples=2, **sampled)
    engine = known("7", "7")
    assert evaluate(tiny_model, sums, num_samples=4, **sampled)["pass@1"] == 0.75
    assert engine.texts == []
    known("2", "3")
    assert evaluate(tiny_model, sums, num_samples=2, seed=1, **sampled)["pass@1"] == 0.0  # another seed, other answers


def test_other_weights_are_asked_anew(
    tiny_model: Path, base_model: Path, merged: Path, sums: Path, known: Callable[..., Known]
) -> None:
    known(*["7"] * 4)
    assert evaluate(tiny_model, sums, use_cache=True)["pass@1"] == 0.25
    known(*["15"] * 4)
    assert evaluate(merged, sums, use_cache=True)["tokens"] == 12


def test_a_default_length_gives_way_to_the_context_and_an_asked_one_does_not(
    tiny_model: Path, tmp_path: Path, known: Callable[..., Known], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"question": "x" * 7500, "answer": "1"}) + "\n")
    engine = known("1")
    result = evaluate(tiny_model, path)
    asked = len(load_tokenizer(str(tiny_model))(engine.prompts[0], add_special_tokens=False).input_ids)
    assert result["max_tokens"] == 8192 - asked < 1024


def test_answers_that_nobody_can_grade_are_no_score(
    tiny_model: Path, tmp_path: Path, known: Callable[..., Known]
) -> None:
    path = tmp_path / "words.jsonl"
    path.write_text('{"question": "Who?", "answer": "???"}\n')
    known("I")
    with pytest.raises(RunStopped, match="Not one answer could be graded"):
        evaluate(tiny_model, path, output=tmp_path / "out")
    assert rows_of(tmp_path / "out")[0].completion == "I"


def test_a_real_model_answers_the_same_twice(tiny_model: Path, recipe_path: Path) -> None:
    first, second = (evaluate(tiny_model, f"recipe:{recipe_path}") for _ in range(2))
    timing = {"cost", "created"}
    assert {key: value for key, value in first.items() if key not in timing} == {
        key: value for key, value in second.items() if key not in timing
    }
    assert (first["n"], first["max_tokens"], first["engine"]) == (3, 6, "transformers")
    assert first["cost"]["generating_seconds"] > 0


def test_cost_by_the_hour(tiny_model: Path, sums: Path, known: Callable[..., Known]) -> None:
    known("7", "7", "7", "7")
    cost = evaluate(tiny_model, sums, dollars_per_hour=3600.0)["cost"]
    assert cost["dollars"] == pytest.approx(cost["seconds"])
    assert cost["dollars_per_million_tokens"] == pytest.approx(cost["dollars"] / 8 * 1e6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"max_tokens": -1}, "max_tokens is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"num_samples": 2}, "all 2 answers to a problem"),
        ({"engine": "vlm"}, "no engine 'vlm'"),
        ({"max_tokens": 8190}, "context of .*, 8192: lower max_tokens"),
        ({"top_p": 0.0}, "top_p is 0"),
        ({"templates": ["chatty"]}, "chat"),
        ({"model": None}, "Say what to evaluate"),
        ({"samples": Path("bad.jsonl")}, "With --samples the outputs are there already"),
        ({"dollars_per_hour": -1.0}, "price is below 0"),
        ({"benchmark": "gsm8"}, "did you mean gsm8k"),
        ({"model": "./nowhere"}, "The model nowhere does not exist"),
        ({"benchmark": "bad.jsonl"}, "needs the column 'answer'"),
        ({"output": Path("bad.jsonl/x")}, "cannot be made"),
    ],
)
def test_bad_input_is_found_before_any_weights_are_read(
    tiny_model: Path,
    sums: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_engine: None,
    options: dict[str, Any],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text('{"question": "1 + 1"}\n')
    arguments = {"model": tiny_model, "benchmark": sums, **options}
    with pytest.raises(BadInput, match=sentence):
        evaluate(**arguments)
