"""A vLLM server that runs elsewhere, as a `RolloutEngine`: on a GPU of its own, or on another machine.

    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True CUDA_VISIBLE_DEVICES=1 python -m vllm.entrypoints.openai.api_server \
        --model MODEL --enable-lora --max-lora-rank 16 --logprobs-mode processed_logprobs

Weights reach it as LoRA adapters, which it reads from a folder that both see; each has a name of its own, so nothing
that was computed with an older one is ever reused. Differences from the engines in this process: completions depend on
what else the server runs at the moment, in rounding, so runs are repeatable only up to that; a request a completion.
"""

import contextlib
import re
import secrets
from collections.abc import Generator, Sequence
from dataclasses import replace

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.config.recipe import RolloutSection
from rl.rollout.endpoint import Endpoint, EndpointDown, EndpointSettings
from rl.rollout.engine import (
    Completion,
    IndexedCompletion,
    NamedTensors,
    Refill,
    SampleRequest,
    SamplingParams,
    in_order,
)
from rl.rollout.openai_api import Reply, Request
from rl.rollout.server_url import is_local
from rl.rollout.vllm_engine import LORA_RANKS, served_rank

RANK_TOO_HIGH = re.compile(r"LoRA rank (\d+) is greater than max_lora_rank")  # vLLM's words
NO_SUCH_PAGE = "Not Found"  # all that vLLM says of a method that it does not offer
PROBE = SamplingParams(max_tokens=1, top_k=1)  # one token survives, so after truncation its probability is 1
PROBED = (1, 2, 3)  # not 0: often padding, after which a model finds all tokens equally likely, and all survive


def open_server(section: RolloutSection) -> "ServerEngine":
    """The server of a recipe, if it is there and fit for training.

    Raises:
        BadInput: no server answers, or it was not started as training needs it.
    """
    if section.server_url is None:
        raise BadInput("rollout.engine=server needs rollout.server_url, like http://localhost:8000/v1.")
    settings = EndpointSettings(section.server_url, "", concurrency=section.max_num_seqs)
    with contextlib.closing(Endpoint(settings)) as endpoint:
        names = endpoint.models()
        if not names:
            raise BadInput(f"The server at {endpoint.url} names no model: start a vLLM server there.")
        if section.server_folder is None and not is_local(endpoint.url):
            raise BadInput(
                f"The server at {endpoint.url} cannot read this machine's memory: name a folder that both see, in "
                "rollout.server_folder."
            )
    with contextlib.ExitStack() as stack:
        # The base comes first on a vLLM server's list; adapters follow.
        engine = stack.enter_context(contextlib.closing(ServerEngine(replace(settings, model=names[0]))))
        engine.check()
        stack.pop_all()  # it is fit, so it stays open
    return engine


class ServerEngine:
    """See `RolloutEngine`. Every completion is a request, at most `settings.concurrency` at once."""

    name = "server"

    def __init__(self, settings: EndpointSettings) -> None:
        """Connects to nothing yet. `settings.model` is the server's name of the base model."""
        self._settings = settings
        self._endpoint = Endpoint(settings)
        self._run = f"penny-{secrets.token_hex(4)}"  # several runs may share a server
        self._adapters = 0

    def check(self) -> None:
        """Ask for one token, and for the removal of an adapter that does not exist.

        Raises:
            BadInput: it gives no token ids, other log-probabilities than those sampled from, or takes no adapters.
        """
        [(_, _, completion)] = self.stream([PROBED], PROBE, [[0]])
        if completion.logprobs[0] < -1e-6:
            raise BadInput(
                f"The server at {self._endpoint.url} gives log-probabilities from before temperature and truncation: "
                "start it with --logprobs-mode processed_logprobs."
            )
        refusal = self._endpoint.command("unload_lora_adapter", {"lora_name": self._run})
        if refusal and refusal.sentence == NO_SUCH_PAGE:
            raise BadInput(
                f"The server at {self._endpoint.url} takes no adapters while it runs: start it with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment."
            )

    def generate(
        self, prompts_P: Sequence[Sequence[int]], params: SamplingParams, seeds_P_G: Sequence[Sequence[int]]
    ) -> list[list[Completion]]:
        """Sample one completion of prompt p for each seed in `seeds_P_G[p]`."""
        return in_order(self.stream(prompts_P, params, seeds_P_G), seeds_P_G)

    def stream(
        self,
        prompts_P: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds_P_G: Sequence[Sequence[int]],
        refill: Refill | None = None,
    ) -> Generator[IndexedCompletion, None, None]:
        """Yield (p, g, completion) the moment that one comes; `refill` is called while none does.

        Raises:
            RunStopped: the server went away.
            BadInput: it refuses a request, or does not give token ids and log-probabilities.
        """
        places: list[tuple[int, int]] = []
        first = 0

        def requests(asked: Sequence[SampleRequest]) -> list[Request]:
            nonlocal first
            found = []
            for p, (prompt, seeds) in enumerate(asked, start=first):
                places.extend((p, g) for g in range(len(seeds)))
                found += [Request(None, tuple(prompt), seed if params.temperature else None) for seed in seeds]
            first += len(asked)
            return found

        replies = self._endpoint.stream(
            requests(list(zip(prompts_P, seeds_P_G, strict=True))),
            params,
            (lambda: requests(refill())) if refill else None,
        )
        try:
            for number, reply in replies:
                yield *places[number], self._completion(reply)
        except EndpointDown as down:
            raise gone(down) from down
        finally:
            replies.close()

    def load_weights(self, weights: NamedTensors) -> None:
        """A server takes no weights. Raises NotImplementedError: recipes that would need it are refused."""
        raise NotImplementedError("a server takes adapters only")

    def load_adapter(self, folder: str) -> None:
        """Use the adapter in `folder` from now on; the server has read it when this returns.

        Raises:
            BadInput: the server does not take it.
            RunStopped: it went away.
        """
        self._adapters += 1
        name = f"{self._run}-{self._adapters}"
        self._command("load_lora_adapter", {"lora_name": name, "lora_path": folder})
        before = self._endpoint
        self._endpoint = Endpoint(replace(self._settings, model=name))
        before.close()
        if self._adapters > 1:
            self._command("unload_lora_adapter", {"lora_name": f"{self._run}-{self._adapters - 1}"})

    def sleep(self) -> None:
        """The server's memory is its own."""

    def close(self) -> None:
        """Take the last adapter back, if the server is still there, and hang up."""
        try:
            if self._adapters:
                self._endpoint.command("unload_lora_adapter", {"lora_name": f"{self._run}-{self._adapters}"})
        except (RunStopped, BadInput):
            pass  # it went away, which matters to nobody any more
        finally:
            self._endpoint.close()

    def _command(self, method: str, body: dict[str, str]) -> None:
        try:
            refusal = self._endpoint.command(method, body)
        except EndpointDown as down:
            raise gone(down) from down
        if refusal is None:
            return
        sentence = f"The server at {self._endpoint.url} does not take the adapter; it says: {refusal.sentence}"
        if too_high := RANK_TOO_HIGH.search(refusal.sentence):
            room = served_rank(int(too_high[1])) or LORA_RANKS[-1]
            sentence = f"{sentence.rstrip('.')}: start it with --max-lora-rank {room}."
        raise BadInput(sentence)

    def _completion(self, reply: Reply) -> Completion:
        if not reply.token_ids or not reply.logprobs or reply.finish_reason is None:
            raise BadInput(
                f"The server at {self._endpoint.url} does not give token ids and their log-probabilities: use a vLLM "
                "server of version 0.11 or newer."
            )
        return Completion(reply.token_ids, reply.logprobs, reply.finish_reason)


def gone(down: EndpointDown) -> RunStopped:
    """What to tell of a server that went away in the middle of a run."""
    return RunStopped(f"{down.what}: start it again, and go on with penny train --resume")
