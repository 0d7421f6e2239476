"""The tools of the agent: argument structs, what they answer, and their specs.

A tool answers compact ASCII JSON and says which facts it revealed. A call that cannot be served answers
`{"error": {"message", "hint"}}`; nothing changes in the world by any call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from opoi.types import Fact, SubAgent, ToolSpec
from opoi.wire import schema_of
from opoi_envs.ads import rows
from opoi_envs.ads.account.nodes import Refused
from opoi_envs.ads.account.view import View
from opoi_envs.ads.prompts import ANALYST_PROMPT, question_text
from opoi_envs.ads.world.calendar import iso

__all__ = [
    "TOOLS",
    "AnalyseCampaign",
    "ComparePerformance",
    "GetAccount",
    "GetActivityLog",
    "GetAdSets",
    "GetCampaigns",
    "GetFunnel",
    "GetInsights",
    "Result",
    "call",
    "refusal",
]

_LONGEST_BY_DAY = 28

Id = Annotated[str, Meta(min_length=1, max_length=64, description="Id of a campaign, e.g. cmp_412037.")]


class GetAccount(Struct, forbid_unknown_fields=True):
    """Arguments of `get_account`: none."""


class GetCampaigns(Struct, forbid_unknown_fields=True):
    """Arguments of `get_campaigns`."""

    status: Annotated[
        Literal["ACTIVE", "PAUSED"] | None, Meta(description="Only campaigns of this status; all by default.")
    ] = None


class GetAdSets(Struct, forbid_unknown_fields=True):
    """Arguments of `get_adsets`."""

    campaign_id: Id


class GetInsights(Struct, forbid_unknown_fields=True):
    """Arguments of `get_insights`."""

    campaign_id: Annotated[
        str, Meta(min_length=1, max_length=64, description="Id of a campaign or ad set, e.g. cmp_412037.")
    ]
    date_preset: Annotated[
        Literal["yesterday", "last_3d", "last_7d", "last_14d", "last_28d", "last_90d"],
        Meta(description="Window; all windows end yesterday."),
    ] = "last_7d"
    time_increment: Annotated[
        Literal["day", "all_days"],
        Meta(description="One row per day and a total (up to 28 days), or the total only."),
    ] = "all_days"


class ComparePerformance(Struct, forbid_unknown_fields=True):
    """Arguments of `compare_performance`."""

    campaign_id: Id
    days: Annotated[
        int, Meta(ge=1, le=14, description="The last so many days are compared with as many days before.")
    ] = 7


class GetFunnel(Struct, forbid_unknown_fields=True):
    """Arguments of `get_funnel`."""

    campaign_id: Id
    days: Annotated[
        int, Meta(ge=1, le=14, description="The last so many days are shown next to as many days before.")
    ] = 3


class GetActivityLog(Struct, forbid_unknown_fields=True):
    """Arguments of `get_activity_log`."""

    campaign_id: Id


class AnalyseCampaign(Struct, forbid_unknown_fields=True):
    """Arguments of `analyse_campaign`."""

    campaign_id: Id
    question: Annotated[str, Meta(min_length=1, max_length=500, description="One question in plain words.")]


class Result(Struct, frozen=True):
    """What a tool answered.

    Attributes:
        text: JSON, or for a sub-agent the user message of the nested conversation.
        facts: What it revealed.
        error: The call could not be served; the text says why.
    """

    text: str
    facts: tuple[Fact, ...] = ()
    error: bool = False


A = TypeVar("A", bound=Struct)
_encode = msgspec.json.Encoder().encode


def refusal(message: str, hint: str) -> Result:
    """Return the answer to a call that cannot be served; the text is ASCII whatever was asked."""
    shown = [part.encode("ascii", "backslashreplace").decode() for part in (message, hint)]
    return Result(_encode({"error": {"message": shown[0], "hint": shown[1]}}).decode(), error=True)


def _answer(body: dict[str, Any], facts: list[Fact]) -> Result:
    return Result(_encode(body).decode(), tuple(facts))


def _get_account(view: View, _: GetAccount) -> Result:
    advertiser, shown = view.account.world.advertiser, rows.settings(view)
    body: dict[str, Any] = {"account_id": advertiser.id, "name": advertiser.name, "currency": "USD"}
    body.update({metric: value for metric, value, _ in shown})
    body["data_through"] = view.day(-1)
    return _answer(body, [Fact(advertiser.id, metric, "", value, unit) for metric, value, unit in shown])


def _get_campaigns(view: View, arguments: GetCampaigns) -> Result:
    listed, revealed = [], []
    for node in view.account.of_kind("campaign"):
        if arguments.status not in (None, node.status):
            continue
        name, budget = rows.label(node), view.account.daily_budget(node) / 100
        state = "LEARNING" if view.account.learning(node) else "STABLE"
        listed.append(
            {"id": name, "name": node.name, "status": node.status, "daily_budget": budget, "delivery": state}
        )
        revealed += [Fact(name, "status", "", node.status), Fact(name, "daily_budget", "", budget, "USD")]
        revealed.append(Fact(name, "delivery", "", state))
    return _answer({"campaigns": listed}, revealed)


def _get_adsets(view: View, arguments: GetAdSets) -> Result:
    campaign = rows.campaign_named(view, arguments.campaign_id)
    window = view.window(7, 1)
    listed: list[dict[str, Any]] = []
    revealed: list[Fact] = []
    for node in map(view.account.node, campaign.children):
        shown = rows.row(view, node, 7, 1)
        brief: rows.Row = {name: shown[name] for name in ("spend", "purchases", "cpa") if name in shown}
        entry: dict[str, Any] = {"id": rows.label(node), "name": node.name}
        entry["status"] = view.account.effective_status(node)
        revealed.append(Fact(entry["id"], "status", "", entry["status"]))
        if node.budget_cents is not None:
            entry["daily_budget"] = node.budget_cents / 100
            revealed.append(Fact(entry["id"], "daily_budget", "", entry["daily_budget"], "USD"))
        listed.append({**entry, **brief})
        revealed += rows.facts(entry["id"], window, brief)
    body = {"campaign_id": rows.label(campaign), "currency": "USD", "window": window, "adsets": listed}
    return _answer(body, revealed)


def _get_insights(view: View, arguments: GetInsights) -> Result:
    node = rows.named(view, arguments.campaign_id)
    name, length = rows.label(node), rows.PRESETS[arguments.date_preset]
    window, (total, total_facts) = view.window(length, 1), rows.page(view, node, length, 1)
    body: dict[str, Any] = {"campaign_id": name, "currency": "USD"}
    revealed: list[Fact] = []
    if arguments.time_increment == "day":
        if length > _LONGEST_BY_DAY:
            raise Refused(
                "bad_value",
                f"{arguments.date_preset} has too many days for one row per day",
                f"ask for at most {_LONGEST_BY_DAY} days, or for the total only",
            )
        days: list[dict[str, Any]] = []
        for age in range(length, 0, -1):
            shown, shown_facts = rows.page(view, node, age, age)
            days.append({"date": view.day(-age), **shown})
            revealed += shown_facts
        body["days"] = days
    body["total"] = {"window": window, **total}
    if length > 1 or not revealed:
        revealed += total_facts
    return _answer(body, revealed)


def _compare(view: View, arguments: ComparePerformance) -> Result:
    node, days = rows.campaign_named(view, arguments.campaign_id), arguments.days
    name = rows.label(node)
    now, now_facts = rows.page(view, node, days, 1)
    before, before_facts = rows.page(view, node, 2 * days, days + 1)
    windows = view.window(days, 1), view.window(2 * days, days + 1)
    change: rows.Row = {
        metric: rows.change_pct(now[metric], before[metric])
        for metric in rows.COMPARED
        if metric in now and before.get(metric)
    }
    body = {
        "campaign_id": name,
        "currency": "USD",
        "current": {"window": windows[0], **now},
        "previous": {"window": windows[1], **before},
        "change_pct": change,
    }
    revealed = [*now_facts, *before_facts]
    revealed += [
        Fact(name, f"{metric}_change_pct", windows[0], value, "%") for metric, value in change.items()
    ]
    return _answer(body, revealed)


def _get_funnel(view: View, arguments: GetFunnel) -> Result:
    node, days = rows.campaign_named(view, arguments.campaign_id), arguments.days
    name, revealed = rows.label(node), []
    body: dict[str, Any] = {"campaign_id": name}
    for key, first, last in (("current", days, 1), ("previous", 2 * days, days + 1)):
        window, counts = view.window(first, last), rows.funnel(view, node, first, last)
        shares = {
            f"{stage}_per_click": rows.share_pct(counts[stage], counts["clicks"])
            for stage in counts
            if stage != "clicks" and counts["clicks"]
        }
        body[key] = {"window": window, **counts, **shares}
        revealed += [Fact(name, stage, window, count, "count") for stage, count in counts.items()]
        revealed += [Fact(name, metric, window, value, "%") for metric, value in shares.items()]
    return _answer(body, revealed)


def _get_activity_log(view: View, arguments: GetActivityLog) -> Result:
    node = rows.campaign_named(view, arguments.campaign_id)
    events: list[dict[str, Any]] = []
    revealed: dict[str, Fact] = {}  # of several changes of one kind to one object on one day, the last
    for event in view.account.log(node):
        day, name = iso(event.day), rows.label(view.account.node(event.node))
        entry: dict[str, Any] = {"date": day, "event": event.kind}
        if event.node != node.id:
            entry["object"] = name
        facts = [Fact(name, event.kind, "", day, "day")]
        if isinstance(event.old, int) and isinstance(event.new, int):
            entry |= {"from": event.old / 100, "to": event.new / 100}
            before, after = Fact(name, "budget_before", day, entry["from"], "USD"), entry["to"]
            facts = [before, Fact(name, "budget_after", day, after, "USD")]
        elif isinstance(event.old, str) and isinstance(event.new, str):
            entry |= {"from": event.old, "to": event.new}
            facts = [Fact(name, event.kind, day, event.new)]
        events.append(entry)
        revealed.update({fact.id: fact for fact in facts})
    return _answer({"campaign_id": rows.label(node), "events": events}, list(revealed.values()))


def _analyse(view: View, arguments: AnalyseCampaign) -> Result:
    campaign = rows.campaign_named(view, arguments.campaign_id)
    return Result(question_text(rows.label(campaign), arguments.question))


class _Tool(Struct, frozen=True):
    spec: ToolSpec
    decode: Callable[[str], Any]
    run: Callable[[View, Any], Result]


def _tool(
    name: str,
    description: str,
    arguments: type[A],
    run: Callable[[View, A], Result],
    subagent: SubAgent | None = None,
) -> _Tool:
    spec = ToolSpec(name=name, description=description, parameters=schema_of(arguments), subagent=subagent)
    return _Tool(spec, msgspec.json.Decoder(arguments).decode, run)


_TOOLS = {
    tool.spec.name: tool
    for tool in (
        _tool("get_account", "Targets and economics of the account.", GetAccount, _get_account),
        _tool(
            "get_campaigns", "Campaigns with status, budget and delivery state.", GetCampaigns, _get_campaigns
        ),
        _tool("get_adsets", "Ad sets of a campaign with budget and last 7 days.", GetAdSets, _get_adsets),
        _tool(
            "get_insights",
            "Performance of a campaign or ad set over a window: spend, impressions, clicks, ctr, cpm, cpc, "
            "purchases, revenue, cpa, roas, frequency.",
            GetInsights,
            _get_insights,
        ),
        _tool(
            "compare_performance",
            "The last days of a campaign against as many days before.",
            ComparePerformance,
            _compare,
        ),
        _tool(
            "get_funnel",
            "From click to purchase: landing-page views, carts and checkouts, now and before.",
            GetFunnel,
            _get_funnel,
        ),
        _tool("get_activity_log", "Past changes to a campaign.", GetActivityLog, _get_activity_log),
        _tool(
            "analyse_campaign",
            "Hands one question about a campaign to an assistant who looks up the numbers.",
            AnalyseCampaign,
            _analyse,
            SubAgent(system_prompt=ANALYST_PROMPT, tools=("get_insights", "compare_performance"), turns=4),
        ),
    )
}

TOOLS: tuple[ToolSpec, ...] = tuple(tool.spec for tool in _TOOLS.values())
"""Specs of all tools, in the order in which they are offered."""


def call(view: View, name: str, arguments: str) -> Result:
    """Serve one tool call.

    Args:
        view: The account on the decision day.
        name: Name of the tool.
        arguments: JSON text as the model wrote it; an empty text counts as `{}`.

    Returns:
        The answer; a call that cannot be served gives one with `error` set and never raises.
    """
    tool = _TOOLS.get(name)
    if tool is None:
        return refusal(f"there is no tool {name!r}", f"tools: {', '.join(_TOOLS)}")
    try:
        return tool.run(view, tool.decode(arguments if arguments.strip() else "{}"))
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        return refusal(f"the arguments of {name} are not valid: {error}", f"expected: {_expected(tool.spec)}")
    except Refused as error:
        return refusal(error.message, error.hint)


def _expected(spec: ToolSpec) -> str:
    """Describe the arguments of a tool in one line."""
    fields = spec.parameters.get("properties", {})
    needed = spec.parameters.get("required", [])
    named = [name if name in needed else f"{name} (optional)" for name in fields]
    return "a JSON object with " + (", ".join(named) if named else "no fields")
