"""Folding: what it brings back, what it leaves alone, and that its way back is exact."""

# ruff: noqa: RUF001 - look-alikes are what is tested

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opoi.folding import fold, plain

INVISIBLE = "\u200b\u200c\u200d\ufeff\u2060\u00ad\u202e\u202c\u200e\ufe0f\u180e\U000e0061\U000e0100\u034f"
LOOKS_LIKE = {
    "a": "аα𝐚ａɑ",
    "c": "сϲ𝒄ｃ",
    "d": "ԁ𝕕ｄ",
    "e": "е𝐞ｅℯ",
    "h": "һ𝗵ｈн",
    "i": "і𝐢ｉı",
    "k": "к𝓴ｋ",
    "m": "мｍ𝚖",
    "n": "ո𝐧ｎ",
    "o": "оο𝐨ｏօ",
    "p": "рρ𝐩ｐ",
    "r": "г𝐫ｒ",
    "s": "ѕ𝐬ｓ",
    "t": "т𝐭ｔ",
    "u": "υս𝐮ｕ",
    "v": "νѵ𝐯ｖ",
    "x": "х𝐱ｘ",
    "y": "у𝐲ｙ",
}
ODD = (
    st.sampled_from(sorted({*"".join(LOOKS_LIKE.values()), *INVISIBLE, *"ab. .\n-'"}))
    | st.sampled_from("\u0301\u0327\u00a0—“’´…ﬁ①٣")
    | st.characters()
    | st.sampled_from("\u1100\u1161\u11a8\uff76\uff9e\u3164\uffa0\u3131\u2034\u0345\u0b92\u0bd7")
)
ODD_SIGNS = st.lists(ODD.filter(lambda sign: sign not in "\x1b\x9b\x9d"), max_size=30).map("".join)
"""Without escape sequences: each sign stands for itself."""
SEQUENCES = [
    "\x1b[31m",
    "\x1b[m",
    "\x1b[38;2;1;2;3m",
    "\x1b[?25l",
    "\x1b[2 q",
    "\x9b1m",
    "\x1b]8;;https://e.org/a?b\x1b\\",
    "\x1b]0;title\x07",
    "\x9d2;é\x9c",
    "\x1b(B",
]
ODD |= st.sampled_from(
    [*SEQUENCES, "\x1b", "\x1b[", "\x1b]", "\x9b", "\x9d", "\x07", "\x1b\\", "\x1b]a b\x07"]
)
ODD_TEXT = st.lists(ODD, max_size=30).map("".join)


@given(st.text(st.characters(max_codepoint=127, exclude_characters="\x1b")))
def test_ascii_is_returned_as_it_is(text: str) -> None:
    folded = fold(text)
    assert plain(text)
    assert folded.text is text
    assert folded.offsets == range(len(text))
    assert folded.ends == range(1, len(text) + 1)


PLAIN_TEXT = st.lists(st.sampled_from("ab. \n—“’´–éßñ€°µ日本ひ한→✓🙂×¡\u00a0٣") | ODD, max_size=12).map(
    "".join
)


@given(PLAIN_TEXT)
@example("It’s “so” — 5 µm, naïve")
def test_the_short_way_gives_what_the_long_way_gives(text: str) -> None:
    short, long = fold(text), fold(text + "\u00ad")  # a mark that cannot be seen takes the long way
    assert short.text == long.text
    assert list(short.offsets) == list(long.offsets)
    assert list(short.ends) == list(long.ends)


@given(ODD_TEXT, ODD_TEXT)
def test_lines_fold_by_themselves(first: str, second: str) -> None:
    assert fold(f"{first}\n{second}").text == f"{fold(first).text}\n{fold(second).text}"


@given(ODD_TEXT)
@example("´\u0301")
@example("а\u0301b")
@example("ϲ\u0327о")
@example("\u2057\uff9e")
def test_folding_twice_equals_folding_once(text: str) -> None:
    once = fold(text).text
    assert fold(once).text == once


@given(ODD_TEXT)
def test_the_way_back_is_monotonous_and_stays_inside_of_the_text(text: str) -> None:
    folded = fold(text)
    assert len(folded.text) == len(folded.offsets) == len(folded.ends)
    spans = list(zip(folded.offsets, folded.ends, strict=True))
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(left == right or left[1] <= right[0] for left, right in pairwise(spans))
    covered = {index for start, end in spans for index in range(start, end)}
    lost = "".join(sign for index, sign in enumerate(text) if index not in covered)
    assert fold(lost).text == ""


@given(ODD_TEXT)
def test_what_a_person_reads_is_in_normal_form_without_invisible_marks(text: str) -> None:
    folded = fold(text).text
    assert unicodedata.is_normalized("NFKC", folded)
    assert not set(folded) & {*INVISIBLE, *"\x1b\x9b\x9d", *"\u00a0\u2003\u2028—–“”‘’"}


WORD = st.text(sorted(LOOKS_LIKE), min_size=2, max_size=10)


@st.composite
def disguised(draw: st.DrawFn) -> tuple[str, str, str, str]:
    """Draw a plain word, the same with marks and look-alikes (its `b` stays), and text before and after."""
    word = "b" + draw(WORD)
    masked = ["b"]
    for letter in word[1:]:
        masked.append(draw(st.sampled_from(letter + LOOKS_LIKE[letter])))
        hidden = st.lists(st.sampled_from([*sorted(INVISIBLE), *SEQUENCES]), max_size=2)
        masked.append("".join(draw(hidden)))
    masked[-1] = ""
    around = st.sampled_from(["", "the ", "Слово дня: ", "«", "1 – ", "é ", "…", "\u200b \u2060"])
    behind = st.sampled_from(["", " said", "»", ".", "\u200d!", " мир"])
    return word, "".join(masked), draw(around), draw(behind)


@given(disguised())
def test_a_disguised_word_is_found_and_its_span_is_the_disguise(case: tuple[str, str, str, str]) -> None:
    word, masked, before, after = case
    text = before + masked + after
    folded = fold(text)
    place = folded.text.index(word)
    start, end = folded.span(place, place + len(word))
    assert text[start:end] == masked
    assert fold(text[start:end]).text == word


@given(ODD_TEXT, st.data())
def test_an_empty_span_stays_empty(text: str, data: st.DataObject) -> None:
    folded = fold(text)
    at = data.draw(st.integers(0, len(folded.text)))
    start, end = folded.span(at, at)
    assert start == end <= len(text)


@given(ODD_SIGNS)
@example("\ufb01\u180e\u0327")
def test_offsets_count_the_visible_signs_before_them(text: str) -> None:
    """Second computation: where nothing is joined or split, the n-th sign comes from the n-th visible one."""
    folded = fold(text)
    if any(end - start != 1 for start, end in zip(folded.offsets, folded.ends, strict=True)):
        return
    visible = [index for index, sign in enumerate(text) if fold(sign).text]
    if len(visible) == len(folded.text):
        assert list(folded.offsets) == visible
    else:
        assert all(visible[bisect_right(visible, at) - 1] == at for at in folded.offsets)


@pytest.mark.parametrize(
    "text",
    [
        "Эксперт сказал: рост и хор.",
        "Все хорошо, сор в поле.",
        "Οι ρυθμοί είναι καλοί",
        "Der Prüfer hält das für gut",
        "Conformément à l'évaluation",
        "専門家の意見",
        "المراجع",
    ],
)
def test_sentences_of_other_languages_stay(text: str) -> None:
    assert fold(text).text == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("The ехреrt says", "The expert says"),
        ("сор", "cop"),
        ("V\u200bER\u00adDICT", "VERDICT"),
        ("“As\u00a0told” — it’s", '"As told" - it\'s'),
        ("\uff52eview\uff45r", "reviewer"),
        ("٣٤.٥", "34.5"),
        ("\U0001d403ecision", "Decision"),
        ("line\u2028break", "line\nbreak"),
        ("the \u202etold\u202c", "the told"),
        ("ІВМ", "IBM"),
        ("opεη", "open"),
        ("5 μm and 3 µs", "5 μm and 3 μs"),
    ],
)
def test_disguises_read_as_plain_text(text: str, reads: str) -> None:
    assert fold(text).text == reads


def test_a_long_run_of_marks_is_folded_in_one_go() -> None:
    text = "a" + "\u0301\u0327" * 50_000 + " told"
    folded = fold(text)
    assert folded.text.endswith(" told")
    assert folded.span(len(folded.text) - 4, len(folded.text)) == (len(text) - 4, len(text))


@given(st.lists(st.tuples(st.sampled_from([*SEQUENCES, ""]), st.text("The note.\n", max_size=4)), max_size=9))
def test_escape_sequences_of_terminals_hide_nothing_and_spans_leave_them_out(
    runs: list[tuple[str, str]],
) -> None:
    text = "".join(sequence + said for sequence, said in runs)
    folded = fold(text)
    assert folded.text == "".join(said for _, said in runs)
    place, shown = 0, 0
    for sequence, said in runs:
        place += len(sequence)
        if said:
            assert folded.span(shown, shown + len(said)) == (place, place + len(said))
        place += len(said)
        shown += len(said)
    assert plain(text) == (not any(sequence for sequence, _ in runs))


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("\x1b[1;31mThe note\x1b[0m", "The note"),
        ("th\x1b]8;;http://e.org\x07e no\x1b]8;;\x07te", "the note"),
        ("\x1b]0;the note says so\x07", "]0;the note says so\x07"),  # words stay words
        ("\x1b]0;no end", "]0;no end"),
        ("the\x1b[31\nnote", "the[31\nnote"),
        ("n\x1bote", "note"),
        ("n\x1b\u200b[1mote", "n[1mote"),
        ("e\x1b[1m\u0301", "é"),
        ("“th\x1b[1mе” note", '"the" note'),
        ("[31m (B ]8;;", "[31m (B ]8;;"),
    ],
)
def test_escapes_are_told_from_text(text: str, reads: str) -> None:
    assert fold(text).text == reads


def test_many_escapes_without_an_end_are_folded_in_one_go() -> None:
    for start in ("\x1b]", "\x9d", "\x1b[1;", "\x9b1 ", "\x1b"):
        text = start * 20_000 + "\ntold"
        assert fold(text).text.endswith("\ntold")
