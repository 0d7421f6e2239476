"""On-Policy Oracle Injection: the agent itself writes the training text, steered by a note.

The verdict is whispered into the agent's prompt, the real agent runs with its real tools in the same
frozen world, and what it wrote is kept if its decision complies. Cleaning comes later, as a stage of its
own. Source: Katz, "On-Policy Oracle Injection for Fine-Tuning Tool-Using Agents", Zenodo 20502390; what
the source leaves open are settings here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from opoi.protocols import Cast
from opoi.seeds import Stream
from opoi.strategies.note import Form, Strength, nonce, review_note
from opoi.strategies.tries import first_usable
from opoi.types import Case, Injection, Trace

__all__ = ["OPOI"]


class OPOI(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The method and its settings.

    Attributes:
        position: Where the note stands: `system_tail`, `user_head`, `own_message` (after the task) or
            `before_final` (a message before what was the last turn of the unsteered run).
        form: What the note tells; see `opoi.strategies.note.Form`.
        strength: How firmly the note asks.
        escape: Whether the agent may object with NO_SUPPORT (the trace is then dropped).
        discreet: Whether the note asks not to be mentioned.
        nonce: Whether the note carries a random mark that proves leaks.
        attempts: Most steered runs for one trace, 1 to 20; the first that complies is taken.
    """

    position: Literal["system_tail", "user_head", "own_message", "before_final"] = "system_tail"
    form: Form = "verdict"
    strength: Strength = "must"
    escape: bool = False
    discreet: bool = True
    nonce: bool = True
    attempts: Annotated[int, Meta(ge=1, le=20)] = 3

    def __call__(self, case: Case, cast: Cast) -> Iterator[Trace]:
        """Yield one trace: the first compliant one, else the last with the reason to drop it."""
        yield first_usable(
            case,
            cast,
            attempts=self.attempts,
            wanted=case.verdict.action,
            notes=lambda attempt: (self._injection(case, cast, attempt),),
        )

    def _injection(self, case: Case, cast: Cast, attempt: int) -> Injection:
        path = ("opoi", case.scenario.id, cast.arm, case.run, attempt)
        mark = nonce(Stream(cast.seed, *path)) if self.nonce else ""
        spoken = sum(message.role == "assistant" for message in case.base.messages)
        return Injection(
            text=review_note(
                case.verdict,
                form=self.form,
                strength=self.strength,
                escape=self.escape,
                discreet=self.discreet,
                mark=mark,
            ),
            nonce=mark,
            position=self.position,
            turn=max(spoken - 1, 1) if self.position == "before_final" else 0,
            form=self.form,
            strength=self.strength,
            escape=self.escape,
            action=case.verdict.action,
        )
