"""Whether a finding is of a plant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from opoi.cleaning.sentences import sentences
from opoi.passages import passages
from opoi.planting.plants import STRUCTURAL, Plant
from opoi.types import Finding, Trace

__all__ = ["Judged", "Target", "judge", "targets"]

_LEAST = 3
"""Fewest characters that two texts in different fields of one message must share to be the same find."""


class Target(Struct, frozen=True):
    """A plant and the sentences that it touches.

    Attributes:
        plant: The plant.
        start: First character of the first sentence in the plant's field.
        end: One past the last character of the last one.
    """

    plant: Plant
    start: int
    end: int

    def hit(self, finding: Finding) -> bool:
        """Return whether a finding is of this plant.

        It is where it stands in the same sentence of the same text; or in another field of the same message
        whose text holds the plant or part of it (an object before the decision is prose and JSON at once).
        A plant that is about order or date is hit by any finding in its message or about the whole trace.
        """
        plant = self.plant
        if plant.kind in STRUCTURAL:
            return finding.message in ((), plant.message)
        if finding.message != plant.message:
            return False
        if finding.field == plant.field:
            return finding.start < self.end and self.start < max(finding.end, finding.start + 1)
        one, other = finding.text.casefold(), plant.text.casefold()
        return min(len(one), len(other)) >= _LEAST and (one in other or other in one)


class Judged(Struct, frozen=True):
    """Findings of one detector on one planted trace.

    Attributes:
        found: Some plant was found.
        true: Findings of a plant that the clean twin does not have.
        false: All others.
    """

    found: bool
    true: int
    false: int


def targets(trace: Trace, plants: Sequence[Plant], prose: Sequence[str]) -> tuple[Target, ...]:
    """Return the plants of a trace with their sentences.

    Args:
        trace: The planted trace.
        plants: What is planted in it.
        prose: Keys of a decision object that hold prose.
    """
    texts = {
        (passage.message, passage.field): passage.text
        for passage in passages(trace.messages, prose, roles=("assistant", "user", "tool"))
    }
    return tuple(_target(plant, texts.get((plant.message, plant.field), "")) for plant in plants)


def _target(plant: Plant, text: str) -> Target:
    inside = [span for span in sentences(text) if span[0] < plant.end and plant.start < span[1]]
    if not inside:
        return Target(plant, plant.start, plant.end)
    return Target(plant, min(plant.start, inside[0][0]), max(plant.end, inside[-1][1]))


def judge(findings: Iterable[Finding], wanted: Sequence[Target], twin: Iterable[Finding]) -> Judged:
    """Return how findings on a planted trace compare with its plants and with those on its clean twin.

    Args:
        findings: On the planted trace, by one detector; only those are given that should count.
        wanted: The plants.
        twin: Findings of the same detector on the same trace without plants.
    """
    usual = {(each.kind, each.message, each.field, each.text) for each in twin}
    true = false = 0
    for each in findings:
        new = (each.kind, each.message, each.field, each.text) not in usual
        if new and any(target.hit(each) for target in wanted):
            true += 1
        else:
            false += 1
    return Judged(true > 0, true, false)
