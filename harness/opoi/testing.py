"""Hypothesis strategies for people who test suites, strategies, rules and measures of their own.

    from hypothesis import given
    from opoi.registry import load_suite
    from opoi.testing import reviews, scenarios, tool_calls

    suite = load_suite("ads")

    @given(scenarios(suite))
    def test_my_rule_...(scenario): ...

Needs hypothesis (`pip install hypothesis`); nothing else of this package does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from hypothesis import strategies as st

from opoi.protocols import Suite
from opoi.types import Case, Decision, Review, Scenario, ToolCall, ToolSpec, Trace

__all__ = ["arguments", "cases", "decisions", "reviews", "scenarios", "tool_calls"]

_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def scenarios(suite: Suite, *, seed: int = 0, most: int = 50) -> st.SearchStrategy[Scenario]:
    """Draw scenarios of a suite; shrinks towards the first.

    Args:
        suite: The suite.
        seed: Its seed for scenarios.
        most: Draw from the first so many.
    """
    return st.integers(0, most - 1).map(
        lambda index: _first(suite, seed, most)[index]  # type: ignore[arg-type]  # suites hash by identity
    )


@lru_cache(maxsize=16)
def _first(suite: Suite, seed: int, most: int) -> tuple[Scenario, ...]:
    return tuple(suite.scenarios(most, seed))


def arguments(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Draw values that fit a JSON Schema of the kind that tools of suites have.

    Understands `type` (a name or a list of them), `enum`, `const`, `anyOf`, `$ref` into `$defs`,
    `properties`, `required`, `items`, and the bounds of strings, numbers and lists.

    Raises:
        ValueError: The schema says something else.
    """
    return _value(schema, schema.get("$defs", {}))


def tool_calls(
    tools: Iterable[ToolSpec], *, valid: bool = True, also: st.SearchStrategy[Any] | None = None
) -> st.SearchStrategy[ToolCall]:
    """Draw calls of tools.

    Args:
        tools: Tools on offer.
        valid: Whether arguments fit the schema. Otherwise names and arguments are anything: other tools,
            broken JSON, values of other types, NaN.
        also: Further argument values to try, e.g. ids that exist.

    Raises:
        ValueError: There are no tools, or a schema cannot be drawn from; see `arguments`.
    """
    listed = tuple(tools)
    if not listed:
        raise ValueError("no tools to call")
    extra = st.nothing() if also is None else also
    if valid:
        calls = [
            st.tuples(st.just(tool.name), (arguments(tool.parameters) | extra).map(_json)) for tool in listed
        ]
        chosen = st.one_of(calls)
    else:
        names = st.sampled_from([tool.name for tool in listed]) | st.text(max_size=20)
        fields = st.sampled_from(
            sorted({key for tool in listed for key in tool.parameters.get("properties", {})} or {""})
        )
        objects = st.dictionaries(fields | st.text(max_size=8), _ANYTHING, max_size=4)
        chosen = st.tuples(names, (objects | _ANYTHING | extra).map(_loose) | st.text(max_size=40))
    return chosen.map(lambda pair: ToolCall(id="call", name=pair[0], arguments=pair[1]))


def decisions(suite: Suite, scenario: Scenario) -> st.SearchStrategy[Decision]:
    """Draw valid decisions about a scenario, and now and then an unreadable one."""
    readable = st.sampled_from(suite.actions).map(
        lambda action: Decision(
            action=action, entity=scenario.entity, reasoning=f"I choose {action}.", payload={"action": action}
        )
    )
    return readable | st.just(Decision(problems=("no JSON object in the answer",)))


@st.composite
def reviews(draw: st.DrawFn, suite: Suite, *, seed: int = 0, most: int = 50) -> Review:
    """Draw what an expert of a suite says about some decision."""
    case = draw(cases(suite, seed=seed, most=most))
    return Review(scenario_id=case.scenario.id, trace_id=case.base.id, verdict=case.verdict)


@st.composite
def cases(draw: st.DrawFn, suite: Suite, *, seed: int = 0, most: int = 50) -> Case:
    """Draw reviewed cases: a scenario, a bare trace that ends in some decision, an expert's verdict on it."""
    scenario = draw(scenarios(suite, seed=seed, most=most))
    decision = draw(decisions(suite, scenario))
    expert = suite.experts[draw(st.sampled_from(sorted(suite.experts)))]
    base = Trace(
        id=f"{scenario.id}/base/0",
        scenario_id=scenario.id,
        arm="base",
        run=0,
        as_of=scenario.as_of,
        decision=decision,
    )
    return Case(scenario=scenario, base=base, verdict=expert(scenario, base))


# ---------------------------------------------------------------- values of a schema


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _loose(value: object) -> str:
    """Write a value as JSON; what JSON does not have (NaN) is written as models write it."""
    return json.dumps(value)


_UNDERSTOOD = {
    *("type", "enum", "const", "anyOf", "$ref", "$defs", "title", "description", "default"),
    *("properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
    *("minLength", "maxLength", "minimum", "maximum"),
}


def _value(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    strange = sorted(set(schema) - _UNDERSTOOD)
    if strange:
        raise ValueError(f"cannot draw values for the keyword {strange[0]!r}")
    if "$ref" in schema:
        return _value(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if "anyOf" in schema:
        return st.one_of([_value(each, defs) for each in schema["anyOf"]])
    kinds = schema.get("type")
    if not kinds:
        raise ValueError("cannot draw values of a schema without `type`, `enum`, `const`, `anyOf` or `$ref`")
    return st.one_of([_typed(kind, schema, defs) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def _typed(kind: str, schema: Mapping[str, Any], defs: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if kind == "object":
        return _object(schema, defs)
    if kind == "array":
        least = schema.get("minItems", 0)
        items = _value(schema["items"], defs) if "items" in schema else _ANYTHING
        return st.lists(items, min_size=least, max_size=schema.get("maxItems", least + 4))
    if kind == "string":
        printable = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])
        least = schema.get("minLength", 0)
        most = min(schema.get("maxLength", least + 40), least + 80)
        return st.text(printable, min_size=least, max_size=most)
    if kind == "integer":
        return st.integers(low, high)
    if kind == "number":
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if kind in ("boolean", "null"):
        return st.booleans() if kind == "boolean" else st.none()
    raise ValueError(f"cannot draw values of the type {kind!r}")


def _object(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    needed = set(schema.get("required", ()))
    fields = {name: _value(each, defs) for name, each in schema.get("properties", {}).items()}
    return st.fixed_dictionaries(
        {name: each for name, each in fields.items() if name in needed},
        optional={name: each for name, each in fields.items() if name not in needed},
    )
