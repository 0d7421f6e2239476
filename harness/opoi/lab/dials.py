"""Planted rate against measured rate: whether a corpus with a known share of leaks is measured right."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from opoi.errors import UsageError
from opoi.intervals import rounded
from opoi.lab.calibrate import ALL, Calibration, findings_of, share
from opoi.leakage.known import Detector
from opoi.planting.bank import BankName, load_bank
from opoi.planting.corpus import check_kinds, plant_some
from opoi.planting.grown import Bed
from opoi.planting.specimens import specimens
from opoi.protocols import Suite
from opoi.report.tables import Cell, Table, figure
from opoi.seeds import Stream
from opoi.types import Measure, Value

__all__ = ["RATES", "Dial", "corrected", "dial_table", "dials", "sensitivity"]

RATES = (0.0, 0.01, 0.05, 0.2, 0.5)
"""Planted rates that are tried."""


class Dial(Value, frozen=True, kw_only=True):
    """One planted rate and what was measured of it.

    Attributes:
        planted: Probability with which each trace got a plant.
        traces: Number of traces.
        held: Traces that did get one: a binomial draw.
        flagged: Traces with a finding of grade `leak`.
        measured: Share of the flagged traces.
        adjusted: The same after Rogan and Gladen, where recall and false positives are known.
    """

    planted: float
    traces: int
    held: int
    flagged: int
    measured: Measure
    adjusted: Measure | None = None

    @property
    def covers(self) -> bool:
        """Whether the interval of the measured rate covers the planted one."""
        return _covers(self.measured, self.planted)

    @property
    def adjusted_covers(self) -> bool:
        """Whether the adjusted interval does; False where there is none."""
        return self.adjusted is not None and _covers(self.adjusted, self.planted)


def dials(
    detectors: Sequence[Detector],
    *,
    suite: Suite,
    seed: int,
    n: int = 200,
    bank: BankName = "published",
    rates: Sequence[float] = RATES,
    kinds: Sequence[str] = (),
    calibration: Calibration | None = None,
) -> tuple[Dial, ...]:
    """Plant at known rates and measure.

    All rates are planted in the same specimens, each with draws of its own.

    Args:
        detectors: A trace is flagged where any of them finds a leak.
        suite: Whose worlds and stand-in to use.
        seed: Any integer; another one than the calibration's, or its errors are fitted to these traces.
        n: Traces for each rate.
        bank: Half of the phrases.
        rates: Probabilities of a plant, 0 to 1.
        kinds: What to plant; none for all.
        calibration: Of the same detectors and kinds: the measured rate is then adjusted for recall and false
            positives too.

    Raises:
        UsageError: A rate is out of range, or the suite yields too few traces.
        UnknownNameError: A kind or a half does not exist.
    """
    if not all(0 <= rate <= 1 for rate in rates):
        raise UsageError("planted rates are shares", why=f"given: {rates}", fix="give numbers from 0 to 1")
    wanted, phrases = check_kinds(kinds), load_bank(bank)
    held, flagged = dict.fromkeys(rates, 0), dict.fromkeys(rates, 0)
    for specimen in specimens(suite, seed, n, bank=bank):
        for place, rate in enumerate(rates):
            stream = Stream(seed, "planting", "dials", place, specimen.index)
            bed = Bed(specimen=specimen, suite=suite, difficulty="easy", bank=phrases, stream=stream)
            planted = plant_some(bed, rate, wanted)
            held[rate] += bool(planted.plants)
            found = findings_of(detectors, planted, suite)
            flagged[rate] += any(each.grade == "leak" for leaks in found.values() for each in leaks)
    known = None if calibration is None else sensitivity(calibration, wanted)
    return tuple(_dial(rate, n, held[rate], flagged[rate], known) for rate in rates)


def _dial(rate: float, traces: int, held: int, flagged: int, known: tuple[float, float] | None) -> Dial:
    measured = share(flagged, traces)
    return Dial(
        planted=rate,
        traces=traces,
        held=held,
        flagged=flagged,
        measured=measured,
        adjusted=None if known is None else corrected(measured, *known),
    )


def sensitivity(calibration: Calibration, kinds: Sequence[str]) -> tuple[float, float]:
    """Return the probability that a planted trace is flagged, and that a clean one is.

    Kinds count alike, as `plant_some` draws them; plants that cannot be proved count as well.

    Args:
        calibration: Of all detectors that flag.
        kinds: What is planted.
    """
    recalls = []
    for kind in kinds:
        score = calibration.score(ALL, kind)
        apart = [each for each in calibration.apart if each.kind == kind]
        planted = score.planted + sum(each.undecidable for each in apart)
        found = score.found + sum(each.found for each in apart)
        recalls += [found / planted] if planted else []
    clean = calibration.clean_score(ALL)
    return sum(recalls) / len(recalls) if recalls else 0.0, clean.flagged / clean.traces


def corrected(measured: Measure, recall: float, false_positives: float) -> Measure:
    """Return a measured rate adjusted for known errors of the measurement (Rogan and Gladen 1978).

    The rate is `(measured - fp) / (recall - fp)`, cut to [0, 1], and so are the ends of its interval. Recall
    and false positives are taken as known exactly: the interval is too narrow where they rest on few traces.

    Args:
        measured: Share of flagged traces, with an interval.
        recall: Probability that a planted trace is flagged.
        false_positives: Probability that a clean trace is.
    """
    spread = recall - false_positives
    if measured.value is None or measured.low is None or measured.high is None or spread <= 0:
        return Measure(
            value=None, n=measured.n, note="the detectors do not tell planted traces from clean ones"
        )
    value, low, high = (
        rounded(min(1.0, max(0.0, (end - false_positives) / spread)))
        for end in (measured.value, measured.low, measured.high)
    )
    return msgspec.structs.replace(measured, value=value, low=low, high=high)


def dial_table(found: Sequence[Dial]) -> Table:
    """Return dials as a table."""
    rows = tuple(
        (
            Cell(figure(Measure(value=dial.planted), "share")[0]),
            Cell(str(dial.traces)),
            Cell(str(dial.held)),
            Cell(*figure(dial.measured, "share")),
            Cell("yes" if dial.covers else "no"),
            Cell(*figure(dial.adjusted or Measure(value=None), "share")),
            Cell("yes" if dial.adjusted_covers else "no" if dial.adjusted else "\u2013"),
        )
        for dial in found
    )
    heads = ("planted rate", "traces", "with a plant", "measured", "covers", "adjusted", "adjusted covers")
    return Table("Planted and measured rate", heads, rows)


def _covers(measure: Measure, rate: float) -> bool:
    if measure.low is None or measure.high is None:
        return False
    return measure.low <= rate <= measure.high
