"""What the probe finds on servers as they are: each profile over real sockets, and any mixture of quirks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.halting import HaltedError
from opoi.models.endpoint.capabilities import Capabilities
from opoi.models.endpoint.faults import EndpointFaultError, Where
from opoi.models.endpoint.line import HttpLine
from opoi.models.endpoint.lines import Line
from opoi.models.endpoint.model import EndpointModel
from opoi.models.endpoint.probe import probe
from opoi.models.endpoint.scoring import scorable, score
from opoi.models.scripted import ScriptedModel
from opoi.models.served.language import LanguageModel
from opoi.models.served.quirks import NEUTRAL, Quirks, profile
from opoi.models.served.server import running
from opoi.models.served.template import rendered
from opoi.protocols import Suite
from opoi.rollout import rollout
from opoi.seeds import Stream
from opoi.types import UNREADABLE, Message, Reply, Scenario, Tier, ToolCall, ToolSpec

SERVERS = ("llama.cpp", "vllm", "transformers", "llama-cpp-python", "litellm")
WORDS = [
    "water",
    "stone",
    "quiet",
    "light",
    "slow",
    "bend",
    "older",
    "any",
    "hums",
    "naïve",
    "moon",
    "silver",
]


def script(messages: Sequence[Message], tools: Sequence[ToolSpec], seed: int) -> Reply | str:
    """Calls the tool that it is asked to call, twice; else writes words that depend on the seed."""
    if tools and not any(message.role == "tool" for message in messages):
        name = tools[0].name
        calls = tuple(ToolCall(id=f"c{n}", name=name, arguments=f'{{"n": {n}}}') for n in (1, 2))
        return Reply(tool_calls=calls, finish_reason="tool_calls")
    stream = Stream(seed, "words")
    return "🪿 " + " ".join(WORDS[stream.seed31(index) % len(WORDS)] for index in range(40))


class Watched:
    """A line that keeps the requests that went over it, and can fail on command."""

    def __init__(self, line: Line, faults: dict[object, str] | None = None) -> None:
        self._line = line
        self._faults = faults or {}
        self.sent: list[tuple[str, dict[str, Any], str]] = []

    @property
    def where(self) -> Where:
        return self._line.where

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        self.sent.append((path, body, label))
        self._fail(label)
        return self._line.post(path, body, label=label)

    def get(self, path: str) -> bytes:
        self.sent.append((path, {}, ""))
        self._fail()
        return self._line.get(path)

    def _fail(self, label: str = "") -> None:
        kind = self._faults.get(len(self.sent), self._faults.get(label))
        if kind == "halted":
            raise HaltedError("the run is being stopped")
        if kind:
            raise EndpointFaultError("it failed", kind=kind)

    def close(self) -> None:
        self._line.close()


@contextmanager
def served(quirks: Quirks = NEUTRAL, model: Any = script) -> Iterator[Watched]:
    with running(ScriptedModel(model), name="m", quirks=quirks) as url:
        line = Watched(HttpLine(url, "m", api_key="none", retries=0))
        yield line
        line.close()


@pytest.fixture(scope="module")
def found() -> dict[str, Capabilities]:
    """What the probe finds on each profile; `""` is the neutral server."""
    result = {}
    for name in ("", *SERVERS):
        with served(profile(name) if name else NEUTRAL) as line:
            result[name] = probe(line, "m")
    return result


# ---------------------------------------------------------------- the table of real servers

TABLE: dict[str, tuple[object, ...]] = {
    "errors": ("openai", "openai", "detail", "openai", "openai"),
    # field: llama.cpp, vLLM, transformers serve, llama-cpp-python, litellm mock
    "tools": ("parsed", "parsed", "parsed", "raw", "parsed"),
    "tools_named": ("ignored", "honoured", "ignored", "broken", "ignored"),
    "tools_named_finish": ("tool_calls", "stop", "tool_calls", "tool_calls", "stop"),
    "tools_none": ("raw", "raw", "ignored", "raw", "ignored"),
    "parallel": (True, True, True, True, False),
    "parallel_off": ("ignored", "honoured", "ignored", "ignored", "unknown"),
    "json_schema": ("enforced", "enforced", "ignored", "refused", "ignored"),
    "logprobs": (True, True, False, True, False),
    "logprob_check": ("believed", "believed", "none", "believed", "none"),
    "top_logprobs": (20, 20, 0, 20, 0),
    "logprob_bytes": ("right", "empty", "none", "null", "none"),
    "seed": ("honoured", "honoured", "honoured", "honoured", "honoured"),
    "seed_matters": (True, True, True, True, True),
    "n": ("refused", "honoured", "ignored", "ignored", "honoured"),
    "max_tokens": ("honoured",) * 5,
    "max_completion_tokens": ("honoured", "honoured", "honoured", "ignored", "ignored"),
    "stop": ("honoured", "honoured", "kept", "honoured", "honoured"),
    "stream": ("ok",) * 5,
    "stream_usage": ("given", "given", "given", "never", "given"),
    "listing": ("ok", "ok", "failed", "ok", "ok"),
    "context": (2048, 2048, None, None, None),
    "unknown_fields": ("ignored", "ignored", "refused", "ignored", "ignored"),
    "scoring": (None, "prompt_logprobs", None, None, None),
    "tier": (Tier.T1, Tier.T2, Tier.T0, Tier.T1, Tier.T0),
}
ECHO = ("absent", "believed", "untested", "shifted", "refused")
PROMPT_LOGPROBS = ("absent", "believed", "untested", "absent", "untested")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("field", TABLE)
def test_the_probe_finds_the_row_of_the_table(
    field: str, server: str, found: dict[str, Capabilities]
) -> None:
    assert getattr(found[server], field) == TABLE[field][SERVERS.index(server)]


@pytest.mark.parametrize("server", SERVERS)
def test_scores_are_believed_where_they_agree_with_generation_and_nowhere_else(
    server: str, found: dict[str, Capabilities]
) -> None:
    at = SERVERS.index(server)
    verdicts = {way: scorer.verdict for way, scorer in found[server].scorers.items()}
    assert verdicts == {"echo": ECHO[at], "prompt_logprobs": PROMPT_LOGPROBS[at]}


def test_the_neutral_server_can_do_everything(found: dict[str, Capabilities]) -> None:
    every = found[""]
    assert every.tier is Tier.T2
    assert (every.tools, every.tools_named, every.tools_none, every.parallel) == (
        "parsed",
        "honoured",
        "honoured",
        True,
    )
    honoured = (every.seed, every.n, every.stop, every.max_tokens, every.max_completion_tokens)
    assert set(honoured) == {"honoured"}
    assert (every.models, every.models_count, every.listing) == (("m",), 1, "ok")
    assert {scorer.verdict for scorer in every.scorers.values()} == {"believed"}


def test_two_probes_of_one_server_write_the_same_bytes(found: dict[str, Capabilities]) -> None:
    with served(profile("vllm")) as line:
        again = probe(line, "m")
    assert msgspec.json.encode(again) == msgspec.json.encode(found["vllm"])
    assert msgspec.json.decode(msgspec.json.encode(again), type=Capabilities) == again


# ---------------------------------------------------------------- cost and care


REQUESTS = {"": 24, "llama.cpp": 20, "vllm": 24, "transformers": 18, "llama-cpp-python": 22, "litellm": 17}


@pytest.mark.parametrize("server", REQUESTS)
def test_a_probe_is_about_twenty_requests_short_bounded_and_told_apart(server: str) -> None:
    told: list[str] = []
    with served(profile(server) if server else NEUTRAL) as line:
        calls = probe(line, "m", progress=told.append).calls
    assert calls == len(line.sent) == REQUESTS[server]
    assert len(told) == len(set(told)) > 8
    for path, body, _ in line.sent:
        assert len(json.dumps(body)) < 1500  # an overlong prompt kept one server at work for 97 s
        if path != "/models":
            assert 0 <= body["max_tokens"] <= 160  # the newer field alone is an answer without an end on one
    keys = [json.dumps([path, body, label], sort_keys=True) for path, body, label in line.sent]
    assert len(keys) == len(set(keys))  # a recording of the probe keeps both answers to a repeated request


def test_a_server_that_cannot_do_the_plain_request_is_an_error() -> None:
    with served() as line:
        for kind in ("unreachable", "key", "missing", "timeout", "rate"):
            failing = Watched(line, {2: kind})
            with pytest.raises(EndpointFaultError, match="it failed") as error:
                probe(failing, "m")
            assert error.value.kind == kind


def test_an_unknown_model_is_an_error_that_names_it() -> None:
    with served() as line, pytest.raises(EndpointFaultError) as error:
        probe(line, "another")
    assert error.value.kind == "missing"
    assert "'another'" in error.value.why


@pytest.mark.parametrize("kind", ["unreachable", "rate", "halted"])
def test_an_endpoint_that_goes_away_later_is_no_answer(kind: str) -> None:
    with served() as line:
        for at in (1, 4, 9, 15):
            if kind == "rate" and at == 1:
                continue  # a list of models that is rationed says nothing about chat
            with pytest.raises((EndpointFaultError, HaltedError)):
                probe(Watched(line, {at: kind}), "m")


def test_a_connection_that_breaks_once_is_not_taken_for_an_answer(found: dict[str, Capabilities]) -> None:
    with served() as line:
        for at in range(1, 22, 4):
            again = probe(Watched(line, {at: "connection"}), "m")
            assert again == found[""]


@pytest.mark.parametrize("kind", ["server", "request", "garbage", "timeout", "key", "missing"])
@pytest.mark.parametrize(
    ("label", "fields"),
    [
        ("limit", {"max_completion_tokens"}),
        ("n", {"n"}),
        ("json_schema", {"json_schema"}),
        ("unknown field", {"unknown_fields"}),
        ("stop", {"stop"}),
        ("named tool", {"tools_named", "tools_named_finish"}),
        ("no tool", {"tools_none"}),
        ("one call", {"parallel_off"}),
        ("tools 1", set()),  # asked again
        ("self-test 1", {"scorers"}),
    ],
)
def test_a_failing_question_changes_the_answer_to_that_question_alone(
    kind: str, label: str, fields: set[str], found: dict[str, Capabilities], neutral: HttpLine
) -> None:
    plain = msgspec.structs.asdict(found[""])
    changed = msgspec.structs.asdict(probe(Watched(neutral, {f"probe: {label}": kind}), "m"))
    assert {field for field in plain if plain[field] != changed[field]} - {"calls"} == fields - (
        {"unknown_fields"}  # the neutral server refuses them too
    )


@pytest.fixture(scope="module")
def neutral() -> Iterator[HttpLine]:
    with running(ScriptedModel(script), name="m") as url:
        line = HttpLine(url, "m", api_key="none", retries=0)
        yield line
        line.close()


@pytest.mark.parametrize("form", ["openai", "detail", "text"])
def test_the_form_of_errors_is_that_of_the_answer_to_a_malformed_request(
    form: str, neutral: HttpLine
) -> None:
    class Formed(Watched):
        def _fail(self, label: str = "") -> None:
            if label == "probe: malformed":
                raise EndpointFaultError("it is malformed", kind="request", form=form)

    assert probe(Formed(neutral), "m").errors == form


def test_where_only_the_newer_limit_is_taken_it_is_used_throughout() -> None:
    with served(Quirks(refuses=("max_tokens",), echo="missing")) as line:
        seen = probe(line, "m")
    assert (seen.max_tokens, seen.max_completion_tokens) == ("refused", "honoured")
    assert seen.dialect().limit == "max_completion_tokens"
    assert seen.scorers["prompt_logprobs"].verdict == "believed"
    chats = [body for path, body, _ in line.sent[2:] if path == "/chat/completions"]
    assert all("max_tokens" not in body and body["max_completion_tokens"] <= 160 for body in chats)


@pytest.mark.parametrize(
    ("field", "found_as"), [("stop", "stop"), ("n", "n"), ("max_completion_tokens", "max_completion_tokens")]
)
@pytest.mark.parametrize(
    ("how", "word"), [("drops", "ignored"), ("refuses", "refused"), ("fails", "refused")]
)
def test_a_field_is_told_to_be_ignored_or_refused(field: str, found_as: str, how: str, word: str) -> None:
    with served(Quirks(**{how: (field,)})) as line:
        seen = probe(line, "m")
    wanted = "unknown" if field == "max_completion_tokens" and word == "refused" else word
    assert getattr(seen, found_as) == wanted  # some refuse only both limits at once


def test_a_field_that_no_server_bounds_answers_by_is_seen() -> None:
    with served(Quirks(drops=("max_tokens", "max_completion_tokens"))) as line:
        seen = probe(line, "m")
    assert (seen.max_tokens, seen.max_completion_tokens) == ("ignored", "ignored")


@pytest.mark.parametrize(
    ("refused", "seed", "temperature"),
    [
        (("seed",), "refused", "taken"),
        (("temperature",), "honoured", "refused"),
        (("seed", "temperature"), "refused", "refused"),
    ],
)
def test_seed_and_temperature_are_told_apart(refused: tuple[str, ...], seed: str, temperature: str) -> None:
    with served(Quirks(refuses=refused)) as line:
        seen = probe(line, "m")
    assert (seen.seed, seen.temperature) == (seed, temperature)
    assert seen.dialect().seed is (seed != "refused")


def test_a_model_that_draws_anew_each_time_has_no_seed() -> None:
    count = iter(range(1000))
    with served(model=lambda messages, tools, seed: f"{next(count)} of the rivers run dry in a year") as line:
        seen = probe(line, "m")
    assert (seen.seed, seen.stop) == ("ignored", "honoured")


def test_a_model_that_says_the_same_whatever_the_seed_is_found_out() -> None:
    with served(model=["A river is older than the ocean that it runs to."]) as line:
        seen = probe(line, "m")
    assert (seen.seed, seen.seed_matters) == ("honoured", False)


@pytest.mark.parametrize(
    "text", ['{"answer": "rivers bend and bend and', "{", '{"code": "another"}', "[]", ""]
)
def test_a_model_that_speaks_json_of_its_own_is_not_held_to_a_schema(text: str) -> None:
    with served(Quirks(schema="ignored"), model=[text]) as line:
        assert probe(line, "m").json_schema == "ignored"


@pytest.mark.parametrize("text", ['{\n "code"  :', '{"co', '{ "code": "qz', ' {"code": "qz7"}\n'])
def test_an_answer_to_a_schema_that_is_cut_off_counts_as_held_to_it(text: str) -> None:
    with served(Quirks(schema="ignored"), model=[text]) as line:
        assert probe(line, "m").json_schema == "enforced"


@pytest.mark.parametrize(("counted", "limit"), [(16, "honoured"), (18, "unknown"), (40, "ignored")])
def test_an_answer_that_is_longer_by_a_mark_or_two_is_no_answer_without_an_end(
    counted: int, limit: str, neutral: HttpLine
) -> None:
    class Counting(Watched):
        def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
            answer = json.loads(super().post(path, body, label=label))
            if label == "probe: seed 1":
                answer["usage"]["completion_tokens"] = counted
            return json.dumps(answer).encode()

    assert probe(Counting(neutral), "m").max_tokens == limit


def test_tools_that_only_reach_the_prompt_are_told_from_tools_that_do_not() -> None:
    def silent(messages: Sequence[Message], tools: Sequence[ToolSpec], seed: int) -> Reply:
        used = 10 + len("".join(tool.description for tool in tools)) // 4
        text = "I would rather talk of rivers."
        return Reply(content=text, usage=msgspec.structs.replace(Reply().usage, prompt_tokens=used))

    with served(Quirks(named="ignored"), model=silent) as line:
        assert probe(line, "m").tools == "rendered"
    with served(Quirks(tools="ignored"), model=silent) as line:
        seen = probe(line, "m")
        assert (seen.tools, seen.tools_none, seen.parallel) == ("ignored", "unknown", None)
        assert seen.dialect().tools == "text"


def test_a_model_that_makes_calls_up_does_not_show_that_tools_reach_it() -> None:
    made_up = '<tool_call>{"name": "left", "arguments": {"n": 1}}</tool_call>'
    with served(Quirks(tools="ignored"), model=[made_up]) as line:
        assert probe(line, "m").tools == "ignored"
    with served(model=[made_up]) as line:
        assert probe(line, "m").tools == "raw"


def test_a_named_tool_that_is_called_shows_that_tools_reach_the_server() -> None:
    class Uncounted(Watched):
        def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
            answer = json.loads(super().post(path, body, label=label))
            answer["usage"] = None
            return json.dumps(answer).encode()

    with served(model=["I would rather talk of rivers and of the moon above them."]) as line:
        seen = probe(Uncounted(line), "m")
    assert (seen.tools, seen.tools_named, seen.usage) == ("rendered", "honoured", False)


def test_a_weak_model_that_calls_now_and_then_is_asked_again() -> None:
    def weak(messages: Sequence[Message], tools: Sequence[ToolSpec], seed: int) -> Reply | str:
        return script(messages, tools, seed) if seed == 3 else "I would rather talk of rivers."

    with served(model=weak) as line:
        seen = probe(line, "m")
    assert (seen.tools, seen.parallel, seen.tools_none, seen.parallel_off) == (
        "parsed",
        True,
        "honoured",
        "honoured",
    )


def test_refused_tools_are_offered_as_text() -> None:
    with served(Quirks(tools="refused")) as line:
        seen = probe(line, "m")
    assert (seen.tools, seen.tools_named) == ("refused", "refused")
    assert seen.dialect().tools == "text"


# ---------------------------------------------------------------- servers that lie

Lie = Callable[[dict[str, Any], dict[str, Any]], None]
"""Changes an answer; takes the request, too."""


class Lying(Watched):
    """A line to a server that lies, and drops fields that never reach the model."""

    def __init__(self, line: Line, lie: Lie, drops: Sequence[str] = ()) -> None:
        super().__init__(line)
        self._lie, self._drops = lie, drops

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        heeded = {key: value for key, value in body.items() if key not in self._drops}
        answer = json.loads(super().post(path, heeded, label=label))
        self._lie(body, answer)
        return json.dumps(answer).encode()


def own_entries(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures of a chat completion for what it generated."""
    found = [choice.get("logprobs") for choice in answer["choices"] if "message" in choice]
    return [entry for logprobs in found if logprobs for entry in logprobs["content"]]


def every(value: float) -> Lie:
    def lie(_: dict[str, Any], answer: dict[str, Any]) -> None:
        for entry in own_entries(answer):
            entry["logprob"] = value

    return lie


def one_above(_: dict[str, Any], answer: dict[str, Any]) -> None:
    for entry in own_entries(answer)[3:4]:
        entry["logprob"] = 0.5


def listed(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Lie:
    def lie(_: dict[str, Any], answer: dict[str, Any]) -> None:
        for choice in answer["choices"]:
            if "message" in choice and choice.get("logprobs"):
                choice["logprobs"]["content"] = change(choice["logprobs"]["content"])

    return lie


ZZZ = {"token": "zzz", "logprob": -5.0, "bytes": None, "top_logprobs": []}


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (every(0.0), "alike"),
        (every(-1.0), "alike"),
        (every(3.0), "positive"),
        (one_above, "positive"),
        (listed(lambda entries: [{**ZZZ, "logprob": 5.0}]), "apart"),
        (listed(lambda entries: [*entries, ZZZ]), "apart"),
        (listed(lambda entries: [*entries[:5], ZZZ, *entries[5:]]), "apart"),
        (listed(lambda entries: entries[:1]), "apart"),
        (listed(lambda entries: entries[6:]), "apart"),
        (listed(lambda entries: entries[::-1]), "apart"),
        (listed(lambda entries: []), "none"),
    ],
)
def test_figures_that_cannot_be_those_of_the_generated_tokens_give_no_tier(
    lie: Lie, check: str, neutral: HttpLine
) -> None:
    seen = probe(Lying(neutral, lie, drops=["echo"]), "m")
    assert (seen.logprobs, seen.logprob_check, seen.top_logprobs) == (False, check, 0)
    assert (seen.scorers["prompt_logprobs"].verdict, seen.tier) == ("untested", Tier.T0)


def test_figures_by_the_token_alone_are_believed_neither_of_given_nor_of_generated_text(
    neutral: HttpLine,
) -> None:
    def table(_: dict[str, Any], answer: dict[str, Any]) -> None:
        for entry in own_entries(answer):
            entry["logprob"] = -float(1 + sum(entry["token"].encode()) % 9)
        for place in answer.get("prompt_logprobs") or ():
            for entry in (place or {}).values():
                entry["logprob"] = -float(1 + sum(entry["decoded_token"].encode()) % 9)
        for choice in answer["choices"]:
            if "text" in choice and choice.get("logprobs"):
                tokens = choice["logprobs"]["tokens"]
                choice["logprobs"]["token_logprobs"] = [-float(1 + sum(t.encode()) % 9) for t in tokens]

    class Ascii(Lying):
        """Without the emoji, whose parts the two forms spell differently."""

        def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
            return super().post(path, body, label=label).replace(b"\\ud83e\\udebf ", b"")

    words = ScriptedModel(lambda messages, tools, seed: " ".join(WORDS[at] for at in (0, 1, 2, 3, 4, 5, 6)))
    with running(words, name="m") as url:
        line = HttpLine(url, "m", api_key="none", retries=0)
        seen = probe(Ascii(line, table), "m")
        line.close()
    assert {way: scorer.verdict for way, scorer in seen.scorers.items()} == {
        "prompt_logprobs": "blind",
        "echo": "blind",
    }
    assert (seen.logprobs, seen.logprob_check, seen.tier) == (False, "blind", Tier.T0)


def counted(count: Callable[[int, list[Any]], int]) -> Lie:
    """Add to the tokens of prompts: by how many requests there were, and by the tools."""
    requests = iter(range(1000))

    def lie(body: dict[str, Any], answer: dict[str, Any]) -> None:
        if answer.get("usage"):
            answer["usage"]["prompt_tokens"] += count(next(requests), body.get("tools") or [])

    return lie


COUNTS: list[Callable[[int, list[Any]], int]] = [
    lambda asked, tools: 100 * bool(tools),
    lambda asked, tools: 50 * len(tools),
    lambda asked, tools: asked,
    lambda asked, tools: 40 * asked,
    lambda asked, tools: 40 * asked + 100 * bool(tools),
    lambda asked, tools: 100 * bool(tools) + asked % 2,
    lambda asked, tools: 5 * len(json.dumps(tools)),
]
MADE_UP = '<tool_call>{"name": "left", "arguments": {"n": 1}}</tool_call>'


@pytest.mark.parametrize("text", ["I would rather talk of rivers and of the moon.", MADE_UP])
@pytest.mark.parametrize("count", COUNTS)
def test_tools_that_are_counted_and_then_dropped_do_not_reach_the_model(
    count: Callable[[int, list[Any]], int], text: str
) -> None:
    with served(model=[text]) as line:
        lying = Lying(line, counted(count), drops=["tools", "tool_choice", "parallel_tool_calls"])
        seen = probe(lying, "m")
    assert (seen.tools, seen.dialect().tools) == ("ignored", "text")


def test_growth_that_a_control_shows_too_is_not_that_of_the_tools() -> None:
    drops = ["tools", "tool_choice", "parallel_tool_calls"]
    with served(model=[MADE_UP]) as line:
        growing = Lying(line, counted(lambda asked, tools: 40 * asked), drops)
        assert probe(growing, "m").tools == "ignored"
        assert [label for _, _, label in growing.sent].count("probe: plain again") == 1
        steady = Lying(line, counted(lambda asked, tools: len(json.dumps(tools)) // 4), drops)
        assert probe(steady, "m").tools == "raw"  # nobody could tell this one


# ---------------------------------------------------------------- answers that are nested deeply

DEEP = b"[" * 100_000 + b"1" + b"]" * 100_000
BELOW = b"[" * 900 + b"1" + b"]" * 900
"""So deep that it can be read, and not written again from a deep stack."""


@pytest.mark.usefixtures("nothing_to_collect")
@pytest.mark.parametrize("value", [DEEP, BELOW, DEEP.replace(b"[", b'{"x":').replace(b"]", b"}")])
@pytest.mark.parametrize(
    ("key", "labels"),
    [
        ("id", None),
        ("z", ("seed", "limit", "n", "json_schema", "stream", "tools", "named", "no tool", "logprobs")),
        ("arguments", ("tools", "named", "one call")),
        ("top_logprobs", ("logprobs", "self-test")),
        ("reasoning", ("logprobs",)),
        ("decoded_token", ("score",)),
        ("tokens", ("score", "self-test")),
    ],
)
def test_answers_that_are_nested_too_deeply_are_answers(
    key: str, labels: tuple[str, ...] | None, value: bytes, neutral: HttpLine
) -> None:
    class Nested(Watched):
        def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
            answer = super().post(path, body, label=label)
            if labels is None or not label.removeprefix("probe: ").startswith(labels):
                return answer
            return answer.replace(b"{", b'{"%s":%s,' % (key.encode(), value), 4)

        def get(self, path: str) -> bytes:
            return super().get(path) and b'{"data": [{"id": "m"}, {"%s": %s}]}' % (key.encode(), value)

    def from_below(frames: int) -> Capabilities:
        return from_below(frames - 1) if frames else probe(Nested(neutral), "m")

    assert from_below(300).model == "m"


# ---------------------------------------------------------------- what the client does about traps


def test_calls_are_found_by_tool_calls_whatever_the_finish_reason(first: Scenario, echo: Suite) -> None:
    tools = tuple(echo.env(first).tools)
    call = ToolCall(id="c", name=tools[0].name, arguments="{}")
    with served(model=lambda *_: Reply(tool_calls=(call,), finish_reason="stop")) as line:
        reply = EndpointModel(line, "m").complete([USER], tools, seed=1)
    assert (reply.tool_calls, reply.finish_reason) == ((call,), "stop")


USER = Message(role="user", content="Look.", author="suite")
LOOK = ToolSpec(name="look", description="Look.", parameters={"type": "object"})


def test_calls_that_are_left_as_text_are_read() -> None:
    with served(profile("llama-cpp-python")) as line:
        reply = EndpointModel(line, "m").complete([USER], [LOOK], seed=1)
    assert [(call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        ("look", {"n": 1}),
        ("look", {"n": 2}),
    ]


def test_calls_of_tools_that_were_not_offered_do_not_break_a_rollout(first: Scenario, echo: Suite) -> None:
    with served(profile("litellm")) as line:
        trace = rollout(first, echo, EndpointModel(line, "m"), arm="base", run=0, seed=1, turns=3)
    results = [message for message in trace.messages if message.role == "tool"]
    assert len(results) == 3
    assert all(message.error for message in results)


def test_history_without_text_is_sent_so_that_no_server_breaks_on_it() -> None:
    asked = Message(
        role="assistant", author="student", tool_calls=(ToolCall(id="c", name="look", arguments="{}"),)
    )
    result = Message(role="tool", content="{}", tool_call_id="c", author="env")
    broken = {"model": "m", "messages": [{"role": "assistant", "content": None}]}
    with served(profile("llama-cpp-python")) as line:
        reply = EndpointModel(line, "m").complete([USER, asked, result], [LOOK], seed=1)
        assert reply.content.startswith("🪿")
        with pytest.raises(EndpointFaultError) as error:
            line.post("/chat/completions", broken)
    assert error.value.kind == "server"


def test_a_broken_call_in_the_history_is_the_model_s_failure_where_the_server_says_so() -> None:
    cut = Message(
        role="assistant", author="student", tool_calls=(ToolCall(id="c", name="look", arguments='{"n":'),)
    )
    with served(profile("llama.cpp")) as line:
        assert EndpointModel(line, "m").complete([USER, cut], [LOOK], seed=1).finish_reason == UNREADABLE


def test_after_a_failure_with_a_closed_connection_the_next_request_succeeds() -> None:
    cut = Message(
        role="assistant", author="student", tool_calls=(ToolCall(id="c", name="look", arguments='{"n":'),)
    )
    with served(profile("transformers")) as line:
        model = EndpointModel(line, "m")
        for _ in range(3):
            with pytest.raises(EndpointFaultError):
                model.complete([USER, cut], [LOOK], seed=1)
            assert model.complete([USER], (), seed=1).content.startswith("🪿")


def test_an_overlong_conversation_is_refused_in_words_that_help() -> None:
    long = Message(role="user", content="long " * 4000, author="suite")
    with served(profile("vllm")) as line, pytest.raises(EndpointFaultError) as error:
        EndpointModel(line, "m").complete([long], (), seed=1)
    assert error.value.kind == "request"
    assert "context" in error.value.fix


# ---------------------------------------------------------------- any mixture

OPTIONAL = [
    *("seed", "temperature", "n", "stop", "tools", "tool_choice", "parallel_tool_calls", "response_format"),
    *("logprobs", "top_logprobs", "stream", "stream_options", "max_completion_tokens", "prompt_logprobs"),
    *("return_token_ids", "add_generation_prompt", "echo"),
]
HINTS = get_type_hints(Quirks)
CHOICES = [name for name, hint in HINTS.items() if get_args(hint) and isinstance(get_args(hint)[0], str)]
some = st.lists(st.sampled_from(OPTIONAL), max_size=3, unique=True).map(tuple)
mixtures = st.builds(
    Quirks,
    **{name: st.sampled_from(get_args(HINTS[name])) for name in CHOICES if name != "name"},
    drops=some,
    fails=some,
    refuses=some,
    limit_fails=st.booleans(),
    most_choices=st.none() | st.just(1),
    closes=st.booleans(),
    validation=st.sampled_from([400, 500]),
)


class Switched:
    """A profile that can be changed while the server runs."""

    def __init__(self) -> None:
        self.now = NEUTRAL

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


@pytest.fixture(scope="module")
def switched() -> Iterator[tuple[Switched, Callable[[], HttpLine]]]:
    quirks = Switched()
    with running(ScriptedModel(script), name="m", quirks=quirks) as url:
        lines: list[HttpLine] = []

        def line() -> HttpLine:
            lines.append(HttpLine(url, "m", api_key="none", retries=0))
            return lines[-1]

        yield quirks, line
        for each in lines:
            each.close()


def test_the_mixtures_cover_every_quirk_that_has_names() -> None:
    assert {"tools", "named", "none", "schema", "echo", "listing", "errors"} <= set(CHOICES)


@settings(max_examples=30, deadline=None)
@given(quirks=mixtures)
def test_any_mixture_of_quirks_is_probed_and_no_wrong_scorer_believed(
    quirks: Quirks, switched: tuple[Switched, Callable[[], HttpLine]]
) -> None:
    switch, connect = switched
    switch.now = quirks
    line = connect()
    seen = probe(line, "m")
    lost = {*quirks.drops, *quirks.fails, *quirks.refuses}
    if seen.scorers["echo"].verdict == "believed":
        assert quirks.echo == "exact"
        assert not lost & {"echo", "logprobs"}
    if seen.scoring == "prompt_logprobs":
        assert not lost & {"prompt_logprobs", "return_token_ids", "logprobs"}
        values, dropped = scorable(score(line, "m", [USER], "The river bends.", "prompt_logprobs"))
        right = LanguageModel().score("The river bends.", given=rendered([USER], prompt=True))
        assert (list(values), dropped) == (pytest.approx([each.logprob for each in right], abs=1e-6), 0)
    assert seen.dialect().limit == "max_tokens"
    assert seen.dialect().tools == ("text" if seen.tools in ("ignored", "refused") else "native")
    assert (seen.tier is Tier.T0) == (not seen.logprobs and seen.scoring is None)
