"""Asking an endpoint directly, with the official client or past it, and reading what came.

The rows of the matrix are made of these; nothing here imports `opoi`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import openai

__all__ = [
    "ASK",
    "SEEDS",
    "TOOL",
    "Answer",
    "Choice",
    "Endpoint",
    "Reply",
    "accepted",
    "history",
    "is_json",
    "plain_body",
    "said_in",
    "tokens_of",
]

Reply = Any
"""A reply, or a part of one, as the client reads it: servers leave out what its types promise."""

Choice = Any
"""One choice of a reply."""

Answer = tuple[str, dict[str, Any]]
"""What a row found: a word or two (compared between runs), and what was seen."""

SEEDS = range(12)
SYSTEM = "You watch a pressure vessel. Read the gauge, then answer with one JSON object."
ASK = ({"role": "system", "content": SYSTEM}, {"role": "user", "content": "Decide about gauge g00001 now."})
GAUGE = {"type": "object", "properties": {"gauge": {"type": "string"}}, "required": ["gauge"]}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "read_gauge", "description": "Read the pressure.", "parameters": GAUGE},
}


@dataclass(frozen=True)
class Endpoint:
    """Where to ask.

    Attributes:
        url: Base URL, ends in `/v1`.
        model: The model's name in requests.
        key: API key; any text where none is wanted.
        context: Tokens that the model can take.
        timeout: Seconds for one answer.
    """

    url: str
    model: str
    key: str = "none"
    context: int = 8192
    timeout: float = 60.0

    @property
    def headers(self) -> dict[str, str]:
        """The header that carries the key."""
        return {"Authorization": f"Bearer {self.key}"}

    def client(self) -> openai.OpenAI:
        """Return a client that tries once, on connections of its own."""
        client: Any = httpx.Client(trust_env=False)  # the installed openai may ask for httpx2's
        return openai.OpenAI(
            base_url=self.url,
            api_key=self.key,
            timeout=self.timeout,
            max_retries=0,
            http_client=client,
        )

    def chat(self, **fields: Any) -> Reply:
        """Ask for one chat completion; None leaves a field out."""
        with self.client() as client:
            return client.chat.completions.create(**self._asked(fields))

    def chunks(self, **fields: Any) -> list[Reply]:
        """Ask for a streamed chat completion and return its chunks."""
        with self.client() as client:
            return list(client.chat.completions.create(**self._asked(fields), stream=True))

    def _asked(self, fields: dict[str, Any]) -> dict[str, Any]:
        usual = {"model": self.model, "messages": list(ASK), "max_tokens": 120, "temperature": 1.0}
        return {name: value for name, value in {**usual, **fields}.items() if value is not None}

    def choices(self, seeds: Iterable[int] = SEEDS, **fields: Any) -> list[Choice]:
        """Return the first choice for each seed, without those that the server failed at.

        Some servers answer 500 where they cannot read what their model wrote.

        Raises:
            openai.InternalServerError: It failed at all of them.
        """
        found = []
        failure = None
        for seed in seeds:
            try:
                found.append(self.chat(seed=seed, **fields).choices[0])
            except openai.InternalServerError as error:
                failure = error
        if failure is not None and not found:
            raise failure
        return found

    def post(self, path: str, body: object) -> httpx.Response:
        """Send a body as it is, past the client's types."""
        return httpx.post(
            self.url + path, json=body, headers=self.headers, timeout=self.timeout, trust_env=False
        )

    def raw_chat(self, **fields: object) -> httpx.Response:
        """Send a short chat completion with these fields, past the client's types."""
        return self.post("/chat/completions", {**plain_body(self), **fields})


def plain_body(endpoint: Endpoint) -> dict[str, Any]:
    """Return the body of a short request that every server should answer."""
    return {"model": endpoint.model, "messages": list(ASK), "max_tokens": 16, "seed": 1}


def history(content: str | None, arguments: str = '{"gauge": "g00001"}') -> list[dict[str, Any]]:
    """Return a conversation with a tool call and its result."""
    call = {"id": "call_1", "type": "function", "function": {"name": "read_gauge", "arguments": arguments}}
    return [
        *ASK,
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"pressure": 44}'},
    ]


def accepted(reply: httpx.Response) -> Answer:
    """Tell whether a request was taken."""
    if reply.status_code == 200:
        return "accepted", {}
    return f"refused ({reply.status_code})", {"body": reply.text[:300]}


def tokens_of(choice: Choice) -> list[Any]:
    """Return the log-probabilities of a choice, token by token; empty where there are none."""
    return list((choice.logprobs and choice.logprobs.content) or ())


def said_in(choice: Choice) -> str:
    """Return all that a choice says, as text to compare."""
    calls = [call.function.model_dump() for call in choice.message.tool_calls or ()]
    return json.dumps([choice.message.content, calls], sort_keys=True)


def is_json(text: str) -> bool:
    """Tell whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except json.JSONDecodeError:
        return False
