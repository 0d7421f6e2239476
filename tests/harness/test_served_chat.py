"""Chat completions that are held to a form or a call, and the hooks for what real servers do differently."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.models.scripted import ScriptedModel
from opoi.models.served.quirks import Quirks, profile
from opoi.models.served.requests import RefusedError
from opoi.models.served.server import running
from opoi.models.served.spelling import tokens
from opoi.models.served.template import calls_text, rendered
from opoi.types import Message, Reply, ToolCall, ToolSpec, Usage

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
DECISION = {
    "type": "object",
    "properties": {"action": {"enum": ["maintain", "cut"]}, "share": {"type": "number"}},
    "required": ["action", "share"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "decision", "strict": True, "schema": DECISION}}


def spec(name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "description": "", "parameters": parameters or {"type": "object"}},
    }


TOOLS: Any = [spec("look"), spec("decide", DECISION)]
DECIDE: Any = {"type": "function", "function": {"name": "decide"}}


def parrot(messages: Sequence[Message], tools: Sequence[ToolSpec], seed: int) -> Reply | str:
    """Say what it is told; `call NAME` calls tools."""
    said = messages[-1].content
    if not said.startswith("call "):
        return said
    calls = tuple(
        ToolCall(id=f"call_{i}", name=name, arguments='{"x": 1}') for i, name in enumerate(said.split()[1:])
    )
    return Reply(content="I call.", tool_calls=calls, finish_reason="tool_calls")


PARROT = ScriptedModel(parrot, name="m")


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    with (
        running(PARROT, name="m") as base,
        openai.OpenAI(base_url=base, api_key="k", max_retries=0) as official,
    ):
        yield official


def say(client: openai.OpenAI, text: str, **more: Any) -> Any:
    asked = {**ASK, "messages": [{"role": "user", "content": text}], **more}
    return client.chat.completions.create(**asked)


# ---------------------------------------------------------------- response_format


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ('{"action": "cut", "share": 0.5}', '{"action": "cut", "share": 0.5}'),
        ('I think {"action": "cut", "share": 1}.', '{"action": "cut", "share": 1}'),
        ('{"action": "burn", "share": 1}', '{"action":"cut","share":0}'),
        ("no idea", '{"action":"cut","share":0}'),
    ],
)
def test_a_schema_is_kept_whatever_the_model_says(said: str, heard: str, client: openai.OpenAI) -> None:
    choice = say(client, said, response_format=FORMAT).choices[0]
    assert (choice.message.content, choice.finish_reason) == (heard, "stop")


def test_a_json_object_is_what_the_model_says_or_empty(client: openai.OpenAI) -> None:
    free = {"type": "json_object"}
    assert say(client, '{"a": [1]}', response_format=free).choices[0].message.content == '{"a": [1]}'
    assert say(client, "prose", response_format=free).choices[0].message.content == "{}"


def test_enforced_text_is_truncated_by_a_limit_and_scored_as_it_stands(client: openai.OpenAI) -> None:
    choice = say(client, "x", response_format=FORMAT, max_tokens=4, logprobs=True).choices[0]
    assert (choice.message.content, choice.finish_reason) == ('{"action"', "length")
    assert b"".join(bytes(entry.bytes) for entry in choice.logprobs.content) == b'{"action"'


def test_a_schema_that_cannot_be_followed_is_refused_before_the_model_is_asked(client: openai.OpenAI) -> None:
    asked = PARROT.calls
    schema: Any = {"type": "json_schema", "json_schema": {"name": "d", "schema": {"pattern": "a"}}}
    with pytest.raises(openai.BadRequestError, match="'pattern' is not supported"):
        say(client, "x", response_format=schema)
    assert PARROT.calls == asked


def test_a_call_is_no_text_that_a_schema_could_spoil(client: openai.OpenAI) -> None:
    choice = say(client, "call look", response_format=FORMAT, tools=TOOLS).choices[0]
    assert choice.message.content == "I call."
    assert [call.function.name for call in choice.message.tool_calls] == ["look"]


# ---------------------------------------------------------------- tool_choice


@pytest.mark.parametrize(
    ("said", "choice", "calls", "content"),
    [
        ("hello", "auto", [], "hello"),
        ("hello", "required", [("look", "{}")], None),
        ("hello", DECIDE, [("decide", '{"action":"cut","share":0}')], None),
        ("call look", "required", [("look", '{"x": 1}')], "I call."),
        ("call decide", DECIDE, [("decide", '{"x": 1}')], "I call."),
        ("call look decide", DECIDE, [("decide", '{"x": 1}')], None),
        ("call look", DECIDE, [("decide", '{"action":"cut","share":0}')], None),
    ],
)
def test_a_demanded_call_is_made(
    said: str, choice: Any, calls: list[tuple[str, str]], content: str | None, client: openai.OpenAI
) -> None:
    answer = say(client, said, tools=TOOLS, tool_choice=choice).choices[0]
    made = [(call.function.name, call.function.arguments) for call in answer.message.tool_calls or ()]
    assert (made, answer.message.content) == (calls, content)
    assert answer.finish_reason == ("tool_calls" if calls else "stop")


def test_a_demanded_call_is_streamed_too(client: openai.OpenAI) -> None:
    parts = list(say(client, "hello", tools=TOOLS, tool_choice=DECIDE, stream=True))
    deltas = [call for part in parts for call in part.choices[0].delta.tool_calls or ()]
    assert [call.function.name for call in deltas if call.id] == ["decide"]
    assert "".join(call.function.arguments for call in deltas) == '{"action":"cut","share":0}'
    assert parts[-1].choices[0].finish_reason == "tool_calls"


def test_parameters_that_cannot_be_filled_are_refused_only_where_a_call_is_demanded(
    client: openai.OpenAI,
) -> None:
    tools = [spec("match", {"type": "object", "properties": {"x": {"pattern": "a"}}})]
    assert say(client, "hello", tools=tools).choices[0].message.content == "hello"
    with pytest.raises(openai.BadRequestError, match="'pattern' is not supported"):
        say(client, "hello", tools=tools, tool_choice="required")


# ---------------------------------------------------------------- usage


@settings(deadline=None, max_examples=20)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(
        lambda text: not text.startswith("call ")
    ),
    n=st.integers(1, 3),
)
def test_tokens_are_counted_for_a_model_that_reports_none(text: str, n: int, client: openai.OpenAI) -> None:
    prompt = rendered([Message(role="user", content=text, author="suite")])
    usage = say(client, text, n=n).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(tokens(prompt)), n * len(tokens(text)))
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_tools_and_calls_cost_tokens(client: openai.OpenAI) -> None:
    plain, offered = say(client, "call look"), say(client, "call look", tools=TOOLS)
    assert offered.usage.prompt_tokens > plain.usage.prompt_tokens
    call = ToolCall(id="call_0", name="look", arguments='{"x": 1}')
    text = "I call." + calls_text(Message(role="assistant", author="student", tool_calls=(call,)))
    assert offered.usage.completion_tokens == len(tokens(text))


def test_a_text_that_the_model_did_not_write_is_counted_anew() -> None:
    told = Usage(calls=1, prompt_tokens=500, completion_tokens=70)
    model = ScriptedModel([Reply(content="prose", usage=told)])
    with running(model, name="m") as base, openai.OpenAI(base_url=base, api_key="k") as client:
        usage = say(client, "?", response_format=FORMAT).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (500, len(tokens('{"action":"cut","share":0}')))


# ---------------------------------------------------------------- hooks


class Odd(Quirks, frozen=True, kw_only=True):
    """Shows each hook at work."""

    def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/v1/models/teapot" or body.get("seed") == 418:
            raise RefusedError("a teapot", status=418, code="teapot")
        return {key: value for key, value in body.items() if key != "nonsense"}

    def answer(self, path: str, body: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        return {**result, "path": path, "nonsense": body.get("nonsense")}

    def stream(self, body: dict[str, Any], chunks: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for chunk in chunks:
            yield {**chunk, "nonsense": body.get("nonsense")}

    def error(self, status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any] | str, bool]:
        message = body["error"]["message"]
        return (
            (status, f"odd: {message}", True) if status == 418 else (status + 1, {"detail": message}, False)
        )


@pytest.fixture(scope="module")
def odd() -> Iterator[httpx.Client]:
    with (
        running(PARROT, name="m", token="t0", quirks=Odd()) as base,
        httpx.Client(base_url=base, headers={"authorization": "Bearer t0"}) as plain,
    ):
        yield plain


@pytest.mark.parametrize(
    ("path", "body"),
    [("/chat/completions", ASK), ("/completions", {"model": "m", "prompt": "go"})],
)
def test_requests_answers_and_streams_go_through_their_hooks(
    path: str, body: dict[str, Any], odd: httpx.Client
) -> None:
    answer = odd.post(path, json={**body, "nonsense": 7}).json()
    assert (answer["path"], answer["nonsense"]) == (f"/v1{path}", 7)
    text = odd.post(path, json={**body, "nonsense": 8, "stream": True}).text
    events = [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n")[:-2]]
    assert {event["nonsense"] for event in events} == {8}


def test_models_go_through_the_hooks(odd: httpx.Client) -> None:
    assert odd.get("/models").json()["path"] == "/v1/models"
    assert odd.get("/models/m").json()["path"] == "/v1/models/m"
    assert odd.get("/models/teapot").status_code == 418


def test_errors_take_the_form_of_the_profile(odd: httpx.Client) -> None:
    missing = odd.post("/chat/completions", json={**ASK, "model": "x"})
    assert (missing.status_code, list(missing.json())) == (405, ["detail"])
    assert odd.post("/embeddings").status_code == 405
    assert odd.get("/models", headers={"authorization": "Bearer no"}).status_code == 402
    broken = odd.post("/chat/completions", content=b"{")
    assert (broken.status_code, "not JSON" in broken.json()["detail"]) == (401, True)


def test_a_profile_may_answer_with_text_and_close_the_connection(odd: httpx.Client) -> None:
    answer = odd.post("/chat/completions", json={**ASK, "seed": 418})
    assert (answer.status_code, answer.text) == (418, "odd: a teapot")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["connection"] == "close"
    assert "connection" not in odd.post("/chat/completions", json=ASK).headers


def test_a_model_of_any_name_answers_where_the_profile_takes_it() -> None:
    with (
        running(PARROT, name="m", quirks=Quirks(unknown_model="accepted")) as base,
        openai.OpenAI(base_url=base, api_key="k") as client,
    ):
        assert say(client, "hi", model="whatever").choices[0].message.content == "hi"


@pytest.mark.parametrize("name", ["llama-cpp-python", "vllm", "transformers", "litellm"])
@pytest.mark.parametrize("said", ["call look", "\u00e9t\u00e9 \u2713"])
def test_a_scored_stream_says_the_same_as_one_answer_in_every_profile(name: str, said: str) -> None:
    with (
        running(PARROT, name="m", quirks=profile(name)) as base,
        openai.OpenAI(base_url=base, api_key="k", max_retries=0) as client,
    ):
        choice = say(client, said, tools=TOOLS, logprobs=True, seed=1).choices[0]
        parts = list(say(client, said, tools=TOOLS, logprobs=True, seed=1, stream=True))
    pieces = [part.choices[0] for part in parts if part.choices]
    assert "".join(piece.delta.content or "" for piece in pieces) == (choice.message.content or "")
    names = [call.function.name for piece in pieces for call in piece.delta.tool_calls or () if call.id]
    assert names == [call.function.name for call in choice.message.tool_calls or ()]
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == [choice.finish_reason]


# ---------------------------------------------------------------- models that were tuned

EXAMPLES = "\n".join(
    json.dumps(
        {
            "messages": [
                {"role": "user", "content": f"Gauge {number}?"},
                {"role": "assistant", "content": "The keeper reads seven."},
            ]
        }
    )
    for number in range(12)
)


def test_a_tuned_model_is_listed_answers_and_finds_what_it_learned_likelier(client: openai.OpenAI) -> None:
    file = client.files.create(file=("train.jsonl", EXAMPLES.encode()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="m", training_file=file.id)
    for _ in range(50):
        if job.status in ("succeeded", "failed"):
            break
        job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded"
    tuned = job.fine_tuned_model
    assert tuned in [model.id for model in client.models.list()]
    assert client.models.retrieve(tuned).id == tuned
    answer = say(client, "hello", model=tuned)
    assert (answer.choices[0].message.content, answer.model) == ("hello", tuned)

    def likelihood(model: str) -> float:
        told = say(client, "The keeper reads seven.", model=model, logprobs=True).choices[0].logprobs
        return sum(entry.logprob for entry in told.content)

    assert likelihood(tuned) > likelihood("m")
    client.models.delete(tuned)
    with pytest.raises(openai.NotFoundError):
        say(client, "hello", model=tuned)


def test_requests_of_many_threads_get_the_answers_of_one(client: openai.OpenAI) -> None:
    alone = [say(client, f"say {i}", logprobs=True, seed=1) for i in range(8)]
    together: list[Any] = [None] * 8

    def ask(i: int) -> None:
        together[i] = say(client, f"say {i}", logprobs=True, seed=1)

    crew = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    assert together == alone
