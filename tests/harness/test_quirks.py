"""The profiles of real servers, row by row of the measured table, as a client of the stand-in meets them.

Every expectation is written from the measurements (docs/servers.md), none from the profiles. Requests go
through the official client over real sockets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.errors import UnknownNameError
from opoi.models.scripted import ScriptedModel
from opoi.models.served.language import LanguageModel
from opoi.models.served.quirks import NEUTRAL, PROFILES, Quirks, profile
from opoi.models.served.server import running
from opoi.types import Message, Reply, ToolCall, ToolSpec

SERVERS = ("llama.cpp", "vllm", "transformers", "llama-cpp-python", "litellm")
TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}
NAMED = {"type": "function", "function": {"name": "look"}}
ASK = [{"role": "user", "content": "Look twice."}]


def script(messages: list[Message], tools: list[ToolSpec], seed: int) -> Reply | str:
    if tools and "nothing" not in messages[-1].content:
        calls = tuple(ToolCall(id=f"c{n}", name="look", arguments=f'{{"n": {n}}}') for n in (1, 2))
        return Reply(tool_calls=calls, finish_reason="tool_calls")
    return f"🪿 geese number {seed} fly over the long and quiet river tonight"


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, openai.OpenAI]]:
    """A client for each profile, and one for the neutral server under the name `""`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENAI_API_KEY", raising=False)
        opened, servers = {}, []
        for name in ("", *SERVERS):
            server = running(ScriptedModel(script), name="m", quirks=profile(name) if name else NEUTRAL)
            servers.append(server)
            opened[name] = openai.OpenAI(
                base_url=server.__enter__(), api_key="none", max_retries=0, http_client=httpx.Client()
            )
        yield opened
        for client in opened.values():
            client.close()
        for server in servers:
            server.__exit__(None, None, None)


def chat(client: openai.OpenAI, **fields: object):
    return client.chat.completions.create(**{"model": "m", "messages": ASK, **fields})


def status(ask: Callable[[], object]) -> int:
    """The HTTP status of a failure; 200 where there is none."""
    try:
        ask()
    except openai.APIStatusError as error:
        return error.status_code
    return 200


def form(ask: Callable[[], object]) -> str:
    try:
        ask()
    except openai.APIStatusError as error:
        text = error.response.text
        found = json.loads(text) if text.startswith("{") else {}
        return "error" if "error" in found else "detail" if "detail" in found else "text"
    return "none"


# ---------------------------------------------------------------- rows of the table


def tool_calls(client: openai.OpenAI) -> str:
    message = chat(client, tools=[TOOL]).choices[0].message
    if message.tool_calls:
        offered = all(call.function.name == "look" for call in message.tool_calls)
        return "parsed" if offered else "canned"
    return "raw" if "<tool_call>" in (message.content or "") else "none"


def named_finish(client: openai.OpenAI) -> str:
    return chat(client, tools=[TOOL], tool_choice=NAMED).choices[0].finish_reason


def named_arguments(client: openai.OpenAI) -> bool:
    message = chat(client, tools=[TOOL], tool_choice=NAMED).choices[0].message
    return all(isinstance(parsed(call.function.arguments), dict) for call in message.tool_calls or ())


def parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def required_tool(client: openai.OpenAI) -> str:
    """Whether a model that calls no tool by itself is made to; the question decides what the model does."""
    asked = [{"role": "user", "content": "Look at nothing."}]
    message = chat(client, messages=asked, tools=[TOOL], tool_choice="required").choices[0].message
    if message.tool_calls and message.tool_calls[0].function.name == "look":
        return "called"
    by_itself = chat(client, tools=[TOOL], tool_choice="required").choices[0].message
    return "raw text" if "<tool_call>" in (by_itself.content or "") else "ignored"


def stop_text(client: openai.OpenAI) -> str:
    choice = chat(client, seed=1, stop=["over", "the"]).choices[0]
    assert choice.finish_reason == "stop"
    if choice.message.content == "🪿 geese number 1 fly ":
        return "ends"
    return "ends, text kept" if choice.message.content == "🪿 geese number 1 fly over" else "ignored"


def truncated_arguments(client: openai.OpenAI) -> int:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"n": '}}
    return status(lambda: chat(client, messages=history(content="", tool_calls=[call])))


def null_content(client: openai.OpenAI) -> int:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return status(lambda: chat(client, messages=history(content=None, tool_calls=[call])))


def history(**message: object) -> list[dict[str, object]]:
    return [*ASK, {"role": "assistant", **message}, {"role": "user", "content": "Go on."}]


def choice_none(client: openai.OpenAI) -> str:
    message = chat(client, tools=[TOOL], tool_choice="none").choices[0].message
    if message.tool_calls:
        return "ignored"
    return "raw text" if "<tool_call>" in (message.content or "") else "honoured"


def one_call(client: openai.OpenAI) -> int:
    message = chat(client, tools=[TOOL], parallel_tool_calls=False).choices[0].message
    return len(message.tool_calls or ()) or (message.content or "").count("<tool_call>")


SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "x",
        "schema": {"type": "object", "properties": {"a": {"const": 7}}, "required": ["a"]},
    },
}


def json_schema(client: openai.OpenAI) -> str:
    try:
        text = chat(client, response_format=SCHEMA).choices[0].message.content
    except openai.InternalServerError:
        return "500"
    return "enforced" if parsed(text) == {"a": 7} else "ignored"


def logprob_bytes(client: openai.OpenAI) -> str:
    found = chat(client, logprobs=True, top_logprobs=1).choices[0].logprobs
    if not found or not found.content:
        return "none"
    if any(each.bytes is None for each in found.content):
        return "null"
    text = b"".join(bytes(each.bytes) for each in found.content)
    if any(not each.bytes for each in found.content):
        return "empty for partial UTF-8"
    return "right" if text.startswith("🪿".encode()) else "wrong"


def seed_repeats(client: openai.OpenAI) -> bool:
    one, two, other = (chat(client, seed=seed).choices[0].message.content for seed in (1, 1, 2))
    return one == two != other


def two_choices(client: openai.OpenAI) -> int:
    try:
        return len(chat(client, n=2).choices)
    except openai.BadRequestError:
        return 400


def newer_limit(client: openai.OpenAI) -> object:
    """Tokens of an answer that the newer field bounds to 3."""
    try:
        return chat(client, max_completion_tokens=3).usage.completion_tokens <= 3
    except openai.InternalServerError:
        return 500


def stream_usage(client: openai.OpenAI) -> str:
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).startswith("🪿")
    if not chunks[-1].usage:
        return "never"
    return "last choice chunk" if chunks[-1].choices else "final chunk"


PROMPT = "the river flows over the stone and the river"


def echo(client: openai.OpenAI) -> str:
    """Compare with the language model that gives the stand-in its figures."""
    try:
        choice = client.completions.create(
            model="m", prompt=PROMPT, max_tokens=0, echo=True, logprobs=0
        ).choices[0]
    except openai.NotFoundError:
        return "no"
    if not choice.text.startswith(PROMPT):
        return "ignored"
    right = [score.logprob for score in LanguageModel().score(PROMPT)]
    given = choice.logprobs.token_logprobs[: len(right)]
    if given[1:] == pytest.approx(right[1:]):
        return "exact"
    return "off by one" if given[2:] == pytest.approx(right[1:-1]) else "wrong"


def prompt_logprobs(client: openai.OpenAI) -> str:
    asked = {"prompt_logprobs": 1, "return_token_ids": True, "add_generation_prompt": False}
    messages = [*ASK, {"role": "assistant", "content": "Yes."}]
    try:
        answer = chat(client, messages=messages, max_tokens=1, extra_body=asked)
    except openai.APIStatusError:
        return "no"
    return "exact" if answer.model_extra.get("prompt_logprobs") else "no"


def listing(client: openai.OpenAI) -> object:
    try:
        return [model.id for model in client.models.list()]
    except openai.InternalServerError:
        return 500


def unknown_model(client: openai.OpenAI) -> int:
    return status(lambda: chat(client, model="another"))


def unknown_field(client: openai.OpenAI) -> int:
    return status(lambda: chat(client, extra_body={"no_such_field": 1}))


def overflow(client: openai.OpenAI) -> int:
    return status(lambda: chat(client, messages=[{"role": "user", "content": "long " * 4000}]))


def error_form(client: openai.OpenAI) -> str:
    return form(lambda: chat(client, messages=[{"role": "nobody", "content": "?"}]))


def malformed(client: openai.OpenAI) -> int:
    return status(lambda: chat(client, messages="?"))


ROWS: dict[Callable[[openai.OpenAI], object], tuple[object, ...]] = {
    # row: llama.cpp, vLLM, transformers serve, llama-cpp-python, litellm mock
    tool_calls: ("parsed", "parsed", "parsed", "raw", "canned"),
    named_finish: ("tool_calls", "stop", "tool_calls", "tool_calls", "stop"),
    named_arguments: (True, True, True, False, True),
    required_tool: ("called", "called", "ignored", "raw text", "ignored"),
    stop_text: ("ends", "ends", "ends, text kept", "ends", "ends"),
    truncated_arguments: (500, 200, 500, 200, 200),
    null_content: (200, 200, 200, 500, 200),
    choice_none: ("raw text", "raw text", "ignored", "raw text", "ignored"),
    one_call: (2, 1, 2, 2, 1),  # only one server keeps the first; the mock has one call to give
    json_schema: ("enforced", "enforced", "ignored", "500", "ignored"),
    logprob_bytes: ("right", "empty for partial UTF-8", "none", "null", "none"),
    seed_repeats: (True, True, True, True, True),
    two_choices: (400, 2, 1, 1, 2),
    newer_limit: (True, True, True, 500, False),
    stream_usage: ("final chunk", "final chunk", "last choice chunk", "never", "final chunk"),
    echo: ("ignored", "exact", "ignored", "off by one", "no"),
    prompt_logprobs: ("no", "exact", "no", "no", "exact"),
    listing: (["m"], ["m"], 500, ["m"], ["m"]),
    unknown_model: (200, 404, 400, 200, 400),
    unknown_field: (200, 200, 422, 200, 200),
    overflow: (400, 400, 200, 400, 200),
    error_form: ("error", "error", "detail", "error", "error"),
    malformed: (400, 400, 400, 500, 400),
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_a_profile_answers_as_the_server_did_that_was_measured(
    row: Callable[[openai.OpenAI], object], server: str, clients: dict[str, openai.OpenAI]
) -> None:
    assert row(clients[server]) == ROWS[row][SERVERS.index(server)]


# ---------------------------------------------------------------- traps


def test_one_server_breaks_on_null_content_and_takes_an_empty_text(clients: dict[str, openai.OpenAI]) -> None:
    client = clients["llama-cpp-python"]
    assert status(lambda: chat(client, messages=history(content=None))) == 500
    assert status(lambda: chat(client, messages=history(content=""))) == 200
    assert status(lambda: chat(clients["vllm"], messages=history(content=None))) == 200


def test_broken_arguments_in_the_history_are_a_500_after_which_the_connection_is_closed(
    clients: dict[str, openai.OpenAI],
) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"n": '}}
    asked = {"model": "m", "messages": history(content="", tool_calls=[call])}
    url = str(clients["transformers"].base_url)
    with httpx.Client() as client:
        broken = client.post(f"{url}chat/completions", json=asked)
        assert (broken.status_code, broken.headers["connection"]) == (500, "close")
        assert broken.text == "Internal Server Error"
        whole = {**call, "function": {"name": "look", "arguments": '{"n": 1}'}}
        mended = client.post(
            f"{url}chat/completions", json={**asked, "messages": history(content="", tool_calls=[whole])}
        )
        assert mended.status_code == 200
        assert "close" not in mended.headers.get("connection", "")


def test_raw_calls_are_the_calls_of_the_model_as_text(clients: dict[str, openai.OpenAI]) -> None:
    native = chat(clients["vllm"], tools=[TOOL]).choices[0].message.tool_calls
    raw = chat(clients["llama-cpp-python"], tools=[TOOL]).choices[0]
    blocks = [part.split("</tool_call>")[0] for part in raw.message.content.split("<tool_call>")[1:]]
    assert [json.loads(block) for block in blocks] == [
        {"name": call.function.name, "arguments": json.loads(call.function.arguments)} for call in native
    ]
    assert raw.finish_reason == "stop"
    assert raw.message.tool_calls is None


@pytest.mark.parametrize(
    ("name", "path"), [("vllm", ("max_model_len",)), ("llama.cpp", ("meta", "n_ctx_train"))]
)
def test_the_list_of_models_tells_the_context_length(
    name: str, path: tuple[str, ...], clients: dict[str, openai.OpenAI]
) -> None:
    value: object = next(iter(clients[name].models.list())).model_extra
    for key in path:
        value = value[key]
    assert value == 2048


def test_the_neutral_server_has_no_quirks(clients: dict[str, openai.OpenAI]) -> None:
    client = clients[""]
    found = {row.__name__: row(client) for row in ROWS}
    assert found == {
        "tool_calls": "parsed",
        "named_finish": "tool_calls",
        "named_arguments": True,
        "required_tool": "called",
        "stop_text": "ends",
        "truncated_arguments": 200,
        "null_content": 200,
        "choice_none": "honoured",
        "one_call": 1,
        "json_schema": "enforced",
        "logprob_bytes": "right",
        "seed_repeats": True,
        "two_choices": 2,
        "newer_limit": True,
        "stream_usage": "final chunk",
        "echo": "exact",
        "prompt_logprobs": "exact",
        "listing": ["m"],
        "unknown_model": 404,
        "unknown_field": 400,
        "overflow": 200,
        "error_form": "error",
        "malformed": 400,
    }


# ---------------------------------------------------------------- data


def test_profiles_go_by_the_names_of_servers_and_an_unknown_one_is_an_error() -> None:
    assert tuple(PROFILES) == SERVERS
    assert all(profile(name).name == name for name in SERVERS)
    with pytest.raises(UnknownNameError, match="unknown server profile 'vlm'") as error:
        profile("vlm")
    assert "'vllm'" in error.value.fix


@pytest.mark.parametrize("name", SERVERS)
def test_profiles_are_values_that_travel_as_json(name: str) -> None:
    assert msgspec.json.decode(msgspec.json.encode(profile(name)), type=Quirks) == profile(name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    [
        "model",
        "messages",
        "prompt",
        "tools",
        "tool_choice",
        "n",
        "echo",
        "max_tokens",
        "max_completion_tokens",
    ]
)


@given(
    name=st.sampled_from(["", *SERVERS]),
    path=st.sampled_from(["/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/files"]),
    body=st.dictionaries(fields | st.text(max_size=8), json_values, max_size=6),
)
def test_whatever_a_request_holds_it_is_understood_or_refused_and_not_changed(
    name: str, path: str, body: dict[str, object]
) -> None:
    from opoi.models.served.requests import RefusedError

    before = msgspec.json.encode(body)
    quirks = profile(name) if name else NEUTRAL
    try:
        read = quirks.request(path, body)
    except RefusedError as error:
        refusal = error
        assert name
        assert refusal.status >= 400
    else:
        assert set(read) <= set(body) | {"max_tokens"}
        assert name or read == body
    assert msgspec.json.encode(body) == before


usages = st.none() | st.fixed_dictionaries({"prompt_tokens": st.integers(0, 9)})


@given(
    texts=st.lists(st.text(max_size=4), min_size=1, max_size=6),
    usage=usages,
    where=st.sampled_from(["final", "last_choice", "never"]),
)
def test_a_stream_keeps_every_choice_and_its_usage_where_the_server_has_it(
    texts: list[str], usage: dict[str, int] | None, where: str
) -> None:
    chunks = [{"choices": [{"delta": {"content": text}}], "usage": None} for text in texts]
    final = [] if usage is None else [{"choices": [], "usage": usage}]
    sent = list(Quirks(stream_usage=where).stream({}, [*chunks, *final]))
    told = [index for index, chunk in enumerate(sent) if chunk.get("usage")]
    assert [chunk["choices"] for chunk in sent if chunk["choices"]] == [chunk["choices"] for chunk in chunks]
    expected = {"final": len(texts), "last_choice": len(texts) - 1, "never": None}[where]
    assert told == ([] if usage is None or expected is None else [expected])
    assert [sent[index]["usage"] for index in told] == [usage] * len(told)
    assert all(chunk["usage"] is None for chunk in chunks)
