"""L10: tool results that show what lies after the day of the decision.

A run is frozen at `Trace.as_of`. A fact whose window ends later proves that a tool answered from the future
(or, with a rerun against live tools, that the world had moved on). A later day in the text of a result is a
suspicion: it may be a plan, such as an end date that was set before. Days are read in every spelling that
`opoi.provenance.dates` knows, and as eight digits where they are the value of a JSON key that speaks of a
time. A spelling that leaves something open counts where all that it can mean is later.

Methods specification 5.8, L10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date

from opoi.folding import fold
from opoi.leakage.known import Known
from opoi.passages import Passage, passages
from opoi.provenance.dates import Dated, find_dates
from opoi.provenance.windows import days_in
from opoi.types import Fact, Finding, Message, Trace

__all__ = ["AsOf"]

_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_OF_TIME = frozenset(
    (
        *("date", "dated", "day", "days", "time", "timestamp", "until", "since", "start", "starts", "end"),
        *("ends", "seen", "updated", "created", "closed", "closes", "opened", "due", "expires", "as", "at"),
        *("on", "from", "to"),
    )
)
"""Words of keys whose values are days: `closed_on`, `updatedAt`, `end_date`."""

_KEY_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


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
    legal = {
        day
        for message in trace.prompt
        for dated in find_dates(fold(message.content).text, as_of=trace.as_of)
        for day in dated.days
    }
    for passage in passages(trace.messages, known.prose, roles=("tool",)):
        folded = fold(passage.text)
        for dated in sorted(_dates(passage, folded.text, trace.as_of), key=lambda each: each.start):
            if min(dated.days) > trace.as_of and legal.isdisjoint(dated.days):
                start, end = folded.span(dated.start, dated.end)
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


def _dates(passage: Passage, text: str, as_of: str) -> Iterator[Dated]:
    """Yield the days that a passage of a result names.

    Args:
        passage: Of a tool result.
        text: Its folded text.
        as_of: ISO day of the decision.
    """
    yield from find_dates(text, as_of=as_of)
    match = _COMPACT.fullmatch(text.strip())
    if match is None or not _is_of_time(passage.field):
        return
    try:
        day = date(int(match[1]), int(match[2]), int(match[3])).isoformat()
    except ValueError:  # an eight-digit number that is no day
        return
    start = text.index(match[0])
    yield Dated((day,), start, start + len(match[0]))


def _is_of_time(field: str) -> bool:
    """Return whether a field is the value of a JSON key that speaks of a time."""
    if not field.startswith("json:") or field.endswith("#key"):
        return False
    keys = [part for part in field.split("/")[1:] if not part.isdigit()]
    return bool(keys) and not _OF_TIME.isdisjoint(word.lower() for word in _KEY_WORD.findall(keys[-1]))
