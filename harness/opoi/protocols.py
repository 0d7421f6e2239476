"""What a plug-in has to offer. Everything here is structural: no base class, no registration needed.

A suite brings scenarios, an environment for each, and experts. A strategy turns a reviewed case into
traces. A rule edits or rejects a trace. A metric reads an arm. A model answers chat messages. The
harness and the environments meet here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, SupportsFloat, runtime_checkable

from msgspec import Struct

from opoi.types import (
    Arm,
    Case,
    Decision,
    Edit,
    Fact,
    Measure,
    Message,
    Reject,
    Reply,
    Scenario,
    ToolSpec,
    Trace,
    Verdict,
)

__all__ = ["Cast", "Env", "Expert", "Metric", "Model", "Rule", "Strategy", "Suite"]


@runtime_checkable
class Env(Protocol):
    """One frozen world, text in and text out; `gymnasium.Env[str, str]` plus two attributes fits it.

    An instance serves one episode: `reset`, then `step` until it terminates. Actions are the JSON
    texts made by `opoi.wire.call_action` (a tool call) and `opoi.wire.answer_action` (the answer).

    Attributes:
        tools: What the agent may call.
        system_prompt: The agent's system message.
    """

    tools: Sequence[ToolSpec]
    system_prompt: str

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start the episode; return the task text and an info dict."""
        ...

    def step(self, action: str) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Apply one action.

        Returns:
            `(text, reward, terminated, truncated, info)`. For a tool call the text is the tool's
            result (JSON), the reward 0, and `info` holds `facts` (a tuple of `Fact`: what was
            revealed) and `error` (True where the call failed; the text then says why). An answer
            terminates the episode with the realised utility as reward.
        """
        ...


@runtime_checkable
class Model(Protocol):
    """Anything that answers chat messages. Must be safe to call from several threads.

    A model whose answers depend on settings of its own may offer them as a further attribute `identity` (any
    value that can be written as JSON): results are then not taken over when they change.

    Attributes:
        name: Identifies the model in artefacts.
    """

    @property
    def name(self) -> str: ...

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        """Answer the last message.

        Args:
            messages: The conversation; marks such as author and facts are not shown to the model.
            tools: Tools on offer; empty for plain text.
            seed: Sampling seed in [0, 2**31).

        Raises:
            opoi.errors.EndpointError: No usable answer could be had.
        """
        ...


@runtime_checkable
class Expert(Protocol):
    """A scripted reviewer: the only reader of hindsight (`scenario.truth`)."""

    def __call__(self, scenario: Scenario, trace: Trace) -> Verdict:
        """Review one unsteered trace."""
        ...


@runtime_checkable
class Suite(Protocol):
    """A family of scenarios with everything that is needed to run and judge them.

    Attributes:
        name: Registered name; stands in every scenario.
        actions: All actions a decision may take.
        null_action: The action that changes nothing.
        decision_schema: JSON Schema of the final answer.
        prose: Keys of the decision object that hold free text, the only ones cleaning may edit.
        experts: Reviewers by name; the first is the default.
    """

    name: str
    actions: tuple[str, ...]
    null_action: str
    decision_schema: dict[str, Any]
    prose: tuple[str, ...]
    experts: Mapping[str, Expert]

    def scenarios(self, count: int, seed: int) -> Iterator[Scenario]:
        """Yield `count` scenarios. The i-th depends on `seed` and i alone."""
        ...

    def env(self, scenario: Scenario) -> Env:
        """Return a fresh environment frozen at the scenario's decision day."""
        ...

    def expected(self, scenario: Scenario, facts: Iterable[Fact]) -> dict[str, float]:
        """Return the expected utility of each action given nothing but the task and these facts.

        The conditional expectation under the distribution that the suite draws its scenarios from, in its
        unit of utility. Given all facts that tools can reveal it is `Truth.expected`.
        """
        ...

    def decide(self, text: str) -> Decision:
        """Read a final answer strictly; problems are recorded, never raised."""
        ...

    def stand_in(self, persona: str | Path = "default") -> Model:
        """Return the embedded model of this suite.

        Args:
            persona: Name of a persona of the suite, or path of a TOML file.
        """
        ...


class Cast(Struct, frozen=True):
    """Who plays: everything a strategy may use besides its case.

    Attributes:
        suite: The suite of the run.
        agent: The model that acts as the agent.
        corrector: The bare model of off-policy methods.
        arm: Name under which the strategy's traces are filed.
        seed: Seed of the run; strategies draw from `Stream(seed, ...)` only.
        turns: Budget of model calls for one rollout.
    """

    suite: Suite
    agent: Model
    corrector: Model
    arm: str
    seed: int
    turns: int = 12


@runtime_checkable
class Strategy(Protocol):
    """A method of making training data: who writes each turn, what is whispered, what gets loss.

    A strategy that asks more of a model than chat says so in a further attribute `needs`, an
    `opoi.types.Tier`: a run whose endpoint has less is refused before it starts. A metric may, too.
    """

    def __call__(self, case: Case, cast: Cast) -> Iterable[Trace]:
        """Return at least one trace; one that should not be used says why in `drop`."""
        ...


@runtime_checkable
class Rule(Protocol):
    """One cleaning rule.

    Attributes:
        id: Stands in every edit and count.
    """

    @property
    def id(self) -> str: ...

    def __call__(self, trace: Trace) -> Iterable[Edit | Reject]:
        """Yield what should be changed, or a wish to drop the trace."""
        ...


@runtime_checkable
class Metric(Protocol):
    """One figure of an arm.

    Attributes:
        name: Key in `measures.json`.
        title: Column head.
        unit: `share`, `count`, `bits` or a unit of the suite.
        doc: One line: what the figure says.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def doc(self) -> str: ...

    def __call__(self, arm: Arm) -> Measure:
        """Return the figure with its 95 % interval."""
        ...
