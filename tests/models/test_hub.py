"""A hub that does not answer is asked once, briefly, and never again."""

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import datasets
import pytest
from huggingface_hub import constants

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.models import hub
from rl.models import source as models
from rl.problems.sources import load_problems


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The hub may be asked; what is found out is forgotten afterwards."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    hub.why_hub_is_silent.cache_clear()
    yield monkeypatch
    hub.why_hub_is_silent.cache_clear()


@pytest.fixture
def server() -> Iterator[str]:
    """Answers every request with 404."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    BaseHTTPRequestHandler.log_message = lambda *_: None  # type: ignore[method-assign,assignment]
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()


def test_nothing_at_the_address(online: pytest.MonkeyPatch) -> None:
    online.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    began = time.monotonic()
    why = hub.why_hub_is_silent()
    assert why is not None and why.startswith("http://127.0.0.1:9 does not answer: ") and "refused" in why
    with pytest.raises(BadInput, match=r"not in the cache \(http://127.0.0.1:9 does not answer.*check the network"):
        models.load_config("nobody/nothing")
    assert time.monotonic() - began < hub.WAIT
    assert constants.HF_HUB_OFFLINE and os.environ["HF_HUB_OFFLINE"] == "1"  # also for processes that are started


@pytest.mark.parametrize("options", [{}, {"files": ["rows.jsonl"]}], ids=["data set", "file"])
def test_data_sets_too_are_refused_at_once(online: pytest.MonkeyPatch, options: dict[str, list[str]]) -> None:
    online.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    online.setattr(datasets.config, "HF_HUB_OFFLINE", False)  # as it is when it was imported before anybody asked
    began = time.monotonic()
    with pytest.raises(BadInput, match=r"nobody/rows .*not in the cache, and http://127.0.0.1:9 does not answer: "):
        load_problems(ProblemsSection(source="hub", name="nobody/rows", options=options))
    assert time.monotonic() - began < hub.WAIT
    assert datasets.config.HF_HUB_OFFLINE


def test_an_address_that_never_answers_is_left_in_time(online: pytest.MonkeyPatch) -> None:
    online.setattr(hub, "WAIT", 0.2)

    class Session:
        def head(self, url: str, timeout: float) -> None:
            time.sleep(1)

    online.setattr("huggingface_hub.get_session", Session)
    began = time.monotonic()
    assert "no answer in 0.2 s" in str(hub.why_hub_is_silent())
    assert time.monotonic() - began < 0.9


def test_any_answer_will_do(online: pytest.MonkeyPatch, server: str) -> None:
    online.setattr(constants, "ENDPOINT", server)
    assert hub.why_hub_is_silent() is None
    assert not constants.HF_HUB_OFFLINE


def test_who_is_offline_asks_nobody(online: pytest.MonkeyPatch) -> None:
    online.setattr(constants, "HF_HUB_OFFLINE", True)
    online.setattr("huggingface_hub.get_session", lambda: pytest.fail("the hub was asked"))
    assert hub.why_hub_is_silent() == "HF_HUB_OFFLINE is set"
