"""Planted leaks: every span is known, nothing else changes, and the two halves of the phrases share none."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from datetime import date, datetime
from functools import cache
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from opoi.cleaning.engine import core
from opoi.errors import UnknownNameError, UsageError
from opoi.passages import passages, regions_of
from opoi.planting.bank import BANKS, Bank, BankName, load_bank
from opoi.planting.corpus import PLANTERS, corpus, plant, text_at
from opoi.planting.edits import add_member, with_phrase
from opoi.planting.grown import Bed
from opoi.planting.honest import ARITHMETIC, WORDING, arithmetic, honest
from opoi.planting.legal import explained, shown
from opoi.planting.matching import judge, targets
from opoi.planting.plants import DIFFICULTIES, KINDS, STRUCTURAL, Kind, Plant, Planted
from opoi.planting.specimens import Specimen, specimens
from opoi.planting.spelling import Written, cardinal, dates, exact, in_words, other_unit, rounded
from opoi.protocols import Suite
from opoi.registry import load_suite
from opoi.seeds import Stream
from opoi.types import Fact, Finding, Message, Trace

ROOT = Path(__file__).parents[2]
SUITES = ("ads", "echo")
suite_of = cache(load_suite)


@cache
def some(suite: str, bank: BankName = "development", count: int = 4) -> tuple[Specimen, ...]:
    return tuple(specimens(suite_of(suite), 5, count, bank=bank))


@cache
def planted(suite: str, bank: BankName) -> tuple[tuple[Specimen, Planted], ...]:
    """Every kind in every difficulty, in a few specimens."""
    made = []
    for specimen, kind, difficulty in itertools.product(some(suite, bank), KINDS, DIFFICULTIES):
        bed = Bed(
            specimen=specimen,
            suite=suite_of(suite),
            difficulty=difficulty,
            bank=load_bank(bank),
            stream=Stream(1, kind, difficulty, specimen.index),
        )
        done = plant(kind, bed)
        if done is not None:
            made.append((specimen, done))
    return tuple(made)


CORPORA = [(suite, bank) for suite in SUITES for bank in BANKS]
every_corpus = pytest.mark.parametrize(("suite", "bank"), CORPORA)


# ---------------------------------------------------------------- the two halves


def strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in strings(inner)]
    return []


def phrases(bank: Bank) -> list[str]:
    """Return all that can end up in a trace, but for names, letters and marks."""
    raw = msgspec.to_builtins(bank)
    for key in ("shared", "keys", "innocent", "lookalikes", "zero_width"):
        del raw[key]
    return strings(raw)


def words(text: str) -> list[str]:
    return re.findall(r"[\w'{}-]+", text.lower())


def graded(table: object) -> list[str]:
    return strings(msgspec.to_builtins(table))


def test_the_halves_share_no_phrase() -> None:
    development, published = (set(phrases(load_bank(name))) for name in BANKS)
    assert len(development) > 290 < len(published)
    assert not development & published


def test_the_halves_share_no_run_of_five_words() -> None:
    runs = []
    for name in BANKS:
        found = [words(phrase) for phrase in phrases(load_bank(name))]
        runs.append({tuple(each[at : at + 5]) for each in found for at in range(len(each) - 4)})
    assert len(runs[0]) > 300 < len(runs[1])
    assert not runs[0] & runs[1]


def vocabulary(phrase: str) -> set[str]:
    return {word.removesuffix("'s") for word in words(phrase)}


@pytest.mark.parametrize("name", BANKS)
def test_every_verbatim_phrase_names_the_source_and_every_key_word_is_in_use(name: BankName) -> None:
    bank = load_bank(name)
    assert bank.shared == ("note", "review", "reviewer")
    known = {*bank.keys, *bank.shared}
    assert len(known) == len(bank.keys) + len(bank.shared)
    for phrase in graded(bank.verbatim):
        assert vocabulary(phrase) & known, phrase
    assert known <= {word for text in phrases(bank) for word in vocabulary(text)}


@pytest.mark.parametrize("name", BANKS)
def test_a_paraphrase_names_no_source_in_the_words_of_its_half(name: BankName) -> None:
    bank = load_bank(name)
    known = {*bank.keys, *bank.shared}
    for phrase in graded(bank.paraphrase):
        assert not vocabulary(phrase) & known, phrase


def test_the_development_half_is_large_enough_to_develop_a_detector_on() -> None:
    bank = load_bank("development")
    assert {"de", "es", "fr", "pt", "it", "nl"} == set(bank.languages)
    for difficulty in DIFFICULTIES:
        assert len({*bank.verbatim.of(difficulty)} - {*bank.innocent}) >= 60
        assert len({*bank.paraphrase.of(difficulty)} - {*bank.innocent}) >= 60
        assert len({*bank.split.of(difficulty)}) >= 40
        assert all(len({*each.of(difficulty)} - {*bank.innocent}) >= 25 for each in bank.languages.values())


def test_honest_sentences_are_many_and_none_is_a_phrase_of_the_development_half() -> None:
    honest = (ROOT / "tests/harness/honest.txt").read_text(encoding="utf-8").splitlines()
    assert len({*honest}) == len(honest) >= 150
    assert all(sentence == sentence.strip() != "" for sentence in honest)
    planted_words = {tuple(words(phrase)) for phrase in phrases(load_bank("development"))}
    assert not planted_words & {tuple(words(sentence)) for sentence in honest}


@pytest.mark.parametrize("name", BANKS)
def test_each_half_has_25_phrases_of_each_sort_and_language(name: BankName) -> None:
    bank = load_bank(name)
    assert {"de", "es", "fr", "pt"} <= set(bank.languages)
    for table in (bank.verbatim, bank.paraphrase, *bank.languages.values()):
        found = graded(table)
        assert len(found) >= 25
        assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", BANKS)
def test_phrases_hold_known_placeholders_and_speak_of_no_trade(name: BankName) -> None:
    bank = load_bank(name)
    for phrase in phrases(bank):
        assert set(re.findall(r"\{[^}]*\}", phrase)) <= {"{value}", "{date}", "{entity}", "{action}"}
        assert not re.search(r"campaign|roas|advert", phrase.lower())
    for table, placeholder in (
        (bank.number, "{value}"),
        (bank.difference, "{value}"),
        (bank.ratio, "{value}"),
        (bank.percent, "{value}"),
        (bank.date, "{date}"),
        (bank.entity, "{entity}"),
    ):
        assert all(template.count(placeholder) == 1 for template in table.templates)


@pytest.mark.parametrize("name", BANKS)
def test_only_hard_phrases_are_innocent_and_most_are_not(name: BankName) -> None:
    bank = load_bank(name)
    for table in (bank.verbatim, bank.paraphrase, bank.json_key, *bank.languages.values()):
        assert not {*table.easy, *table.medium} & {*bank.innocent}
    hard = [*bank.verbatim.hard, *bank.paraphrase.hard, *bank.json_key.hard]
    hard += [phrase for table in bank.languages.values() for phrase in table.hard]
    assert {*bank.innocent} <= {*hard}
    assert len(bank.innocent) < len(hard) / 2


@pytest.mark.parametrize("name", BANKS)
def test_marks_have_no_width_and_letters_are_foreign(name: BankName) -> None:
    bank = load_bank(name)
    assert all(len(mark) == 1 and not mark.isalnum() and not mark.isspace() for mark in bank.zero_width.marks)
    for difficulty in DIFFICULTIES:
        for letter, twin in bank.lookalikes.of(difficulty).items():
            assert letter.isascii()
            assert len(twin) == 1
            assert not twin.isascii()


def test_an_unknown_half_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="development"):
        load_bank("publishd")


# ---------------------------------------------------------------- clean traces


@every_corpus
def test_a_clean_trace_holds_nothing_of_its_note(suite: str, bank: BankName) -> None:
    for specimen in some(suite, bank):
        (note,) = specimen.trace.injections
        written = json.dumps(msgspec.to_builtins(specimen.trace.messages))
        assert note.nonce
        assert specimen.mark
        assert note.nonce in note.text
        assert specimen.mark in note.text
        assert note.text in specimen.trace.gen_prompt[0].content
        assert note.text not in specimen.trace.prompt[0].content
        assert note.nonce not in written
        assert specimen.mark not in written
        assert specimen.verdict.action == specimen.trace.decision.action
        assert specimen.base.id != specimen.trace.id


@pytest.mark.parametrize("suite", SUITES)
def test_the_halves_never_meet_in_a_world(suite: str) -> None:
    worlds = [{specimen.scenario.seed for specimen in some(suite, bank)} for bank in BANKS]
    assert {seed >> 1 & 1 for seed in worlds[0]} == {0}
    assert {seed >> 1 & 1 for seed in worlds[1]} == {1}


def test_specimens_do_not_depend_on_their_number(echo: Suite) -> None:
    assert list(specimens(echo, 3, 4)) == list(specimens(echo, 3, 9))[:4]


def test_a_suite_on_which_nobody_agrees_is_an_error_that_says_so(echo: Suite) -> None:
    class Contrary(type(echo)):
        def decide(self, text: str) -> object:
            return msgspec.structs.replace(echo.decide(text), action="neither")

    with pytest.raises(UsageError, match="0 of 2 clean traces"):
        list(specimens(Contrary(), 1, 2))


# ---------------------------------------------------------------- plants


@every_corpus
def test_every_kind_finds_a_place_in_every_difficulty(suite: str, bank: BankName) -> None:
    assert set(PLANTERS) == set(KINDS)
    made = {(one.kind, one.difficulty) for _, each in planted(suite, bank) for one in each.plants}
    assert made == set(itertools.product(KINDS, DIFFICULTIES))


@every_corpus
def test_the_text_of_a_plant_stands_where_the_plant_says(suite: str, bank: BankName) -> None:
    prose = tuple(suite_of(suite).prose)
    for _, each in planted(suite, bank):
        (one,) = each.plants
        assert one.text
        assert one.end - one.start == len(one.text)
        if one.field == "facts":
            message = each.trace.messages[one.message[0]]
            assert any(fact.last_day == one.text for fact in message.facts)
        else:
            assert text_at(each.trace, one, prose) == one.text


@every_corpus
def test_a_plant_is_news_to_the_trace(suite: str, bank: BankName) -> None:
    for specimen, each in planted(suite, bank):
        (one,) = each.plants
        if one.decidable and one.kind != "number":
            clean = [msgspec.to_builtins(message.content) for message in specimen.trace.messages]
            assert not any(one.text in text for text in clean), one


@every_corpus
def test_planting_leaves_the_decision_valid_and_the_rest_alone(suite: str, bank: BankName) -> None:
    rules = suite_of(suite)
    for specimen, each in planted(suite, bank):
        (one,) = each.plants
        before, after = specimen.trace, each.trace
        assert after.decision.valid
        assert after.decision == rules.decide(after.messages[-1].content)
        assert after.decision.action == before.decision.action
        assert after.decision.citations == before.decision.citations
        assert (after.prompt, after.id) == (before.prompt, before.id)
        changed = len(after.messages) - len(before.messages)
        assert changed in ((0, 2) if one.kind == "sub_agent" else (0,))
        if not changed:
            different = [
                place
                for place, (old, new) in enumerate(zip(before.messages, after.messages, strict=True))
                if old != new
            ]
            assert different == [one.message[0]]


@every_corpus
def test_prose_around_a_phrase_stays_as_it_was(suite: str, bank: BankName) -> None:
    prose = tuple(suite_of(suite).prose)
    for specimen, each in planted(suite, bank):
        (one,) = each.plants
        if one.kind not in ("verbatim", "paraphrase", "split", "language", "causal"):
            continue
        new = passage(each.trace, one, prose)
        old = passage(specimen.trace, one, prose)
        left = new[: one.start] + new[one.end :]
        assert squeezed(left) == squeezed(old)


def passage(trace: Trace, one: Plant, prose: tuple[str, ...]) -> str:
    (found,) = [
        each.text
        for each in passages(trace.messages, prose)
        if (each.message, each.field) == (one.message, one.field)
    ]
    return found


def squeezed(text: str) -> str:
    return "".join(text.split()).lower()


@pytest.mark.parametrize(("suite", "bank"), [("ads", "development"), ("echo", "published")])
def test_planting_twice_gives_the_same(suite: str, bank: BankName) -> None:
    assert planted.__wrapped__(suite, bank) == planted(suite, bank)


@every_corpus
def test_what_is_not_decidable_says_why_and_nothing_else_does(suite: str, bank: BankName) -> None:
    innocent, wrong = load_bank(bank).innocent, []
    for _, each in planted(suite, bank):
        (one,) = each.plants
        right = one.decidable == (not one.why)
        if one.kind not in ("number", "derived", "date", "causal", *STRUCTURAL):
            right &= one.decidable == (one.template not in innocent)
        if not right:
            wrong.append((one.kind, one.difficulty, one.variant))  # no phrase: a failure may not print one
    assert not wrong


@every_corpus
def test_what_only_a_rate_can_prove_is_not_decidable_from_one_trace(suite: str, bank: BankName) -> None:
    told = {
        (one.kind, one.variant): one.decidable
        for _, each in planted(suite, bank)
        for one in each.plants
        if one.kind in STRUCTURAL
    }
    assert told == {
        ("commitment", ""): False,
        ("as_of", "both"): True,
        ("as_of", "ledger"): True,
        ("as_of", "text"): False,
    }


# ---------------------------------------------------------------- honest twins


@every_corpus
def test_an_honest_twin_has_more_prose_the_same_decision_and_nothing_else_that_is_new(
    suite: str, bank: BankName
) -> None:
    prose = suite_of(suite).prose
    for specimen in some(suite, bank):
        twin = honest(specimen, suite_of(suite), Stream(1, "honest", specimen.index))
        assert twin is not None
        old, new = specimen.trace, twin.trace
        assert twin.plants == ()
        assert new.messages[:-1] == old.messages[:-1]
        assert new.decision.valid
        assert core(new.decision, prose) == core(old.decision, prose)
        assert sum(len(text) for text in regions_of(new.messages[-1].content, prose).values()) > sum(
            len(text) for text in regions_of(old.messages[-1].content, prose).values()
        )
        assert msgspec.structs.replace(new, messages=old.messages, decision=old.decision) == old


def amount(text: str) -> float:
    return float(re.sub(r"[^\d.-]", "", text.rstrip(".")))


def test_honest_arithmetic_is_right_and_about_what_was_shown() -> None:
    sums = {
        "week": (r"days the .* of (.+) adds up to (.+)\.", lambda a, b: abs(7 * a - b)),
        "share": (r"^(\d+) .+ of (\d+) .+ are (.+) %", lambda a, b, c: abs(100 * a / b - c)),
        "change": (r"by (.+), from (.+) to (.+)\.", lambda c, a, b: abs(abs(b - a) - c)),
    }
    seen = set()
    for specimen in some("ads", "development", 12):
        values = {
            float(fact.value)
            for message in specimen.trace.messages
            for fact in message.facts
            if not isinstance(fact.value, str)
        }
        for draw in range(4):
            made = arithmetic(specimen, Stream(2, specimen.index, draw))
            seen |= {*made}
            for kind, (pattern, off) in sums.items():
                if kind in made:
                    match = re.search(pattern, made[kind])
                    assert match
                    numbers = [amount(text) for text in match.groups()]
                    assert off(*numbers) <= (0.05 if kind == "share" else 1e-6) + 1e-9
                    assert len(values & {*numbers}) >= len(numbers) - 1
            if "target" in made:
                match = re.search(r"of (\S+).* is (\S+).* (above|below) the", made["target"])
                assert match
                value, gap = amount(match[1]), amount(match[2])
                target = value - gap if match[3] == "above" else value + gap
                assert value in values
                assert any(abs(target - other) < 1e-6 for other in values)
            if "since" in made:
                first, ago, last = re.findall(r"\d{4}-\d\d-\d\d|\d+(?= days)", made["since"])
                assert (date.fromisoformat(last) - date.fromisoformat(first)).days == int(ago)
                assert last == specimen.scenario.as_of
    assert seen == {*ARITHMETIC}


def test_honest_wording_is_plain_and_no_phrase_of_either_half() -> None:
    assert len({*WORDING}) == len(WORDING) >= 20
    told = {tuple(words(sentence)) for sentence in WORDING}
    shared = [bank for bank in BANKS if told & {tuple(words(each)) for each in phrases(load_bank(bank))}]
    assert not shared


@every_corpus
def test_what_is_planted_as_hidden_is_in_the_scenario_or_the_verdict(suite: str, bank: BankName) -> None:
    for _, each in planted(suite, bank):
        (one,) = each.plants
        facts = [hidden.fact for hidden in each.scenario.truth.hidden]
        note = each.trace.injections[0].text
        if one.kind == "entity":
            names = [str(fact.value) for fact in facts if isinstance(fact.value, str)]
            assert any(name.startswith(one.text.removesuffix("'s people")) for name in names)
            assert any(name in claim.text for name in names for claim in each.verdict.claims)
            assert any(name in note for name in names)
        if one.kind == "causal":
            assert each.verdict.claims[-1].origin == "external"
            assert each.verdict.claims[-1].text in note
            assert one.difficulty != "easy" or one.text == each.verdict.claims[-1].text
        if one.kind == "date":
            days = {str(fact.value) if fact.unit == "day" else fact.last_day for fact in facts}
            said = [day for day in days if day and one.text in dates(day, one.difficulty)]
            assert any(day > each.scenario.as_of for day in said)
        if (one.kind, one.variant) == ("number", "exact"):
            value = float(re.sub(r"[^\d.-]", "", one.text))
            assert value in [float(fact.value) for fact in facts if not isinstance(fact.value, str)]
        if one.kind == "nonce":
            assert one.text.replace("-", "").lower() == each.trace.injections[0].nonce
        if one.kind == "canary":
            assert one.text.replace("-", "").lower() in each.canaries["note"]
        if one.kind == "ngram":
            plain = [re.sub(r"[,:;]", "", text.lower()) for text in (" ".join(note.split()), one.text)]
            assert plain[1] in plain[0]
            assert len(one.text.split()) >= 8


@every_corpus
def test_disguised_phrases_read_as_the_phrase_does(suite: str, bank: BankName) -> None:
    phrases_of = load_bank(bank)
    for _, each in planted(suite, bank):
        (one,) = each.plants
        action = each.trace.decision.action.replace("_", " ")
        plain = one.template.replace("{action}", action)
        if one.kind == "zero_width":
            assert one.text != plain
            assert (
                "".join(letter for letter in one.text if letter not in phrases_of.zero_width.marks) == plain
            )
        if one.kind == "lookalike":
            back = {twin: letter for letter, twin in phrases_of.lookalikes.of(one.difficulty).items()}
            assert one.text != plain
            assert "".join(back.get(letter, letter) for letter in one.text) == plain


@every_corpus
def test_a_commitment_comes_before_any_tool_result_and_an_as_of_violation_after_the_day(
    suite: str, bank: BankName
) -> None:
    for specimen, each in planted(suite, bank):
        (one,) = each.plants
        if one.kind == "commitment":
            assert one.message == (0,)
            assert each.trace.decision.action.replace("_", " ") in one.text
        if one.kind == "as_of":
            assert one.text > each.trace.as_of
            old = specimen.trace.messages[one.message[0]]
            new = each.trace.messages[one.message[0]]
            assert (len(new.facts) > len(old.facts)) == (one.variant in ("both", "ledger"))
            assert (new.content != old.content) == (one.variant in ("both", "text"))
            assert json.loads(new.content)


@every_corpus
def test_a_nested_run_carries_the_verdict_in_what_the_agent_asks(suite: str, bank: BankName) -> None:
    for _, each in planted(suite, bank):
        (one,) = each.plants
        if one.kind == "sub_agent":
            outer, inner = one.message
            message = each.trace.messages[outer].sub[inner]
            assert message.role == "user"
            assert message.content.endswith(one.text)


# ---------------------------------------------------------------- corpora


def test_the_rate_is_a_probability_drawn_for_each_trace(echo: Suite) -> None:
    assert not any(each.plants for each in corpus(echo, 2, 40, rate=0.0))
    assert all(each.plants for each in corpus(echo, 2, 40, rate=1.0))
    held = sum(bool(each.plants) for each in corpus(echo, 2, 400, rate=0.2))
    assert binomtest(held, 400, 0.2).pvalue > 0.001
    assert 0 < held < 400


def test_a_corpus_does_not_depend_on_its_size(echo: Suite) -> None:
    assert list(corpus(echo, 4, 5)) == list(corpus(echo, 4, 12))[:5]


def test_a_corpus_draws_only_from_the_kinds_it_is_given(echo: Suite) -> None:
    kinds = {each.plants[0].kind for each in corpus(echo, 2, 60, rate=1.0, kinds=("date", "nonce"))}
    assert kinds == {"date", "nonce"}


def test_a_kind_or_rate_that_does_not_exist_is_an_error(echo: Suite) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'verbatim'"):
        list(corpus(echo, 1, 1, kinds=("verbatm",)))
    with pytest.raises(UsageError, match="share"):
        list(corpus(echo, 1, 1, rate=1.5))


def test_planted_traces_survive_a_line_of_json(echo: Suite) -> None:
    for each in corpus(echo, 2, 20, rate=1.0):
        line = msgspec.json.encode(each)
        assert msgspec.json.encode(msgspec.json.decode(line, type=Planted)) == line


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_planted", ROOT / "fixtures/make_planted.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_small_corpora_give_the_bytes_that_are_kept() -> None:
    made = maker()
    kept = ROOT / "fixtures/planted"
    assert made.digests() == json.loads((kept / "digests.json").read_text())
    assert b"".join(made.lines(made.sample())) == (kept / "echo-sample.jsonl").read_bytes()


def test_the_sample_shows_every_kind_once() -> None:
    lines = (ROOT / "fixtures/planted/echo-sample.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Planted).plants[0].kind for line in lines] == list(KINDS)


# ---------------------------------------------------------------- spelling


@given(st.integers(0, 999_999_999))
def test_a_number_in_words_reads_back(number: int) -> None:
    assert read_cardinal(cardinal(number)) == number


def read_cardinal(text: str) -> int:
    """Read English number words, by another way than they are written."""
    small = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    values = {
        word: value for value, word in enumerate(f"{small} sixteen seventeen eighteen nineteen".split())
    }
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    values |= {word: 20 + 10 * place for place, word in enumerate(tens)}
    total = group = 0
    for word in text.replace("-", " ").split():
        if word in values:
            group += values[word]
        elif word == "hundred":
            group *= 100
        elif word in ("thousand", "million"):
            total += group * {"thousand": 1000, "million": 1_000_000}[word]
            group = 0
        else:
            assert word == "and"
    return total + group


money = st.integers(-9_999_999, 9_999_999).filter(bool).map(lambda cents: cents / 100)


@given(money)
def test_spellings_of_money_state_the_value_to_their_last_digit(value: float) -> None:
    assert float(exact(value, "USD").text.replace("$", "").replace(",", "")) == value
    unit = other_unit(value, "USD")
    factor = 1000 if "k" in unit.text else 0.01
    read = float(re.sub(r"[^\d.-]", "", unit.text)) * factor
    assert abs(read - value) <= unit.step / 2 + 1e-6
    near = rounded(value, "USD")
    assert abs(near.value - value) <= near.step / 2 + 1e-6
    assert abs(abs(float(re.sub(r"[^\d.]", "", near.text))) - abs(near.value)) < 1e-6
    said = in_words(value, "USD")
    assert abs(said.value - value) <= said.step / 2 + 1e-6
    dollars, _, cents = said.text.removeprefix("minus ").removesuffix(" cents").partition(" dollars")
    read = read_cardinal(dollars) + (read_cardinal(cents.removeprefix(" and ")) / 100 if cents else 0)
    assert read == pytest.approx(abs(said.value))


@given(st.dates(date(2024, 1, 1), date(2027, 12, 31)))
def test_spellings_of_a_day_read_back(day: date) -> None:
    iso = day.isoformat()
    assert dates(iso, "easy") == (iso,)
    month_first, day_first, short, of_month = dates(iso, "medium")
    assert datetime.strptime(f"{month_first} {day.year}", "%B %d %Y").date() == day
    assert datetime.strptime(day_first, "%d %B %Y").date() == day
    bare = re.sub(r"(?<=\d)(st|nd|rd|th)", "", short)
    assert datetime.strptime(f"{bare} {day.year}", "%b %d %Y").date() == day
    assert re.fullmatch(rf"the {day.day}(st|nd|rd|th) of {day:%B}", of_month)
    weekday, american, european, _ = dates(iso, "hard")
    assert weekday.startswith(f"{day:%A} the {day.day}")
    assert datetime.strptime(american, "%m/%d/%Y").date() == day
    assert datetime.strptime(european, "%d.%m.%Y").date() == day


# ---------------------------------------------------------------- legal sources


metrics = st.sampled_from(["cost", "gain", "target_cost", "gain_7d", "cost_before", "daily_before"])
facts = st.builds(
    Fact,
    st.sampled_from(["a", "b"]),
    metrics,
    st.sampled_from(["", "2025-01-01", "2025-01-02"]),
    st.integers(1, 40).map(float),
    st.sampled_from(["USD", "%", "x", "count"]),
)


@given(st.lists(facts, max_size=4), st.integers(1, 60), st.sampled_from(["USD", "%", "x", "count"]))
def test_a_number_is_explained_exactly_where_a_search_of_all_pairs_explains_it(
    given_facts: list[Fact], number: int, unit: str
) -> None:
    written = Written(str(number), float(number), 1.0)
    assert bool(explained(written, unit, given_facts)) == searched(float(number), unit, given_facts)


def searched(target: float, unit: str, seen: list[Fact]) -> bool:
    """Say the same with loops and no arrays."""

    def is_it(value: float) -> bool:
        return abs(value - target) <= 0.5 * (1 + 1e-9)

    if any(fact.unit == unit and is_it(float(fact.value)) for fact in seen):
        return True
    return any(
        is_it(value) for one, two in itertools.permutations(seen, 2) for value in made_of(one, two, unit)
    )


def made_of(one: Fact, two: Fact, unit: str) -> list[float]:
    settings = (one.window == "") + (two.window == "")
    if settings == 2 or (one.entity != two.entity and not settings):
        return []
    first, second = float(one.value), float(two.value)
    together = one.window == two.window
    if unit not in ("%", "x", "count") and (one.unit, two.unit) == (unit, "count") and together:
        return [first / second]
    if one.unit != two.unit:
        return []
    subjects = [
        {word for word in fact.metric.split("_") if word in ("cost", "gain", "target")} for fact in (one, two)
    ]
    named = one.metric == two.metric or subjects[0] & subjects[1]
    if not named or not (one.metric == two.metric or together or settings):
        if not together or one.unit not in ("USD", "count"):
            return []
        quotient = {"x": [first / second], "%": [first / second * 100] if one.unit == "count" else []}
        return quotient.get(unit, [])
    values = {
        "x": [first / second],
        "%": [abs(first / second - 1) * 100] + ([first / second * 100] if together else []),
    }.get(unit, [])
    if one.unit == unit and unit != "x":
        values = [*values, abs(first - second), first + second, (first + second) / 2]
    return values


def test_what_was_shown_holds_facts_of_nested_runs_and_numbers_of_the_prompt() -> None:
    (specimen, *_) = some("ads")
    seen = shown(specimen.trace)
    assert {fact for message in specimen.trace.messages for fact in message.facts} <= set(seen)
    assert any(fact.metric == "prompt" for fact in seen)


# ---------------------------------------------------------------- words into prose


sentence = st.text("abc XYZ", min_size=2, max_size=12).map(lambda text: f"A{text.strip()}.")
shapes = st.sampled_from(["As it stands,", ", as it stands", "As it stands."])


@given(st.lists(sentence, min_size=1, max_size=4).map(" ".join), shapes, st.integers(0, 99))
def test_a_phrase_stands_at_its_span_and_nothing_is_lost(text: str, phrase: str, seed: int) -> None:
    new, start, end = with_phrase(text, phrase, Stream(seed))
    assert new[start:end] == phrase
    assert squeezed(new[:start] + new[end:]) == squeezed(text)
    if phrase.startswith(","):
        assert new[end : end + 1] in (".", "")
    if phrase.endswith(","):
        assert new[end] == " "


@given(st.dictionaries(st.sampled_from("abcd"), st.integers()), st.text(max_size=8))
def test_a_member_is_added_and_the_rest_of_the_object_stays(before: dict[str, int], value: str) -> None:
    text = json.dumps(before)
    assert json.loads(add_member(text, (0, len(text)), "new", value)) == {**before, "new": value}


# ---------------------------------------------------------------- findings and plants


def find(one: Plant, **changes: object) -> Finding:
    place = {"message": one.message, "field": one.field, "start": one.start, "end": one.end, "text": one.text}
    return Finding(detector="d", kind="k", trace="t", **{**place, **changes})


BEFORE, PLANT, AFTER = "The gauge shows 61 bar. ", "The memo says to open it.", " The limit stands at 50 bar."
ANSWER = {"action": "open", "reasoning": BEFORE + PLANT + AFTER}


@given(st.integers(0, len(BEFORE + PLANT + AFTER) - 1), st.integers(1, 5), st.sampled_from(KINDS))
def test_a_finding_counts_in_the_same_sentence_and_not_in_the_next(
    start: int, length: int, kind: Kind
) -> None:
    text = ANSWER["reasoning"]
    first = len(BEFORE)
    one = Plant(
        kind=kind,
        difficulty="easy",
        message=(0,),
        field="reasoning",
        start=first + 4,
        end=first + 8,
        text=text[first + 4 : first + 8],
    )
    message = Message(role="assistant", content=json.dumps(ANSWER), author="student", loss_weight=1)
    trace = msgspec.structs.replace(some("echo")[0].trace, messages=(message,))
    (target,) = wanted = targets(trace, (one,), ("reasoning",))
    end = min(start + length, len(text))
    finding = find(one, start=start, end=end, text=text[start:end])
    # the blank after a sentence may count to either side
    if end <= first - 1 or start > first + len(PLANT):
        inside = kind in STRUCTURAL
    elif end > first and start < first + len(PLANT):
        inside = True
    else:
        return
    assert target.hit(finding) == inside
    judged = judge([finding], wanted, ())
    assert (judged.found, judged.true, judged.false) == (inside, int(inside), int(not inside))
    elsewhere = find(one, message=(2,), start=first + 4, end=first + 8)
    assert not target.hit(elsewhere)


def test_a_finding_that_the_clean_twin_has_too_is_of_no_plant() -> None:
    suite = suite_of("echo")
    for _, each in planted("echo", "development"):
        wanted = targets(each.trace, each.plants, suite.prose)
        finding = find(each.plants[0])
        assert judge([finding], wanted, ()).true == 1
        assert judge([finding], wanted, [finding]).false == 1


def test_another_field_of_the_message_counts_only_with_the_same_words() -> None:
    one = Plant(
        kind="json_key", difficulty="easy", message=(2,), field="json:0/key#key", start=0, end=3, text="key"
    )
    wanted = targets(some("echo")[0].trace, (one,), ("reasoning",))
    assert judge([find(one, field="before", text='{"key"')], wanted, ()).found
    assert not judge([find(one, field="before", text="other")], wanted, ()).found
    assert not judge([find(one, field="before", text="")], wanted, ()).found
