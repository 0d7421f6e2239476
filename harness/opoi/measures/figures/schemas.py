"""Are the values for which a JSON Schema lists choices among these? Nothing else of the schema is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["enums_hold"]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def enums_hold(value: object, schema: Mapping[str, Any]) -> bool:
    """Return whether every value in a JSON value is one of the choices that `enum` and `const` leave it.

    Of several alternatives (`anyOf`, `oneOf`) those count whose `type` the value has; where it has none of
    them, that is another fault.

    Args:
        value: Decoded JSON.
        schema: JSON Schema with `properties`, `additionalProperties`, `items`, `prefixItems`, `allOf`,
            `anyOf`, `oneOf`, and `$ref` into itself (`#/...`).
    """
    return _holds(value, schema, schema)


def _holds(value: object, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    schema = _followed(schema, root)
    choices = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]
    if choices and not any(_same(value, choice) for choice in choices):
        return False
    if not all(_holds(part, below, root) for part, below in _parts(value, schema)):
        return False
    if not all(_holds(value, part, root) for part in schema.get("allOf", ())):
        return False
    for key in ("anyOf", "oneOf"):
        fitting = [part for part in schema.get(key, ()) if _has_type(value, _followed(part, root))]
        if fitting and not any(_holds(value, part, root) for part in fitting):
            return False
    return True


def _followed(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema with what its `$ref` names."""
    if "$ref" not in schema:
        return schema
    target: Any = root
    for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
        target = target[step.replace("~1", "/").replace("~0", "~")]
    return {**_followed(target, root), **{key: part for key, part in schema.items() if key != "$ref"}}


def _parts(value: object, schema: Mapping[str, Any]) -> Iterator[tuple[object, Mapping[str, Any]]]:
    """Yield the parts of a value with their schemas."""
    if isinstance(value, dict):
        named = schema.get("properties", {})
        other = schema.get("additionalProperties")
        for key, part in value.items():
            below = named.get(key, other)
            if isinstance(below, Mapping):
                yield part, below
    elif isinstance(value, list):
        first = schema.get("prefixItems", ())
        yield from zip(value, first, strict=False)
        rest = schema.get("items")
        if isinstance(rest, Mapping):
            yield from ((part, rest) for part in value[len(first) :])


def _has_type(value: object, schema: Mapping[str, Any]) -> bool:
    names = schema.get("type")
    if names is None:
        return True
    return any(_is(value, name) for name in ([names] if isinstance(names, str) else names))


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _same(left: object, right: object) -> bool:
    """Return whether two JSON values are equal; true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(part, right[key]) for key, part in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and left == right
