"""A whole pipeline with a tiny model: every rung, what is not done twice, what is done again, and a stop in between."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.config.yaml_text import dump_yaml, parse_yaml
from rl.evaluation.command import Listener
from rl.pipelines.books import PipelineFolder, enter, take_over
from rl.pipelines.checks import check_pipeline
from rl.pipelines.ladder import ladder, markdown, write_ladder
from rl.pipelines.pipeline_file import load_pipeline
from rl.pipelines.runner import run_pipeline, run_stage

ROOT = Path(__file__).resolve().parents[2]
ORDER = ["worked", "cold-start", "reinforce", "reject", "fine-tune", "measure", "hand-on"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENNY_CACHE", str(tmp_path / "cache"))


def in_process(books: PipelineFolder, name: str) -> int:
    return run_stage(books, name, Listener())


def run(books: PipelineFolder, said: list[str] | None = None) -> int:
    return run_pipeline(books, in_process, (said if said is not None else []).append)


def test_the_whole_ladder(pipeline_yaml: Path, tmp_path: Path) -> None:
    pipeline = load_pipeline(str(pipeline_yaml))
    assert check_pipeline(pipeline) == []
    books, said = enter(tmp_path / "run", pipeline), list[str]()
    assert run(books, said) == 0
    assert [line.split(", ")[1].split(" ")[0] for line in said] == ORDER

    worked = (books.stage("worked") / "traces.jsonl").read_text().splitlines()
    assert len(worked) == 12 and all(json.loads(line)["solved"] for line in worked)
    assert json.loads((books.stage("worked") / "traces.json").read_text())["kept"] == 12
    found = ladder(books)
    assert found["complete"] and [rung["stage"] for rung in found["rungs"]] == ["base", *ORDER]
    scored = {rung["stage"]: rung["scores"] for rung in found["rungs"] if rung["scores"]}
    assert list(scored) == ["base", "cold-start", "reinforce", "fine-tune"]
    assert all(score[0]["n"] == 4 for score in scored.values())
    assert found["seconds"] == pytest.approx(sum(rung["seconds"] for rung in found["rungs"]))
    assert found["dollars"] == pytest.approx(found["seconds"] / 1000, rel=1e-6)  # 3.6 dollars an hour
    assert all(f"| {name} |" in markdown(found) for name in ORDER)

    assert {path.name for path in (books.stage("hand-on") / "export").iterdir()} == {"merged", "adapter"}
    page = (books.path / "report.html").read_text()
    assert page.count("<svg") == 1 and "finished" in page and "03-reinforce/report.html" in page

    again = list[str]()
    assert run(enter(tmp_path / "run", pipeline), again) == 0
    assert all("done before" in line for line in again)


def test_from_does_a_stage_and_all_after_it_again(pipeline_yaml: Path, tmp_path: Path) -> None:
    short = short_pipeline(pipeline_yaml, "worked", "cold-start")
    books = enter(tmp_path / "run", short)
    run(books)
    first = (books.stage("worked") / "result.json").stat().st_mtime_ns
    said = list[str]()
    run(enter(tmp_path / "run", short, "cold-start"), said)
    assert "done before" in said[0] and "done before" not in said[1]
    assert (books.stage("worked") / "result.json").stat().st_mtime_ns == first
    [aside] = (tmp_path / "run").glob("before-*-02-cold-start")
    assert (aside / "model" / "config.json").is_file()  # nothing is lost


def short_pipeline(path: Path, *names: str, **changes: Any) -> Any:
    tree = parse_yaml(path.read_text())
    tree["stages"] = {name: tree["stages"][name] | changes.get(name.replace("-", "_"), {}) for name in names}
    short = path.with_name("short.yaml")
    short.write_text(dump_yaml(tree))
    return load_pipeline(str(short))


def test_stages_that_another_pipeline_has_done_alike_are_taken_over(pipeline_yaml: Path, tmp_path: Path) -> None:
    first = enter(tmp_path / "one", short_pipeline(pipeline_yaml, "worked", "cold-start"))
    run(first)
    longer = enter(tmp_path / "two", short_pipeline(pipeline_yaml, "worked", "cold-start", "measure"))
    assert take_over(longer, first.path) == ["worked", "cold-start"]
    said = list[str]()
    assert run(longer, said) == 0
    assert [("done before" in line) for line in said] == [True, True, False]
    assert longer.result("cold-start") == first.result("cold-start")  # with what it took
    scores = {rung["stage"]: rung["scores"] for rung in ladder(longer)["rungs"]}
    assert scores["cold-start"][0]["n"] == 4

    other = {"sft": {"max_steps": 2}}
    half = enter(tmp_path / "three", short_pipeline(pipeline_yaml, "worked", "cold-start", cold_start=other))
    assert take_over(half, first.path) == ["worked"]
    assert take_over(half, first.path) == ["worked"]  # the same command again
    none = short_pipeline(pipeline_yaml, "worked", worked={"keep": {"limit": 3}})
    with pytest.raises(
        BadInput, match="has no finished stage to take over: ladder begins with worked, a distill stage"
    ):
        take_over(enter(tmp_path / "four", none), first.path)
    assert not list((tmp_path / "four").glob("0*"))


def test_a_finished_stage_with_other_settings_is_not_gone_on_from(pipeline_yaml: Path, tmp_path: Path) -> None:
    books = enter(tmp_path / "run", short_pipeline(pipeline_yaml, "worked"))
    run(books)
    other = short_pipeline(pipeline_yaml, "worked", worked={"keep": {"limit": 3}})
    with pytest.raises(BadInput, match=r"done the stage worked with keep.limit = 12, not 3: run with --from worked"):
        enter(tmp_path / "run", other)
    run(enter(tmp_path / "run", other, "worked"))
    assert len((books.stage("worked") / "traces.jsonl").read_text().splitlines()) == 3


def test_a_folder_of_something_else_is_left_alone(pipeline_yaml: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds other files but no pipeline"):
        enter(tmp_path / "run", load_pipeline(str(pipeline_yaml)))
    with pytest.raises(BadInput, match="There is no stage 'warm-up'"):
        enter(tmp_path / "new", load_pipeline(str(pipeline_yaml)), "warm-up")


def test_an_empty_yield_is_one_clear_sentence(pipeline_yaml: Path, tmp_path: Path) -> None:
    wrong = {"teacher": {"source": "column", "template": "I do not know"}}
    books = enter(tmp_path / "run", short_pipeline(pipeline_yaml, "worked", worked=wrong))
    with pytest.raises(
        RunStopped, match=r"Not one trace is left of 12 answers, 0 of them solved \(12 by keep.verified"
    ):
        run(books)
    assert books.result("worked") is None


def test_problems_that_are_measured_are_in_no_trace(pipeline_yaml: Path, tmp_path: Path) -> None:
    from rl.pipelines.schema import TracesStage, as_recipe
    from rl.problems.sets import load_sets

    books = enter(tmp_path / "run", short_pipeline(pipeline_yaml, "worked", worked={"keep": {}}))
    run(books)
    stage = books.pipeline.stages["worked"]
    assert isinstance(stage, TracesStage)
    held_out = {problem.columns["question"] for problem in load_sets(as_recipe("worked", stage))[1]}
    lines = [json.loads(line) for line in (books.stage("worked") / "traces.jsonl").read_text().splitlines()]
    assert len(lines) == 56 and len(held_out) == 4
    assert not held_out & {line["problem"]["question"] for line in lines}


def test_stages_that_hold_out_other_problems_are_refused(pipeline_yaml: Path) -> None:
    odd = short_pipeline(pipeline_yaml, "worked", "cold-start", "reinforce", reinforce={"evaluation": {"size": 5}})
    with pytest.raises(BadInput, match="The stages worked and reinforce take problems from the same source"):
        check_pipeline(odd)


def test_the_promise_is_told_kept_or_not(pipeline_yaml: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from rl.pipelines.schema import PipelineBand

    books = enter(tmp_path / "run", short_pipeline(pipeline_yaml, "worked", "cold-start", "measure"))
    assert run(books) == 0
    easy = PipelineBand(stage="base", over="cold-start", min_gain=-1.0)
    for gain, code, word in ((-1.0, 0, "met"), (0.9, 3, "missed")):
        band = PipelineBand(stage="cold-start", over="base", min_gain=gain, max_minutes=1e-6)
        promised = PipelineFolder(books.path, replace(books.pipeline, bands=[band, easy]))
        assert run(promised) == code
        found = write_ladder(promised)
        assert f"Band {word}" in found["band_reason"]
        assert found["slower"].startswith("Slower than expected")  # a note, whatever else was promised
        assert found["slower"] in promised.ladder.with_suffix(".md").read_text()


def test_a_stages_model_can_teach_a_later_one(pipeline_yaml: Path, tmp_path: Path) -> None:
    taught = {"model_from": "base", "teacher_from": "cold-start", "rollout": {"num_generations": 1}}
    short = short_pipeline(pipeline_yaml, "worked", "cold-start", "reinforce", reinforce=taught)
    books = enter(tmp_path / "run", short)
    assert check_pipeline(books.pipeline) == []
    assert run(books) == 0
    recipe = parse_yaml((books.stage("reinforce") / "recipe.yaml").read_text())
    assert recipe["distillation"]["teacher"] == books.model_of("cold-start")
    assert recipe["model"]["name"] == books.model_of("base")
    lines = [json.loads(line) for line in (books.stage("reinforce") / "metrics.jsonl").open()]
    assert len(lines) == 2 and all(line["reverse_kl"] > 0 for line in lines)  # cold-start is not the base


def penny(*arguments: str) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen([sys.executable, "-m", "rl.cli", *arguments], env=environment, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_pipeline_goes_on_in_the_middle_of_a_stage(
    pipeline_yaml: Path, tmp_path: Path, number: signal.Signals
) -> None:
    steps = {"optimizer": {"max_steps": 60, "learning_rate": 1e-3}, "run": {"save_steps": 5}}
    path = pipeline_yaml.with_name("short.yaml")
    short_pipeline(pipeline_yaml, "worked", "cold-start", "reinforce", reinforce=steps)
    folder = tmp_path / "run"
    checkpoint = folder / "03-reinforce" / "checkpoints" / "step-000010"
    process = penny("run", str(path), "--dir", str(folder))
    wait_until(checkpoint.is_dir, process)
    process.send_signal(number)
    process.wait(timeout=120)
    assert not (folder / "03-reinforce" / "result.json").exists()
    wait_for_lock(folder)
    assert penny("run", str(path), "--dir", str(folder)).wait(timeout=600) == 0
    sessions = json.loads((folder / "03-reinforce" / "manifest.json").read_text())["sessions"]
    assert len(sessions) == 2
    steps_done = [json.loads(line)["step"] for line in (folder / "03-reinforce" / "metrics.jsonl").open()]
    assert steps_done == list(range(1, 61))


def wait_until(reached: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Wait for something that a process does."""
    deadline = time.monotonic() + 300
    while not reached():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_lock(folder: Path) -> None:
    """Wait for the stage's process, which outlives a killed parent until its next safe point."""
    from rl.run.folder import RunFolder

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with RunFolder(folder).lock():
                return
        except BadInput:
            time.sleep(0.2)
    raise AssertionError("the stage's process is still there")
