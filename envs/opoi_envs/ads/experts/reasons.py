"""Reasons in words, each tagged with what it rests on, with the values it states."""

from __future__ import annotations

from opoi.seeds import Stream
from opoi.types import Claim, Fact, Hidden, Origin, Scenario
from opoi_envs.ads import rows
from opoi_envs.ads.account.nodes import Node
from opoi_envs.ads.account.view import View

__all__ = ["learned", "outside", "seen", "told"]

_DEFAULT = ("week_cpa", "week_roas", "days3_cpa")
_REASONS: dict[str, tuple[str, ...]] = {
    "saturated": ("week_cpa", "days3_cpa", "week_roas"),
    "collapse": ("days3_cpa", "funnel", "week_roas"),
    "tracking_outage": ("funnel", "days3_cpa", "week_cpa"),
    "lag_dip": ("week_cpa", "yesterday_cpa", "days3_cpa"),
    "loser": ("week_roas", "week_cpa", "yesterday_cpa"),
    "fatigue": ("frequency", "ctr", "week_cpa"),
    "recovering": ("days3_cpa", "week_cpa", "week_roas"),
    "learning": ("delivery", "days3_cpa", "week_cpa"),
    "weekend_dip": ("week_cpa", "yesterday_cpa", "week_roas"),
    "price_surge": ("cpm", "days3_cpa", "ctr"),
    "false_economy": ("week_roas", "week_cpa", "days3_cpa"),
    "hot_streak": ("days3_cpa", "week_cpa", "week_roas"),
    "slow_decline": ("week_roas", "week_cpa", "days3_cpa"),
    "new_creative": ("days3_cpa", "week_cpa", "ctr"),
    "young": ("delivery", "week_cpa", "yesterday_cpa"),
    "lucky_day": ("yesterday_cpa", "week_cpa", "days3_cpa"),
}
"""What a reviewer looks at first, by the look of the case; the rest goes by the level alone."""

_METRICS = {"week_roas": "roas", "frequency": "frequency", "ctr": "ctr", "cpm": "cpm"}
_LENGTHS = {"yesterday_cpa": 1, "days3_cpa": 3, "cpm": 3}


# ---------------------------------------------------------------- what the agent could have found


def seen(view: View, kind: str, draws: Stream) -> list[Claim]:
    """Return one to three reasons that the agent could have found with its tools."""
    names = _REASONS.get(kind, _DEFAULT)
    node = view.account.node(view.account.world.focus.id)
    return [_observable(view, node, name) for name in names[: 1 + draws.below(3, "reasons")]]


def _observable(view: View, node: Node, name: str) -> Claim:
    """Return one reason with the values that tools print for it."""
    entity = rows.label(node)
    if name == "delivery":
        state = "LEARNING" if view.account.learning(node) else "STABLE"
        return Claim(
            text="Delivery is still learning." if state == "LEARNING" else "Delivery is stable.",
            origin="observable",
            facts=(Fact(entity, "delivery", "", state),),
        )
    if name == "funnel":
        return _funnel(view, node)
    account = view.account.world.advertiser
    target = Fact(account.id, "target_cpa", "", account.target_cpa_cents / 100, "USD")
    length, metric = _LENGTHS.get(name, 7), _METRICS.get(name, "cpa")
    first, before = _value(view, node, metric, length, 1), _value(view, node, metric, 2 * length, length + 1)
    if first is None or before is None:
        return _spend(view, node)
    against = f"${first.value:.2f} against a target of ${target.value:.2f}."
    texts = {
        "yesterday_cpa": f"Yesterday's CPA was {against}",
        "days3_cpa": f"CPA over the last 3 days is ${first.value:.2f}, after ${before.value:.2f} in the "
        "3 days before.",
        "week_cpa": f"CPA over the last 7 days is {against}",
        "week_roas": f"ROAS over the last 7 days is {first.value:.2f}, after {before.value:.2f} in the week "
        "before.",
        "frequency": f"Frequency over the last 7 days has reached {first.value:.2f}.",
        "ctr": f"CTR over the last 7 days is {first.value:.2f} %, after {before.value:.2f} % in the week "
        "before.",
        "cpm": f"CPM over the last 3 days is ${first.value:.2f}, after ${before.value:.2f} in the 3 days "
        "before.",
    }
    facts = {"yesterday_cpa": (first, target), "week_cpa": (first, target), "frequency": (first,)}
    return Claim(text=texts[name], origin="observable", facts=facts.get(name, (first, before)))


def _value(view: View, node: Node, metric: str, first: int, last: int) -> Fact | None:
    """Return one metric as a fact, None where it is not defined."""
    shown = rows.row(view, node, first, last)
    if metric not in shown:
        return None
    return Fact(rows.label(node), metric, view.window(first, last), shown[metric], rows.UNITS[metric])


def _spend(view: View, node: Node) -> Claim:
    """Return the reason that always exists: what was spent over the last week."""
    shown = rows.row(view, node, 7, 1)
    window, entity = view.window(7, 1), rows.label(node)
    text = f"It spent ${shown['spend']:.2f} over the last 7 days for {shown['purchases']} purchases."
    facts = rows.facts(entity, window, {metric: shown[metric] for metric in ("spend", "purchases")})
    return Claim(text=text, origin="observable", facts=tuple(facts))


def _funnel(view: View, node: Node) -> Claim:
    metrics = []
    for first, last in ((3, 1), (6, 4)):
        counts = rows.funnel(view, node, first, last)
        window = view.window(first, last)
        for stage in ("landing_page_views", "checkouts"):
            share = rows.share_pct(counts[stage], max(1, counts["clicks"]))
            metrics.append(Fact(rows.label(node), f"{stage}_per_click", window, share, "%"))
    views, checkouts, views_before, checkouts_before = metrics
    text = (
        f"Landing-page views per click went from {views_before.value} % to {views.value} % within the last "
        f"3 days, checkouts per click from {checkouts_before.value} % to {checkouts.value} %."
    )
    return Claim(text=text, origin="observable", facts=(views_before, views, checkouts_before, checkouts))


# ---------------------------------------------------------------- what no tool could have told


def outside(scenario: Scenario) -> list[Claim]:
    """Return everything from behind the screen and outside the account."""
    hidden = [item for item in scenario.truth.hidden if item.channel != "outcome"]
    return [_hindsight(item, hidden) for item in hidden if item.fact.unit != "day"]


def learned(scenario: Scenario, draws: Stream) -> Claim:
    """Return one thing that became known later."""
    later = [item for item in scenario.truth.hidden if item.channel == "outcome"]
    return _hindsight(draws.choice(later, "later"), [])


def told(scenario: Scenario) -> str:
    """Tell what happened next, with the figures of `Truth.hidden`."""
    names = ("contribution_14d", "contribution_14d_after_overdraft", "cpa_14d")
    facts = [item.fact for item in scenario.truth.hidden if item.fact.metric in names]
    return " ".join(_words(fact, "") for fact in facts)


def _hindsight(item: Hidden, hidden: list[Hidden]) -> Claim:
    """Put a hidden fact into words, with the day that belongs to it."""
    origin: Origin = "hindsight" if item.channel == "outcome" else "external"
    days = [other.fact for other in hidden if other.fact.unit == "day"]
    dated = tuple(days) if item.fact.metric in ("promotion_discount", "stock_left") else ()
    text = _words(item.fact, str(dated[0].value) if dated else "")
    return Claim(text=text, origin=origin, facts=(item.fact, *dated))


def _words(fact: Fact, day: str) -> str:
    value, span = fact.value, fact.window.replace("..", " to ")
    if fact.metric.startswith("matured_cpa"):
        return f"Once the late purchases were in, CPA for {span} stood at ${value:.2f}."
    return {
        "contribution_14d": f"At the old budget the 14 days from {span} came to {_money(value)}: gross "
        "margin less ad spend.",
        "contribution_14d_after_overdraft": f"At the old budget the 14 days from {span} came to "
        f"{_money(value)}: gross margin less ad spend and the cost of the overdraft.",
        "cpa_14d": f"CPA over the following 14 days came to {_money(value)}.",
        "untracked_purchases": f"Tracking had missed {value} purchases from {span}.",
        "stock_left": f"Only {value} units are left in stock; it is sold out from {day}.",
        "promotion_discount": f"A promotion with {value} % off starts on {day}.",
        "cash_limit": f"The client can pay no more than {_money(value)} for ads this month.",
    }[fact.metric]


def _money(value: float | str) -> str:
    """Return an amount such as `$12.50` or `-$12.50`."""
    amount = float(value)
    return f"-${-amount:.2f}" if amount < 0 else f"${amount:.2f}"
