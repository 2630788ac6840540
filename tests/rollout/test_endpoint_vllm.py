"""The client against a vLLM server that really runs: tokens and log-probabilities are the model's own."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here")

import torch
import yaml

from rewards.errors import BadInput
from rl.rollout.endpoint import Endpoint, EndpointDown, EndpointSettings
from rl.rollout.engine import SamplingParams
from rl.rollout.transformers_engine import TransformersEngine
from tests.fake_endpoint import GREEDY, answers, at_once, chat, texts
from tests.vllm_server import Server, serving

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose own settings would change every sample, as those of many models do."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("served") / "tiny")
    settings = folder / "generation_config.json"
    said = yaml.safe_load(settings.read_text()) if settings.exists() else {}
    settings.write_text(yaml.safe_dump(said | {"repetition_penalty": 3.0, "top_k": 1}, default_flow_style=True))
    return folder


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[tuple[Endpoint, Server]]:
    with (
        serving(str(model)) as running,
        contextlib.closing(Endpoint(EndpointSettings(running.url, "tiny", timeout=30, retries=2), at_once)) as endpoint,
    ):
        yield endpoint, running


def test_a_real_server(server: tuple[Endpoint, Server], model: Path) -> None:
    endpoint, running = server
    oracle = TransformersEngine(str(model))
    tokenizer = oracle.tokenizer

    # Greedy: what transformers says for the same tokens, whatever the model's own settings say.
    talk = tokenizer.apply_chat_template(chat("Hi").messages, add_generation_prompt=True, return_dict=False)
    prompts = [tokenizer.encode("Once upon", add_special_tokens=True), talk]
    expected = oracle.generate(prompts, GREEDY, [[0], [0]])
    for reply, prompt, (completion,) in zip(
        answers(endpoint, [*texts("Once upon"), chat("Hi")]), prompts, expected, strict=True
    ):
        assert reply.token_ids == completion.token_ids
        torch.testing.assert_close(torch.tensor(reply.logprobs), torch.tensor(completion.logprobs), atol=1e-4, rtol=0)
        assert (reply.prompt_tokens, reply.num_tokens) == (len(prompt), len(completion.token_ids))
        assert reply.finish_reason == completion.finish_reason
        text = tokenizer.decode(completion.token_ids, skip_special_tokens=True)
        assert reply.text.rstrip("\ufffd") == text.rstrip("\ufffd")  # vLLM leaves a cut character out

    # Sampled: the seed decides, and the model's top_k of 1 does not.
    sampled = SamplingParams(max_tokens=8, temperature=1.0)
    first, again, other = answers(endpoint, [chat("Hi", 1), chat("Hi", 1), chat("Hi", 2)], sampled)
    assert first == again
    assert first.token_ids != other.token_ids

    # The text keeps the string that ended it.
    text = answers(endpoint, texts("Once upon"))[0].text
    stop = next(c for c in text[2:] if c.isascii() and c not in text[:2])
    (stopped,) = answers(endpoint, texts("Once upon"), SamplingParams(max_tokens=8, temperature=0.0, stop=(stop,)))
    assert stopped.text == text[: text.index(stop) + 1] and stopped.finish_reason == "stop"

    with pytest.raises(BadInput, match="does not fit the model.*maximum context length is 256"):
        answers(endpoint, texts("x" * 300))

    # It is killed midway.
    came = []
    with pytest.raises(EndpointDown, match="replies"):
        for index, _ in endpoint.stream(texts(*(f"{i}" for i in range(200))), SamplingParams(max_tokens=100)):
            came.append(index)
            if len(came) == 3:
                running.kill()
    assert 3 <= len(came) < 200
