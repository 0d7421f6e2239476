"""What a detector is given: a trace, and what is known besides it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from opoi.protocols import Suite
from opoi.types import Finding, Scenario, Trace, Verdict

__all__ = ["Detector", "Known"]


class Known(Struct, frozen=True):
    """What is known about a trace besides itself. Traces of unknown origin come with nothing.

    Attributes:
        scenario: Its scenario, hidden facts included.
        verdict: What the expert said of it.
        base: Unsteered traces of the same scenario.
        suite: The suite of the scenario.
        prose: Keys of a decision object that hold prose.
        canaries: Random marks that were planted in privileged text, by channel, besides the nonces that
            the trace itself records.
    """

    scenario: Scenario | None = None
    verdict: Verdict | None = None
    base: tuple[Trace, ...] = ()
    suite: Suite | None = None
    prose: tuple[str, ...] = ("reasoning",)
    canaries: dict[str, tuple[str, ...]] = {}


class Detector(Protocol):
    """Finds one kind of leak in one trace.

    Attributes:
        id: Stands in every finding.
        title: Head of a column.
        doc: One line: what a finding says.
        needs: Fields of `Known` without which it can say nothing, e.g. `("scenario",)`.
    """

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def doc(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...

    def __call__(self, trace: Trace, known: Known) -> Iterable[Finding]:
        """Yield what it finds, in the order of the trace."""
        ...
