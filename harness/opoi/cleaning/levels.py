"""The cleaning levels C0 to C5 of section 3.3 of the method specification: named tuples of rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from opoi.cleaning.engine import clean
from opoi.cleaning.rules import DeleteSentence, RejectResidue, RemoveNote, ResampleTurn, RewriteSentence
from opoi.errors import UnknownNameError
from opoi.protocols import Model, Rule, Suite
from opoi.rollout import POSITIONS
from opoi.types import Cleaned, Message, Reply, ToolSpec, Trace, Usage

__all__ = ["LEVELS", "cleaner"]

LEVELS = {
    "C0": "nothing is cleaned, the note stays in the prompt (positive control)",
    "C1": "the note is removed, the text is left as it is",
    "C2": "C1, and every sentence with residue is deleted; dropped if residue stays",
    "C3": "C1, and a trace with any residue is dropped",
    "C4": "C1, and a model rewrites every sentence with residue; dropped if residue stays",
    "C5": "C1, and the agent writes every turn with residue again without the note; dropped if it cannot",
}


def cleaner(
    level: str, *, suite: Suite, agent: Callable[[], Model], tools: Sequence[ToolSpec], seed: int
) -> Callable[[Trace], Cleaned]:
    """Return the function that cleans one trace at a level.

    Args:
        level: Key of `LEVELS`.
        suite: The suite of the traces.
        agent: Called for the model that rewrites (C4) or resamples (C5); not called by other levels.
        tools: What the agent may call when it resamples.
        seed: Seed of the run.

    Raises:
        UnknownNameError: There is no such level.
    """
    if level not in LEVELS:
        raise UnknownNameError("cleaning level", level, LEVELS)
    prose = tuple(suite.prose)

    def rules(model: Model) -> tuple[Rule, ...]:
        # the note goes last, so that every edit names messages by their place in the trace as it was made
        last = (RejectResidue(), RemoveNote())
        chains: dict[str, tuple[Rule, ...]] = {
            "C0": (),
            "C1": (RemoveNote(),),
            "C2": (DeleteSentence(prose=prose), *last),
            "C3": last,
            "C4": (RewriteSentence(prose=prose, model=model, seed=seed), *last),
            "C5": (ResampleTurn(suite=suite, tools=tuple(tools), model=model, seed=seed), *last),
        }
        return chains[level]

    def apply(trace: Trace) -> Cleaned:
        metered = _Metered(agent)
        shown = _as_generated(trace) if level == "C0" else trace
        cleaned = clean(shown, rules(metered), level=level, suite=suite)
        return msgspec.structs.replace(cleaned, usage=metered.usage) if metered.usage.calls else cleaned

    return apply


class _Metered:
    """A model, fetched when it is first asked, that adds up what the calls for one trace cost."""

    name = "metered"

    def __init__(self, model: Callable[[], Model]) -> None:
        self._model = model
        self.usage = Usage()

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        reply = self._model().complete(messages, tools, seed=seed)
        self.usage += reply.usage
        return reply


def _as_generated(trace: Trace) -> Trace:
    """Return the trace with the prompt that its generator saw, where that was the agent's own prompt."""
    if any(injection.position in POSITIONS for injection in trace.injections):
        return msgspec.structs.replace(trace, prompt=trace.gen_prompt)
    return trace
