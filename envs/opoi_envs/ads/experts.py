"""Scripted reviewers: the only readers of what happened afterwards.

A reviewer settles on an action, either from what the agent could have seen or from hindsight, and writes
what a media buyer would write: an action, usually reasons, sometimes next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from opoi.protocols import Expert
from opoi.seeds import Stream
from opoi.types import Claim, Fact, Hidden, Origin, Scenario, Trace, Verdict
from opoi_envs.ads.account import UNITS, View
from opoi_envs.ads.outcomes import ACTIONS, NULL_ACTION, new_budget
from opoi_envs.ads.world import World

__all__ = ["EXPERTS", "Reviewer"]

_REASONS: dict[str, tuple[str, ...]] = {
    "headroom": ("week_cpa", "week_roas", "days3_cpa"),
    "steady": ("week_cpa", "week_roas", "days3_cpa"),
    "saturated": ("week_cpa", "days3_cpa", "week_roas"),
    "collapse": ("days3_cpa", "yesterday_cpa", "week_roas"),
    "lag_dip": ("week_cpa", "yesterday_cpa", "days3_cpa"),
    "loser": ("week_roas", "week_cpa", "yesterday_cpa"),
    "fatigue": ("frequency", "ctr", "week_cpa"),
    "recovering": ("days3_cpa", "week_cpa", "week_roas"),
    "learning": ("delivery", "days3_cpa", "week_cpa"),
}
"""What a reviewer looks at first, by the look of the case."""

_VAGUE = {
    "scale_up": "because it has been doing well lately.",
    "maintain": "because nothing calls for a change.",
    "scale_down": "because of yesterday's performance.",
    "pause": "because it is not working.",
}


class Reviewer(Struct, frozen=True, kw_only=True):
    """A scripted expert. Satisfies `opoi.protocols.Expert`.

    Attributes:
        name: Stands in every verdict.
        hindsight: Probability of judging by what happened instead of by what could be seen.
        error: Probability of wanting an action that is none of the best.
        tells_outcome: Whether the verdict tells what happened next.
    """

    name: str
    hindsight: float
    error: float = 0.0
    tells_outcome: bool = True

    def __call__(self, scenario: Scenario, trace: Trace) -> Verdict:
        """Review one trace; the same scenario and decision always get the same verdict."""
        world = World(scenario.seed)
        draws = Stream(scenario.seed, "ads", "expert", self.name)
        looks_back = draws.chance(self.hindsight, "looks back")
        truth = scenario.truth
        wanted = truth.hindsight_actions if looks_back else truth.observable_actions
        if draws.chance(self.error, "error"):
            wanted = (draws.choice([action for action in ACTIONS if action not in wanted], "wrong"),)
        proposed = trace.decision.action if trace.decision.valid else ""
        action = proposed if proposed in wanted else wanted[0]
        kind = _kind(proposed, action)
        claims = _seen(world, draws)
        if looks_back:
            claims = [*_learned(scenario, draws), *claims[:1]]
        phrase = _phrase(world, action)
        return Verdict(
            expert=self.name,
            kind=kind,
            action=action,
            phrase=phrase,
            feedback=f"{world.focus.id}: {_feedback(kind, action, phrase, claims, draws)}",
            claims=tuple(claims),
            outcome=_outcome(scenario) if self.tells_outcome else "",
            payload=_payload(world, action),
        )


EXPERTS: Mapping[str, Expert] = {
    "media_buyer": Reviewer(name="media_buyer", hindsight=0.35, error=0.04),
    "careful": Reviewer(name="careful", hindsight=0.0, tells_outcome=False),
    "looks_back": Reviewer(name="looks_back", hindsight=1.0),
}
"""Reviewers by name; the first is the default."""


def _kind(proposed: str, wanted: str) -> Literal["approve", "decline", "correct"]:
    if proposed == wanted:
        return "approve"
    return "decline" if proposed and wanted == NULL_ACTION else "correct"


def _payload(world: World, action: str) -> dict[str, Any]:
    return {
        "action": action,
        "entity": world.focus.id,
        "new_daily_budget": new_budget(world.focus.budget_cents, action) / 100,
    }


def _phrase(world: World, action: str) -> str:
    dollars = f"${new_budget(world.focus.budget_cents, action) / 100:.2f}"
    return {
        "scale_up": f"scale up, new daily budget {dollars}",
        "maintain": f"keep the daily budget at {dollars}",
        "scale_down": f"scale down, new daily budget {dollars}",
        "pause": "pause the campaign",
    }[action]


def _seen(world: World, draws: Stream) -> list[Claim]:
    """Return one to three reasons that the agent could have found with its tools."""
    names = _REASONS[world.focus.archetype.name]
    view = View(world)
    return [_observable(view, name) for name in names[: 1 + draws.below(3, "reasons")]]


def _observable(view: View, name: str) -> Claim:
    """Return one reason with the values that tools print for it."""
    focus, account = view.world.focus, view.world.account
    target = Fact(account.id, "target_cpa", "", account.target_cpa_cents / 100, "USD")
    if name == "delivery":
        learning = focus.archetype.name == "learning"
        fact = Fact(focus.id, "delivery", "", "LEARNING" if learning else "STABLE")
        return Claim(text="Delivery is still learning after the raise.", origin="observable", facts=(fact,))
    length = {"yesterday_cpa": 1, "days3_cpa": 3}.get(name, 7)
    metric = {"week_roas": "roas", "frequency": "frequency", "ctr": "ctr"}.get(name, "cpa")
    first, before = _value(view, metric, length, 1), _value(view, metric, 2 * length, length + 1)
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
    }
    facts = {"yesterday_cpa": (first, target), "week_cpa": (first, target), "frequency": (first,)}
    return Claim(text=texts[name], origin="observable", facts=facts.get(name, (first, before)))


def _value(view: View, metric: str, first: int, last: int) -> Fact:
    """Return one metric of the focus as a fact (its budget makes every ratio defined on every day)."""
    value = view.row(view.world.focus, first, last)[metric]
    return Fact(view.world.focus.id, metric, view.window(first, last), value, UNITS[metric])


def _learned(scenario: Scenario, draws: Stream) -> list[Claim]:
    """Return reasons that no tool could have given: everything from outside, one from afterwards."""
    outside = [item for item in scenario.truth.hidden if item.channel != "outcome"]
    later = [item for item in scenario.truth.hidden if item.channel == "outcome"]
    told = [item for item in outside if item.fact.metric != "promotion_start"]
    return [_hindsight(item, outside) for item in [*told, draws.choice(later, "later")]]


def _hindsight(item: Hidden, outside: list[Hidden]) -> Claim:
    """Put a hidden fact into words."""
    origin: Origin = "hindsight" if item.channel == "outcome" else "external"
    facts: tuple[Fact, ...] = (item.fact,)
    if item.fact.metric == "promotion_discount":
        facts += tuple(other.fact for other in outside if other.fact.metric == "promotion_start")
    return Claim(text=_words(item.fact), origin=origin, facts=facts)


def _words(fact: Fact) -> str:
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
        "stock_left": f"Only {value} units are left in stock.",
        "promotion_discount": f"A promotion with {value} % off starts on {span}.",
        "cash_limit": f"The client can pay no more than {_money(value)} for ads this month.",
    }[fact.metric]


def _money(value: float | str) -> str:
    """Return an amount such as `$12.50` or `-$12.50`."""
    amount = float(value)
    return f"-${-amount:.2f}" if amount < 0 else f"${amount:.2f}"


def _outcome(scenario: Scenario) -> str:
    """Tell what happened next, with the figures of `Truth.hidden`."""
    told = ("contribution_14d", "contribution_14d_after_overdraft", "cpa_14d")
    facts = [item.fact for item in scenario.truth.hidden if item.fact.metric in told]
    return " ".join(_words(fact) for fact in facts)


def _feedback(kind: str, action: str, phrase: str, claims: list[Claim], draws: Stream) -> str:
    """Write the line or two that the reviewer sends about the campaign."""
    style = draws.below(4, "style")
    opening = {"approve": "agreed, ", "decline": "no, ", "correct": ""}[kind]
    short = {"pause": "pause it", "maintain": "keep the budget as it is"}
    words = short.get(action, action.replace("_", " "))
    if style == 0:
        return f"{opening}{words} {_VAGUE[action]}"
    if style == 1:
        return f"{opening}{words}. {claims[0].text}"
    return f"{opening}{phrase}. {' '.join(claim.text for claim in claims)}"
