"""Completions, the older interface: text in, text out, each with log-probabilities. No HTTP here.

The model gets the prompt as the user's message. Where its answer would not begin with a token of its own
after the prompt, a space is put before it: so a generated text has the same tokens, and the same
log-probabilities, as when it is sent back to be echoed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from opoi.models.served.chat import cut, first_stop
from opoi.models.served.language import LanguageModel, TokenScore
from opoi.models.served.requests import (
    RefusedError,
    StreamOptions,
    choice_seeds,
    read_into,
    read_stops,
    refuse_undone,
    require_model,
    require_scorable,
    wants_usage,
)
from opoi.models.served.scores import completion_logprobs, prompt_logprobs, token_ids
from opoi.models.served.spelling import tokens
from opoi.protocols import Model
from opoi.types import Message, Reply
from opoi.wire import valid_text

__all__ = ["CompletionRequest", "complete_text", "read_completion"]

_LIMIT = 16
"""Tokens of an answer where a request does not say; OpenAI's default."""


class _Body(Struct, forbid_unknown_fields=True):
    """A request as sent. Fields typed `Any` after `return_token_ids` must be neutral: see `_NEUTRAL`."""

    model: str
    prompt: Any
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    seed: int | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    user: str | None = None
    prompt_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    return_token_ids: bool | None = None
    best_of: Any = None
    logit_bias: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    suffix: Any = None


_NEUTRAL: dict[str, tuple[object, ...]] = {
    "best_of": (1,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "suffix": ("",),
}


class CompletionRequest(Struct, frozen=True):
    """A request that can be done.

    Attributes:
        model: The name that was asked for.
        prompt: The text to go on from.
        seeds: One sampling seed for each choice asked for.
        limit: Most tokens of an answer; 0 for none.
        echo: Begin the answer with the prompt.
        top: How many alternatives to list for each token, None for no log-probabilities.
        prompt_top: How many to list for each token of the prompt, None for no log-probabilities of it.
        stops: Texts before which an answer ends.
        ids: Tell the numbers of the tokens.
        stream: Answer in pieces.
        usage_in_stream: End the stream with the usage.
    """

    model: str
    prompt: str
    seeds: tuple[int, ...]
    limit: int = _LIMIT
    echo: bool = False
    top: int | None = None
    prompt_top: int | None = None
    stops: tuple[str, ...] = ()
    ids: bool = False
    stream: bool = False
    usage_in_stream: bool = False


def read_completion(raw: dict[str, Any], names: Sequence[str], body: bytes) -> CompletionRequest:
    """Read a decoded request.

    Args:
        raw: The request.
        names: Models that may be asked for.
        body: The request as received: equal bytes get equal answers.

    Raises:
        RefusedError: It is malformed, or asks for something that is not done.
    """
    fields = read_into(_Body, raw)
    require_model(fields.model, names)
    refuse_undone(fields, _NEUTRAL)
    for name in ("prompt_logprobs", "return_token_ids"):
        if fields.stream and getattr(fields, name) not in (None, False):
            raise RefusedError(f"`{name}` is not done in a stream", param=name, code="unsupported_value")
    return CompletionRequest(
        model=fields.model,
        prompt=_read_prompt(fields.prompt),
        seeds=choice_seeds(fields.seed, fields.n or 1, body),
        limit=_LIMIT if fields.max_tokens is None else fields.max_tokens,
        echo=bool(fields.echo),
        top=fields.logprobs,
        prompt_top=fields.prompt_logprobs,
        stops=read_stops(fields.stop),
        ids=bool(fields.return_token_ids),
        stream=bool(fields.stream),
        usage_in_stream=wants_usage(fields.stream, fields.stream_options),
    )


def _read_prompt(raw: object) -> str:
    if isinstance(raw, list) and len(raw) == 1:
        raw = raw[0]
    if not isinstance(raw, str):
        raise RefusedError(
            "`prompt` is a text or a list of one text; several prompts and token ids are not supported",
            param="prompt",
            code="unsupported_value",
        )
    return raw


# ---------------------------------------------------------------- answering


def complete_text(
    model: Model, asked: CompletionRequest, name: str, language: LanguageModel
) -> dict[str, Any]:
    """Let the model go on from a prompt; return the body of the completion.

    Usage is counted in the tokens that are scored, whatever the model reports.

    Args:
        model: Answers, unless no token is asked for.
        asked: The request.
        name: The model's name in the answer.
        language: Gives log-probabilities.

    Raises:
        RefusedError: More is to be scored than can be.
    """
    given = tokens(asked.prompt)
    if asked.top is not None or asked.prompt_top is not None:
        require_scorable(len(given), "prompt")
    written = [_Written(model, asked, seed) for seed in asked.seeds]
    prompt_scores = _prompt_scores(asked, language)
    choices = [_choice(index, text, asked, prompt_scores, language) for index, text in enumerate(written)]
    usage = {"prompt_tokens": len(given), "completion_tokens": sum(text.spent for text in written)}
    return {
        "id": "cmpl-opoi",
        "object": "text_completion",
        "created": 0,
        "model": name,
        "choices": choices,
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }


class _Written:
    """What a model wrote after a prompt, held to the limits of the request.

    Attributes:
        text: The text.
        spent: Tokens of it.
        finish: Why it ends.
    """

    def __init__(self, model: Model, asked: CompletionRequest, seed: int) -> None:
        self.text, self.spent, self.finish = "", 0, "length"
        if not asked.limit:
            return
        question = Message(role="user", content=asked.prompt, author="suite")
        reply = model.complete([question], (), seed=seed)
        text = _on_its_own(valid_text(reply.content), asked.prompt)
        at = first_stop(text, asked.stops)
        wanted = text if at is None else text[:at]
        self.text, self.spent = cut(wanted, asked.limit)
        if self.text == wanted:
            self.finish = "stop" if at is not None else _finish(reply)


def _finish(reply: Reply) -> str:
    """Return why a whole text ended; completions know no other reasons."""
    return reply.finish_reason if reply.finish_reason in ("length", "content_filter") else "stop"


def _on_its_own(text: str, prompt: str) -> str:
    """Put a space before a text, unless it begins with a token of its own after the prompt.

    No token but the last of the prompt and the first of the text can change.
    """
    end, start = tokens(prompt)[-1:], tokens(text)[:1]
    agree = tokens(_text(end) + _text(start)) == [*end, *start] if _ascii(end) and _ascii(start) else True
    return text if agree or not text else f" {text}"


def _text(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode()


def _ascii(pieces: list[bytes]) -> bool:
    """Return whether a token may grow into its neighbour; bytes of other characters never do."""
    return b"".join(pieces).isascii()


def _prompt_scores(asked: CompletionRequest, language: LanguageModel) -> list[TokenScore]:
    """Score the prompt once for all choices, where it is asked for."""
    top = -1 if asked.prompt_top is None else max(1, asked.prompt_top)
    if asked.echo and asked.top is not None:
        top = max(top, asked.top)
    return [] if top < 0 else language.score(asked.prompt, top=top)


def _choice(
    index: int,
    written: _Written,
    asked: CompletionRequest,
    prompt_scores: list[TokenScore],
    language: LanguageModel,
) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": index,
        "text": asked.prompt + written.text if asked.echo else written.text,
        "finish_reason": written.finish,
        "logprobs": None,
    }
    if asked.top is not None:
        require_scorable(len(tokens(written.text)), "max_tokens")
        scores = language.score(written.text, given=asked.prompt, top=asked.top)
        if asked.echo:
            scores = [*prompt_scores, *scores]
        choice["logprobs"] = completion_logprobs(scores, asked.top, echoed=asked.echo)
    if asked.prompt_top is not None:
        choice["prompt_logprobs"] = prompt_logprobs(prompt_scores, asked.prompt_top)
    if asked.ids:
        choice["prompt_token_ids"] = token_ids(tokens(asked.prompt))
        choice["token_ids"] = token_ids(tokens(written.text))
    return choice
