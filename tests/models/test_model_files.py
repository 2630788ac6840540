"""A model's folder that is foreign, hostile or damaged ends as one sentence, and nothing of it is run."""

import ast
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from rewards.errors import BadInput
from rl.evaluation.subject import find_subject, merged_weights
from rl.models.model_files import check_vocabulary
from rl.models.source import load_config, load_model, load_tokenizer
from tests.evaluation_runs import make_adapter

ROOT = Path(__file__).resolve().parents[2]
CODE = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nfrom transformers import LlamaConfig as C\n"


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def with_code(folder: Path, **changes: Any) -> None:
    (folder / "own.py").write_text(CODE)
    edit(folder / "config.json", auto_map={"AutoConfig": "own.C", "AutoModelForCausalLM": "own.C"}, **changes)


def with_own_tokenizer(folder: Path) -> None:
    (folder / "own.py").write_text(CODE)
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.C", "own.C"]}, tokenizer_class="Mine")


def as_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


class Trap:
    """A pickle of this makes a file where it is opened without `weights_only`."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self) -> Any:
        return (open, (self.file, "w"))


def as_trap(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(folder / "ran")))


def without_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.0.self_attn.q_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


Spoil = Callable[[Path], None]
LOADED: list[tuple[str, Spoil, Callable[[str], object], str]] = [
    ("own kind", lambda f: with_code(f, model_type="mine"), load_config, "needs code that comes with it"),
    ("own kind", lambda f: with_code(f, model_type="mine"), load_tokenizer, "needs code that comes with it"),
    ("own kind", lambda f: with_code(f, model_type="mine"), load_model, "needs code that comes with it"),
    ("own tokenizer", with_own_tokenizer, load_tokenizer, "needs code that comes with it"),
    ("pickle", as_pickle, load_config, r"a pickle \(pytorch_model\.bin\).*safetensors alone: convert"),
    ("pickle", as_pickle, load_model, "safetensors alone: convert"),
    ("trap", as_trap, load_model, "safetensors alone: convert"),
    (
        "small table",
        lambda f: edit(f / "config.json", vocab_size=100),
        load_tokenizer,
        "embeddings of 100 tokens.* 258",
    ),
    ("small table", lambda f: edit(f / "config.json", vocab_size=100), load_model, r"\[100, 128\].*hold \[259, 128\]"),
    ("gap", without_a_tensor, load_model, r"lack model\.layers\.0\.self_attn\.q_proj\.weight, which"),
    ("no object", write("config.json", b"null"), load_config, r"config\.json is not a JSON object"),
    ("a list", write("config.json", b"[]"), load_config, r"config\.json is not a JSON object"),
    ("no text", write("config.json", b"\xff\xfe\x00"), load_config, r"config\.json cannot be read as JSON"),
    ("deep", write("config.json", b"[" * 100_000), load_config, r"config\.json cannot be read as JSON"),
    ("no settings", write("generation_config.json", b"null"), load_model, "generation_config.json is not a JSON obj"),
    ("no tokens", write("tokenizer.json", b"null"), load_tokenizer, r"tokenizer\.json is not a JSON object"),
    ("no tokens", write("tokenizer_config.json", b"null"), load_tokenizer, "tokenizer_config.json is not a JSON obj"),
    ("a word", lambda f: edit(f / "config.json", hidden_size="x"), load_config, "cannot be loaded"),
]


@pytest.mark.parametrize(
    ("spoil", "load", "words"), [row[1:] for row in LOADED], ids=[f"{row[0]}, {row[2].__name__}" for row in LOADED]
)
def test_a_folder_that_cannot_be_trusted_is_refused(
    spoil: Spoil, load: Callable[[str], object], words: str, tiny_model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    spoil(folder)
    with pytest.raises(BadInput, match=words) as caught:
        load(str(folder))
    assert "\n" not in str(caught.value) and not (folder / "ran").exists()


def test_code_beside_a_kind_that_transformers_knows_is_not_run(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    with_code(folder)
    assert type(load_config(str(folder))).__name__ == "LlamaConfig"
    assert type(load_model(str(folder))).__name__ == "LlamaForCausalLM" and load_tokenizer(str(folder))
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("what", ["code", "pickle"])
def test_the_base_of_an_adapter_is_checked_likewise(what: str, tiny_model: Path, tmp_path: Path) -> None:
    adapter, base = make_adapter(tiny_model, tmp_path / "adapter"), Path(shutil.copytree(tiny_model, tmp_path / "base"))
    with_code(base, model_type="mine") if what == "code" else as_trap(base)
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(base))
    with pytest.raises(BadInput, match="needs code that comes" if what == "code" else "safetensors alone"):
        find_subject(str(adapter))
    assert not (base / "ran").exists()


@pytest.mark.parametrize("content", [pickle.dumps([1]), b"", b"\x80", None])
def test_a_pickled_adapter_that_is_no_table_of_tensors(content: bytes | None, tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").unlink()
    trap = pickle.dumps(Trap(tmp_path / "ran"))
    (adapter / "adapter_model.bin").write_bytes(trap if content is None else content)
    subject = find_subject(str(adapter))
    with pytest.raises(BadInput, match="does not fit"):
        merged_weights(subject.model, adapter)
    assert not (tmp_path / "ran").exists()


def test_a_special_token_beyond_the_table_that_nothing_uses_does_no_harm(tiny_model: Path) -> None:
    config = load_config(str(tiny_model))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    check_vocabulary("m", tokenizer, config)
    tokenizer.chat_template = f"<image>{tokenizer.chat_template}"
    with pytest.raises(BadInput, match=r"embeddings of 259 tokens, and its tokenizer writes 259 \('<image>'\)"):
        check_vocabulary("m", tokenizer, config)


def test_a_word_that_was_added_to_the_tokenizer_alone(tiny_model: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model)
    tokenizer.add_tokens(["<think>"])
    with pytest.raises(BadInput, match=r"writes 259 \('<think>'\)"):
        check_vocabulary("m", tokenizer, load_config(str(tiny_model)))


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Every call in a file that loads something, with the source of what is called."""
    text = path.read_text(encoding="utf-8")
    if not any(word in text for word in ("from_pretrained", "from_config", "LLM(", "torch.load")):
        return []
    tree = ast.parse(text)
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def says(call: ast.Call, key: str, value: bool) -> bool:
    return any(
        word.arg == key and isinstance(word.value, ast.Constant) and word.value.value is value for word in call.keywords
    )


def test_no_call_may_run_the_code_of_a_model_or_open_a_pickle() -> None:
    remote, pickles = [], []
    for path in [file for part in ("rl", "rewards", "benchmarks") for file in (ROOT / part).rglob("*.py")]:
        for name, call in calls(path):
            loads = name.startswith("Auto") and name.endswith((".from_pretrained", ".from_config"))
            if loads or name == "LLM":
                remote.append((path.name, call.lineno, says(call, "trust_remote_code", False)))
            if name == "torch.load":
                pickles.append((path.name, call.lineno, says(call, "weights_only", True)))
    assert len(remote) >= 8 and len(pickles) >= 1
    assert [place for place in remote + pickles if not place[2]] == []
