"""What a decision was worth: the part of `info` that is told only when the episode is over."""

from __future__ import annotations

from typing import Any

from opoi.types import Scenario
from opoi_envs.ads.decision import decide
from opoi_envs.ads.truth.outcomes import Future, realised
from opoi_envs.ads.truth.utility import NULL_ACTION, base_spend, switching
from opoi_envs.ads.world.world import World

__all__ = ["decided", "ending", "usual_spend"]


def decided(scenario: Scenario, answer: str | None) -> str:
    """Return the action that an answer decides on; anything but a valid decision changes nothing.

    Args:
        scenario: The decision has to name its campaign.
        answer: The final answer, None where there was none.
    """
    decision = decide(answer or "")
    return decision.action if decision.valid and decision.entity == scenario.entity else NULL_ACTION


def usual_spend(world: World) -> float:
    """Return the expected spend of 14 days at the present budget in USD: what `share` divides by."""
    return base_spend(world.focus) / 100


def ending(scenario: Scenario, world: World, action: str) -> dict[str, Any]:
    """Return what an agent must not know before it has decided; all money in USD over 14 days.

    Args:
        scenario: The scenario.
        world: Its world.
        action: What was decided.
    """
    truth, focus = scenario.truth, world.focus
    return {
        "kind": scenario.kind,
        "cause": focus.cause.name,
        "overlay": focus.overlay.name,
        "difficulty": focus.difficulty.name,
        "expected": dict(truth.expected),
        "realised": dict(truth.realised),
        "observable_actions": truth.observable_actions,
        "hindsight_actions": truth.hindsight_actions,
        "regret_expected": _cents(max(truth.expected.values()) - truth.expected[action]),
        "regret_realised": _cents(max(truth.realised.values()) - truth.realised[action]),
        "usual_spend": usual_spend(world),
        "components": _components(world, action, realised(world)[action]),
    }


def _components(world: World, action: str, future: Future) -> dict[str, float]:
    """Take a realised utility apart: `contribution - ad_spend - financing - switching`, to the cent."""
    focus = world.focus
    paid = int(future.spend_cents * focus.overlay.cost)
    return {
        "purchases": float(future.purchases),
        "revenue": future.revenue_cents / 100,
        "contribution": future.revenue_cents * world.advertiser.margin_pct // 100 / 100,
        "ad_spend": future.spend_cents / 100,
        "financing": (paid - future.spend_cents) / 100,
        "switching": int(switching(action) * base_spend(focus)) / 100,
    }


def _cents(usd: float) -> float:
    """Round a difference of amounts in USD back to whole cents."""
    return round(usd, 2)
