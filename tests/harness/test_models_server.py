"""The server's side: a real uvicorn on loopback, asked by the official client, by ours, and by hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.errors import EndpointError, OpoiError, PluginError, UsageError
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.line import HttpLine
from opoi.models.endpoint.model import EndpointModel, connect, list_models
from opoi.models.scripted import ScriptedModel, calling
from opoi.models.served.server import running, serve
from opoi.seeds import Stream
from opoi.types import Message, Reply, ToolCall, ToolSpec, Usage

GAUGE = ToolSpec(name="read_gauge", description="Reads.", parameters={"type": "object"})
TASK = Message(role="user", content="Open?", author="suite")
ASK = {"model": "mirror", "messages": [{"role": "user", "content": "Open?"}]}


def mirror(messages: Sequence[Message], tools: Sequence[ToolSpec], seed: int) -> Reply | str | OpoiError:
    """Answer with something that depends on every input."""
    last = messages[-1].content
    if last == "raise":
        raise LookupError("a bug in the model")
    if last == "endpoint":
        return EndpointError("the endpoint behind is down")
    if last == "plugin":
        raise PluginError("the plug-in broke")
    mark = Stream(seed, "mirror").bits(
        *(f"{m.role}|{m.content}|{m.tool_calls}|{m.tool_call_id}" for m in messages)
    )
    usage = Usage(calls=1, prompt_tokens=len(last), completion_tokens=2)
    if not tools:
        return Reply(content=f"{mark}: {last}", finish_reason="stop", usage=usage)
    calls = tuple(
        ToolCall(
            id=f"call_{i}", name=tool.name, arguments=json.dumps({"mark": mark, "spec": tool.parameters})
        )
        for i, tool in enumerate(tools)
    )
    return Reply(content=f"I look: {last}", tool_calls=calls, finish_reason="tool_calls", usage=usage)


MIRROR = ScriptedModel(mirror, name="mirror")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(MIRROR, name="mirror") as base:
        yield base


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as official:
        yield official


@pytest.fixture(scope="module")
def endpoint(url: str) -> Iterator[EndpointModel]:
    with connect(url, "mirror", api_key="k", retries=0, max_tokens=None) as model:
        yield model


@pytest.fixture(scope="module")
def by_hand() -> Iterator[httpx.Client]:
    with httpx.Client() as plain:
        yield plain


# ---------------------------------------------------------------- the same model over HTTP

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
CALLS = st.lists(
    st.builds(ToolCall, id=st.just("call_0"), name=st.just("read_gauge"), arguments=TEXT), max_size=1
)
MESSAGES = st.one_of(
    st.builds(Message, role=st.sampled_from(["system", "user"]), content=TEXT, author=st.just("suite")),
    st.builds(
        Message,
        role=st.just("assistant"),
        content=TEXT,
        tool_calls=CALLS.map(tuple),
        author=st.sampled_from(["student", "oracle"]),
        loss_weight=st.sampled_from([0.0, 1.0]),
    ),
    st.builds(
        Message, role=st.just("tool"), content=TEXT, tool_call_id=st.just("call_0"), author=st.just("env")
    ),
)
TOOLS = st.lists(
    st.builds(
        ToolSpec,
        name=st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
        description=TEXT,
        parameters=st.dictionaries(TEXT, TEXT, max_size=2),
    ),
    max_size=2,
)


@settings(deadline=None, max_examples=40)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=4), tools=TOOLS, seed=st.integers(0, 2**31 - 1))
def test_a_model_gives_the_same_reply_in_process_and_over_http(
    messages: list[Message], tools: list[ToolSpec], seed: int, endpoint: EndpointModel
) -> None:
    assert endpoint.complete(messages, tools, seed=seed) == MIRROR.complete(messages, tools, seed=seed)


@settings(deadline=None, max_examples=25)
@given(text=TEXT.filter(bool), tools=st.booleans(), n=st.integers(1, 3))
def test_a_stream_says_the_same_as_one_answer(text: str, tools: bool, n: int, client: openai.OpenAI) -> None:
    asked: dict[str, object] = {**ASK, "messages": [{"role": "user", "content": text}], "seed": 4, "n": n}
    if tools:
        asked["tools"] = [
            {
                "type": "function",
                "function": {"name": "read_gauge", "description": "", "parameters": {"a": text}},
            }
        ]
    whole = client.chat.completions.create(**asked)
    parts = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    for index, choice in enumerate(whole.choices):
        mine = [part.choices[0] for part in parts if part.choices and part.choices[0].index == index]
        deltas = [piece.delta for piece in mine]
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
        assert "".join(delta.content or "" for delta in deltas) == (choice.message.content or "")
        assert "".join(call.function.arguments for call in calls) == "".join(
            call.function.arguments for call in choice.message.tool_calls or ()
        )
        assert [call.function.name for call in calls if call.id] == ["read_gauge"] * tools
        assert [piece.finish_reason for piece in mine if piece.finish_reason] == [choice.finish_reason]
    assert parts[-1].usage == whole.usage
    assert all(part.usage is None for part in parts[:-1])


def test_a_stream_has_no_usage_unless_asked(client: openai.OpenAI) -> None:
    parts = list(client.chat.completions.create(**ASK, stream=True))
    assert all(part.choices and part.usage is None for part in parts)


def test_models_are_listed_and_found(client: openai.OpenAI, url: str) -> None:
    assert [model.id for model in client.models.list()] == ["mirror"]
    assert client.models.retrieve("mirror").id == "mirror"
    line = HttpLine(url, "mirror", api_key="k")
    assert list_models(line) == ("mirror",)
    line.close()
    with pytest.raises(openai.NotFoundError, match="'mirorr' does not exist"):
        client.models.retrieve("mirorr")


def test_the_preflight_passes(endpoint: EndpointModel) -> None:
    endpoint.check()


# ---------------------------------------------------------------- seeds and options


def test_equal_requests_get_equal_bytes_and_other_seeds_other_answers(
    url: str, by_hand: httpx.Client
) -> None:
    def ask(**more: object) -> bytes:
        return by_hand.post(f"{url}/chat/completions", json={**ASK, **more}).content

    assert ask() == ask()
    assert ask(seed=1) == ask(seed=1)
    assert len({ask(), ask(seed=1), ask(seed=2), ask(seed=-1), ask(seed=2**40), ask(user="u")}) == 6


def test_choices_have_seeds_of_their_own_and_the_first_is_the_plain_answer(client: openai.OpenAI) -> None:
    one = client.chat.completions.create(**ASK, seed=3)
    many = client.chat.completions.create(**ASK, seed=3, n=4)
    texts = [choice.message.content for choice in many.choices]
    assert texts[0] == one.choices[0].message.content
    assert len(set(texts)) == 4
    assert [choice.index for choice in many.choices] == [0, 1, 2, 3]
    assert (many.usage.prompt_tokens, many.usage.completion_tokens) == (5, 8)


def test_stop_ends_the_answer_before_the_text() -> None:
    model = ScriptedModel([Reply(content="alpha beta gamma", tool_calls=calling("t").tool_calls)])
    with running(model, name="m") as base, openai.OpenAI(base_url=base, api_key="k") as client:
        choice = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "?"}], stop=["gamma", " beta"]
        ).choices[0]
    assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == (
        "alpha",
        None,
        "stop",
    )


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_cuts_text_and_then_arguments(field: str, by_hand: httpx.Client) -> None:
    model = ScriptedModel([calling("t", "12345678", key="abcdefgh")])
    asked = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
    with running(model, name="m") as base:

        def ask(limit: int) -> tuple[str, str | None, str]:
            choice = by_hand.post(f"{base}/chat/completions", json={**asked, field: limit}).json()["choices"][
                0
            ]
            calls = choice["message"].get("tool_calls")
            return (
                choice["message"]["content"],
                calls and calls[0]["function"]["arguments"],
                choice["finish_reason"],
            )

        assert ask(1) == ("123", None, "length")
        assert ask(3) == ("12345678", None, "length")
        assert ask(5) == ("12345678", '{"', "length")
        assert ask(6) == ("12345678", '{"key', "length")
        assert ask(100) == ("12345678", '{"key": "abcdefgh"}', "tool_calls")


def test_tool_choice_none_hides_the_tools_and_parallel_calls_can_be_switched_off(
    client: openai.OpenAI,
) -> None:
    tools = [
        {"type": "function", "function": {"name": name, "description": "", "parameters": {}}}
        for name in ("a", "b")
    ]
    plain = client.chat.completions.create(**ASK, tools=tools, tool_choice="none").choices[0]
    assert plain.message.tool_calls is None
    single = client.chat.completions.create(**ASK, tools=tools, parallel_tool_calls=False).choices[0]
    assert [call.function.name for call in single.message.tool_calls] == ["a"]


# ---------------------------------------------------------------- refusals

DEEP = json.dumps(ASK)[:-1] + ', "tools": ' + "[" * 500 + "]" * 500 + "}"
VERY_DEEP = '{"model": "mirror", "messages": ' + "[" * 200_000

REFUSED = [
    # body, status, param, words
    ("{", 400, None, "not JSON"),
    ("", 400, None, "not JSON"),
    ("[]", 400, None, "Expected `object`"),
    (b'{"model": "\xff"}', 400, None, "not JSON"),
    (DEEP, 400, None, "nested deeper"),
    (VERY_DEEP, 400, None, "nested deeper"),
    ({"messages": ASK["messages"]}, 400, "model", "model"),
    ({"model": "mirror"}, 400, "messages", "messages"),
    ({**ASK, "model": "gpt"}, 404, "model", "there is 'mirror'"),
    ({**ASK, "messages": []}, 400, "messages", "must not be empty"),
    ({**ASK, "messages": "hi"}, 400, "messages", "Expected `array`"),
    ({**ASK, "messages": [{"role": "boss", "content": ""}]}, 400, "messages", "not a chat role"),
    ({**ASK, "messages": [{"role": "user", "content": 7}]}, 400, "messages", "Expected"),
    (
        {**ASK, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        400,
        "messages",
        "only text is supported",
    ),
    ({**ASK, "tools": [{"function": {}}]}, 400, "tools", "name"),
    ({**ASK, "tools": {}}, 400, "tools", "Expected `array`"),
    ({**ASK, "tool_choice": "required"}, 400, "tool_choice", "there are no tools"),
    ({**ASK, "tool_choice": "always"}, 400, "tool_choice", "'auto', 'none', 'required'"),
    ({**ASK, "tool_choice": {"type": "function"}}, 400, "tool_choice", "missing required field `function`"),
    (
        {**ASK, "tool_choice": {"type": "function", "function": {"name": "x"}}},
        400,
        "tool_choice",
        "there is no tool 'x'",
    ),
    ({**ASK, "seed": "7"}, 400, "seed", "Expected `int"),
    ({**ASK, "seed": True}, 400, "seed", "got `bool`"),
    ({**ASK, "seed": 1.5}, 400, "seed", "got `float`"),
    ({**ASK, "n": 0}, 400, "n", ">= 1"),
    ({**ASK, "n": 1000}, 400, "n", "<= 128"),
    ({**ASK, "max_tokens": 0}, 400, "max_tokens", ">= 1"),
    ({**ASK, "temperature": 3}, 400, "temperature", "<= 2"),
    ({**ASK, "stop": [""]}, 400, "stop", "none empty"),
    ({**ASK, "stop": ["a"] * 5}, 400, "stop", "up to 4"),
    ({**ASK, "stream_options": {"include_usage": True}}, 400, "stream_options", "stream: true"),
    ({**ASK, "response_format": {"type": "xml"}}, 400, "response_format", "'json_object'"),
    ({**ASK, "logprobs": 3}, 400, "logprobs", "Expected `bool"),
    ({**ASK, "logprobs": True, "top_logprobs": 21}, 400, "top_logprobs", "<= 20"),
    ({**ASK, "top_logprobs": 2}, 400, "top_logprobs", "needs `logprobs: true`"),
    ({**ASK, "prompt_logprobs": 1, "stream": True}, 400, "prompt_logprobs", "not done in a stream"),
    ({**ASK, "return_token_ids": True, "stream": True}, 400, "return_token_ids", "not done in a stream"),
    ({**ASK, "presence_penalty": 0.5}, 400, "presence_penalty", "not supported"),
    ({**ASK, "logit_bias": {"5": 1}}, 400, "logit_bias", "not supported"),
    ({**ASK, "max_token": 5}, 400, "max_token", "unknown field"),
]


@pytest.mark.parametrize(
    ("body", "status", "param", "words"), REFUSED, ids=[f"{i}-{row[2]}" for i, row in enumerate(REFUSED)]
)
def test_a_request_that_cannot_be_done_is_refused_in_the_shape_of_openai(
    body: object, status: int, param: str | None, words: str, url: str, by_hand: httpx.Client
) -> None:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    answer = by_hand.post(f"{url}/chat/completions", content=content)
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (answer.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert words in error["message"]
    assert error["code"]


def test_values_that_ask_for_nothing_are_accepted(client: openai.OpenAI) -> None:
    client.chat.completions.create(
        **ASK,
        temperature=0.3,
        top_p=0.9,
        user="u",
        logprobs=False,
        presence_penalty=0,
        frequency_penalty=0.0,
        logit_bias={},
        response_format={"type": "text"},
        tool_choice="auto",
        metadata={"k": "v"},
    )


def test_unknown_paths_and_methods_are_refused_in_the_same_shape(url: str, by_hand: httpx.Client) -> None:
    for method, path, status in (
        ("POST", "/embeddings", 404),
        ("GET", "/completions", 405),
        ("GET", "/chat/completions", 405),
        ("POST", "/models", 405),
    ):
        answer = by_hand.request(method, url + path)
        assert (answer.status_code, set(answer.json()["error"])) == (
            status,
            {"message", "type", "param", "code"},
        )


@given(
    body=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | TEXT,
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["model", "messages", "role", "content", "tools", "function", "name", "n", "seed"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps({**ASK, **value} if isinstance(value, dict) else value).encode()),
    )
)
@settings(deadline=None, max_examples=50)
def test_no_body_makes_the_server_fail(body: bytes, url: str, by_hand: httpx.Client) -> None:
    assert by_hand.post(f"{url}/chat/completions", content=body).status_code in (200, 400, 404)


def test_a_body_over_a_megabyte_is_fine(endpoint: EndpointModel) -> None:
    long = Message(role="user", content="ab\u00e9 " * 400_000, author="suite")
    assert endpoint.complete([long], (), seed=1) == MIRROR.complete([long], (), seed=1)


def test_only_the_right_token_gets_in(by_hand: httpx.Client) -> None:
    with running(MIRROR, name="mirror", token="secret-token-1") as base:
        with connect(base, "mirror", api_key="secret-token-1") as model:
            assert model.complete([TASK], (), seed=1) == MIRROR.complete([TASK], (), seed=1)
        with connect(base, "mirror", api_key="secret-token-2") as model:
            with pytest.raises(EndpointFaultError, match="does not accept the key") as caught:
                model.complete([TASK], (), seed=1)
            assert caught.value.fatal
        assert by_hand.get(f"{base}/models").status_code == 401
        assert (
            by_hand.get(f"{base}/models", headers={"authorization": "Bearer \u00fc".encode()}).status_code
            == 401
        )


# ---------------------------------------------------------------- failing and slow models


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [("endpoint", 502, "is down"), ("plugin", 500, "plug-in broke"), ("raise", 500, "raised LookupError")],
)
def test_a_failing_model_is_a_server_error_and_never_an_answer(
    text: str, status: int, words: str, url: str, endpoint: EndpointModel, by_hand: httpx.Client
) -> None:
    asked = {**ASK, "messages": [{"role": "user", "content": text}]}
    answer = by_hand.post(f"{url}/chat/completions", json=asked)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    with pytest.raises(EndpointFaultError, match=words) as caught:
        endpoint.complete([Message(role="user", content=text, author="suite")], (), seed=0)
    assert caught.value.kind == "server"


def test_slow_models_do_not_block_each_other() -> None:
    together = threading.Barrier(3, timeout=10)

    def wait(*_: object) -> str:
        together.wait()
        return "all here"

    with (
        running(ScriptedModel(wait), name="slow") as base,
        connect(base, "slow", api_key="k", retries=0) as model,
        ThreadPoolExecutor(3) as pool,
    ):
        replies = list(pool.map(lambda seed: model.complete([TASK], (), seed=seed).content, range(3)))
    assert replies == ["all here"] * 3


# ---------------------------------------------------------------- serving


def test_a_server_that_is_gone_is_unreachable() -> None:
    with running(MIRROR, name="mirror") as base:
        pass
    with (
        connect(base, "mirror", api_key="k", retries=0) as model,
        pytest.raises(EndpointFaultError, match="cannot connect"),
    ):
        model.check()


def test_a_port_in_use_and_a_public_address_are_usage_errors(url: str) -> None:
    port = httpx.URL(url).port
    with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
        serve(MIRROR, port=port, name="mirror", ready=print)
    with pytest.raises(UsageError, match="loopback only"):
        serve(MIRROR, host="0.0.0.0", name="mirror", ready=print)
    with pytest.raises(UsageError, match="cannot listen"):
        serve(MIRROR, port=70_000, name="mirror", ready=print)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_serve_tells_its_url_and_ends_without_a_traceback(kind: signal.Signals) -> None:
    code = (
        "from opoi.models.scripted import ScriptedModel\n"
        "from opoi.models.served.server import serve\n"
        "serve(ScriptedModel('hello'), name='m', ready=lambda url: print(url, flush=True))\n"
        "print('ended', flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        base = process.stdout.readline().strip()
        with connect(base, "m", api_key="k") as model:
            assert model.complete([TASK], (), seed=0).content == "hello"
        process.send_signal(kind)
        out, err = process.communicate(timeout=20)
    assert err == ""
    if kind is signal.SIGINT:
        assert (out, process.returncode) == ("ended\n", 0)


def test_a_client_that_hangs_up_in_the_middle_of_a_request_is_nothing_to_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with running(MIRROR, name="mirror") as base:
        where = httpx.URL(base)
        for path in ("chat/completions", "completions", "files"):
            with socket.create_connection((where.host, where.port or 0)) as half:
                half.sendall(
                    f"POST /v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    'Content-Length: 100\r\n\r\n{"model":'.encode()
                )
                time.sleep(0.05)  # else the connection is gone before the request is looked at
        assert httpx.get(base + "/models", trust_env=False).status_code == 200
        time.sleep(0.05)
    assert capfd.readouterr() == ("", "")
