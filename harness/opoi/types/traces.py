"""Decisions, and traces: generated conversations that may become training data."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import field

from opoi.types.base import Value
from opoi.types.messages import Message, Usage
from opoi.types.worlds import Number

__all__ = ["Citation", "Decision", "Injection", "Outcome", "StopReason", "Trace"]


class Citation(Value, frozen=True, kw_only=True):
    """A value that a decision rests on, as its author states it (to be checked against the facts)."""

    metric: str
    entity: str
    window: str
    value: Number | str


class Decision(Value, frozen=True, kw_only=True):
    """The final answer, read strictly.

    Attributes:
        action: One of the suite's actions, `""` where the text holds no valid decision.
        entity: Id of the object decided about.
        reasoning: The author's words.
        citations: Evidence named by the author.
        payload: The whole decision object as decoded, suite-specific keys included.
        problems: Why the text is not a valid decision; empty for a valid one.
    """

    action: str = ""
    entity: str = ""
    reasoning: str = ""
    citations: tuple[Citation, ...] = ()
    payload: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the text held one decision that fits the schema."""
        return not self.problems


class Outcome(StrEnum):
    """How a rollout ended, in the three kinds that must never be mixed up."""

    COMPLETED = "completed"
    AGENT_FAILURE = "agent_failure"
    INFRASTRUCTURE_FAILURE = "infrastructure_failure"


class StopReason(StrEnum):
    """Why a rollout ended."""

    ANSWERED = "answered"
    TURN_BUDGET = "turn_budget"
    EMPTY_REPLY = "empty_reply"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    UNREADABLE = "unreadable"
    ENDPOINT = "endpoint"

    @property
    def outcome(self) -> Outcome:
        """The kind of ending that this reason belongs to."""
        if self is StopReason.ANSWERED:
            return Outcome.COMPLETED
        if self is StopReason.ENDPOINT:
            return Outcome.INFRASTRUCTURE_FAILURE
        return Outcome.AGENT_FAILURE

    @property
    def drop(self) -> str:
        """The drop reason of a trace that ended so, `""` for one that completed."""
        if self is StopReason.ENDPOINT:
            return "infrastructure"
        return "" if self is StopReason.ANSWERED else self.value


class Injection(Value, frozen=True, kw_only=True):
    """A record of privileged text that was put into a rollout: what, where, under which settings.

    Attributes:
        text: The exact text.
        nonce: Random mark inside the text; finding it later proves a leak. May be `""`.
        position: See `opoi.rollout.POSITIONS`.
        turn: Number of model calls made before the text was shown; 0 means it stood in the prompt.
        form: What the text told: `verdict`, `verdict+reason`, `verdict+outcome` or `all`.
        strength: `hint`, `should` or `must`.
        escape: Whether the agent was allowed to object.
        action: The action that it told to take, `""` where it told none.
    """

    text: str
    nonce: str = ""
    position: str = "system_tail"
    turn: int = 0
    form: str = "verdict"
    strength: str = "must"
    escape: bool = False
    action: str = ""


class Trace(Value, frozen=True, kw_only=True):
    """One generated conversation: the artefact that becomes training data.

    Attributes:
        id: `scenario/arm/run`, with a suffix where a strategy makes several.
        scenario_id: The scenario it belongs to.
        arm: Name of the arm that made it; `base` for the unsteered rollout.
        run: Repetition, from 0.
        as_of: Day at which the world was frozen.
        model: Name of the model that generated it.
        prompt: What the student will see at inference: never any privileged text.
        gen_prompt: What the generator saw.
        messages: Everything after the prompt, in order.
        injections: Every privileged text that entered.
        decision: The final answer.
        stop: Why generation ended.
        failure: One line on what went wrong, where something did.
        drop: Why the strategy does not want this trace in a data set; `""` to keep it.
        attempts: How many rollouts it took, this one included; 0 where no model was asked.
        usage: Cost of all attempts.
    """

    id: str
    scenario_id: str
    arm: str
    run: int
    as_of: str
    model: str = ""
    prompt: tuple[Message, ...] = ()
    gen_prompt: tuple[Message, ...] = ()
    messages: tuple[Message, ...] = ()
    injections: tuple[Injection, ...] = ()
    decision: Decision = Decision()
    stop: StopReason = StopReason.ANSWERED
    failure: str = ""
    drop: str = ""
    attempts: int = 1
    usage: Usage = Usage()
