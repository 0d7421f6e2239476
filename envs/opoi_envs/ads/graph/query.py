"""What an insights request asks for, checked."""

from __future__ import annotations

from msgspec import Struct

from opoi_envs.ads.account.nodes import KINDS, Kind, Node
from opoi_envs.ads.account.splits import FAMILIES, WINDOWS, Family
from opoi_envs.ads.graph import dates
from opoi_envs.ads.graph.errors import ApiError, invalid
from opoi_envs.ads.graph.filters import Condition, conditions
from opoi_envs.ads.graph.metrics import LISTS, NUMBERS
from opoi_envs.ads.graph.params import Params, choice, choices, known, names, structure, whole
from opoi_envs.ads.graph.selection import Wanted, wanted
from opoi_envs.ads.graph.site import Level, Site, level_of

__all__ = [
    "BREAKDOWNS",
    "INSIGHT_FIELDS",
    "LEVELS",
    "SILENT",
    "TEXTS",
    "WINDOWS_ASKED",
    "Query",
    "read_query",
]

LEVELS: tuple[Level, ...] = ("account", "campaign", "adset", "ad")
BREAKDOWNS: tuple[str, ...] = tuple(key for family in FAMILIES for key in family.keys)
_COMBINED = {("age", "gender"), ("publisher_platform", "platform_position")}
_ALONE = frozenset(BREAKDOWNS) - {"platform_position"}
WINDOWS_ASKED = (*WINDOWS, "1d_ev", "7d_view", "28d_view", "default")
_RETENTION, _UNIQUE_RETENTION = 37, 13

TEXTS: dict[str, Level] = {
    "account_id": "account",
    "account_name": "account",
    "account_currency": "account",
    "campaign_id": "campaign",
    "campaign_name": "campaign",
    "objective": "campaign",
    "buying_type": "campaign",
    "adset_id": "adset",
    "adset_name": "adset",
    "optimization_goal": "adset",
    "attribution_setting": "adset",
    "ad_id": "ad",
    "ad_name": "ad",
    "date_start": "account",
    "date_stop": "account",
    "created_time": "account",
    "updated_time": "account",
}
"""Fields that describe a row, and the coarsest level that has them."""

SILENT = frozenset(
    {"unique_clicks", "unique_ctr", "unique_actions", "unique_inline_link_clicks", "cost_per_unique_click"}
    | {"cost_per_unique_action_type", "unique_outbound_clicks", "unique_link_clicks_ctr", "social_spend"}
    | {"conversions", "conversion_values", "cost_per_conversion", "mobile_app_purchase_roas", "results"}
    | {"quality_ranking", "engagement_rate_ranking", "conversion_rate_ranking", "inline_post_engagement"}
    | {"video_play_actions", "video_p25_watched_actions", "video_p50_watched_actions", "canvas_avg_view_time"}
    | {"video_p75_watched_actions", "video_p95_watched_actions", "video_p100_watched_actions", "wish_bid"}
    | {"video_avg_time_watched_actions", "video_thruplay_watched_actions", "cost_per_thruplay", "labels"}
    | {"video_30_sec_watched_actions", "catalog_segment_value", "full_view_impressions", "full_view_reach"}
    | {"estimated_ad_recallers", "instant_experience_clicks_to_open", "cost_per_unique_inline_link_click"}
)
"""Fields that exist but never have a value in the simulation: rows leave them out."""

INSIGHT_FIELDS: frozenset[str] = frozenset(TEXTS) | NUMBERS | LISTS | SILENT
"""Every field of a row."""

_ATTRIBUTES = frozenset(
    {"id", "name", "status", "configured_status", "effective_status", "objective", "buying_type"}
    | {"optimization_goal"}
)


class Query(Struct, frozen=True, kw_only=True):
    """A checked insights request.

    Attributes:
        node: Whose insights; None for the account.
        level: One row for each object of this level.
        span: First and last day of the request.
        periods: One row for each of these.
        fields: Names, in the order asked.
        keys: Breakdowns.
        family: How cells are made; None without breakdowns.
        windows: Attribution windows asked.
        objects: Conditions on the objects, by (level, attribute).
        rows: Conditions on rows.
        sort: Fields to sort by, and whether downwards.
        unique: Reach is still known for the range.
    """

    node: Node | None
    level: Level
    span: dates.Period
    periods: tuple[dates.Period, ...]
    fields: tuple[str, ...]
    keys: tuple[str, ...]
    family: Family | None
    windows: tuple[str, ...]
    objects: tuple[tuple[Kind, str, Condition], ...]
    rows: tuple[tuple[str, Condition], ...]
    sort: tuple[tuple[str, bool], ...]
    unique: bool


def read_query(
    site: Site, node: Node | None, params: Params, inner: tuple[Wanted, ...] | None = None
) -> Query:
    """Check an insights request.

    Args:
        site: The account.
        node: Whose insights; None for the account.
        params: Of the request, or of the expansion that asks.
        inner: The fields of an expansion; those of `params` otherwise.

    Raises:
        ApiError: A parameter is not acceptable.
    """
    asked = inner if inner is not None else wanted(params)
    fields = _fields(asked) if asked else ("impressions", "spend")
    own = level_of(node)
    level = own
    if params.get("level", ""):
        level = choice(params["level"], LEVELS, "level")
    if LEVELS.index(level) < LEVELS.index(own):
        raise invalid(f"level {level} is above the {own} that is asked", "level")
    keys, family = _breakdowns(params)
    spans = _spans(site, params)
    today = site.account.today
    if family is not None and family.name == "hour":
        oldest = dates.minus_months(today, _UNIQUE_RETENTION)
        spans = [(max(first, oldest), last) for first, last in spans if last >= oldest]
    increment = _increment(params)
    several = bool(params.get("time_ranges", ""))
    periods = spans if several else [each for span in spans for each in dates.periods(span, increment, today)]
    unique = all(first >= dates.minus_months(today, _UNIQUE_RETENTION) for first, _ in spans)
    objects, rows = _filters(params, keys)
    choices(names(params, "action_breakdowns"), ("action_type",), "action_breakdowns")
    windows = choices(
        names(params, "action_attribution_windows"), WINDOWS_ASKED, "action_attribution_windows"
    )
    return Query(
        node=node,
        level=level,
        span=(min(first for first, _ in spans), max(last for _, last in spans)) if spans else (today, today),
        periods=tuple(periods),
        fields=fields,
        keys=keys,
        family=family,
        windows=tuple(dict.fromkeys(windows)),
        objects=tuple(objects),
        rows=tuple(rows),
        sort=tuple(_sort(params, keys)),
        unique=unique,
    )


def _fields(asked: tuple[Wanted, ...]) -> tuple[str, ...]:
    for each in asked:
        if each.name not in INSIGHT_FIELDS:
            raise invalid(f"Tried accessing nonexisting field ({each.name}) on node type (AdsInsights)")
    return tuple(each.name for each in asked)


def _breakdowns(params: Params) -> tuple[tuple[str, ...], Family | None]:
    asked = tuple(dict.fromkeys(names(params, "breakdowns")))
    if not asked:
        return (), None
    choices(asked, BREAKDOWNS, "breakdowns")
    ordered = tuple(sorted(asked, key=BREAKDOWNS.index))
    if ordered not in _COMBINED and not (len(asked) == 1 and asked[0] in _ALONE):
        raise invalid(
            f"Current combination of data breakdown columns ({', '.join(asked)}) is invalid", "breakdowns"
        )
    return ordered, next(family for family in FAMILIES if ordered[0] in family.keys)


def _spans(site: Site, params: Params) -> list[dates.Period]:
    today = site.account.today
    if params.get("time_ranges", ""):
        items = structure(params, "time_ranges", list)
        if not items:
            raise invalid("time_ranges must not be empty", "time_ranges")
        return [_range(item, "time_ranges", today) for item in items]
    if params.get("time_range", ""):
        return [_range(structure(params, "time_range", dict), "time_range", today)]
    name = choice(params.get("date_preset", "") or "last_30d", dates.PRESETS, "date_preset")
    return [dates.preset(name, today, site.account.first_day)]


def _range(item: object, name: str, today: int) -> dates.Period:
    if not isinstance(item, dict) or set(item) != {"since", "until"}:
        raise invalid(f"{name} must be an object with since and until", name)
    first = dates.day_of(item["since"], f"{name}[since]")
    last = dates.day_of(item["until"], f"{name}[until]")
    if first > last:
        raise invalid("The start date must not be after the end date", name)
    if first < dates.minus_months(today, _RETENTION):
        raise ApiError("too_far_back", blame=(name,))
    return first, last


def _increment(params: Params) -> int | str:
    text = params.get("time_increment", "").strip().strip("\"'") or "all_days"
    if text in ("monthly", "all_days"):
        return text
    days = whole(text, "time_increment") if text.lstrip("+-").isdigit() else 0
    if not 1 <= days <= 90:
        raise invalid(
            "time_increment must be an integer between 1 and 90, 'monthly' or 'all_days'", "time_increment"
        )
    return days


def _filters(
    params: Params, keys: tuple[str, ...]
) -> tuple[list[tuple[Kind, str, Condition]], list[tuple[str, Condition]]]:
    """Divide conditions into those on objects and those on rows."""
    objects: list[tuple[Kind, str, Condition]] = []
    rows: list[tuple[str, Condition]] = []
    for condition in conditions(params):
        prefix, _, rest = condition.field.rpartition(".")
        level = known(prefix, KINDS)
        if level is not None and rest in _ATTRIBUTES:
            condition.textual()
            objects.append((level, rest, condition))
        elif (not prefix or level is not None) and rest in NUMBERS:
            condition.numeric()
            rows.append((rest, condition))
        elif not prefix and rest in keys:
            condition.textual()
            rows.append((rest, condition))
        else:
            raise invalid(f"filtering: field {condition.field} is not supported", "filtering")
    return objects, rows


def _sort(params: Params, keys: tuple[str, ...]) -> list[tuple[str, bool]]:
    result = []
    for text in names(params, "sort"):
        field, _, direction = text.rpartition("_")
        sortable = field in NUMBERS or field in TEXTS or field in keys
        if not sortable or direction not in ("ascending", "descending"):
            raise invalid(f"sort: {text} is not a field with _ascending or _descending", "sort")
        result.append((field, direction == "descending"))
    return result
