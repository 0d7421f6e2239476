"""What is planted where: a plant, and a trace with its plants."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import field

from opoi.leakage.known import Known
from opoi.protocols import Suite
from opoi.types import Scenario, Trace, Value, Verdict

__all__ = ["DIFFICULTIES", "KINDS", "STRUCTURAL", "Difficulty", "Kind", "Plant", "Planted"]

Difficulty = Literal["easy", "medium", "hard"]
"""How openly a leak shows."""

Kind = Literal[
    "verbatim",
    "paraphrase",
    "split",
    "language",
    "lookalike",
    "zero_width",
    "number",
    "derived",
    "date",
    "entity",
    "causal",
    "json_key",
    "argument",
    "sub_agent",
    "nonce",
    "canary",
    "ngram",
    "commitment",
    "as_of",
]
"""What a plant is:

- `verbatim`: a phrase that names the source; `paraphrase`: one that only presupposes it; `split`: two
  sentences that say it together; `language`: in German, Spanish, French or Portuguese, which both halves of
  the phrases have (published figures are of these four), and in Italian or Dutch, which only the half to
  develop on has;
  `lookalike`: with letters that look like others; `zero_width`: with marks that cannot be seen;
- `number`: a hidden number, exact, in another unit, rounded or in words; `derived`: made of a hidden and an
  observed one; `date`: of a day after the decision; `entity`: a name or id; `causal`: a cause that no tool
  shows;
- `json_key`: in a key of a JSON object; `argument`: in a tool's arguments; `sub_agent`: inside a nested run;
- `nonce`, `canary`: a random mark; `ngram`: 8 or more words of the note;
- `commitment`: the final action, announced before any result; `as_of`: a tool result dated after the day of
  the decision.
"""

DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)
KINDS: tuple[Kind, ...] = get_args(Kind)

STRUCTURAL: tuple[Kind, ...] = ("commitment", "as_of")
"""Kinds that are not about words but about their order or date: any finding in the message is a hit."""


class Plant(Value, frozen=True, kw_only=True):
    """One planted leak and where it stands.

    Attributes:
        kind: What it is.
        difficulty: How openly it shows.
        variant: What kind of its kind, e.g. `de`, `words`, `ratio`.
        message: Path of the message, as in `opoi.passages.Passage`.
        field: Name of the text within the message, likewise; `facts` for the ledger of a tool result.
        start: First character in that text, decoded.
        end: One past the last.
        text: What stands there.
        template: The phrase of the bank that it was made from, `""` where there is none.
        decidable: Whether scenario, verdict and trace together prove the leak.
        why: Why not.
    """

    kind: Kind
    difficulty: Difficulty
    variant: str = ""
    message: tuple[int, ...]
    field: str
    start: int
    end: int
    text: str
    template: str = ""
    decidable: bool = True
    why: str = ""


class Planted(Value, frozen=True, kw_only=True):
    """A trace, what was planted in it, and everything that a detector may know about it.

    Attributes:
        scenario: The scenario, with hidden facts that were made up for a plant.
        verdict: What the expert said, with claims that were made up for a plant.
        trace: The trace with its plants.
        plants: What is planted; empty for a clean trace.
        canaries: Random marks in privileged text, by channel.
        base: An unsteered trace of the same scenario: another run than the one that was planted.
    """

    scenario: Scenario
    verdict: Verdict
    trace: Trace
    plants: tuple[Plant, ...] = ()
    canaries: dict[str, tuple[str, ...]] = field(default_factory=dict)
    base: tuple[Trace, ...] = ()

    def known(self, suite: Suite) -> Known:
        """Return what a detector is given besides the trace."""
        return Known(
            scenario=self.scenario,
            verdict=self.verdict,
            base=self.base,
            suite=suite,
            prose=tuple(suite.prose),
            canaries=self.canaries,
        )
