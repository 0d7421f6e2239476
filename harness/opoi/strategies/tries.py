"""Running the agent until a trace can be used: what every method does that lets the agent write."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from opoi.protocols import Cast
from opoi.rollout import rollout
from opoi.strategies.filters import unusable
from opoi.types import Case, Injection, Outcome, Trace, Usage

__all__ = ["first_usable"]


def _nothing(_attempt: int) -> tuple[Injection, ...]:
    return ()


def first_usable(
    case: Case,
    cast: Cast,
    *,
    attempts: int = 1,
    wanted: str | None = None,
    notes: Callable[[int], Sequence[Injection]] = _nothing,
) -> Trace:
    """Return the first trace that can be used, else the last with the reason to drop it.

    Each attempt has draws of its own. A failure of the endpoint ends the attempts: it says nothing of the
    agent.

    Args:
        case: What the trace is made from.
        cast: Who plays.
        attempts: Most rollouts, at least 1.
        wanted: The action that the decision has to take, None where any will do.
        notes: Returns what is whispered at an attempt, from 0.
    """
    usage, attempt = Usage(), 0
    while True:
        whispered = notes(attempt)
        trace = rollout(
            case.scenario,
            cast.suite,
            cast.agent,
            arm=cast.arm,
            run=case.run,
            seed=cast.seed,
            turns=cast.turns,
            attempt=attempt,
            injections=whispered,
        )
        usage += trace.usage
        attempt += 1
        drop = unusable(trace, case.scenario, wanted=wanted, acts=True)
        if whispered and not trace.stop.drop and not trace.injections:
            drop = "not_injected"  # it answered before the note was due
        failed = trace.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE
        if not drop or failed or attempt == attempts:
            return replace(trace, drop=drop, attempts=attempt, usage=usage)
