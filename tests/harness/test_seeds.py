from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.seeds import Stream

PARTS = st.lists(st.text(max_size=5) | st.integers(), max_size=4)


@given(seed=st.integers(), path=PARTS, below=PARTS)
def test_a_draw_depends_on_seed_and_path_alone(
    seed: int, path: list[str | int], below: list[str | int]
) -> None:
    assert Stream(seed, *path).at(*below).bits("x") == Stream(seed, *path, *below).bits("x")
    stream = Stream(seed, *path)
    first = stream.bits(*below)
    stream.bits("something else")
    assert stream.bits(*below) == first


@given(left=PARTS, right=PARTS)
def test_different_paths_are_different_streams(left: list[str | int], right: list[str | int]) -> None:
    same = [(type(part), part) for part in left] == [(type(part), part) for part in right]
    assert (Stream(0, *left).bits() == Stream(0, *right).bits()) == same


def test_the_numbers_are_those_of_the_standards() -> None:
    # computed here from the definition in the docstring, with the encoding spelled out
    encoded = b"i1:7" + b"s4:demo" + b"s1:x"
    assert Stream(7, "demo").bits("x") == int.from_bytes(
        hashlib.blake2b(encoded, digest_size=8).digest(), "little"
    )
    bulk = hashlib.shake_128(b"i1:7" + b"s4:demo" + b"s3:raw" + b"s1:x").digest(24)
    assert Stream(7, "demo").raw(3, "x") == bulk


@given(count=st.integers(1, 2**40), seed=st.integers())
def test_bounded_draws_stay_in_bounds(count: int, seed: int) -> None:
    stream = Stream(seed)
    assert 0 <= stream.below(count) < count
    assert 0 <= stream.seed31() < 2**31
    assert 0 <= stream.uniform() < 1
    assert 2 <= stream.between(2, 3) < 3


def test_draws_are_spread_evenly() -> None:
    stream = Stream(1, "even")
    counts = Counter(stream.below(8, index) for index in range(8000))
    chi2 = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert chi2 < 24.3  # 99.9 % point of chi-square with 7 degrees of freedom


@given(items=st.lists(st.integers(), max_size=20), seed=st.integers())
def test_shuffling_keeps_every_item(items: list[int], seed: int) -> None:
    assert Counter(Stream(seed).shuffled(items)) == Counter(items)


def test_weights_are_probabilities() -> None:
    stream = Stream(2)
    counts = Counter(stream.weighted({"a": 3.0, "b": 1.0, "c": 0.0}, index) for index in range(4000))
    assert counts["c"] == 0
    assert counts["a"] == pytest.approx(3000, abs=120)


def test_chance_is_never_at_zero_and_always_at_one() -> None:
    stream = Stream(3)
    assert not any(stream.chance(0, index) for index in range(200))
    assert all(stream.chance(1, index) for index in range(200))
