"""`rl.train` from Python: recipes, functions, rows and callbacks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rl
from rewards import named
from tests.api.letters import low_letters

ROWS = [{"question": f"{a} + {b}", "answer": str(a + b)} for a in range(10, 20) for b in range(3)]


def low(completions: list[str], **_: Any) -> list[float]:
    return low_letters(completions)


def settings(model: Path, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "model.name": str(model),
        "model.dtype": "float32",
        "rollout.engine": "transformers",
        "rollout.device": "cpu",
        "rollout.num_generations": 4,
        "rollout.max_completion_length": 6,
        "algorithm.problems_per_step": 2,
        "optimizer.max_steps": 2,
        "optimizer.warmup_steps": 0,
        "evaluation.size": 4,
        "evaluation.every": 0,
        "evaluation.band": None,
        "rewards.correct_above": 0.4,
        "run.dir": str(folder),
    } | more


def test_a_run_is_an_object(tiny_model: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    run = rl.train(
        "quickstart",
        rewards=low_letters,
        problems=ROWS,
        overrides=settings(tiny_model, tmp_path / "run"),
        callbacks=lambda metrics: seen.append(metrics["step"]),
        quiet=True,
    )
    assert seen == [1, 2] and list(run.metrics.index) == [1, 2]
    assert run.metrics["reward/mean"].between(0, 1).all()
    assert run.finished and run.summary is not None and run.summary.after.n == 4
    written = json.loads((tmp_path / "run/summary.json").read_text())
    assert run.summary.after.pass_at_1 == written["after"]["pass@1"]
    assert list(run.evaluations.index) == [0, 2]
    assert len(run.completions()) == len(run.completions(1)) == 8
    assert (run.checkpoint() / "adapter_model.safetensors").is_file()
    name = f"{Path(__file__).parent / 'letters.py'}:low_letters"
    assert run.recipe.rewards.functions == {name: 1.0}  # which the command line finds, too
    assert run.recipe.problems.source == "jsonl" and run.recipe.problems.size is None
    assert rl.open_run(tmp_path / "run").summary == run.summary
    assert "<iframe" in run._repr_html_() and "before" in str(run)
    compared = rl.compare(run)
    assert compared.table().iloc[0]["n"] == 4


def test_a_function_of_the_session_is_passed_again(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mine(completions: list[str], **_: Any) -> list[float]:
        return low_letters(completions)

    monkeypatch.setattr(named, "_offered", {})
    wanted = settings(tiny_model, tmp_path / "run")
    run = rl.train("quickstart", rewards={mine: 2.0}, overrides=wanted, callbacks=lambda _: True, quiet=True)
    assert run.recipe.rewards.functions == {"session:mine": 2.0}
    assert not run.finished and list(run.metrics.index) == [1]  # the callback ended it, saved
    named._offered.clear()  # as in a new session
    with pytest.raises(rl.BadInput, match="'session:mine' is a function of a Python session that has ended; pass it"):
        rl.train(resume=run, quiet=True)
    rl.train(resume=run, rewards={mine: 2.0}, quiet=True)
    assert run.finished and list(run.metrics.index) == [1, 2]
    longer = rl.train(resume=str(run.path), rewards=[mine], overrides={"optimizer.max_steps": 3}, quiet=True)
    assert list(longer.metrics.index) == [1, 2, 3]


def test_a_resumed_run_is_the_run_that_was_not_stopped(tiny_model: Path, tmp_path: Path) -> None:
    whole = rl.train("quickstart", rewards=low_letters, overrides=settings(tiny_model, tmp_path / "a"), quiet=True)
    stopped = rl.train(
        "quickstart",
        rewards=low_letters,
        overrides=settings(tiny_model, tmp_path / "b"),
        callbacks=[lambda metrics: metrics["step"] == 1],
        quiet=True,
    )
    assert list(stopped.metrics.index) == [1]
    rl.train(resume=stopped, quiet=True)
    for key in ("loss", "reward/mean", "grad_norm"):
        assert list(stopped.metrics[key]) == list(whole.metrics[key])


def test_losses_and_advantages_are_passed_as_functions(tiny_model: Path, tmp_path: Path) -> None:
    def plain(x: Any) -> Any:
        return -x.ratio() * x.advantages

    def centered(rewards: Any, valid: Any) -> Any:
        paid = rewards.where(valid, 0)
        return paid - paid.sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True).clamp(min=1)

    names = {"algorithm.loss_type": "dapo", "algorithm.scale_rewards": "none", "algorithm.epsilon": 0.9}
    given = settings(tiny_model, tmp_path / "a")
    mine = rl.train("quickstart", rewards=low_letters, overrides=given, loss=plain, advantages=centered, quiet=True)
    assert mine.recipe.algorithm.loss_type == "session:plain"
    builtin = settings(tiny_model, tmp_path / "b", **names)
    theirs = rl.train("quickstart", rewards=low_letters, overrides=builtin, quiet=True)
    assert list(mine.metrics["loss"]) == pytest.approx(list(theirs.metrics["loss"]), abs=1e-6)
    assert list(mine.metrics["grad_norm"]) == pytest.approx(list(theirs.metrics["grad_norm"]), rel=1e-4)


def test_what_a_callback_raises_ends_the_run_saved(tiny_model: Path, tmp_path: Path) -> None:
    def broken(_: Any) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        rl.train(
            "quickstart", rewards=low, overrides=settings(tiny_model, tmp_path / "run"), callbacks=broken, quiet=True
        )
    assert (rl.open_run(tmp_path / "run").checkpoint() / "adapter_model.safetensors").is_file()


def test_a_recipe_is_an_object(tiny_model: Path, tmp_path: Path) -> None:
    recipe = rl.load_recipe("quickstart", settings(tiny_model, tmp_path / "run"))
    assert isinstance(recipe, rl.Recipe) and recipe.optimizer.max_steps == 2
    assert rl.Recipe(**recipe.model_dump()) == recipe
    run = rl.train(recipe, rewards=low_letters, quiet=True)
    assert run.recipe.optimizer == recipe.optimizer


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "Pass a recipe: its name, its file, or an rl.Recipe"),
        ({"recipe": "quickstar"}, "did you mean quickstart"),
        ({"recipe": "quickstart", "overrides": {"optimizer.steps": 3}}, "optimizer.steps: unknown key; did you mean"),
        ({"recipe": "quickstart", "overrides": {"optimizer.max_steps": "three"}}, "optimizer.max_steps must be"),
        ({"recipe": "quickstart", "overrides": {"run.dir": Path("x")}}, r"overrides\['run.dir'\] is no value"),
        ({"recipe": "quickstart", "rewards": lambda completions: [1.0]}, "needs a name, and <lambda> is none"),
        ({"recipe": "quickstart", "rewards": [3]}, "Pass a function, a class or a name; this is none: 3"),
        ({"recipe": "quickstart", "rewards": ["mat"]}, "did you mean 'math'"),
        ({"recipe": "quickstart", "problems": []}, "problems has no rows"),
        ({"recipe": "quickstart", "problems": [{"question": {1}}]}, "Row 0 of problems cannot be kept as JSON"),
        ({"recipe": "quickstart", "eval_problems": ["2 + 2"]}, "Row 0 of eval_problems is no mapping"),
        ({"recipe": "quickstart", "resume": "runs/x"}, "A resumed run keeps its recipe"),
        ({"resume": "nowhere"}, "nowhere"),
    ],
)
def test_mistakes_are_named_before_a_model_loads(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(rl.BadInput, match=sentence):
        rl.train(**arguments)


def test_two_functions_of_one_name_are_refused() -> None:
    def twin(completions: list[str]) -> list[float]:
        return [0.0 for _ in completions]

    first = twin

    def twin(completions: list[str]) -> list[float]:  # noqa: F811
        return [1.0 for _ in completions]

    with pytest.raises(rl.BadInput, match="Two rewards are called 'session:twin'"):
        rl.train("quickstart", rewards=[first, twin])


def test_rows_of_libraries_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import pandas

    from rl.api.problems import problems_section

    monkeypatch.setenv("PENNY_CACHE", str(tmp_path))
    paths = {
        problems_section(rows, "problems")["path"]
        for rows in (ROWS, iter(ROWS), datasets.Dataset.from_list(ROWS), pandas.DataFrame(ROWS))
    }
    assert len(paths) == 1  # the same content has one file
    assert [json.loads(line) for line in Path(paths.pop()).read_text().splitlines()] == ROWS


def test_importing_takes_nothing_heavy() -> None:
    code = (
        "import sys, rl; dir(rl); heavy = {'torch', 'pydantic', 'pandas'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'rl' has no attribute 'trian'"):
        rl.trian  # noqa: B018
    for name in rl.__all__:
        assert getattr(rl, name) is not None
