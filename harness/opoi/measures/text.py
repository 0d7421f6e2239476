"""What the measures read of a trace: its endings, its words, its observed facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from opoi.types import Cleaned, Fact, Group, Message, Outcome, Scenario, Trace
from opoi.wire import find_object

__all__ = [
    "action_of",
    "choice_of",
    "drop_reason",
    "judged",
    "kept",
    "observed",
    "prose",
    "rationale",
    "readable",
    "shown",
    "words",
]

_WORD = re.compile(r"[^\W_]+(?:'[^\W\d_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def drop_reason(cleaned: Cleaned) -> str:
    """Return why a trace is not in the data set, `""` if it is.

    A rollout that did not complete counts under its stop reason, whatever the strategy said of it.
    """
    return cleaned.trace.stop.drop or cleaned.trace.drop


def kept(group: Group) -> Iterator[Cleaned]:
    """Yield the entries of a group that are in the data set."""
    return (cleaned for cleaned in group.cleaned if not drop_reason(cleaned))


def judged(group: Group) -> Iterator[Trace]:
    """Yield the attempted traces that say something about the agent: all but infrastructure failures."""
    for cleaned in group.cleaned:
        if cleaned.trace.stop.outcome is not Outcome.INFRASTRUCTURE_FAILURE:
            yield cleaned.trace


def readable(trace: Trace) -> bool:
    """Return whether a trace ends in a decision that fits the schema, whatever it is about."""
    return trace.stop.outcome is Outcome.COMPLETED and trace.decision.valid


def choice_of(trace: Trace, scenario: Scenario) -> tuple[str, str]:
    """Return `(action, entity)` of the decision, two empty texts where there is no readable one.

    A decision that names no entity is about the scenario's.
    """
    if not readable(trace):
        return "", ""
    return trace.decision.action, trace.decision.entity or scenario.entity


def action_of(trace: Trace, scenario: Scenario) -> str:
    """Return the action decided on.

    It is `""` for a failed rollout, an invalid decision, and a decision about another entity than the
    scenario's: none of them says what to do with that one.
    """
    action, entity = choice_of(trace, scenario)
    return action if entity == scenario.entity else ""


def prose(message: Message, *, final: bool, valid: bool = True) -> str:
    """Return the free text of a message; a final answer without its decision object.

    Args:
        message: An assistant message.
        final: Whether it is the answer.
        valid: Whether the answer holds a valid decision; in one that does not, everything from the first
            brace on is a broken decision and no prose.
    """
    if not final or message.tool_calls:
        return message.content
    span = find_object(message.content)
    if not valid or span is None:
        return message.content.partition("{")[0]
    return message.content[: span[0]] + message.content[span[1] :]


def rationale(trace: Trace) -> Iterator[tuple[int, str]]:
    """Yield `(position, text)` of everything that gives reasons in a trace.

    These are the prose of the assistant's messages and the reasoning of the decision. The position is
    an index into `trace.messages`: what stands before it had been seen when the text was written.
    """
    spoken = [index for index, message in enumerate(trace.messages) if message.role == "assistant"]
    last = spoken[-1] if spoken else len(trace.messages)
    for index in spoken:
        text = prose(trace.messages[index], final=index == last, valid=trace.decision.valid)
        if text.strip():
            yield index, text
    if trace.decision.reasoning.strip():
        yield last, trace.decision.reasoning


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, every number as `<num>`.

    >>> words("CPA of c2 rose 12.5%: don't scale.")
    ['cpa', 'of', 'c<num>', 'rose', '<num>', "don't", 'scale']
    """
    masked = _NUMBER.sub("0", text.lower().replace("\u2019", "'"))
    return [word.replace("0", "<num>") for word in _WORD.findall(masked)]


def shown(trace: Trace) -> Iterator[Fact]:
    """Yield the facts that the author of a trace saw: what its prompt showed, then what tools revealed."""
    yield from observed(trace.gen_prompt)
    yield from observed(trace.messages)


def observed(messages: Iterable[Message]) -> Iterator[Fact]:
    """Yield the facts that messages revealed, those of nested runs included."""
    for message in messages:
        yield from message.facts
        if message.sub:
            yield from observed(message.sub)
