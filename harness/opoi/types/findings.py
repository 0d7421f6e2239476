"""What detectors of leakage say about a trace and about a set of traces."""

from __future__ import annotations

from typing import Literal

from opoi.types.base import Value

__all__ = ["Finding", "Grade", "Reading"]

Grade = Literal["leak", "suspect"]
"""`leak`: what is found cannot be there without privileged text. `suspect`: it can, but seldom is; it is
counted apart and fails no gate unless asked to."""


class Finding(Value, frozen=True, kw_only=True):
    """One place of a trace where privileged text, or what it told, has come through.

    Attributes:
        detector: Id of the detector, e.g. `residue`.
        kind: What was found, in the detector's words, e.g. the id of a pattern or a source.
        trace: Id of the trace.
        message: Path of the message, as in `opoi.passages.Passage`; `()` for the trace as a whole.
        field: Name of the text within the message.
        start: First character of the find in that text.
        end: One past the last.
        text: What stands there.
        why: One line for people: what it matches and how, arithmetic included.
        grade: How far it proves a leak.
    """

    detector: str
    kind: str
    trace: str
    message: tuple[int, ...] = ()
    field: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    why: str = ""
    grade: Grade = "leak"


class Reading(Value, frozen=True, kw_only=True):
    """What a detector says about a set of traces as a whole.

    Attributes:
        detector: Id of the detector.
        name: Which figure, e.g. `auc`.
        value: The figure, None where it cannot be given (`note` says why).
        low: Lower end of the 95 % interval, None where there is none.
        high: Upper end.
        null: What it is where nothing leaks, None where that is not known.
        p: Probability of a value at least as extreme where nothing leaks, None where it was not tested.
        n: Number of units (pairs, scenarios, traces) behind it.
        note: What a reader has to know.
        details: Lines for people, most telling first.
    """

    detector: str
    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    null: float | None = None
    p: float | None = None
    n: int = 0
    note: str = ""
    details: tuple[str, ...] = ()
