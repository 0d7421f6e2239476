"""What the agent told of privileged things: it stays privileged when a tool or a sub-agent says it back."""

from __future__ import annotations

import re

from opoi.provenance.claims import Claimed, number_of, plain_number
from opoi.provenance.sources import SCALED, Values

__all__ = ["Told"]

_SCALED_DIGITS = 3


class Told:
    """Privileged numbers, days and wordings that the agent has told.

    Attributes:
        days: ISO days.
    """

    def __init__(self) -> None:
        self.days: set[str] = set()
        self._numbers: Values[str] = Values()
        self._any = False
        self._words: list[re.Pattern[str]] = []

    def tell(self, claim: Claimed, text: str) -> None:
        """Note a privileged claim.

        Args:
            claim: A number, a day, an id, a name or a cause.
            text: What stands in the text: a name as it is written, or the sentence of a cause.
        """
        if claim.kind == "number":
            self._numbers.add_number(claim, claim.text)
            self._any = True
        elif claim.kind == "date":
            self.days.update(claim.days)
        else:
            spaced = r"\s+".join(re.escape(part) for part in text.split())
            self._words.append(re.compile(rf"(?<!\w){spaced}(?!\w)", re.IGNORECASE))

    def repeats(self, number: Claimed) -> bool:
        """Return whether a number says one that was told, be it rounded, as a share or in another unit."""
        if not self._any:
            return False
        if self._numbers.restates(number) or (number.digits > 1 and self._numbers.rounds(number)):
            return True
        scaled = number.digits >= _SCALED_DIGITS and self._numbers.restates(number, SCALED)
        return bool(scaled)

    def repeats_value(self, value: float) -> bool:
        """Return whether a number of a JSON text, without a unit, says one that was told."""
        number = number_of(plain_number(value)) if self._any else None
        return number is not None and self.repeats(number)

    def without(self, text: str) -> str:
        """Return a text with the names and sentences that were told replaced by a blank."""
        for pattern in self._words:
            text = pattern.sub(" ", text)
        return text
