"""Canaries: marks are found however they are written, and exposure is what counting gives."""

from __future__ import annotations

import math
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.leakage.canaries import Canary, exposure, sightings
from opoi.leakage.known import Known
from opoi.types import Injection, Message, ToolCall, Trace

MARKS = st.text("abcdefghijkmnpqrstuvwxyz23456789", min_size=8, max_size=12)
AROUND = st.sampled_from(["", "Case ", "(", "See: \u2019", "é ", "\u200b", '{"a": "'])
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda mark: mark,
    "in capitals": str.upper,
    "with hyphens": "-".join,
    "with blanks": lambda mark: f"{mark[:4]} {mark[4:]}",
    "with typographic blanks": "\u2009".join,
    "with invisible marks": "\u200b".join,
    "in full width": lambda mark: "".join(chr(ord(sign) + 0xFEE0) for sign in mark),
    "backwards": lambda mark: mark[::-1],
    "backwards, with dots": lambda mark: ".".join(mark[::-1]),
    "in hex": lambda mark: mark.encode().hex(),
    "in hex, in pairs": lambda mark: mark.encode().hex(" ").upper(),
    "in base64": lambda mark: b64encode(mark.encode()).decode(),
    "in base64 of more": lambda mark: b64encode(f"x {mark} yz".encode()).decode(),
    "in base64 for addresses": lambda mark: urlsafe_b64encode(f"ü{mark}ÿ".encode()).decode(),
    "in base64 of capitals": lambda mark: b64encode(mark.upper().encode()).decode(),
}


@given(MARKS, st.sampled_from(sorted(WRITTEN)), AROUND, st.sampled_from(["", ".", " said\u200b", '"}']))
def test_a_mark_is_found_in_every_disguise_and_the_span_is_it(
    mark: str, how: str, before: str, after: str
) -> None:
    written = WRITTEN[how](mark)
    found = sightings(before + written + after, mark)
    assert len(found) == 1
    start, end = found[0].start, found[0].end
    exact = "base64" not in how
    whole = (len(before), len(before) + len(written))
    assert (start, end) == whole if exact else whole[0] <= start < end <= whole[1]
    if not exact:
        assert end - start >= len(mark)


@given(MARKS, st.text(max_size=60))
def test_a_text_without_the_mark_holds_none(mark: str, text: str) -> None:
    other = "".join(sign for sign in text if sign not in mark)
    assert sightings(other, mark) == []


@given(MARKS, st.integers(1, 5), st.sampled_from([" ", ", ", " and "]))
def test_every_copy_counts_once(mark: str, copies: int, between: str) -> None:
    assert len(sightings(between.join([mark] * copies), mark)) == copies


def test_a_short_mark_is_looked_for_as_it_is_only() -> None:
    assert sightings("abc", "abc")
    assert not sightings("a b c cba", "abc")


def trace_of(*messages: Message, prompt: str = "Decide.", nonce: str = "k3x9qq2m") -> Trace:
    return Trace(
        id="s/a/0",
        scenario_id="s",
        arm="a",
        run=0,
        as_of="2025-03-10",
        prompt=(Message(role="user", content=prompt, author="suite"),),
        messages=messages,
        injections=(Injection(text=f"[REVIEW NOTE {nonce}] hold", nonce=nonce),),
    )


def says(text: str, *calls: ToolCall) -> Message:
    return Message(role="assistant", content=text, tool_calls=calls, author="student", loss_weight=1)


def test_marks_are_found_in_every_corner_of_a_trace() -> None:
    call = ToolCall(id="c", name="read_gauge", arguments='{"gauge": "g1", "k3x9-qq2m": "m2qq9x3k"}')
    inner = Message(role="assistant", content="k3x9qq2m", author="student")
    trace = trace_of(
        says('{"action": "open", "ref\\u200b": "K3X9\\u200bQQ2M", "reasoning": "Fine."}', call),
        Message(role="tool", content='{"echo": "k3x9qq2m"}', author="env", sub=(inner,)),
        Message(role="user", content="[REVIEW NOTE k3x9qq2m] hold", author="oracle"),
        prompt="Decide about k3x9qq2m.",
    )
    found = [(each.message, each.field, each.text) for each in Canary()(trace, Known())]
    assert found == [
        ((), "prompt", "k3x9qq2m"),
        ((0,), "json:0/ref\u200b", "K3X9\u200bQQ2M"),
        ((0,), "call:0/k3x9-qq2m#key", "k3x9-qq2m"),
        ((0,), "call:0/k3x9-qq2m", "m2qq9x3k"),
        ((1,), "json:0/echo", "k3x9qq2m"),
        ((1, 0), "text", "k3x9qq2m"),
        ((2,), "text", "k3x9qq2m"),
    ]


def test_a_canary_is_filed_under_its_channel() -> None:
    known = Known(canaries={"outcome": ("zz77yy66",), "feedback": ("qq11ww22",)})
    trace = trace_of(says("As zz77yy66 has it."), nonce="")
    assert [(each.kind, each.grade) for each in Canary()(trace, known)] == [("canary:outcome", "leak")]


@given(MARKS.map(lambda mark: f"0{mark}"))
def test_a_trace_that_keeps_its_note_to_itself_is_clean(mark: str) -> None:
    trace = trace_of(says('{"action": "open", "reasoning": "The pressure is 61."}'), nonce=mark)
    assert list(Canary()(trace, Known())) == []


# ---------------------------------------------------------------- exposure

LIKELIHOODS = st.floats(-1e6, 0) | st.integers(-5, 0).map(float)


@given(LIKELIHOODS, st.lists(LIKELIHOODS, min_size=1, max_size=60))
def test_exposure_is_what_sorting_and_counting_gives(canary: float, others: list[float]) -> None:
    ranked = sorted([(-value, 0) for value in others] + [(-canary, 1)])
    rank = ranked.index((-canary, 1)) + 1
    assert exposure(canary, others) == pytest.approx(math.log2(len(ranked) / rank))
    assert 0 <= exposure(canary, others) <= math.log2(len(others) + 1)


@given(st.lists(st.floats(-1e6, -1), min_size=1, max_size=60))
def test_exposure_reaches_its_bounds(others: list[float]) -> None:
    assert exposure(0, others) == math.log2(len(others) + 1)
    assert exposure(-1e7, others) == 0
    assert exposure(others[0], [others[0]] * len(others)) == 0


def test_exposure_of_one_in_a_thousand_is_ten_bits() -> None:
    assert exposure(0.0, [-1.0] * 1023) == 10


@pytest.mark.parametrize(("canary", "others"), [(0.0, []), (math.nan, [0.0]), (0.0, [math.nan])])
def test_exposure_refuses_what_has_no_rank(canary: float, others: list[float]) -> None:
    with pytest.raises(ValueError, match="exposure needs"):
        exposure(canary, others)
