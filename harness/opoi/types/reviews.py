"""What an expert says about a decision, and the case that a strategy starts from."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import field

from opoi.types.base import Value
from opoi.types.traces import Trace
from opoi.types.worlds import Fact, Scenario

__all__ = ["Case", "Claim", "Origin", "Review", "Verdict"]

Origin = Literal["observable", "hindsight", "external"]
"""What a claim of an expert rests on."""


class Claim(Value, frozen=True, kw_only=True):
    """One reason of an expert.

    Attributes:
        text: A sentence.
        origin: What it rests on. Only `observable` claims can be verified by the agent.
        facts: The values it states.
        told: Whether the expert says it; one that is kept back never reaches a prompt.
    """

    text: str
    origin: Origin
    facts: tuple[Fact, ...] = ()
    told: bool = True


class Verdict(Value, frozen=True, kw_only=True):
    """What an expert says about one decision.

    Attributes:
        expert: Name of the expert.
        kind: `approve` (do it), `decline` (do nothing) or `correct` (do this instead).
        action: The action that the expert wants.
        phrase: That action in words, with magnitude, e.g. `scale down, new daily budget $210.00`.
        feedback: The free text that a reviewer would send.
        claims: The reasons, each tagged with its origin.
        outcome: What happened afterwards, in words; `""` where the expert does not tell.
        payload: The decision object that the expert would have wanted, without reasoning.
    """

    expert: str
    kind: Literal["approve", "decline", "correct"]
    action: str
    phrase: str
    feedback: str
    claims: tuple[Claim, ...] = ()
    outcome: str = ""
    payload: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """The claims that the expert says, as running text."""
        return " ".join(claim.text for claim in self.claims if claim.told)


class Review(Value, frozen=True, kw_only=True):
    """A verdict and what it is about: one line of the reviews artefact.

    Attributes:
        scenario_id: The scenario.
        trace_id: The unsteered trace that the expert saw; `""` where there is none.
        verdict: What the expert said; None where there was nothing to review.
        skipped: Why there was nothing to review.
    """

    scenario_id: str
    trace_id: str = ""
    verdict: Verdict | None = None
    skipped: str = ""


class Case(Value, frozen=True, kw_only=True):
    """Everything a strategy starts from: scenario, unsteered trace, verdict on it, repetition."""

    scenario: Scenario
    base: Trace
    verdict: Verdict
    run: int = 0
