"""Reading parameters: strict about values, lenient about how lists and objects are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from opoi_envs.ads.graph.errors import invalid
from opoi_envs.ads.graph.relaxed import Malformed, parse

__all__ = ["IGNORED", "Params", "choice", "choices", "flag", "known", "names", "structure", "whole"]

Params = Mapping[str, str]
S = TypeVar("S", bound=str)

IGNORED = frozenset(
    {"access_token", "appsecret_proof", "locale", "pretty", "format", "debug", "suppress_http_code", "method"}
)
"""Parameters of every call that say nothing about what is asked."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")


def structure(params: Params, name: str, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:  # noqa: ANN401 - JSON
    """Return a parameter that is a JSON array or object, strict or relaxed.

    Raises:
        ApiError: It is neither.
    """
    try:
        value = parse(params[name])
    except Malformed as error:
        raise invalid(f"Param {name} is not valid JSON: {error}", name) from None
    if not isinstance(value, kind):
        wanted = "an array" if kind is list else "an object"
        raise invalid(f"Param {name} must be {wanted}.", name)
    return value


def names(params: Params, name: str) -> list[str]:
    """Return a list of names, written as a JSON array or with commas; `[]` where it is not given.

    Raises:
        ApiError: An element is no text.
    """
    text = params.get(name, "").strip()
    if not text:
        return []
    if text[0] == "[":
        items = structure(params, name, list)
    elif text[0] in "\"'":
        try:
            items = [parse(text)]
        except Malformed as error:
            raise invalid(f"Param {name} is not valid JSON: {error}", name) from None
    else:
        items = [part.strip() for part in text.split(",")]
    if not all(isinstance(item, str) for item in items):
        raise invalid(f"Param {name} must be an array of strings.", name)
    return [item for item in items if item]


def known(value: str, options: Iterable[S]) -> S | None:
    """Return the option that a text is, as what it is typed; None if it is none of them."""
    return next((option for option in options if option == value), None)


def choice(value: str, allowed: Iterable[S], name: str) -> S:
    """Return a value that must be one of a set.

    Raises:
        ApiError: It is none of them.
    """
    options = list(allowed)
    found = known(value, options)
    if found is None:
        raise invalid(f"{name} must be one of the following values: {', '.join(options)}", name)
    return found


def choices(values: Sequence[str], allowed: Iterable[S], name: str) -> list[S]:
    """Return values that must each be one of a set."""
    options = list(allowed)
    return [choice(value, options, name) for value in values]


def whole(text: str, name: str) -> int:
    """Return a whole number.

    Raises:
        ApiError: It is none, or has more than 30 digits.
    """
    if not _WHOLE.fullmatch(text.strip()):
        raise invalid(f"Param {name} must be an integer.", name)
    return int(text)


def flag(params: Params, name: str, default: bool = False) -> bool:
    """Return a truth value.

    Raises:
        ApiError: It is none.
    """
    text = params.get(name)
    if text is None:
        return default
    lowered = text.strip().lower()
    if lowered not in ("true", "false", "1", "0"):
        raise invalid(f"Param {name} must be a boolean.", name)
    return lowered in ("true", "1")
