"""A description of the API for tools that read OpenAPI: the paths, and what each takes."""

from __future__ import annotations

from typing import Any

from opoi_envs.ads.graph import dates
from opoi_envs.ads.graph.filters import OPERATORS
from opoi_envs.ads.graph.objects import EDGES
from opoi_envs.ads.graph.query import BREAKDOWNS, LEVELS
from opoi_envs.ads.graph.writes import CREATABLE, WRITABLE

__all__ = ["schema"]

_TEXT: dict[str, Any] = {"type": "string"}
_LIST = ("fields", "limit", "after", "before", "summary", "effective_status", "filtering")
_PAGED = ("fields", "limit", "after", "time_range", "time_ranges", "time_increment", "filtering", "sort")
_INSIGHTS = (*_PAGED, "action_attribution_windows", "action_breakdowns")
_ANSWERS: dict[str, Any] = {
    status: {"description": text, "content": {"application/json": {"schema": {}}}}
    for status, text in (("200", "The answer"), ("400", "An error"), ("403", "An error"), ("404", "An error"))
}


def schema(account: str) -> dict[str, Any]:
    """Return the OpenAPI document of an account's API.

    Args:
        account: `act_` and digits.
    """
    node = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, "example": account}
    paths: dict[str, Any] = {
        "/v26.0/": {"post": _operation([], {"batch": _TEXT}), "get": _operation([_in("ids"), _in("fields")])},
        "/v26.0/{id}/": {
            "get": _operation([node, _in("fields")]),
            "post": _operation([node], _writable()),
            "delete": _operation([node]),
        },
        "/v26.0/{id}/insights": {
            "get": _operation([node, *_insights()]),
            "post": _operation([node], dict.fromkeys(_INSIGHTS, _TEXT) | {"breakdowns": _TEXT}),
        },
        "/v26.0/me/adaccounts": {"get": _operation([_in("fields"), _in("limit"), _in("after")])},
        "/control/state": {"get": _operation([])},
        "/control/reset": {"post": _operation([])},
        "/control/advance": {"post": _operation([_in("days"), _in("seconds")])},
    }
    for edge, kind in zip(EDGES["account"], CREATABLE, strict=False):
        paths[f"/v26.0/{{id}}/{edge}"] = {"get": _operation([node, *(_in(name) for name in _LIST)])}
        body = dict.fromkeys([*CREATABLE[kind], "execution_options"], _TEXT)
        paths[f"/v26.0/{account}/{edge}"] = {"post": _operation([], body)}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Simulated ad account", "version": "26.0"},
        "security": [{"token": []}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": paths,
    }


def _in(name: str, *values: str) -> dict[str, Any]:
    """Return a parameter of the query; with values, one of these."""
    kind = {"type": "string", "enum": list(values)} if values else _TEXT
    return {"name": name, "in": "query", "required": False, "schema": kind}


def _insights() -> list[dict[str, Any]]:
    chosen = [_in("level", *LEVELS), _in("date_preset", *dates.PRESETS), _in("breakdowns", *BREAKDOWNS)]
    filtering = _in("filtering")
    filtering["example"] = f'[{{"field":"spend","operator":"{OPERATORS[2]}","value":1}}]'
    return [*chosen, filtering, *(_in(name) for name in _INSIGHTS if name != "filtering")]


def _writable() -> dict[str, Any]:
    names = [name for readers in WRITABLE.values() for name in readers]
    return dict.fromkeys([*names, "adset_budgets", "execution_options"], _TEXT)


def _operation(parameters: list[dict[str, Any]], body: dict[str, Any] | None = None) -> dict[str, Any]:
    operation: dict[str, Any] = {"parameters": parameters, "responses": _ANSWERS}
    if body is not None:
        kind = {"schema": {"type": "object", "properties": body}}
        operation["requestBody"] = {"content": {"application/x-www-form-urlencoded": kind}}
    return operation
