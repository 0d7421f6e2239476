r"""Tool calling for servers and models that have none: tools, calls and results as plain text.

The form is the one that many open models are trained on (Hermes, Qwen). As EBNF (ISO 14977), where `object`
and `string` are those of JSON (RFC 8259) and `ws` is its blank space:

    answer    = text , { call , text } ;
    call      = "<tool_call>" , ws , "{" , field , "," , field , "}" , ws , "</tool_call>" ;
    field     = ws , '"name"'      , ws , ":" , ws , string , ws
              | ws , '"arguments"' , ws , ":" , ws , object , ws ;    (* one of each, in any order *)
    results   = result , { newline , result } ;
    result    = "<tool_response>" , "{" , '"id": ' , string , ', "name": ' , string ,
                ', "content": ' , string , "}" , "</tool_response>" ;
    text      = { character } - ( { character } , tag , { character } ) ;
    tag       = "<" , [ "/" ] , ( "tool_call" | "tool_response" ) , ">" ;
    literal   = "<" , "\" , { "\" } , [ "/" ] , ( "tool_call" | "tool_response" ) , ">" ;

- A `name` is not empty; no key is repeated, also if spelled with escapes.
- A tag is never text. What is meant to be read as one is written as `literal`, with a backslash after `<`.
  One backslash is taken away on reading and one is added on writing, so that every text can be written.
- Text before, between and after calls is the content; where there are calls, without blank space around it.
- In `string`s that we write every `<` is an escape: no output of a tool holds a tag, whatever it says.

What does not follow the grammar is not mended: `read` names the first problem, and there are no calls at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from opoi.models.endpoint.toolcalls import CLOSING, OPENING, NotACallError, scan_call
from opoi.types import Message, ToolCall, ToolSpec
from opoi.types.base import Value
from opoi.wire import encode_tool

__all__ = ["Reading", "describe", "encode", "read", "render"]


class Reading(Value, frozen=True, kw_only=True):
    """What an answer says.

    Attributes:
        content: The text beside the calls; where there is a problem, the whole answer as it is.
        calls: The calls, with the ids `call_0`, `call_1` ...; arguments are the exact text of the model.
        problem: One line: what does not follow the grammar, and where. `""` where all does.
    """

    content: str
    calls: tuple[ToolCall, ...] = ()
    problem: str = ""


# ---------------------------------------------------------------- reading

_TAG = re.compile(r"</?tool_(?:call|response)>")


def read(text: str) -> Reading:
    """Read an answer of a model to which tools were offered as text; see the grammar above."""
    calls: list[ToolCall] = []
    parts: list[str] = []
    position = 0
    while (tag := _TAG.search(text, position)) is not None:
        parts.append(text[position : tag.start()])
        if tag[0] != OPENING:
            return Reading(content=text, problem=_stray(tag))
        try:
            written = scan_call(text, tag.end())
        except NotACallError as error:
            return Reading(content=text, problem=_problem(len(calls), str(error), error.position))
        calls.append(ToolCall(id=f"call_{len(calls)}", name=written.name, arguments=written.arguments))
        position = written.end
    parts.append(text[position:])
    content = "".join(map(_unescaped, parts))
    return Reading(content=content.strip() if calls else content, calls=tuple(calls))


def _problem(index: int, problem: str, position: int) -> str:
    return f"tool call {index + 1}: {problem} (at character {position + 1})"


def _stray(tag: re.Match[str]) -> str:
    why = "ends no tool call" if tag[0] == CLOSING else "is for results of tools"
    return f"`{tag[0]}` {why} (at character {tag.start() + 1})"


# ---------------------------------------------------------------- writing

_LITERAL = re.compile(r"<(?=\\*/?tool_(?:call|response)>)")
_ESCAPED = re.compile(r"<\\(?=\\*/?tool_(?:call|response)>)")


def _escaped(text: str) -> str:
    """Return a text in which nothing is a tag."""
    return _LITERAL.sub(r"<\\", text)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub("<", text)


def _json(value: object) -> str:
    """Return JSON without `<`; other characters stay readable."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def render(content: str, calls: Iterable[ToolCall]) -> str:
    """Return an answer with these calls, as `read` reads it.

    Arguments that are no JSON object (a model wrote them like that) are written as a string, so that they
    can be looked at, but are no call.

    Args:
        content: Text, put before the calls.
        calls: Their ids are not written: calls and results go by order and name.
    """
    blocks = [
        f'{OPENING}{{"name": {_json(call.name)}, "arguments": {_arguments(call)}}}{CLOSING}' for call in calls
    ]
    return "\n".join([_escaped(content), *blocks] if content else blocks)


def _arguments(call: ToolCall) -> str:
    block = f'{{"name": "x", "arguments": {call.arguments}}}{CLOSING}'
    try:
        written = scan_call(block, 0)
    except NotACallError:
        return _json(call.arguments)
    whole = written.end == len(block) and written.arguments == call.arguments.strip()
    return call.arguments if whole else _json(call.arguments)


def describe(tools: Sequence[ToolSpec]) -> str:
    """Return what a model has to know to call tools: the tools, the form of a call, that of a result."""
    listed = "\n".join(_json(encode_tool(tool)["function"]) for tool in tools)
    return f"""# Tools

You can call the tools below. Each line describes one: its name, what it does, and the JSON Schema of its \
arguments.

<tools>
{listed}
</tools>

To call a tool, write one JSON object with exactly two keys, the name of the tool and its arguments, \
between two tags:

{OPENING}{{"name": "NAME", "arguments": {{"KEY": "VALUE"}}}}{CLOSING}

Write one such block for each call. Arguments are a JSON object; write {{}} where there are none. After \
your calls end your answer: the results come in the next message, in the order of the calls, as

<tool_response>{{"id": "ID", "name": "NAME", "content": "RESULT"}}</tool_response>

Never write a result yourself. To speak of one of these tags in your text, put a backslash after its `<`."""


def encode(messages: Iterable[Message], tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """Return messages as chat-completions objects that need no tool calling of the server.

    The tools are described at the end of the first message if that is a system message, else in one of their
    own before it. Calls of an assistant message follow its text. Results of tools and messages of the user
    that follow each other become one user message. Tags in texts are escaped wherever they come from, so
    that none passes for a call or a result.

    Args:
        messages: The conversation.
        tools: What is on offer now; there may be calls of tools that are not.
    """
    result: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for is_tool, group in groupby(messages, key=lambda message: message.role == "tool"):
        if is_tool:
            result.append({"role": "user", "content": "\n".join(_result(each, names) for each in group)})
            continue
        for message in group:
            text = render(message.content, message.tool_calls)
            result.append({"role": message.role, "content": text})
            names.update((call.id, call.name) for call in message.tool_calls)
    return _with_tools(_alternating(result), tools)


def _alternating(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join messages of the user that follow each other: some chat templates take no two in a row."""
    result: list[dict[str, Any]] = []
    for message in messages:
        if result and message["role"] == result[-1]["role"] == "user":
            result[-1] = {"role": "user", "content": f"{result[-1]['content']}\n\n{message['content']}"}
        else:
            result.append(message)
    return result


def _result(message: Message, names: Mapping[str, str]) -> str:
    id = message.tool_call_id
    said = {"id": id, "name": names.get(id, ""), "content": message.content}
    return f"<tool_response>{_json(said)}</tool_response>"


def _with_tools(messages: list[dict[str, Any]], tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    if not tools:
        return messages
    if messages and messages[0]["role"] == "system":
        head, rest = messages[0]["content"], messages[1:]
    else:
        head, rest = "", messages
    text = "\n\n".join(part for part in (head, describe(tools)) if part)
    return [{"role": "system", "content": text}, *rest]
