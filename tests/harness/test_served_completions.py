"""Completions and scored chat over real sockets, with the official client: one text has one score."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.models.scripted import ScriptedModel
from opoi.models.served.language import LanguageModel, token_id
from opoi.models.served.server import running
from opoi.models.served.spelling import tokens
from opoi.models.served.template import rendered
from opoi.seeds import Stream
from opoi.types import Message, Reply, ToolSpec, Usage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
WORDS = ("The", " gauge", " is", " open", "12", "\u00e9", " \u2713", "...", " ", "\n", "gate")


def babble(messages: Sequence[Message], tools: Sequence[ToolSpec], seed: int) -> str:
    """Say a few words that depend on prompt and seed."""
    stream = Stream(seed, "babble", messages[-1].content)
    return "".join(stream.choice(WORDS, place) for place in range(stream.below(12, "length")))


MODEL = ScriptedModel(babble, name="babble")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(MODEL, name="babble") as base:
        yield base


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as official:
        yield official


@pytest.fixture(scope="module")
def by_hand() -> Iterator[httpx.Client]:
    with httpx.Client() as plain:
        yield plain


def complete(client: openai.OpenAI, prompt: str, **more: Any) -> Any:
    return client.completions.create(model="babble", prompt=prompt, **more)


def raw_bytes(shown: str) -> bytes:
    """Read a token of the older form back."""
    return bytes.fromhex(shown[8:]) if shown.startswith("bytes:\\x") else shown.encode()


# ---------------------------------------------------------------- echo


@settings(deadline=None, max_examples=40)
@given(prompt=TEXT, seed=st.integers(0, 999), limit=st.integers(1, 30), echo=st.booleans())
def test_generated_tokens_have_the_scores_that_echo_gives_the_same_text(
    prompt: str, seed: int, limit: int, echo: bool, client: openai.OpenAI
) -> None:
    choice = complete(client, prompt, seed=seed, max_tokens=limit, logprobs=2, echo=echo).choices[0]
    text = choice.text if echo else prompt + choice.text
    again = complete(client, text, max_tokens=0, logprobs=2, echo=True).choices[0]
    assert (again.text, again.finish_reason) == (text, "length")
    first = 0 if echo else len(tokens(prompt))
    skipped = 1 if first == 0 else first  # the first token of an echo has no score
    mine, theirs = choice.logprobs, again.logprobs
    assert mine.tokens == theirs.tokens[first:]
    assert mine.token_logprobs[skipped - first :] == theirs.token_logprobs[skipped:]
    assert mine.top_logprobs[skipped - first :] == theirs.top_logprobs[skipped:]


@settings(deadline=None, max_examples=30)
@given(prompt=TEXT)
def test_an_echo_is_the_score_of_the_language_model(prompt: str, client: openai.OpenAI) -> None:
    """Second computation: without the server."""
    choice = complete(client, prompt, max_tokens=0, logprobs=5, echo=True).choices[0]
    expected = LanguageModel().score(prompt, top=5)
    told = choice.logprobs
    assert b"".join(map(raw_bytes, told.tokens)) == prompt.encode()
    assert told.token_logprobs[1:] == [score.logprob for score in expected[1:]]
    assert told.token_logprobs[:1] == told.top_logprobs[:1] == [None] * bool(expected)
    for top, score in zip(told.top_logprobs[1:], expected[1:], strict=True):
        assert top == {
            **{repr_of(token): value for token, value in score.top},
            repr_of(score.token): score.logprob,
        }


def repr_of(token: bytes) -> str:
    return token.decode() if token[0] < 128 else f"bytes:\\x{token.hex()}"


@settings(deadline=None, max_examples=30)
@given(prompt=TEXT)
def test_offsets_say_where_a_token_begins_in_characters(prompt: str, client: openai.OpenAI) -> None:
    told = complete(client, prompt, max_tokens=0, logprobs=0, echo=True).choices[0].logprobs
    for token, offset in zip(told.tokens, told.text_offset, strict=True):
        raw = raw_bytes(token)
        assert prompt[offset:].encode().startswith(raw) or raw in prompt[offset].encode()
    assert told.text_offset == sorted(told.text_offset)


def test_without_echo_offsets_begin_at_the_generated_text(client: openai.OpenAI) -> None:
    choice = complete(client, "Hello", seed=3, max_tokens=20, logprobs=1).choices[0]
    assert choice.logprobs.text_offset[0] == 0
    assert choice.logprobs.token_logprobs[0] is not None


def test_a_prompt_may_be_a_list_of_one(client: openai.OpenAI) -> None:
    assert complete(client, ["a b"], seed=1) == complete(client, "a b", seed=1)


# ---------------------------------------------------------------- limits


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 99), limit=st.integers(1, 12))
def test_max_tokens_counts_tokens_and_keeps_characters_whole(
    seed: int, limit: int, client: openai.OpenAI
) -> None:
    whole = complete(client, "go\n", seed=seed, max_tokens=1000)
    part = complete(client, "go\n", seed=seed, max_tokens=limit)
    text = whole.choices[0].text
    short = len(tokens(text)) <= limit
    assert whole.choices[0].finish_reason == "stop"
    assert part.choices[0].finish_reason == ("stop" if short else "length")
    expected = text if short else b"".join(tokens(text)[:limit]).decode(errors="ignore")
    assert part.choices[0].text == expected
    assert part.usage.completion_tokens == min(limit, len(tokens(text)))
    assert part.usage.prompt_tokens == len(tokens("go\n"))
    assert part.usage.total_tokens == part.usage.prompt_tokens + part.usage.completion_tokens


def test_usage_that_a_model_reports_is_told_and_not_counted() -> None:
    usage = Usage(calls=1, prompt_tokens=500, completion_tokens=70)
    model = ScriptedModel([Reply(content="a few words", finish_reason="stop", usage=usage)])
    with running(model, name="m") as base, openai.OpenAI(base_url=base, api_key="k") as client:
        chat = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
        assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (500, 70)


def test_stop_ends_a_text_and_max_tokens_zero_asks_nobody(client: openai.OpenAI) -> None:
    silent = ScriptedModel([])  # has no line to say
    with running(silent, name="babble") as base, openai.OpenAI(base_url=base, api_key="k") as other:
        empty = complete(other, "a b c", max_tokens=0).choices[0]
    assert (empty.text, empty.finish_reason) == ("", "length")
    spoken = ScriptedModel(["one two, three"])
    with running(spoken, name="babble") as base, openai.OpenAI(base_url=base, api_key="k") as other:
        cut = complete(other, "count:\n", stop=[",", "three"]).choices[0]
    assert (cut.text, cut.finish_reason) == ("one two", "stop")


@pytest.mark.parametrize(
    ("prompt", "text"), [("foo", " bar"), ("foo ", " bar"), ("foo\n", "bar"), ("x\u00e9", "bar")]
)
def test_an_answer_begins_with_a_token_of_its_own(prompt: str, text: str) -> None:
    with (
        running(ScriptedModel(["bar"]), name="babble") as base,
        openai.OpenAI(base_url=base, api_key="k") as other,
    ):
        assert complete(other, prompt).choices[0].text == text


# ---------------------------------------------------------------- vLLM's scores of a prompt


@settings(deadline=None, max_examples=25)
@given(prompt=TEXT.filter(bool), top=st.integers(0, 4))
def test_prompt_logprobs_are_those_of_echo(prompt: str, top: int, client: openai.OpenAI) -> None:
    extra = {"prompt_logprobs": top, "return_token_ids": True}
    choice = complete(client, prompt, max_tokens=1, echo=True, logprobs=0, extra_body=extra).choices[0]
    ids = [token_id(token) for token in tokens(prompt)]
    assert choice.prompt_token_ids == ids
    assert choice.prompt_logprobs[0] is None
    for place in range(1, len(ids)):
        entry = choice.prompt_logprobs[place]
        own = entry[str(ids[place])]
        assert own["logprob"] == choice.logprobs.token_logprobs[place]
        assert own["decoded_token"] == tokens(prompt)[place].decode(errors="replace")
        assert next(iter(entry)) == str(ids[place])
        ranks = sorted(each["rank"] for each in entry.values())
        assert ranks == sorted({*range(1, top + 1), own["rank"]})


@settings(deadline=None, max_examples=25)
@given(question=TEXT, seed=st.integers(0, 99))
def test_an_answer_given_back_in_chat_has_the_scores_that_it_was_generated_with(
    question: str, seed: int, client: openai.OpenAI
) -> None:
    asked = [{"role": "user", "content": question}]
    choice = client.chat.completions.create(
        model="babble", messages=asked, seed=seed, logprobs=True, top_logprobs=1
    ).choices[0]
    text = choice.message.content or ""
    scored = client.chat.completions.create(
        model="babble",
        messages=[*asked, {"role": "assistant", "content": text}],
        max_tokens=1,
        extra_body={"prompt_logprobs": 1, "add_generation_prompt": False, "return_token_ids": True},
    )
    bare = client.chat.completions.create(
        model="babble", messages=asked, seed=seed, extra_body={"return_token_ids": True}
    )
    start = len(bare.prompt_token_ids)
    own = [] if choice.logprobs is None else choice.logprobs.content
    assert scored.prompt_token_ids[:start] == bare.prompt_token_ids
    assert scored.prompt_token_ids[start : start + len(own)] == bare.choices[0].token_ids
    assert scored.choices[0].message.content is None
    assert scored.choices[0].finish_reason == "stop"
    for entry, token_number, token in zip(
        scored.prompt_logprobs[start:], scored.prompt_token_ids[start:], own, strict=False
    ):
        assert entry[str(token_number)]["logprob"] == token.logprob
        assert token_number == token_id(bytes(token.bytes))


def test_a_conversation_reads_as_documented(client: openai.OpenAI) -> None:
    messages = [
        Message(role="system", content="Be brief.", author="suite"),
        Message(role="user", content="Open?", author="suite"),
    ]
    text = "<|system|>\nBe brief.<|end|>\n<|user|>\nOpen?<|end|>\n<|assistant|>\n"
    assert rendered(messages) == text
    told = client.chat.completions.create(
        model="babble",
        messages=[{"role": message.role, "content": message.content} for message in messages],
        extra_body={"return_token_ids": True},
    )
    assert told.prompt_token_ids == [token_id(token) for token in tokens(text)]
    assert told.usage.prompt_tokens == len(tokens(text))
    assert told.usage.completion_tokens == len(told.choices[0].token_ids)


# ---------------------------------------------------------------- log-probabilities in chat


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 99), top=st.integers(0, 20))
def test_log_probabilities_of_an_answer_are_those_of_the_language_model(
    seed: int, top: int, client: openai.OpenAI
) -> None:
    """Second computation: without the server."""
    choice = client.chat.completions.create(
        model="babble",
        messages=[{"role": "user", "content": "?"}],
        seed=seed,
        logprobs=True,
        top_logprobs=top,
    ).choices[0]
    given = rendered([Message(role="user", content="?", author="suite")])
    expected = LanguageModel().score(choice.message.content or "", given=given, top=20)
    entries = choice.logprobs.content if choice.logprobs else []
    assert [(bytes(entry.bytes), entry.logprob) for entry in entries] == [
        (score.token, score.logprob) for score in expected
    ]
    assert [[(bytes(t.bytes), t.logprob) for t in entry.top_logprobs] for entry in entries] == [
        list(score.top[:top]) for score in expected
    ]


def test_part_of_a_character_is_shown_by_its_bytes() -> None:
    with (
        running(ScriptedModel(["\u00e9t\u00e9"]), name="m") as base,
        openai.OpenAI(base_url=base, api_key="k") as client,
    ):
        choice = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "?"}], logprobs=True
        ).choices[0]
    assert [(entry.token, entry.bytes) for entry in choice.logprobs.content] == [
        *[("\\xc3", [0xC3]), ("\\xa9", [0xA9]), ("t", [0x74]), ("\\xc3", [0xC3]), ("\\xa9", [0xA9])],
    ]


# ---------------------------------------------------------------- streams


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), n=st.integers(1, 2), echo=st.booleans(), scored=st.booleans())
def test_a_stream_of_completions_says_the_same_as_one_answer(
    seed: int, n: int, echo: bool, scored: bool, client: openai.OpenAI
) -> None:
    asked: dict[str, Any] = {"seed": seed, "n": n, "echo": echo, "max_tokens": 50}
    if scored:
        asked["logprobs"] = 1
    whole = complete(client, "\u00e9 Go", **asked)
    parts = list(complete(client, "\u00e9 Go", **asked, stream=True, stream_options={"include_usage": True}))
    for index, choice in enumerate(whole.choices):
        mine = [part.choices[0] for part in parts if part.choices and part.choices[0].index == index]
        assert "".join(piece.text for piece in mine) == choice.text
        assert [piece.finish_reason for piece in mine if piece.finish_reason] == [choice.finish_reason]
        if scored:
            told = [piece.logprobs for piece in mine if piece.logprobs]
            assert [t for part in told for t in part.tokens] == choice.logprobs.tokens
            assert [t for part in told for t in part.token_logprobs] == choice.logprobs.token_logprobs
            assert [t for part in told for t in part.text_offset] == choice.logprobs.text_offset
            assert all(piece.text for piece in mine if piece.logprobs)
    assert parts[-1].usage == whole.usage
    assert all(part.object == "text_completion" for part in parts)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), n=st.integers(1, 2))
def test_a_scored_stream_of_chat_says_the_same_as_one_answer(
    seed: int, n: int, client: openai.OpenAI
) -> None:
    asked: dict[str, Any] = {
        "model": "babble",
        "messages": [{"role": "user", "content": "?"}],
        "seed": seed,
        "n": n,
        "logprobs": True,
        "top_logprobs": 2,
    }
    whole = client.chat.completions.create(**asked)
    parts = list(client.chat.completions.create(**asked, stream=True))
    for index, choice in enumerate(whole.choices):
        mine = [part.choices[0] for part in parts if part.choices[0].index == index]
        assert "".join(piece.delta.content or "" for piece in mine) == (choice.message.content or "")
        told = [entry for piece in mine if piece.logprobs for entry in piece.logprobs.content]
        assert told == (choice.logprobs.content if choice.logprobs else [])


def test_a_stream_is_cut_into_events_that_arrive_one_by_one(url: str, by_hand: httpx.Client) -> None:
    body = {"model": "babble", "prompt": "word " * 200, "max_tokens": 0, "echo": True, "stream": True}
    with by_hand.stream("POST", f"{url}/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["transfer-encoding"] == "chunked"
        events = "".join(answer.iter_text()).split("\n\n")
    assert events.pop() == ""
    assert events.pop() == "data: [DONE]"
    pieces = [json.loads(event.removeprefix("data: ")) for event in events]
    assert len(pieces) > 20
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == "word " * 200


# ---------------------------------------------------------------- refusals

ASK = {"model": "babble", "prompt": "Go"}


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        ({"model": "babble"}, 400, "prompt", "missing required field"),
        ({**ASK, "prompt": ["a", "b"]}, 400, "prompt", "several prompts"),
        ({**ASK, "prompt": [1, 2]}, 400, "prompt", "token ids"),
        ({**ASK, "model": "gpt"}, 404, "model", "there is 'babble'"),
        ({**ASK, "logprobs": 6}, 400, "logprobs", "<= 5"),
        ({**ASK, "logprobs": True}, 400, "logprobs", "got `bool`"),
        ({**ASK, "max_tokens": -1}, 400, "max_tokens", ">= 0"),
        ({**ASK, "suffix": "x"}, 400, "suffix", "not supported"),
        ({**ASK, "best_of": 3}, 400, "best_of", "not supported"),
        ({**ASK, "prompt_logprobs": 21}, 400, "prompt_logprobs", "<= 20"),
        ({**ASK, "prompt_logprobs": 1, "stream": True}, 400, "prompt_logprobs", "not done in a stream"),
        ({**ASK, "messages": []}, 400, "messages", "unknown field"),
        ({**ASK, "prompt": "a " * 40_000, "logprobs": 0, "echo": True}, 400, "prompt", "up to 32768 tokens"),
    ],
)
def test_a_completion_that_cannot_be_done_is_refused_in_the_shape_of_openai(
    body: object, status: int, param: str, words: str, url: str, by_hand: httpx.Client
) -> None:
    answer = by_hand.post(f"{url}/completions", json=body)
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (answer.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert words in error["message"]


def test_values_that_ask_for_nothing_are_accepted(client: openai.OpenAI) -> None:
    neutral: dict[str, Any] = {"best_of": 1, "suffix": "", "logit_bias": {}, "presence_penalty": 0}
    assert complete(
        client, "Go", seed=1, **neutral, frequency_penalty=0, temperature=1, top_p=1, user="u"
    ) == complete(client, "Go", seed=1)


def test_equal_requests_get_equal_bytes_from_fresh_servers(by_hand: httpx.Client) -> None:
    answers = []
    for _ in range(2):
        with running(MODEL, name="babble") as base:
            body = {**ASK, "logprobs": 5, "echo": True, "n": 2}
            answers.append(by_hand.post(f"{base}/completions", json=body).content)
    assert answers[0] == answers[1]


def test_an_answer_over_a_kept_connection_does_not_wait(url: str, by_hand: httpx.Client) -> None:
    """Nagle's algorithm with delayed acknowledgements would add 40 ms to each."""
    taken = []
    for _ in range(8):
        start = time.perf_counter()
        by_hand.post(f"{url}/completions", json=ASK)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.03


CHAT = {"messages": [{"role": "user", "content": "?"}], "tools": [{"function": {"name": "look"}}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
NAMES = (
    *("prompt", "max_tokens", "echo", "logprobs", "top_logprobs", "n", "stop", "stream", "stream_options"),
    *("prompt_logprobs", "tools", "tool_choice", "response_format", "return_token_ids", "best_of"),
    *("add_generation_prompt", "messages"),
)
FIELDS = st.dictionaries(
    st.sampled_from(NAMES),
    JSON
    | st.sampled_from([0, 1, 2, True, "a", "required", ["a"], {"type": "json_object"}])
    | st.builds(lambda schema: {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}, JSON),
    max_size=4,
)


@settings(deadline=None, max_examples=120)
@given(path=st.sampled_from(["completions", "chat/completions"]), fields=FIELDS)
def test_no_request_makes_the_server_fail(
    path: str, fields: dict[str, Any], url: str, by_hand: httpx.Client
) -> None:
    needed: dict[str, Any] = {"prompt": "Go"} if path == "completions" else CHAT
    answer = by_hand.post(f"{url}/{path}", json={"model": "babble", **needed, **fields})
    assert answer.status_code in (200, 400)
