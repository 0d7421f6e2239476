"""Changing, creating and deleting objects. Everything is checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from opoi_envs.ads.account.nodes import KINDS, STATUSES, Kind, Node, Refused
from opoi_envs.ads.graph import dates
from opoi_envs.ads.graph.errors import ApiError, from_refused, invalid, unknown_object
from opoi_envs.ads.graph.limits import Limits
from opoi_envs.ads.graph.objects import ATTRIBUTION, BID_STRATEGIES, BILLING_EVENTS, GOALS, OBJECTIVES
from opoi_envs.ads.graph.params import IGNORED, Params, choice, choices, flag, names, structure, whole
from opoi_envs.ads.graph.site import Call, Site

__all__ = ["CREATABLE", "WRITABLE", "change", "create", "delete"]

Reader = Callable[[Params, str], Any]
_OPTIONS = ("validate_only", "include_recommendations", "synchronous_ad_review")
_CATEGORIES = (
    "NONE",
    "EMPLOYMENT",
    "HOUSING",
    "CREDIT",
    "FINANCIAL_PRODUCTS_SERVICES",
    "ISSUES_ELECTIONS_POLITICS",
    "ONLINE_GAMBLING_AND_GAMING",
)
_LONGEST = 400
_CAPPED = ("COST_CAP", "LOWEST_COST_WITH_BID_CAP")
_TIMES = ("start_time", "stop_time", "end_time")
_SHARING_SINCE = (24, 0)


def _name(params: Params, key: str) -> str:
    text = params[key]
    if not text.strip() or len(text) > _LONGEST:
        raise invalid(f"Param {key} must be a text of 1 to {_LONGEST} characters.", key)
    return text


def _one_of(*values: str) -> Reader:
    return lambda params, key: choice(params[key], values, key)


def _positive(params: Params, key: str) -> int:
    number = whole(params[key], key)
    if not 1 <= number <= 10**9:
        raise invalid(f"Param {key} must be between 1 and 1000000000.", key)
    return number


def _cents(params: Params, key: str) -> int:
    return whole(params[key], key)


def _moment(params: Params, key: str) -> str:
    return dates.read_moment(params[key], key)


def _targeting(params: Params, key: str) -> dict[str, Any]:
    value: dict[str, Any] = structure(params, key, dict)
    low, high = value.get("age_min", 18), value.get("age_max", 65)
    for age in (low, high):
        if isinstance(age, bool) or not isinstance(age, int) or not 13 <= age <= 65:
            raise invalid("targeting: ages must be integers from 13 to 65", key)
    if low > high:
        raise invalid("targeting: age_min must not be above age_max", key)
    if not value:
        raise invalid("targeting must not be empty", key)
    return value


def _creative(params: Params, key: str) -> str:
    """Return the id of a creative: as given, or one that its description always gets."""
    value = structure(params, key, dict)
    given = value.get("creative_id", value.get("id"))
    if given is None:
        if not value:
            raise invalid("creative must not be empty", key)
        digest = blake2b(params[key].encode("utf-8", "replace"), digest_size=6).digest()
        return f"6{int.from_bytes(digest):015d}"
    text = str(given)
    if isinstance(given, bool) or not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise invalid("creative: creative_id must be an id", key)
    return text


def _categories(params: Params, key: str) -> list[str]:
    text = params[key].strip()
    return choices(names({key: text}, key), _CATEGORIES, key)


def _attribution(params: Params, key: str) -> list[Any]:
    """Return the one attribution setting that the simulation knows."""
    value: list[Any] = structure(params, key, list)
    known = sorted(ATTRIBUTION, key=str)
    if not all(isinstance(part, dict) for part in value) or sorted(value, key=str) != known:
        raise invalid("attribution_spec must be 7 days after a click and 1 day after a view", key)
    return ATTRIBUTION


_BUDGETS: dict[str, Reader] = {"daily_budget": _cents, "lifetime_budget": _cents}
_COMMON: dict[str, Reader] = {"name": _name, "status": _one_of(*STATUSES)}

WRITABLE: dict[Kind, dict[str, Reader]] = {
    "campaign": {
        **_COMMON,
        **_BUDGETS,
        "bid_strategy": _one_of(*BID_STRATEGIES),
        "start_time": _moment,
        "stop_time": _moment,
    },
    "adset": {
        **_COMMON,
        **_BUDGETS,
        "bid_strategy": _one_of(*BID_STRATEGIES),
        "bid_amount": _positive,
        "start_time": _moment,
        "end_time": _moment,
        "targeting": _targeting,
    },
    "ad": {**_COMMON, "bid_amount": _positive, "creative": _creative},
}
"""What a write may set, by level."""

CREATABLE: dict[Kind, dict[str, Reader]] = {
    "campaign": {
        **WRITABLE["campaign"],
        "objective": _one_of(*OBJECTIVES),
        "special_ad_categories": _categories,
        "buying_type": _one_of("AUCTION"),
        "spend_cap": lambda params, key: str(_positive(params, key)),
        "is_adset_budget_sharing_enabled": flag,
    },
    "adset": {
        **WRITABLE["adset"],
        "campaign_id": lambda params, key: params[key],
        "optimization_goal": _one_of(*GOALS),
        "billing_event": _one_of(*BILLING_EVENTS),
        "promoted_object": lambda params, key: structure(params, key, dict),
        "attribution_spec": _attribution,
    },
    "ad": {**WRITABLE["ad"], "adset_id": lambda params, key: params[key]},
}
"""What a creation may set, by level."""

_REQUIRED: dict[Kind, tuple[str, ...]] = {
    "campaign": ("name", "objective", "special_ad_categories"),
    "adset": ("name", "campaign_id", "optimization_goal", "billing_event", "targeting"),
    "ad": ("name", "adset_id", "creative"),
}
_PARENT: dict[Kind, str] = {"campaign": "", "adset": "campaign_id", "ad": "adset_id"}
_EDGES: dict[str, Kind] = {"campaigns": "campaign", "adsets": "adset", "ads": "ad"}


def change(site: Site, call: Call, name: str, limits: Limits) -> dict[str, Any]:
    """Answer `POST /<id>/`.

    Raises:
        ApiError: The write is not acceptable; nothing has changed.
    """
    node = _living(site, call, name)
    check_only, given = _options(call.params)
    shared = given.pop("adset_budgets", None) if node.kind == "campaign" else None
    if not given and shared is None:
        raise invalid("A write needs at least one field.")
    values = _settings(WRITABLE[node.kind], given)
    _consistent(site, node, values)
    blame = next((key for key in _BUDGETS if key in given), "")
    budgets = _shares(call.params) if shared is not None else {}
    if shared is not None and "budget_cents" in values:
        raise invalid("adset_budgets moves the budget away: no other budget can be given.", "adset_budgets")
    try:
        if shared is not None:
            site.account.share_out(node, budgets, check_only=True)
        site.account.change(node, check_only=True, **values)
        if check_only:
            return {"success": True}
        touched = [*budgets, *([node.id] if _moves_budget(node, values) else [])]
        limits.allow_budgets(touched, site.now)
        if shared is not None:
            site.account.share_out(node, budgets)
        if values:
            site.account.change(node, **values)
    except Refused as refused:
        raise from_refused(refused, call.method, name, blame) from None
    limits.count_budgets(touched, site.now)
    return {"success": True}


def delete(site: Site, call: Call, name: str) -> dict[str, Any]:
    """Answer `DELETE /<id>/`; what was delivered stays in the totals."""
    node = _living(site, call, name)
    site.account.change(node, status="DELETED")
    return {"success": True}


def create(site: Site, call: Call, edge: str) -> dict[str, Any]:
    """Answer `POST act_<id>/campaigns`, `adsets` or `ads`.

    Raises:
        ApiError: The object is not acceptable; nothing has changed.
    """
    kind = _EDGES.get(edge)
    if kind is None:
        raise unknown_object(call.method, f"{site.account_id}/{edge}")
    check_only, given = _options(call.params)
    missing = [key for key in _REQUIRED[kind] if not given.get(key, "").strip()]
    if missing:
        raise invalid(f"The parameter {missing[0]} is required", *missing)
    values = _settings(CREATABLE[kind], given)
    parent = str(values.pop(_PARENT[kind], ""))
    _fits(site, call, kind, parent, values)
    blame = next((key for key in _BUDGETS if key in given), "")
    try:
        node = site.account.create(kind, parent=parent, check_only=check_only, **values)
    except Refused as refused:
        raise from_refused(refused, call.method, parent, blame) from None
    return {"id": node.id} if node is not None else {"success": True}


def _fits(site: Site, call: Call, kind: Kind, parent: str, values: Mapping[str, Any]) -> None:
    """Check what depends on the parent, the version and the clock."""
    _in_order({"start_time": site.at(site.account.today), **values})
    if kind == "campaign":
        since = call.version is None or call.version >= _SHARING_SINCE
        if since and "budget_cents" not in values and "is_adset_budget_sharing_enabled" not in values:
            raise invalid(
                "Must specify True or False in is_adset_budget_sharing_enabled field if you are not using "
                "campaign budget",
                "is_adset_budget_sharing_enabled",
            )
        return
    above = _living(site, call, parent)
    if above.kind != KINDS[KINDS.index(kind) - 1]:
        raise unknown_object(call.method, parent)
    if kind != "adset":
        return
    if above.budget_cents is None and "budget_cents" not in values:
        raise invalid("An ad set needs a budget unless its campaign has one", "daily_budget")
    _needs_amount(above, values)


def _consistent(site: Site, node: Node, values: Mapping[str, Any]) -> None:
    """Check that what is written fits what is set already.

    Raises:
        ApiError: It does not.
    """
    if any(key in values for key in _TIMES):
        _in_order({"start_time": site.at(node.created), **node.extra, **values})
    if not any(key in values for key in ("bid_strategy", "bid_amount")):
        return
    if node.kind == "adset":
        _needs_amount(site.account.nodes[node.parent], {**node.extra, **values})
    if node.kind == "campaign":
        below = (site.account.nodes[child] for child in node.children)
        for ad_set in below:
            if ad_set.status != "DELETED":
                _needs_amount(node, ad_set.extra, values)


def _in_order(settings: Mapping[str, Any]) -> None:
    """Require that what begins ends later."""
    for last in _TIMES[1:]:
        if settings.get(last) is not None and settings["start_time"] >= settings[last]:
            raise invalid(f"{last} must be after start_time", last)


def _needs_amount(
    campaign: Node, ad_set: Mapping[str, Any], written: Mapping[str, Any] | None = None
) -> None:
    """Require a bid amount of an ad set whose own strategy, or its campaign's, caps bids or costs.

    Args:
        campaign: Above the ad set; its strategy counts where it has the budget.
        ad_set: Settings of the ad set.
        written: Settings that the campaign is about to get.
    """
    above = {**campaign.extra, **(written or {})} if campaign.budget_cents is not None else {}
    strategies = (ad_set.get("bid_strategy"), above.get("bid_strategy"))
    capped = next((each for each in strategies if each in _CAPPED), None)
    if capped is not None and ad_set.get("bid_amount") is None:
        raise invalid(f"bid_amount is required with bid_strategy {capped}", "bid_amount")


def _moves_budget(node: Node, values: Mapping[str, Any]) -> bool:
    """Whether a write changes a budget, or between a day's and a whole life's."""
    asked = (values.get("budget_cents"), values.get("budget_kind"))
    return "budget_cents" in values and asked != (node.budget_cents, node.budget_kind)


def _living(site: Site, call: Call, name: str) -> Node:
    """Return an object that can be written to."""
    node = site.node(name, call.method)
    if node is None:
        raise unknown_object(call.method, name)
    lineage = [site.ancestor(node, kind) for kind in KINDS]
    if any(each is not None and each.status == "DELETED" for each in lineage):
        raise ApiError("deleted", advice=f"{name} was deleted: deleted objects stay deleted.")
    return node


def _options(params: Params) -> tuple[bool, dict[str, str]]:
    """Return whether only to check, and the parameters that set something."""
    options = choices(names(params, "execution_options"), _OPTIONS, "execution_options")
    given = {key: text for key, text in params.items() if key not in IGNORED and key != "execution_options"}
    return "validate_only" in options, given


def _settings(readers: Mapping[str, Reader], given: Params) -> dict[str, Any]:
    """Return the settings of a write as the account takes them.

    Raises:
        ApiError: A parameter is unknown or not acceptable.
    """
    values: dict[str, Any] = {}
    for key in given:
        if key not in readers:
            raise invalid(f"Param {key} is not supported on this object or cannot be changed", key)
        values[key] = readers[key](given, key)
    if all(key in values for key in _BUDGETS):
        raise invalid("Only one of daily_budget and lifetime_budget can be set", *_BUDGETS)
    for key, kind in (("daily_budget", "daily"), ("lifetime_budget", "lifetime")):
        if key in values:
            values["budget_cents"], values["budget_kind"] = values.pop(key), kind
    return values


def _shares(params: Params) -> dict[str, int]:
    """Return the budgets of `adset_budgets` in cents by ad set."""
    result: dict[str, int] = {}
    for item in structure(params, "adset_budgets", list):
        if not isinstance(item, dict) or set(item) != {"adset_id", "daily_budget"}:
            raise invalid("adset_budgets must be a list of {adset_id, daily_budget}", "adset_budgets")
        name, budget = str(item["adset_id"]), item["daily_budget"]
        if name in result or isinstance(budget, bool):
            raise invalid("adset_budgets must name every ad set once, with cents", "adset_budgets")
        result[name] = whole(str(budget), "adset_budgets")
    return result
