"""The values that travel through the pipeline. All are frozen; all can be written as one JSON line.

The order below is the order of the pipeline: scenario, messages, trace, verdict, case, cleaned trace,
measure. Fields that hold their default are left out of the JSON; unknown fields are an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

__all__ = [
    "UNREADABLE",
    "Arm",
    "Author",
    "Case",
    "Channel",
    "Citation",
    "Claim",
    "Cleaned",
    "Decision",
    "Edit",
    "Example",
    "Fact",
    "Group",
    "Hidden",
    "Injection",
    "Measure",
    "Message",
    "Origin",
    "Outcome",
    "Reject",
    "Reply",
    "Review",
    "Scenario",
    "StopReason",
    "SubAgent",
    "ToolCall",
    "ToolSpec",
    "Trace",
    "Truth",
    "Usage",
    "Verdict",
]

Author = Literal["suite", "oracle", "student", "teacher", "expert", "corrector", "env", "cleaner"]
"""Who wrote a message. `suite` wrote the prompt, `env` a tool result, `oracle` an injected note."""

Channel = Literal["hidden", "outcome", "external"]
"""Why the agent cannot know a fact: state it has no tool for, the future, or the world outside."""

Origin = Literal["observable", "hindsight", "external"]
"""What a claim of an expert rests on."""

Number = int | float


class Value(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all values: frozen, compact JSON, strict on reading."""


# ---------------------------------------------------------------- facts and scenarios


class Fact(Struct, frozen=True, array_like=True):
    """One value of the simulated world, e.g. `["c2", "cpa", "2025-03-07..2025-03-13", 47.13, "USD"]`.

    Attributes:
        entity: Id of the object that the value belongs to.
        metric: Name of the quantity.
        window: ISO day, `first..last` (both included), or `""` for a state without a date.
        value: As the tools print it.
        unit: `USD`, `%`, `count`, `x` (a ratio), `day` or `""`.
    """

    entity: str
    metric: str
    window: str
    value: Number | str
    unit: str = ""

    @property
    def last_day(self) -> str:
        """The last ISO day of the window, or `""`."""
        return self.window[-10:]


class Hidden(Value, frozen=True, kw_only=True):
    """A fact that no tool reveals, with the reason why not."""

    fact: Fact
    channel: Channel


class Truth(Value, frozen=True, kw_only=True):
    """What the simulator knows about a scenario. Only experts and measures read it.

    Attributes:
        expected: Expected utility of each action given what tools can reveal, in the suite's unit.
        realised: Utility of each action as it turned out, same unit, common random numbers.
        observable_actions: Actions whose expected utility is within the suite's tolerance of the best.
        hindsight_actions: Actions whose realised utility is within the tolerance of the best.
        hidden: Facts outside the agent's reach.
    """

    expected: dict[str, float]
    realised: dict[str, float]
    observable_actions: tuple[str, ...]
    hindsight_actions: tuple[str, ...]
    hidden: tuple[Hidden, ...] = ()


class Scenario(Value, frozen=True, kw_only=True):
    """One decision to take in one frozen world.

    Attributes:
        id: Unique within a run, sorts in the order of generation.
        suite: Name of the suite that made it and can rebuild its world from `seed`.
        seed: Seed of the world, in [0, 2**31).
        kind: What the case looks like to someone who can only see the screen, e.g. `"lag_dip"`.
        as_of: ISO day of the decision; nothing after it can be reached by a tool.
        task: The user message of the agent's prompt.
        entity: Id of the object that the decision is about.
        truth: What really holds.
    """

    id: str
    suite: str
    seed: int
    kind: str
    as_of: str
    task: str
    entity: str
    truth: Truth


# ---------------------------------------------------------------- messages and tools


class ToolCall(Value, frozen=True, kw_only=True):
    """A tool call as the model wrote it; `arguments` is the raw text, which may be broken JSON."""

    id: str
    name: str
    arguments: str


class SubAgent(Value, frozen=True, kw_only=True):
    """Makes a tool a nested agent: its own prompt, its own subset of the tools, its own budget.

    Attributes:
        system_prompt: System message of the nested agent.
        tools: Names of the tools of the same environment that it may call.
        turns: Most model calls it may take.
    """

    system_prompt: str
    tools: tuple[str, ...] = ()
    turns: int = 4


class ToolSpec(Value, frozen=True, kw_only=True):
    """A tool as a model sees it: name, description and JSON Schema of the arguments."""

    name: str
    description: str
    parameters: dict[str, Any]
    subagent: SubAgent | None = None


class Message(Value, frozen=True, kw_only=True):
    """One chat message with the marks that training and cleaning need.

    Attributes:
        role: As in chat completions.
        content: Text; `""` where the model gave none.
        tool_calls: Calls made by an assistant message.
        tool_call_id: The call that a tool message answers.
        author: Who wrote it.
        loss_weight: Weight of its tokens in the training loss, 0 to 1.
        error: The tool message reports a failed call.
        facts: What a tool message revealed, or another one showed to a generator without tools (the
            ledger; never part of the text).
        sub: For the result of a sub-agent: every message of the nested run, prompt included.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    author: Author
    loss_weight: Annotated[float, Meta(ge=0, le=1)] = 0.0
    error: bool = False
    facts: tuple[Fact, ...] = ()
    sub: tuple[Message, ...] = ()


class Usage(Value, frozen=True, kw_only=True):
    """What the model calls of a trace cost. Tokens are 0 where the endpoint does not tell."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )


UNREADABLE = "unreadable"
"""Finish reason of a reply that the server could not parse, although the model wrote one."""


class Reply(Value, frozen=True, kw_only=True):
    """One answer of a model. `finish_reason` is the server's own word, `""` where it gave none."""

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    usage: Usage = Usage(calls=1)


# ---------------------------------------------------------------- decisions and traces


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
    payload: dict[str, Any] = {}
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
    """

    text: str
    nonce: str = ""
    position: str = "system_tail"
    turn: int = 0
    form: str = "verdict"
    strength: str = "must"
    escape: bool = False


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
        attempts: How many rollouts it took, this one included.
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


# ---------------------------------------------------------------- reviews


class Claim(Value, frozen=True, kw_only=True):
    """One reason of an expert.

    Attributes:
        text: A sentence.
        origin: What it rests on. Only `observable` claims can be verified by the agent.
        facts: The values it states.
    """

    text: str
    origin: Origin
    facts: tuple[Fact, ...] = ()


class Verdict(Value, frozen=True, kw_only=True):
    """What an expert says about one decision.

    Attributes:
        expert: Name of the expert.
        kind: `approve` (do it), `decline` (do nothing) or `correct` (do this instead).
        action: The action that the expert wants.
        phrase: That action in words, with magnitude, e.g. `scale down, new daily budget $210.00`.
        feedback: The free text that a reviewer would send.
        claims: The reasons, each tagged with its origin.
        outcome: What happened afterwards, in words; `""` where the expert does not tell.
        payload: The decision object that the expert would have wanted, without reasoning.
    """

    expert: str
    kind: Literal["approve", "decline", "correct"]
    action: str
    phrase: str
    feedback: str
    claims: tuple[Claim, ...] = ()
    outcome: str = ""
    payload: dict[str, Any] = {}

    @property
    def reason(self) -> str:
        """All claims as running text."""
        return " ".join(claim.text for claim in self.claims)


class Review(Value, frozen=True, kw_only=True):
    """A verdict and what it is about: one line of the reviews artefact.

    Attributes:
        scenario_id: The scenario.
        trace_id: The unsteered trace that the expert saw; `""` where there is none.
        verdict: What the expert said; None where there was nothing to review.
        skipped: Why there was nothing to review.
    """

    scenario_id: str
    trace_id: str = ""
    verdict: Verdict | None = None
    skipped: str = ""


class Case(Value, frozen=True, kw_only=True):
    """Everything a strategy starts from: scenario, unsteered trace, verdict on it, repetition."""

    scenario: Scenario
    base: Trace
    verdict: Verdict
    run: int = 0


# ---------------------------------------------------------------- cleaning


class Edit(Value, frozen=True, kw_only=True):
    """One change to one text region of a trace.

    Attributes:
        rule: Id of the rule that asked for it.
        message: Index into `Trace.messages` before cleaning; further numbers go into `Message.sub`.
        region: Which text of the message: `""` for prose, else the key of the decision object.
        start: First character of the region that is replaced (before the edit).
        end: One past the last character.
        text: What stands there afterwards.
        removed: What stood there before.
    """

    rule: str
    message: tuple[int, ...]
    region: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    removed: str = ""


class Reject(Value, frozen=True, kw_only=True):
    """A rule's wish to drop the whole trace."""

    rule: str
    reason: str


class Cleaned(Value, frozen=True, kw_only=True):
    """A trace after cleaning, with the account of what was done to it.

    Attributes:
        trace: The cleaned trace; its `drop` says why it is not kept, `""` if it is.
        level: Name of the cleaning level.
        edits: All edits, in the order in which they were made.
        residue: Ids of the residue patterns that still match after cleaning.
        target_chars: Length of the text with loss weight before cleaning.
        edited_chars: How many of those characters were removed or replaced.
        usage: Cost of the model calls that cleaning made.
    """

    trace: Trace
    level: str
    edits: tuple[Edit, ...] = ()
    residue: tuple[str, ...] = ()
    target_chars: int = 0
    edited_chars: int = 0
    usage: Usage = Usage()

    @property
    def kept(self) -> bool:
        """Whether the trace goes into the data set."""
        return not self.trace.drop


class Example(Value, frozen=True, kw_only=True):
    """One line of a data set, before it is written in an export format.

    Attributes:
        trace: A kept trace.
        tools: What its agent could call.
        with_note: Messages of the oracle are wanted in it (level C0, the positive control).
    """

    trace: Trace
    tools: tuple[ToolSpec, ...]
    with_note: bool = False


# ---------------------------------------------------------------- measures


class Group(Value, frozen=True, kw_only=True):
    """All that one arm produced for one scenario: the unit of every statistic.

    Attributes:
        scenario: The scenario, truth included.
        verdict: The expert's verdict, None where there was no review.
        cleaned: One entry per generated trace, dropped ones included.
    """

    scenario: Scenario
    verdict: Verdict | None = None
    cleaned: tuple[Cleaned, ...] = ()


class Arm:
    """One row of the report: a name and its groups, which can be walked again and again.

    Args:
        name: Name of the arm.
        groups: Called for a fresh iterator over the groups, in scenario order.
        base: The unsteered arm on the same scenarios, None for that arm itself.
        kind: `data` (has traces) or `policy` (reference row that only decides).
    """

    __slots__ = ("_groups", "base", "kind", "name")

    def __init__(
        self,
        name: str,
        groups: Callable[[], Iterator[Group]],
        *,
        base: Arm | None = None,
        kind: Literal["data", "policy"] = "data",
    ) -> None:
        self.name = name
        self.base = base
        self.kind = kind
        self._groups = groups

    def groups(self) -> Iterator[Group]:
        """Yield one group per scenario."""
        return self._groups()


class Measure(Value, frozen=True, kw_only=True):
    """One figure with its uncertainty.

    Attributes:
        value: The estimate, None where it cannot be given (`note` says why).
        low: Lower end of the 95 % interval, None where there is none.
        high: Upper end.
        n: Number of scenarios that contributed.
        note: What a reader has to know, e.g. why there is no value.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    note: str = ""
