"""What stands in for constrained decoding: judged by `jsonschema`, which the harness does not use."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.models.served.forced import Schema, read_format
from opoi.models.served.requests import RefusedError

DECISION = {
    "type": "object",
    "properties": {
        "action": {"type": "string", "enum": ["maintain", "raise", "cut"]},
        "confidence": {"type": "number", "minimum": 0.25, "maximum": 1},
        "reason": {"type": "string"},
        "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1},
    },
    "required": ["action", "confidence", "steps"],
    "additionalProperties": False,
    "$defs": {"step": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer", "minimum": 7},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
        }
    },
}

# ---------------------------------------------------------------- schemas to draw from

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.floats(-9, 9) | st.text("ab", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
BOUNDS = st.integers(-5, 5) | st.floats(-5, 5)
PLAIN = st.one_of(
    st.sampled_from(["null", "boolean", "string", "integer", "number", "array", "object"]).map(
        lambda kind: {"type": kind}
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": BOUNDS,
            "maximum": BOUNDS,
            "exclusiveMinimum": BOUNDS,
            "exclusiveMaximum": BOUNDS,
        },
    ),
    st.fixed_dictionaries(
        {"type": st.just("string")}, optional={"minLength": st.integers(0, 3), "maxLength": st.integers(0, 3)}
    ),
    st.builds(lambda members: {"enum": members}, st.lists(VALUES, min_size=1, max_size=3)),
    st.builds(lambda value: {"const": value, "description": "a note"}, VALUES),
    st.just({"type": ["null", "integer"]}),
    st.just({}),
    st.booleans(),
)


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.lists(st.sampled_from("abc"), max_size=2, unique=True)
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object")},
            optional={
                "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
                "required": keys,
                "additionalProperties": inner,
            },
        ),
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner},
            optional={"minItems": st.integers(0, 2), "maxItems": st.integers(0, 2)},
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda branches: {"oneOf": branches}, st.lists(inner, min_size=1, max_size=3)),
    )


SCHEMAS = st.recursive(PLAIN, compound, max_leaves=6)


def made(schema: Any) -> Schema | None:
    try:
        return Schema(schema, param="p")
    except RefusedError as error:
        if "no value was found" not in str(error):
            raise
        return None


# ---------------------------------------------------------------- claims


@settings(deadline=None, max_examples=150)
@given(schema=SCHEMAS, value=VALUES)
def test_the_smallest_value_fits_and_fit_is_what_the_library_says(schema: Any, value: Any) -> None:
    judge = jsonschema.Draft202012Validator(schema)
    found = made(schema)
    if found is None:
        assert not judge.is_valid(value) or "oneOf" in json.dumps(schema)  # see the module's limits
        return
    assert judge.is_valid(json.loads(found.smallest))
    assert found.fits(value) == judge.is_valid(value)


@settings(deadline=None, max_examples=100)
@given(schema=SCHEMAS, value=VALUES)
def test_a_text_that_fits_is_kept_and_no_other(schema: Any, value: Any) -> None:
    found = made(schema)
    if found is None:
        return
    text = json.dumps(value)
    fits = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (found.fitted(text) == text) >= fits
    assert jsonschema.Draft202012Validator(schema).is_valid(json.loads(found.fitted(text)))


@pytest.mark.parametrize("schema", [DECISION, TREE], ids=["decision", "tree"])
def test_a_schema_as_clients_send_it_gets_its_least_instance(schema: Any) -> None:
    value = json.loads(Schema(schema, param="p").smallest)
    jsonschema.validate(value, schema)
    assert value in (
        {"action": "cut", "confidence": 1, "steps": [{"n": 0}]},
        {"value": 7, "next": None},
    )


def test_the_last_object_in_prose_that_fits_is_taken() -> None:
    schema = Schema({"type": "object", "required": ["a"]}, param="p")
    assert schema.fitted('first {"a": 1}, then {"a": 2}, then {"b": 3}.') == '{"a": 2}'
    assert schema.fitted("none") == '{"a":null}'
    assert schema.fitted("[" * 5000) == '{"a":null}'
    nested = Schema({"type": "array", "items": {"$ref": "#"}}, param="p")
    assert nested.fitted("[[[]]]") == "[[[]]]"
    assert nested.fitted("[" * 300 + "]" * 300) == "[]"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "pattern": "a+"}, "'pattern' is not supported"),
        ({"properties": {"x": {"items": {"not": {}}}}}, "'not' is not supported"),
        ({"$ref": "#/$defs/gone"}, "points nowhere"),
        ({"$ref": "https://example.org/schema"}, "points nowhere"),
        ({"$ref": "#/const", "const": {"type": "wrong"}}, "points nowhere"),
        ({"$ref": "#"}, "no value was found"),
        (False, "no value was found"),
        ({"type": "integer", "minimum": 0.25, "maximum": 0.75}, "no value was found"),
        (
            {"$ref": "#/$defs/n", "$defs": {"n": {"required": ["n"], "properties": {"n": {"$ref": "#"}}}}},
            "no value",
        ),
        ({"type": "thing"}, "`type` must not be"),
        ({"required": "a"}, "`required` must not be"),
        ({"anyOf": []}, "`anyOf` must not be"),
        ({"minimum": "1"}, "`minimum` must not be"),
        ({"minItems": 10**9}, "`minItems` must not be"),
        ([], "an object or a boolean"),
        ({"items": 3}, "an object or a boolean"),
        (
            {
                "$ref": "#/$defs/d0",
                "$defs": {
                    f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{j}"} for j in range(20)]} for i in range(20)
                },
            },
            "too many branches",
        ),
        (
            {"type": "array", "minItems": 999, "items": {"type": "array", "minItems": 999}},
            "too large",
        ),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused_and_never_half_done(schema: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        Schema(schema, param="response_format")
    assert caught.value.body["error"]["param"] == "response_format"
    assert caught.value.status == 400


def test_the_forms_of_response_format() -> None:
    assert read_format(None) is None
    assert read_format({"type": "text"}) is None
    free = read_format({"type": "json_object"})
    assert free is not None
    assert (free.smallest, free.fitted('{"x": 1}'), free.fitted("[1]")) == ("{}", '{"x": 1}', "{}")
    held = read_format(
        {"type": "json_schema", "json_schema": {"name": "d", "strict": True, "schema": DECISION}}
    )
    assert held is not None
    assert json.loads(held.smallest)["action"] == "cut"


@pytest.mark.parametrize(
    "raw",
    [
        "json",
        {"type": "xml"},
        {},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"schema": {}}},
    ],
)
def test_other_forms_are_refused(raw: object) -> None:
    with pytest.raises(RefusedError, match="`response_format` is"):
        read_format(raw)
