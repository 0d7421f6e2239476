"""Streams of chat completions: from bytes to objects, from objects to the completion that they add up to.

`gather(events_of(chunks))` is the body that the same request would have got without `stream`, or a
`StreamError` that says why there is none. No HTTP here: `chunks` come from any client, cut anywhere.

The official client has a decoder, but a private one, and a sum of deltas (`ChatCompletionStreamState`) that
follows OpenAI's own servers: names that others repeat are doubled there, and calls without an index refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from opoi.wire import valid_text

__all__ = ["StreamError", "StreamProblem", "events_of", "gather"]

StreamProblem = Literal["malformed", "reported", "cut", "empty"]
"""`malformed`: not what a stream of a chat completion looks like. `reported`: the server sent an error.
`cut`: it ended before the answer did. `empty`: it ended in order, and there was no choice in it."""


class StreamError(ValueError):
    """A stream does not add up to a completion.

    Args:
        reason: What is wrong, as part of a sentence; it may quote the server.
        problem: Which kind of failure it is.
        code: The number that the server gave with an error of its own, often an HTTP status.
    """

    def __init__(self, reason: str, *, problem: StreamProblem = "malformed", code: int | None = None) -> None:
        super().__init__(reason)
        self.problem: StreamProblem = problem
        self.code = code


# ---------------------------------------------------------------- server-sent events

_BREAK = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder().decode


def events_of(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a stream of server-sent events, up to `[DONE]`.

    Events are taken apart as the HTML standard says (9.2.6, "Interpreting an event stream"): lines end with
    CR, LF or both, the `data` lines of an event are joined, an event counts once it is closed by an empty
    line, comments and other fields are passed over. Beyond it: an event without data is a sign of life and
    passed over; invalid UTF-8 is an error and not replaced; a field `error` (llama.cpp) is one, too.

    Args:
        chunks: The body, cut anywhere.

    Raises:
        StreamError: An event is not a JSON object, is not UTF-8, or tells of an error.
    """
    data: list[bytes] = []
    for line in _lines(chunks):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"error":
            raise _reported(value.decode(errors="replace").strip())
        elif not line and data:
            text, data = b"\n".join(data).strip(), []
            if text.startswith(b"[DONE]"):
                return
            if text:
                yield _object(text)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines without their ends and without a byte order mark; not the rest after the last end."""
    parts: list[bytes] = []
    after_cr = False
    mark = _BOM
    for chunk in chunks:
        piece = chunk[1:] if after_cr and chunk.startswith(b"\n") else chunk
        after_cr = chunk.endswith(b"\r") if chunk else after_cr
        *ends, rest = _BREAK.split(piece)
        for end in ends:
            parts.append(end)
            yield b"".join(parts).removeprefix(mark)
            parts, mark = [], b""
        if rest:
            parts.append(rest)


def _object(text: bytes) -> dict[str, Any]:
    try:
        event = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        event = _lenient(text)
    except RecursionError as error:
        raise StreamError("an event is nested too deeply") from error
    if not isinstance(event, dict):
        raise StreamError("an event is not a JSON object")
    return event


def _lenient(text: bytes) -> object:
    """Read JSON with halves of surrogate pairs: one character may come in two events."""
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError as error:
        raise StreamError(f"an event is not UTF-8 ({error.reason} at byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise StreamError(f"an event is not JSON: {error}") from error


def _reported(error: object) -> StreamError:
    """Return the error that a server tells of in a stream."""
    said, code = error, None
    if isinstance(error, dict):
        said = error.get("message") or error
        code = error.get("code")
    text = said if isinstance(said, str) else json.dumps(said)
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    return StreamError(
        f"the server reported an error within the stream: {text}", problem="reported", code=number
    )


# ---------------------------------------------------------------- sums of deltas


def gather(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the completion that the objects of a stream add up to: the body of an answer without `stream`.

    Texts and lists are joined, whatever their name (`content`, `refusal`, `reasoning_content`, the lists of
    `logprobs`); of all else the last that was said counts, and of `id`, `name`, `role` and `type` the first.
    Choices stand in the order of their index. The usage is the last that was sent, wherever it was; without
    any there is none.

    Deltas of tool calls belong together by their index. Servers that leave it out go by id and by order; an
    id or a name that is repeated is not doubled; where several calls come under one index, each with its id,
    they are several. What is missing stays so (an id, say), save that a call without a name gets `""`.

    Raises:
        StreamError: An object has another shape, the server tells of an error, a choice has no
            `finish_reason` at the end, or there is no choice at all.
    """
    result: dict[str, Any] = {}
    choices: dict[int, _Choice] = {}
    for event in events:
        if event.get("error"):
            raise _reported(event["error"])
        for position, raw in enumerate(_list(event.get("choices"), "choices")):
            piece = _dict(raw, "a choice")
            index = _index(piece, position) or 0
            choices.setdefault(index, _Choice()).add(piece)
        for key, value in event.items():
            if key != "choices" and (value is not None or key not in result):
                result[key] = value
    if not choices:
        raise StreamError("the stream holds no choices", problem="empty")
    for index, choice in sorted(choices.items()):
        if not choice.finished:
            raise StreamError(f"the stream ends before choice {index} does", problem="cut")
    if result.get("usage", {}) is None:
        del result["usage"]
    result["object"] = "chat.completion"
    result["choices"] = [choice.whole(index) for index, choice in sorted(choices.items())]
    try:
        whole: dict[str, Any] = _plain(result)
    except RecursionError as error:
        raise StreamError("an event is nested too deeply") from error
    return whole


class _Text(list[str]):
    """Pieces of a text; joined once, at the end."""


_FIRST = frozenset({"id", "name", "role", "type"})
"""Keys whose values are names, not pieces of a text."""


class _Choice:
    """One choice, as far as it has come."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._calls = _Calls()

    @property
    def finished(self) -> bool:
        return bool(self._fields.get("finish_reason"))

    def add(self, piece: dict[str, Any]) -> None:
        delta = dict(_dict(piece.get("delta") or {}, "a delta"))
        calls = _list(delta.pop("tool_calls", None), "tool_calls")
        for position, call in enumerate(calls):
            self._calls.add(_dict(call, "a tool call"), position if len(calls) > 1 else None)
        _merge(self._message, delta)
        for key, value in piece.items():
            if key == "logprobs" and isinstance(value, dict):
                _merge(self._fields, {key: value})
            elif key not in ("delta", "index") and (value is not None or key not in self._fields):
                self._fields[key] = value

    def whole(self, index: int) -> dict[str, Any]:
        said = {key: value for key, value in self._message.items() if value is not None}
        if not any(said.get("content", ())):
            said["content"] = None  # as in an answer without `stream`
        message: dict[str, Any] = {"role": "assistant", **said}
        if calls := self._calls.whole():
            message["tool_calls"] = calls
        return {"index": index, "message": message, "logprobs": None, **self._fields}


class _Call:
    """One tool call, as far as it has come."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self._arguments = _Text()
        self._fields: dict[str, Any] = {}

    def add(self, call: dict[str, Any], function: dict[str, Any]) -> None:
        self.id = self.id or call.get("id") or ""
        name, arguments = function.get("name") or "", function.get("arguments")
        if name:
            self.name = name if name.startswith(self.name) else self.name + name
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        if arguments:
            self._arguments.append(arguments)
        _merge(self._fields, {key: call[key] for key in call if key not in ("id", "index", "function")})

    def ended_by(self, name: str) -> bool:
        """Whether a piece with this name, and not known to be of this call, begins another call."""
        return bool(name) and (name != self.name or self._complete())

    def _complete(self) -> bool:
        """Whether the arguments are a whole JSON object."""
        if not self._arguments or not self._arguments[-1].rstrip().endswith("}"):
            return False
        try:
            return isinstance(json.loads("".join(self._arguments)), dict)
        except (ValueError, RecursionError):
            return False

    def whole(self) -> dict[str, Any]:
        named = {"id": self.id} if self.id else {}
        function = {"name": self.name, "arguments": self._arguments}
        return {**named, "type": "function", **self._fields, "function": function}


class _Calls:
    """The tool calls of one choice."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, call: dict[str, Any], position: int | None) -> None:
        """Add a piece of a call to the one that it belongs to.

        Args:
            call: The piece.
            position: Stands in for an index that is missing, where the piece came with others.
        """
        function = _dict(call.get("function") or {}, "a function")
        name, id = function.get("name") or "", call.get("id") or ""
        if not isinstance(name, str) or not isinstance(id, str):
            raise StreamError("the id or the name of a tool call is not text")
        if not isinstance(function.get("arguments"), str | dict | None):
            raise StreamError("the arguments of a tool call are neither text nor an object")
        self._of(_index(call, position), id, name).add(call, function)

    def _of(self, index: int | None, id: str, name: str) -> _Call:
        """Return the call that a piece belongs to; a new one where it begins one."""
        here = [found for found in self._calls if index is None or found.index == index]
        if not here:
            return self._new(len(self._calls) if index is None else index)
        same = [found for found in here if found.id == id and id]
        last = same[-1] if same else here[-1]
        other = bool(id and last.id) and not same
        if index is None:
            begins = bool(name) and (other or (last.ended_by(name) and not (same and name == last.name)))
            return self._new(1 + max(found.index for found in here)) if begins else last
        return self._new(index) if other and last.ended_by(name) else last

    def _new(self, index: int) -> _Call:
        self._calls.append(_Call(index))
        return self._calls[-1]

    def whole(self) -> list[dict[str, Any]]:
        return [call.whole() for call in sorted(self._calls, key=lambda call: call.index)]


# ---------------------------------------------------------------- values


def _merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add what a delta says to what was said."""
    for key, value in delta.items():
        old = into.get(key)
        if value is None:
            into.setdefault(key, None)
        elif old is None or (key in _FIRST and not old):
            into[key] = _fresh(key, value)
        elif key in _FIRST:
            continue
        elif isinstance(old, _Text) and isinstance(value, str):
            old.append(value)
        elif isinstance(old, list) and isinstance(value, list) and not isinstance(old, _Text):
            old.extend(value)
        elif isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        elif isinstance(old, str | list | dict) or isinstance(value, str | list | dict):
            raise StreamError(f"{key!r} is of one kind in one event, and of another in the next")
        else:
            into[key] = value


def _fresh(key: str, value: object) -> object:
    """Return a value that can be added to, without touching the event that it came in."""
    if isinstance(value, dict):
        copy: dict[str, Any] = {}
        _merge(copy, value)
        return copy
    if isinstance(value, list):
        return list(value)
    return _Text([value]) if isinstance(value, str) and key not in _FIRST else value


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value with its texts joined and valid."""
    if isinstance(value, _Text):
        return valid_text("".join(value))
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _list(value: object, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise StreamError(f"{name} is not a list")
    return value


def _dict(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StreamError(f"{name} is not an object")
    return value


def _index(piece: dict[str, Any], default: int | None) -> int | None:
    """Return the index of a choice or of a tool call."""
    index = piece.get("index")
    if index is None:
        return default
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise StreamError(f"an index is {index!r}")
    return index
