"""What constrained decoding gives: text that fits a JSON Schema, whatever the model wrote.

A text that fits is kept, and so is the last object in it that fits. Otherwise the smallest value of the
schema stands in for what a model would have been made to write.

Limits: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `minItems`,
`maxItems`, `minLength`, `maxLength`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `anyOf`,
`oneOf` and `$ref` within the schema are understood; notes such as `description` and `format` are passed
over; a schema with any other keyword (`pattern`, `allOf`, `not` ...) is refused. Branches of `anyOf` are
tried with the keywords beside them replaced, not combined, and the smallest value of a branch of `oneOf` has
to fit no other: a schema for which no value is found in this way is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from opoi.models.served.keywords import FORMS, SIMPLE, UNDERSTOOD, plain_fits, types_of
from opoi.models.served.requests import RefusedError
from opoi.wire import find_objects

__all__ = ["Schema", "read_format"]

_DEEPEST = 64
"""Most levels of a value; deeper ones fit nothing."""

_MOST_STEPS = 100_000
"""Most subschemas that a value is compared with: unions of unions can be without end."""

_MOST_BUILT = 20_000
"""Most subschemas that are looked at to make the smallest value."""

_MOST_BYTES = 100_000
"""Most bytes of a smallest value."""

_encode = msgspec.json.Encoder().encode


def read_format(raw: object) -> Schema | None:
    """Return the schema that the field `response_format` asks for, None for free text.

    Raises:
        RefusedError: It is malformed, or a schema that cannot be followed.
    """
    kind = raw.get("type") if isinstance(raw, dict) else None
    if raw is None or kind == "text":
        return None
    if kind == "json_object":
        return Schema({"type": "object"}, param="response_format")
    inner = raw.get("json_schema") if isinstance(raw, dict) else None
    if kind != "json_schema" or not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise RefusedError(
            "`response_format` is {'type': 'text'}, {'type': 'json_object'} or"
            " {'type': 'json_schema', 'json_schema': {'name': ..., 'schema': ...}}",
            param="response_format",
            code="invalid_value",
        )
    return Schema(inner.get("schema", {}), param="response_format")


class Schema:
    """A JSON Schema that values can be held to.

    Args:
        root: The schema.
        param: Field of the request that it came in; for errors.

    Attributes:
        smallest: The JSON of a small value that fits: no more than what is required, the shortest of a
            choice, numbers near 0, empty texts, `false`.

    Raises:
        RefusedError: It is malformed, uses a keyword that is not understood, or no value was found.
    """

    def __init__(self, root: object, *, param: str) -> None:
        self._root = root
        self._param = param
        self._left = _MOST_BUILT
        schemas = list(_every(root))
        self._known = {id(schema) for schema in schemas}
        for schema in schemas:
            self._check(schema)
        try:
            value = self._build(root, frozenset())
        except RecursionError as error:
            raise self._refused("the schema is nested too deeply", "unsupported_value") from error
        if value is _NOTHING or not self.fits(value):
            raise self._refused("no value was found that fits the schema")
        self.smallest: str = _encode(value).decode()

    def fits(self, value: object) -> bool:
        """Return whether a decoded JSON value fits.

        Raises:
            RefusedError: It cannot be told in a bounded number of steps.
        """
        self._left = _MOST_STEPS
        return self._fits(value, self._root, 0)

    def fitted(self, text: str) -> str:
        """Return the text if it fits, else the last object in it that fits, else the smallest value.

        Raises:
            RefusedError: It cannot be told in a bounded number of steps what fits.
        """
        candidates = [text, *(text[start:end] for start, end in reversed(find_objects(text)))]
        return next((candidate for candidate in candidates if self._text_fits(candidate)), self.smallest)

    def _text_fits(self, text: str) -> bool:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return False
        return self.fits(value)

    # ------------------------------------------------------------ checking the schema

    def _refused(self, problem: str, code: str = "invalid_value") -> RefusedError:
        return RefusedError(f"`{self._param}`: {problem}", param=self._param, code=code)

    def _check(self, schema: object) -> None:
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            raise self._refused(f"a schema is an object or a boolean, not {schema!r}")
        unknown = sorted(schema.keys() - UNDERSTOOD)
        if unknown:
            raise self._refused(f"the keyword {unknown[0]!r} is not supported", "unsupported_value")
        for key, right in FORMS.items():
            if key in schema and not right(schema[key]):
                raise self._refused(f"`{key}` must not be {schema[key]!r}")
        if "$ref" in schema:
            self._target(schema["$ref"])

    def _target(self, reference: str) -> object:
        """Return the schema that a `$ref` within this one points to."""
        head, *path = reference.split("/")
        found: object = self._root
        for part in path:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        if head != "#" or id(found) not in self._known:
            raise self._refused(f"`$ref` {reference!r} points nowhere in the schema")
        return found

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise self._refused(
                "the schema has too many branches or a text too many parts", "unsupported_value"
            )

    # ------------------------------------------------------------ checking a value

    def _fits(self, value: object, schema: Any, depth: int) -> bool:  # noqa: ANN401 - JSON
        if isinstance(schema, bool):
            return schema
        self._step()
        if depth > _DEEPEST:
            return False
        if "$ref" in schema and not self._fits(value, self._target(schema["$ref"]), depth + 1):
            return False
        if not plain_fits(value, schema):
            return False
        if isinstance(value, dict) and not self._object_fits(value, schema, depth):
            return False
        if isinstance(value, list) and not self._list_fits(value, schema, depth):
            return False
        branches = [self._fits(value, branch, depth + 1) for branch in schema.get("oneOf", ())]
        if branches and sum(branches) != 1:
            return False
        return "anyOf" not in schema or any(
            self._fits(value, branch, depth + 1) for branch in schema["anyOf"]
        )

    def _object_fits(self, value: Mapping[str, object], schema: Mapping[str, Any], depth: int) -> bool:
        properties, other = schema.get("properties", {}), schema.get("additionalProperties", True)
        return all(key in value for key in schema.get("required", ())) and all(
            self._fits(item, properties.get(key, other), depth + 1) for key, item in value.items()
        )

    def _list_fits(self, value: list[object], schema: Mapping[str, Any], depth: int) -> bool:
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        inner = schema.get("items", True)
        return least <= len(value) <= most and all(self._fits(item, inner, depth + 1) for item in value)

    # ------------------------------------------------------------ making a value

    def _build(self, schema: Any, inside: frozenset[str]) -> Any:  # noqa: ANN401 - JSON
        """Return a small value, or `_NOTHING`.

        A smallest value holds no value of a `$ref` within one of the same: that is passed over.
        """
        self._step()
        if isinstance(schema, bool):
            return None if schema else _NOTHING
        options = [value for value in self._options(schema, inside) if value is not _NOTHING]
        value = min(options, key=_length, default=_NOTHING)
        if value is not _NOTHING and _length(value) > _MOST_BYTES:
            raise self._refused("its values are too large", "unsupported_value")
        return value

    def _options(self, schema: dict[str, Any], inside: frozenset[str]) -> Iterator[Any]:
        """Yield values that may do, of each branch or type the smallest."""
        if "$ref" in schema:
            reference = schema["$ref"]
            target = self._target(reference)
            if reference not in inside and len(inside) < _DEEPEST:
                yield self._build(_over(schema, "$ref", target), inside | {reference})
            return
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                for branch in schema[choice]:
                    value = self._build(_over(schema, choice, branch), inside)
                    if value is not _NOTHING and self._fits(value, schema, 0):
                        yield value
                return
        if "const" in schema or "enum" in schema:
            members = [schema["const"]] if "const" in schema else schema["enum"]
            yield from (member for member in members if self._fits(member, schema, 0))
            return
        for kind in types_of(schema):
            yield self._of_type(kind, schema, inside)

    def _of_type(self, kind: str, schema: dict[str, Any], inside: frozenset[str]) -> Any:  # noqa: ANN401 - JSON
        if kind == "object":
            return self._an_object(schema, inside)
        if kind == "array":
            return self._a_list(schema, inside)
        values: Iterable[Any] = SIMPLE[kind](schema)
        return next((value for value in values if plain_fits(value, schema)), _NOTHING)

    def _an_object(self, schema: dict[str, Any], inside: frozenset[str]) -> Any:  # noqa: ANN401 - JSON
        properties, other = schema.get("properties", {}), schema.get("additionalProperties", True)
        made = {key: self._build(properties.get(key, other), inside) for key in schema.get("required", ())}
        return _NOTHING if any(value is _NOTHING for value in made.values()) else made

    def _a_list(self, schema: dict[str, Any], inside: frozenset[str]) -> Any:  # noqa: ANN401 - JSON
        count = schema.get("minItems", 0)
        if not count:
            return []
        item = self._build(schema.get("items", True), inside)
        return _NOTHING if item is _NOTHING or count > schema.get("maxItems", count) else [item] * count


_NOTHING: Any = object()
"""Stands for a value that there is not; None is a value."""


def _length(value: object) -> int:
    return len(_encode(value))


def _every(root: object) -> Iterator[object]:
    """Yield a schema and all in it, level by level."""
    level = [root]
    while level:
        yield from level
        level = [inner for schema in level if isinstance(schema, dict) for inner in _inner(schema)]


def _inner(schema: Mapping[str, Any]) -> Iterator[object]:
    for key in ("$defs", "definitions", "properties"):
        if isinstance(schema.get(key), dict):
            yield from schema[key].values()
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            yield from schema[key]
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield schema[key]


def _over(schema: dict[str, Any], key: str, inner: object) -> object:
    """Return the keywords of a branch, with those beside it where it has none."""
    rest = {name: value for name, value in schema.items() if name != key}
    return {**rest, **inner} if isinstance(inner, dict) else rest if inner else False
