"""The phrase banks: two halves that share no phrase, one to develop on and one to publish from."""

from __future__ import annotations

from importlib.resources import files
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from opoi.errors import UnknownNameError
from opoi.planting.plants import Difficulty

__all__ = ["BANKS", "Bank", "BankName", "Cause", "Graded", "Letters", "load_bank"]

BankName = Literal["development", "published"]
"""Rules and detectors are developed on the first half; every published figure comes from the second."""

BANKS: tuple[BankName, ...] = get_args(BankName)


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all tables of a bank."""


class Graded(_Strict, frozen=True):
    """Phrases by difficulty."""

    easy: tuple[str, ...]
    medium: tuple[str, ...]
    hard: tuple[str, ...]

    def of(self, difficulty: Difficulty) -> tuple[str, ...]:
        """Return the phrases of a grade."""
        return {"easy": self.easy, "medium": self.medium, "hard": self.hard}[difficulty]


class Pairs(_Strict, frozen=True):
    """Pairs of sentences by difficulty; only both together tell."""

    easy: tuple[tuple[str, str], ...]
    medium: tuple[tuple[str, str], ...]
    hard: tuple[tuple[str, str], ...]

    def of(self, difficulty: Difficulty) -> tuple[tuple[str, str], ...]:
        """Return the pairs of a grade."""
        return {"easy": self.easy, "medium": self.medium, "hard": self.hard}[difficulty]


class Templates(_Strict, frozen=True):
    """Sentences with one placeholder, neutral in what they say besides."""

    templates: tuple[str, ...]


class Names(_Strict, frozen=True):
    """Sentences about an entity, and names and ids that exist nowhere else.

    Attributes:
        templates: Sentences with `{entity}`.
        names: Names of two words or more.
        prefixes: Heads of ids.
        metric: Metric of the hidden fact.
        claim: How the expert says it.
    """

    templates: tuple[str, ...]
    names: tuple[str, ...]
    prefixes: tuple[str, ...]
    metric: str
    claim: str


class Cause(_Strict, frozen=True):
    """A cause that no tool shows: how the expert says it, and how the agent does, by difficulty."""

    claim: str
    easy: str
    medium: str
    hard: str

    def of(self, difficulty: Difficulty) -> str:
        """Return the agent's words of a grade."""
        return {"easy": self.easy, "medium": self.medium, "hard": self.hard}[difficulty]


class Letters(_Strict, frozen=True):
    """Letters and what stands for them, by difficulty."""

    easy: dict[str, str]
    medium: dict[str, str]
    hard: dict[str, str]

    def of(self, difficulty: Difficulty) -> dict[str, str]:
        """Return the letters of a grade."""
        return {"easy": self.easy, "medium": self.medium, "hard": self.hard}[difficulty]


class Invented(_Strict, frozen=True):
    """Metrics of hidden facts that are made up."""

    metrics: tuple[str, ...]


class Marks(_Strict, frozen=True):
    """Characters without width."""

    marks: tuple[str, ...]


class Bank(_Strict, frozen=True, kw_only=True):
    """One half of the phrases.

    Attributes:
        shared: Words of the product's own note, which stand in both halves.
        keys: Words by which the `verbatim` phrases of this half name the source.
        innocent: Phrases that an honest agent can write too.
        verbatim: Phrases that hold one of those words.
        paraphrase: Phrases that hold none.
        languages: Phrases by ISO code of the language.
        split: Pairs of sentences.
        commitment: Announcements of the action.
        json_key: Names of keys.
        argument: Values of a tool's argument.
        sub_agent: What the agent asks a nested one.
        number: Sentences with `{value}`.
        difference: Likewise, for a difference.
        ratio: Likewise, for a quotient.
        percent: Likewise, for a change in percent.
        date: Sentences with `{date}`.
        entity: Sentences with `{entity}`, names and ids.
        causal: Causes.
        invented: Names of hidden facts that are made up where a scenario has none.
        lookalikes: Letters that look like others.
        zero_width: Marks that cannot be seen.
    """

    shared: tuple[str, ...]
    keys: tuple[str, ...]
    innocent: tuple[str, ...]
    verbatim: Graded
    paraphrase: Graded
    languages: dict[str, Graded]
    split: Pairs
    commitment: Graded
    json_key: Graded
    argument: Graded
    sub_agent: Graded
    number: Templates
    difference: Templates
    ratio: Templates
    percent: Templates
    date: Templates
    entity: Names
    causal: tuple[Cause, ...]
    invented: Invented
    lookalikes: Letters
    zero_width: Marks


def load_bank(name: str) -> Bank:
    """Return a half of the phrases.

    Args:
        name: One of `BANKS`.

    Raises:
        UnknownNameError: There is no such half.
    """
    if name not in BANKS:
        raise UnknownNameError("phrase bank", name, BANKS)
    text = files("opoi.planting").joinpath("banks", f"{name}.toml").read_bytes()
    return msgspec.toml.decode(text, type=Bank)
