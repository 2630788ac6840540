"""Traces by a server: judged, cached, paid for, and each misfortune told in one sentence."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.base.caches import cache_folder
from rl.base.errors import RunStopped
from rl.config.recipe import ModelSection, ProblemsSection, RewardsSection, RolloutSection, RunSection
from rl.evaluation.command import Listener
from rl.pipelines.books import StageResult
from rl.pipelines.schema import KeepSection, TeacherSection, TracesStage, as_recipe
from rl.pipelines.traces import write_traces
from rl.problems.difficulty import DifficultyStore, asked_key
from rl.rollout import endpoint
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger
from tests.fake_endpoint import Answer, Body, FakeEndpoint, completion, error, prompt_of

PROBLEMS = 10


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENNY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(endpoint.Endpoint.__init__, "__defaults__", (lambda attempt: 0.0,))  # no waits


def right(number: int, body: Body) -> Answer:
    """Adds."""
    a, b = map(int, re.findall(r"\d+", prompt_of(body)))
    return completion(body, f"{a} and {b} make {a + b}", [1] * 7)


def stage(url: str, kind: str = "distill", teacher: dict[str, Any] | None = None, **sections: Any) -> TracesStage:
    asked = {"source": "endpoint", "name": "tiny", "url": url} | (teacher or {})
    base: dict[str, Any] = {
        "kind": kind,
        "model": ModelSection(name="tiny"),
        "teacher": TeacherSection(**asked) if kind == "distill" else None,
        "problems": ProblemsSection(source="arithmetic", size=60, chat_template=False, prompt="{question} ="),
        "rewards": RewardsSection(functions={"exact_number": 1.0}),
        "rollout": RolloutSection(num_generations=1, max_completion_length=16),
        "keep": KeepSection(limit=PROBLEMS),
        "evaluation": {"size": 20},
        "run": RunSection(dollars_per_hour=0.0),
    }
    return TracesStage.model_validate(base | sections)


def write(stage: TracesStage, folder: Path, said: list[str] | None = None) -> StageResult:
    folder.mkdir(exist_ok=True)
    with Ledger(RunFolder(folder), stage.run.dollars_per_hour) as ledger:
        return write_traces("traces", stage, folder, ledger, Listener((said if said is not None else []).append))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "traces.jsonl").read_text().splitlines()]


def test_a_server_is_asked_judged_and_paid(tmp_path: Path) -> None:
    prices = {"dollars_per_million": (1.0, 100.0), "license": "MIT"}
    with FakeEndpoint(right) as server:
        result = write(stage(server.url, teacher=prices), tmp_path / "one")
    rows = lines(tmp_path / "one")
    assert len(rows) == PROBLEMS and all(row["solved"] and row["pass_rate"] == 1.0 for row in rows)
    assert all(row["completion"].endswith(f"make {row['problem']['answer']}") for row in rows)
    dollars = PROBLEMS * (4 * 1.0 + 7 * 100.0) / 1e6  # prompts of four words: `3 + 4 =`
    assert result.dollars == pytest.approx(dollars)
    assert result.figures["dollars_per_trace"] == pytest.approx(dollars / PROBLEMS)
    story = json.loads((tmp_path / "one" / "traces.json").read_text())
    assert story["teacher"]["license"] == "MIT" and story["teacher"]["name"] == "tiny"
    assert story["answers"] == story["kept"] == PROBLEMS and story["data_sha256"]


def test_what_was_written_once_is_not_asked_again(tmp_path: Path) -> None:
    with FakeEndpoint(right) as server:
        first = write(stage(server.url), tmp_path / "one")
        asked = len(server.asked)
        again = write(stage(server.url), tmp_path / "two")
        assert len(server.asked) == asked == PROBLEMS
    assert lines(tmp_path / "one") == lines(tmp_path / "two")
    assert first.figures["kept"] == again.figures["kept"]


def test_a_server_that_goes_away_leaves_what_it_wrote(tmp_path: Path) -> None:
    def falters(number: int, body: Body) -> Answer:
        return right(number, body) if number < 4 else error(503, "overloaded")

    with FakeEndpoint(falters) as server:
        with pytest.raises(RunStopped, match="stopped answering after"):
            write(stage(server.url, teacher={"concurrency": 1}), tmp_path / "one")
        assert not (tmp_path / "one" / "traces.jsonl").exists()
        server._answer = right
        before = len(server.asked)
        write(stage(server.url, teacher={"concurrency": 1}), tmp_path / "one")
        assert len(server.asked) - before == PROBLEMS - 4
    assert len(lines(tmp_path / "one")) == PROBLEMS


def test_a_spent_budget_makes_traces_of_what_it_bought(tmp_path: Path) -> None:
    paid = {"dollars_per_million": (0.0, 1e6), "max_dollars": 20.0, "concurrency": 1}  # seven dollars an answer
    said: list[str] = []
    with FakeEndpoint(right) as server:
        result = write(stage(server.url, teacher=paid), tmp_path / "one", said)
    assert result.figures["answers"] == 3 and len(lines(tmp_path / "one")) == 3
    assert said == ["teacher.max_dollars = 20 is spent after 3 of 10 answers: the traces are made of these"]


def test_what_a_killed_session_spent_counts(tmp_path: Path) -> None:
    paid = {"dollars_per_million": (0.0, 1e6), "max_dollars": 50.0, "concurrency": 1}  # seven dollars an answer

    def falters(number: int, body: Body) -> Answer:
        return right(number, body) if number < 4 else error(503, "overloaded")

    with FakeEndpoint(falters) as server:
        with pytest.raises(RunStopped):
            write(stage(server.url, teacher=paid), tmp_path / "one")
        server._answer = right
        result = write(stage(server.url, teacher=paid), tmp_path / "one")
    assert result.figures["answers"] == 8 and result.figures["teacher_dollars"] == 56.0  # the eighth spends it
    assert result.dollars == 56.0


def test_nothing_right_is_told(tmp_path: Path) -> None:
    with FakeEndpoint(lambda number, body: completion(body, "no idea", [1])) as server:  # noqa: SIM117
        with pytest.raises(RunStopped, match=r"Not one trace is left of 10 answers, 0 of them solved \(10 by keep.ver"):
            write(stage(server.url), tmp_path / "one")


def test_no_server_and_no_such_model_are_told(tmp_path: Path) -> None:
    with FakeEndpoint(right) as server:
        url = server.url
        with pytest.raises(BadInput, match="has no model 'large'"):
            write(stage(url, teacher={"name": "large"}), tmp_path / "one")
    with pytest.raises(BadInput, match="No server answers"):
        write(stage(url), tmp_path / "one")


def test_rejection_keeps_the_pass_rates_of_its_model(tiny_model: Path, tmp_path: Path) -> None:
    own = stage(
        "",
        "reject",
        model=ModelSection(name=str(tiny_model)),
        rollout=RolloutSection(engine="transformers", num_generations=2, max_completion_length=4),
        keep=KeepSection(limit=3, verified=False, truncated=True, per_problem=2),
    )
    result = write(own, tmp_path / "one")
    assert result.figures["answers"] == 6
    with DifficultyStore(cache_folder()) as store:
        rates = store.rates(asked_key(as_recipe("traces", own)))
    assert len(rates) == 3 and all(rate.tried == 2 for rate in rates.values())
