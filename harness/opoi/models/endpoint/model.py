"""Any OpenAI-compatible chat-completions server as a model."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec
from msgspec import Struct

from opoi.errors import UsageError
from opoi.halting import Halt, HaltedError
from opoi.models.endpoint.capabilities import Way
from opoi.models.endpoint.dialect import Dialect, read_reply, write_request
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.lines import Line
from opoi.models.endpoint.scoring import own_logprobs, score_texts
from opoi.types import UNREADABLE, Message, Reply, TokenLogprob, ToolSpec
from opoi.wire import decode_reply

__all__ = ["EndpointModel", "connect", "list_models"]

CHAT = "/chat/completions"

_OWN_FIELDS = ("messages", "model", "n", "seed", "stream", "stream_options", "tools")
"""What `extra_body` may not set: our side of the contract depends on these."""


class EndpointModel:
    """A model behind an OpenAI-compatible chat-completions endpoint. Satisfies `opoi.protocols.Model`.

    Safe to call from several threads.

    Args:
        line: The connection; see `connect` for one in a single step.
        model: Name of the model, as the server knows it; also `name`.
        temperature: Sampling temperature; None sends none.
        max_tokens: Most tokens of one answer; None sends none.
        dialect: How the endpoint wants its requests.
        extra_body: More fields for every request; None as a value leaves a field out, so that e.g.
            `{"max_tokens": None, "max_completion_tokens": 512}` replaces one.
        halt: Set when the endpoint is found to be beyond use, so that a run stops; None to raise only.

    Raises:
        UsageError: An argument cannot be used.
    """

    def __init__(
        self,
        line: Line,
        model: str,
        *,
        temperature: float | None = 0.7,
        max_tokens: int | None = 1024,
        dialect: Dialect | None = None,
        extra_body: Mapping[str, Any] | None = None,
        halt: Halt | None = None,
    ) -> None:
        self.name = model
        self.line = line
        if not model:
            raise UsageError("a model endpoint needs the name of a model")
        own = [field for field in extra_body or {} if field in _OWN_FIELDS]
        if own:
            raise UsageError(f"extra_body must not set {own[0]!r}", why="opoi sets this field itself")
        self.dialect = dialect or Dialect()
        self._halt = halt
        self._alarm = threading.Lock()
        settings = {"temperature": temperature, self.dialect.limit: max_tokens, **(extra_body or {})}
        self._settings = {key: value for key, value in settings.items() if value is not None}

    def __repr__(self) -> str:
        return f"EndpointModel({self.line.where.url!r}, {self.name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless the caller brought the client."""
        self.line.close()

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        """Answer the last message; see `opoi.protocols.Model.complete`.

        A server that works but cannot parse what its model wrote gives an empty reply whose finish
        reason is `unreadable`: that is the model's failure, not the endpoint's.

        Raises:
            EndpointFaultError: No usable answer could be had; `kind` says which failure it was.
            HaltedError: The run is being stopped.
        """
        body = {"model": self.name, **write_request(messages, tools, seed, self.dialect), **self._settings}
        try:
            answer = self._answer(body, str(seed))
            reply = decode_reply(answer)
        except EndpointFaultError as fault:
            if fault.kind == "unreadable":
                return Reply(finish_reason=UNREADABLE)
            problem = fault
        else:
            if self.dialect.logprobs:
                reply = msgspec.structs.replace(reply, logprobs=own_logprobs(answer))
            return read_reply(reply, tools, self.dialect)
        if problem.fatal and self._halt is not None:
            self._make_sure(self._halt)
        raise problem

    def _answer(self, body: dict[str, Any], label: str) -> bytes:
        """Send a request; one that is refused is sent without its wish for log-probabilities, if it has one.

        They are an extra, and no trace is lost for it: some servers give them for short texts only.

        Raises:
            EndpointFaultError: No usable answer could be had.
        """
        try:
            return self.line.post(CHAT, body, label=label)
        except EndpointFaultError as fault:
            if fault.kind != "request" or not self.dialect.logprobs:
                raise
        bare = {key: value for key, value in body.items() if key != "logprobs"}
        return self.line.post(CHAT, bare, label=label)

    def score(
        self, conversation: Sequence[Message], places: Sequence[int], tools: Sequence[ToolSpec], way: Way
    ) -> tuple[tuple[TokenLogprob, ...], ...]:
        """Return the log-probability (nats) of each token of given texts; see `scoring.score_texts`.

        Args:
            conversation: All messages, the prompt included.
            places: Indices of the messages whose contents are scored.
            tools: Tools that were on offer.
            way: How to ask: the one that is believed, `Capabilities.scoring`.

        Raises:
            EndpointFaultError: The texts could not be scored.
            HaltedError: The run is being stopped.
        """
        try:
            return score_texts(
                self.line, self.name, conversation, places, way, tools=tools, dialect=self.dialect
            )
        except EndpointFaultError as fault:
            problem = fault
        if problem.fatal and self._halt is not None:
            self._make_sure(self._halt)
        raise problem

    def check(self) -> None:
        """Make one cheap completion, to find out before a run whether there can be one.

        One token is asked for. A server that refuses so short an answer is asked again as a run would.

        Raises:
            EndpointFaultError: There can be no run; `fix` says what to try.
        """
        question = Message(role="user", content="Say OK.", author="suite")
        body = {"model": self.name, **write_request([question], (), 0, self.dialect), **self._settings}
        length = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
        try:
            self.line.post(CHAT, {**body, length: 1})
        except EndpointFaultError as fault:
            if fault.kind != "request":
                raise
            self.line.post(CHAT, body)

    def _make_sure(self, halt: Halt) -> None:
        """Stop the run if no other request will fare better: a cheap one is asked, by one thread at a time.

        Raises:
            HaltedError: The endpoint is beyond use.
        """
        with self._alarm:
            halt.check()
            try:
                self.check()
            except EndpointFaultError as fault:
                if not fault.fatal:
                    return
                down = EndpointFaultError(
                    fault.what,
                    kind=fault.kind,
                    why=fault.why,
                    fix=f"{fault.fix}\n       what is finished is kept: opoi run --resume --out DIR goes on",
                    fatal=True,
                )
            else:
                return
        halt.set(down)
        raise HaltedError(down.what, why=down.why)


def connect(
    base_url: str,
    model: str,
    *,
    api_key: str,
    temperature: float | None = 0.7,
    max_tokens: int | None = 1024,
    dialect: Dialect | None = None,
    extra_body: Mapping[str, Any] | None = None,
    **connection: Any,
) -> EndpointModel:
    """Return the model at a base URL, over a line of its own.

        with connect("http://127.0.0.1:8000/v1", "tiny", api_key="none") as model: ...

    Args:
        base_url: The URL before `/chat/completions`; usually ends in `/v1`.
        model: As for `EndpointModel`; so are the arguments up to `extra_body`.
        api_key: The key.
        temperature: Sampling temperature; None sends none.
        max_tokens: Most tokens of one answer; None sends none.
        dialect: How the endpoint wants its requests.
        extra_body: More fields for every request.
        **connection: As for `opoi.models.endpoint.line.HttpLine`: time-out, retries, client.

    Raises:
        UsageError: An argument cannot be used.
    """
    from opoi.models.endpoint.line import HttpLine

    line = HttpLine(base_url, model, api_key=api_key, **connection)
    try:
        return EndpointModel(
            line,
            model,
            temperature=temperature,
            max_tokens=max_tokens,
            dialect=dialect,
            extra_body=extra_body,
        )
    except UsageError:
        line.close()
        raise


class _Listed(Struct):
    id: str


class _Listing(Struct):
    data: list[_Listed]


def list_models(line: Line) -> tuple[str, ...]:
    """Return the names of the models that an endpoint offers, in its order.

    Raises:
        EndpointFaultError: It does not say.
    """
    answer = line.get("/models")
    try:
        listing = msgspec.json.decode(answer, type=_Listing)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problem = f"not a list of models: {error}"
    else:
        return tuple(entry.id for entry in listing.data)
    raise line.where.garbage(problem, answer)
