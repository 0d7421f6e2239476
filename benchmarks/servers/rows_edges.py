"""Rows about the edges: lists, names, fields, errors, histories that other servers would refuse."""

from __future__ import annotations

import json
import time

import httpx
from asking import ASK, Answer, Endpoint, accepted, history, plain_body

__all__ = [
    "context_overflow",
    "empty_content",
    "error_body",
    "late_system",
    "models_list",
    "null_content",
    "responses_api",
    "truncated_arguments",
    "unknown_field",
    "unknown_model",
]


def responses_api(endpoint: Endpoint) -> Answer:
    """The responses API."""
    reply = endpoint.post(
        "/responses", {"model": endpoint.model, "input": "Say OK.", "max_output_tokens": 16}
    )
    kind = reply.headers.get("content-type", "").partition(";")[0]
    if reply.status_code != 200:
        return f"refused ({reply.status_code})", {"body": reply.text[:200]}
    return ("yes" if kind == "application/json" else "streams unasked"), {"content-type": kind}


def models_list(endpoint: Endpoint) -> Answer:
    """`GET /models`."""
    with endpoint.client() as client:
        names = [model.id for model in client.models.list().data]
    return ("yes" if names else "empty"), {"models": names if len(names) < 9 else len(names)}


def unknown_model(endpoint: Endpoint) -> Answer:
    """A model that the server does not have."""
    return accepted(endpoint.raw_chat(model="no-such-model"))


def unknown_field(endpoint: Endpoint) -> Answer:
    """A field that no server knows."""
    return accepted(endpoint.raw_chat(no_such_field=1))


def context_overflow(endpoint: Endpoint) -> Answer:
    """A conversation longer than the context."""
    long = [*ASK, {"role": "user", "content": "0 " * endpoint.context}]
    start = time.monotonic()
    reply = endpoint.raw_chat(messages=long)
    value, detail = accepted(reply)
    detail["seconds"] = round(time.monotonic() - start, 1)
    return ("unchecked" if value == "accepted" else value), detail


def error_body(endpoint: Endpoint) -> Answer:
    """Form of the body that says no to messages that are none."""
    reply = endpoint.raw_chat(messages="none")
    try:
        body = reply.json()
    except json.JSONDecodeError:
        return f"{reply.status_code}, text", {"body": reply.text[:200]}
    keys = [key for key in ("error", "detail", "message") if isinstance(body, dict) and key in body]
    inner = "{}" if keys and isinstance(body[keys[0]], dict) else ""
    return f"{reply.status_code}, {(keys or ['?'])[0]}{inner}", {"body": reply.text[:300]}


def null_content(endpoint: Endpoint) -> Answer:
    """An assistant message with calls and `content: null`, as the official clients send it."""
    return accepted(endpoint.raw_chat(messages=history(None)))


def empty_content(endpoint: Endpoint) -> Answer:
    """The same with `content: ""`, as we send it."""
    return accepted(endpoint.raw_chat(messages=history("")))


def late_system(endpoint: Endpoint) -> Answer:
    """A system message after the task."""
    late = [*ASK, {"role": "system", "content": "Mind the delivery."}]
    return accepted(endpoint.raw_chat(messages=late))


def truncated_arguments(endpoint: Endpoint) -> Answer:
    """Histories whose tool call was cut in the middle of its JSON; and the request after each."""
    address = f"{endpoint.url}/chat/completions"
    cut = {**plain_body(endpoint), "messages": history("", arguments='{"gauge": "g0')}
    resets = 0
    with httpx.Client(trust_env=False, timeout=endpoint.timeout, headers=endpoint.headers) as client:
        for _ in range(10):
            value, detail = accepted(client.post(address, json=cut))
            try:
                client.post(address, json=plain_body(endpoint))
            except httpx.TransportError:
                resets += 1  # the connection was closed under it: a race, so not always
    return (f"{value}; the next is reset" if resets else value), {**detail, "resets in 10": resets}
