from pathlib import Path

import pytest
from accelerate import Accelerator

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.run import trackers
from rl.run.folder import RunFolder


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trackers.AVAILABLE, "wandb", lambda: False)
    monkeypatch.setitem(trackers.AVAILABLE, "tensorboard", lambda: True)
    trackers.check_trackers(["tensorboard"])
    with pytest.raises(BadInput, match="names wandb, not installed here: `pip install wandb`"):
        trackers.check_trackers(["tensorboard", "wandb"])


def test_tensorboard_gets_every_number(folder: RunFolder, recipe: Recipe) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"report_to": ["tensorboard"]})})
    accelerator = Accelerator(cpu=True, log_with=recipe.run.report_to, project_dir=folder.path)
    trackers.start_trackers(accelerator, folder, recipe)
    trackers.log_metrics(accelerator, {"step": 3, "loss": 0.25, "kl": None, "entropy": float("nan")})
    trackers.log_metrics(accelerator, {"step": 4, "loss": 0.125})
    accelerator.end_training()
    events = EventAccumulator(str(folder.path / "penny")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(3, 0.25), (4, 0.125)]
    assert "kl" not in events.Tags()["scalars"] and "entropy" not in events.Tags()["scalars"]


def test_no_trackers_start_none(folder: RunFolder, recipe: Recipe) -> None:
    accelerator = Accelerator(cpu=True)
    trackers.start_trackers(accelerator, folder, recipe)
    trackers.log_metrics(accelerator, {"step": 1, "loss": 0.5})
    assert accelerator.trackers == []
    assert not Path(folder.path / "penny").exists()
