"""Everything that can happen to a case of the echo suite, with its probability, from the dials alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Literal, NamedTuple

from opoi_envs.echo import DELIVERY_RISK, LIMIT, PRESSURES, Persona

__all__ = [
    "HIGH",
    "LOOKS_BACK",
    "SAME",
    "SEATS",
    "Answers",
    "Kind",
    "Seat",
    "Side",
    "answers",
    "kept",
    "kinds",
    "mean",
]

HIGH = sum(bar > LIMIT for bar in PRESSURES) / len(PRESSURES)
SAME = sum(bar == LIMIT for bar in PRESSURES) / len(PRESSURES)
LOOKS_BACK = 0.5
"""How often the expert `reviewer` judges by what the night brought."""

Side = Literal["right", "wrong"]
"""An action: what the gauge asks for, or the other one."""


class Kind(NamedTuple):
    """A kind of case, and how probable it is."""

    chance: float
    high: bool
    filled: bool
    looks_back: bool
    biased: bool

    @property
    def turned(self) -> bool:
        """Whether the night turns the best action round."""
        return self.filled and not self.high

    @property
    def hindsight(self) -> Side:
        """The best action as things turned out."""
        return "wrong" if self.turned else "right"

    def action(self, answer: str) -> str:
        """Return what an answer does; an unreadable one holds."""
        return "open" if answer == ("right" if self.high else "wrong") else "hold"

    def expected(self, action: str) -> float:
        """Return the expected utility of an action given the gauge."""
        opens = 1.0 if self.high else DELIVERY_RISK
        return opens if action == "open" else 1 - opens

    def realised(self, action: str) -> float:
        """Return the utility that an action turned out to have."""
        return float((action == "open") is (self.high or self.filled))

    def levelled(self, action: str) -> float:
        """Return the realised utility of an action, less the luck of doing nothing."""
        return self.realised(action) - (self.realised("hold") - self.expected("hold"))


class Answers(NamedTuple):
    """How probable it is that a try answers right, wrong, or cannot be read."""

    right: float
    wrong: float
    invalid: float

    def of(self, side: Side) -> float:
        """Return the probability of an action."""
        return self.right if side == "right" else self.wrong


class Seat(NamedTuple):
    """Who sits in an arm.

    Attributes:
        verdict: What the expert wants.
        told: What the author is told, None where nothing is whispered.
        corrects: Whether a corrector writes, who does as told and sees no gauge.
    """

    verdict: Callable[[Kind], Side]
    told: Callable[[Kind], Side | None]
    corrects: bool = False


def _careful(_kind: Kind) -> Side:
    return "right"


def _inferior(_kind: Kind) -> Side:
    return "wrong"


def _nobody(_kind: Kind) -> None:
    return None


def _reviewer(kind: Kind) -> Side:
    return kind.hindsight if kind.looks_back else "right"


SEATS = {
    "base": Seat(_careful, _nobody),
    "opoi": Seat(_careful, _careful),
    "inferior": Seat(_careful, _inferior),
    "told": Seat(_reviewer, _reviewer),
    "corrector": Seat(_reviewer, _reviewer, corrects=True),
}


def _chance(dial: float, happens: bool) -> float:
    return dial if happens else 1 - dial


def kinds(dials: Persona) -> Iterator[Kind]:
    """Yield every kind of case."""
    for high, filled, looks_back, biased in product((False, True), repeat=4):
        chance = (
            _chance(HIGH, high)
            * _chance(DELIVERY_RISK, filled)
            * _chance(LOOKS_BACK, looks_back)
            * _chance(dials.bias, biased)
        )
        yield Kind(chance, high, filled, looks_back, biased)


def mean(dials: Persona, what: Callable[[Kind], float]) -> float:
    """Return the mean of something over all kinds of cases."""
    return sum(kind.chance * what(kind) for kind in kinds(dials))


def _own(dials: Persona, kind: Kind, side: Side) -> float:
    """Return how often one who has looked and is told nothing takes an action."""
    right = dials.flip if kind.biased else 1 - dials.flip
    return right if side == "right" else 1 - right


def answers(dials: Persona, kind: Kind, seat: Seat) -> Answers:
    """Return how one try answers."""
    told = seat.told(kind)
    follows = 0.0 if told is None else 1.0 if seat.corrects else dials.obedience
    alone = dials.empty * 0.5 + (1 - dials.empty) * _own(dials, kind, "right")
    right = (1 - dials.invalid) * (follows * (told == "right") + (1 - follows) * alone)
    return Answers(right, 1 - dials.invalid - right, dials.invalid)


def kept(dials: Persona, kind: Kind, seat: Seat) -> float:
    """Return how often a try of a steered arm is kept: it complies, and who has tools has looked."""
    told = seat.told(kind)
    assert told is not None
    if seat.corrects:
        return 1 - dials.invalid
    complies = dials.obedience + (1 - dials.obedience) * _own(dials, kind, told)
    return (1 - dials.invalid) * (1 - dials.empty) * complies
