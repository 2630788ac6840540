"""The OpenAI-compatible API as data: what to send for a prompt, how to read replies and refusals. No network here."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from rl.rollout.engine import FinishReason, SamplingParams

# Endings that say that the server gave up, not the model: what came is no answer.
BROKEN_OFF = frozenset({"abort", "error", "insufficient_system_resource"})
TOO_LONG = re.compile(r"context[ _](?:length|window|size)|maximum model length|prompt is too long", re.IGNORECASE)
SURROGATE = re.compile("[\ud800-\udfff]")
MOST_TOKENS = 10**8  # no server counts more of them in one request
TOKEN_SLACK = 16  # tokens that a server may count beyond the limit, such as marks of the end
HIDDEN_PROMPT = 100_000  # tokens that a server may put before a prompt
ROUNDING = 1e-3  # a log-probability may be above 0 by as much


class Malformed(ValueError):
    """A reply that is no completion: the server is in trouble, or is no server of this kind."""


@dataclass(frozen=True)
class Request:
    """One prompt, as exactly one of `messages` and `text`.

    Attributes:
        messages: a conversation; the server puts it in its chat template. Dictionaries with `role` and `content`.
        text: what the model continues. The server tokenises it and puts in front what its tokenizer adds, such as a
            token for the beginning: leave that out of the text. Token ids, which vLLM's servers take too, stay as
            they are.
        seed: of the sampling; None leaves it to the server.
    """

    messages: tuple[dict[str, str], ...] | None
    text: str | tuple[int, ...] | None
    seed: int | None

    def __post_init__(self) -> None:
        if (self.messages is None) == (self.text is None):
            raise ValueError("a request has either messages or text")

    @property
    def path(self) -> str:
        """Of the API, below the base URL."""
        return "completions" if self.messages is None else "chat/completions"


@dataclass(frozen=True)
class Reply:
    """One completion.

    Attributes:
        text: as the server gives it; thinking that it gives apart stands in front, between `<think>` tags.
        token_ids: of the completion; empty if the server does not tell.
        logprobs: natural log-probability of each token, as the server reckons it (vLLM: before temperature, unless it
            was started with `--logprobs-mode processed_logprobs`). As long as `token_ids` if that is there; empty if
            the server does not tell.
        num_tokens: length of the completion, thinking included.
        prompt_tokens: length of the prompt.
        finish_reason: None if the server names another reason, such as a content filter.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    num_tokens: int | None
    prompt_tokens: int | None
    finish_reason: FinishReason | None


def build_body(model: str, request: Request, params: SamplingParams) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of a request's body: those that it must have, and those that may be left out if the server refuses them.

    Truncation that is switched off is sent too, as an option: a vLLM server fills in what a request does not say from
    the `generation_config.json` of the model, often with a top_k and a repetition penalty.
    """
    must: dict[str, Any] = {"model": model, "max_tokens": params.max_tokens, "temperature": params.temperature}
    may: dict[str, Any] = {"return_token_ids": True, "repetition_penalty": 1.0}
    if request.messages is None:
        must["prompt"] = list(request.text) if isinstance(request.text, tuple) else request.text
        may["logprobs"] = 1  # how many of the likeliest; some servers take 0 for none at all
    else:
        must["messages"] = list(request.messages)
        may["logprobs"] = True
    (must if params.top_p < 1 else may)["top_p"] = params.top_p
    (must if params.min_p > 0 else may)["min_p"] = params.min_p
    (must if params.top_k > 0 else may)["top_k"] = params.top_k or -1  # 0 is off in fewer servers than -1
    if params.stop:
        must["stop"] = list(params.stop)
        may["include_stop_str_in_output"] = True
    if request.seed is not None:
        must["seed"] = request.seed
    return must, may


def reply_limit(max_tokens: int, sent: int) -> int:
    """Return how many bytes the reply to a request may have: enough for every token with its log-probability.

    `sent`: bytes of the request, whose prompt some servers send back, as text and as token ids.
    """
    return 2**20 + 2048 * max_tokens + 16 * sent


TokenId = Annotated[int, Field(ge=0, lt=2**31)]
LogProbability = Annotated[float, Field(le=ROUNDING, allow_inf_nan=False)]


class _TokenLogprob(BaseModel):
    logprob: LogProbability


class _Logprobs(BaseModel):
    content: list[_TokenLogprob] | None = None  # chat
    token_logprobs: list[LogProbability | None] | None = None  # completions


class _Message(BaseModel):
    content: str | None = None
    reasoning: str | None = None  # vLLM since 0.12, OpenRouter
    reasoning_content: str | None = None  # DeepSeek, vLLM before


class _Choice(BaseModel):
    text: str | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    token_ids: list[TokenId] | None = None
    logprobs: _Logprobs | None = None


class _Details(BaseModel):
    reasoning_tokens: int | None = None


class _Usage(BaseModel):
    completion_tokens: int | None = Field(None, ge=0, le=MOST_TOKENS)
    prompt_tokens: int | None = Field(None, ge=0, le=MOST_TOKENS)
    completion_tokens_details: _Details | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1, max_length=1)  # one is asked for
    usage: _Usage | None = None


def read_reply(content: bytes, max_tokens: int = MOST_TOKENS, sent: int = MOST_TOKENS) -> Reply:
    """A server's answer as a `Reply`.

    Args:
        content: the body of the reply.
        max_tokens: how many tokens were asked for.
        sent: bytes of the request.

    Raises:
        Malformed: it is no completion, or not one of what was asked for.
    """
    try:
        answer = _Answer.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Malformed(f"a reply that is no completion ({where}: {first['msg']}): {excerpt(content)}") from error
    except (ValueError, RecursionError) as error:  # the second: lists in lists, thousands of them
        raise Malformed(f"a reply that is not JSON: {excerpt(content)}") from error
    choice, usage = answer.choices[0], answer.usage or _Usage()
    if choice.finish_reason in BROKEN_OFF:
        raise Malformed(f"a completion that was broken off ({choice.finish_reason})")
    if choice.message is None and choice.text is None:
        raise Malformed(f"a reply without text: {excerpt(content)}")
    token_ids = tuple(choice.token_ids or ())
    logprobs = _flat(choice.logprobs)
    _check_counts(usage, len(token_ids), max_tokens, sent)
    return Reply(
        text=SURROGATE.sub("\ufffd", choice.text or "" if choice.message is None else _with_thinking(choice.message)),
        token_ids=token_ids,
        logprobs=logprobs if not token_ids or len(logprobs) == len(token_ids) else (),
        num_tokens=usage.completion_tokens if usage.completion_tokens is not None else len(token_ids) or None,
        prompt_tokens=usage.prompt_tokens,
        finish_reason=_known(choice.finish_reason),
    )


def _check_counts(usage: _Usage, num_ids: int, max_tokens: int, sent: int) -> None:
    """Refuse more tokens than were asked for, and a prompt with more tokens than bytes. Raises `Malformed`.

    Thinking that a server does not count towards the limit is left out of the count.
    """
    thinking = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else None
    written = (usage.completion_tokens or 0) - max(0, thinking or 0)
    if max(num_ids, written) > max_tokens + TOKEN_SLACK:
        raise Malformed(f"{max(num_ids, written)} tokens, where at most {max_tokens} were asked for")
    if (usage.prompt_tokens or 0) > sent + HIDDEN_PROMPT:
        raise Malformed(f"a count of {usage.prompt_tokens} tokens for a prompt of less than {sent} bytes")


def _known(reason: str | None) -> FinishReason | None:
    return "stop" if reason == "stop" else "length" if reason == "length" else None


def _flat(logprobs: _Logprobs | None) -> tuple[float, ...]:
    """One number a token; none at all if one of them is missing."""
    if logprobs is None:
        return ()
    if logprobs.content is not None:
        return tuple(token.logprob for token in logprobs.content)
    numbers = logprobs.token_logprobs or []
    return tuple(number for number in numbers if number is not None) if None not in numbers else ()


def _with_thinking(message: _Message) -> str:
    """A message as the model wrote it before the server took its thinking apart, up to line breaks at the seams.

    Thinking without an answer was not finished, so its tag stays open.
    """
    content = message.content or ""
    thinking = message.reasoning_content or message.reasoning
    if not thinking:
        return content
    head = "<think>\n" + thinking.strip("\n")
    return f"{head}\n</think>\n\n" + content.lstrip("\n") if content else head


def read_models(content: bytes) -> list[str] | None:
    """Names in a list of models; None if it is not one."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return None
    models = answer.get("data") if isinstance(answer, dict) else answer
    if not isinstance(models, list):
        return None
    return [model["id"] for model in models if isinstance(model, dict) and isinstance(model.get("id"), str)]


@dataclass(frozen=True)
class Refusal:
    """What a server says of a request that it does not take."""

    sentence: str
    parameter: str  # the field that the server puts it down to; empty if it does not say

    @property
    def too_long(self) -> bool:
        """True if prompt and completion do not fit the model's context."""
        return bool(TOO_LONG.search(self.sentence))

    def names(self, fields: Iterable[str]) -> set[str]:
        """Those of the fields that the refusal is about: the one that the server singles out, or those it mentions."""
        known = set(fields) - {"model", "messages", "prompt"}  # words that stand in many a sentence
        return known & set(re.findall(r"\w+", self.parameter)) or known & set(re.findall(r"\w+", self.sentence))


def read_refusal(content: bytes) -> Refusal:
    """The sentence of an error reply, in any of the usual layouts: OpenAI's, FastAPI's `detail`, or plain text."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(error, str):
        return Refusal(_one_line(error), "")
    if not isinstance(error, dict):
        return Refusal(excerpt(content), "")
    said = error.get("message") or error.get("detail")
    if isinstance(said, list):
        said = "; ".join(f"{_dotted(item)}: {item.get('msg')}" for item in said if isinstance(item, dict))
    sentence = _one_line(said) if isinstance(said, str) else excerpt(content)
    if error.get("code") == "context_length_exceeded":
        sentence = f"{sentence} (context_length_exceeded)"
    return Refusal(sentence, error["param"] if isinstance(error.get("param"), str) else "")


def excerpt(content: bytes) -> str:
    """The beginning of a reply, on one line."""
    return _one_line(content[:2000].decode("utf-8", "replace")) or "(empty)"


def _dotted(item: dict[str, Any]) -> str:
    where = item.get("loc")
    return ".".join(map(str, where)) if isinstance(where, list) else "body"


def _one_line(text: str, limit: int = 300) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[:limit] + "…"
