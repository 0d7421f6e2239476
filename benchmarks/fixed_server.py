"""A server that always gives the same answer: for measuring clients. Standard library only.

    python benchmarks/fixed_server.py

It prints its port on the loopback. `POST /200/v1/chat/completions` is answered after 200 ms, a stream is sent
in one piece; connections are kept. It reads no more of a request than it has to.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAME = "tiny"
"""What the model is called."""

EVENTS = 24
"""Pieces that the text of a stream comes in."""

TEXT = "the answer of the server is always the same, " * 12
"""What it says."""


def answers() -> tuple[bytes, bytes]:
    """Return the completion as one body, and as a stream of events."""
    usage = {"prompt_tokens": 300, "completion_tokens": 100, "total_tokens": 400}
    head = {"id": "chatcmpl-1", "created": 1, "model": NAME}
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
    size = -(-len(TEXT) // EVENTS)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": TEXT[at : at + size]} for at in range(0, len(TEXT), size)]
    pieces: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    pieces.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [{**head, "object": "chat.completion.chunk", "choices": [piece]} for piece in pieces]
    events.append({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return _response("application/json", json.dumps(whole)), _response("text/event-stream", stream)


def _response(kind: str, body: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


class Answering(asyncio.Protocol):
    """One connection: reads requests, and answers each after the delay that its path begins with."""

    _delay = re.compile(rb"POST /(\d+)/")
    _size = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

    def __init__(self, whole: bytes, stream: bytes) -> None:
        self._whole, self._stream = whole, stream
        self._got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Answer, once the request is whole."""
        self._got += data
        ends = self._got.find(b"\r\n\r\n") + 4
        if ends < 4:
            return
        head = bytes(self._got[:ends])
        if len(self._got) < ends + _number(self._size.search(head)):
            return
        delay = _number(self._delay.match(head)) / 1e3
        answer = self._stream if b'"stream":true' in self._got else self._whole
        self._got.clear()
        if delay:
            self._loop.call_later(delay, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _number(found: re.Match[bytes] | None) -> int:
    if found is None:
        raise ValueError("not a request of this benchmark")
    return int(found[1])


async def serve() -> None:
    """Serve on a free port of the loopback, which is printed, until the standard input ends."""
    whole, stream = answers()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(whole, stream), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


@contextmanager
def serving() -> Iterator[int]:
    """Start the server in a process of its own; yield its port. It ends with this one, however that ends."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())  # leaving closes its input


if __name__ == "__main__":
    asyncio.run(serve())
