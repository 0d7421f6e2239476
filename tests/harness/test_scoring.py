"""Scores of given texts: what they say, where they stand, and when they are believed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opoi.errors import UsageError
from opoi.models.endpoint.faults import EndpointFaultError, Where
from opoi.models.endpoint.line import HttpLine
from opoi.models.endpoint.scoring import Entry, own_logprobs, scorable, score, thoughts_of
from opoi.models.endpoint.selftest import LARGEST, check_own, compare, judge, own_check, self_test
from opoi.models.scripted import ScriptedModel
from opoi.models.served.language import LanguageModel
from opoi.models.served.quirks import Quirks, profile
from opoi.models.served.server import running
from opoi.models.served.template import rendered
from opoi.types import Message, TokenLogprob, ToolSpec

WORDS = ["river", "stone", "naïve", "🪿", "old", "moon", "the"]
TEXT = "the river and the stone under the moon and the river"


def user(text: str) -> Message:
    return Message(role="user", content=text, author="suite")


@pytest.fixture(scope="module")
def line() -> Iterator[HttpLine]:
    with running(ScriptedModel(lambda *_: TEXT), name="m") as url:
        line = HttpLine(url, "m", api_key="none", retries=0)
        yield line
        line.close()


class Canned:
    """A line that gives the answers it was given, in turn by path."""

    where = Where("http://127.0.0.1:1/v1", "m", secret="none")

    def __init__(self, answers: Sequence[object]) -> None:
        self._answers = list(answers)
        self.sent: list[dict[str, Any]] = []

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        self.sent.append(body)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def get(self, path: str) -> bytes:
        raise AssertionError("nothing is listed")

    def close(self) -> None:
        pass


# ---------------------------------------------------------------- what scores say

prose = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


@settings(max_examples=25, deadline=None)
@given(prompt=prose, completion=prose.map(" ".__add__))
def test_echo_gives_what_the_language_model_behind_the_server_gives(
    prompt: str, completion: str, line: HttpLine
) -> None:
    found = score(line, "m", prompt, completion, "echo")
    values, lost = scorable(found)
    assert lost == 0
    expected = [each.logprob for each in LanguageModel().score(completion, given=prompt)]
    assert list(values) == pytest.approx(expected, abs=1e-6)
    assert all(value <= 0 for value in values)


@settings(max_examples=25, deadline=None)
@given(question=prose, completion=prose)
def test_prompt_logprobs_gives_what_the_language_model_behind_the_server_gives(
    question: str, completion: str, line: HttpLine
) -> None:
    found = score(line, "m", [user(question)], completion, "prompt_logprobs")
    values, lost = scorable(found)
    expected = [
        each.logprob
        for each in LanguageModel().score(completion, given=rendered([user(question)], prompt=True))
    ]
    assert lost == 0
    assert list(values) == pytest.approx(expected, abs=1e-6)


def test_offered_tools_are_part_of_the_prompt(line: HttpLine) -> None:
    tool = ToolSpec(name="river", description="A river and a stone.", parameters={"type": "object"})
    plain = score(line, "m", [user("Which?")], "The river.", "prompt_logprobs")
    offered = score(line, "m", [user("Which?")], "The river.", "prompt_logprobs", tools=[tool])
    expected = LanguageModel().score("The river.", given=rendered([user("Which?")], [tool], prompt=True))
    assert [token.logprob for token in offered] == pytest.approx(
        [each.logprob for each in expected], abs=1e-6
    )
    assert plain != offered


def test_own_logprobs_are_those_of_the_answer_and_none_where_there_are_none(line: HttpLine) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Go."}], "logprobs": True}
    own = own_logprobs(line.post("/chat/completions", body))
    assert "".join(token.token for token in own) == TEXT
    assert own == score(line, "m", [user("Go.")], TEXT, "prompt_logprobs")
    assert own_logprobs(line.post("/chat/completions", {**body, "logprobs": False})) == ()
    assert own_logprobs(b"no json") == ()
    assert own_logprobs(b'{"choices": []}') == ()


@pytest.mark.parametrize(
    ("prompt", "completion", "way"),
    [("text", "more", "prompt_logprobs"), ([user("?")], "more", "echo"), ("text", "", "echo")],
)
def test_a_prompt_of_the_other_way_or_nothing_to_score_is_refused_before_anyone_is_asked(
    prompt: Any, completion: str, way: Any
) -> None:
    line = Canned([])
    with pytest.raises(UsageError):
        score(line, "m", prompt, completion, way)
    assert not line.sent


@pytest.mark.parametrize("name", ["llama.cpp", "llama-cpp-python", "transformers"])
def test_an_endpoint_without_prompt_logprobs_raises_instead_of_making_up_figures(name: str) -> None:
    with running(ScriptedModel(lambda *_: TEXT), name="m", quirks=profile(name)) as url:
        line = HttpLine(url, "m", api_key="none", retries=0)
        with pytest.raises(EndpointFaultError):
            score(line, "m", [user("?")], "text", "prompt_logprobs")
        line.close()


# ---------------------------------------------------------------- lining up


def echoed(tokens: Sequence[str], text: str | None = None) -> dict[str, object]:
    values = [None, *(-0.5 * index for index in range(1, len(tokens)))]
    logprobs = {"tokens": list(tokens), "token_logprobs": values}
    return {"choices": [{"text": "".join(tokens) if text is None else text, "logprobs": logprobs}]}


def test_a_token_across_the_border_of_the_prompt_cannot_be_scored() -> None:
    found = score(Canned([echoed(["ab", "cd", "ef"])]), "m", "abc", "def", "echo")
    assert found == (TokenLogprob(token="d", logprob=None), TokenLogprob(token="ef", logprob=-1.0))
    assert scorable(found) == ((-1.0,), 1)


def test_what_is_generated_behind_the_text_is_no_part_of_it() -> None:
    refused = EndpointFaultError("max_tokens must be at least 1", kind="request")
    line = Canned([refused, echoed(["ab", "cd", "ef"])])
    assert score(line, "m", "ab", "cd", "echo") == (TokenLogprob(token="cd", logprob=-0.5),)
    assert [body["max_tokens"] for body in line.sent] == [0, 1]


@pytest.mark.parametrize("part", ["\ufffd", "", "bytes:\\xf0", "<0xF0>"])
def test_tokens_that_are_parts_of_characters_count_where_the_text_around_them_is_certain(part: str) -> None:
    tokens = ["ab", part, part, part, part, " c", "d"]
    found = score(Canned([echoed(tokens, "ab🪿 cd")]), "m", "ab", "🪿 cd", "echo")
    assert [token.logprob for token in found] == [-0.5, -1.0, -1.5, -2.0, -2.5, -3.0]
    inside = score(Canned([echoed(tokens, "ab🪿 cd")]), "m", "ab🪿", " cd", "echo")
    assert [token.logprob for token in inside] == [-2.5, -3.0]


def test_tokens_that_do_not_add_up_to_the_text_are_dropped_from_where_they_part() -> None:
    found = score(Canned([echoed(["ab", "cd", "xx", "gh"], "abcdefgh")]), "m", "ab", "cdefgh", "echo")
    assert found == (TokenLogprob(token="cd", logprob=-0.5), TokenLogprob(token="efgh", logprob=None))


pieces = st.lists(st.text("abc é🪿", min_size=1, max_size=4), min_size=2, max_size=8)


@given(pieces=pieces, data=st.data())
def test_what_is_scored_and_what_is_not_are_together_the_completion(
    pieces: list[str], data: st.DataObject
) -> None:
    text = "".join(pieces)
    border = data.draw(st.integers(0, len(text) - 1))
    found = score(Canned([echoed(pieces)]), "m", text[:border], text[border:], "echo")
    assert "".join(token.token for token in found) == text[border:]
    lost = [token for token in found if token.logprob is None]
    starts = {sum(map(len, pieces[:index])) for index in range(len(pieces))}
    assert len(lost) == (border not in starts) + (border == 0)  # the first token of all has no figure


chat = {"prompt_token_ids": [1, 2, 7, 8, 9], "prompt_logprobs": None}


def placed(*tokens: tuple[int, str]) -> dict[str, object]:
    """An answer with `prompt_logprobs`; each place also lists a likelier token."""
    listed = [
        {
            "0": {"logprob": -0.01, "decoded_token": "?"},
            str(number): {"logprob": -number, "decoded_token": text},
        }
        for number, text in tokens
    ]
    ids = [number for number, _ in tokens]
    return {"prompt_token_ids": ids, "prompt_logprobs": [None, *listed[1:]]}


def test_the_figure_is_that_of_the_token_that_stands_there_and_the_end_of_the_turn_is_left_out() -> None:
    whole = placed((1, "<u>"), (2, "?"), (7, "so"), (8, " it"), (9, "</u>"))
    found = score(Canned([whole, {"prompt_token_ids": [1, 2]}]), "m", [user("?")], "so it", "prompt_logprobs")
    assert found == (TokenLogprob(token="so", logprob=-7.0), TokenLogprob(token=" it", logprob=-8.0))


def test_a_prompt_that_does_not_begin_the_scored_conversation_leaves_nothing_to_score() -> None:
    whole = placed((1, "<u>"), (2, "?"), (7, "so"))
    found = score(Canned([whole, {"prompt_token_ids": [1, 3]}]), "m", [user("?")], "so", "prompt_logprobs")
    assert found == (TokenLogprob(token="so", logprob=None),)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"not json",
        b'{"prompt_token_ids": [1, 2], "prompt_logprobs": [null]}',
        b'{"prompt_token_ids": [1], "prompt_logprobs": "none"}',
        b'{"choices": []}',
        b'{"choices": [{"text": "abcd"}]}',
        b'{"choices": [{"text": "xy", "logprobs": {"tokens": ["xy"], "token_logprobs": [null]}}]}',
        b'{"choices": [{"text": "abcd", "logprobs": {"tokens": ["ab", "cd"], "token_logprobs": [null]}}]}',
        b"\xff",
    ],
)
def test_an_answer_without_scores_is_an_error_whatever_it_holds(body: bytes) -> None:
    for prompt, way in (("ab", "echo"), ([user("ab")], "prompt_logprobs")):
        with pytest.raises(EndpointFaultError) as error:
            score(Canned([body, body]), "m", prompt, "cd", way)
        assert error.value.kind == "garbage"


# ---------------------------------------------------------------- believing

nats = st.floats(-12, 0)


def distinct(values: Sequence[float]) -> bool:
    """Whether a move by one token would show."""
    return any(abs(one - other) > 2 * LARGEST for one, other in pairwise(values))


@given(values=st.lists(nats, min_size=4, max_size=16), noise=st.data())
def test_figures_that_agree_are_believed_if_a_move_by_one_token_would_show(
    values: list[float], noise: st.DataObject
) -> None:
    noisy = [value + noise.draw(st.floats(-0.019, 0.019)) for value in values]
    verdict = judge([list(zip(values, noisy, strict=True))])
    assert verdict == "believed" if distinct(values) else verdict in ("believed", "unclear")


@given(values=st.lists(nats, min_size=5, max_size=16), late=st.booleans())
def test_figures_that_are_one_token_off_are_named_so(values: list[float], late: bool) -> None:
    assume(distinct(values[:-1]) and distinct(values[1:]))
    moved = [-99.0, *values[:-1]] if late else [*values[1:], -99.0]
    assert judge([list(zip(values, moved, strict=True))]) == "shifted"


@given(values=st.lists(nats, min_size=4, max_size=16), wrong=st.data())
def test_figures_that_differ_are_never_believed(values: list[float], wrong: st.DataObject) -> None:
    other = [value + wrong.draw(st.floats(-3, 3)) for value in values]
    assume(max(abs(one - two) for one, two in zip(values, other, strict=True)) > LARGEST)
    assert judge([list(zip(values, other, strict=True))]) != "believed"


@given(values=st.lists(nats, min_size=10, max_size=16), data=st.data())
def test_one_figure_that_is_off_is_enough_and_so_is_a_little_everywhere(
    values: list[float], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    one = [value - 0.15 * (index == at) for index, value in enumerate(values)]  # 0.015 on average
    assert judge([list(zip(values, one, strict=True))]) != "believed"
    assert judge([[(value, value - 0.05) for value in values]]) != "believed"


@given(values=st.lists(nats, max_size=3), more=st.lists(nats, max_size=8))
def test_few_tokens_or_like_ones_prove_nothing(values: list[float], more: list[float]) -> None:
    assert judge([[(value, value) for value in values]]) == "unclear"
    assert judge([[(-0.5, -0.5)] * len(more)]) == "unclear"


def tokens(*texts: str) -> list[TokenLogprob]:
    return [TokenLogprob(token=text, logprob=-1.0) for text in texts]


def test_tokens_behind_the_first_difference_are_not_compared_but_counted() -> None:
    own = tokens("a", "b", "c", "d")
    assert compare(own, tokens("a", "b", "cd", "d"), "abcd") == ([(-1.0, -1.0)] * 2, 2)
    assert compare(own, [TokenLogprob(token="abcd", logprob=None)], "abcd") == ([], 4)
    assert compare(own, tokens("a", "b", "c", "d"), "abcd") == ([(-1.0, -1.0)] * 4, 0)


def test_parts_of_characters_are_compared_where_they_are_as_many() -> None:
    own = tokens("a", "\\xf0", "\\x9f", "b")
    assert compare(own, tokens("a", "\ufffd", "\ufffd", "b"), "aéb") == ([(-1.0, -1.0)] * 4, 0)
    assert compare(own, tokens("a", "\ufffd", "\ufffd", "\ufffd", "b"), "aéb") == ([(-1.0, -1.0)], 3)


def test_bytes_that_are_no_characters_are_other_tokens_when_they_are_scored() -> None:
    own = tokens("a", "", "b")  # one server wrote a lone byte so, and three for its replacement
    assert compare(own, tokens("a", "", "b"), "a\ufffdb") == ([(-1.0, -1.0)], 2)


class Wrong(Quirks, frozen=True, kw_only=True):
    """A server whose scores are wrong in a way of its own, while its generation is right."""

    how: str = "right"

    def answer(self, path: str, body: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        result = json.loads(json.dumps(result))
        if body.get("echo"):
            scores = result["choices"][0]["logprobs"]
            scores["token_logprobs"] = spoil(scores["token_logprobs"], self.how)
        if result.get("prompt_logprobs"):
            places = result["prompt_logprobs"]
            ids = [str(number) for number in result["prompt_token_ids"]]
            values = [place and place[key]["logprob"] for place, key in zip(places, ids, strict=True)]
            for place, key, value in zip(places, ids, spoil(values, self.how), strict=True):
                if place:
                    place[key]["logprob"] = -0.1 if value is None else value
        return result


def spoil(values: list[float | None], how: str) -> list[float | None]:
    given = values[1:]
    match how:
        case "late":
            return [None, None, *given[:-1]]
        case "early":
            return [*given, -0.1]
        case "tempered":
            return [None, *(value / 0.7 for value in given)]
        case "reversed":
            return [None, *reversed(given)]
        case "constant":
            return [None, *([-0.1] * len(given))]
        case "zero":
            return [None, *([0.0] * len(given))]
        case "base 2":
            return [None, *(value / 0.6931 for value in given)]
    return values


@pytest.mark.parametrize("way", ["echo", "prompt_logprobs"])
@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        ("right", "believed"),
        ("late", "shifted"),
        ("early", "shifted"),
        ("tempered", "wrong"),
        ("reversed", "wrong"),
        ("constant", "wrong"),
        ("zero", "wrong"),
        ("base 2", "wrong"),
    ],
)
def test_a_scorer_that_is_wrong_in_any_of_these_ways_is_seen_through(
    how: str, verdict: str, way: Any
) -> None:
    with running(ScriptedModel(lambda *_: TEXT), name="m", quirks=Wrong(how=how)) as url:
        line = HttpLine(url, "m", api_key="none", retries=0)
        found = self_test(line, "m", way, {"temperature": 0.7, "seed": 1})
        line.close()
    assert found.verdict == verdict
    assert found.tokens >= 4
    assert found.dropped == 0


@pytest.mark.parametrize("way", ["echo", "prompt_logprobs"])
def test_a_scorer_that_agrees_and_does_not_look_at_the_prompt_is_blind(way: Any, line: HttpLine) -> None:
    class Table(Canned):
        def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
            self.sent.append(body)
            answer = json.loads(line.post(path, body, label=label))
            for choice in answer["choices"]:
                told = choice.get("logprobs") or {}
                for entry in told.get("content") or ():
                    entry["logprob"] = -len(entry["token"]) / 3
                if "tokens" in told:
                    told["token_logprobs"] = [-len(token) / 3 for token in told["tokens"]]
            for place in answer.get("prompt_logprobs") or ():
                for entry in (place or {}).values():
                    entry["logprob"] = -len(entry["decoded_token"]) / 3
            return json.dumps(answer).encode()

    table = Table([])
    found = self_test(table, "m", way, {"seed": 1})
    assert (found.verdict, found.tokens >= 4) == ("blind", True)
    assert len(table.sent) == {"echo": 3, "prompt_logprobs": 5}[way]  # nothing is generated a second time


# ---------------------------------------------------------------- figures of generated text

free = st.text("ab é🪿\n.", min_size=1, max_size=12)


@st.composite
def cut(draw: st.DrawFn, form: str) -> tuple[str, list[Entry]]:
    """A text, and its bytes cut anywhere, with the bytes of tokens or without."""
    text = draw(free)
    raw = text.encode()
    inner = draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=6))
    places = sorted({0, len(raw), *(place for place in inner if place < len(raw))})
    entries = []
    for start, end in pairwise(places):
        token, value = raw[start:end], -0.25 * (1 + len(entries))
        shown = token.decode(errors="replace")
        entries.append(Entry(token=shown, logprob=value, bytes=list(token) if form == "right" else None))
    return text, entries


whole = st.one_of(cut("right"), cut("null"))


@given(made=whole, data=st.data())
def test_tokens_of_a_text_add_up_to_it_wherever_it_is_cut(
    made: tuple[str, list[Entry]], data: st.DataObject
) -> None:
    text, entries = made
    assert check_own(entries, ["", text]) == "believed"
    assert check_own(entries, [text.strip()]) == "believed"  # some servers strip what they send
    marks = [Entry(token=mark, logprob=-9.0) for mark in ("<|im_end|>", "</s>", "", "[END]")]
    end = data.draw(st.sampled_from(marks))
    assert check_own([*entries, end], [text]) == "believed"
    at = data.draw(st.integers(0, len(text)))
    assert check_own(entries, [text[:at] + "z" + text[at:]]) == "apart"
    assert check_own([*entries[:at], Entry(token="z", logprob=-1.0), *entries[at:]], [text]) == "apart"


@given(made=whole, data=st.data())
def test_figures_above_zero_or_all_alike_are_no_log_probabilities(
    made: tuple[str, list[Entry]], data: st.DataObject
) -> None:
    text, entries = made
    at = data.draw(st.integers(0, len(entries) - 1))
    above = [msgspec.structs.replace(each) for each in entries]
    above[at].logprob = data.draw(st.floats(0.001, 50))
    assert check_own(above, [text]) == "positive"
    above[at].logprob = 1e-6  # rounding
    assert check_own(above, [text]) == "believed"
    value = data.draw(st.floats(-20, 0))
    alike = [msgspec.structs.replace(each, logprob=value) for each in entries]
    assert check_own(alike, [text]) == ("alike" if len(entries) > 2 else "believed")


@pytest.mark.parametrize(
    "tokens_and_bytes",
    [
        [("A ", [65, 32]), ("", []), ("", []), ("🪿", [240, 159, 170, 191])],  # told with the last part
        [("A ", None), ("\\xf0", []), ("\\x9f", []), ("\\xaa", []), ("\\xbf", [])],
        [("A ", None), ("<0xF0>", None), ("<0x9F>", None), ("<0xAA>", None), ("<0xBF>", None)],
        [("A", None), ("bytes: \\xf0\\x9f", None), ("bytes:\\xaa\\xbf", None)],
        [("ĠA", [65]), ("Ġ", [32]), ("x", [240, 159]), ("y", [170, 191])],
    ],
)
def test_parts_of_characters_are_allowed_as_servers_write_them(
    tokens_and_bytes: list[tuple[str, list[int] | None]],
) -> None:
    entries = [
        Entry(token=token, logprob=-float(at), bytes=raw) for at, (token, raw) in enumerate(tokens_and_bytes)
    ]
    assert check_own(entries, ["A🪿" if entries[0].token == "A" else "A 🪿"]) == "believed"
    assert check_own(entries, ["A then"]) == "apart"  # parts stand for nothing that is ASCII


def test_bytes_count_where_there_are_some_and_have_to_be_bytes() -> None:
    wrong = [Entry(token="a", logprob=-1.0, bytes=[98]), Entry(token="b", logprob=-2.0, bytes=[98])]
    assert check_own(wrong, ["ab"]) == "apart"
    for byte in (256, -1, 10**30):
        assert check_own([Entry(token="a", logprob=-1.0, bytes=[byte])], ["a"]) == "apart"


def test_thoughts_that_are_told_beside_the_content_stand_before_it() -> None:
    tokens = ["<think>", "\n", "Hm", ".", "\n", "</think>", "\n\n", "So", " it", "<|im_end|>"]
    entries = [{"token": token, "logprob": -float(at)} for at, token in enumerate(tokens)]
    message = {"role": "assistant", "content": "So it", "reasoning_content": "Hm."}
    choice = {"message": message, "logprobs": {"content": entries}}
    assert own_check(json.dumps({"choices": [choice]}).encode(), "So it") == "believed"
    assert thoughts_of(json.dumps({"choices": [choice]}).encode()) == "Hm."
    message["reasoning_content"] = ["no text"]
    assert own_check(json.dumps({"choices": [choice]}).encode(), "So it") == "apart"
    assert thoughts_of(b"[" * 100_000) == ""
    assert own_check(b"[" * 100_000, "") == "none"


def test_only_the_beginning_of_an_endless_answer_is_followed() -> None:
    entries = [Entry(token=f"{at} ", logprob=-float(at)) for at in range(3000)]
    text = "".join(entry.token for entry in entries)
    assert check_own(entries, [text]) == "believed"
    assert check_own(entries, ["x" + text]) == "apart"
    parts = [Entry(token="", logprob=-float(at)) for at in range(100_000)]
    assert check_own(parts, ["é" * 100_000]) == "believed"  # at no great cost


def test_three_texts_are_tried_before_the_test_is_called_unclear(line: HttpLine) -> None:
    class Counting(Canned):
        def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
            self.sent.append(body)
            return line.post(path, {**body, "max_tokens": min(body["max_tokens"], 2)}, label=label)

    counting = Counting([])
    found = self_test(counting, "m", "echo", {"seed": 1})
    assert found.verdict == "believed"
    assert [body["seed"] for body in counting.sent if "seed" in body] == [1, 2]

    class Single(Canned):
        def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
            self.sent.append(body)
            return line.post(path, {**body, "max_tokens": min(body["max_tokens"], 1)}, label=label)

    single = Single([])
    assert self_test(single, "m", "echo", {"seed": 1}).verdict == "unclear"
    assert [body["seed"] for body in single.sent if "seed" in body] == [1, 2, 3]


def test_token_logprobs_travel_as_json() -> None:
    token = TokenLogprob(token=" the", logprob=-1.25)
    assert msgspec.json.decode(msgspec.json.encode(token), type=TokenLogprob) == token
