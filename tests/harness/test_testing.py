"""The hypothesis strategies that are shipped to users."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from opoi.registry import load_suite
from opoi.testing import arguments, cases, decisions, reviews, scenarios, tool_calls
from opoi.types import Case, Review
from opoi.wire import call_action

SUITES = {name: load_suite(name) for name in ("ads", "echo")}
FIRST = {name: next(iter(suite.scenarios(1, 0))) for name, suite in SUITES.items()}
TOOLS = {name: tuple(suite.env(FIRST[name]).tools) for name, suite in SUITES.items()}
names = st.sampled_from(sorted(SUITES))
quick = settings(max_examples=60, deadline=None)


@given(name=names, data=st.data())
@quick
def test_scenarios_are_those_of_the_suite(name, data):
    scenario = data.draw(scenarios(SUITES[name], seed=3, most=5))
    assert scenario in list(SUITES[name].scenarios(5, 3))


def test_scenarios_shrink_towards_the_first():
    assert find(scenarios(SUITES["echo"]), lambda _: True) == FIRST["echo"]


@given(name=names, data=st.data())
@quick
def test_valid_tool_calls_are_understood_and_others_are_answered_too(name, data):
    env = SUITES[name].env(FIRST[name])
    env.reset()
    ids = st.just({"campaign_id": FIRST[name].entity})
    call = data.draw(tool_calls(env.tools, also=ids))
    text, reward, over, _, info = env.step(call_action(call.name, call.arguments))
    assert "not valid" not in text or "campaign_id" in call.arguments
    assert (reward, over) == (0.0, False)
    odd = data.draw(tool_calls(env.tools, valid=False))
    text, _, over, _, info = env.step(call_action(odd.name or "x", odd.arguments))
    assert not over
    assert isinstance(json.loads(text), dict) or not info["error"]


@given(name=names, data=st.data())
@quick
def test_decisions_fit_the_suite(name, data):
    decision = data.draw(decisions(SUITES[name], FIRST[name]))
    assert decision.action in (*SUITES[name].actions, "")
    assert decision.valid == bool(decision.action)


@given(name=names, data=st.data())
@quick
def test_cases_and_reviews_come_from_the_suites_experts_and_survive_json(name, data):
    case, review = data.draw(cases(SUITES[name])), data.draw(reviews(SUITES[name]))
    assert case.verdict.expert in SUITES[name].experts
    assert (case.verdict.kind == "approve") == (case.base.decision.action == case.verdict.action)
    assert msgspec.json.decode(msgspec.json.encode(case), type=Case) == case
    assert msgspec.json.decode(msgspec.json.encode(review), type=Review) == review


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"type": "integer", "minimum": 3, "maximum": 5}, lambda value: value in (3, 4, 5)),
        ({"type": "string", "minLength": 2, "maxLength": 3}, lambda value: 2 <= len(value) <= 3),
        ({"type": "string", "minLength": 90}, lambda value: len(value) >= 90),
        ({"type": "array", "minItems": 6}, lambda value: len(value) >= 6),
        ({"enum": ["a", None]}, lambda value: value in ("a", None)),
        ({"const": 7}, lambda value: value == 7),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, lambda value: value in (None, True, False)),
        ({"type": ["null", "boolean"]}, lambda value: value in (None, True, False)),
        ({"type": "number", "minimum": 0}, lambda value: value >= 0),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 2},
            lambda value: value in ([None], [None, None]),
        ),
        ({"$ref": "#/$defs/X", "$defs": {"X": {"const": 1}}}, lambda value: value == 1),
        (
            {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["a"]},
            lambda value: value in ({"a": 1}, {"a": 1, "b": 2}),
        ),
    ],
)
def test_arguments_fit_their_schema(schema, fits):
    with pytest.raises(NoSuchExample):
        find(arguments(schema), lambda value: not fits(value), settings=settings(max_examples=200))


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "date"}, "'date'"),
        ({}, "without `type`"),
        ({"oneOf": [{"type": "null"}]}, "'oneOf'"),
        ({"type": "integer", "exclusiveMinimum": 0}, "'exclusiveMinimum'"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}, "'pattern'"),
    ],
)
def test_a_schema_that_is_not_understood_is_refused(schema, word):
    with pytest.raises(ValueError, match=word):
        arguments(schema)


def test_calls_of_no_tools_are_refused():
    with pytest.raises(ValueError, match="no tools"):
        tool_calls([])
