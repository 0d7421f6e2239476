"""What a method or measure asks of a model: the four tiers of access."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Tier"]


class Tier(StrEnum):
    """How much of a model can be seen from outside; each tier includes those before it.

    `T0`: chat only. `T1`: log-probabilities of the model's own tokens as it generates them. `T2`:
    log-probabilities of any given text. `T3`: the weights (logits over the whole vocabulary).
    """

    T0 = "T0"
    T1 = "T1"
    T2 = "T2"
    T3 = "T3"

    def covers(self, need: Tier) -> bool:
        """Return whether what needs `need` can be done here."""
        return self.value >= need.value
