"""The language model behind the stand-in server: its probabilities are real ones."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.models.served.language import LanguageModel, token_id
from opoi.models.served.spelling import LONGEST_NUMBER, LONGEST_WORD, likeliest, spelled, steps, tokens

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
PROSE = st.lists(
    st.sampled_from(
        ["the", "gauge", " ", "is", ", ", "open", "12", " 3400", "\n", "\u00e9t\u00e9", "\u2713", "."]
    ),
    max_size=25,
).map("".join)
LEARNED = "The gauge is open. The gauge is shut, says the keeper; 12 of 340 were open."


def learned(*texts: str) -> LanguageModel:
    model = LanguageModel()
    for text in texts:
        model.learn(text)
    return model


def total(model: LanguageModel, text: str, given: str = "") -> float:
    return math.fsum(score.logprob for score in model.score(text, given=given))


# ---------------------------------------------------------------- tokens


@given(text=TEXT)
def test_tokens_joined_are_the_bytes_of_the_text(text: str) -> None:
    assert b"".join(tokens(text)) == text.encode()
    assert b"".join(LanguageModel().tokens(text)) == text.encode()


@given(text=TEXT)
def test_only_single_bytes_are_not_ascii(text: str) -> None:
    assert all(token.isascii() or len(token) == 1 for token in tokens(text))


def test_words_take_the_space_before_them_and_long_ones_fall_apart() -> None:
    assert tokens("Open the  gate-7, 12345!") == [
        *(b"Open", b" the", b" ", b" gate", b"-", b"7", b",", b" 123", b"45", b"!"),
    ]
    assert tokens("x" * 20) == [b"x" * LONGEST_WORD, b"xxxx"]
    assert tokens("\u00e9") == [b"\xc3", b"\xa9"]


@given(text=TEXT, at=st.integers(0, 60))
def test_a_text_cut_between_two_tokens_has_the_first_tokens_of_the_whole(text: str, at: int) -> None:
    whole = tokens(text)
    head = b"".join(whole[:at])
    try:
        part = head.decode()
    except UnicodeDecodeError:
        return
    assert tokens(part) == whole[:at]


@given(text=TEXT)
def test_numbers_of_tokens_are_stable_and_fit_31_bits(text: str) -> None:
    assert all(0 <= token_id(token) < 2**31 for token in tokens(text))
    assert [token_id(bytes([byte])) for byte in range(256)] == list(range(256))
    assert token_id(b" the") == 476_799_236


# ---------------------------------------------------------------- spelling sums to one


def shapes() -> list[bytes]:
    """Return the start of a token in every state of the spelling tree."""
    words = [space + b"q" * length for space in (b"", b" ") for length in range(1, LONGEST_WORD + 1)]
    numbers = [space + b"7" * length for space in (b"", b" ") for length in range(1, LONGEST_NUMBER + 1)]
    return [b"", b" ", b"-", b"\n", b"\xc3", *words, *numbers]


@pytest.mark.parametrize("begun", shapes(), ids=repr)
def test_at_each_node_of_the_spelling_tree_the_steps_sum_to_one(begun: bytes) -> None:
    assert math.fsum(steps(begun).values()) == pytest.approx(1, abs=1e-12)
    assert min(steps(begun).values()) > 0


def test_the_tree_is_walked_as_the_text_is_split() -> None:
    """What the tree can spell is one token of the split, and the tree ends where the split does."""
    for begun in shapes()[1:]:
        assert tokens(begun.decode(errors="surrogateescape")) == [begun] if begun.isascii() else True
        for byte in steps(begun):
            if byte is not None:
                assert tokens((begun + bytes([byte])).decode()) == [begun + bytes([byte])]
    assert steps(b"q" * LONGEST_WORD) == steps(b" 777") == steps(b"-") == {None: 1.0}


@given(text=TEXT)
def test_every_token_of_every_text_can_be_spelled(text: str) -> None:
    assert all(0 < spelled(token) < 1 for token in tokens(text))


@pytest.mark.parametrize("no_token", [b"", b"ab1", b"  a", b"x" * 17, b"1234", b"\xc3\xa9", b"-a"])
def test_what_is_not_one_token_has_no_spelling(no_token: bytes) -> None:
    with pytest.raises(ValueError, match="not a token"):
        spelled(no_token)


def test_all_short_spellings_and_the_rest_of_the_tree_sum_to_one() -> None:
    """Second computation: the sum over tokens of up to two bytes, and what longer ones leave."""
    ended, longer = 0.0, 0.0
    for first, chance in steps(b"").items():
        assert first is not None
        for second, step in steps(bytes([first])).items():
            if second is None:
                ended += spelled(bytes([first]))
            else:
                longer += chance * step
    assert ended + longer == pytest.approx(1, abs=1e-12)


def test_the_likeliest_spellings_are_likelier_than_all_others() -> None:
    first = likeliest(64)
    assert len(set(first)) == 64
    chances = [spelled(token) for token in first]
    assert chances == sorted(chances, reverse=True)
    two = [bytes([a]) for a in range(256)]
    two += [bytes([a, b]) for a in range(128) for b in steps(bytes([a])) if b is not None]
    assert max(spelled(token) for token in two if token not in first) <= chances[-1]


# ---------------------------------------------------------------- scores are probabilities


@settings(deadline=None, max_examples=25)
@given(known=PROSE, before=PROSE)
def test_the_next_token_is_one_of_all_tokens_with_probability_one(known: str, before: str) -> None:
    """All tokens that were met are summed; of all others each has a fixed multiple of its spelling."""
    model = learned(known) if known else LanguageModel()
    before += "\n"  # no token grows over it
    met = {*tokens(known), *tokens(before)}

    def chance(token: bytes) -> float:
        if not token.isascii():  # half a character cannot be asked for alone: the whole character is scored
            character = "\u00e9" if token == b"\xc3" else ""
            scores = model.score(character, given=before) if character else []
            return math.exp(scores[0].logprob) if scores else math.nan
        (score,) = model.score(token.decode(), given=before)
        return math.exp(score.logprob)

    strange = [token for token in (b"~", b" zebra", b"@", b"909") if token not in met]
    multiples = [chance(token) / spelled(token) for token in strange]
    assert multiples == pytest.approx([multiples[0]] * len(multiples), rel=1e-5)
    best = dict(model.score("~", given=before, top=400)[0].top)
    parts = {token: math.exp(best[token]) if not token.isascii() else chance(token) for token in met}
    unmet = 1 - math.fsum(spelled(token) for token in met)
    assert math.fsum(parts.values()) + multiples[0] * unmet == pytest.approx(1, abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(one=PROSE, two=PROSE, known=PROSE)
def test_scores_add_up_where_tokens_end_at_the_border(one: str, two: str, known: str) -> None:
    model = learned(known) if known else LanguageModel()
    one += "\n"
    assert model.score(one + two) == [*model.score(one), *model.score(two, given=one)]


@settings(deadline=None, max_examples=40)
@given(text=PROSE.filter(bool), known=PROSE, before=PROSE)
def test_the_top_holds_the_scores_of_its_tokens_in_order(text: str, known: str, before: str) -> None:
    model = learned(known) if known else LanguageModel()
    before += "\n"
    plain = model.score(text, given=before)
    ranked = model.score(text, given=before, top=300)
    assert [(s.token, s.id, s.logprob) for s in ranked] == [(s.token, s.id, s.logprob) for s in plain]
    for score in ranked:
        values = [logprob for _, logprob in score.top]
        assert len(values) == 300
        assert len(dict(score.top)) == 300
        assert values == sorted(values, reverse=True)
        assert math.fsum(map(math.exp, values)) <= 1 + 1e-4
        if score.rank <= 300:
            assert dict(score.top)[score.token] == score.logprob
        better = sum(value > score.logprob for value in values)
        assert better <= score.rank - 1


def test_the_top_is_that_of_asking_for_each_token_alone() -> None:
    """Second computation, of the best five, over everything that was met and all single ASCII bytes."""
    model = learned(LEARNED, LEARNED.upper())
    before = "The gauge is open. 12 keepers say the gauge"
    candidates = {*tokens(LEARNED), *tokens(LEARNED.upper()), *tokens(before)}
    candidates |= {bytes([byte]) for byte in range(128)}
    candidates = {token for token in candidates if not token[:1].isalpha()}  # they would join the last word
    alone = {
        token: model.score(token.decode(), given=before)[0].logprob
        for token in candidates
        if tokens(before + token.decode()) == [*tokens(before), token]
    }
    (score, *_) = model.score(" is", given=before, top=12)
    best = [(token, value) for token, value in score.top if token in alone][:5]
    expected = sorted(alone.items(), key=lambda item: (-item[1], item[0]))[:5]
    assert best == expected
    assert score.rank == 1


def test_a_text_repeated_is_expected() -> None:
    model = LanguageModel()
    sentence = "The keeper of gate 12 reports a leak.\n"
    assert total(model, sentence, given=sentence * 2) > total(model, sentence, given=sentence)
    assert total(model, sentence, given=sentence) > total(model, sentence) / 2


# ---------------------------------------------------------------- learning


@settings(deadline=None, max_examples=60)
@given(text=TEXT.filter(bool), other=PROSE)
def test_learned_text_becomes_likelier(text: str, other: str) -> None:
    model = learned(other) if other else LanguageModel()
    before = model.loss([text])
    model.learn(text)
    once = model.loss([text])
    model.learn(text, passes=5)
    assert before >= once >= model.loss([text])


@given(text=PROSE.filter(bool), passes=st.integers(1, 4))
def test_passes_are_repetitions(text: str, passes: int) -> None:
    model = LanguageModel()
    model.learn(text, passes=passes)
    assert model.score(LEARNED, top=3) == learned(*[text] * passes).score(LEARNED, top=3)


def test_a_copy_learns_on_its_own() -> None:
    base = learned(LEARNED)
    before = base.score(LEARNED, top=2)
    copy = base.copy()
    assert copy.score(LEARNED, top=2) == before
    copy.learn("The gauge is gone.", passes=20)
    assert base.score(LEARNED, top=2) == before
    assert copy.score(LEARNED, top=2) != before


def test_learning_zero_times_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least once"):
        LanguageModel().learn("x", passes=0)


@given(texts=st.lists(PROSE, max_size=3))
def test_loss_is_the_mean_over_all_tokens(texts: list[str]) -> None:
    model = learned(LEARNED)
    count = sum(len(tokens(text)) for text in texts)
    expected = -math.fsum(total(model, text) for text in texts) / count if count else 0
    assert model.loss(texts) == pytest.approx(expected, abs=1e-9)


def test_threads_learn_without_losing_anything() -> None:
    model = LanguageModel()
    crew = [threading.Thread(target=model.learn, args=(LEARNED,)) for _ in range(8)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    assert model.score(LEARNED) == learned(*[LEARNED] * 8).score(LEARNED)


def test_ten_kilobytes_are_scored_quickly() -> None:
    text = Path(__file__).read_text()[:10_000]
    model = LanguageModel()
    taken = []
    for _ in range(5):
        start = time.process_time()
        model.score(text)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.05
