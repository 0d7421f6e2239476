"""How answers are spoiled: from the body of a completion to what goes over the wire. No sockets here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from opoi.models.served.chaos.plan import Lasting, Passing, Struck

__all__ = ["Sent", "plain_answer", "sent_for", "spoiled"]

_MEGABYTE = "and so on and on " * 61_681
"""1,048,577 characters."""

_PAGE = b"<html><head><title>It works!</title></head><body>Welcome</body></html>"

_DATE = "Wed, 01 Jan 2020 00:00:00 GMT"
"""Has passed, so that nobody waits for it."""

_WAITS: tuple[dict[str, str], ...] = (
    {"retry-after": "0.01"},
    {"retry-after-ms": "1"},
    {"retry-after": _DATE},
    {},
)

Ending = Literal["whole", "closed", "reset", "never"]
"""What becomes of the connection: it goes on, is closed or reset after the bytes, or nothing comes at all."""


class Sent(NamedTuple):
    """What goes over the wire.

    Attributes:
        data: Status line, headers and body, as far as they are sent.
        ending: What happens then.
    """

    data: bytes
    ending: Ending = "whole"


# ---------------------------------------------------------------- the model's part


def spoiled(completion: dict[str, Any], fault: Lasting | None) -> dict[str, Any]:
    """Return the body of a chat completion as the fault makes it; the given one is not changed."""
    if fault is None:
        return completion
    choice = completion["choices"][0]
    return {**completion, "choices": [{**choice, **_CHANGES[fault](choice["message"])}]}


def _said(finish: str, **message: object) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}


def _calls(message: dict[str, Any], **function: str) -> list[dict[str, Any]]:
    """Return the calls of a message with other fields; one call where there is none."""
    made = message.get("tool_calls") or [
        {"id": "call_0", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    ]
    return [{**call, "function": {**call["function"], **function}} for call in made]


def _length(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if calls:
        return _said("length", tool_calls=_calls(message, arguments='{"cut'))
    text = message["content"] or ""
    return _said("length", content=text[: len(text) // 2])


def _missing_ids(message: dict[str, Any]) -> dict[str, Any]:
    calls = [{key: value for key, value in call.items() if key != "id"} for call in _calls(message)]
    return _said("tool_calls", tool_calls=calls)


_CHANGES: dict[Lasting, Callable[[dict[str, Any]], dict[str, Any]]] = {
    Lasting.NULL_CONTENT: lambda _: _said("stop"),
    Lasting.LENGTH: _length,
    Lasting.CONTENT_FILTER: lambda _: _said("content_filter"),
    Lasting.REFUSAL: lambda _: _said("stop", refusal="I cannot help with that."),
    Lasting.BROKEN_ARGUMENTS: lambda said: _said("tool_calls", tool_calls=_calls(said, arguments='{"a": ')),
    Lasting.UNKNOWN_TOOL: lambda said: _said("tool_calls", tool_calls=_calls(said, name="no_such_tool")),
    Lasting.REPEATED_IDS: lambda said: _said("tool_calls", tool_calls=2 * _calls(said)),
    Lasting.MISSING_IDS: _missing_ids,
    Lasting.HUGE: lambda said: _said("stop", content=(said["content"] or "") + _MEGABYTE),
    Lasting.HALF_PAIR: lambda said: _said("stop", content=(said["content"] or "") + "\ud83d"),
}


# ---------------------------------------------------------------- on the wire


def sent_for(completion: dict[str, Any], struck: Struck, *, streamed: bool, usage: bool) -> Sent:
    """Return what goes over the wire instead of an answer, or as one.

    Args:
        completion: The answer as it should be.
        struck: What strikes.
        streamed: In pieces.
        usage: End a stream with the usage.
    """
    fault = struck.passing
    if fault is Passing.TIMEOUT:
        return Sent(b"", "never")
    if fault is Passing.RESET:
        return Sent(b"", "reset")
    if fault in _STATUS:
        return _refusal(fault, struck)
    if fault is Passing.HTML:
        return Sent(_whole(200, _PAGE, "text/html"))
    answer = spoiled(completion, struck.lasting)
    if streamed:
        return _streamed(_events_spoiled(answer, struck, usage=usage), struck)
    body = _body_spoiled(answer, struck)
    return _torn(_whole(200, body, "application/json"), len(body), struck)


def plain_answer(status: int, value: object) -> Sent:
    """Return any JSON value as an answer."""
    return Sent(_whole(status, _json(value), "application/json"))


_STATUS = {
    Passing.HTTP_408: 408,
    Passing.HTTP_409: 409,
    Passing.HTTP_425: 425,
    Passing.HTTP_429: 429,
    Passing.HTTP_500: 500,
    Passing.HTTP_502: 502,
    Passing.HTTP_503: 503,
}


def _refusal(fault: Passing, struck: Struck) -> Sent:
    code = _STATUS[fault]
    headers = struck.draws.choice(_WAITS, "wait") if code == 429 else {"retry-after-ms": "1"}
    if code == 502:  # as proxies answer
        return Sent(_whole(code, b"<html>Bad Gateway</html>", "text/html", **headers))
    body = b"" if code == 503 else _json({"error": {"message": "try again", "code": None}})
    return Sent(_whole(code, body, "application/json", **headers))


def _json(value: object) -> bytes:
    """Write JSON in ASCII: halves of surrogate pairs included."""
    return json.dumps(value, separators=(",", ":")).encode()


def _whole(status: int, body: bytes, kind: str, **headers: str) -> bytes:
    fields = {"content-type": kind, "content-length": str(len(body)), **headers}
    return _head(status, fields) + body


def _head(status: int, fields: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode()


def _body_spoiled(answer: dict[str, Any], struck: Struck) -> bytes:
    if struck.passing is Passing.NO_CHOICES:
        answer = {**answer, "choices": []}
    if struck.passing is not Passing.NOT_UTF8:
        return _json(answer)
    if struck.draws.chance(0.5, "unread"):
        return _json({**answer, "system_fingerprint": "?!"}).replace(b"?!", b"\xff\xfe")
    message = {**answer["choices"][0]["message"], "content": "?!"}
    return _json({**answer, "choices": [{**answer["choices"][0], "message": message}]}).replace(
        b'"?!"', b'"\xff\xfe"'
    )


def _torn(data: bytes, body: int, struck: Struck) -> Sent:
    """Send less than announced, where that strikes; `body` bytes of the data can be left out in part."""
    if struck.passing not in (Passing.TRUNCATED, Passing.RESET_AMID):
        return Sent(data)
    kept = len(data) - body + struck.draws.below(body, "kept")
    return Sent(data[:kept], "closed" if struck.passing is Passing.TRUNCATED else "reset")


# ---------------------------------------------------------------- streams


def _streamed(events: list[bytes], struck: Struck) -> Sent:
    head = _head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
    return _torn(head + body, len(body), struck)


def _events_spoiled(answer: dict[str, Any], struck: Struck, *, usage: bool) -> list[bytes]:
    fault = struck.passing
    pieces = [_json(piece) for piece in _pieces(answer, usage=usage, finished=fault is not Passing.NO_FINISH)]
    at = 1 + struck.draws.below(len(pieces) - 1, "piece")
    if fault is Passing.NO_CHOICES:
        pieces = [_json({**answer, "object": "chat.completion.chunk", "choices": []})]
    elif fault is Passing.CUT:
        last = 2 if usage else 1  # the pieces with the end and with the usage
        return _data(pieces[: min(at, len(pieces) - last)])
    elif fault is Passing.BROKEN_EVENT:
        pieces[at] = pieces[at][: len(pieces[at]) // 2]
    elif fault is Passing.ERROR_EVENT:
        pieces[at] = _json({"error": {"message": "the engine stopped", "code": 500}})
    elif fault is Passing.NOT_UTF8:
        pieces[at] = pieces[at][:-1] + b',"note":"\xff\xfe"}'
    return _data(pieces if fault is Passing.NO_DONE else [*pieces, b"[DONE]"])


def _data(pieces: list[bytes]) -> list[bytes]:
    return [b"data: " + piece + b"\n\n" for piece in pieces]


def _pieces(answer: dict[str, Any], *, usage: bool, finished: bool) -> Iterator[dict[str, Any]]:
    """Yield an answer as the objects of a stream, each text in two pieces."""
    head = {key: answer[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    choice = answer["choices"][0]

    def piece(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield piece({"role": "assistant", "content": ""})
    for delta in _deltas(choice["message"]):
        yield piece(delta)
    yield piece({}, choice["finish_reason"] if finished else None)
    if usage:
        yield {**head, "choices": [], "usage": answer["usage"]}


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("content", "refusal"):
        for text in _halves(message.get(name) or ""):
            yield {name: text}
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
        for text in _halves(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]
