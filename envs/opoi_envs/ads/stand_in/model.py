"""The embedded model of the suite: it reads its request, as a model would, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from opoi.seeds import Stream
from opoi.types import Message, Reply, ToolSpec, Usage
from opoi.wire import characters
from opoi_envs.ads.stand_in.agent import Turn, agent_turn, analyst_turn
from opoi_envs.ads.stand_in.persona import Persona
from opoi_envs.ads.stand_in.plain import CLEANING, CORRECTING, clean, correct

__all__ = ["StandIn"]

_PLAYBOOK_MARK = "DECISION RULES"
_PLAIN = "I can help with decisions about campaign budgets. Please give me a task."


class StandIn:
    """A deterministic model made of templates and dials. Satisfies `opoi.protocols.Model`.

    It has no state: the same messages, tools and seed always give the same reply, from any thread.

    Args:
        persona: Its dials.
        name: Identifies it in artefacts.
    """

    def __init__(self, persona: Persona, *, name: str = "stand-in/default") -> None:
        self.persona = persona
        self.identity = persona
        self.name = name

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        """Answer the last message; see `opoi.protocols.Model.complete`. Never raises."""
        text, calls = self._answer(messages, tools, seed)
        written = len(text) + sum(len(call.name) + len(call.arguments) for call in calls)
        return Reply(
            content=text,
            tool_calls=calls,
            finish_reason="tool_calls" if calls else "stop",
            usage=Usage(
                calls=1,
                prompt_tokens=characters(messages, tools) // 4,
                completion_tokens=written // 4,
            ),
        )

    def _answer(self, messages: Sequence[Message], tools: Sequence[ToolSpec], seed: int) -> Turn:
        """Recognise what is asked, from the tools on offer and the words of the prompt."""
        names = {tool.name for tool in tools}
        system = next((message.content for message in messages if message.role == "system"), "")
        if "get_campaigns" in names or _PLAYBOOK_MARK in system:
            return agent_turn(messages, tools, self.persona, seed)
        if names & {"get_insights", "compare_performance"}:
            return analyst_turn(messages, tools, self.persona, seed)
        asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
        draws = Stream(self.persona.seed, "plain", seed)
        if asked.startswith(CLEANING):
            return clean(asked, self.persona, draws), ()
        if CORRECTING in asked:
            return correct(asked, self.persona, draws), ()
        return _PLAIN, ()
