"""Where evaluations are kept."""

import os
from pathlib import Path

import pytest

from rewards.errors import BadInput
from rl.evaluation.folder import EvaluationFolder
from rl.evaluation.places import output_folder


def test_names_tell_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = output_folder(None, None, "Qwen/Qwen2.5-0.5B", ["gsm8k", "gsm8k"])
    assert one.parent == Path("evals") and one.name.startswith("Qwen2.5-0.5B-gsm8k-")
    assert output_folder(None, tmp_path / "run", "run", ["a", "b"]).parent == tmp_path / "run" / "evals"
    assert output_folder(None, None, "smollm2", ["a", "b"]).name.startswith("smollm2-2-benchmarks-")
    assert output_folder(None, None, "smollm2", ["reasoning_gym:chain_sum"]).name.startswith(
        "smollm2-reasoning_gym-chain_sum-"
    )
    assert not (tmp_path / "evals").exists()


def test_an_evaluation_may_be_written_over_and_nothing_else(tmp_path: Path) -> None:
    assert output_folder(tmp_path / "new", None, "m", ["b"]) == tmp_path / "new"
    EvaluationFolder(tmp_path).write_results({"results": []})
    assert output_folder(tmp_path, None, "m", ["b"]) == tmp_path
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds other files"):
        output_folder(other, None, "m", ["b"])
    with pytest.raises(BadInput, match="thesis.txt is a file"):
        output_folder(other / "thesis.txt" / "deeper", None, "m", ["b"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match="is not writable"):
        output_folder(tmp_path / "new", None, "m", ["b"])
