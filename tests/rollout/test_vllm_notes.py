"""What the vLLM engine calls, and in which order, on a GPU: a stand-in for vLLM takes notes."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rl.rollout.vllm_engine import LORA_RANKS, VllmEngine, VllmSettings, served_rank, to_completion

SETTINGS = VllmSettings("cuda", "bfloat16", 64, 4, True, 1.0, 0.4, True)


@dataclass
class Notes:
    """vLLM's `LLM`, of which only the calls are left. `forgets`: whether it can reset its prefix cache."""

    calls: list[str] = field(default_factory=list)
    forgets: bool = True

    @property
    def llm_engine(self) -> Any:
        return SimpleNamespace(
            engine_core=SimpleNamespace(shutdown=lambda: self.calls.append("shutdown")),
            add_lora=lambda request: self.calls.append("add_lora"),
            remove_lora=lambda number: self.calls.append("remove_lora"),
        )

    def sleep(self, level: int) -> None:
        self.calls.append(f"sleep {level}")

    def wake_up(self) -> None:
        self.calls.append("wake")

    def collective_rpc(self, name: str, kwargs: dict[str, Any]) -> None:
        self.calls += [name, *(name for name, _ in kwargs["weights_iterator"])]

    def reset_prefix_cache(self) -> bool:
        self.calls.append("reset")
        return self.forgets


def engine_on(notes: Notes) -> VllmEngine:
    """An engine on a GPU that is not there."""
    engine = VllmEngine.__new__(VllmEngine)
    vars(engine).update(_settings=SETTINGS, _llm=notes, _asleep=False, _adapter=None, _adapters_loaded=0)
    return engine


def test_an_engine_is_awake_before_it_is_shut_down() -> None:
    for sleeps in (False, True):
        notes = Notes()
        engine = engine_on(notes)
        if sleeps:
            engine.sleep()
        engine.close()
        assert notes.calls == (["sleep 1", "wake", "shutdown"] if sleeps else ["shutdown"])


def test_what_the_learner_freed_is_given_back_before_the_engine_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: notes.calls.append("give back"))
    engine = engine_on(notes)
    engine.sleep()
    engine.load_weights([("w", torch.zeros(1))])
    engine.load_weights([("w", torch.zeros(1))])  # awake already
    once = ["reload_weights", "w", "reset"]
    assert notes.calls == ["sleep 1", "give back", "wake", *once, *once]


def test_prefixes_of_older_weights_that_are_not_forgotten_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="did not forget its cached prefixes"):
        engine_on(Notes(forgets=False)).load_weights([("w", torch.zeros(1))])


@pytest.mark.vllm
def test_prefixes_of_an_older_adapter_that_are_not_forgotten_are_an_error(tmp_path: Any) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed here")
    notes = Notes(forgets=False)
    with pytest.raises(RuntimeError, match="did not forget its cached prefixes"):
        engine_on(notes).load_adapter(str(tmp_path))
    assert notes.calls == ["add_lora", "reset"]


@pytest.mark.parametrize(
    ("rank", "served"),
    [(1, 8), (4, 8), (8, 8), (12, 16), (24, 32), (48, 64), (65, 128), (257, 320), (321, 512), (512, 512), (513, None)],
)
def test_adapters_of_any_rank_find_room(rank: int, served: int | None) -> None:
    assert served_rank(rank) == served


@pytest.mark.vllm
@pytest.mark.slow
def test_the_ranks_are_those_of_vllm() -> None:
    from typing import get_args

    lora = pytest.importorskip("vllm.config.lora", reason="vLLM is not installed here")
    assert set(get_args(lora.MaxLoRARanks)) - {1} == set(LORA_RANKS)


def flat(tokens: list[int], logprobs: list[float]) -> Any:
    return SimpleNamespace(token_ids=tokens, logprobs=logprobs)


def test_log_probabilities_are_read_from_one_list() -> None:
    said = to_completion(
        SimpleNamespace(token_ids=[7, 7, 9], logprobs=flat([7, 7, 9], [-0.5, -1.5, 0.0]), finish_reason="length")
    )
    assert (said.token_ids, said.logprobs, said.finish_reason) == ((7, 7, 9), (-0.5, -1.5, 0.0), "length")
    with pytest.raises(AssertionError, match="of other tokens than it sampled"):
        to_completion(SimpleNamespace(token_ids=[7], logprobs=flat([7, 8], [0.0, 0.0]), finish_reason="stop"))
