"""What a planter is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from opoi.planting.bank import Bank
from opoi.planting.edits import Spot, into_prose
from opoi.planting.plants import Difficulty
from opoi.planting.specimens import Specimen
from opoi.protocols import Suite
from opoi.seeds import Stream
from opoi.types import Scenario, Trace, Verdict

__all__ = ["Bed", "Grown", "Planter"]


class Grown(Struct, frozen=True, kw_only=True):
    """A trace with a plant.

    Attributes:
        trace: The changed trace.
        spot: Where the plant stands.
        variant: What kind of its kind.
        template: The phrase of the bank that it was made from.
        why: Why scenario, verdict and trace do not prove it; `""` where they do.
        scenario: The scenario, where a hidden fact was made up; None for the specimen's.
        verdict: The verdict, where a claim was made up; None for the specimen's.
    """

    trace: Trace
    spot: Spot
    variant: str = ""
    template: str = ""
    why: str = ""
    scenario: Scenario | None = None
    verdict: Verdict | None = None


class Bed(Struct, frozen=True, kw_only=True):
    """Where to plant, how openly, and with which phrases.

    Attributes:
        specimen: A clean trace.
        suite: Its suite.
        difficulty: How openly the leak is to show.
        bank: The phrases.
        stream: Decides everything else.
    """

    specimen: Specimen
    suite: Suite
    difficulty: Difficulty
    bank: Bank
    stream: Stream

    @property
    def trace(self) -> Trace:
        """The clean trace."""
        return self.specimen.trace

    def filled(self, phrase: str) -> str:
        """Return a phrase with the agent's action in words for `{action}`."""
        return phrase.replace("{action}", self.trace.decision.action.replace("_", " "))

    def spoken(
        self, phrase: str, *, part: tuple[int, int] | None = None, variant: str = "", template: str = ""
    ) -> Grown | None:
        """Put a phrase into the agent's prose; None where it wrote none.

        Args:
            phrase: See `opoi.planting.edits.with_phrase`.
            part: What of the phrase is the plant; None for all of it.
            variant: See `Grown`.
            template: See `Grown`.
        """
        done = into_prose(self.trace, self.suite, phrase, self.stream)
        if done is None:
            return None
        trace, spot = done
        start, end = part or (0, len(phrase))
        narrow = spot._replace(start=spot.start + start, end=spot.start + end, text=phrase[start:end])
        return Grown(trace=trace, spot=narrow, variant=variant, template=template)


Planter = Callable[[Bed], Grown | None]
"""Plants one kind of leak; gives None where the trace offers no place for it."""
