"""Log-probabilities of given text, from endpoints that have shown that theirs can be believed.

Two ways are known. `echo`: completions with `echo` and `logprobs`, for a plain text after a plain text.
`prompt_logprobs`: vLLM's field of chat completions, for an answer in a conversation. Servers take either
request and give figures that are one token off, or none; so a way is believed only after a test of it: the
endpoint generates a text with log-probabilities, scores it as a given one, and both have to agree
(`opoi.models.endpoint.selftest`).

The text is cut into tokens anew when it is scored. Where a border between tokens does not fall between prompt
and completion, or the tokens do not add up to the text, what is there cannot be scored, and is marked so.
All log-probabilities are natural logarithms (nats).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from opoi.errors import UsageError
from opoi.models.endpoint.alignment import is_partial, pick, walk
from opoi.models.endpoint.answers import (
    Entry,
    Placed,
    chat_text,
    chosen,
    entries_of,
    own_logprobs,
    read_echo,
    read_ids,
    read_placed,
    text_of,
    thoughts_of,
    understood,
)
from opoi.models.endpoint.capabilities import Way
from opoi.models.endpoint.dialect import Dialect, write_request
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.lines import Line
from opoi.types import Message, TokenLogprob, ToolSpec
from opoi.wire import encode_tool

__all__ = [
    "Entry",
    "chat_text",
    "conversation_text",
    "entries_of",
    "is_partial",
    "own_logprobs",
    "scorable",
    "score",
    "score_texts",
    "text_of",
    "thoughts_of",
]


def scorable(tokens: Iterable[TokenLogprob]) -> tuple[tuple[float, ...], int]:
    """Return the log-probabilities of the tokens that have one, and how many have none."""
    listed = [token.logprob for token in tokens]
    found = tuple(value for value in listed if value is not None)
    return found, len(listed) - len(found)


# ---------------------------------------------------------------- scoring


def score(
    line: Line,
    model: str,
    prompt: Sequence[Message] | str,
    completion: str,
    way: Way,
    *,
    tools: Sequence[ToolSpec] = (),
    limit: str = "max_tokens",
) -> tuple[TokenLogprob, ...]:
    """Return the log-probability of each token of a given text after a prompt (tier T2).

    Args:
        line: The endpoint. Whether it can be believed is not asked here: see `Capabilities.scoring`.
        model: Name of the model.
        prompt: A plain text for `echo`, a conversation for `prompt_logprobs`.
        completion: The text to score, not empty: what follows, or the assistant's next message.
        way: How to ask.
        tools: Tools that were on offer in the conversation.
        limit: Field that bounds an answer in chat; see `Capabilities.limit`.

    Returns:
        Tokens that together are the completion, in nats; what does not line up has no figure.

    Raises:
        UsageError: The prompt is of the other way, or the completion is empty.
        EndpointFaultError: The request failed, or the answer holds no log-probabilities (`garbage`).
    """
    if not completion:
        raise UsageError("there is nothing to score", why="the completion is empty")
    if isinstance(prompt, str) != (way == "echo"):
        raise UsageError(
            f"{way} does not score {'a plain text' if isinstance(prompt, str) else 'a conversation'}",
            fix="give a text for `echo`, and messages for `prompt_logprobs`",
        )
    if isinstance(prompt, str):
        return _Echoed(line, model, prompt + completion).part(len(prompt), len(prompt) + len(completion))
    last = Message(role="assistant", content=completion, author="student")
    asking = _Asking(line, model, tools, Dialect(seed=False), limit)
    return asking.scored([*prompt, last]).part(asking.ids(prompt), completion)


def score_texts(
    line: Line,
    model: str,
    conversation: Sequence[Message],
    places: Sequence[int],
    way: Way,
    *,
    tools: Sequence[ToolSpec] = (),
    dialect: Dialect | None = None,
) -> tuple[tuple[TokenLogprob, ...], ...]:
    """Return the same for texts of a conversation, each given all that stands before it (tier T2).

    `echo` takes one request: the conversation up to the last text, as `conversation_text` writes it.
    `prompt_logprobs` takes one request for the figures of the whole conversation up to the last text, and one
    for each text that tells where it begins and scores nothing. A text that reads otherwise where it is not
    the last (templates leave things out) takes one more.

    Args:
        line: As for `score`.
        model: The same.
        conversation: All messages, the prompt included.
        places: Indices of the messages whose contents are scored, in order; none of these is empty.
        way: How to ask.
        tools: Tools that were on offer.
        dialect: How the endpoint wants its requests: how tools are shown, and the field that bounds answers.

    Returns:
        For each place tokens that together are the content, in nats; what does not line up has no figure.

    Raises:
        UsageError: There is nothing to score at a place.
        EndpointFaultError: A request failed, or an answer holds no log-probabilities (`garbage`).
    """
    texts = [conversation[place].content for place in places]
    if not all(texts):
        raise UsageError("there is nothing to score", why="a text is empty")
    if not places:
        return ()
    last = places[-1]
    if way == "echo":
        text, starts = _written(conversation[: last + 1], tools)
        end = starts[last] + len(texts[-1])
        echoed = _Echoed(line, model, text[:end])
        return tuple(
            echoed.part(starts[place], starts[place] + len(content))
            for place, content in zip(places, texts, strict=True)
        )
    told = dialect or Dialect()
    asking = _Asking(line, model, tools, Dialect(tools=told.tools, seed=False), told.limit)
    whole = asking.scored(_up_to(conversation, last))
    found = []
    for place, content in zip(places, texts, strict=True):
        before = asking.ids(conversation[:place])
        tokens = whole.part(before, content)
        if place != last and all(token.logprob is None for token in tokens):
            tokens = asking.scored(_up_to(conversation, place)).part(before, content)
        found.append(tokens)
    return tuple(found)


def _up_to(conversation: Sequence[Message], place: int) -> list[Message]:
    """Return a conversation that ends with the content of a message; its calls come after what is scored."""
    last = msgspec.structs.replace(conversation[place], tool_calls=())
    return [*conversation[:place], last]


# ---------------------------------------------------------------- scoring by echo


def conversation_text(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> str:
    r"""Return a conversation as plain text, for endpoints that score texts and no conversations.

    Tools come first, a JSON object a line, then the messages, each under a line with its role and before
    an empty line; the calls of an assistant follow its text, a JSON object a line. No server has a template
    like it: figures compare with each other, and not with those of conversations.

        >>> conversation_text([Message(role="user", content="Open?", author="suite")])
        'user:\nOpen?\n\n'
    """
    return _written(messages, tools)[0]


def _written(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[str, list[int]]:
    """Return a conversation as plain text, and where the content of each message begins."""
    listed = "".join(f"{_json(encode_tool(tool)['function'])}\n" for tool in tools)
    text = f"tools:\n{listed}\n" if listed else ""
    starts = []
    for message in messages:
        text += f"{message.role}:\n"
        starts.append(len(text))
        calls = [_json({"name": call.name, "arguments": call.arguments}) for call in message.tool_calls]
        text += "\n".join([message.content, *calls]) + "\n\n"
    return text, starts


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class _Echoed:
    """A plain text with the log-probabilities of its tokens; asking for it is one request.

    Raises:
        EndpointFaultError: The request failed, or the answer holds none.
    """

    def __init__(self, line: Line, model: str, text: str) -> None:
        body = {"model": model, "prompt": text, "max_tokens": 0, "echo": True, "logprobs": 1}
        try:
            answer = line.post("/completions", body, label="score")
        except EndpointFaultError as fault:
            if fault.kind != "request":
                raise
            answer = line.post("/completions", {**body, "max_tokens": 1}, label="score")
        choice = understood(line, answer, read_echo)
        if choice.logprobs is None or not choice.text.startswith(text):
            raise line.where.garbage("the prompt did not come back with log-probabilities", answer)
        self._text = text
        self._tokens, self._values = choice.logprobs.tokens, choice.logprobs.token_logprobs
        self._spans = walk(self._tokens, choice.text)

    def part(self, begin: int, end: int) -> tuple[TokenLogprob, ...]:
        """Return the tokens of a part of the text."""
        return pick(self._tokens, self._values, self._spans, self._text[:end], begin)


# ---------------------------------------------------------------- scoring in chat


class _Asking(Struct, frozen=True):
    """How a model is asked for scores of conversations."""

    line: Line
    model: str
    tools: Sequence[ToolSpec]
    dialect: Dialect
    limit: str

    def _send(self, messages: Sequence[Message], **fields: object) -> bytes:
        asked = {"model": self.model, self.limit: 1, "return_token_ids": True, **fields}
        body = {**asked, **write_request(messages, self.tools, 0, self.dialect)}
        return self.line.post("/chat/completions", body, label="score")

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of a prompt, by number."""
        return understood(self.line, self._send(messages, add_generation_prompt=True), read_ids)[0]

    def scored(self, messages: Sequence[Message]) -> _Conversation:
        """Return a conversation that ends with an answer, with the log-probabilities of its tokens."""
        answer = self._send(messages, add_generation_prompt=False, prompt_logprobs=1)
        return _Conversation(*understood(self.line, answer, read_placed))


class _Conversation(Struct, frozen=True):
    """The tokens of a conversation, by number, and what was listed for their places."""

    ids: list[int]
    places: list[dict[str, Placed] | None]

    def part(self, before: list[int], text: str) -> tuple[TokenLogprob, ...]:
        """Return the tokens of an answer: those behind the tokens of its prompt, to the end of its text."""
        start = len(before)
        if self.ids[:start] != before:
            return (TokenLogprob(token=text, logprob=None),)
        found = [chosen(*each) for each in zip(self.ids[start:], self.places[start:], strict=True)]
        tokens = [token for token, _ in found]
        return pick(tokens, [value for _, value in found], walk(tokens, text), text, 0)
