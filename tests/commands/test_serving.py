"""A model in a talk, at a price, and behind a command."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rewards.errors import BadInput
from rl.cli import app
from rl.commands.serve import serving_key, serving_lines
from rl.commands.serving import Speed, Talk, manner_template, measure_speed, servable, server_command
from rl.config.recipe import ModelSection, Recipe
from rl.config.recipe_file import load_recipe
from rl.evaluation.subject import Subject
from rl.models.source import load_tokenizer
from rl.pipelines.manner import manner_in, manner_of
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter
from rl.rollout.engine import Completion, SamplingParams
from rl.run.folder import RunFolder


class Echo:
    """An engine that says the last so many tokens of its prompt, and notes what it was asked."""

    name = "echo"

    def __init__(self, length: int = 4) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.batches: list[int] = []
        self._length = length

    def generate(
        self, prompts_P: Sequence[Sequence[int]], params: SamplingParams, seeds_P_G: Sequence[Sequence[int]]
    ) -> list[list[Completion]]:
        self.asked += [tuple(prompt) for prompt in prompts_P]
        self.batches += [len(seeds) for seeds in seeds_P_G]
        said = [tuple(prompt[-self._length :]) for prompt in prompts_P]
        return [
            [Completion(ids, (0.0,) * len(ids), "stop")] * len(seeds)
            for ids, seeds in zip(said, seeds_P_G, strict=True)
        ]


def test_a_chat_remembers_what_was_said(tiny_model: Path) -> None:
    engine, tokenizer = Echo(), load_tokenizer(str(tiny_model))
    talk = Talk(engine, tokenizer, SamplingParams(8))  # type: ignore[arg-type]
    first = talk.say("hello")
    talk.say("again")
    begun, second = (tokenizer.decode(list(ids)) for ids in engine.asked)
    assert begun == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert second.startswith(f"{begun}{first}<|im_end|>\n<|im_start|>user\nagain<|im_end|>")
    assert second.endswith("<|im_start|>assistant\n")


def test_a_question_is_put_as_in_training(tiny_model: Path) -> None:
    engine, tokenizer = Echo(), load_tokenizer(str(tiny_model))
    manner = manner_in(recipe(chat_template=False, prompt="Q: {question}\nA:", prefill=" <think>"), "runs/x")
    talk = Talk(engine, tokenizer, manner.params, manner)  # type: ignore[arg-type]
    assert talk.say("1 + 1") == " <think>ink>"  # the prefill, then what the engine said
    assert tokenizer.decode(list(engine.asked[0])) == "Q: 1 + 1\nA: <think>"


def test_an_answer_ends_at_a_stop_string(tiny_model: Path) -> None:
    class Nonsense(Echo):
        """Says more in the token that completes a stop string than the stop string, as tokens may."""

        def generate(self, prompts_P: Any, params: SamplingParams, seeds_P_G: Any) -> list[list[Completion]]:
            assert params.stop == ("\n", "Q:")
            ids = tuple(load_tokenizer(str(tiny_model))(" 42 Q: 7\n").input_ids)
            return [[Completion(ids, (0.0,) * len(ids), "stop")]]

    manner = manner_in(recipe(chat_template=False, prompt="{question} ="), "runs/x")
    talk = Talk(Nonsense(), load_tokenizer(str(tiny_model)), manner.params, manner)  # type: ignore[arg-type]
    assert talk.say("20 + 22") == " 42 "


def test_every_turn_of_a_chat_is_put_as_in_training(tiny_model: Path) -> None:
    engine, tokenizer = Echo(), load_tokenizer(str(tiny_model))
    shots = [["2 + 2?", "4"]]
    manner = manner_in(recipe(system_prompt="Add.", few_shot=shots, prompt="{question}?", prefill="So "), "runs/x")
    talk = Talk(engine, tokenizer, SamplingParams(8), manner)  # type: ignore[arg-type]
    first = talk.say("1 + 1")
    talk.say("3 + 3?")  # typed with the mark that the template adds
    begun, second = (tokenizer.decode(list(ids)) for ids in engine.asked)
    opening = (
        "<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n"
    )
    assert begun == f"{opening}<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\nSo "
    assert first.startswith("So ") and second == (
        f"{begun.removesuffix('So ')}{first}<|im_end|>\n<|im_start|>user\n3 + 3?<|im_end|>\n<|im_start|>assistant\nSo "
    )


def test_a_talk_that_is_too_long_is_refused(tiny_model: Path) -> None:
    talk = Talk(Echo(), load_tokenizer(str(tiny_model)), SamplingParams(8), longest=30)  # type: ignore[arg-type]
    talk.say("hi")
    with pytest.raises(BadInput, match=r"more than --context 30"):
        talk.say("hello")


BOTH = [
    {"chat_template": False, "few_shot": [["4 + 9 =", " 13"]], "prompt": "{question} =", "prefill": " so"},
    {"chat_template": False, "prompt": 'Say "{question}" in \\boxed{{}} \N{GRINNING FACE}\n', "system_prompt": "ü"},
    {"system_prompt": "You 'add'.", "few_shot": [["1", "2"]], "prompt": "{question}\nThink.", "prefill": "<think>\n"},
    {"prompt": "{question}"},
]


@pytest.mark.parametrize("keys", BOTH)
def test_the_server_renders_a_message_as_training_renders_a_problem(tiny_model: Path, keys: dict[str, Any]) -> None:
    tokenizer, made = load_tokenizer(str(tiny_model)), recipe(**keys)
    template = manner_template(manner_in(made, "runs/x"), tokenizer)
    asked = [{"role": "user", "content": 'What is "1" + 1?'}]
    shown = tokenizer.apply_chat_template(asked, chat_template=template, tokenize=False, add_generation_prompt=True)
    problem = Problem("p", {"question": asked[0]["content"]})
    assert shown == Prompter(made.problems, tokenizer).render(problem).text


def test_the_server_keeps_a_talk_and_a_system_message_of_the_request(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_model))
    template = manner_template(manner_in(recipe(system_prompt="Add.", prompt="{question}?"), "runs/x"), tokenizer)
    talk = [
        {"role": "system", "content": "Multiply."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    shown = tokenizer.apply_chat_template(talk, chat_template=template, tokenize=False, add_generation_prompt=True)
    assert shown == (
        "<|im_start|>system\nMultiply.<|im_end|>\n<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
        "<|im_start|>user\nc?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_manner_of_a_run_is_that_of_its_evaluation(tiny_model: Path, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", load_recipe("quickstart"))
    found = manner_of(str(run.path), Subject(ModelSection(name="x"), "x", run=run.path))
    assert found is not None
    assert found.params == SamplingParams(6, 0.0, stop=("\n",))
    assert (found.put("12 + 30"), found.put("12 + 30 = ")) == ("12 + 30 =", "12 + 30 =")
    assert found.sentence() == (
        f"asked as {run.path} was measured: plain text, 3 examples first, prompt '{{question}} =', stop at '\\n', "
        "at most 6 tokens, greedy (--raw: freely)"
    )
    assert manner_of("some/model", Subject(ModelSection(name="some/model"), "some/model")) is None


@pytest.mark.parametrize(
    ("prompt", "before", "after"),
    [
        ("{problem}\nBox it.", "", "\nBox it."),  # whatever the column is called
        ("Make {target} of {nums}.", "", ""),  # several: the whole is typed
        ("no column", "", ""),
        ("{question} or {question}", "", ""),
    ],
)
def test_what_a_template_puts_around_a_question(prompt: str, before: str, after: str) -> None:
    found = manner_in(recipe(prompt=prompt), "runs/x")
    assert (found.before, found.after) == (before, after)


def test_the_length_is_the_evaluations_or_the_last_of_the_schedule() -> None:
    changed = recipe().model_dump(mode="json")
    changed["rollout"] |= {"schedule": [{"from_step": 50, "max_completion_length": 99}], "stop": []}
    assert manner_in(Recipe.model_validate(changed), "x").params == SamplingParams(99, 0.0)
    changed["evaluation"] |= {"max_completion_length": 7, "temperature": 0.5}
    assert manner_in(Recipe.model_validate(changed), "x").params == SamplingParams(7, 0.5)


def recipe(**problems: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "x",
            "model": {"name": "tiny"},
            "problems": {"source": "arithmetic", **problems},
            "rewards": {"functions": {"exact_number": 1.0}},
            "rollout": {"stop": ["\n", "Q:"], "max_completion_length": 24},
        }
    )


def test_a_price_is_the_machines_over_what_it_writes() -> None:
    # 1,000 tokens a second at 3.60 dollars an hour: a million take 1,000 seconds, which cost a dollar.
    speed = Speed(8, [900.0, 1000.0, 5000.0])
    assert speed.median == 1000.0
    assert speed.cents_per_million(3.6) == pytest.approx(100.0)


def test_every_batch_is_timed_as_often_as_asked_after_one_round(tiny_model: Path) -> None:
    engine = Echo()
    speeds = measure_speed(engine, [1, 2, 3, 4], 8, [1, 4], repeats=3)  # type: ignore[arg-type]
    assert [(speed.batch, len(speed.tokens_per_second)) for speed in speeds] == [(1, 3), (4, 3)]
    assert engine.batches == [1, 4] * 4


def test_what_is_served(tiny_model: Path) -> None:
    assert servable(Subject(ModelSection(name=str(tiny_model)), "x")) == str(tiny_model)
    command = server_command("folder", "name", "0.0.0.0", 9000, ["--enforce-eager"])
    assert command[1:] == [
        "-m", "vllm.entrypoints.openai.api_server", "--model", "folder", "--served-model-name", "name",
        "--host", "0.0.0.0", "--port", "9000", "--allowed-origins", "[]", "--enforce-eager",
    ]  # fmt: skip


def penny(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.strip().splitlines()[-1])


def test_price_and_chat_on_a_real_engine(tiny_model: Path) -> None:
    transformers = ("--engine", "transformers", "--max-tokens", "4")
    found = penny(
        "price", str(tiny_model), "--dollars-per-hour", "1", "--batch", "1,2", "--repeats", "1", *transformers
    )
    speeds = found["speeds"]
    assert isinstance(speeds, list) and [speed["batch"] for speed in speeds] == [1, 2]
    for speed in speeds:
        assert speed["cents_per_million"] == pytest.approx(1 / 3600 / speed["tokens_per_second"] * 1e8)
    said = penny("chat", str(tiny_model), "2 + 2 =", "--temperature", "0", *transformers)
    assert said["question"] == "2 + 2 =" and said == penny(
        "chat", str(tiny_model), "2 + 2 =", "--temperature", "0", *transformers
    )


@pytest.mark.parametrize("batch", ["1,x", "0"])
def test_batches_that_are_none_are_refused(batch: str) -> None:
    result = CliRunner().invoke(app, ["price", "tiny", "--dollars-per-hour", "1", "--batch", batch])
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("host", "key_name", "extra", "warns"),
    [
        ("127.0.0.1", None, [], False),
        ("localhost", None, [], False),
        ("::1", None, [], False),
        ("0.0.0.0", None, [], True),
        ("::", None, [], True),
        ("10.0.0.5", None, [], True),
        ("0.0.0.0", "MY_KEY", [], False),
        ("0.0.0.0", None, ["--api-key", "x"], False),
    ],
)
def test_a_server_without_a_key_for_others_is_warned_of(
    host: str, key_name: str | None, extra: list[str], warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    lines = list(serving_lines("m", host, 8000, key_name, extra))
    assert lines[0].startswith("serving m on http://") and lines[0].endswith(":8000/v1")
    assert any(line.startswith("warning: without a key") for line in lines) == warns
    assert any("Authorization: Bearer $MY_KEY" in line for line in lines) == (key_name is not None)


def test_the_key_of_a_server_is_not_in_its_command(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, command: started.append(command))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setenv("MY_KEY", "secret")
    monkeypatch.setenv("VLLM_API_KEY", "")
    result = CliRunner().invoke(app, ["serve", str(tiny_model), "--api-key-env", "MY_KEY"])
    assert result.exit_code == 0, result.output
    assert os.environ["VLLM_API_KEY"] == "secret"
    assert "secret" not in " ".join(started[0]) + result.output
    assert started[0][started[0].index("--allowed-origins") + 1] == "[]"
    assert started[0][started[0].index("--host") + 1] == "127.0.0.1"


def test_a_variable_without_a_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY_HERE", raising=False)
    with pytest.raises(BadInput, match="NO_KEY_HERE is empty"):
        serving_key("NO_KEY_HERE")


@pytest.mark.parametrize("alias", ["tiny", "smollm2"])
def test_an_alias_is_served_from_its_folder(alias: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.models.source._prepared", lambda name: tiny_model)
    assert servable(Subject(ModelSection(name=alias), alias)) == str(tiny_model)
