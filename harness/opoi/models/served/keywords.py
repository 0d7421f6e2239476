"""The keywords of JSON Schema that are understood: their form, and what they say of values without parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["FORMS", "SIMPLE", "UNDERSTOOD", "plain_fits", "types_of"]

_NOTES = frozenset(
    [
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "example",
        "examples",
        "format",
        "readOnly",
        "strict",
        "title",
        "writeOnly",
    ]
)
UNDERSTOOD = _NOTES | frozenset(
    [
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "items",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "type",
    ]
)
"""Keywords that a schema may use: notes, which say nothing of values, and those that are followed."""

_MOST_ITEMS = 1_000
"""Most items or characters that a schema may demand."""

# ---------------------------------------------------------------- values without parts


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the types of values to try; without `type` the one that the other keywords speak of."""
    given = schema.get("type")
    if given is None:
        shaped = "object" if schema.keys() & {"properties", "required"} else None
        return [shaped or ("array" if "items" in schema else "null")]
    return [given] if isinstance(given, str) else given


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_IS: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": _is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def plain_fits(value: Any, schema: Mapping[str, Any]) -> bool:  # noqa: ANN401 - JSON
    """Check what does not concern the parts of a value."""
    kinds = schema.get("type", ())
    if kinds and not any(_IS[kind](value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if "enum" in schema and not any(_same(value, member) for member in schema["enum"]):
        return False
    if isinstance(value, str):
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf))
    if _is_number(value):
        above = value >= schema.get("minimum", -math.inf) and value > schema.get(
            "exclusiveMinimum", -math.inf
        )
        return bool(
            above
            and value <= schema.get("maximum", math.inf)
            and value < schema.get("exclusiveMaximum", math.inf)
        )
    return True


def _same(one: object, other: object) -> bool:
    """Return whether two JSON values are equal; Python takes true for 1."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _integers(schema: Mapping[str, Any]) -> Iterator[int]:
    yield 0
    for bound in _bounds(schema):
        yield from (math.floor(bound), math.ceil(bound), math.floor(bound) + 1, math.ceil(bound) - 1)


def _numbers(schema: Mapping[str, Any]) -> Iterator[float]:
    yield from _integers(schema)
    yield from _bounds(schema)
    low = [schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema]
    high = [schema[key] for key in ("maximum", "exclusiveMaximum") if key in schema]
    if low and high:
        yield (max(low) + min(high)) / 2


def _bounds(schema: Mapping[str, Any]) -> list[float]:
    keys = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    return [schema[key] for key in keys if key in schema]


SIMPLE: dict[str, Callable[[Mapping[str, Any]], Iterable[Any]]] = {  # type -> values to try
    "null": lambda _: (None,),
    "boolean": lambda _: (False,),
    "integer": _integers,
    "number": _numbers,
    "string": lambda schema: ("a" * schema.get("minLength", 0),),
}


# ---------------------------------------------------------------- the form of keywords


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_ITEMS


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_type(value: object) -> bool:
    return value in _IS if isinstance(value, str) else bool(value) and _texts_in(value, _IS)


def _texts_in(value: object, known: Mapping[str, object] | None = None) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, str) and (known is None or item in known) for item in value
    )


def _filled(value: object) -> bool:
    return isinstance(value, list) and bool(value)


FORMS: dict[str, Callable[[Any], bool]] = {  # keyword -> whether its own value is well formed
    "type": _is_type,
    "enum": _filled,
    "anyOf": _filled,
    "oneOf": _filled,
    "$defs": lambda value: isinstance(value, dict),
    "definitions": lambda value: isinstance(value, dict),
    "properties": lambda value: isinstance(value, dict),
    "required": _texts_in,
    "minItems": _is_count,
    "minLength": _is_count,
    "maxItems": _is_size,
    "maxLength": _is_size,
    "$ref": lambda value: isinstance(value, str),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
}
