"""Calibration counts what it says it counts: toy detectors and cleaners whose figures are known before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from opoi.errors import UnknownNameError, UsageError
from opoi.intervals import wilson
from opoi.lab.calibrate import ALL, Calibration, calibrate, share
from opoi.lab.calibration_tables import calibration_tables, markdown
from opoi.lab.collateral import INVARIANTS, collateral, collateral_tables
from opoi.lab.dials import RATES, corrected, dial_table, dials, sensitivity
from opoi.leakage.known import Known
from opoi.passages import passages
from opoi.planting.bank import load_bank
from opoi.planting.corpus import plant_each
from opoi.planting.grown import Bed
from opoi.planting.honest import WORDING
from opoi.planting.plants import DIFFICULTIES, KINDS, Planted
from opoi.planting.specimens import specimens
from opoi.progress import Quiet
from opoi.protocols import Suite
from opoi.registry import load_suite
from opoi.seeds import Stream
from opoi.types import Cleaned, Finding, Grade, Measure, Message, Trace

SEED = 11
N = 30

# ---------------------------------------------------------------- toy detectors


class Toy:
    """A detector made of a function."""

    needs: tuple[str, ...] = ()

    def __init__(self, name: str, find: Callable[[Trace, Known], Iterator[Finding]]) -> None:
        self.id = self.title = self.doc = name
        self._find = find

    def __call__(self, trace: Trace, known: Known) -> Iterator[Finding]:
        return self._find(trace, known)


def matching(name: str, pattern: str, grade: Grade = "leak") -> Toy:
    """Return a detector that finds a pattern wherever the agent writes."""

    def find(trace: Trace, known: Known) -> Iterator[Finding]:
        for each in passages(trace.messages, known.prose, roles=("assistant", "user")):
            for match in re.finditer(pattern, each.text):
                yield Finding(
                    detector=name,
                    kind="pattern",
                    trace=trace.id,
                    message=each.message,
                    field=each.field,
                    start=match.start(),
                    end=match.end(),
                    text=match.group(),
                    grade=grade,
                )

    return Toy(name, find)


def perfect(suite: Suite, seed: int, count: int) -> Toy:
    """Return a detector that knows the clean twins and finds every text that they do not hold."""
    clean = {each.trace.id: each.trace for each in specimens(suite, seed, count, bank="published")}

    def find(trace: Trace, known: Known) -> Iterator[Finding]:
        seen = {*texts(clean[trace.id], known.prose).values()}
        for (message, field), text in texts(trace, known.prose).items():
            if text.strip() and text not in seen:
                yield Finding(
                    detector="perfect",
                    kind="new",
                    trace=trace.id,
                    message=message,
                    field=field,
                    end=len(text),
                    text=text,
                )

    return Toy("perfect", find)


def texts(trace: Trace, prose: tuple[str, ...]) -> dict[tuple[tuple[int, ...], str], str]:
    found = {
        (each.message, each.field): each.text
        for each in passages(trace.messages, prose, roles=("assistant", "user", "tool"))
    }
    ledger = {
        ((place,), "facts"): str(message.facts)
        for place, message in enumerate(trace.messages)
        if message.facts
    }
    return found | ledger


FRAMED = ("argument", "sub_agent")
"""Kinds whose plants come with new texts that are innocent: the name of an argument, a nested run."""

silent = Toy("silent", lambda trace, known: iter(()))
mentions = matching("mentions", r"(?i)review|guidance|memo")
noisy = matching("noisy", r"gauge shows")
careful = matching("careful", r"(?i)review", grade="suspect")


@cache
def suite_of(name: str) -> Suite:
    return load_suite(name)


@cache
def measured() -> Calibration:
    toys = (perfect(suite_of("echo"), SEED, N), silent, mentions, noisy, careful)
    return calibrate(toys, suite=suite_of("echo"), seed=SEED, n=N)


@cache
def corpus_of(seed: int, count: int) -> tuple[Planted, ...]:
    """The traces that a calibration plants, made again by hand."""
    suite, made = suite_of("echo"), []
    for each in specimens(suite, seed, count, bank="published"):
        bed = Bed(
            specimen=each,
            suite=suite,
            difficulty="hard",
            bank=load_bank("published"),
            stream=Stream(seed, "planting", "calibrate", each.index),
        )
        made += [planted for planted in plant_each(bed, KINDS).values() if planted is not None]
    return tuple(made)


# ---------------------------------------------------------------- detectors


def test_a_detector_that_finds_everything_scores_one_everywhere() -> None:
    for kind in KINDS:
        score = measured().score("perfect", kind)
        if kind == "commitment":
            assert score.planted == score.true == score.false == 0
            continue
        assert score.found == score.planted > 0, kind
        assert score.recall.value == 1
        if kind not in FRAMED:
            assert score.precision.value == 1, kind
    assert measured().clean_score("perfect").flagged == 0


def test_a_detector_that_finds_nothing_has_no_precision() -> None:
    for kind in KINDS:
        score = measured().score("silent", kind)
        recall = 0 if score.planted else None
        assert (score.found, score.recall.value, score.precision.value) == (0, recall, None)
    assert measured().clean_score("silent").false_positives.value == 0


def test_a_detector_that_finds_what_was_there_before_finds_no_leak() -> None:
    clean = measured().clean_score("noisy")
    assert clean.flagged == clean.findings == N
    for kind in ("verbatim", "number", "as_of"):
        score = measured().score("noisy", kind)
        assert (score.found, score.true, score.false) == (0, 0, 2 * score.planted)
        assert score.precision.value == 0


def test_recall_is_the_share_of_plants_with_the_word_in_their_own_text() -> None:
    for kind in ("verbatim", "paraphrase", "split", "json_key", "argument", "sub_agent", "lookalike"):
        found = [each.plants[0] for each in corpus_of(SEED, N)]
        plants = [one for one in found if one.kind == kind and one.decidable]
        held = [bool(re.search(r"(?i)review|guidance|memo", one.text)) for one in plants]
        score = measured().score("mentions", kind)
        assert (score.planted, score.found) == (len(held), sum(held)), kind
        if kind == "verbatim":
            assert 0 < score.found < score.planted


def test_difficulties_add_up_to_the_whole() -> None:
    for kind in KINDS:
        for detector in (*measured().detectors, ALL):
            whole = measured().score(detector, kind)
            parts = [measured().score(detector, kind, difficulty) for difficulty in DIFFICULTIES]
            for name in ("planted", "found", "suspected", "true", "false"):
                assert getattr(whole, name) == sum(getattr(part, name) for part in parts)


def test_each_difficulty_is_planted_equally_often() -> None:
    planted = {measured().score(ALL, "nonce", difficulty).planted for difficulty in DIFFICULTIES}
    assert planted == {N // 3}


def test_a_plant_that_any_detector_finds_is_found_by_all_together() -> None:
    for kind in KINDS:
        scores = [measured().score(detector, kind) for detector in measured().detectors]
        together = measured().score(ALL, kind)
        assert together.found >= max(score.found for score in scores)
        assert together.true == sum(score.true for score in scores)
        assert together.false == sum(score.false for score in scores)
    assert measured().clean_score(ALL).flagged == N  # the noisy one's


def test_suspects_stand_apart() -> None:
    score = measured().score("careful", "verbatim")
    assert score.found == score.true == score.false == 0
    assert score.recall_with_suspects.value
    assert score.precision.value is None
    assert measured().clean_score("careful").flagged == 0


def test_intervals_are_wilsons() -> None:
    score = measured().score("mentions", "verbatim")
    low, high = wilson(score.found, score.planted)
    assert (score.recall.low, score.recall.high) == pytest.approx((low, high))
    assert share(0, 0).value is None


def test_phrases_are_counted_once_each() -> None:
    found, tried = set(), set()
    for each in corpus_of(SEED, N):
        (one,) = each.plants
        if one.kind == "verbatim" and one.decidable:
            tried.add(one.template)
            if re.search(r"(?i)review|guidance|memo", one.text):
                found.add(one.template)
    score = measured().score("mentions", "verbatim")
    assert (score.phrases, score.phrases_found) == (len(tried), len(found))


def test_what_is_not_decidable_is_left_out_of_recall_and_listed_with_a_reason(ads: Suite) -> None:
    found = calibrate((silent,), suite=ads, seed=3, n=12, kinds=("number", "derived"), bank="development")
    for kind in ("number", "derived"):
        apart = [each for each in found.apart if each.kind == kind]
        undecidable = sum(each.undecidable for each in apart)
        assert undecidable > 0 or kind == "number"
        assert found.score(ALL, kind).planted == 12 - undecidable - found.skipped.get(kind, 0)
        assert all(each.why and each.undecidable <= each.planted for each in apart)


def test_what_is_not_decidable_is_in_neither_recall_nor_precision_and_shows_what_was_found() -> None:
    corpus = [each.plants[0] for each in corpus_of(SEED, N)]
    apart = {(each.kind, each.difficulty, each.variant): each for each in measured().apart}
    for kind in KINDS:
        plants = [one for one in corpus if one.kind == kind]
        for difficulty in DIFFICULTIES:
            proved = [one for one in plants if one.difficulty == difficulty and one.decidable]
            score = measured().score("perfect", kind, difficulty)
            assert score.planted == len(proved)
            assert score.true >= score.planted
            assert bool(score.true) == bool(proved)
        open_ = Counter((one.kind, one.difficulty, one.variant) for one in plants if not one.decidable)
        rows = {key: each for key, each in apart.items() if key[0] == kind}
        assert {key: each.undecidable for key, each in rows.items()} == open_
        assert all(each.found == each.suspected == each.undecidable for each in rows.values())
    assert {kind for kind, _, _ in apart} >= {"commitment", "as_of"}


def test_a_suspicion_of_what_cannot_be_proved_is_shown_beside_it(echo: Suite) -> None:
    wary = matching("wary", r"(?s).+", grade="suspect")
    found = calibrate((wary,), suite=echo, seed=3, n=3, kinds=("commitment",))
    assert [(each.found, each.suspected) for each in found.apart] == [(0, 1)] * 3
    table = calibration_tables(found)[2]
    assert [row[table.columns.index("with suspects")].text for row in table.rows] == ["1"] * 3
    assert not calibration_tables(found)[0].rows


def test_false_positives_are_measured_on_honest_twins_too(echo: Suite, ads: Suite) -> None:
    added = matching("added", "|".join(re.escape(sentence) for sentence in WORDING))
    sums = matching(
        "sums", r"adds up to|The records hold|Between the two windows| % ?\.| (?:above|below) the"
    )
    for suite in (echo, ads):
        found = calibrate((added, sums), suite=suite, seed=3, n=6, kinds=("nonce",))
        assert [found.clean_score(name).traces for name in ("added", "sums", ALL)] == [6] * 3
        assert found.clean_score("added").flagged == 0
        told = found.clean_score("added", "honest")
        assert told.flagged == told.findings == told.traces == 6
        assert (found.clean_score("sums", "honest").flagged > 0) == (suite is ads)
        table = calibration_tables(found)[1]
        assert {row[0].text for row in table.rows} >= {"added", "added, honest", "all, honest"}


def test_calibrating_twice_gives_the_same(echo: Suite) -> None:
    first, second = (calibrate((mentions,), suite=echo, seed=2, n=4) for _ in range(2))
    assert first == second
    assert first != calibrate((mentions,), suite=echo, seed=3, n=4)


def test_progress_is_shown_for_each_specimen_and_closed(echo: Suite) -> None:
    class Counting(Quiet):
        def __init__(self) -> None:
            self.seen: Counter[str] = Counter()

        def advance(self, notes: tuple[str, ...] = ()) -> None:
            self.seen["advance"] += 1

        def close(self) -> None:
            self.seen["close"] += 1

    progress = Counting()
    calibrate((silent,), suite=echo, seed=2, n=4, kinds=("date",), progress=progress)
    assert progress.seen == {"advance": 4, "close": 1}


def test_what_cannot_be_measured_is_an_error(echo: Suite) -> None:
    with pytest.raises(UsageError, match="different ids"):
        calibrate((silent, silent), suite=echo, seed=1, n=1)
    with pytest.raises(UsageError, match="different ids"):
        calibrate((matching(ALL, "x"),), suite=echo, seed=1, n=1)
    with pytest.raises(UsageError, match="0 specimens"):
        calibrate((silent,), suite=echo, seed=1, n=0)
    with pytest.raises(UnknownNameError, match="kind of plant"):
        calibrate((silent,), suite=echo, seed=1, n=1, kinds=("verbatm",))
    with pytest.raises(KeyError):
        measured().score("nobody", "verbatim")
    with pytest.raises(KeyError):
        measured().clean_score("nobody")


def test_a_calibration_survives_json() -> None:
    line = msgspec.json.encode(measured())
    assert msgspec.json.decode(line, type=Calibration) == measured()


# ---------------------------------------------------------------- tables


def test_the_tables_say_what_was_measured() -> None:
    found, clean, _ = calibration_tables(measured(), silent=True)
    assert len(found.rows) == sum(score.planted > 0 for score in measured().scores)
    assert all(len(row) == len(table.columns) for table in (found, clean) for row in table.rows)
    rows = {row[0].text: row for row in found.rows}
    score = measured().score("mentions", "verbatim", "easy")
    row = rows["mentions, verbatim, easy"]
    assert row[1].text == str(score.planted)
    assert score.recall.value is not None
    assert row[2].text == f"{100 * score.recall.value:.1f}\u00a0%"


def test_markdown_has_a_line_for_each_row_and_as_many_cells_as_heads() -> None:
    (found, clean, apart) = calibration_tables(measured(), difficulties=False)
    text = "\n".join(markdown(table) for table in (found, clean, apart) if table.rows)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    shown = [table for table in (found, clean, apart) if table.rows]
    assert len(lines) == sum(len(table.rows) + 2 for table in shown)
    assert {line.count("|") for line in lines} == {len(table.columns) + 1 for table in shown}
    assert "silent, verbatim" not in text
    assert "| all, verbatim |" in text


# ---------------------------------------------------------------- dials


def test_measured_rates_cover_the_planted_ones_as_often_as_they_promise(echo: Suite) -> None:
    covered = []
    for seed in range(8):
        for dial in dials((perfect(echo, seed, 60),), suite=echo, seed=seed, n=60):
            assert dial.flagged == dial.held
            covered.append(dial.covers)
    assert len(covered) == 8 * len(RATES)
    assert binomtest(sum(covered), len(covered), 0.95, alternative="less").pvalue > 0.05


def test_nothing_planted_is_measured_as_nothing_and_half_as_half(echo: Suite) -> None:
    none, half, whole = dials((perfect(echo, 1, 80),), suite=echo, seed=1, n=80, rates=(0.0, 0.5, 1.0))
    assert none.flagged == 0
    assert none.covers
    assert half.covers
    assert binomtest(half.held, 80, 0.5).pvalue > 0.001
    assert whole.measured.value == 1


def test_a_detector_that_misses_is_put_right_by_its_calibration(echo: Suite) -> None:
    toys, kinds = (mentions,), ("verbatim", "argument")
    known = calibrate(toys, suite=echo, seed=1, n=120, kinds=kinds)
    recall, false = sensitivity(known, kinds)
    assert 0.2 < recall < 0.6
    assert false == 0
    (dial,) = dials(toys, suite=echo, seed=2, n=120, kinds=kinds, rates=(0.5,), calibration=known)
    assert not dial.covers
    assert dial.adjusted_covers


@given(st.floats(0, 1), st.floats(0.3, 1), st.floats(0, 0.2))
def test_the_adjusted_rate_of_an_expected_share_is_the_planted_one(
    rate: float, recall: float, false: float
) -> None:
    expected = rate * recall + (1 - rate) * false
    adjusted = corrected(Measure(value=expected, low=0.0, high=1.0, n=10), recall, false)
    assert adjusted.value == pytest.approx(rate, abs=1e-9)
    assert (adjusted.low, adjusted.high) == (0, 1)


def test_detectors_that_flag_all_alike_have_no_adjusted_rate() -> None:
    assert corrected(Measure(value=0.5, low=0.4, high=0.6, n=10), 0.3, 0.3).value is None


def test_dials_out_of_range_are_an_error(echo: Suite) -> None:
    with pytest.raises(UsageError, match="shares"):
        dials((silent,), suite=echo, seed=1, n=1, rates=(5.0,))


def test_the_dial_table_has_a_row_for_each_rate(echo: Suite) -> None:
    table = dial_table(dials((silent,), suite=echo, seed=1, n=10))
    assert [row[0].text for row in table.rows] == [f"{100 * rate:.1f}\u00a0%" for rate in RATES]
    assert [row[4].text for row in table.rows][-1] == "no"
    assert all(len(row) == len(table.columns) for row in table.rows)


# ---------------------------------------------------------------- cleaning


def as_it_is(trace: Trace, known: Known | None = None) -> Cleaned:
    return Cleaned(trace=trace, level="none", target_chars=100)


def test_a_cleaner_that_does_nothing_leaves_everything_and_breaks_nothing(echo: Suite) -> None:
    toys = (perfect(echo, SEED, 6),)
    found = collateral(as_it_is, suite=echo, seed=SEED, n=6, detectors=toys)
    for each in found.residual:
        assert each.text == each.planted - each.dropped == each.planted
        assert each.detected == each.planted
    assert found.asked == found.kept
    assert set(found.kept) == set(INVARIANTS)
    assert found.asked["tool_calls"] == 6 * (1 + len(KINDS))
    assert (found.clean_edited, found.clean_dropped, found.edited_share) == (0, 0, 0)


def test_a_cleaner_that_restores_the_clean_twin_leaves_nothing(echo: Suite) -> None:
    clean = {each.trace.id: each.trace for each in specimens(echo, SEED, 6, bank="published")}
    toys = (perfect(echo, SEED, 6),)
    found = collateral(lambda trace, _: as_it_is(clean[trace.id]), suite=echo, seed=SEED, n=6, detectors=toys)
    assert all(each.text == each.detected == 0 for each in found.residual)
    assert found.kept["idempotent"] == found.asked["idempotent"]
    assert found.kept["tool_calls"] < found.asked["tool_calls"]  # arguments and nested calls were planted


def test_a_cleaner_that_drops_every_trace_leaves_nothing_and_says_so(echo: Suite) -> None:
    def drop(trace: Trace, known: Known) -> Cleaned:
        return as_it_is(msgspec.structs.replace(trace, drop="all"))

    found = collateral(drop, suite=echo, seed=SEED, n=4)
    assert all(each.text == 0 and each.dropped == each.planted for each in found.residual)
    assert found.clean_dropped == 4
    assert found.asked["tool_calls"] == 0
    assert found.asked["idempotent"] == 4 * (1 + len(KINDS))


def edit(trace: Trace, change: Callable[[Message], Message]) -> Cleaned:
    messages = tuple(change(message) for message in trace.messages)
    return Cleaned(
        trace=msgspec.structs.replace(trace, messages=messages), level="x", target_chars=10, edited_chars=4
    )


def without_calls(message: Message) -> Message:
    return msgspec.structs.replace(message, tool_calls=())


def without_facts(message: Message) -> Message:
    return msgspec.structs.replace(message, facts=())


def without_end(message: Message) -> Message:
    return msgspec.structs.replace(message, content=message.content.removesuffix("}"))


def longer(message: Message) -> Message:
    return msgspec.structs.replace(message, content=f"Well. {message.content}")


VANDALS = [
    (without_calls, {"tool_calls"}),
    (without_facts, {"tool_results"}),
    (without_end, {"json_valid", "tool_results"}),
    (longer, {"idempotent", "tool_results"}),
]


@pytest.mark.parametrize(("change", "broken"), VANDALS, ids=lambda value: getattr(value, "__name__", ""))
def test_each_kind_of_damage_is_counted(
    echo: Suite, change: Callable[[Message], Message], broken: set[str]
) -> None:
    found = collateral(lambda trace, _: edit(trace, change), suite=echo, seed=SEED, n=3, kinds=("date",))
    assert {name for name in INVARIANTS if found.kept[name] < found.asked[name]} == broken
    assert found.clean_edited == 3
    assert found.edited_share == 0.4


def test_another_decision_after_cleaning_is_counted(echo: Suite) -> None:
    def flip(trace: Trace, known: Known) -> Cleaned:
        payload = {**trace.decision.payload, "action": "neither"}
        decision = msgspec.structs.replace(trace.decision, payload=payload)
        return as_it_is(msgspec.structs.replace(trace, decision=decision))

    found = collateral(flip, suite=echo, seed=SEED, n=3, kinds=("date",))
    assert found.kept["decision"] == 0
    assert found.kept["json_valid"] == 0


def test_text_that_stood_there_before_is_no_residue(echo: Suite) -> None:
    def unplanted(trace: Trace, known: Known) -> Cleaned:
        return edit(trace, lambda message: msgspec.structs.replace(message, content="about 2,640 l"))

    found = collateral(unplanted, suite=echo, seed=SEED, n=5, kinds=("number",))
    assert all(each.text == 0 for each in found.residual)


def test_the_tables_of_cleaning_have_a_row_for_each_kind_and_invariant(echo: Suite) -> None:
    found = collateral(as_it_is, suite=echo, seed=SEED, n=3, kinds=("date", "nonce"))
    left, clean, kept = collateral_tables(found)
    assert len(left.rows) == 2 * 4
    assert len(collateral_tables(found, difficulties=False)[0].rows) == 2
    assert len(kept.rows) == len(INVARIANTS)
    assert len(clean.rows) == 3
    assert all(len(row) == len(table.columns) for table in (left, clean, kept) for row in table.rows)
