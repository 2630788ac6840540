"""What tests of `penny eval` on models share: sums to ask, tiny models, an adapter, a run, no cache."""

import json
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
from safetensors.torch import load_file, save_file

from rl.evaluation import command, sources
from rl.models.source import load_model, load_tokenizer
from rl.models.tiny import save_tiny_model
from rl.run.checkpoints import save_checkpoint
from rl.run.folder import RunFolder
from tests.evaluation_runs import make_adapter

SUMS = [(3, 4), (10, 5), (8, 9), (20, 2)]
RECIPE = """
name: sums
model: {{name: {model}, lora_r: 4}}
problems: {{source: jsonl, path: {path}, prompt: "{{question}}"}}
rewards: {{functions: {{exact_number: 1.0}}}}
rollout: {{max_completion_length: 6, dtype: float32}}
evaluation: {{size: 3}}
"""


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({"question": f"{a} + {b}", "answer": str(a + b)}) + "\n" for a, b in SUMS))
    return path


@pytest.fixture
def recipe_path(tmp_path: Path, tiny_model: Path, sums: Path) -> Path:
    path = tmp_path / "sums.yaml"
    path.write_text(RECIPE.format(model=tiny_model, path=sums))
    return path


@pytest.fixture(scope="session")
def base_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kind of model with a tokenizer that has no chat template."""
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.chat_template = None
    folder = tmp_path_factory.mktemp("models") / "base"
    save_tiny_model(tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model, tmp_path_factory.mktemp("adapters") / "adapter")


@pytest.fixture(scope="module")
def merged(tiny_model: Path, adapter: Path) -> Path:
    """The same weights as a whole model, merged by peft."""
    model = peft.PeftModel.from_pretrained(load_model(str(tiny_model)), str(adapter))
    folder = adapter.parent / "merged"
    model.merge_and_unload().save_pretrained(folder)
    load_tokenizer(str(tiny_model)).save_pretrained(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path, recipe_path: Path, adapter: Path) -> RunFolder:
    """A run with two whole checkpoints, the later of which is `adapter`, and a damaged one."""
    from rl.config.recipe_file import load_recipe

    folder = RunFolder.create(tmp_path / "run", load_recipe(str(recipe_path)))

    def save(zeroed: bool) -> Callable[[Path], None]:
        def write(target: Path) -> None:
            (target / "policy").mkdir()
            config = json.loads((adapter / "adapter_config.json").read_text())
            config["base_model_name_or_path"] = "/nowhere"  # as on another machine: the run's recipe knows better
            (target / "policy" / "adapter_config.json").write_text(json.dumps(config))
            weights = load_file(adapter / "adapter_model.safetensors")
            kept = {name: tensor * (0 if zeroed else 1) for name, tensor in weights.items()}
            save_file(kept, target / "policy" / "adapter_model.safetensors")

        return write

    save_checkpoint(folder, 1, save(zeroed=True))
    save_checkpoint(folder, 2, save(zeroed=False))
    damaged = save_checkpoint(folder, 3, save(zeroed=True))
    (damaged / "policy" / "adapter_model.safetensors").write_bytes(b"cut")
    return folder


@pytest.fixture
def own_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Evaluations that name no folder go here, as do cached answers."""
    folder = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(command, "cache_folder", lambda: folder / "cache")
    return folder


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "build_engine", lambda recipe: pytest.fail("the engine was started"))
