"""What follows from what a probe found: the tier, the dialect, what cannot run, and the tables."""

from __future__ import annotations

import io
import unicodedata
from typing import get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from opoi.errors import UsageError
from opoi.models.endpoint.capabilities import Capabilities, Scorer
from opoi.report.capabilities import capability_table, tier_table
from opoi.report.terminal import print_table
from opoi.types import Tier

VERDICTS = get_args(get_type_hints(Scorer)["verdict"])
HINTS = get_type_hints(Capabilities)
WORDS = {
    name: st.sampled_from(get_args(hint))
    for name, hint in HINTS.items()
    if get_args(hint) and all(isinstance(arg, str) for arg in get_args(hint))
}
scorers = st.builds(Scorer, verdict=st.sampled_from(VERDICTS), tokens=st.integers(0, 48))
any_found = st.builds(
    Capabilities,
    model=st.text(max_size=12),
    models=st.lists(st.text(max_size=12), max_size=8).map(tuple),
    models_count=st.integers(0, 400),
    context=st.none() | st.integers(1, 10**6),
    tools_named_finish=st.text(max_size=12),
    parallel=st.none() | st.booleans(),
    logprobs=st.booleans(),
    top_logprobs=st.integers(0, 20),
    seed_matters=st.booleans(),
    usage=st.booleans(),
    scorers=st.dictionaries(st.sampled_from(["echo", "prompt_logprobs"]), scorers),
    **WORDS,
)


def scoring(echo: str = "refused", prompt_logprobs: str = "refused", **fields: object) -> Capabilities:
    verdicts = {"echo": Scorer(verdict=echo), "prompt_logprobs": Scorer(verdict=prompt_logprobs)}
    return Capabilities(model="m", scorers=verdicts, **fields)


# ---------------------------------------------------------------- tiers


@pytest.mark.parametrize("verdict", sorted(set(VERDICTS) - {"believed"}))
def test_only_believed_scores_count(verdict: str) -> None:
    assert scoring(verdict, verdict).scoring is None
    assert scoring(verdict, verdict).tier is Tier.T0
    assert scoring(verdict, verdict, logprobs=True).tier is Tier.T1
    assert scoring("believed", verdict).scoring == "echo"
    assert scoring(verdict, "believed").tier is Tier.T2


def test_conversations_are_scored_rather_than_plain_texts_where_both_can_be() -> None:
    assert scoring("believed", "believed").scoring == "prompt_logprobs"


@given(found=any_found, needs=st.dictionaries(st.text(max_size=6), st.sampled_from(list(Tier))))
def test_what_is_lacking_is_what_asks_for_a_higher_tier(found: Capabilities, needs: dict[str, Tier]) -> None:
    lacking = found.lacking(needs)
    order = ["T0", "T1", "T2", "T3"]
    for name, need in needs.items():
        assert (name in lacking) == (order.index(need.value) > order.index(found.tier.value))
    assert {name: needs[name] for name in lacking} == lacking
    assert found.lacking({"weights": Tier.T3}) == {"weights": Tier.T3}


# ---------------------------------------------------------------- dialects


@pytest.mark.parametrize(
    ("tools", "dialect"),
    [
        ("parsed", "native"),
        ("raw", "native"),
        ("rendered", "native"),
        ("ignored", "text"),
        ("refused", "text"),
    ],
)
def test_tools_are_offered_natively_where_they_reach_the_model_and_as_text_elsewhere(
    tools: str, dialect: str
) -> None:
    found = Capabilities(model="m", tools=tools)
    assert found.dialect().tools == dialect
    assert found.dialect(tools="text").tools == "text"
    if tools != "refused":
        assert found.dialect(tools="native").tools == "native"


def test_native_tools_that_the_endpoint_refuses_are_refused_before_the_run() -> None:
    with pytest.raises(UsageError, match="refuses tools") as error:
        Capabilities(model="m", tools="refused").dialect(tools="native")
    assert "text" in error.value.fix


@pytest.mark.parametrize("stream", ["refused", "broken"])
def test_streams_that_are_not_to_be_had_are_refused_before_the_run(stream: str) -> None:
    with pytest.raises(UsageError, match="no usable streams"):
        Capabilities(model="m", stream=stream).dialect(stream=True)
    assert Capabilities(model="m", stream=stream).dialect().stream is False


@given(found=any_found)
def test_a_dialect_sends_nothing_that_was_refused(found: Capabilities) -> None:
    dialect = found.dialect(stream=found.stream == "ok")
    assert dialect.seed is (found.seed != "refused")
    assert dialect.stream is (found.stream == "ok")
    assert dialect.stream_usage is (found.stream_usage != "refused")
    if "refused" in (found.max_tokens, found.max_completion_tokens):
        assert getattr(found, dialect.limit) != "refused" or found.max_tokens == found.max_completion_tokens


@pytest.mark.parametrize(
    ("older", "newer", "limit"),
    [
        ("honoured", "honoured", "max_tokens"),
        ("honoured", "ignored", "max_tokens"),
        ("unknown", "unknown", "max_tokens"),
        ("unknown", "honoured", "max_completion_tokens"),
        ("ignored", "honoured", "max_completion_tokens"),
        ("ignored", "ignored", "max_tokens"),
        ("refused", "honoured", "max_completion_tokens"),
        ("refused", "unknown", "max_completion_tokens"),
    ],
)
def test_the_field_that_bounds_answers_is_one_that_does(older: str, newer: str, limit: str) -> None:
    found = Capabilities(model="m", max_tokens=older, max_completion_tokens=newer)
    assert found.dialect().limit == limit


# ---------------------------------------------------------------- as a value


@given(found=any_found)
def test_what_was_found_travels_as_json_with_every_field(found: Capabilities) -> None:
    body = msgspec.json.encode(found)
    assert msgspec.json.decode(body, type=Capabilities) == found
    assert set(msgspec.json.decode(body)) == set(Capabilities.__struct_fields__)


def test_a_manifest_of_before_a_field_was_added_can_be_read() -> None:
    assert msgspec.json.decode(b'{"model": "m", "tools": "raw"}', type=Capabilities).tools == "raw"


# ---------------------------------------------------------------- tables


def printed(table: object, width: int = 100) -> str:
    out = io.StringIO()
    print_table(table, Console(file=out, width=width, highlight=False))
    return out.getvalue()


@settings(max_examples=25, deadline=None)
@given(found=any_found, width=st.sampled_from([30, 80, 200]))
def test_no_text_of_a_server_reaches_the_terminal_as_a_command(found: Capabilities, width: int) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\u202ered\n[bold]"
    found = msgspec.structs.replace(
        found, model=evil, models=(evil, *found.models), models_count=9, listing="ok", tools_named_finish=evil
    )
    text = printed(capability_table(found), width) + printed(tier_table(found, {evil: Tier.T0}, {}), width)
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert not [char for char in text if unicodedata.category(char) == "Cc" and char != "\n"]
    assert "[bold]" in text.replace("\n", "")


@settings(max_examples=50, deadline=None)
@given(found=any_found)
def test_every_capability_has_a_row_and_every_note_is_used(found: Capabilities) -> None:
    table = capability_table(found)
    labels = [row[0].text for row in table.rows]
    assert len(labels) == len(set(labels))
    assert {"models", "tools", "seed", "log-probabilities", "scores by echo", "errors"} <= set(labels)
    marks = sorted({mark for row in table.rows for mark in row[1].marks})
    assert marks == list(range(1, len(table.footnotes) + 1))
    assert all(row[1].text for row in table.rows)


def test_the_table_says_what_a_finding_means_for_a_run() -> None:
    text = printed(capability_table(scoring("shifted", "absent", tools="raw", logprobs=True, top_logprobs=5)))
    assert "one token off: not used" in text
    assert "calls come as <tool_call> text, which is read here" in text
    assert "with up to 5 alternatives" in text


def test_long_lists_of_models_are_cut_and_counted() -> None:
    names = tuple(f"model-{index}" for index in range(50))
    found = Capabilities(model="m", models=names, models_count=300, listing="ok")
    text = printed(capability_table(found), 200)
    assert "model-4 and 295 more" in text
    assert "model-5" not in text
    long = Capabilities(model="x" * 500, models=("y" * 500,), models_count=1, listing="ok")
    assert max(map(len, printed(capability_table(long), 200).splitlines())) <= 110


@settings(max_examples=50, deadline=None)
@given(found=any_found)
def test_the_table_of_tiers_says_yes_exactly_where_nothing_is_lacking(found: Capabilities) -> None:
    methods = {"opoi": Tier.T0, "guided": Tier.T2}
    measures = {"confidence": Tier.T1, "weights": Tier.T3}
    table = tier_table(found, methods, measures)
    lacking = found.lacking({**methods, **measures})
    said = {row[0].text.split(" ", 1)[1]: (row[1].text, row[2].text) for row in table.rows}
    assert said == {
        name: (need.value, "no" if name in lacking else "yes") for name, need in (methods | measures).items()
    }
    assert table.title.startswith(f"Tier {found.tier}: ")
