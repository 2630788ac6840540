"""A model in a talk, at a price, and behind a command."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rl.cli import app
from rl.evaluate.subject import Subject
from rl.models import load_tokenizer
from rl.recipe import ModelSection, ProblemsSection
from rl.rollout.engine import Completion, SamplingParams
from rl.serving import Speed, Talk, measure_speed, servable, server_command


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
    section = ProblemsSection(source="arithmetic", chat_template=False, prompt="Q: {question}\nA:", prefill=" <think>")
    talk = Talk(engine, tokenizer, SamplingParams(8), section)  # type: ignore[arg-type]
    assert talk.say("1 + 1") == " <think>ink>"  # the prefill, then what the engine said
    assert tokenizer.decode(list(engine.asked[0])) == "Q: 1 + 1\nA: <think>"


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
        "--host", "0.0.0.0", "--port", "9000", "--enforce-eager",
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
