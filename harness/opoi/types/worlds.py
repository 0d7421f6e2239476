"""Facts of a simulated world, and scenarios: one decision to take in one frozen world."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from opoi.types.base import Value

__all__ = ["Channel", "Fact", "Hidden", "Number", "Scenario", "Truth"]

Channel = Literal["hidden", "outcome", "external"]
"""Why the agent cannot know a fact: state it has no tool for, the future, or the world outside."""

Number = int | float


class Fact(Struct, frozen=True, array_like=True, gc=False):
    """One value of the simulated world, e.g. `["c2", "cpa", "2025-03-07..2025-03-13", 47.13, "USD"]`.

    Attributes:
        entity: Id of the object that the value belongs to.
        metric: Name of the quantity.
        window: ISO day, `first..last` (both included), or `""` for a state without a date.
        value: As the tools print it.
        unit: `USD`, `%`, `count`, `x` (a ratio), `day` or `""`.
    """

    entity: str
    metric: str
    window: str
    value: Number | str
    unit: str = ""

    @property
    def id(self) -> str:
        """What the value is a value of, whatever it is: `entity:metric:window`."""
        return f"{self.entity}:{self.metric}:{self.window}"

    @property
    def last_day(self) -> str:
        """The last ISO day of the window, or `""`."""
        return self.window[-10:]


class Hidden(Value, frozen=True, kw_only=True):
    """A fact that no tool reveals, with the reason why not.

    Attributes:
        fact: The fact.
        channel: Why the agent cannot know it.
        ambiguous: A tool can print the same number about something else, so that a claim which states it does
            not prove a leak.
    """

    fact: Fact
    channel: Channel
    ambiguous: bool = False


class Truth(Value, frozen=True, kw_only=True):
    """What the simulator knows about a scenario. Only experts and measures read it.

    Attributes:
        expected: Expected utility of each action given what tools can reveal, in the suite's unit.
        realised: Utility of each action as it turned out, same unit, common random numbers.
        observable_actions: Actions whose expected utility is within the suite's tolerance of the best.
        hindsight_actions: Actions whose realised utility is within the tolerance of the best.
        hidden: Facts outside the agent's reach.
    """

    expected: dict[str, float]
    realised: dict[str, float]
    observable_actions: tuple[str, ...]
    hindsight_actions: tuple[str, ...]
    hidden: tuple[Hidden, ...] = ()


class Scenario(Value, frozen=True, kw_only=True):
    """One decision to take in one frozen world.

    Attributes:
        id: Unique within a run, sorts in the order of generation.
        suite: Name of the suite that made it and can rebuild its world from `seed`.
        seed: Seed of the world, in [0, 2**31).
        kind: What the case looks like to someone who can only see the screen, e.g. `"lag_dip"`.
        as_of: ISO day of the decision; nothing after it can be reached by a tool.
        task: The user message of the agent's prompt.
        entity: Id of the object that the decision is about.
        truth: What really holds.
    """

    id: str
    suite: str
    seed: int
    kind: str
    as_of: str
    task: str
    entity: str
    truth: Truth
