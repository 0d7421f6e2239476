"""One episode: an account frozen on the decision day, text in and text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opoi.errors import UsageError
from opoi.types import Scenario, ToolSpec
from opoi.wire import parse_action
from opoi_envs.ads import tools
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.decision import decide
from opoi_envs.ads.prompts import SYSTEM_PROMPT
from opoi_envs.ads.truth.utility import NULL_ACTION
from opoi_envs.ads.world.world import World

__all__ = ["AdsEnv"]


class AdsEnv:
    """The account of one scenario. Satisfies `opoi.protocols.Env`; serves one episode.

    Args:
        scenario: Its seed fixes the world, its truth the reward.

    Attributes:
        account: What the tools look at; the HTTP API can be put on it as well (see `graph.server`).
    """

    tools: Sequence[ToolSpec] = tools.TOOLS
    system_prompt = SYSTEM_PROMPT

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.account = Account(World(scenario.seed))
        self._view = View(self.account)
        self._over = False

    def reset(
        self,
        *,
        seed: int | None = None,  # noqa: ARG002 - the scenario fixes the world
        options: dict[str, Any] | None = None,  # noqa: ARG002 - there are none
    ) -> tuple[str, dict[str, Any]]:
        """Start the episode, the account as on the decision day; return the task."""
        self._over = False
        if self.account.version:
            self.account.reset()
        return self._scenario.task, {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Serve a tool call or take the answer; see `opoi.protocols.Env.step`.

        The reward of an answer is the realised utility in USD; an answer without a valid
        decision about the task's campaign earns what changing nothing earns.

        Raises:
            UsageError: The episode is over.
        """
        if self._over:
            raise UsageError("the episode is over", fix="call `reset`, or make a fresh environment")
        try:
            taken = parse_action(action)
        except (ValueError, UnicodeEncodeError, RecursionError) as error:
            result = tools.refusal(str(error), 'send {"tool", "arguments"} or {"answer"}')
        else:
            if taken.answer is not None:
                return self._finish(taken.answer)
            result = tools.call(self._view, taken.tool, taken.arguments)
        return result.text, 0.0, False, False, {"facts": result.facts, "error": result.error}

    def _finish(self, answer: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self._over = True
        decision = decide(answer)
        heeded = decision.valid and decision.entity == self._scenario.entity
        action = decision.action if heeded else NULL_ACTION
        info = {"facts": (), "error": not decision.valid}
        return "", self._scenario.truth.realised[action], True, False, info
