"""What the routes have in common when they read a request: JSON, refusals, and fields that many share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from opoi.seeds import Stream

__all__ = [
    "DEEPEST",
    "MOST_SCORED",
    "RefusedError",
    "StreamOptions",
    "choice_seeds",
    "decode_body",
    "read_into",
    "read_stops",
    "refuse_undone",
    "require_model",
    "require_scorable",
    "wants_usage",
]

T = TypeVar("T")

DEEPEST = 64
"""Most levels of nesting in a request. Deeper ones could not be handed on without recursion errors."""

MOST_SCORED = 32_768
"""Most tokens of a text that is scored."""


class RefusedError(Exception):
    """A request that gets an error body instead of an answer.

    Args:
        message: What is wrong.
        status: HTTP status.
        param: The field that is wrong.
        code: Short name of the error.
        type: Class of the error, as OpenAI names them.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": type, "param": param, "code": code}}


class StreamOptions(Struct):
    """The field `stream_options`."""

    include_usage: bool = False


_decode = msgspec.json.Decoder(dict[str, Any]).decode


def decode_body(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a request, of bounded depth.

    Raises:
        RefusedError: It is not JSON, not an object, or nested too deeply.
    """
    try:
        raw = _decode(body)
    except msgspec.ValidationError as error:
        raise RefusedError(str(error), code="invalid_value") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(f"the body is not JSON: {error}", code="invalid_json") from error
    except RecursionError as error:
        raise _too_deep() from error
    if _depth_over(raw, DEEPEST + 1):
        raise _too_deep()
    return raw


def read_into(kind: type[T], raw: Mapping[str, Any]) -> T:
    """Return the fields of a request as a struct.

    Raises:
        RefusedError: A field is missing, unknown or of the wrong type.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise RefusedError(str(error), param=_field_in(str(error)), code="invalid_value") from error


def _field_in(message: str) -> str | None:
    found = re.search(r"\$\.(\w+)", message) or re.search(r"field `(\w+)`", message)
    return found[1] if found else None


def _too_deep() -> RefusedError:
    return RefusedError(f"the body is nested deeper than {DEEPEST} levels", code="nested_too_deep")


def _depth_over(value: object, limit: int) -> bool:
    """Walk level by level: recursion is what this protects from."""
    level = [value]
    for _ in range(limit + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return True


def refuse_undone(raw: Struct, neutral: Mapping[str, tuple[object, ...]]) -> None:
    """Refuse fields that are understood but not done.

    Args:
        raw: The request.
        neutral: For each such field the values besides null that ask for nothing.

    Raises:
        RefusedError: A field asks for something.
    """
    for field, accepted in neutral.items():
        value = getattr(raw, field)
        if value is not None and value not in accepted:
            raise RefusedError(f"`{field}` is not supported", param=field, code="unsupported_value")


def require_model(asked: str, names: Sequence[str]) -> None:
    """Refuse a model that is not offered.

    Args:
        asked: As in the request.
        names: Those on offer, at least one.

    Raises:
        RefusedError: It is not among them.
    """
    if asked not in names:
        known = repr(names[0]) if len(names) == 1 else "one of " + ", ".join(map(repr, names))
        raise RefusedError(
            f"the model {asked!r} does not exist; there is {known}",
            status=404,
            param="model",
            code="model_not_found",
        )


def require_scorable(count: int, param: str) -> None:
    """Refuse to score more tokens than can be scored in a few seconds.

    Raises:
        RefusedError: There are more than `MOST_SCORED`.
    """
    if count > MOST_SCORED:
        raise RefusedError(
            f"texts of up to {MOST_SCORED} tokens are scored, not of {count}",
            param=param,
            code="context_length_exceeded",
        )


def read_stops(stop: str | list[str] | None) -> tuple[str, ...]:
    """Return the texts that end an answer.

    Raises:
        RefusedError: There are more than four, or one is empty.
    """
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > 4 or "" in stops:
        raise RefusedError("`stop` takes up to 4 texts, none empty", param="stop", code="invalid_value")
    return stops


def wants_usage(stream: bool | None, options: StreamOptions | None) -> bool:
    """Return whether a stream is to end with the usage.

    Raises:
        RefusedError: There are options for a stream, but no stream.
    """
    if options is None:
        return False
    if not stream:
        raise RefusedError(
            "`stream_options` needs `stream: true`", param="stream_options", code="invalid_value"
        )
    return options.include_usage


def choice_seeds(seed: int | None, count: int, body: bytes) -> tuple[int, ...]:
    """Return a sampling seed in [0, 2**31) for each choice.

    Args:
        seed: That of the request; the first choice has it where it fits. None takes one from `body`.
        count: How many choices.
        body: The request as received.
    """
    if seed is None:
        seed = int.from_bytes(blake2b(body, digest_size=16).digest(), "little")
    stream = Stream(seed, "request")
    first = seed if 0 <= seed < 2**31 else stream.seed31()
    return (first, *(stream.seed31("choice", index) for index in range(1, count)))
