"""From the bytes of a request to its parameters and its path."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import Message
from urllib.parse import parse_qsl

import msgspec

from opoi_envs.ads.graph.errors import invalid

__all__ = ["Place", "form", "place_of", "query"]

_VERSION = re.compile(r"v([0-9]{1,4})\.([0-9]{1,4})")
PREFIX = "graph"


class Place(msgspec.Struct, frozen=True):
    """Where a request goes.

    Attributes:
        path: Parts after the version.
        version: Of the API; None where the URL names none.
        root: Prefix and version as they stand in the URL, to build links on.
    """

    path: tuple[str, ...]
    version: tuple[int, int] | None
    root: str


def place_of(path: str) -> Place:
    """Take a path apart: `/v26.0/act_1/campaigns`, with or without prefix, version and closing slash."""
    parts = [part for part in path.split("/") if part]
    root = ""
    if parts and parts[0] == PREFIX:
        root += f"/{parts.pop(0)}"
    found = _VERSION.fullmatch(parts[0]) if parts else None
    if found is None:
        return Place(tuple(parts), None, root)
    root += f"/{parts[0]}"
    return Place(tuple(parts[1:]), (int(found[1]), int(found[2])), root)


def query(text: str) -> dict[str, str]:
    """Return the parameters of a query string or of a form body; the last of a name counts."""
    return dict(parse_qsl(text, keep_blank_values=True, errors="replace"))


def form(body: bytes, content_type: str) -> dict[str, str]:
    """Return the parameters of a body: a form (either encoding), or a JSON object.

    Raises:
        ApiError: The body is not what it says.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _multipart(body, content_type)
    if kind == "application/json" and body.strip():
        return _json(body)
    return query(body.decode("utf-8", "replace"))


def _json(body: bytes) -> dict[str, str]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid(f"The body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid("The body must be a JSON object")
    return {
        str(name): item if isinstance(item, str) else msgspec.json.encode(item).decode()
        for name, item in value.items()
        if item is not None
    }


def _multipart(body: bytes, content_type: str) -> dict[str, str]:
    kind = content_type.encode("latin-1", "replace").replace(b"\r", b" ").replace(b"\n", b" ")
    message = message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + body)
    parts = message.get_payload()
    if not isinstance(parts, list):
        raise invalid("The body is not valid multipart/form-data")
    result: dict[str, str] = {}
    for part in parts:
        if isinstance(part, Message):
            name = part.get_param("name", header="content-disposition")
            payload = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(payload, bytes):
                result[name] = payload.decode("utf-8", "replace")
    return result
