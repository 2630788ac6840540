"""`penny eval` with a server and with files of outputs, which need no model here."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.evaluation import command, sources
from rl.evaluation.command import EvaluationRequest
from rl.evaluation.compared import compare_evaluations
from rl.evaluation.folder import EvaluationFolder
from rl.evaluation.regrading import regrade_evaluation
from rl.evaluation.show.interchange import model_index
from rl.evaluation.show.table import results_text
from rl.evaluation.units import Protocol
from rl.rollout.endpoint import Endpoint
from tests.fake_endpoint import Answer, Body, FakeEndpoint, completion, error, prompt_of

SUMS = [(3, 4), (10, 5), (8, 9), (20, 2)]
RIGHT = ["7", "15", "17", "22"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with sums.jsonl and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "cache_folder", lambda: tmp_path / "cache")
    write("sums.jsonl", [{"question": f"{a} + {b}", "answer": str(a + b)} for a, b in SUMS])
    return tmp_path


def write(name: str, rows: list[dict[str, Any]]) -> Path:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Path(name)


def evaluate(**options: Any) -> dict[str, Any]:
    """`results.json` with the fields of its only result at the top."""
    asked = {"benchmarks": ["sums.jsonl"], "output": Path("out"), **options}
    path, results = command.evaluate(EvaluationRequest(**asked))
    return {**results, **results["results"][0], "folder": path}


def stored(rows: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    return evaluate(samples=write("samples.jsonl", rows), **options)


def adds(number: int, body: Body) -> Answer:
    """A server that can add, but takes 20 + 2 for 23."""
    a, b = map(int, prompt_of(body).split("\n")[0].removeprefix("Question: ").split(" + "))
    return completion(body, f"\\boxed{{{a + b + (a == 20)}}}", [1, 2, 3])


def test_stored_outputs_get_their_known_score() -> None:
    found = stored([{"index": 3, "output": "22"}, {"index": 0, "output": "8"}, {"index": 1, "output": "#### 15"}])
    assert (found["pass@1"], found["n"], found["problems"], found["engine"]) == (pytest.approx(2 / 3), 3, 4, "stored")
    assert (found["mean_length"], found["template"]) == (None, "stored")
    rows = EvaluationFolder.open(found["folder"]).rows(found["results"][0])
    assert [(row.problem_id, row.completion, row.verdict) for row in rows] == [
        ("sums/0", "8", "wrong"),
        ("sums/1", "#### 15", "correct"),
        ("sums/3", "22", "correct"),
    ]
    assert (found["folder"] / "report.html").is_file()


def test_missing_answers_are_said_and_the_score_over_all_stands_beside() -> None:
    said: list[str] = []
    request = EvaluationRequest(
        ["sums.jsonl"], samples=write("two.jsonl", [{"index": 0, "output": "7"}, {"index": 1, "output": "15"}])
    )
    path, found = command.evaluate(request, command.Listener(said.append))
    [result] = found["results"]
    assert (result["pass@1"], result["n"], result["problems"], result["asked"]) == (1.0, 2, 4, 4)
    assert (result["unanswered"], result["missing"], result["pass@1_all"]) == (2, 2, 0.5)
    assert found["complete"] is False
    shown = results_text(found)
    assert "2 of 4 problems have no answer" in shown and "50.0 % [15.0 %, 85.0 %]" in shown
    assert "2 of 4 problems have no answer" in (path / "report.html").read_text()
    card = model_index(found, "someone")["model-index"][0]["results"][0]["metrics"][0]
    assert (card["value"], card["args"]["missing"], card["args"]["pass@1_all"]) == (100.0, 2, 50.0)


def test_problems_with_fewer_outputs_than_others_are_said() -> None:
    rows = [{"index": n, "outputs": [text, "0"]} for n, text in enumerate(RIGHT[:3])] + [{"index": 3, "output": "22"}]
    found = stored(rows)
    assert (found["num_samples"], found["partly_answered"], found["missing"], found["asked"]) == (2, 1, 1, 8)
    assert (found["pass@1"], found["pass@1_all"]) == (0.625, 0.5)
    assert "1 of 4 problems has fewer than 2 answers in sums.jsonl." in results_text(found)


def test_rows_of_no_problem_are_left_out_if_asked() -> None:
    rows = [{"index": n, "output": text} for n, text in enumerate(RIGHT)] + [{"index": 99, "output": "1"}]
    with pytest.raises(BadInput, match="index 99 is not in .*`--skip-unknown` leaves such rows out"):
        stored(rows)
    found = stored(rows, skip_unknown=True)
    assert (found["pass@1"], found["unknown_rows"], found["complete"]) == (1.0, 1, True)
    assert "1 row of the file names no problem of sums.jsonl, and is left out." in results_text(found)
    with pytest.raises(BadInput, match="index 98 is not in"):  # a file for something else stays refused
        stored([{"index": 98, "output": "1"}, {"index": 99, "output": "1"}], skip_unknown=True)
    with pytest.raises(BadInput, match="--skip-unknown is about rows of a file"):
        evaluate(model="tiny", endpoint="http://127.0.0.1:9", skip_unknown=True)


def test_stored_outputs_have_the_sampling_that_their_file_states_and_no_other() -> None:
    found = stored([{"index": n, "output": text} for n, text in enumerate(RIGHT)])
    unknown = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "seed", "shots")
    assert [found[name] for name in unknown] == [None] * 8
    logged = {"arguments": {"gen_args_0": {"arg_1": {"temperature": 0.7, "max_gen_toks": 2048}}}}
    rows = [{"index": n, "output": text, "top_p": 0.9 + n / 100, **logged} for n, text in enumerate(RIGHT)]
    found = stored(rows)
    assert (found["temperature"], found["max_tokens"], found["top_p"]) == (0.7, 2048, None)  # top_p: not alike


def test_several_stored_outputs_vote() -> None:
    found = stored([{"index": 0, "outputs": ["7", "7.0", "8"]}, {"index": 1, "outputs": ["1", "1", "15"]}])
    assert found["pass@1"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found["pass@k"]["3"] == 1.0
    assert found["maj@k"] == pytest.approx({"1": 0.5, "2": 0.5, "3": 0.5})


def test_stored_outputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="index"):
        stored([{"index": 4, "output": "7"}])
    with pytest.raises(BadInput, match="3.*4"):
        stored([{"output": text} for text in RIGHT[:3]])
    with pytest.raises(BadInput, match="answers none of the 2 problems"):
        stored([{"index": 3, "output": "22"}], protocol=Protocol(limit=2))
    with pytest.raises(BadInput, match="one benchmark"):
        stored([{"index": 0, "output": "7"}], benchmarks=["sums.jsonl", "arithmetic"])
    assert not Path("out").exists()


def test_a_server_is_asked_in_chats_and_its_tokens_are_paid() -> None:
    with FakeEndpoint(adds) as server:
        found = evaluate(model="tiny", endpoint=server.url, dollars_per_million=(1e6, 1e6))
    assert (found["pass@1"], found["engine"], found["template"]) == (0.75, "endpoint", "chat")
    assert all(asked.body["messages"][0]["role"] == "user" for asked in server.asked)
    sent = sum(len(prompt_of(asked.body).split()) for asked in server.asked)
    assert (found["tokens"], found["prompt_tokens"]) == (12, sent)
    assert found["cost"]["dollars"] == pytest.approx(12 + sent)
    rows = EvaluationFolder.open(found["folder"]).rows(found["results"][0])
    assert [(row.num_tokens, row.finish_reason) for row in rows] == [(3, "stop")] * 4


def test_a_server_is_asked_in_texts_under_a_plain_template() -> None:
    with FakeEndpoint(adds) as server:
        found = evaluate(model="tiny", endpoint=server.url, templates=["plain"])
    assert found["pass@1"] == 0.75
    assert all(asked.body["prompt"].startswith("Question: ") for asked in server.asked)


def test_samples_of_a_server_have_seeds_of_their_own() -> None:
    with FakeEndpoint(adds) as server:
        evaluate(model="tiny", endpoint=server.url, protocol=Protocol(num_samples=2, temperature=1.0))
    assert len({asked.body["seed"] for asked in server.asked}) == 8


def test_a_server_that_goes_away_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answered: list[int] = []
    up = False

    def dies(number: int, body: Body) -> Answer:
        if len(answered) >= 2 and not up:
            return error(503, "overloaded")
        answered.append(number)
        return adds(number, body)

    monkeypatch.setattr(sources, "Endpoint", partial(Endpoint, backoff=lambda *_: 0.0))
    with FakeEndpoint(dies) as server:
        asked = {"model": "tiny", "endpoint": server.url, "concurrency": 1}
        with pytest.raises(RunStopped, match="503.* What it gave, 2 of 4 answers, is in out"):
            evaluate(**asked)
        kept = EvaluationFolder.open(Path("out")).results()
        assert (kept["complete"], kept["results"][0]["n"], kept["results"][0]["asked"]) == (False, 2, 4)
        assert (kept["results"][0]["unanswered"], kept["results"][0]["pass@1_all"]) == (2, 0.5)
        assert "2 of 4 problems have no answer in sums.jsonl" in results_text(kept)
        up = True
        found = evaluate(**asked)
    assert (found["complete"], found["pass@1"], len(answered)) == (True, 0.75, 4)
    assert (found["tokens"], found["cached_tokens"]) == (6, 6)


def test_a_server_that_never_answers_leaves_an_empty_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "Endpoint", partial(Endpoint, backoff=lambda *_: 0.0))
    with (
        FakeEndpoint(lambda number, body: error(503, "overloaded")) as server,
        pytest.raises(RunStopped, match="overloaded"),
    ):
        evaluate(model="tiny", endpoint=server.url, templates=["chat", "plain"])
    kept = EvaluationFolder.open(Path("out")).results()
    assert [(r["n"], r["pass@1"], r["asked"]) for r in kept["results"]] == [(0, 0.0, 4), (0, 0.0, 4)]
    assert "Not complete" in Path("out/report.html").read_text()


def test_a_server_that_is_not_there_is_refused_before_anything() -> None:
    with pytest.raises(BadInput, match="127.0.0.1:9"):
        evaluate(model="tiny", endpoint="http://127.0.0.1:9")
    assert not Path("out").exists()


def test_two_evaluations_are_compared_problem_by_problem() -> None:
    first = stored([{"index": i, "output": text} for i, text in enumerate(["7", "0", "0", "22"])], output=Path("a"))
    second = stored([{"index": i, "output": text} for i, text in enumerate(["7", "15", "0", "0"])], output=Path("b"))
    [found] = compare_evaluations(first["folder"], second["folder"])
    assert (found["n"], found["won"], found["lost"], found["tied"], found["difference"]) == (4, 1, 1, 2, 0.0)
    assert found["p_value"] == 1.0
    write("sums.jsonl", [{"question": "1 + 1", "answer": "2"}])
    other = stored([{"index": 0, "output": "2"}], output=Path("c"))
    with pytest.raises(BadInput, match="asked different problems"):
        compare_evaluations(first["folder"], other["folder"])
    with pytest.raises(BadInput, match="does not exist"):
        compare_evaluations(first["folder"], Path("nowhere"))


def test_stored_answers_are_graded_again_without_a_model() -> None:
    first = stored([{"index": i, "output": text} for i, text in enumerate(["It is 7.", "0", "17", "22"])])
    path, [change] = regrade_evaluation(first["folder"], [], "same")
    assert (change.rows, change.changed, change.before, change.after) == (4, 0, 0.75, 0.75)
    again = EvaluationFolder.open(path)
    assert again.rows(again.results()["results"][0]) == EvaluationFolder.open(first["folder"]).rows(first["results"][0])
    Path("strict.py").write_text("def strict(completions, **_):\n    return [float(c == '22') for c in completions]\n")
    _, [change] = regrade_evaluation(
        first["folder"], ["rewards.functions={strict.py:strict: 1.0}", "rewards.options={}"], "strict"
    )
    assert (change.changed, change.after) == (2, 0.25)
    with pytest.raises(BadInput, match="exists already"):
        regrade_evaluation(first["folder"], [], "same")
    with pytest.raises(BadInput, match="does not change how answers are graded"):
        regrade_evaluation(first["folder"], ["problems.prompt=x"], None)
    write("sums.jsonl", [{"question": "1 + 1", "answer": "2"}])
    with pytest.raises(BadInput, match="not those that were asked"):
        regrade_evaluation(first["folder"], [], "other")


def test_a_benchmark_of_ones_own_is_five_lines() -> None:
    Path("mine.yaml").write_text(
        "name: mine\n"
        'problems: {source: jsonl, path: sums.jsonl, prompt: "{question}?"}\n'
        "rewards: {functions: {math: 1.0}}\n"
        "max_completion_length: 16\n"
        "sampling: {num_samples: 2, temperature: 1.0}\n"
    )
    found = stored([{"index": 0, "outputs": ["7", "8"]}], benchmarks=["mine.yaml"])
    assert (found["benchmark"], found["description"], found["pass@1"]) == ("mine.yaml", "mine", 0.5)
    assert regrade_evaluation(found["folder"], [], "again")[1][0].changed == 0
