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
from opoi_envs.ads.account import COMPARED, PRESETS, Row, View, change_pct
from opoi_envs.ads.prompts import ANALYST_PROMPT, question_text
from opoi_envs.ads.world import Campaign

__all__ = [
    "TOOLS",
    "AnalyseCampaign",
    "ComparePerformance",
    "GetAccount",
    "GetActivityLog",
    "GetCampaigns",
    "GetInsights",
    "Result",
    "call",
    "refusal",
]

Id = Annotated[str, Meta(min_length=1, max_length=64, description="Id of a campaign, e.g. cmp_1234.")]


class GetAccount(Struct, forbid_unknown_fields=True):
    """Arguments of `get_account`: none."""


class GetCampaigns(Struct, forbid_unknown_fields=True):
    """Arguments of `get_campaigns`."""

    status: Annotated[
        Literal["ACTIVE", "PAUSED"] | None, Meta(description="Only campaigns of this status; all by default.")
    ] = None


class GetInsights(Struct, forbid_unknown_fields=True):
    """Arguments of `get_insights`."""

    campaign_id: Id
    date_preset: Annotated[
        Literal["yesterday", "last_3d", "last_7d", "last_14d", "last_28d"],
        Meta(description="Window; all windows end yesterday."),
    ] = "last_7d"
    time_increment: Annotated[
        Literal["day", "all_days"], Meta(description="One row per day and a total, or the total only.")
    ] = "all_days"


class ComparePerformance(Struct, forbid_unknown_fields=True):
    """Arguments of `compare_performance`."""

    campaign_id: Id
    days: Annotated[
        int, Meta(ge=1, le=14, description="The last so many days are compared with as many days before.")
    ] = 7


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


class _RefusedError(Exception):
    """A call that cannot be served."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


A = TypeVar("A", bound=Struct)
_encode = msgspec.json.Encoder().encode


def refusal(message: str, hint: str) -> Result:
    """Return the answer to a call that cannot be served; the text is ASCII whatever was asked."""
    shown = [part.encode("ascii", "backslashreplace").decode() for part in (message, hint)]
    return Result(_encode({"error": {"message": shown[0], "hint": shown[1]}}).decode(), error=True)


def _answer(body: dict[str, Any], facts: list[Fact]) -> Result:
    return Result(_encode(body).decode(), tuple(facts))


def _find(view: View, name: str) -> Campaign:
    for campaign in view.world.campaigns:
        if campaign.id == name:
            return campaign
    known = ", ".join(campaign.id for campaign in view.world.campaigns)
    raise _RefusedError(f"there is no campaign {name!r} in this account", f"campaigns: {known}")


def _get_account(view: View, _: GetAccount) -> Result:
    account, settings = view.world.account, view.settings()
    body: dict[str, Any] = {"account_id": account.id, "name": account.name, "currency": "USD"}
    body.update({metric: value for metric, value, _ in settings})
    body["data_through"] = view.world.day(-1)
    return _answer(body, [Fact(account.id, metric, "", value, unit) for metric, value, unit in settings])


def _get_campaigns(view: View, arguments: GetCampaigns) -> Result:
    rows, facts = [], []
    for campaign in view.world.campaigns:
        if arguments.status not in (None, campaign.status):
            continue
        budget = campaign.budget_cents / 100
        delivery = "LEARNING" if campaign.archetype.name == "learning" else "STABLE"
        rows.append(
            {
                "id": campaign.id,
                "name": campaign.name,
                "status": campaign.status,
                "daily_budget": budget,
                "delivery": delivery,
            }
        )
        facts.append(Fact(campaign.id, "daily_budget", "", budget, "USD"))
        facts.append(Fact(campaign.id, "delivery", "", delivery))
    return _answer({"campaigns": rows}, facts)


def _get_insights(view: View, arguments: GetInsights) -> Result:
    campaign = _find(view, arguments.campaign_id)
    length = PRESETS[arguments.date_preset]
    window = view.window(length, 1)
    total = view.row(campaign, length, 1)
    body: dict[str, Any] = {"campaign_id": campaign.id, "currency": "USD"}
    facts: list[Fact] = []
    if arguments.time_increment == "day":
        rows: list[dict[str, Any]] = []
        for age in range(length, 0, -1):
            day, row = view.window(age, age), view.row(campaign, age, age)
            rows.append({"date": day, **row})
            facts += view.facts(campaign, day, row)
        body["days"] = rows
    body["total"] = {"window": window, **total}
    if length > 1 or not facts:
        facts += view.facts(campaign, window, total)
    return _answer(body, facts)


def _compare(view: View, arguments: ComparePerformance) -> Result:
    campaign, days = _find(view, arguments.campaign_id), arguments.days
    now, before = view.row(campaign, days, 1), view.row(campaign, 2 * days, days + 1)
    windows = view.window(days, 1), view.window(2 * days, days + 1)
    change: Row = {
        metric: change_pct(now[metric], before[metric])
        for metric in COMPARED
        if metric in now and before.get(metric)
    }
    body = {
        "campaign_id": campaign.id,
        "currency": "USD",
        "current": {"window": windows[0], **now},
        "previous": {"window": windows[1], **before},
        "change_pct": change,
    }
    facts = view.facts(campaign, windows[0], now) + view.facts(campaign, windows[1], before)
    facts += [
        Fact(campaign.id, f"{metric}_change_pct", windows[0], value, "%") for metric, value in change.items()
    ]
    return _answer(body, facts)


def _get_activity_log(view: View, arguments: GetActivityLog) -> Result:
    campaign = _find(view, arguments.campaign_id)
    events: list[dict[str, Any]] = []
    facts = []
    for age, _ in campaign.archetype.raised:
        day = view.world.day(-age)
        old, new = campaign.budget_on(age + 1) / 100, campaign.budget_on(age) / 100
        events.append({"date": day, "event": "budget_change", "from": old, "to": new})
        facts.append(Fact(campaign.id, "budget_before", day, old, "USD"))
        facts.append(Fact(campaign.id, "budget_after", day, new, "USD"))
    edited = 20 + view.world.stream.below(8, campaign.id, "edited")
    events.append({"date": view.world.day(-edited), "event": "creative_added"})
    events.sort(key=lambda event: str(event["date"]))
    return _answer({"campaign_id": campaign.id, "events": events}, facts)


def _analyse(view: View, arguments: AnalyseCampaign) -> Result:
    campaign = _find(view, arguments.campaign_id)
    return Result(question_text(campaign.id, arguments.question))


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
        _tool(
            "get_insights",
            "Performance of a campaign over a window: spend, impressions, clicks, ctr, cpm, cpc, purchases, "
            "revenue, cpa, roas, frequency.",
            GetInsights,
            _get_insights,
        ),
        _tool(
            "compare_performance",
            "The last days of a campaign against as many days before.",
            ComparePerformance,
            _compare,
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
    except _RefusedError as error:
        return refusal(error.message, error.hint)


def _expected(spec: ToolSpec) -> str:
    """Describe the arguments of a tool in one line."""
    fields = spec.parameters.get("properties", {})
    needed = spec.parameters.get("required", [])
    named = [name if name in needed else f"{name} (optional)" for name in fields]
    return "a JSON object with " + (", ".join(named) if named else "no fields")
