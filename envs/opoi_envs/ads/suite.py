"""The ads suites: scenarios, environments, experts and the embedded model under one name."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from opoi.protocols import Expert, Model
from opoi.seeds import Stream
from opoi.types import Decision, Fact, Scenario
from opoi_envs.ads.decision import DECISION_SCHEMA, decide
from opoi_envs.ads.env import AdsEnv
from opoi_envs.ads.experts.reviewer import EXPERTS
from opoi_envs.ads.prompts import task_text
from opoi_envs.ads.stand_in.model import StandIn
from opoi_envs.ads.stand_in.persona import load_persona
from opoi_envs.ads.truth.belief import Prior, expected
from opoi_envs.ads.truth.evidence import evidence_in
from opoi_envs.ads.truth.truth import truth_of
from opoi_envs.ads.truth.utility import ACTIONS, NULL_ACTION
from opoi_envs.ads.world.shapes import DIFFICULTIES, Difficulty
from opoi_envs.ads.world.world import World

__all__ = ["EASY", "HARD", "HELD_OUT", "AdsSuite", "suite"]


class AdsSuite:
    """Daily budget decisions for one campaign. Satisfies `opoi.protocols.Suite`.

    Utilities are in USD: gross margin less ad spend over 14 days; see `opoi_envs.ads.truth.utility`.

    Args:
        name: Registered name.
        difficulty: Of every case; a mixture by default.
        held_out: Draw from the worlds that the others never use: training worlds have even seeds, held-out
            worlds odd ones.
    """

    actions: tuple[str, ...] = ACTIONS
    null_action = NULL_ACTION
    decision_schema: dict[str, Any] = DECISION_SCHEMA
    prose: tuple[str, ...] = ("reasoning",)
    experts: Mapping[str, Expert] = EXPERTS

    def __init__(
        self, name: str = "ads", *, difficulty: Difficulty | None = None, held_out: bool = False
    ) -> None:
        self.name = name
        self.difficulty = difficulty
        self.held_out = held_out
        self._prior = Prior(difficulties=(difficulty,)) if difficulty else Prior()

    def scenarios(self, count: int, seed: int) -> Iterator[Scenario]:
        """Yield `count` scenarios. The i-th depends on `seed` and i alone."""
        seeds = Stream(seed, "ads", "scenario")
        for index in range(count):
            world = self._world(seeds, index)
            yield Scenario(
                id=f"{self.name}-{index:05d}",
                suite=self.name,
                seed=world.seed,
                kind=world.focus.archetype.name,
                as_of=world.day(0),
                task=task_text(world),
                entity=f"cmp_{world.focus.id}",
                truth=truth_of(world, self._prior),
            )

    def _world(self, seeds: Stream, index: int) -> World:
        """Return the first world drawn for an index that is of the suite's difficulty."""
        drawn = (World(seeds.seed31(index, attempt) & ~1 | self.held_out) for attempt in itertools.count())
        return next(world for world in drawn if self.difficulty in (None, world.focus.difficulty))

    def env(self, scenario: Scenario) -> AdsEnv:
        """Return a fresh environment frozen at the scenario's decision day."""
        return AdsEnv(scenario)

    def expected(self, scenario: Scenario, facts: Iterable[Fact]) -> dict[str, float]:
        """Return the expected utility of each action given facts; see `opoi.protocols.Suite.expected`."""
        focus = World(scenario.seed).focus
        parts = [f"set_{ad_set.id}" for ad_set in focus.ad_sets]
        seen = evidence_in(facts, scenario.entity, scenario.as_of, parts)
        return expected(focus, seen, self._prior)

    def decide(self, text: str) -> Decision:
        """Read a final answer strictly; see `opoi_envs.ads.decision.decide`."""
        return decide(text)

    def stand_in(self, persona: str | Path = "default") -> Model:
        """Return the embedded model.

        Args:
            persona: A name from `opoi_envs.ads.stand_in.persona.PERSONAS`, or the path of a TOML file.

        Raises:
            UsageError: The persona cannot be used.
        """
        name, dials = load_persona(persona)
        return StandIn(dials, name=f"stand-in/{name}")


suite = AdsSuite()
EASY = AdsSuite("ads-easy", difficulty=DIFFICULTIES[0])
HARD = AdsSuite("ads-hard", difficulty=DIFFICULTIES[-1])
HELD_OUT = AdsSuite("ads-held-out", held_out=True)
