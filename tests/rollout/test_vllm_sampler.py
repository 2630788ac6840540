"""What replaces vLLM's sampling on a CPU: against vLLM's own functions, and what happens where they are others."""

import math
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rl.rollout.sampling import draw, process_logits
from rl.rollout.vllm_sampler import install_sampler, misfit, seeded_forward


def forward(logits: Any, generators: Any, k: Any, p: Any) -> None: ...
def gather(logprobs: Any, num_logprobs: Any, token_ids: Any) -> None: ...
def other(logits: Any, generators: Any) -> None: ...


def test_only_the_known_sampler_is_replaced() -> None:
    assert misfit("0.31.0", forward, gather) is None
    assert misfit("0.31.2+cpu", forward, gather) is None
    assert misfit("0.32.0", forward, gather) is None
    assert "vLLM 0.33.0 is not one of 0.31, 0.32" in str(misfit("0.33.0", forward, gather))
    assert "vLLM 0.310.0" in str(misfit("0.310.0", forward, gather))
    assert "no method with the parameters logits, generators, k, p" in str(misfit("0.31.0", other, gather))
    assert "no method with the parameters logprobs" in str(misfit("0.31.0", forward, None))


def generators(count: int) -> dict[int, torch.Generator]:
    return {row: torch.Generator().manual_seed(row) for row in range(count)}


@pytest.fixture
def vllm_sampler() -> Any:
    return pytest.importorskip("vllm.v1.sample.sampler").Sampler(logprobs_mode="processed_logprobs")


@pytest.mark.vllm
@pytest.mark.slow
def test_a_sampler_that_is_not_as_expected_is_left_alone_with_a_warning(vllm_sampler: Any) -> None:
    vllm_sampler.gather_logprobs = other
    before = vllm_sampler.topk_topp_sampler.forward
    with pytest.warns(UserWarning, match="has no method with the parameters logprobs.*left to vLLM"):
        install_sampler(SimpleNamespace(model_runner=SimpleNamespace(sampler=vllm_sampler)))
    assert vllm_sampler.topk_topp_sampler.forward == before and vllm_sampler.gather_logprobs is other
    with pytest.warns(UserWarning, match="left to vLLM"):
        install_sampler(SimpleNamespace())


@pytest.mark.vllm
@pytest.mark.slow
def test_draws_and_log_probabilities_are_ours(vllm_sampler: Any) -> None:
    theirs = vllm_sampler.topk_topp_sampler.forward
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        install_sampler(SimpleNamespace(model_runner=SimpleNamespace(sampler=vllm_sampler)))
    logits = torch.randn(16, 1000, generator=torch.Generator().manual_seed(0)) * 3
    k, p = torch.full((16,), 50), torch.full((16,), 0.8)
    expected = process_logits(logits, 1.0, top_k=50, top_p=0.8)
    ids, logprobs = vllm_sampler.topk_topp_sampler(logits.clone(), generators(16), k, p)
    torch.testing.assert_close(logprobs, expected)
    assert ids.tolist() == draw(expected, list(generators(16).values())).tolist()
    assert all(logprobs[row, token] > -math.inf for row, token in enumerate(ids))
    _, of_vllm = theirs(logits.clone(), generators(16), k, p)
    torch.testing.assert_close(logprobs, of_vllm)

    gathered = vllm_sampler.gather_logprobs(logprobs, 0, ids)
    assert gathered.logprob_token_ids.tolist() == ids[:, None].tolist()
    torch.testing.assert_close(gathered.logprobs, expected.gather(-1, ids[:, None]))
    more = vllm_sampler.gather_logprobs(logprobs, 2, ids)  # as vLLM does it
    assert more.logprobs.shape == (16, 3) and more.selected_token_ranks.min() >= 1


@pytest.mark.vllm
@pytest.mark.slow
def test_what_is_not_seeded_goes_to_vllm() -> None:
    pytest.importorskip("vllm")
    asked = []
    ours = seeded_forward(lambda *arguments: asked.append(arguments) or ("ids", None))
    logits = torch.zeros(3, 5)
    assert ours(logits, generators(2), None, None) == ("ids", None)
    assert asked == [(logits, asked[0][1], None, None)]
