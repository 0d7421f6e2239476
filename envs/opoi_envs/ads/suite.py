"""The ads suite: scenarios, environments, experts and the embedded model under one name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from opoi.protocols import Expert, Model
from opoi.seeds import Stream
from opoi.types import Decision, Scenario
from opoi_envs.ads.decision import DECISION_SCHEMA, decide
from opoi_envs.ads.env import AdsEnv
from opoi_envs.ads.experts import EXPERTS
from opoi_envs.ads.outcomes import ACTIONS, NULL_ACTION, truth_of
from opoi_envs.ads.persona import load_persona
from opoi_envs.ads.prompts import task_text
from opoi_envs.ads.stand_in import StandIn
from opoi_envs.ads.world import World

__all__ = ["AdsSuite", "suite"]


class AdsSuite:
    """Daily budget decisions for one campaign. Satisfies `opoi.protocols.Suite`.

    Utilities are in USD: gross margin less ad spend over 14 days; see `opoi_envs.ads.outcomes`.
    """

    name = "ads"
    actions: tuple[str, ...] = ACTIONS
    null_action = NULL_ACTION
    decision_schema: dict[str, Any] = DECISION_SCHEMA
    prose: tuple[str, ...] = ("reasoning",)
    experts: Mapping[str, Expert] = EXPERTS

    def scenarios(self, count: int, seed: int) -> Iterator[Scenario]:
        """Yield `count` scenarios. The i-th depends on `seed` and i alone."""
        seeds = Stream(seed, "ads", "scenario")
        for index in range(count):
            world = World(seeds.seed31(index))
            yield Scenario(
                id=f"ads-{index:05d}",
                suite=self.name,
                seed=world.seed,
                kind=world.focus.archetype.name,
                as_of=world.day(0),
                task=task_text(world),
                entity=world.focus.id,
                truth=truth_of(world),
            )

    def env(self, scenario: Scenario) -> AdsEnv:
        """Return a fresh environment frozen at the scenario's decision day."""
        return AdsEnv(scenario)

    def decide(self, text: str) -> Decision:
        """Read a final answer strictly; see `opoi_envs.ads.decision.decide`."""
        return decide(text)

    def stand_in(self, persona: str | Path = "default") -> Model:
        """Return the embedded model.

        Args:
            persona: A name from `opoi_envs.ads.persona.PERSONAS`, or the path of a TOML file.

        Raises:
            UsageError: The persona cannot be used.
        """
        name, dials = load_persona(persona)
        return StandIn(dials, name=f"stand-in/{name}")


suite = AdsSuite()
