"""What two arms differ in: every figure with its difference, an interval, a p and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from opoi.intervals import rounded
from opoi.measures.paired.inference import (
    ALPHA,
    EXACT,
    bootstrap_intervals,
    holm,
    mcnemar_p,
    needed_scenarios,
    permutation_ps,
)
from opoi.measures.paired.pairing import Paired
from opoi.measures.results import Definition
from opoi.measures.statistics import affordable, bootstrap_sums, measure_of, on_grid, quotient
from opoi.seeds import Stream
from opoi.types import Measure, Value

__all__ = ["Compared", "Comparisons", "Contrast", "Difference", "closed_share", "decide", "differences"]

Verdict = Literal["A higher", "B higher", "undecided"]
Test = Literal["", "McNemar, exact", "permutation, exact", "permutation"]

NOTE_APART = "no scenario in which both have a value: nothing to pair"


class Difference(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One figure in two arms.

    Attributes:
        a: Value of A on the paired scenarios, None where it has none.
        b: Value of B on the same scenarios.
        difference: B minus A.
        low: Lower end of the 95 % interval of the difference, from a paired bootstrap over scenarios.
        high: Upper end.
        n: Scenarios to which both arms contribute.
        one_sided: Scenarios to which one of them alone contributes; they are left out of everything else.
        only_a: Those of A.
        only_b: Those of B.
        differing: Scenarios in which numerator or denominator differ; only these speak in a test.
        most_differing: Where none differs: 95 % bound of the share of scenarios that do, `1 - 0.05**(1/n)`.
        p: Two-sided p of the hypothesis that the arms can be exchanged within a scenario.
        test: How p was worked out, `""` without one.
        p_adjusted: Holm's p among the primary figures, None for another figure.
        verdict: `A higher` or `B higher` where the adjusted p, or p where there is none, is at most 0.05.
        needed: For `undecided`: scenarios to which both contribute with which a difference as large as this
            one would be found with a chance of 80 %; 1,000,001 stands for any number above a million, None
            for no difference at all.
        note: What else to say.
    """

    a: float | None
    b: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    one_sided: int = 0
    only_a: int = 0
    only_b: int = 0
    differing: int = 0
    most_differing: float | None = None
    p: float | None = None
    test: Test = ""
    p_adjusted: float | None = None
    verdict: Verdict = "undecided"
    needed: int | None = None
    note: str = ""


def differences(figures: Mapping[str, Paired], *, seed: int, resamples: int) -> dict[str, Difference]:
    """Return every figure in two arms, without a verdict.

    Args:
        figures: By name, on the same scenarios in the same order.
        seed: Seed of all draws.
        resamples: Of the bootstrap and of the permutation; many scenarios get fewer (`affordable`).
    """
    pairs = {name: one for name, one in figures.items() if None not in one.values and one.both}
    made = affordable(resamples, max((len(one.below_a) for one in pairs.values()), default=0))
    stream = Stream(seed, "inference")
    spans = bootstrap_intervals(list(pairs.values()), stream.at("bootstrap"), made)
    drawn = {name: one for name, one in pairs.items() if not one.is_binary}
    found = permutation_ps(list(drawn.values()), stream.at("exchange"), made)
    ps = dict(zip(drawn, found, strict=True))
    span = dict(zip(pairs, spans, strict=True))
    return {
        name: _difference(one, span[name], ps.get(name)) if name in pairs else _apart(one)
        for name, one in figures.items()
    }


def closed_share(figure: Paired, *, seed: int, resamples: int) -> Measure:
    """Return which share of what A loses B does not lose, with its 95 % interval.

    Formula: 1 - regret_observable(B) / regret_observable(A) = (V_B - V_A) / (V_obs - V_A), V the mean
        expected utility of the decisions
    Unit: share
    Range: up to 1; below 0 where B loses more
    Source: methods specification 5.9 (closed performance gap)
    Needs: T0
    Not for: an A that loses next to nothing

    Args:
        figure: What both arms lose, on the same scenarios.
        seed: Seed of the bootstrap.
        resamples: Of the bootstrap; many scenarios get fewer.
    """
    a, b = figure.values
    if a is None or b is None or a == 0:
        return Measure(value=None, note="A loses nothing")
    columns = np.column_stack((figure.above_a, figure.below_a, figure.above_b, figure.below_b))
    made = affordable(resamples, len(columns))
    sums = bootstrap_sums(on_grid(columns), Stream(seed, "inference", "bootstrap"), made)
    lost_a, lost_b = quotient(sums[:, 0], sums[:, 1]), quotient(sums[:, 2], sums[:, 3])
    return measure_of(1 - b / a, 1 - quotient(lost_b, lost_a), n=figure.both)


def _difference(figure: Paired, span: tuple[float, float] | None, p: float | None) -> Difference:
    both, differing = figure.both, figure.differing
    most = None
    if not differing:
        span, most = None, rounded(1 - ALPHA ** (1 / both))
    a, b = (rounded(value) for value in figure.values if value is not None)
    return Difference(
        a=a,
        b=b,
        difference=rounded(b - a),
        low=rounded(span[0]) if span else None,
        high=rounded(span[1]) if span else None,
        n=both,
        one_sided=figure.one_sided,
        only_a=figure.only_a,
        only_b=figure.only_b,
        differing=differing,
        most_differing=most,
        p=rounded(mcnemar_p(*figure.discordant)) if p is None else p,
        test="McNemar, exact" if p is None else "permutation" if differing > EXACT else "permutation, exact",
        note=_left_out(figure),
    )


def _apart(figure: Paired) -> Difference:
    note = NOTE_APART if figure.only_a and figure.only_b else ""
    return Difference(
        a=None,
        b=None,
        one_sided=figure.one_sided,
        only_a=figure.only_a,
        only_b=figure.only_b,
        note=note,
    )


def _left_out(figure: Paired) -> str:
    """Say in how many scenarios one arm alone has a value."""
    counts = ((figure.only_a, "A"), (figure.only_b, "B"))
    said = [
        f"{count} scenario{'s' * (count != 1)} in which {arm} alone has a value"
        for count, arm in counts
        if count
    ]
    return f"left out: {' and '.join(said)}" if said else ""


# ---------------------------------------------------------------- verdicts


def decide(
    found: Sequence[Mapping[str, Difference]],
    figures: Sequence[Mapping[str, Paired]],
    primary: Sequence[str],
) -> tuple[list[dict[str, Difference]], int]:
    """Return the differences of one or several comparisons with verdicts, and the number of primary tests.

    Holm's method goes over the primary figures of all comparisons. A figure that is alike in every scenario
    counts as no test: no p below 1 could have come out of it (Tarone 1990).

    Args:
        found: What `differences` returned, one entry per comparison.
        figures: What it was asked for, in the same order.
        primary: Names of the figures that were declared primary.
    """
    keys = [
        (at, name)
        for at, comparison in enumerate(found)
        for name in primary
        if name in comparison and comparison[name].p is not None and comparison[name].differing
    ]
    ps = [found[at][name].p or 0.0 for at, name in keys]
    adjusted = dict(zip(keys, holm(ps), strict=True))
    return [
        {
            name: _decided(one, figures[at][name], _adjusted(at, name, one, primary, adjusted), len(keys))
            for name, one in comparison.items()
        }
        for at, comparison in enumerate(found)
    ], len(keys)


def _adjusted(
    at: int, name: str, found: Difference, primary: Sequence[str], adjusted: Mapping[tuple[int, str], float]
) -> float | None:
    if name not in primary or found.p is None:
        return None
    return adjusted.get((at, name), 1.0)


def _decided(found: Difference, figure: Paired, p_adjusted: float | None, tests: int) -> Difference:
    """Return a difference with its verdict, and for an undecided one the scenarios that it would need.

    Those of a primary figure are counted for a test at 0.05 / tests: what Holm asks of the smallest p.
    """
    p = found.p if p_adjusted is None else p_adjusted
    if found.difference is None or p is None:
        return found
    if p <= ALPHA and found.difference:
        verdict: Verdict = "B higher" if found.difference > 0 else "A higher"
        return msgspec.structs.replace(found, p_adjusted=p_adjusted, verdict=verdict)
    alpha = ALPHA if p_adjusted is None else ALPHA / max(1, tests)
    return msgspec.structs.replace(found, p_adjusted=p_adjusted, needed=needed_scenarios(figure, alpha=alpha))


# ---------------------------------------------------------------- a page of them


class Contrast(Value, frozen=True, kw_only=True, omit_defaults=False):
    """A setting that is not the same everywhere.

    Attributes:
        name: The setting, with dots for a part of one.
        values: What it is, one for each of those compared; `""` where it does not exist.
    """

    name: str
    values: tuple[str, ...]


class Compared(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Two arms.

    Attributes:
        a: The reference, `FOLDER:ARM`.
        b: The other one.
        scenarios: Scenarios that both have, in the same world: those that are compared.
        only_a: Scenarios of A that B does not have.
        only_b: Scenarios of B that A does not have.
        other_world: Scenarios of one id, but not of one world.
        contrasts: Where the strategies of the two differ; empty for two arms of one name.
        figures: By name, in the order of the reports.
        missing: Figures that are not compared, and why.
        closed: Share of A's performance gap that B closes, None where `regret_observable` was not measured.
    """

    a: str
    b: str
    scenarios: int
    only_a: int
    only_b: int
    other_world: int
    contrasts: tuple[Contrast, ...]
    figures: dict[str, Difference]
    missing: dict[str, str]
    closed: Measure | None = None


class Comparisons(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What several runs say together.

    Attributes:
        schema: Version of this shape.
        runs: The run folders, the reference first.
        simulated: An embedded model acted as the agent in one of them.
        settings: What differs between the runs.
        primary: The declared primary figures.
        tests: Number of tests that Holm's method went over.
        alpha: Rate of false finds that a verdict allows.
        power: Chance of finding an effect for which `Difference.needed` is counted.
        resamples: Resamples asked for.
        seed: Seed of all draws.
        definitions: What the figures say, as the reference run has it.
        compared: The comparisons.
    """

    schema: Literal["opoi.comparison/1"]
    runs: tuple[str, ...]
    simulated: bool
    settings: tuple[Contrast, ...]
    primary: tuple[str, ...]
    tests: int
    alpha: float
    power: float
    resamples: int
    seed: int
    definitions: dict[str, Definition]
    compared: tuple[Compared, ...]
