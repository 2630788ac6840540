"""What is checked of a model's files, and how a damaged or a foreign folder ends as one sentence.

Penny runs no code that comes with a model, and opens no pickle: the weights of a model are safetensors.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from rewards.errors import BadInput
from rl.models.hub import why_hub_is_silent

OBJECTS = ("config.json", "generation_config.json", "tokenizer_config.json", "model.safetensors.index.json")
TOKENIZER = "tokenizer.json"  # of many megabytes: only its first character is looked at
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id")


def check_model_folder(folder: Path) -> None:
    """Refuse a folder whose settings are no JSON objects, or whose weights are pickles alone. Raises BadInput."""
    for name in OBJECTS:
        if (folder / name).exists():
            _check_object(folder / name)
    if (folder / TOKENIZER).is_file() and not _begins_object(folder / TOKENIZER):
        raise BadInput(_damaged(folder / TOKENIZER, "is not a JSON object"))
    pickled = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern) if file.is_file())
    weights = [name for name in pickled if name.startswith(("pytorch_model", "model", "consolidated"))]
    if weights and not any(folder.glob("*.safetensors")):
        raise BadInput(pickle_sentence(str(folder), weights[0]))


def pickle_sentence(name: str, file: str) -> str:
    """Say why a model whose weights are a pickle is refused, and what to do."""
    return (
        f"The weights of {name} are a pickle ({file}), which can hold code, and Penny reads safetensors alone: convert "
        "the weights with transformers' save_pretrained on a machine where you trust them, and give the new folder."
    )


def own_code_sentence(name: str) -> str:
    """Say why a model that needs code of its own is refused, and what to do."""
    return (
        f"The model {name!r} needs code that comes with it (auto_map), and Penny runs no such code "
        "(trust_remote_code=False): give a model of a kind that transformers knows."
    )


def check_vocabulary(name: str, tokenizer: Any, config: Any) -> None:
    """Refuse a tokenizer that writes token ids for which the model has no embedding. Raises BadInput.

    An added special token that nothing uses does no harm: Gemma 3 has one for images in its text models.
    """
    rows = getattr(config.get_text_config(), "vocab_size", None)
    if not isinstance(rows, int):
        return
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
    if not beyond:
        return
    special = {getattr(tokenizer, key, None) for key in SPECIAL}
    unused = {
        number
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special and number not in special and token.content not in str(tokenizer.chat_template)
    }
    used = {token: number for token, number in beyond.items() if number not in unused}
    if used:
        token, number = max(used.items(), key=lambda pair: pair[1])
        raise BadInput(
            f"The model {name!r} has embeddings of {rows} tokens, and its tokenizer writes {number} ({token!r}): give "
            "the tokenizer that belongs to the model, or resize the model's embeddings."
        )


def check_loaded(name: str, info: Mapping[str, Any]) -> None:
    """Refuse a model some of whose weights were not in its files, or have other shapes. Raises BadInput.

    Args:
        info: what `from_pretrained` returns with `output_loading_info`.
    """
    if info["mismatched_keys"]:
        key, stored, wanted = min(info["mismatched_keys"])
        raise BadInput(
            f"The model {name!r} cannot be loaded: its configuration asks for {key} of shape {list(wanted)}, and its "
            f"files hold {list(stored)}; bring config.json and the weights of one and the same model."
        )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadInput(
            f"The model {name!r} cannot be loaded: its files lack {missing[0]}{more}, which its configuration asks "
            "for; bring the files of the whole model."
        )


def _check_object(file: Path) -> None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # unreadable; no JSON or no UTF-8; nested without end
        raise BadInput(_damaged(file, "cannot be read as JSON")) from error
    if not isinstance(content, dict):
        raise BadInput(_damaged(file, "is not a JSON object"))


def _begins_object(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(64).lstrip()[:1] == b"{"


def _damaged(file: Path, how: str) -> str:
    return (
        f"The model {str(file.parent)!r} cannot be loaded ({file.name} {how}): check its files, or copy that one again."
    )


def why_unreadable(name: str, error: BaseException, on_hub: bool) -> str:
    """Say in one sentence why transformers could not load a model, and what to do.

    Args:
        name: of the model.
        error: what was raised.
        on_hub: whether the model is the hub's.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    if "trust_remote_code" in str(error):
        return own_code_sentence(name)
    if caused_by(GatedRepoError):
        return f"The hub model {name!r} is gated: accept its licence on its page and run `hf auth login`."
    if caused_by(RevisionNotFoundError):
        return f"The hub model {name!r} has no such revision: check model.revision."
    if caused_by(RepositoryNotFoundError, HFValidationError):
        return f"There is no model {name!r} on the hub: check model.name, or run `hf auth login` if it is private."
    if "model.safetensors" in str(error) and on_hub and not why_hub_is_silent():
        return pickle_sentence(name, "it has no model.safetensors")
    if on_hub and isinstance(error, OSError):
        silent = why_hub_is_silent()
        why = f" and is not in the cache ({silent})" if silent else ""
        return f"The hub model {name!r} cannot be fetched{why}: check the network and the name, or give a local folder."
    reason = str(error).split("\n")[0].split(". ")[0].strip(" .")
    return f"The model {name!r} cannot be loaded ({reason}): check its files and the installed version of transformers."
