"""Confidence: figures of log-probabilities against other ways to the same numbers, and on planted effects."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from opoi.measures.logprobs.confidence import (
    Pair,
    avg_logprob,
    llr_per_token,
    mean_p,
    mean_phi,
    parts,
    perplexity,
    share_of_gap_closed,
    sum_llr,
    sum_logprob,
    sum_p,
    sum_phi,
)
from opoi.measures.logprobs.scorers import FIGURES, NEEDS_T2, Confidence, confidence_of
from opoi.measures.logprobs.tallies import forced_tallies, matched_tallies, own_tallies
from opoi.report.scorers import scorers_table
from opoi.types import (
    Arm,
    Cleaned,
    Decision,
    Group,
    Message,
    Scenario,
    Scored,
    ScoredText,
    TokenLogprob,
    Trace,
    Truth,
    Verdict,
)

PROSE = ("reasoning",)
nats = st.floats(-12, 0).map(lambda value: round(value, 6))
some = st.lists(nats, min_size=1, max_size=30)
close = pytest.approx

# ---------------------------------------------------------------- the worked example


R = (0.5, 0.3, 0.2)
SHARP = (0.98, 0.01, 0.01)


def said(by: Sequence[float], under: Sequence[float], times: int = 1000) -> list[float]:
    """Log-probabilities under one model of a text that holds words exactly as often as another says them."""
    return [math.log(p) for share, p in zip(by, under, strict=True) for _ in range(round(share * times))]


def test_own_and_forced_rank_two_models_in_opposite_order() -> None:
    own_r, own_sharp = avg_logprob(said(R, R)), avg_logprob(said(SHARP, SHARP))
    forced_r, forced_sharp = avg_logprob(said(R, R)), avg_logprob(said(R, SHARP))
    assert [own_r, own_sharp, forced_r, forced_sharp] == close([-1.030, -0.112, -1.030, -2.313], abs=5e-4)
    assert own_sharp is not None
    assert own_r is not None
    assert forced_sharp is not None
    assert own_sharp > own_r > forced_sharp


def test_the_worked_example_is_entropy_and_cross_entropy() -> None:
    for by, under in ((R, R), (SHARP, SHARP), (R, SHARP)):
        expected = -scipy.stats.entropy(by) - scipy.stats.entropy(by, under)
        assert avg_logprob(said(by, under)) == close(expected, rel=1e-12)


# ---------------------------------------------------------------- of tokens


@given(tokens=some)
def test_averages_agree_with_other_ways_to_them(tokens: list[float]) -> None:
    probabilities = [math.exp(value) for value in tokens]
    assert avg_logprob(tokens) == close(statistics.fmean(tokens))
    assert perplexity(tokens) == close(1 / statistics.geometric_mean(probabilities))
    assert mean_p(tokens) == close(statistics.fmean(probabilities))
    assert mean_phi(tokens) == close(statistics.fmean(p * (1 - p) for p in probabilities), abs=1e-12)


@given(tokens=some)
def test_figures_keep_to_their_ranges(tokens: list[float]) -> None:
    mean, chance, phi, surprise = (f(tokens) for f in (avg_logprob, mean_p, mean_phi, perplexity))
    assert mean is not None and chance is not None and phi is not None and surprise is not None  # noqa: PT018 - one claim for a type checker
    assert min(tokens) - 1e-12 <= mean <= max(tokens) + 1e-12
    assert math.exp(mean) <= chance * (1 + 1e-12)  # Jensen
    assert 0 <= phi <= 0.25
    assert surprise >= 1


def test_without_tokens_there_is_no_figure() -> None:
    for figure in (avg_logprob, perplexity, mean_p, mean_phi):
        assert figure([]) is None
    assert llr_per_token([], []) is None
    assert share_of_gap_closed(0.0, 0.0) is None


@given(pairs=st.lists(st.tuples(nats, nats), min_size=1, max_size=20))
def test_the_ratio_is_the_difference_of_averages_and_turns_with_its_sides(
    pairs: list[tuple[float, float]],
) -> None:
    base, ft = [one for one, _ in pairs], [two for _, two in pairs]
    found = llr_per_token(base, ft)
    assert found == close(np.mean(base) - np.mean(ft), abs=1e-9)
    assert llr_per_token(ft, base) == close(-found, abs=1e-9)  # type: ignore[operator]  # there are tokens
    with pytest.raises(ValueError, match=r"shorter|longer"):
        llr_per_token(base, [*ft, -1.0])


below = st.floats(-6, -0.05)


@given(first=below, second=below, third=below, space=st.sampled_from(["log", "probability"]))
def test_what_is_left_of_a_gap_multiplies_over_two_steps(
    first: float, second: float, third: float, space: str
) -> None:
    one, two, both = (
        share_of_gap_closed(*step, space)  # type: ignore[arg-type]  # a sampled literal
        for step in ((first, second), (second, third), (first, third))
    )
    assert one is not None and two is not None and both is not None  # noqa: PT018 - one claim for a type checker
    assert 1 - both == close((1 - one) * (1 - two), rel=1e-6, abs=1e-9)
    assert share_of_gap_closed(first, 0.0) == 1


def test_the_seeds_shares_of_the_gap_come_out_as_recomputed() -> None:
    assert share_of_gap_closed(-0.56, -0.352) == close(0.371, abs=5e-4)
    assert share_of_gap_closed(-0.56, -0.294) == close(0.475, abs=5e-4)
    assert share_of_gap_closed(-0.56, -0.352, "probability") == close(0.308, abs=5e-4)
    assert share_of_gap_closed(-0.56, -0.294, "probability") == close(0.406, abs=5e-4)


# ---------------------------------------------------------------- prose and form


def cut_at(text: str, places: Sequence[int], values: Sequence[float | None] = ()) -> list[TokenLogprob]:
    """Cut a text into tokens."""
    borders = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [
        TokenLogprob(token=text[start:end], logprob=values[index % len(values)] if values else -1.0)
        for index, (start, end) in enumerate(pairwise(borders))
    ]


words = st.text('ab c.,é"\\\n', max_size=20)
places = st.lists(st.integers(0, 500), max_size=60)


@given(before=st.sampled_from(["", "I looked. ", "So:\n"]), reason=words, places=places)
def test_a_token_is_prose_if_most_of_its_characters_are_free_text(
    before: str, reason: str, places: list[int]
) -> None:
    pieces = [  # the decision, written by hand with the part of each piece
        (before, "prose"),
        ('{"action": "open", "reasoning": "', "form"),
        (json.dumps(reason)[1:-1], "prose"),
        ('", "citations": [{"value": 7}]}', "form"),
    ]
    text = "".join(piece for piece, _ in pieces)
    marks = [part for piece, part in pieces for _ in piece]
    tokens = cut_at(text, places)
    found = parts(text, tokens, PROSE)
    expected: dict[str, list[TokenLogprob]] = {"prose": [], "form": []}
    at = 0
    for token in tokens:
        here = marks[at : at + len(token.token)]
        at += len(token.token)
        expected["prose" if 2 * here.count("prose") > len(here) else "form"].append(token)
    assert found == expected


def test_a_message_without_a_decision_is_prose_and_marks_are_form() -> None:
    tokens = cut_at("It is open.<|im_end|>", [3, 6, 11])
    assert [token.token for token in parts("It is open.", tokens, PROSE)["form"]] == ["<|im_end|>"]
    assert len(parts("It is open.", tokens, PROSE)["prose"]) == 3


@pytest.mark.parametrize("part", ["\\xc3", "<0xC3>", "bytes:\\xc3", "\ufffd"])
def test_parts_of_characters_are_where_their_character_is(part: str) -> None:
    content = '{"reasoning": "é b", "action": "é"}'
    spelled = ['{"reasoning": "', part, part, " b", '", "action": "', part, part, '"}']
    found = parts(content, [TokenLogprob(token=each, logprob=-1.0) for each in spelled], PROSE)
    assert [token.token for token in found["prose"]] == [part, part, " b"]


# ---------------------------------------------------------------- of a scenario


TRUTH = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=())


def scenario(name: str) -> Scenario:
    return Scenario(
        id=name, suite="echo", seed=0, kind="k", as_of="2025-03-14", task="t", entity="e", truth=TRUTH
    )


def decided(reason: str, action: str = "open") -> str:
    return json.dumps({"action": action, "reasoning": reason})


def trace_of(
    name: str,
    run: int,
    *texts: str,
    action: str = "open",
    arm: str = "base",
    drop: str = "",
    own: Sequence[Sequence[TokenLogprob]] = (),
) -> Cleaned:
    """A kept trace whose assistant says some texts, a tool between them."""
    messages = []
    for index, text in enumerate(texts):
        told = tuple(own[index]) if own else ()
        messages.append(
            Message(role="assistant", content=text, author="student", loss_weight=1, logprobs=told)
        )
        messages.append(Message(role="tool", content="ok", author="env"))
    trace = Trace(
        id=f"{name}/{arm}/{run}",
        scenario_id=name,
        arm=arm,
        run=run,
        as_of="2025-03-14",
        messages=tuple(messages[:-1]),
        decision=Decision(action=action, entity="e"),
        drop=drop,
    )
    return Cleaned(trace=trace, level="C2")


def scored_of(cleaned: Cleaned, scorer: str, *texts: Sequence[TokenLogprob]) -> Scored:
    return Scored(
        trace_id=cleaned.trace.id,
        scenario_id=cleaned.trace.scenario_id,
        scorer=scorer,
        texts=tuple(
            ScoredText(message=2 * index, tokens=tuple(tokens)) for index, tokens in enumerate(texts)
        ),
    )


maybe = st.none() | nats
values = st.lists(maybe, min_size=1, max_size=9)
run = st.tuples(words, places, values, values)


def made(
    runs: Sequence[tuple[str, list[int], list[float | None], list[float | None]]],
) -> tuple[list[Cleaned], list[Scored], list[Scored]]:
    """Traces, and what two models give to the same tokens of each."""
    cleaned, ones, others = [], [], []
    for index, (reason, cuts, first, second) in enumerate(runs):
        text = decided(reason)
        one, other = cut_at(text, cuts, first), cut_at(text, cuts, second)
        each = trace_of("s", index, text, own=[one])
        cleaned.append(each)
        ones.append(scored_of(each, "one", one))
        others.append(scored_of(each, "other", other))
    return cleaned, ones, others


def flat(scored: Sequence[Scored]) -> list[float | None]:
    return [token.logprob for each in scored for text in each.texts for token in text.tokens]


@settings(max_examples=50)
@given(runs=st.lists(run, min_size=1, max_size=4))
def test_pairs_of_a_scenario_are_the_sums_over_its_tokens(
    runs: list[tuple[str, list[int], list[float | None], list[float | None]]],
) -> None:
    cleaned, ones, others = made(runs)
    told = [value for value in flat(ones) if value is not None]
    both = [(a, b) for a, b in zip(flat(ones), flat(others), strict=True) if a is not None and b is not None]
    assert sum_logprob(own_tallies(cleaned, PROSE)) == sum_logprob(forced_tallies(cleaned, ones, PROSE))
    assert sum_logprob(forced_tallies(cleaned, ones, PROSE)) == close((sum(told), len(told)))
    assert sum_p(forced_tallies(cleaned, ones, PROSE)) == close((sum(map(math.exp, told)), len(told)))
    chances = [math.exp(value) for value in told]
    assert sum_phi(forced_tallies(cleaned, ones, PROSE)) == close(
        (sum(p - p * p for p in chances), len(told)), abs=1e-9
    )
    assert sum_llr(matched_tallies(cleaned, ones, others, PROSE)) == close(
        (sum(a - b for a, b in both), len(both)), abs=1e-9
    )


@settings(max_examples=50)
@given(runs=st.lists(run, min_size=1, max_size=4))
def test_free_text_and_template_are_together_everything(
    runs: list[tuple[str, list[int], list[float | None], list[float | None]]],
) -> None:
    cleaned, ones, others = made(runs)
    figures: list[Callable[..., Pair]] = [
        lambda part: sum_logprob(own_tallies(cleaned, PROSE), part),
        lambda part: sum_logprob(forced_tallies(cleaned, ones, PROSE), part),
        lambda part: sum_p(forced_tallies(cleaned, ones, PROSE), part),
        lambda part: sum_phi(forced_tallies(cleaned, ones, PROSE), part),
        lambda part: sum_llr(matched_tallies(cleaned, ones, others, PROSE), part),
    ]
    for figure in figures:
        prose, form, whole = figure("prose"), figure("form"), figure("all")
        assert np.add(prose, form) == close(whole, abs=1e-9)
    by_hand = [
        parts(text, one.texts[0].tokens, PROSE) for text, one in zip(map(text_of, cleaned), ones, strict=True)
    ]
    told = [token.logprob for each in by_hand for token in each["form"] if token.logprob is not None]
    assert sum_logprob(forced_tallies(cleaned, ones, PROSE), "form") == close(
        (sum(told), len(told)), abs=1e-9
    )
    lost = [len(t.token) for each in ones for t in each.texts[0].tokens if t.logprob is None]
    tallies = list(forced_tallies(cleaned, ones, PROSE))
    assert sum(each.lost for each in tallies) == sum(lost)
    assert sum(each.characters for each in tallies) == sum(len(text_of(each)) for each in cleaned)


def text_of(cleaned: Cleaned) -> str:
    return cleaned.trace.messages[0].content


@settings(max_examples=25)
@given(runs=st.lists(run, min_size=1, max_size=4), order=st.randoms())
def test_order_does_not_matter_and_doubling_doubles(
    runs: list[tuple[str, list[int], list[float | None], list[float | None]]], order: object
) -> None:
    cleaned, ones, others = made(runs)
    twice = [replace(each, trace=replace(each.trace, id=f"{each.trace.id}b")) for each in cleaned]
    more = [[replace(each, trace_id=f"{each.trace_id}b") for each in scored] for scored in (ones, others)]
    once = sum_llr(matched_tallies(cleaned, ones, others, PROSE))
    assert sum_llr(matched_tallies(cleaned[::-1], ones, others[::-1], PROSE)) == close(once, abs=1e-9)
    both = sum_llr(matched_tallies([*cleaned, *twice], [*ones, *more[0]], [*others, *more[1]], PROSE))
    assert both == close(np.multiply(2, once), abs=1e-9)


def test_dropped_unscored_and_failed_traces_count_for_nothing() -> None:
    text = decided("It is high.")
    tokens = cut_at(text, range(0, 60, 4))
    kept, dropped, bare, failed = (
        trace_of("s", index, text, drop="residue" if index == 1 else "", own=[tokens] if index < 2 else ())
        for index in range(4)
    )
    scores = [scored_of(kept, "one", tokens), scored_of(dropped, "one", tokens)]
    scores.append(replace(scored_of(failed, "one"), failure="no answer"))
    every = [kept, dropped, bare, failed]
    assert sum_logprob(own_tallies(every, PROSE)) == (-len(tokens), len(tokens))
    assert sum_logprob(forced_tallies(every, scores, PROSE)) == (-len(tokens), len(tokens))
    assert sum_logprob(forced_tallies(every, scores, PROSE), per="run") == (-1, 1)
    assert sum_llr(matched_tallies(every, scores, scores, PROSE)) == (0, len(tokens))


def test_each_run_counts_once_where_that_is_asked_for() -> None:
    short, long = decided("No."), decided("It is high, and it was higher.")
    one = trace_of("s", 0, short, own=[cut_at(short, range(0, 90, 9), [-1.0])])
    two = trace_of("s", 1, long, own=[cut_at(long, range(90), [-3.0])])
    assert sum_logprob(own_tallies([one, two], PROSE), per="run") == (-4.0, 2)
    total, tokens = sum_logprob(own_tallies([one, two], PROSE))
    assert total / tokens < -2.5  # the longer text has more tokens


def test_own_tokens_are_those_of_the_text_before_it_was_cleaned() -> None:
    sampled = decided("The expert says it is high.")
    tokens = cut_at(sampled, range(0, 90, 2), [-0.5])
    free = sampled.index("The"), sampled.index("high.") + len("high.")
    edited = trace_of("s", 0, decided("It is high."), own=[tokens])
    total, count = sum_logprob(own_tallies([edited], PROSE), "prose")
    assert total / count == -0.5
    assert count == close((free[1] - free[0]) / 2, abs=1)


def test_texts_that_two_models_cut_in_other_tokens_are_not_compared() -> None:
    text = decided("It is high.")
    each = trace_of("s", 0, text, text)
    ones = [scored_of(each, "one", cut_at(text, [3, 9]), cut_at(text, [5]))]
    others = [scored_of(each, "other", cut_at(text, [4, 9]), cut_at(text, [5], [-3.0]))]
    assert sum_llr(matched_tallies([each], ones, others, PROSE)) == (4.0, 2)


# ---------------------------------------------------------------- several scorers on several corpora


def group_of(index: int, shift: float) -> tuple[Group, Group]:
    """A scenario in the unsteered arm (two runs, one as the verdict) and in another; a surer second model."""
    name = f"s{index:02}"
    groups = []
    for arm, actions in (("base", ("open", "wait")), ("opoi", ("open",))):
        cleaned = [
            trace_of(name, run, decided(f"It is {index * 7 + run} high.", action), action=action, arm=arm)
            for run, action in enumerate(actions)
        ]
        scores = []
        for each in cleaned:
            values = [-0.5 - (index * 13 + at * 7) % 11 / 3 for at in range(5)]
            tokens = cut_at(text_of(each), range(0, 60, 3), values)
            surer = [replace(t, logprob=(t.logprob or 0) + shift) for t in tokens]
            scores += [scored_of(each, "one", tokens), scored_of(each, "two", surer)]
        verdict = Verdict(expert="x", kind="approve", action="open", phrase="open", feedback="")
        groups.append(
            Group(scenario=scenario(name), verdict=verdict, cleaned=tuple(cleaned), scores=tuple(scores))
        )
    return groups[0], groups[1]


def arms_of(count: int, shift: float) -> list[Arm]:
    pairs = [group_of(index, shift) for index in range(count)]
    base = Arm("base", lambda: (pair[0] for pair in pairs))
    return [base, Arm("opoi", lambda: (pair[1] for pair in pairs), base=base)]


def found_in(arms: Sequence[Arm], scorers: Sequence[str] = ("one", "two")) -> Confidence:
    return confidence_of(arms, scorers, prose_keys=PROSE, seed=3, resamples=500)


SHIFT = 0.375  # a sum of such is exact


def test_a_model_that_is_surer_by_so_much_is_found_to_be_on_every_corpus() -> None:
    found = found_in(arms_of(12, SHIFT))
    assert [corpus.name for corpus in found.corpora] == ["agent", "agent, as the verdict", "opoi"]
    assert [corpus.traces for corpus in found.corpora] == [24, 12, 12]
    rows = {(row.scorer, row.corpus): row.measures for row in found.rows}
    assert len(rows) == 6
    for corpus in found.corpora:
        one, two = rows["one", corpus.name], rows["two", corpus.name]
        assert (two["llr"].value, two["llr"].low, two["llr"].high) == close((-SHIFT,) * 3)
        start, end = one["logprob"].value, two["logprob"].value
        assert start is not None and end is not None  # noqa: PT018 - one claim for a type checker
        assert end - start == close(SHIFT)
        assert two["gap_log"].value == close(SHIFT / -start)
        chances = math.exp(start), math.exp(end)
        assert two["gap_probability"].value == close((chances[1] - chances[0]) / (1 - chances[0]))
        assert two["perplexity"].value == close(math.exp(-end))
        assert set(two) == set(FIGURES)
        assert "llr" not in one


def test_values_are_those_of_all_tokens_thrown_together_and_intervals_hold_them() -> None:
    arms = arms_of(12, SHIFT)
    row = next(row for row in found_in(arms).rows if (row.scorer, row.corpus) == ("one", "opoi"))
    tokens: list[float | None] = []
    free: list[float | None] = []
    for group in arms[1].groups():
        for each, scored in zip(group.cleaned, group.scores[::2], strict=True):
            tokens += [token.logprob for token in scored.texts[0].tokens]
            free += [t.logprob for t in parts(text_of(each), scored.texts[0].tokens, PROSE)["prose"]]
    measures = row.measures
    assert measures["logprob"].value == close(np.array(tokens, dtype=float).mean())
    assert measures["logprob_prose"].value == close(np.array(free, dtype=float).mean())
    assert measures["tokens"].value == len(tokens)
    assert measures["form_share"].value == close(1 - len(free) / len(tokens))
    for name in ("logprob", "logprob_prose", "logprob_form", "perplexity", "form_share"):
        measure = measures[name]
        assert measure.low is not None and measure.value is not None and measure.high is not None  # noqa: PT018 - one claim for a type checker
        assert measure.low <= measure.value <= measure.high
        assert measure.n == 12


def test_names_of_scenarios_and_the_order_of_groups_do_not_change_a_value() -> None:
    arms = arms_of(8, SHIFT)
    turned = [Arm(arm.name, lambda arm=arm: reversed(list(arm.groups()))) for arm in arms]  # type: ignore[misc]  # bound early
    assert found_in(turned) == found_in(arms)

    def renamed(group: Group) -> Group:
        return replace(group, scenario=replace(group.scenario, id=f"z{99 - int(group.scenario.id[1:])}"))

    other = [Arm(arm.name, lambda arm=arm: map(renamed, arm.groups())) for arm in arms]  # type: ignore[misc]  # bound early
    for one, two in zip(found_in(arms).rows, found_in(other).rows, strict=True):
        assert [m.value for m in one.measures.values()] == close([m.value for m in two.measures.values()])


def test_a_scorer_against_itself_has_closed_nothing() -> None:
    rows = [row for row in found_in(arms_of(6, 0.0)).rows if row.scorer == "two"]
    for row in rows:
        for name in ("llr", "gap_log", "gap_probability"):
            measure = row.measures[name]
            assert (measure.value, measure.low, measure.high) == (0, 0, 0)


def test_where_nothing_was_scored_every_cell_says_what_is_needed() -> None:
    bare = [
        Arm(arm.name, lambda arm=arm: (replace(group, scores=()) for group in arm.groups()))  # type: ignore[misc]  # bound early
        for arm in arms_of(3, SHIFT)
    ]
    for scorers in ((), ("one",)):
        found = found_in(bare, scorers)
        assert found.rows == ()
        table = scorers_table(found)
        assert len(table.rows) == 3
        assert {cell.text for row in table.rows for cell in row[2:]} == {NEEDS_T2}


def test_a_corpus_that_one_scorer_lacks_says_so_beside_the_others() -> None:
    arms = arms_of(4, SHIFT)
    rows = {(row.scorer, row.corpus): row.measures for row in found_in(arms, ["one", "gone"]).rows}
    assert rows["gone", "opoi"]["logprob"].note == NEEDS_T2
    assert rows["gone", "opoi"]["llr"].value is None
    assert rows["one", "opoi"]["logprob"].value is not None


def test_the_table_defines_every_figure_and_shows_it() -> None:
    found = found_in(arms_of(4, SHIFT))
    table = scorers_table(found)
    assert len(table.rows) == len(found.rows)
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert table.legend == tuple((told.title, told.formula) for told in FIGURES.values())
    cells = dict(zip(table.columns, table.rows[-1], strict=True))
    assert cells["LLR per token"].text == "-0.375"
    assert cells["gap closed, log"].text.endswith("%")
    assert dict(zip(table.columns, table.rows[0], strict=True))["LLR per token"].text == "reference"


def test_failures_are_told() -> None:
    arms = arms_of(2, SHIFT)

    def failing(group: Group) -> Group:
        first, *others = group.scores
        return replace(group, scores=(replace(first, texts=(), failure="no answer"), *others))

    broken = [Arm(arm.name, lambda arm=arm: map(failing, arm.groups())) for arm in arms]  # type: ignore[misc]  # bound early
    found = found_in(broken)
    assert [row.failed for row in found.rows] == [2, 2, 2, 0, 0, 0]
    assert any("failed for 2 traces" in note for note in scorers_table(found).footnotes)
