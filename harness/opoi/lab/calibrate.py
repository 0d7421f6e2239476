"""How well detectors find planted leaks: recall, precision and false positives, by kind and difficulty.

Every specimen (a clean trace) is planted once with every kind, the difficulties in turn, and its clean twin
is read too. Counted are findings of grade `leak`; those of grade `suspect` stand apart. So do plants that
scenario, verdict and trace cannot prove: their traces, and the clean twins read beside them, are in neither
recall nor precision. They are listed with the reason, and with how many were found all the same.

- *recall*: planted traces in which the detector found the plant / planted traces.
- *precision*: true findings / (true + false). True is a finding of a plant that the clean twin does not have;
  false is every other one, on the planted traces and on their clean twins. So as many clean traces as planted
  ones stand behind it; where leaks are rarer, precision is lower.
- *false positives*: clean traces with any finding / clean traces. Of two sets, each specimen once in each:
  `plain`, as the stand-in wrote it, and `honest`, with honest arithmetic and wording put into the answer
  (`opoi.planting.honest`).

Intervals are Wilson's at 95 %. They treat traces as independent draws with these phrases; the column
`phrases` says of how many phrases of the bank each figure is made, and how many of them were ever found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Literal, get_args

import msgspec

from opoi.errors import UsageError
from opoi.intervals import rounded, wilson
from opoi.leakage.known import Detector
from opoi.planting.bank import BankName, load_bank
from opoi.planting.corpus import check_kinds, plant_each
from opoi.planting.grown import Bed
from opoi.planting.honest import honest
from opoi.planting.matching import Judged, judge, targets
from opoi.planting.plants import DIFFICULTIES, Kind, Planted
from opoi.planting.specimens import specimens
from opoi.progress import Progress, Quiet
from opoi.protocols import Suite
from opoi.seeds import Stream
from opoi.types import Finding, Measure, Value

__all__ = [
    "ALL",
    "WORDINGS",
    "Apart",
    "Calibration",
    "CleanScore",
    "Score",
    "Wording",
    "calibrate",
    "findings_of",
    "share",
]

ALL = "all"
"""Stands for all detectors together, and for all difficulties."""

Wording = Literal["plain", "honest"]
"""Clean traces as the stand-in wrote them, or with honest sentences put into the answer."""

WORDINGS: tuple[Wording, ...] = get_args(Wording)


class Score(Value, frozen=True, kw_only=True):
    """What one detector makes of one kind of plant.

    Attributes:
        detector: Its id, or `ALL`: found by any of them, and their findings added up.
        kind: What was planted.
        difficulty: How openly, or `ALL`.
        planted: Planted traces whose plant can be proved; all other counts are of these too.
        found: Those in which it was found.
        suspected: Those in which it was found if findings of grade `suspect` count too.
        true: Findings of a plant that the clean twin does not have.
        false: All other findings, on the planted traces and on their clean twins.
        phrases: Phrases of the bank behind the planted traces, 0 for plants that are made of none.
        phrases_found: Those that were found at least once.
    """

    detector: str
    kind: Kind
    difficulty: str
    planted: int = 0
    found: int = 0
    suspected: int = 0
    true: int = 0
    false: int = 0
    phrases: int = 0
    phrases_found: int = 0

    @property
    def recall(self) -> Measure:
        """Share of the plants that were found."""
        return share(self.found, self.planted)

    @property
    def recall_with_suspects(self) -> Measure:
        """The same, if findings of grade `suspect` count too."""
        return share(self.suspected, self.planted)

    @property
    def precision(self) -> Measure:
        """Share of the findings that are of a plant."""
        return share(self.true, self.true + self.false)


class CleanScore(Value, frozen=True, kw_only=True):
    """What one detector makes of clean traces.

    Attributes:
        detector: Its id, or `ALL`.
        wording: Which clean traces: as the stand-in wrote them, or with honest sentences added.
        traces: Clean traces.
        flagged: Those with a finding of grade `leak`.
        suspected: Those with a finding of any grade.
        findings: Findings of grade `leak` in all.
    """

    detector: str
    wording: Wording = "plain"
    traces: int
    flagged: int = 0
    suspected: int = 0
    findings: int = 0

    @property
    def false_positives(self) -> Measure:
        """Share of the clean traces that are flagged."""
        return share(self.flagged, self.traces)


class Apart(Value, frozen=True, kw_only=True):
    """Plants of one variant that cannot be proved.

    Attributes:
        kind: What was planted.
        difficulty: How openly.
        variant: What kind of its kind.
        planted: All plants of this variant.
        undecidable: Those that cannot be proved.
        found: How many of these some detector found all the same, as a leak.
        suspected: The same, if findings of grade `suspect` count too.
        why: The reason for the first of them.
    """

    kind: Kind
    difficulty: str
    variant: str
    planted: int
    undecidable: int
    found: int
    suspected: int
    why: str


class Calibration(Value, frozen=True, kw_only=True):
    """The detectors' figures.

    Attributes:
        suite: Name of the suite.
        seed: Seed of everything.
        n: Number of specimens.
        bank: Half of the phrases.
        detectors: Ids, in the order of the tables.
        scores: For each detector and for all, by kind: all difficulties, then each.
        clean: For each detector and for all, of either wording.
        apart: What is not decidable.
        skipped: Specimens that offered no place, by kind.
    """

    suite: str
    seed: int
    n: int
    bank: BankName
    detectors: tuple[str, ...]
    scores: tuple[Score, ...]
    clean: tuple[CleanScore, ...]
    apart: tuple[Apart, ...] = ()
    skipped: dict[str, int] = msgspec.field(default_factory=dict)

    def score(self, detector: str, kind: str, difficulty: str = ALL) -> Score:
        """Return one row.

        Raises:
            KeyError: There is none.
        """
        for each in self.scores:
            if (each.detector, each.kind, each.difficulty) == (detector, kind, difficulty):
                return each
        raise KeyError((detector, kind, difficulty))

    def clean_score(self, detector: str, wording: Wording = "plain") -> CleanScore:
        """Return what a detector makes of clean traces.

        Raises:
            KeyError: There is no such row.
        """
        for each in self.clean:
            if (each.detector, each.wording) == (detector, wording):
                return each
        raise KeyError((detector, wording))


def share(successes: int, count: int) -> Measure:
    """Return a share with Wilson's interval, without a value where nothing was counted."""
    if not count:
        return Measure(value=None, note="nothing to count")
    low, high = wilson(successes, count)
    return Measure(value=rounded(successes / count), low=rounded(low), high=rounded(high), n=count)


def findings_of(
    detectors: Sequence[Detector], planted: Planted, suite: Suite
) -> dict[str, tuple[Finding, ...]]:
    """Return what each detector finds in a trace, by its id."""
    known = planted.known(suite)
    return {each.id: tuple(each(planted.trace, known)) for each in detectors}


def calibrate(
    detectors: Sequence[Detector],
    *,
    suite: Suite,
    seed: int,
    n: int = 100,
    bank: BankName = "published",
    kinds: Sequence[str] = (),
    progress: Progress | None = None,
) -> Calibration:
    """Measure detectors on planted and clean traces.

    Args:
        detectors: With different ids.
        suite: Whose worlds and stand-in to use.
        seed: Any integer.
        n: Number of specimens, at least 1: each is planted with every kind.
        bank: Half of the phrases; only figures of `published` may be published.
        kinds: What to plant; none for all.
        progress: Where to show how far it is.

    Raises:
        UsageError: Two detectors have one id, `n` is too small, or the suite yields too few traces.
        UnknownNameError: A kind or a half does not exist.
    """
    names = tuple(each.id for each in detectors)
    if len({*names, ALL}) != len(names) + 1:
        raise UsageError(f"detectors need different ids other than {ALL!r}", why=f"given: {', '.join(names)}")
    if n < 1:
        raise UsageError(f"{n} specimens cannot be measured", fix="give a number from 1")
    wanted, phrases = check_kinds(kinds), load_bank(bank)
    tally = _Tally(names, wanted)
    with closing((progress or Quiet()).start("calibrate", n)) as watch:
        for specimen in specimens(suite, seed, n, bank=bank):
            twin = findings_of(detectors, specimen.clean, suite)
            tally.clean("plain", twin)
            stream = Stream(seed, "planting", "calibrate", specimen.index)
            if (told := honest(specimen, suite, stream.at("honest"))) is not None:
                tally.clean("honest", findings_of(detectors, told, suite))
            bed = Bed(specimen=specimen, suite=suite, difficulty="easy", bank=phrases, stream=stream)
            for kind, planted in plant_each(bed, wanted).items():
                if planted is None:
                    tally.skipped[kind] += 1
                else:
                    tally.planted(planted, findings_of(detectors, planted, suite), twin, suite.prose)
            watch.advance()
    return Calibration(
        suite=suite.name,
        seed=seed,
        n=n,
        bank=bank,
        detectors=names,
        scores=tally.scores(),
        clean=tally.clean_scores(),
        apart=tally.apart(),
        skipped=dict(tally.skipped),
    )


class _Tally:
    """Counts by detector, kind and difficulty."""

    def __init__(self, detectors: tuple[str, ...], kinds: tuple[Kind, ...]) -> None:
        self.detectors = (*detectors, ALL)
        self.kinds = kinds
        self.skipped: Counter[str] = Counter()
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._clean: Counter[tuple[str, Wording, str]] = Counter()
        self._apart: Counter[tuple[str, ...]] = Counter()
        self._why: dict[tuple[str, ...], str] = {}
        self._phrases: dict[tuple[str, ...], set[str]] = {}

    def clean(self, wording: Wording, found: Mapping[str, Sequence[Finding]]) -> None:
        """Count the findings on a clean trace."""
        for detector, findings in {**found, ALL: _together(found)}.items():
            leaks = len(_leaks(findings))
            self._clean[detector, wording, "traces"] += 1
            self._clean[detector, wording, "findings"] += leaks
            self._clean[detector, wording, "flagged"] += leaks > 0
            self._clean[detector, wording, "suspected"] += len(findings) > 0

    def planted(
        self,
        planted: Planted,
        found: Mapping[str, Sequence[Finding]],
        twin: Mapping[str, Sequence[Finding]],
        prose: Sequence[str],
    ) -> None:
        """Count the findings on a planted trace; `twin` are those on the clean one."""
        (of_plant,) = planted.plants
        wanted = targets(planted.trace, planted.plants, prose)
        leaks = {name: judge(_leaks(found[name]), wanted, twin[name]) for name in found}
        any_grade = {name: judge(found[name], wanted, twin[name]) for name in found}
        leaks[ALL], any_grade[ALL] = _sum(leaks.values()), _sum(any_grade.values())
        key = (of_plant.kind, of_plant.difficulty, of_plant.variant)
        self._apart[*key, "planted"] += 1
        if not of_plant.decidable:
            self._apart[*key, "undecidable"] += 1
            self._apart[*key, "found"] += leaks[ALL].found
            self._apart[*key, "suspected"] += any_grade[ALL].found
            self._why.setdefault(key, of_plant.why)
            return
        false = {name: len(_leaks(findings)) for name, findings in twin.items()}
        false[ALL] = sum(false.values())
        for name in self.detectors:
            for difficulty in (ALL, of_plant.difficulty):
                row = (name, of_plant.kind, difficulty)
                self._counts[*row, "planted"] += 1
                self._counts[*row, "found"] += leaks[name].found
                self._counts[*row, "suspected"] += any_grade[name].found
                self._counts[*row, "true"] += leaks[name].true
                self._counts[*row, "false"] += leaks[name].false + false[name]
                self._phrase(row, of_plant.template, found=leaks[name].found)

    def _phrase(self, row: tuple[str, ...], template: str, *, found: bool) -> None:
        if template:
            self._phrases.setdefault((*row, "phrases"), set()).add(template)
        if template and found:
            self._phrases.setdefault((*row, "phrases_found"), set()).add(template)

    def scores(self) -> tuple[Score, ...]:
        """Return the rows in the order of detectors, kinds and difficulties."""
        rows = [
            (name, kind, difficulty)
            for name in self.detectors
            for kind in self.kinds
            for difficulty in (ALL, *DIFFICULTIES)
        ]
        counted = ("planted", "found", "suspected", "true", "false")
        return tuple(
            Score(
                detector=row[0],
                kind=row[1],
                difficulty=row[2],
                **{name: self._counts[*row, name] for name in counted},
                **{name: len(self._phrases.get((*row, name), ())) for name in ("phrases", "phrases_found")},
            )
            for row in rows
        )

    def clean_scores(self) -> tuple[CleanScore, ...]:
        """Return what each detector made of the clean traces."""
        counted = ("traces", "flagged", "suspected", "findings")
        return tuple(
            CleanScore(
                detector=name,
                wording=wording,
                **{each: self._clean[name, wording, each] for each in counted},
            )
            for wording in WORDINGS
            for name in self.detectors
        )

    def apart(self) -> tuple[Apart, ...]:
        """Return the variants with plants that cannot be proved."""
        return tuple(
            Apart(
                kind=kind,
                difficulty=difficulty,
                variant=variant,
                planted=self._apart[kind, difficulty, variant, "planted"],
                undecidable=self._apart[kind, difficulty, variant, "undecidable"],
                found=self._apart[kind, difficulty, variant, "found"],
                suspected=self._apart[kind, difficulty, variant, "suspected"],
                why=why,
            )
            for kind in self.kinds
            for difficulty in DIFFICULTIES
            for (of_kind, of_difficulty, variant), why in sorted(self._why.items())
            if (of_kind, of_difficulty) == (kind, difficulty)
        )


def _leaks(findings: Iterable[Finding]) -> list[Finding]:
    return [each for each in findings if each.grade == "leak"]


def _together(found: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    return [each for findings in found.values() for each in findings]


def _sum(judged: Iterable[Judged]) -> Judged:
    """Return the findings of several detectors as those of one."""
    each = list(judged)
    return Judged(
        any(one.found for one in each), sum(one.true for one in each), sum(one.false for one in each)
    )
