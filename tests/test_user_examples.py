"""The examples run, and what they say is true."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as for any import, so that its functions can be found by their file
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.vllm
def test_the_loop_from_its_parts_runs() -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed here")
    means = example("rl_loop").main(smoke=True)
    assert len(means) == 2 and all(0 <= mean <= 1 for mean in means)


def test_the_rewards_of_the_examples_pay_what_they_say() -> None:
    assert example("rl_loop").correct([" 12", "12.", "13"], answer=["12", "12", "12"]) == [1.0, 0.0, 0.0]
    logged: dict[str, float] = {}
    paid = example("custom_reward").close(["12", "11", "x", "9" * 99], ["12"] * 4, log_metric=logged.__setitem__)
    assert paid == [1.0, 0.25, 0.5 / 1001, 0.5 / 1001] and logged == {"share_of_right_ones": 0.25}


@pytest.mark.slow
def test_a_reward_of_ones_own_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = example("custom_reward").main(smoke=True, folder=str(tmp_path / "run"))
    assert run.finished
    paid = run.completions()
    name = f"{EXAMPLES / 'custom_reward.py'}:close"
    assert [parts[name] for parts in paid.parts] == list(paid.reward)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed here: pip install '.[dev]'")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")  # kept without outputs
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [text for cell in notebook.cells for text in outputs(cell)]
    assert any("step 1 reward" in text for text in printed)
    assert any("step 1/2" in text for text in printed)  # the display's own line
    assert any("<iframe" in text for text in printed)  # the report


def outputs(cell: Any) -> list[str]:
    """Return the texts that a cell printed or shows."""
    found = []
    for output in cell.get("outputs", []):
        found += [output.get("text", "")] + list(output.get("data", {}).values())
    return found
