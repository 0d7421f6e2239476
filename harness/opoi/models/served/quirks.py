"""What real servers do differently, as profiles that the stand-in server can take on.

Each field is one trap that was measured on a real server (docs/servers.md: openai 3.52 against tiny models of
random weights, November 2026). The server calls the four hooks; the neutral profile changes nothing. What a
quirk does not touch stays the business of the neutral server, refusals included. The stand-in has no
responses interface, so what servers do there is not among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from opoi.errors import UnknownNameError
from opoi.models.served import quirk_answers, quirk_requests
from opoi.models.served.quirk_requests import EXTENSIONS
from opoi.types.base import Value

__all__ = ["NEUTRAL", "PROFILES", "Quirks", "profile"]

_MODELS = "/v1/models"
_CHAT = "/v1/chat/completions"
_COMPLETIONS = "/v1/completions"

_MALFORMED = ("invalid_value", "invalid_json", "nested_too_deep")
"""Codes of errors that a server finds that checks types before it looks at what is asked for."""


class Quirks(Value, frozen=True, kw_only=True):
    """One profile. The default of each field is what the neutral server does.

    Attributes:
        name: Of the profile.
        drops: Fields of a request that are taken and not heeded.
        fails: Fields for which the server breaks with a 500, where they hold anything but null.
        refuses: Fields that are refused with a 400.
        unknown: What becomes of fields that no server knows: `refused` (400), `ignored`, or
            `unprocessable` (422).
        limit_fails: `max_completion_tokens` is not heeded; an answer that no `max_tokens` ends breaks
            with a 500 once the context is full.
        most_choices: The largest `n`; more is refused. None for no bound.
        tools: `parsed`; `raw` leaves calls as `<tool_call>` text; `ignored` does not show tools to the
            model; `refused` answers tools with a 400; `canned` has one answer, a call of a tool that was
            not offered.
        named: A `tool_choice` that names a tool: `honoured`; `broken` gives arguments that are no JSON;
            `ignored` leaves the choice to the model.
        required: `tool_choice: required`: `honoured` or `ignored`.
        named_finish: Finish reason of an answer with a named tool.
        none: `tool_choice: none`: `honoured`; `raw` leaves calls as text; `ignored` returns calls.
        stop: Stop texts are `honoured`, or `kept` at the end of the answer that they end.
        schema: `response_format` with a schema: `enforced` or `ignored`; see `fails` for a 500.
        logprob_bytes: `bytes` beside log-probabilities: `right`, `empty` where a token ends inside a
            character, or `null`.
        stream_usage: Where a stream says what it cost: `final` chunk of its own, `last_choice` chunk, or
            `never`.
        echo: Completions with echo and log-probabilities: `exact`; `ignored` gives only the generated
            text; `missing` has no such path; `off_by_one` gives each token the figure of the one before.
        listing: `GET /v1/models`: `right`, `empty`, or `fails` with a 500.
        card: What each entry of the listing holds besides.
        unknown_model: Asked for a model that it has not: `missing` (404), `refused` (400) or `accepted`.
        context: Most tokens of a request; longer ones get a 400. None leaves it unchecked.
        errors: Form of error bodies: `openai`, `detail` (a 500 is plain text then) or `text`.
        validation: HTTP status of a request that is malformed.
        null_content: An assistant message whose `content` is null breaks the server.
        broken_calls: A tool call in the history whose arguments are no JSON breaks the server.
        closes: The connection is closed after a 500.
    """

    name: str = ""
    drops: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    unknown: Literal["refused", "ignored", "unprocessable"] = "refused"
    limit_fails: bool = False
    most_choices: int | None = None
    tools: Literal["parsed", "raw", "ignored", "refused", "canned"] = "parsed"
    named: Literal["honoured", "broken", "ignored"] = "honoured"
    required: Literal["honoured", "ignored"] = "honoured"
    named_finish: Literal["tool_calls", "stop"] = "tool_calls"
    none: Literal["honoured", "raw", "ignored"] = "honoured"
    stop: Literal["honoured", "kept"] = "honoured"
    schema: Literal["enforced", "ignored"] = "enforced"
    logprob_bytes: Literal["right", "empty", "null"] = "right"
    stream_usage: Literal["final", "last_choice", "never"] = "final"
    echo: Literal["exact", "ignored", "missing", "off_by_one"] = "exact"
    listing: Literal["right", "empty", "fails"] = "right"
    card: dict[str, Any] = msgspec.field(default_factory=dict)
    unknown_model: Literal["missing", "refused", "accepted"] = "missing"
    context: int | None = None
    errors: Literal["openai", "detail", "text"] = "openai"
    validation: int = 400
    null_content: bool = False
    broken_calls: bool = False
    closes: bool = False

    def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the request as this server understands it.

        Args:
            path: E.g. `/v1/chat/completions`.
            body: The decoded request; it is not changed.

        Raises:
            RefusedError: This server would refuse it, or break.
        """
        if path == _MODELS and self.listing == "fails":
            raise quirk_requests.breakage("the cache directory of models does not exist")
        if path not in (_CHAT, _COMPLETIONS):
            return body
        quirk_requests.check(self, path, body)
        return quirk_requests.understood(self, path, body)

    def answer(self, path: str, body: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Return the answer as this server would give it.

        Args:
            path: E.g. `/v1/chat/completions`.
            body: The request as it was sent.
            result: The answer of the neutral server; it is not changed.
        """
        if path == _MODELS:
            cards = [] if self.listing == "empty" else [{**card, **self.card} for card in result["data"]]
            return {**result, "data": cards}
        if path == _CHAT:
            choices = [quirk_answers.altered(self, body, choice) for choice in result["choices"]]
            return {**result, "choices": choices}
        if path == _COMPLETIONS and body.get("echo") and self.echo == "off_by_one":
            return {**result, "choices": [quirk_answers.off_by_one(each) for each in result["choices"]]}
        return result

    def stream(
        self,
        body: dict[str, Any],  # noqa: ARG002 - part of the hook
        chunks: Iterable[dict[str, Any]],
    ) -> Iterator[dict[str, Any]]:
        """Yield the objects of a stream as this server would send them.

        Args:
            body: The request as it was sent.
            chunks: The stream of the neutral server.
        """
        if self.stream_usage == "final":
            yield from chunks
        else:
            yield from quirk_answers.streamed(chunks, keep=self.stream_usage == "last_choice")

    def error(self, status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any] | str, bool]:
        """Return status, body (text is sent as text) and whether the connection is closed afterwards.

        Args:
            status: HTTP status of the neutral server.
            body: Its error body, `{"error": {"message": ..., ...}}`.
        """
        status = self._status(status, body["error"].get("code"))
        closed = self.closes and status >= 500
        if self.errors == "openai":
            return status, body, closed
        message = str(body["error"]["message"])
        if self.errors == "text":
            return status, message, closed
        return status, "Internal Server Error" if status >= 500 else {"detail": message}, closed

    def _status(self, status: int, code: str | None) -> int:
        if code == "model_not_found" and self.unknown_model == "refused":
            return 400
        return self.validation if status == 400 and code in _MALFORMED else status


NEUTRAL = Quirks()
"""The stand-in server's own behaviour."""

# ---------------------------------------------------------------- profiles

_LLAMA_CPP = Quirks(
    name="llama.cpp",
    named="ignored",
    none="raw",
    unknown="ignored",
    drops=("parallel_tool_calls", *EXTENSIONS),  # accepted, without effect
    most_choices=1,  # n up to n_parallel, which is 1 unless set
    echo="ignored",
    unknown_model="accepted",
    context=2048,
    card={"meta": {"n_ctx_train": 2048}},
    broken_calls=True,
)
"""llama.cpp through `xllamacpp`: parses calls and enforces schemas; cannot score texts."""

_VLLM = Quirks(
    name="vllm",
    named_finish="stop",
    none="raw",
    unknown="ignored",
    logprob_bytes="empty",
    context=2048,  # --max-model-len
    card={"max_model_len": 2048},
)
"""vLLM on CPU with the hermes parser: the only one that scores exactly, by echo and by prompt_logprobs."""

_TRANSFORMERS = Quirks(
    name="transformers",
    named="ignored",
    required="ignored",
    none="ignored",
    unknown="unprocessable",
    drops=("n", "parallel_tool_calls", "logprobs", "top_logprobs"),
    stop="kept",
    schema="ignored",  # silently
    stream_usage="last_choice",
    echo="ignored",  # and no log-probabilities
    listing="fails",  # without a cache directory of models; with one the list is empty
    unknown_model="refused",
    errors="detail",
    broken_calls=True,
    closes=True,
)
"""transformers serve 5: calls of some types of model, no log-probabilities, no check of the context."""

_LLAMA_CPP_PYTHON = Quirks(
    name="llama-cpp-python",
    tools="raw",
    named="broken",
    required="ignored",
    none="raw",
    unknown="ignored",
    drops=("n", "parallel_tool_calls", *EXTENSIONS),
    fails=("response_format",),
    logprob_bytes="null",
    limit_fails=True,
    stream_usage="never",
    echo="off_by_one",
    unknown_model="accepted",
    context=2048,
    validation=500,
    null_content=True,
)
"""llama-cpp-python's server with `--logits_all true`: its echo looks like scoring and is wrong."""

_LITELLM = Quirks(
    name="litellm",
    tools="canned",
    named="ignored",
    required="ignored",
    named_finish="stop",
    none="ignored",
    unknown="ignored",
    drops=("logprobs", "top_logprobs", "max_completion_tokens", "parallel_tool_calls"),
    schema="ignored",
    echo="missing",
    unknown_model="refused",
)
"""The litellm proxy in front of its own mock: canned answers; `prompt_logprobs` passes through."""

PROFILES = {quirks.name: quirks for quirks in (_LLAMA_CPP, _VLLM, _TRANSFORMERS, _LLAMA_CPP_PYTHON, _LITELLM)}
"""All profiles by name."""


def profile(name: str) -> Quirks:
    """Return the profile of a server.

    Raises:
        UnknownNameError: There is no such profile.
    """
    if name not in PROFILES:
        raise UnknownNameError("server profile", name, PROFILES)
    return PROFILES[name]
