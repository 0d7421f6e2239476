"""A model that says what it is told to say: for tests of suites, strategies and pipelines."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence

from opoi.errors import EndpointError, PluginError
from opoi.types import Message, Reply, ToolCall, ToolSpec

__all__ = ["Line", "Script", "ScriptedModel", "calling"]

Line = Reply | str | EndpointError
"""One thing to say: a reply, the text of one, or a failure of the endpoint to be raised."""

Script = Callable[[Sequence[Message], Sequence[ToolSpec], int], Line]
"""Computes what to say from messages, tools and seed."""


def calling(tool: str, /, content: str = "", **arguments: object) -> Reply:
    """Return a reply that calls one tool.

        >>> calling("read_gauge", gauge="g1").tool_calls[0].arguments
        '{"gauge": "g1"}'

    Args:
        tool: Name of the tool.
        content: Text beside the call.
        **arguments: Arguments of the call.
    """
    call = ToolCall(id="call_0", name=tool, arguments=json.dumps(arguments))
    return Reply(content=content, tool_calls=(call,), finish_reason="tool_calls")


class ScriptedModel:
    """Says given lines in the order of the conversation, or what a function computes.

    The line is chosen by the number of assistant messages in the conversation, not by the number of
    calls so far: any number of conversations can go on at once, in any order, on any threads, and each
    hears the same lines.

        >>> model = ScriptedModel(["first", "second"])
        >>> question = Message(role="user", content="?", author="suite")
        >>> model.complete([question], (), seed=1).content
        'first'

    Args:
        script: The lines, or a function of `(messages, tools, seed)`.
        name: Identifies the model in artefacts.
    """

    def __init__(self, script: Sequence[Line] | Script, *, name: str = "scripted") -> None:
        if isinstance(script, str):
            script = (script,)
        self.name = name
        self._script: Script = script if callable(script) else _Lines(tuple(script))
        self._lock = threading.Lock()
        self._calls = 0

    @property
    def calls(self) -> int:
        """How often `complete` was called, failures included."""
        return self._calls

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        """Say the next line; see `opoi.protocols.Model.complete`.

        Raises:
            EndpointError: The line is a failure.
            PluginError: The script has no line for this turn.
        """
        with self._lock:
            self._calls += 1
        line = self._script(messages, tools, seed)
        if isinstance(line, EndpointError):
            raise line
        return Reply(content=line, finish_reason="stop") if isinstance(line, str) else line


class _Lines:
    """A script by turn."""

    def __init__(self, lines: tuple[Line, ...]) -> None:
        self._lines = lines

    def __call__(self, messages: Sequence[Message], tools: Sequence[ToolSpec], seed: int) -> Line:  # noqa: ARG002 - a script may use them
        turn = sum(message.role == "assistant" for message in messages)
        if turn >= len(self._lines):
            raise PluginError(
                f"the script has no line for turn {turn + 1}",
                why=f"it has {len(self._lines)}, and the conversation holds {turn} assistant messages",
                fix="add lines, or script the model with a function",
            )
        return self._lines[turn]
