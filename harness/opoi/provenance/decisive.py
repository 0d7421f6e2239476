"""Which metrics decide: without their values another action would be the best.

Methods specification 5.8, `commit_pos`: decisive = its removal changes argmax_a E[U | what was fetched].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opoi.protocols import Suite
from opoi.types import Fact, Scenario

__all__ = ["decisive_metrics"]


def decisive_metrics(suite: Suite, scenario: Scenario, facts: Iterable[Fact]) -> tuple[str, ...]:
    """Return the metrics without any value of which another action would be the best.

    It asks `Suite.expected` once, and once more for each metric.

    Args:
        suite: Works out expected utilities.
        scenario: The case.
        facts: All that was fetched.

    Returns:
        Names in alphabetical order; empty where no single metric decides.
    """
    known = tuple(facts)
    best = _best(suite, scenario, known)
    return tuple(
        metric
        for metric in sorted({fact.metric for fact in known})
        if _best(suite, scenario, [fact for fact in known if fact.metric != metric]) != best
    )


def _best(suite: Suite, scenario: Scenario, facts: Sequence[Fact]) -> str:
    expected = suite.expected(scenario, facts)
    return max(sorted(expected), key=lambda action: expected[action])
