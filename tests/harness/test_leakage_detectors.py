"""All detectors together: order, needs, and what planted traces and clean ones give."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opoi.leakage.detectors import DETECTORS, find_all
from opoi.leakage.known import Known
from opoi.passages import passages
from opoi.planting.corpus import corpus
from opoi.planting.matching import judge, targets
from opoi.protocols import Suite
from opoi.types import Finding, Trace

OWN = {
    "verbatim": "residue",
    "paraphrase": "residue",
    "split": "residue",
    "language": "residue",
    "lookalike": "residue",
    "zero_width": "residue",
    "json_key": "residue",
    "argument": "residue",
    "sub_agent": "residue",
    "nonce": "canary",
    "canary": "canary",
    "ngram": "overlap",
    "commitment": "commitment",
    "as_of": "as_of",
}
"""Kind of plant -> the detector whose task it is."""

BY_ID = {detector.id: detector for detector in DETECTORS}


@pytest.mark.parametrize("kind", OWN)
def test_planted_leaks_of_the_development_half_are_found(kind: str, ads: Suite) -> None:
    detector = BY_ID[OWN[kind]]
    hits = total = 0
    for planted in corpus(ads, 23, 12, rate=1.0, kinds=[kind]):
        wanted = targets(planted.trace, planted.plants, ads.prose)
        total += 1
        hits += judge(detector(planted.trace, planted.known(ads)), wanted, ()).found
    assert total == 12
    assert hits >= 11


def test_clean_traces_with_a_note_on_record_are_clean(ads: Suite) -> None:
    for planted in corpus(ads, 29, 20, rate=0.0):
        known = planted.known(ads)
        for name in sorted(set(OWN.values())):
            assert list(BY_ID[name](planted.trace, known)) == []


def test_findings_come_by_place_and_say_what_stands_there(ads: Suite) -> None:
    for planted in corpus(ads, 31, 12, rate=1.0):
        found = find_all(planted.trace, planted.known(ads))
        assert found == sorted(found, key=lambda one: (one.message, one.field, one.start, one.end))
        roles = ("system", "user", "assistant", "tool")
        texts = {
            (each.message, each.field): each.text
            for each in passages(planted.trace.messages, ads.prose, roles=roles)
        }
        for each in found:
            if each.end:
                assert texts[each.message, each.field][each.start : each.end] == each.text
            assert each.trace == planted.trace.id
            assert each.why


def test_a_detector_without_what_it_needs_is_left_out(ads: Suite) -> None:
    class Needy:
        id = title = doc = "needy"
        needs = ("verdict",)

        def __call__(self, trace: Trace, known: Known) -> Iterator[Finding]:
            yield Finding(detector="needy", kind="x", trace=trace.id)

    planted = next(iter(corpus(ads, 1, 1, rate=0.0)))
    assert find_all(planted.trace, Known(), [Needy()]) == []
    assert len(find_all(planted.trace, planted.known(ads), [Needy()])) == 1


def test_ids_are_distinct_and_every_detector_says_what_it_finds() -> None:
    assert len(BY_ID) == len(DETECTORS)
    assert all(detector.doc and detector.title for detector in DETECTORS)
