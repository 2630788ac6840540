"""Which weights a name stands for, which adapters are refused before anything heavy is read, and fingerprints."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from rewards.errors import BadInput
from rl.config.recipe import ModelSection, Recipe
from rl.evaluation import subject as subjects
from rl.evaluation.subject import Subject, find_subject, fingerprint, merged_weights
from rl.models import adapter as adapters
from rl.models.source import load_model, load_tokenizer
from rl.run.checkpoints import save_checkpoint, set_best
from rl.run.folder import RunFolder


def make_adapter(model: Path, folder: Path, **options: Any) -> Path:
    options = {"target_modules": "all-linear", **options}
    config = peft.LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **options)
    torch.manual_seed(1)
    peft.get_peft_model(load_model(str(model)), config).save_pretrained(str(folder))
    return folder


def resized(model: Path, folder: Path, **changes: Any) -> Path:
    """A random model like `model`, of another size."""
    config = AutoConfig.from_pretrained(model)
    for key, value in changes.items():
        setattr(config, key, value)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    load_tokenizer(str(model)).save_pretrained(folder)
    return folder


def rebased(adapter: Path, target: Path, base: Path | str | None, **changes: Any) -> Path:
    """A copy of an adapter that names another base model."""
    shutil.copytree(adapter, target)
    config = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": base and str(base)}
    (target / "adapter_config.json").write_text(json.dumps(config | changes))
    return target


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model, tmp_path_factory.mktemp("adapters") / "adapter")


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, adapter: Path) -> RunFolder:
    """Checkpoints of the steps 1, 2 and 10; 2 is the best."""
    recipe = {
        "name": "sums",
        "model": {"name": str(tiny_model)},
        "problems": {"source": "arithmetic"},
        "rewards": {"functions": {"exact_number": 1.0}},
        "rollout": {"dtype": "float32"},
        "run": {"dollars_per_hour": 2.5},
    }
    folder = RunFolder.create(tmp_path / "run", Recipe.model_validate(recipe))

    def write(target: Path) -> None:
        rebased(adapter, target / "policy", "/nowhere")  # as on another machine: the recipe knows better

    for step in (1, 2, 10):
        save_checkpoint(folder, step, write)
    set_best(folder, 2, 0.5)
    return folder


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "load_model", lambda *_: pytest.fail("weights were read"))
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("weights were read"), raising=True
    )


@pytest.mark.usefixtures("no_weights")
def test_names_stand_for_what_they_say(tiny_model: Path, adapter: Path) -> None:
    for name in ("smollm2", "Qwen/Qwen2.5-0.5B-Instruct"):
        assert find_subject(name) == Subject(ModelSection(name=name), name)
    plain = find_subject(str(tiny_model))
    assert (plain.kind, plain.name, plain.checkpoint, plain.base) == ("model", *(str(tiny_model),) * 2, None)
    adapted = find_subject(str(adapter))
    assert (adapted.kind, adapted.checkpoint, adapted.base) == ("adapter", str(adapter), str(tiny_model))
    assert (adapted.adapter, adapted.run, adapted.dtype) == (adapter, None, "auto")


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("place", "checkpoint", "step"),
    [
        ("", "last", 10),
        ("", "best", 2),
        ("", "1", 1),
        ("", "step-000010", 10),
        ("", "0002", 2),
        ("checkpoints", "last", 10),
        ("checkpoints", "best", 2),
        ("checkpoints/best", "last", 2),
        ("checkpoints/last", "last", 10),
        ("checkpoints/step-000001", "last", 1),
        ("checkpoints/step-000001/policy", "last", 1),
    ],
)
def test_every_way_to_a_runs_checkpoint(
    run: RunFolder, tiny_model: Path, place: str, checkpoint: str, step: int
) -> None:
    name = str(run.path / place)
    subject = find_subject(name, checkpoint)
    assert subject.adapter == run.checkpoints / f"step-{step:06d}" / "policy"
    assert (subject.name, subject.checkpoint, subject.base) == (name, str(subject.adapter), str(tiny_model))
    assert (subject.run, subject.dtype, subject.dollars_per_hour) == (run.path, "float32", 2.5)


def test_a_checkpoint_is_found_from_within_its_run(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.checkpoints)
    assert find_subject("step-000001").adapter == run.checkpoints / "step-000001" / "policy"
    assert find_subject("best").adapter == run.checkpoints / "step-000002" / "policy"


@pytest.mark.parametrize(
    ("place", "checkpoint", "sentence"),
    [
        ("", "3", r"has no checkpoint '3'; there are the steps 1, 2, 10: give one"),
        ("", "newest", r"no checkpoint 'newest'; there are the steps 1, 2, 10"),
        ("checkpoints/step-000003", "last", r"no checkpoint 'step-000003'; there are the steps 1, 2, 10"),
        ("checkpoints/step-000001", "best", r"'best' is asked of .*step-000001, which is one checkpoint of a run"),
    ],
)
def test_checkpoints_that_are_not_there(run: RunFolder, place: str, checkpoint: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        find_subject(str(run.path / place), checkpoint)


def test_a_checkpoint_needs_a_run(tiny_model: Path, adapter: Path) -> None:
    for name in (str(tiny_model), str(adapter), "smollm2", "Qwen/Qwen2.5-0.5B-Instruct"):
        with pytest.raises(BadInput, match="'10' is asked of .*, which is no run"):
            find_subject(name, "10")


def test_a_run_without_checkpoints_says_so(run: RunFolder) -> None:
    for step in (1, 2, 10):
        shutil.rmtree(run.checkpoints / f"step-{step:06d}")
    with pytest.raises(BadInput, match="no whole checkpoint yet"):
        find_subject(str(run.path))
    with pytest.raises(BadInput, match="no best checkpoint; there are none yet"):  # its pointer is there still
        find_subject(str(run.path), "best")
    with pytest.raises(BadInput, match="no checkpoint '1'; there are none yet"):
        find_subject(str(run.path), "1")


def test_a_run_that_trained_every_weight_is_a_model(run: RunFolder, tiny_model: Path) -> None:
    saved = save_checkpoint(run, 11, lambda target: shutil.copytree(tiny_model, target / "policy") and None)
    subject = find_subject(str(run.path))
    assert (subject.kind, subject.checkpoint, subject.base) == ("model", str(saved / "policy"), None)
    assert subject.run == run.path


def test_a_checkpoint_taken_out_of_its_run_keeps_its_base(run: RunFolder, tiny_model: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run.checkpoints / "step-000001", moved)
    config = moved / "policy" / "adapter_config.json"
    config.write_text(config.read_text().replace("/nowhere", str(tiny_model)))
    subject = find_subject(str(moved))
    assert (subject.adapter, subject.base, subject.run) == (moved / "policy", str(tiny_model), None)


@pytest.mark.usefixtures("no_weights")
def test_an_adapter_for_a_wider_model_is_refused_by_its_header(
    adapter: Path, tiny_model: Path, tmp_path: Path, run: RunFolder
) -> None:
    wide = resized(tiny_model, tmp_path / "wide", hidden_size=192)
    with pytest.raises(
        BadInput, match=r"was made for a model of hidden size 128, and .*wide has 192: give its own base"
    ):
        find_subject(str(rebased(adapter, tmp_path / "moved", wide)))
    # A run's recipe may name another base than the adapter does: both are told.
    recipe = run.recipe.read_text().replace(str(tiny_model), str(wide))
    run.recipe.write_text(recipe)
    with pytest.raises(BadInput, match=r"was made for /nowhere \(hidden size 128\), and .*wide has 192"):
        find_subject(str(run.path))


@pytest.mark.usefixtures("no_weights")
def test_an_adapter_that_differs_elsewhere_is_refused_by_its_header(
    adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    fewer = resized(tiny_model, tmp_path / "fewer", num_hidden_layers=1)
    with pytest.raises(BadInput, match=r"does not fit .*fewer, which shows in base_model.*layers\.1\."):
        find_subject(str(rebased(adapter, tmp_path / "deeper", fewer)))
    thin = resized(tiny_model, tmp_path / "thin", intermediate_size=128)
    with pytest.raises(BadInput, match=r"does not fit .*thin, which shows in .*layers\.0\.mlp\.down_proj\.lora_A"):
        find_subject(str(rebased(adapter, tmp_path / "broad", thin)))
    with pytest.raises(BadInput, match=r"does not fit .*no_such_layer"):
        find_subject(str(rebased(adapter, tmp_path / "odd", tiny_model, target_modules=["no_such_layer"])))


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    "options", [{"use_dora": True}, {"use_rslora": True}, {"target_modules": ["q_proj", "up_proj"]}]
)
def test_adapters_that_fit_are_let_through(tiny_model: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    folder = tmp_path / "adapter"
    config = peft.LoraConfig(r=4, task_type="CAUSAL_LM", **{"target_modules": "all-linear", **options})
    base = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny_model))
    peft.get_peft_model(base, config).save_pretrained(str(folder))
    stored = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(stored | {"base_model_name_or_path": str(tiny_model)}))
    assert find_subject(str(folder)).adapter == folder


def test_an_adapter_that_begins_from_the_bases_own_weights_is_let_through(tiny_model: Path, tmp_path: Path) -> None:
    folder = make_adapter(tiny_model, tmp_path / "adapter", init_lora_weights="pissa")
    assert find_subject(str(folder)).adapter == folder


def test_broken_and_missing_weights_are_told(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = rebased(adapter, tmp_path / "copy", tiny_model)
    (folder / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(BadInput, match="weights of the adapter .*copy cannot be read"):
        find_subject(str(folder))
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"has no adapter_model\.safetensors"):
        find_subject(str(folder))


def test_pickled_weights_meet_the_second_net(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    wide = resized(tiny_model, tmp_path / "wide", hidden_size=192)
    folder = rebased(adapter, tmp_path / "pickled", wide)
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    subject = find_subject(str(folder))
    with pytest.raises(BadInput, match="pickled does not fit .*wide"):
        merged_weights(subject.model, folder)


def test_an_adapter_without_a_base_or_with_broken_settings(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not say which model"):
        find_subject(str(rebased(adapter, tmp_path / "homeless", None)))
    folder = rebased(adapter, tmp_path / "broken", None)
    for text, sentence in (("{", "is not JSON"), ("[]", "is not a JSON object")):
        (folder / "adapter_config.json").write_text(text)
        with pytest.raises(BadInput, match=sentence):
            find_subject(str(folder))


def test_a_fingerprint_is_of_the_content_and_not_of_the_place(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(tiny_model, moved)
    (moved / "README.md").write_text("for people")
    first = fingerprint(find_subject(str(tiny_model)))
    assert len(first) == 64
    assert fingerprint(find_subject(str(moved))) == first
    adapted = fingerprint(find_subject(str(adapter)))
    assert adapted != first
    assert fingerprint(find_subject(str(rebased(adapter, tmp_path / "copy", moved)))) == adapted


def flip_last_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))


def append_newline(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("model.safetensors", flip_last_byte),
        ("config.json", append_newline),
        ("generation_config.json", append_newline),
        ("tokenizer.json", append_newline),
        ("tokenizer_config.json", append_newline),
        ("chat_template.jinja", append_newline),
    ],
)
def test_any_byte_that_may_decide_changes_a_fingerprint(
    tiny_model: Path, tmp_path: Path, file: str, change: Callable[[Path], None]
) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(tiny_model, copied)
    change(copied / file)
    assert fingerprint(find_subject(str(copied))) != fingerprint(find_subject(str(tiny_model)))


def test_the_adapter_and_its_base_change_an_adapters_fingerprint(
    tiny_model: Path, adapter: Path, tmp_path: Path
) -> None:
    seen = {fingerprint(find_subject(str(adapter)))}
    seen.add(fingerprint(find_subject(str(rebased(adapter, tmp_path / "louder", tiny_model, lora_alpha=16)))))
    nudged = rebased(adapter, tmp_path / "nudged", tiny_model)
    weights = load_file(nudged / "adapter_model.safetensors")
    first = min(weights)
    save_file(weights | {first: weights[first] + 1}, nudged / "adapter_model.safetensors")
    seen.add(fingerprint(find_subject(str(nudged))))
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    flip_last_byte(other / "model.safetensors")
    seen.add(fingerprint(find_subject(str(rebased(adapter, tmp_path / "moved", other)))))
    assert len(seen) == 4


def test_a_hub_model_is_known_by_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = iter(["a" * 40, "a" * 40, "b" * 40])
    monkeypatch.setattr(subjects, "model_fingerprint", lambda name, _: {"name": name, "commit": next(commits)})
    subject = find_subject("Qwen/Qwen2.5-0.5B-Instruct")
    first, again, later = (fingerprint(subject) for _ in range(3))
    assert first == again != later


def test_the_shapes_asked_for_are_those_that_peft_saves(tiny_model: Path, adapter: Path) -> None:
    file = adapters.weight_files(adapter)[0]
    saved = {name: tuple(tensor.shape) for name, tensor in load_file(file).items()}
    assert adapters.stored_shapes(adapter, file) == saved
    assert adapters.shapes_for(adapter, "tiny", AutoConfig.from_pretrained(tiny_model)) == saved
    assert len(saved) == 2 * 7 * 2  # layers, linear maps in each, A and B
