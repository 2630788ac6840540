"""A server as an engine: what it is asked, what it may answer, and which servers are refused."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.config.recipe import RolloutSection
from rl.rollout.endpoint import EndpointSettings
from rl.rollout.engine import SamplingParams
from rl.rollout.server_engine import ServerEngine, open_server
from tests.fake_endpoint import Answer, Body, FakeEndpoint, completion, error

SAMPLED = SamplingParams(max_tokens=4, temperature=0.7, stop=("!",))
DONE = Answer({})


def fit(number: int, body: Body) -> Answer:
    """A server as it should be: it says the prompt's last token and the seed; its log-probability is 0 of a sure token
    and -0.5 else."""
    if "lora_name" in body:
        known = body["lora_name"].count("-") == 2  # penny, the run, the number of the adapter
        return DONE if known else error(404, f"The lora adapter {body['lora_name']!r} cannot be found.")
    answer = completion(body, "ab", [body["prompt"][-1], body.get("seed", 99)])
    assert isinstance(answer.body, dict)
    if body.get("top_k") == 1:
        answer.body["choices"][0]["logprobs"] = {"token_logprobs": [0.0, 0.0]}
    return answer


def section(fake: FakeEndpoint, **changes: Any) -> RolloutSection:
    return RolloutSection.model_validate({"engine": "server", "server_url": fake.url, "max_num_seqs": 4} | changes)


@pytest.fixture
def fake() -> Iterator[FakeEndpoint]:
    with FakeEndpoint(fit, models=["base", "other-adapter"]) as running:
        yield running


def test_each_completion_is_a_request_with_its_seed(fake: FakeEndpoint) -> None:
    engine = open_server(section(fake))
    fake.asked.clear()
    [first, second] = engine.generate([(7, 8), (9,)], SAMPLED, [[1, 2], [3]])
    assert [c.token_ids for c in first + second] == [(8, 1), (8, 2), (9, 3)]
    assert {c.logprobs for c in first + second} == {(-0.5, -0.5)}
    assert {c.finish_reason for c in first + second} == {"stop"}
    by_seed = {asked.body["seed"]: asked for asked in fake.asked}
    assert sorted(by_seed) == [1, 2, 3] and by_seed[2].path == "/v1/completions"
    sent = by_seed[2].body
    assert (sent["prompt"], sent["model"], sent["max_tokens"], sent["temperature"], sent["stop"]) == (
        [7, 8],
        "base",
        4,
        0.7,
        ["!"],
    )
    assert sent["return_token_ids"] and sent["top_k"] == -1
    engine.close()


def test_greedy_completions_carry_no_seed(fake: FakeEndpoint) -> None:
    engine = open_server(section(fake))
    [[greedy]] = engine.generate([(7,)], SamplingParams(4, temperature=0.0), [[5]])
    assert greedy.token_ids == (7, 99)
    engine.close()


def test_what_is_asked_later_gets_the_places_that_follow(fake: FakeEndpoint) -> None:
    engine = open_server(section(fake))
    later = iter([[((5,), [50, 51])], [((6,), [60])]])
    came = list(engine.stream([(4,)], SAMPLED, [[40]], lambda: next(later, [])))
    assert sorted((p, g, c.token_ids) for p, g, c in came) == [
        (0, 0, (4, 40)),
        (1, 0, (5, 50)),
        (1, 1, (5, 51)),
        (2, 0, (6, 60)),
    ]
    engine.close()


def test_an_adapter_has_a_name_of_its_own_and_the_one_before_goes(fake: FakeEndpoint) -> None:
    engine = open_server(section(fake))
    fake.asked.clear()
    names = []
    for folder in ("/one", "/two"):
        engine.load_adapter(folder)
        engine.generate([(7,)], SAMPLED, [[1]])
        names.append(fake.asked[-1].body["model"])
    told = [(asked.path.rpartition("/")[2], asked.body) for asked in fake.asked if "lora_name" in asked.body]
    assert told == [
        ("load_lora_adapter", {"lora_name": names[0], "lora_path": "/one"}),
        ("load_lora_adapter", {"lora_name": names[1], "lora_path": "/two"}),
        ("unload_lora_adapter", {"lora_name": names[0]}),
    ]
    assert len({"base", *names}) == 3
    engine.close()
    assert fake.asked[-1].body == {"lora_name": names[1]}


def full(number: int, body: Body) -> Answer:
    return error(400, "LoRA rank 48 is greater than max_lora_rank 16.") if "lora_path" in body else fit(number, body)


def test_an_adapter_that_is_not_taken() -> None:
    with FakeEndpoint(full, models=["base"]) as fake:
        engine = open_server(section(fake))
        with pytest.raises(BadInput, match=r"it says: LoRA rank 48 .* 16: start it with --max-lora-rank 64\.$"):
            engine.load_adapter("/one")
        engine.close()


def test_a_server_that_goes_away_stops_the_run_and_closes_in_peace(fake: FakeEndpoint) -> None:
    engine = ServerEngine(EndpointSettings(fake.url, "base", retries=0))
    engine.load_adapter("/one")
    fake.die()
    with pytest.raises(RunStopped, match="0 of 1 replies .*: start it again, and go on with penny train --resume"):
        engine.generate([(7,)], SAMPLED, [[1]])
    with pytest.raises(RunStopped, match="did not answer to load_lora_adapter .*: start it again"):
        engine.load_adapter("/two")
    engine.close()


def raw(number: int, body: Body) -> Answer:
    return fit(number, body | {"top_k": -1}) if "prompt" in body else fit(number, body)


def without_ids(number: int, body: Body) -> Answer:
    return fit(number, body | {"return_token_ids": False}) if "prompt" in body else fit(number, body)


def fixed(number: int, body: Body) -> Answer:
    return fit(number, body) if "prompt" in body else Answer({"detail": "Not Found"}, 404)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (raw, "--logprobs-mode processed_logprobs"),
        (without_ids, "does not give token ids"),
        (fixed, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"),
    ],
)
def test_servers_that_are_not_fit_for_training(answer: Callable[[int, Body], Answer], expected: str) -> None:
    with FakeEndpoint(answer, models=["base"]) as fake, pytest.raises(BadInput, match=expected):
        open_server(section(fake))


def test_servers_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="needs rollout.server_url"):
        open_server(RolloutSection(engine="server"))
    with FakeEndpoint(models=[]) as fake, pytest.raises(BadInput, match="names no model"):
        open_server(section(fake))
    with FakeEndpoint(fit, models=["base"]) as fake:
        monkeypatch.setattr("rl.rollout.server_engine.is_local", lambda url: False)
        with pytest.raises(BadInput, match="rollout.server_folder"):
            open_server(section(fake))
        open_server(section(fake, server_folder="/tmp")).close()
