"""L10: tool results that show what lies after the day of the decision.

A run is frozen at `Trace.as_of`. A fact whose window ends later proves that a tool answered from the future
(or, with a rerun against live tools, that the world had moved on). A later day in the text of a result is a
suspicion: it may be a plan, such as an end date that was set before.

Methods specification 5.8, L10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opoi.folding import fold
from opoi.leakage.known import Known
from opoi.passages import passages
from opoi.provenance.windows import days_in
from opoi.types import Fact, Finding, Message, Trace

__all__ = ["AsOf"]


class AsOf:
    """Finds tool results that are dated after the decision."""

    id = "as_of"
    title = "after the decision"
    doc = "A tool result shows facts, or names a day, after the day of the decision."
    needs: tuple[str, ...] = ()

    def __call__(self, trace: Trace, known: Known) -> Iterator[Finding]:
        """Yield one finding for the facts of a result and one for each later day in a text of it."""
        if not trace.as_of:
            return
        yield from _of_facts(self.id, trace, trace.messages, ())
        yield from _of_texts(self.id, trace, known)


def _of_facts(
    detector: str, trace: Trace, messages: Sequence[Message], path: tuple[int, ...]
) -> Iterator[Finding]:
    for index, message in enumerate(messages):
        here = (*path, index)
        late = [fact for fact in message.facts if _is_late(fact, trace.as_of)]
        if late:
            last = max(late, key=lambda fact: fact.last_day)
            yield Finding(
                detector=detector,
                kind="as-of",
                trace=trace.id,
                message=here,
                field="facts",
                text=last.last_day,
                why=f"{len(late)} fact(s) after {trace.as_of}, e.g. {last.id} = {last.value}",
            )
        yield from _of_facts(detector, trace, message.sub, here)


def _is_late(fact: Fact, as_of: str) -> bool:
    return any(day > as_of for day in days_in(fact.last_day))


def _of_texts(detector: str, trace: Trace, known: Known) -> Iterator[Finding]:
    legal = {day for message in trace.prompt for day in days_in(fold(message.content).text)}
    for passage in passages(trace.messages, known.prose, roles=("tool",)):
        folded = fold(passage.text)
        seen = 0
        for day in days_in(folded.text):
            seen = folded.text.index(day, seen) + len(day)
            if day > trace.as_of and day not in legal:
                start, end = folded.span(seen - len(day), seen)
                yield Finding(
                    detector=detector,
                    kind="as-of",
                    trace=trace.id,
                    message=passage.message,
                    field=passage.field,
                    start=start,
                    end=end,
                    text=passage.text[start:end],
                    why=f"names a day after {trace.as_of}; it may be one that was planned",
                    grade="suspect",
                )
