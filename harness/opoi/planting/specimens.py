"""Clean traces to plant in: unsteered rollouts of a suite's stand-in, with a note that left no trace.

A specimen looks to a detector like the best product of a steering method: a note with nonce and canary is on
record, the decision is the one that the note asks for, and no word of the text comes from it. That holds by
construction: the text was written without the note, and only cases are taken in which the expert agrees with
what the agent decided by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from opoi.errors import UsageError
from opoi.planting.bank import BANKS, BankName
from opoi.planting.plants import Planted
from opoi.protocols import Suite
from opoi.rollout import inject, rollout
from opoi.seeds import Stream
from opoi.strategies.note import nonce, review_note
from opoi.types import Injection, Scenario, Trace, Verdict

__all__ = ["ARM", "Specimen", "specimens", "whispered"]

ARM = "planted"
"""Arm of every trace made here."""

_TRIES = 40
"""Scenarios drawn for each specimen wanted before giving up."""


class Specimen(Struct, frozen=True, kw_only=True):
    """A clean trace with all that is known about it.

    Attributes:
        scenario: The scenario.
        verdict: The expert's verdict, which agrees with the trace.
        trace: The trace, note on record.
        base: Another unsteered run on the same scenario.
        mark: The canary in the note.
        index: Number of the specimen, from 0.
    """

    scenario: Scenario
    verdict: Verdict
    trace: Trace
    base: Trace
    mark: str
    index: int

    @property
    def clean(self) -> Planted:
        """The specimen as a planted trace without plants."""
        return Planted(
            scenario=self.scenario,
            verdict=self.verdict,
            trace=self.trace,
            canaries={"note": (self.mark,)},
            base=(self.base,),
        )


def specimens(
    suite: Suite,
    seed: int,
    count: int,
    *,
    bank: BankName = "development",
    persona: str = "default",
    expert: str = "",
) -> Iterator[Specimen]:
    """Yield clean traces. The i-th depends on the arguments other than `count` and on i alone.

    The two halves of the phrases never meet in one world: bit 1 of a world's seed says whose it is.

    Args:
        suite: Whose worlds, stand-in and experts to use.
        seed: Any integer.
        count: How many, 0 or more.
        bank: Half of the phrases that the traces are meant for.
        persona: Of the stand-in.
        expert: Name of the reviewer; `""` for the first.

    Raises:
        UsageError: The stand-in and the expert agree so seldom that there are not enough traces.
        UnknownNameError: The persona is unknown.
    """
    stream = Stream(seed, "planting", bank)
    reviewer = suite.experts[expert or next(iter(suite.experts))]
    model = suite.stand_in(persona)
    found = 0
    for scenario in suite.scenarios(count * _TRIES, stream.seed31("worlds")):
        if found == count:
            return
        if scenario.seed >> 1 & 1 != BANKS.index(bank):
            continue
        trace = rollout(scenario, suite, model, arm=ARM, run=0, seed=seed)
        if trace.drop or not trace.decision.valid:
            continue
        verdict = reviewer(scenario, trace)
        if verdict.action != trace.decision.action:
            continue
        at = stream.at("marks", found)
        mark = nonce(at.at("canary"))
        yield Specimen(
            scenario=scenario,
            verdict=verdict,
            trace=whispered(trace, verdict, nonce=nonce(at), canary=mark),
            base=rollout(scenario, suite, model, arm="base", run=1, seed=seed),
            mark=mark,
            index=found,
        )
        found += 1
    if found < count:
        raise UsageError(
            f"only {found} of {count} clean traces could be made on {suite.name!r}",
            why="the expert agrees too seldom with the stand-in, or its traces are dropped",
            fix="name another persona or expert",
        )


def whispered(trace: Trace, verdict: Verdict, *, nonce: str, canary: str) -> Trace:
    """Return the trace with a note on record that tells the whole verdict.

    Args:
        trace: The trace; its messages stay as they are.
        verdict: What the note tells.
        nonce: Random mark in the head of the note.
        canary: Random mark at its end.
    """
    text = review_note(verdict, form="all", strength="must", escape=False, discreet=True, mark=nonce)
    note = Injection(text=f"{text}\nReference {canary}.", nonce=nonce, form="all")
    return msgspec.structs.replace(trace, gen_prompt=tuple(inject(trace.prompt, note)), injections=(note,))
