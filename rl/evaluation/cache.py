"""Answers that were paid for once: an SQLite file, keyed by weights, engine, prompt and sampling.

So a killed evaluation goes on where it stopped when the same command is given again, a second benchmark run costs
nothing, and 64 samples after 16 cost 48. Each answer is committed as it comes: a kill loses at most what was not
finished, and the file stays whole (SQLite's write-ahead log).
"""

import array
import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rewards.errors import BadInput
from rl.grading.outputs import Output
from rl.problems.problem import Prompt
from rl.rollout.engine import SamplingParams

FORMAT = 1  # of the key and the table; another one finds nothing that an older one stored
FILE = "answers.sqlite"
WAIT = 60.0  # seconds that another process may hold the file
TABLE = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL, token_ids BLOB, logprobs BLOB, "
    "num_tokens INTEGER, finish_reason TEXT) WITHOUT ROWID"
)


class AnswerCache:
    """The answers of `folder`. A context manager; safe to share between processes.

    Raises:
        BadInput: the folder cannot be written, or its file is no cache.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=WAIT, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(TABLE)
        except (OSError, sqlite3.Error) as error:
            raise BadInput(f"The answer cache {self._path} cannot be used ({error}): name another folder.") from error

    def get(self, key: str) -> Output | None:
        """The answer stored under a key, or None."""
        row = self._connection.execute(
            "SELECT text, token_ids, logprobs, num_tokens, finish_reason FROM answers WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        text, token_ids, logprobs, num_tokens, finish_reason = row
        return Output(
            text, tuple(array.array("i", token_ids)), tuple(array.array("d", logprobs)), num_tokens, finish_reason
        )

    def put(self, key: str, output: Output) -> None:
        """Store an answer; from here it survives a kill."""
        self._connection.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)",
            (
                key,
                output.text,
                array.array("i", output.token_ids).tobytes(),
                array.array("d", output.logprobs).tobytes(),
                output.num_tokens,
                output.finish_reason,
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


def answer_key(identity: Mapping[str, Any], prompt: Prompt, params: SamplingParams, seed: int | None) -> str:
    """SHA-256 over all that decides an answer.

    Args:
        identity: of the weights, the engine and its version, the precision; of a server its address and model.
        prompt: its token ids where it has them, else its messages or text.
        seed: of this sample; None for greedy decoding.
    """
    asked: list[Any] | str = list(prompt.token_ids) or [dict(message) for message in prompt.messages] or prompt.text
    text = json.dumps([FORMAT, dict(identity), asked, asdict(params), seed], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
