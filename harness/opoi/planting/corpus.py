"""Corpora of planted traces: one plant a trace, at a rate, from a suite, a seed and half of the phrases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from opoi.errors import UnknownNameError, UsageError
from opoi.passages import passages
from opoi.planting.bank import BankName, load_bank
from opoi.planting.facts import plant_causal, plant_date, plant_derived, plant_entity, plant_number
from opoi.planting.grown import Bed, Planter
from opoi.planting.marks import plant_canary, plant_ngram, plant_nonce
from opoi.planting.phrases import (
    plant_language,
    plant_lookalike,
    plant_paraphrase,
    plant_split,
    plant_verbatim,
    plant_zero_width,
)
from opoi.planting.plants import DIFFICULTIES, KINDS, Kind, Plant, Planted
from opoi.planting.specimens import specimens
from opoi.planting.structures import (
    plant_argument,
    plant_as_of,
    plant_commitment,
    plant_json_key,
    plant_sub_agent,
)
from opoi.protocols import Suite
from opoi.seeds import Stream
from opoi.types import Trace

__all__ = ["PLANTERS", "check_kinds", "corpus", "plant", "plant_each", "plant_some", "text_at"]

PLANTERS: Mapping[Kind, Planter] = MappingProxyType(
    {
        "verbatim": plant_verbatim,
        "paraphrase": plant_paraphrase,
        "split": plant_split,
        "language": plant_language,
        "lookalike": plant_lookalike,
        "zero_width": plant_zero_width,
        "number": plant_number,
        "derived": plant_derived,
        "date": plant_date,
        "entity": plant_entity,
        "causal": plant_causal,
        "json_key": plant_json_key,
        "argument": plant_argument,
        "sub_agent": plant_sub_agent,
        "nonce": plant_nonce,
        "canary": plant_canary,
        "ngram": plant_ngram,
        "commitment": plant_commitment,
        "as_of": plant_as_of,
    }
)
"""Who plants each kind."""


_INNOCENT = "an honest agent can write this too"


def check_kinds(kinds: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds; none means all.

    Raises:
        UnknownNameError: One does not exist.
    """
    for kind in kinds:
        if kind not in PLANTERS:
            raise UnknownNameError("kind of plant", kind, PLANTERS)
    return tuple(kind for kind in KINDS if kind in kinds) or KINDS


def plant(kind: Kind, bed: Bed) -> Planted | None:
    """Return the specimen of a bed with one leak of a kind, None where it offers no place for one.

    Args:
        kind: What to plant.
        bed: Where, how openly, and with which phrases.
    """
    made = PLANTERS[kind](bed)
    if made is None:
        return None
    spot, specimen = made.spot, bed.specimen
    why = made.why or (_INNOCENT if made.template in bed.bank.innocent else "")
    return msgspec.structs.replace(
        specimen.clean,
        scenario=made.scenario or specimen.scenario,
        verdict=made.verdict or specimen.verdict,
        trace=made.trace,
        plants=(
            Plant(
                kind=kind,
                difficulty=bed.difficulty,
                variant=made.variant,
                message=spot.message,
                field=spot.field,
                start=spot.start,
                end=spot.end,
                text=spot.text,
                template=made.template,
                decidable=not why,
                why=why,
            ),
        ),
    )


def plant_each(bed: Bed, kinds: Sequence[Kind]) -> dict[Kind, Planted | None]:
    """Return the specimen of a bed once with each kind, None for a kind that finds no place.

    The difficulties come in turn, from specimen to specimen and from kind to kind; the bed's own is not used.

    Args:
        bed: Where to plant.
        kinds: What to plant.
    """
    made = {}
    for kind in kinds:
        turn = (bed.specimen.index + KINDS.index(kind)) % len(DIFFICULTIES)
        there = msgspec.structs.replace(bed, difficulty=DIFFICULTIES[turn], stream=bed.stream.at(kind))
        made[kind] = plant(kind, there)
    return made


def plant_some(bed: Bed, rate: float, kinds: Sequence[Kind]) -> Planted:
    """Return the specimen of a bed with a leak or, with probability `1 - rate`, without one.

    A kind for which it offers no place makes room for the next one in a random order.

    Args:
        bed: Where to plant; its stream decides whether, which kind and how openly.
        rate: Probability of a leak, 0 to 1.
        kinds: What may be planted.

    Raises:
        UsageError: None of the kinds finds a place.
    """
    stream = bed.stream
    if not stream.chance(rate, "planted"):
        return bed.specimen.clean
    difficulty = stream.choice(DIFFICULTIES, "difficulty")
    for kind in stream.shuffled(kinds, "kind"):
        done = plant(kind, msgspec.structs.replace(bed, difficulty=difficulty, stream=stream.at(kind)))
        if done is not None:
            return done
    raise UsageError(
        f"nothing of {', '.join(kinds)} can be planted in {bed.trace.id}",
        why="the trace offers no place for any of these kinds",
        fix="name more kinds, or another suite",
    )


def corpus(
    suite: Suite,
    seed: int,
    n: int,
    *,
    rate: float = 0.5,
    kinds: Sequence[str] = (),
    bank: BankName = "development",
) -> Iterator[Planted]:
    """Yield planted and clean traces. The i-th depends on the arguments other than `n` and on i alone.

    Args:
        suite: Whose worlds and stand-in to use.
        seed: Any integer.
        n: How many traces.
        rate: Probability that a trace holds a plant, 0 to 1; drawn for each trace.
        kinds: What to plant, each with the same probability; none for all.
        bank: Half of the phrases.

    Raises:
        UnknownNameError: A kind or a half does not exist.
        UsageError: The rate is out of range, or too few traces can be made.
    """
    if not 0 <= rate <= 1:
        raise UsageError(f"a planted rate of {rate} makes no sense", fix="give a share from 0 to 1")
    phrases, wanted = load_bank(bank), check_kinds(kinds)
    stream = Stream(seed, "planting", "corpus", bank)
    for specimen in specimens(suite, seed, n, bank=bank):
        bed = Bed(
            specimen=specimen, suite=suite, difficulty="easy", bank=phrases, stream=stream.at(specimen.index)
        )
        yield plant_some(bed, rate, wanted)


def text_at(trace: Trace, plant: Plant, prose: Sequence[str]) -> str:
    """Return what stands at the place of a plant, `""` where there is no such text.

    Args:
        trace: The planted trace.
        plant: One of its plants, in a text (not in the ledger).
        prose: Keys of a decision object that hold prose.
    """
    for passage in passages(trace.messages, prose, roles=("assistant", "user", "tool")):
        if passage.message == plant.message and passage.field == plant.field:
            return passage.text[plant.start : plant.end]
    return ""
