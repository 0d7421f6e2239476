"""The fields of accounts, campaigns, ad sets and ads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opoi_envs.ads.account.nodes import MINIMUM_BUDGET, Kind, Node, usual
from opoi_envs.ads.graph import dates
from opoi_envs.ads.graph.errors import invalid
from opoi_envs.ads.graph.learning import learning_stage
from opoi_envs.ads.graph.site import Level, Site, level_of

__all__ = [
    "ATTRIBUTION",
    "BID_STRATEGIES",
    "BILLING_EVENTS",
    "CURRENCY",
    "EDGES",
    "EFFECTIVE",
    "FIELDS",
    "GOALS",
    "OBJECTIVES",
    "PARENTS",
    "TYPES",
    "field_names",
    "value_of",
]

CURRENCY = "USD"
OBJECTIVES = (
    "OUTCOME_AWARENESS",
    "OUTCOME_TRAFFIC",
    "OUTCOME_ENGAGEMENT",
    "OUTCOME_LEADS",
    "OUTCOME_SALES",
    "OUTCOME_APP_PROMOTION",
)
BID_STRATEGIES = (
    "LOWEST_COST_WITHOUT_CAP",
    "LOWEST_COST_WITH_BID_CAP",
    "COST_CAP",
    "LOWEST_COST_WITH_MIN_ROAS",
)
GOALS = (
    "OFFSITE_CONVERSIONS",
    "VALUE",
    "LINK_CLICKS",
    "LANDING_PAGE_VIEWS",
    "REACH",
    "IMPRESSIONS",
    "LEAD_GENERATION",
    "QUALITY_LEAD",
    "POST_ENGAGEMENT",
    "THRUPLAY",
    "APP_INSTALLS",
    "CONVERSATIONS",
    "AD_RECALL_LIFT",
)
BILLING_EVENTS = ("IMPRESSIONS", "LINK_CLICKS", "CLICKS", "THRUPLAY", "POST_ENGAGEMENT", "APP_INSTALLS")
ATTRIBUTION = [
    {"event_type": "CLICK_THROUGH", "window_days": 7},
    {"event_type": "VIEW_THROUGH", "window_days": 1},
]
"""The attribution setting of every ad set: 7 days after a click, 1 day after a view."""

_STATUSES = ("ACTIVE", "PAUSED", "DELETED", "ARCHIVED", "IN_PROCESS", "WITH_ISSUES")
_REVIEW = ("PENDING_REVIEW", "DISAPPROVED", "PREAPPROVED", "PENDING_BILLING_INFO")
EFFECTIVE: dict[Level, tuple[str, ...]] = {
    "campaign": _STATUSES,
    "adset": (*_STATUSES, "CAMPAIGN_PAUSED"),
    "ad": (*_STATUSES, "CAMPAIGN_PAUSED", "ADSET_PAUSED", *_REVIEW),
}
"""What `effective_status` may be, by level."""

EDGES: dict[Level, tuple[str, ...]] = {
    "account": ("campaigns", "adsets", "ads", "insights"),
    "campaign": ("adsets", "ads", "insights"),
    "adset": ("ads", "insights"),
    "ad": ("insights",),
}
"""What can be listed below an object."""

PARENTS: dict[Level, tuple[Kind, ...]] = {
    "account": (),
    "campaign": (),
    "adset": ("campaign",),
    "ad": ("campaign", "adset"),
}
"""Fields that are objects above an object."""

TYPES: dict[Level, str] = {
    "account": "AdAccount",
    "campaign": "AdCampaignGroup",
    "adset": "AdCampaign",
    "ad": "AdGroup",
}
"""What errors call the objects of a level."""

Getter = Callable[[Site, Node], Any]


def setting(name: str, default: Any = None) -> Getter:  # noqa: ANN401 - any JSON value
    """Return a getter of what was written, or what stands there from the start."""

    def get(site: Site, node: Node) -> Any:  # noqa: ANN401, ARG001 - any JSON value; one shape of getter
        return node.extra.get(name, default)

    return get


def _unless_written(name: str) -> Getter:
    """Return a getter of what was written, or what the account takes it to be."""
    return lambda _, node: node.extra[name] if name in node.extra else usual(node, name)


def _budget(kind: str) -> Getter:
    def get(site: Site, node: Node) -> str | None:  # noqa: ARG001 - one shape of getter
        own = node.budget_cents is not None and node.budget_kind == kind
        return str(node.budget_cents) if own else None

    return get


def _remaining(site: Site, node: Node) -> str | None:
    """Return what is left of a budget: all of today's, or what a lifetime budget has not spent."""
    if node.budget_cents is None:
        return None
    if node.budget_kind == "daily":
        return str(node.budget_cents)
    return str(max(0, node.budget_cents - site.account.books.spent(node)))


def _bid_strategy(site: Site, node: Node) -> str | None:
    """Return the bid strategy where the budget is, or where one was set."""
    if "bid_strategy" in node.extra:
        return str(node.extra["bid_strategy"])
    if node.kind == "adset":
        above = site.account.nodes[node.parent]
        return _bid_strategy(site, above) or BID_STRATEGIES[0]
    return BID_STRATEGIES[0] if node.budget_cents is not None else None


def _creative(site: Site, node: Node) -> dict[str, str]:  # noqa: ARG001 - one shape of getter
    return {"id": str(node.extra.get("creative", usual(node, "creative")))}


def _promoted(site: Site, node: Node) -> Any:  # noqa: ANN401 - any JSON value
    pixel = {"custom_event_type": "PURCHASE", "pixel_id": f"8{int(site.account_number):014d}"}
    return node.extra.get("promoted_object", None if "optimization_goal" in node.extra else pixel)


_COMMON: dict[str, Getter] = {
    "id": lambda _, node: node.id,
    "account_id": lambda site, _: site.account_number,
    "name": lambda _, node: node.name,
    "status": lambda _, node: node.status,
    "configured_status": lambda _, node: node.status,
    "effective_status": lambda site, node: site.account.effective_status(node),
    "created_time": lambda site, node: site.at(node.created),
    "updated_time": lambda site, node: site.at(node.updated),
    "issues_info": lambda _, __: None,
}
_BUDGET: dict[str, Getter] = {
    "bid_strategy": _bid_strategy,
    "daily_budget": _budget("daily"),
    "lifetime_budget": _budget("lifetime"),
    "budget_remaining": _remaining,
    "start_time": lambda site, node: node.extra.get("start_time", site.at(node.created)),
}


def _silent(*names: str) -> dict[str, Getter]:
    """Return fields that exist but have no value in the simulation."""
    return dict.fromkeys(names, lambda _, __: None)


FIELDS: dict[Level, dict[str, Getter]] = {
    "campaign": {
        **_COMMON,
        **_BUDGET,
        "objective": setting("objective", "OUTCOME_SALES"),
        "buying_type": setting("buying_type", "AUCTION"),
        "spend_cap": setting("spend_cap"),
        "special_ad_categories": setting("special_ad_categories", []),
        "stop_time": setting("stop_time"),
        "is_adset_budget_sharing_enabled": setting("is_adset_budget_sharing_enabled"),
        **_silent("adlabels", "pacing_type", "promoted_object", "recommendations", "source_campaign_id"),
        **_silent("special_ad_category_country", "smart_promotion_type", "topline_id", "primary_attribution"),
    },
    "adset": {
        **_COMMON,
        **_BUDGET,
        "campaign_id": lambda _, node: node.parent,
        "optimization_goal": _unless_written("optimization_goal"),
        "billing_event": setting("billing_event", "IMPRESSIONS"),
        "bid_amount": setting("bid_amount"),
        "targeting": _unless_written("targeting"),
        "promoted_object": _promoted,
        "attribution_spec": lambda _, __: ATTRIBUTION,
        "learning_stage_info": learning_stage,
        "end_time": setting("end_time"),
        **_silent("adlabels", "pacing_type", "recommendations", "source_adset_id", "destination_type"),
        **_silent("frequency_control_specs", "daily_min_spend_target", "daily_spend_cap", "lifetime_imps"),
        **_silent("is_dynamic_creative", "review_feedback", "bid_constraints", "bid_info", "adset_schedule"),
    },
    "ad": {
        **_COMMON,
        "campaign_id": lambda site, node: site.account.campaign_of(node).id,
        "adset_id": lambda _, node: node.parent,
        "creative": _creative,
        "bid_amount": setting("bid_amount"),
        **_silent("adlabels", "recommendations", "source_ad_id", "tracking_specs", "conversion_specs"),
        **_silent("ad_review_feedback", "preview_shareable_link", "conversion_domain", "targeting"),
    },
}
"""Every field of an object, and how to find its value; None means that it is not set."""

_ACCOUNT: dict[str, Callable[[Site], Any]] = {
    "id": lambda site: site.account_id,
    "account_id": lambda site: site.account_number,
    "name": lambda site: site.account.world.advertiser.name,
    "account_status": lambda _: 1,
    "currency": lambda _: CURRENCY,
    "timezone_name": lambda _: dates.ZONE_NAME,
    "timezone_id": lambda _: dates.ZONE_ID,
    "timezone_offset_hours_utc": lambda _: dates.OFFSET_HOURS,
    "amount_spent": lambda site: str(
        site.view.totals(None, site.account.first_day, site.account.today - 1)[3]
    ),
    "balance": lambda _: "0",
    "spend_cap": lambda _: "0",
    "min_daily_budget": lambda _: MINIMUM_BUDGET,
    "created_time": lambda site: site.at(min(node.created for node in site.account.nodes.values()) - 30),
}
_ACCOUNT_SILENT = frozenset(
    {"age", "business", "business_name", "capabilities", "disable_reason", "end_advertiser", "owner"}
    | {"funding_source", "funding_source_details", "is_personal", "is_prepay_account", "media_agency"}
    | {"min_campaign_group_spend_cap", "partner", "tax_id", "tos_accepted", "user_tasks"}
)


def field_names(level: Level) -> frozenset[str]:
    """Return the names of all fields of a level, without edges."""
    if level == "account":
        return frozenset(_ACCOUNT) | _ACCOUNT_SILENT
    return frozenset(FIELDS[level]) | frozenset(PARENTS[level])


def value_of(site: Site, node: Node | None, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a field; None where it is not set.

    Raises:
        ApiError: There is no such field.
    """
    if node is None:
        if name in _ACCOUNT:
            return _ACCOUNT[name](site)
        if name in _ACCOUNT_SILENT:
            return None
    elif name in FIELDS[node.kind]:
        return FIELDS[node.kind][name](site, node)
    raise invalid(f"Tried accessing nonexisting field ({name}) on node type ({TYPES[level_of(node)]})")
