"""What the measures read of a trace: its endings and its words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opoi.types import Cleaned, Group, Outcome, Scenario, Trace

__all__ = [
    "action_of",
    "choice_of",
    "drop_reason",
    "kept",
    "readable",
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


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, every number as `<num>`.

    >>> words("CPA of c2 rose 12.5%: don't scale.")
    ['cpa', 'of', 'c<num>', 'rose', '<num>', "don't", 'scale']
    """
    masked = _NUMBER.sub("0", text.lower().replace("\u2019", "'"))
    return [word.replace("0", "<num>") for word in _WORD.findall(masked)]
