"""Scripted reviewers: the only readers of what happened afterwards.

A reviewer settles on an action, from what the agent could have seen, from knowing the client, or from
hindsight, and writes what a media buyer would write: an action with its magnitude, usually reasons,
sometimes next to nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, structs

from opoi.seeds import Stream
from opoi.types import Claim, Scenario, Trace, Verdict
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.experts.reasons import learned, outside, seen, told
from opoi_envs.ads.truth.belief import Prior, expected
from opoi_envs.ads.truth.truth import observable
from opoi_envs.ads.truth.utility import ACTIONS, MULTIPLES, NULL_ACTION, base_spend, best, tolerance
from opoi_envs.ads.world.world import World

__all__ = ["EXPERTS", "Reviewer"]

Share = Annotated[float, Meta(ge=0, le=1)]
Step = Annotated[float, Meta(gt=0, le=0.5)]

_VAGUE = {
    "scale_up": "because it has been doing well lately.",
    "maintain": "because nothing calls for a change.",
    "scale_down": "because of yesterday's performance.",
    "pause": "because it is not working.",
}


class Registers(Struct, frozen=True, forbid_unknown_fields=True):
    """How often feedback is two words, a vague line, one reason, or a note with all reasons."""

    terse: Share
    vague: Share
    reason: Share
    note: Share


class Reviewer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scripted expert. Satisfies `opoi.protocols.Expert`.

    Attributes:
        name: Stands in every verdict.
        looks_back: Probability of judging by what happened instead of by what could be seen.
        knows_client: Probability of knowing what happens outside the account.
        error: Probability of wanting an action that is none of the best.
        tells_outcome: Whether the verdict tells what happened next.
        tilt: What a dollar of ad spend is worth to them beyond its return, in dollars.
        step_up: By what share they raise a budget.
        step_down: By what share they cut one.
        registers: How they write.
    """

    name: str = ""
    looks_back: Share
    knows_client: Share
    error: Share
    tells_outcome: bool
    tilt: Annotated[float, Meta(ge=-1, le=1)]
    step_up: Step
    step_down: Step
    registers: Registers

    def __call__(self, scenario: Scenario, trace: Trace) -> Verdict:
        """Review one trace; the same scenario and decision always get the same verdict."""
        world = World(scenario.seed)
        draws = Stream(scenario.seed, "ads", "expert", self.name)
        back = draws.chance(self.looks_back, "looks back")
        inside = back or draws.chance(self.knows_client, "knows client")
        wanted = self._wanted(scenario, world, back=back, inside=inside)
        if draws.chance(self.error, "error"):
            wanted = (draws.choice([action for action in ACTIONS if action not in wanted], "wrong"),)
        proposed = trace.decision.action if trace.decision.valid else ""
        action = proposed if proposed in wanted else wanted[0]
        kind = _kind(proposed, action)
        claims = seen(View(Account(world)), scenario.kind, draws)
        private = outside(scenario) if inside else []
        private += [learned(scenario, draws)] if back else []
        if private:
            claims = [*private, *claims[:1]]
        register = draws.weighted(structs.asdict(self.registers), "register")
        aloud = {"terse": 0, "vague": 0, "reason": 1}.get(register, len(claims))
        claims = [structs.replace(claim, told=place < aloud) for place, claim in enumerate(claims)]
        budget = self._budget(world, action)
        if kind == "approve":
            budget = _proposed(trace, budget)
        phrase = _phrase(action, budget)
        return Verdict(
            expert=self.name,
            kind=kind,
            action=action,
            phrase=phrase,
            feedback=f"{scenario.entity}: {_feedback(kind, action, phrase, claims, register)}",
            claims=tuple(claims),
            outcome=told(scenario) if self.tells_outcome else "",
            payload={"action": action, "entity": scenario.entity, "new_daily_budget": budget},
        )

    def _wanted(self, scenario: Scenario, world: World, *, back: bool, inside: bool) -> tuple[str, ...]:
        """Return the actions that are best to them, best first."""
        utilities = dict(scenario.truth.realised if back else scenario.truth.expected)
        if inside and not back and outside(scenario):
            utilities = _knowing(world)
        spend = base_spend(world.focus) / 100
        tilted = {
            action: value + self.tilt * spend * MULTIPLES[action] for action, value in utilities.items()
        }
        return best(tilted, tolerance(world.focus))

    def _budget(self, world: World, action: str) -> float:
        """Return the daily budget in USD that they ask for; whole dollars after a change."""
        now = world.focus.budget_cents / 100
        steps = {"scale_up": 1 + self.step_up, "scale_down": 1 - self.step_down, "pause": 0.0}
        return float(int(now * steps[action] + 0.5)) if action in steps else now


def _feedback(kind: str, action: str, phrase: str, claims: list[Claim], register: str) -> str:
    """Write what the reviewer sends about the campaign, from two words to a note."""
    opening = {"approve": "agreed, ", "decline": "no, ", "correct": ""}[kind]
    short = {"pause": "pause it", "maintain": "keep the budget as it is"}
    words = short.get(action, action.replace("_", " "))
    if register == "terse":
        return f"{opening}{words}."
    if register == "vague":
        return f"{opening}{words} {_VAGUE[action]}"
    if register == "reason":
        return f"{opening}{words}. {claims[0].text}"
    return f"{opening}{phrase}. {' '.join(claim.text for claim in claims)}"


def _proposed(trace: Trace, otherwise: float) -> float:
    """Return the daily budget in USD that a decision asks for, where it names one."""
    named = trace.decision.payload.get("new_daily_budget")
    return float(named) if isinstance(named, int | float) else otherwise


def _knowing(world: World) -> dict[str, float]:
    """Return the expected utility of each action to someone who also knows what `outside` tells."""
    certain = (structs.replace(world.focus.overlay, probability=1.0),)
    shapes = []
    for shape in Prior().archetypes:
        causes = [each for each in shape.causes if each.hides_sales or not world.focus.cause.hides_sales]
        share = sum(cause.probability for cause in causes)
        if share:
            known = tuple(structs.replace(each, probability=each.probability / share) for each in causes)
            shapes.append(structs.replace(shape, weight=shape.weight * share, causes=known, overlays=certain))
    view = View(Account(world))
    return expected(world.focus, observable(view), Prior(archetypes=tuple(shapes)))


def _kind(proposed: str, wanted: str) -> Literal["approve", "decline", "correct"]:
    if proposed == wanted:
        return "approve"
    return "decline" if proposed and wanted == NULL_ACTION else "correct"


def _phrase(action: str, budget: float) -> str:
    return {
        "scale_up": f"scale up, new daily budget ${budget:.2f}",
        "maintain": f"keep the daily budget at ${budget:.2f}",
        "scale_down": f"scale down, new daily budget ${budget:.2f}",
        "pause": "pause the campaign",
    }[action]


def _read() -> Mapping[str, Reviewer]:
    text = files("opoi_envs.ads.experts").joinpath("personas.toml").read_text(encoding="utf-8")
    raw: dict[str, dict[str, Any]] = tomllib.loads(text)
    return {name: msgspec.convert({**dials, "name": name}, Reviewer) for name, dials in raw.items()}


EXPERTS: Mapping[str, Reviewer] = _read()
"""Reviewers by name; the first is the default."""
