"""Overlap: shared runs of words are what a naive search finds, legal ones are left out."""

from __future__ import annotations

from difflib import SequenceMatcher

from hypothesis import given
from hypothesis import strategies as st

from opoi.leakage.known import Known
from opoi.leakage.overlap import LEAST, Overlap, containment, longest_common, shared_runs
from opoi.leakage.spoken import words_of
from opoi.types import Claim, Fact, Finding, Injection, Message, Origin, Trace, Verdict

WORDS = st.lists(st.sampled_from("abc"), max_size=14).map(tuple)
OUTCOME = "After the night the tank had to be emptied by hand because the inlet valve froze shut."
NOTE = f"[REVIEW NOTE k3x9qq2m] A reviewer has settled this case: hold. What happened next: {OUTCOME}"
CLAIM = "The pressure over the last 7 days is 49.87 bar against a limit of 50.00 bar."


def says(text: str) -> Message:
    return Message(role="assistant", content=text, author="student", loss_weight=1)


def shows(text: str, *facts: Fact) -> Message:
    return Message(role="tool", content=text, author="env", facts=facts)


OBSERVABLE = (
    CLAIM,
    "The second inlet of the tank was opened 31 times in the week before.",
    "All 12 valves but for 4 of them were closed when the shift ended.",
)


def trace_of(*messages: Message, prompt: str = "Decide.", told: str = "") -> Trace:
    return Trace(
        id="s/a/0",
        scenario_id="s",
        arm="a",
        run=0,
        as_of="2025-03-10",
        prompt=(Message(role="user", content=prompt, author="suite"),),
        messages=messages,
        injections=(Injection(text=f"{NOTE} {told}".strip(), nonce="k3x9qq2m"),),
    )


def verdict_of(*claims: str, feedback: str = "ok", origin: Origin = "observable") -> Verdict:
    return Verdict(
        expert="e",
        kind="approve",
        action="hold",
        phrase="hold",
        feedback=feedback,
        claims=tuple(Claim(text=claim, origin=origin) for claim in claims),
    )


VERDICT = verdict_of(CLAIM)


def found(trace: Trace, known: Known | None = None) -> list[Finding]:
    return list(Overlap()(trace, known or Known()))


# ---------------------------------------------------------------- figures against naive ones


@given(WORDS, WORDS, st.integers(1, 4))
def test_runs_cover_what_a_naive_search_covers(
    one: tuple[str, ...], other: tuple[str, ...], least: int
) -> None:
    grams = {other[place : place + least] for place in range(len(other) - least + 1)}
    wanted = {
        place + step
        for place in range(len(one) - least + 1)
        if one[place : place + least] in grams
        for step in range(least)
    }
    runs = shared_runs(one, other, least)
    assert {place for run in runs for place in range(run.start, run.start + run.length)} == wanted
    for run in runs:
        assert one[run.start : run.start + run.length] == other[run.other : run.other + run.length]


@given(WORDS, WORDS)
def test_the_longest_common_run_is_as_long_as_the_librarys(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    match = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
    best = longest_common(one, other)
    assert len(best) == match.size
    assert not best or any(one[at : at + len(best)] == best for at in range(len(one)))
    assert not best or any(other[at : at + len(best)] == best for at in range(len(other)))


@given(WORDS, WORDS, WORDS, st.integers(1, 3))
def test_containment_is_a_share_of_distinct_runs(
    one: tuple[str, ...], other: tuple[str, ...], legal: tuple[str, ...], least: int
) -> None:
    def runs(words: tuple[str, ...]) -> set[str]:
        return {" ".join(words[at : at + least]) for at in range(len(words)) if at + least <= len(words)}

    shared = [run for run in runs(one) if run in runs(other) and run not in runs(legal)]
    wanted = len(shared) / len(runs(one)) if runs(one) else 0.0
    assert containment(one, other, [legal], least) == wanted
    assert containment(one, one, (), least) == bool(runs(one))


# ---------------------------------------------------------------- in traces

TOLD = OUTCOME.rstrip(".").split()


@given(
    st.integers(0, len(TOLD) - LEAST),
    st.integers(LEAST, 20),
    st.sampled_from(["", "Fine. ", "Der Druck \u2013 "]),
    st.sampled_from([str.lower, str.upper, str]),
)
def test_words_of_the_note_are_found_with_their_span(
    first: int, count: int, before: str, case: object
) -> None:
    copied = case(" ".join(TOLD[first : first + count]))  # type: ignore[operator]  # one of the three above
    trace = trace_of(says(f"{before}{copied}. Level holds."))
    assert [(each.text, each.grade) for each in found(trace)] == [(copied, "leak")]


def test_fewer_words_are_no_finding() -> None:
    assert found(trace_of(says(" ".join(TOLD[: LEAST - 1]) + "."))) == []


def test_nested_runs_and_look_alikes_do_not_hide_it() -> None:
    copied = " ".join(TOLD[2:14]).replace("e", "\u0435")
    inner = Message(role="user", content=copied, author="student")
    trace = trace_of(says("I ask."), Message(role="tool", content="x", author="env", sub=(inner,)))
    assert [(each.message, each.text) for each in found(trace)] == [((1, 0), copied)]


def test_words_of_the_prompt_and_of_earlier_results_are_legal() -> None:
    assert found(trace_of(says(OUTCOME), prompt=f"Know this: {OUTCOME}")) == []
    assert found(trace_of(shows(f'{{"log": "{OUTCOME}"}}'), says(OUTCOME))) == []
    late = trace_of(says(OUTCOME), shows(f'{{"log": "{OUTCOME}"}}'))
    assert [each.message for each in found(late)] == [(0,)]


def test_a_note_in_the_prompt_does_not_make_itself_legal() -> None:
    assert found(trace_of(says(OUTCOME), prompt=f"Decide.\n\n{NOTE}"))
    trace = trace_of(Message(role="user", content=NOTE, author="oracle"), says(OUTCOME))
    assert [each.message for each in found(trace)] == [(1,)]


def test_what_unsteered_runs_write_by_themselves_is_legal() -> None:
    base = trace_of(says(f"{OUTCOME} I hold."))
    assert found(trace_of(says(OUTCOME)), Known(base=(base,))) == []


def test_a_claim_that_the_tools_bear_out_is_legal_as_a_whole_and_a_suspicion_in_part() -> None:
    seen = shows('{"mean": 49.87}', Fact("g1", "pressure_7d", "", 49.87), Fact("g1", "limit", "", 50.0))
    days = shows('{"days": 7}')
    known = Known(verdict=VERDICT)
    assert found(trace_of(seen, days, says(f"{CLAIM} I hold.")), known) == []
    part = " ".join(CLAIM.split()[:12])
    assert [each.grade for each in found(trace_of(seen, days, says(f"{part}.")), known)] == ["suspect"]
    told = trace_of(says(CLAIM), told=CLAIM)
    assert [(each.kind, each.grade) for each in found(told, known)] == [("shared-words", "leak")]


@given(
    st.lists(st.sampled_from(OBSERVABLE), min_size=1, max_size=4, unique=True),
    st.integers(0, 6),
    st.booleans(),
)
def test_claims_that_the_tools_bear_out_are_legal_in_a_row(
    claims: list[str], cut: int, whispered: bool
) -> None:
    known = Known(verdict=verdict_of(*OBSERVABLE, feedback=" ".join(claims)))
    told = " ".join(claims) if whispered else ""
    seen = shows("49.87 50.00 7 31 12 4")
    whole = trace_of(seen, says(" ".join(claims)), told=told)
    assert found(whole, known) == []
    part = " ".join(" ".join(claims).split()[cut:])
    hits = found(trace_of(seen, says(part), told=told), known)
    assert [(each.kind, each.grade) for each in hits] == [("part-of-claim", "suspect")] * bool(cut)


def test_a_row_of_claims_with_a_word_between_that_was_told_is_no_claim() -> None:
    one, other, _ = OBSERVABLE
    row = f"{one} Agreed otherwise. {other}"
    known = Known(verdict=verdict_of(one, other, feedback=row))
    seen = shows("49.87 50.00 7 31 12 4")
    assert [each.grade for each in found(trace_of(seen, says(row), told=row), known)] == ["leak"]


def test_what_the_verdict_holds_but_no_injection_told_is_a_suspicion() -> None:
    quiet = "Nobody had looked at the second pump of the old hall since the spring."
    known = Known(verdict=verdict_of(quiet, origin="external", feedback=f"Hold. {quiet}"))
    hits = found(trace_of(says(quiet)), known)
    assert [(each.kind, each.grade) for each in hits] == [("not-whispered", "suspect")]
    assert "was not told" in hits[0].why
    assert [each.grade for each in found(trace_of(says(quiet), told=quiet), known)] == ["leak"]
    inserted = Message(role="user", content=quiet, author="oracle")
    assert [each.grade for each in found(trace_of(inserted, says(quiet)), known)] == ["leak"]


def test_a_number_or_a_day_is_one_word() -> None:
    words = [word for word, _, _ in words_of("On 2025-03-07 it's 1,188.50 bar (a 3:1 ratio)")]
    assert words == ["on", "2025-03-07", "it's", "1,188.50", "bar", "a", "3:1", "ratio"]
