"""The ad account as `gymnasium.Env[str, str]`: one budget decision is one episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from opoi.errors import UnknownNameError, UsageError
from opoi.types import Scenario, ToolSpec
from opoi.wire import encode_tool, parse_action
from opoi_envs.ads import tools
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.gym.ending import decided, ending, usual_spend
from opoi_envs.ads.gym.missing import missing
from opoi_envs.ads.gym.spaces import AsciiText, fitting
from opoi_envs.ads.gym.table import Exchange, table
from opoi_envs.ads.prompts import SYSTEM_PROMPT
from opoi_envs.ads.suite import EASY, HARD, HELD_OUT, AdsSuite, suite
from opoi_envs.ads.truth.utility import NULL_ACTION
from opoi_envs.ads.world.world import World

try:
    import gymnasium
except ImportError as error:
    raise missing("the Gymnasium environment", error) from error

__all__ = ["ACTION_LENGTH", "OBSERVATION_LENGTH", "SUITES", "AdAccountEnv", "RewardUnit"]

RewardUnit = Literal["usd", "share"]
Picture = npt.NDArray[np.uint8]

SUITES: dict[str, AdsSuite] = {each.name: each for each in (suite, EASY, HARD, HELD_OUT)}
"""Where scenarios can come from."""

ACTION_LENGTH = 16_384
"""Most characters of an action; the longest useful ones, answers with long reasoning, take about 3,000."""

OBSERVATION_LENGTH = 16_384
"""Most characters of an observation. The longest answers of tools take about 6,000 (28 single days; a
question of 500 characters, each of them escaped)."""

_ENCODED_TOOLS = msgspec.json.encode([encode_tool(spec) for spec in tools.TOOLS])
_QUOTED = 1_000


class AdAccountEnv(gymnasium.Env[str, str]):
    """One daily budget decision about one campaign of a simulated ad account.

    Observations are what an agent reads: the task, then what the tools answer (JSON; `""` at the end).
    Actions are the texts of `opoi.wire.call_action` and `answer_action`; every text is a legal action, what
    is none gets an error to read. The environment satisfies `opoi.protocols.Env` as well.

    The reward is 0 until the episode ends: then it is the utility of the decision as it came out, gross
    margin less ad spend (and switching cost) over 14 days. An invalid answer, and running out of turns,
    earns what changing nothing earns.

    Args:
        suite: Where scenarios come from: a name of `SUITES`.
        turns: Budget of steps; the episode is truncated when the last one was no answer.
        reward: `usd`, or `share` of what 14 days cost at the present budget (about -2 to 2).
        render_mode: `ansi` for text, `rgb_array` for a picture.

    Attributes:
        scenario: The scenario of the episode, its truth included: not for agents.

    Raises:
        UsageError: A setting cannot be used.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as in Env
    tools: Sequence[ToolSpec] = tools.TOOLS
    system_prompt = SYSTEM_PROMPT

    def __init__(
        self,
        suite: str = "ads",
        *,
        turns: int = 12,
        reward: RewardUnit = "usd",
        render_mode: str | None = None,
    ) -> None:
        if not isinstance(turns, int) or isinstance(turns, bool) or turns < 1:
            raise UsageError(f"{turns!r} is no number of turns", fix="give a whole number from 1")
        _chosen("reward unit", reward, ("usd", "share"))
        if render_mode is not None:
            _chosen("render mode", render_mode, self.metadata["render_modes"])
        self.observation_space = AsciiText(OBSERVATION_LENGTH)
        self.action_space = AsciiText(ACTION_LENGTH)
        self.render_mode = render_mode
        self.turns = turns
        self.reward = reward
        self._deck = _Deck(_suite_of(suite), 0)
        self._scenario: Scenario | None = None
        self._view: View | None = None
        self._over = True

    @property
    def scenario(self) -> Scenario:
        """The scenario of the episode.

        Raises:
            UsageError: There is none yet.
        """
        if self._scenario is None:
            raise _not_begun()
        return self._scenario

    @property
    def suite(self) -> AdsSuite:
        """The suite that the scenario comes from."""
        return self._deck.suite

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode on a new scenario.

        Args:
            seed: Starts the sequence of scenarios that the suite draws from this seed. Without one, the next
                scenario of the sequence comes (the first sequence is that of seed 0).
            options: `index`: the scenario's place in the sequence, from 0; `suite`: another suite from
                now on.

        Returns:
            The task, and an info dict: `scenario`, `suite`, `seed`, `index`, `as_of` and `entity` say which
            episode this is; `system_prompt` and `tools` (chat-completions objects with JSON Schemas) say what
            an agent is told; `turns` is how many steps are left; `facts` and `error` as in `step`.

        Raises:
            UsageError: There is no such option, suite or place.
        """
        super().reset(seed=seed)
        name, index = _options({} if options is None else options)
        if name is not None or seed is not None:
            chosen = self._deck.suite if name is None else _suite_of(name)
            self._deck = _Deck(chosen, self._deck.seed if seed is None else seed)
        deck = self._deck
        self._scenario = scenario = deck.draw(index)
        self._inner = deck.suite.env(scenario)
        task, _ = self._inner.reset()
        self._view = View(self._inner.account)
        self._left = self.turns
        self._over = False
        self._taken = ""
        self._last: Exchange | None = None
        info = {
            "scenario": scenario.id,
            "suite": deck.suite.name,
            "seed": deck.seed,
            "index": deck.place - 1,
            "as_of": scenario.as_of,
            "entity": scenario.entity,
            "system_prompt": self.system_prompt,
            "tools": msgspec.json.decode(_ENCODED_TOOLS),
            "turns": self._left,
            "facts": (),
            "error": False,
        }
        return fitting(task), info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Returns:
            `(observation, reward, terminated, truncated, info)`. In `info`, `facts` is a tuple of
            `opoi.types.Fact`, what the tool revealed; `error` says that the action was not served; `turns`
            is how many steps are left. At the end there are `action`, what was decided, and `truth`: what
            an agent must not know before; see `opoi_envs.ads.gym.ending.ending`.

        Raises:
            UsageError: The episode is over, or has not begun.
        """
        if self._over:
            raise UsageError("there is no episode", why="it is over or has not begun", fix="call `reset`")
        scenario = self.scenario
        if len(action) > ACTION_LENGTH:
            text, facts, error, terminated = _too_long(action), (), True, False
        else:
            text, _, terminated, _, inner = self._inner.step(action)
            text, facts, error = _bounded(text, inner["error"]), inner["facts"], inner["error"]
        self._left -= 1
        truncated = not terminated and self._left == 0
        self._over = terminated or truncated
        self._last = Exchange(action, text, error)
        info: dict[str, Any] = {"facts": facts, "error": error, "turns": self._left}
        reward = 0.0
        if self._over:
            taken = decided(scenario, parse_action(action).answer) if terminated else NULL_ACTION
            info["action"] = self._taken = taken
            info["truth"] = ending(scenario, self.world, taken)
            reward = scenario.truth.realised[taken]
            if self.reward == "share":
                reward /= usual_spend(self.world)
        return text, reward, terminated, truncated, info

    def render(self) -> str | Picture | None:
        """Return the account as the agent could see it, as text or as a picture, by `render_mode`.

        Returns:
            A text, an array of shape (height, width, 3), or None without a render mode.
        """
        if self.render_mode is None:
            return None
        scenario = self.scenario
        if self.render_mode == "ansi":
            return table(self._seen(), scenario.entity, self._last, self._taken)
        from opoi_envs.ads.gym.picture import picture

        frame: Picture = picture(self._seen(), scenario.entity, self._taken)
        return frame

    @property
    def world(self) -> World:
        """The world of the episode: not for agents.

        Raises:
            UsageError: There is no episode yet.
        """
        return self.account.world

    @property
    def account(self) -> Account:
        """The account that the tools look at and `render` shows.

        Raises:
            UsageError: There is no episode yet.
        """
        return self._seen().account

    def _seen(self) -> View:
        if self._view is None:
            raise _not_begun()
        return self._view


class _Deck:
    """The scenarios of one suite and seed, one after the other."""

    def __init__(self, suite: AdsSuite, seed: int) -> None:
        self.suite = suite
        self.seed = seed
        self._restart()

    def _restart(self) -> None:
        self.place = 0
        self._rest = self.suite.scenarios(1 << 62, self.seed)
        self._shown: Scenario | None = None

    def draw(self, index: int | None) -> Scenario:
        """Return the next scenario, or the one at a place.

        All before it are drawn, unless it is the one shown last.
        """
        if index is not None and self._shown is not None and index == self.place - 1:
            return self._shown
        if index is not None:
            if index < self.place:
                self._restart()
            next(islice(self._rest, index - self.place, index - self.place), None)
            self.place = index
        self.place += 1
        self._shown = next(self._rest)
        return self._shown


def _chosen(what: str, name: object, known: Iterable[str]) -> str:
    """Return a name that must be one of the known ones.

    Raises:
        UnknownNameError: It is none, or no text at all; says which there are.
    """
    choices = list(known)
    if not isinstance(name, str) or name not in choices:
        raise UnknownNameError(what, name if isinstance(name, str) else repr(name), choices)
    return name


def _suite_of(name: object) -> AdsSuite:
    return SUITES[_chosen("suite", name, SUITES)]


def _not_begun() -> UsageError:
    return UsageError("there is no episode yet", fix="call `reset` first")


def _options(options: object) -> tuple[str | None, int | None]:
    """Return suite and index."""
    if not isinstance(options, Mapping):
        raise UsageError(
            f"{options!r} are no options of reset", fix="give a dict with `suite`, `index`, both or neither"
        )
    for name in options:
        _chosen("option of reset", name, ("suite", "index"))
    index = options.get("index")
    if index is not None and (not isinstance(index, int) or isinstance(index, bool) or index < 0):
        raise UsageError(f"{index!r} is no place in the sequence", fix="give a whole number from 0")
    return options.get("suite"), index


def _too_long(action: str) -> str:
    message = f"the action has {len(action)} characters"
    return tools.refusal(message, f"send at most {ACTION_LENGTH}").text


def _bounded(text: str, error: bool) -> str:
    """Return a text that lies in the observation space.

    Answers of tools fit as they are. Errors repeat what was asked, of which 1,000 characters will do.
    """
    shown = fitting(text)
    if not error or len(shown) <= OBSERVATION_LENGTH:
        return shown
    said = msgspec.json.decode(shown)["error"]
    return tools.refusal(f"{said['message'][:_QUOTED]} ...", said["hint"][:_QUOTED]).text
