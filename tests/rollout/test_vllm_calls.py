"""Each call that Penny makes of vLLM, against the signatures of the installed version; no engine is started.

So the calls that only a GPU makes are tried, too, and a new version is read before anybody runs it.
"""

import dataclasses
import inspect
from typing import Any
from unittest.mock import create_autospec

import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed here; the transformers engine is what runs")

import vllm
from vllm.engine.arg_utils import EngineArgs
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.v1.engine.core_client import EngineCoreClient
from vllm.v1.engine.llm_engine import LLMEngine

from rl.rollout.engine import SamplingParams
from rl.rollout.vllm_engine import VllmEngine, VllmSettings

OPTIONS = set(inspect.signature(vllm.LLM.__init__).parameters) | {f.name for f in dataclasses.fields(EngineArgs)}
PARAMS = SamplingParams(max_tokens=4, temperature=0.9, top_p=0.8, top_k=5, min_p=0.1, stop=("x",))


class Recorded:
    """vLLM's `LLM` with the signatures of the real one, and the options with which it was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.llm = create_autospec(vllm.LLM, instance=True)  # a call that the real one would refuse raises TypeError
        self.llm.llm_engine = create_autospec(LLMEngine, instance=True)
        self.llm.llm_engine.engine_core = create_autospec(EngineCoreClient, instance=True)
        self.llm.apply_model.side_effect = lambda function: [[]]
        self.llm.enqueue.side_effect = lambda prompts, *_, **__: [f"{i}-abc" for i in range(len(prompts))]
        self.llm.reset_prefix_cache.return_value = True
        self.options: dict[str, Any] = {}
        monkeypatch.setattr(vllm, "LLM", self.construct)

    def construct(self, **options: Any) -> Any:
        self.options = options
        return self.llm


def engine_on(device: str, **changes: Any) -> VllmEngine:
    settings = VllmSettings(
        device=device,
        dtype="bfloat16",
        max_model_length=128,
        max_num_seqs=8,
        enforce_eager=True,
        kv_cache_gib=1,
        gpu_memory_utilization=0.4,
        enable_sleep_mode=device == "cuda",
        max_lora_rank=8,
    )
    return VllmEngine("some/model", None, dataclasses.replace(settings, **changes))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(monkeypatch)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_option_is_one_of_the_engine(recorded: Recorded, device: str) -> None:
    engine_on(device)
    assert len(recorded.options) > 12 and set(recorded.options) <= OPTIONS


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_call_fits_its_signature(recorded: Recorded, device: str) -> None:
    engine, llm = engine_on(device), recorded.llm
    llm.llm_engine.step.return_value = [finished("0"), finished("1")]
    [[one, two]] = engine.generate([(1, 2, 3)], PARAMS, [[7, 8]])
    assert (one.token_ids, one.logprobs, two.finish_reason) == ((5,), (-0.5,), "length")
    engine.load_weights([("model.norm.weight", torch.ones(2))])
    engine.load_adapter("folder")
    engine.load_adapter("folder")  # the first is removed
    engine.sleep()
    engine.load_weights([])
    engine.close()
    assert llm.llm_engine.add_lora.call_count == 2 and llm.llm_engine.remove_lora.call_count == 1
    assert llm.wake_up.call_count == llm.sleep.call_count == (device == "cuda")
    sampling = llm.enqueue.call_args.args[1]
    assert [params.seed for params in sampling] == [7, 8]


def finished(number: str) -> RequestOutput:
    """What vLLM gives back for the request of this number: one token, and the end of its length."""
    said = vllm.logprobs.FlatLogprobs()
    said.append({5: vllm.logprobs.Logprob(logprob=-0.5)})
    output = CompletionOutput(0, "", [5], -0.5, said, finish_reason="length")
    return RequestOutput(number, None, [1, 2, 3], None, [output], finished=True)


@pytest.mark.parametrize("module", ["vllm.v1.worker.gpu_model_runner", "vllm.v1.worker.gpu.model_runner"])
def test_new_weights_have_a_receiver(module: str) -> None:
    """`collective_rpc` finds methods by name: both of vLLM's model runners must take what is sent."""
    runner = pytest.importorskip(module).GPUModelRunner
    inspect.signature(runner.reload_weights).bind(runner, weights_iterator=[])
