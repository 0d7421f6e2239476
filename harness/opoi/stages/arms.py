"""The arms of a run, as the measures read them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from opoi.run import Run
from opoi.stages.common import trace_files
from opoi.stages.score import score_files
from opoi.store import Index, read
from opoi.types import Arm, Cleaned, Group, Review, Scenario, Scored

__all__ = ["arms_of"]


def arms_of(run: Run, *, part: int = 0, parts: int = 1) -> list[Arm]:
    """Return the arms of a run, the unsteered one first; each can be walked again and again.

    Args:
        run: The run, with its cleaned traces.
        part: Which part of the scenarios to read, from 0.
        parts: Number of parts; the parts are disjoint and together all scenarios.
    """
    verdicts = Index(run.file("reviews.jsonl"), Review, key="scenario_id")
    base: Arm | None = None
    arms = []
    for name, _ in trace_files(run):
        arm = _arm(run, name, verdicts, base, (part, parts))
        base = base or arm
        arms.append(arm)
    return arms


def _arm(run: Run, name: str, verdicts: Index[Review], base: Arm | None, part: tuple[int, int]) -> Arm:
    entries = Index(run.file("cleaned", f"{name}.jsonl"), Cleaned, key="trace.scenario_id")
    scores = [Index(file, Scored, key="scenario_id") for file in score_files(run, name)]
    reference = next((scorer for _, scorer in run.cast.scorers), "")

    def groups() -> Iterator[Group]:
        for scenario in islice(read(run.file("scenarios.jsonl"), Scenario), part[0], None, part[1]):
            seen = verdicts.get(scenario.id)
            yield Group(
                scenario=scenario,
                verdict=seen[0].verdict if seen else None,
                cleaned=tuple(entries.get(scenario.id)),
                scores=tuple(scored for index in scores for scored in index.get(scenario.id)),
                reference=reference,
            )

    return Arm(name, groups, base=base)
