"""Does the answer have the form that the agent's own answers have?"""

from __future__ import annotations

from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen
from opoi.measures.text import readable

__all__ = ["schema_valid"]


@figure("valid decision", policies=True)
def schema_valid(seen: Seen) -> Pair:
    """Share of attempted traces that end in one decision that fits the schema, whatever it is about.

    Formula: traces with a valid decision / traces that the endpoint did not fail
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.1 and 5.7, V6
    Needs: T0
    Not for: servers that enforce the schema: it is 1 by force
    """
    return sum(map(readable, seen.judged)), len(seen.judged)
