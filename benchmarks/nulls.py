"""Where there is no difference, how often does a comparison find one?

    python benchmarks/nulls.py [--seeds 200] [--n 60] [--jobs 2]

Two arms that differ in nothing but their random draws are compared as `opoi compare` does, on new scenarios
for each seed:

- `seeds`: OPOI against OPOI with other draws;
- `corrector`: OPOI against a corrector that is the agent, in the agent's seat: with its prompt, its tools and
the note.

The p of every figure has to be at most x in at most a share x of the seeds, for every x: a permutation test
of figures with few values is on the safe side, and never on the other one. Shown are the shares at or below
1, 5, 10, 25 and 50 %, and the smallest p, over the x, of an exact one-sided binomial test of too many.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from coverage import LEVEL, arguments, write_page
from msgspec.structs import replace

from opoi.cleaning.levels import cleaner
from opoi.measures import RatioMetric, Seen
from opoi.measures.figures.standard import STANDARD
from opoi.measures.paired.differences import differences
from opoi.measures.paired.inference import Paired, holm
from opoi.protocols import Cast, Strategy
from opoi.registry import load_suite
from opoi.rollout import rollout
from opoi.strategies.opoi import OPOI
from opoi.types import Case, Group, Trace
from opoi_envs.echo import EchoModel, Persona

RUNS = 3
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5)
DIALS = Persona(
    obedience=0.8,
    residue=0.3,
    flip=0.15,
    bias=0.1,
    vague=0.2,
    hidden_leak=0.5,
    invalid=0.05,
    empty=0.1,
    fabricate=0.2,
)


class InTheSeat(OPOI, frozen=True):
    """OPOI whose agent is played by the corrector."""

    def __call__(self, case: Case, cast: Cast) -> Iterator[Trace]:
        """Yield what OPOI yields with the corrector as the agent."""
        yield from super().__call__(case, Cast(**{**_fields(cast), "agent": cast.corrector}))


def _fields(cast: Cast) -> dict[str, object]:
    return {name: getattr(cast, name) for name in cast.__struct_fields__}


OPTIONS = {"attempts": 1, "form": "verdict+reason"}
PAIRS: dict[str, dict[str, Strategy]] = {
    "seeds": {"opoi": OPOI(**OPTIONS), "again": OPOI(**OPTIONS)},
    "corrector": {"agent": OPOI(**OPTIONS), "seat": InTheSeat(**OPTIONS)},
}
"""Strategies by arm; the name of an arm is part of the seed of its draws."""

METRICS = tuple(metric for metric in STANDARD if isinstance(metric, RatioMetric))


def p_values(pair: str, n: int, seed: int) -> dict[str, float]:
    """Return p of every figure by name, 1 where the arms do not differ in it."""
    dials = replace(DIALS, seed=seed)
    suite, model, corrector = load_suite("echo"), EchoModel(dials), EchoModel(dials)
    tidy = cleaner("C0", suite=suite, agent=lambda: model, tools=(), seed=seed)
    parts: dict[str, list[tuple[float, float, float, float]]] = {metric.name: [] for metric in METRICS}
    for scenario in suite.scenarios(n, seed):
        base = rollout(scenario, suite, model, arm="base", run=0, seed=seed)
        verdict = suite.experts["reviewer"](scenario, base)
        sides = []
        for arm, strategy in PAIRS[pair].items():
            cast = Cast(suite=suite, agent=model, corrector=corrector, arm=arm, seed=seed)
            case = partial(Case, scenario=scenario, base=base, verdict=verdict)
            made = tuple(tidy(trace) for run in range(RUNS) for trace in strategy(case(run=run), cast))
            sides.append(Seen(Group(scenario=scenario, verdict=verdict, cleaned=made), suite))
        for metric in METRICS:
            parts[metric.name].append((*metric.count(sides[0]), *metric.count(sides[1])))
    figures = {name: Paired(*map(np.array, zip(*rows, strict=True))) for name, rows in parts.items()}
    found = differences(figures, seed=seed, resamples=2_000)
    return {
        name: each.p if each.p is not None and each.differing else 1.0
        for name, each in found.items()
        if each.difference is not None
    }


class Null(NamedTuple):
    """How p of one figure is distributed where there is no difference."""

    pair: str
    figure: str
    seeds: int
    shares: tuple[float, ...]
    p: float
    adjusted: float


def nulls(seeds: int, n: int, jobs: int = 1, pairs: tuple[str, ...] = tuple(PAIRS)) -> list[Null]:
    """Compare arms without a difference on so many seeds each."""
    from scipy.stats import binom

    tallies: list[tuple[str, str, int, tuple[float, ...], float]] = []
    with ProcessPoolExecutor(jobs) as pool:
        for pair in pairs:
            runs = list(pool.map(partial(p_values, pair, n), range(seeds), chunksize=5))
            for metric in METRICS:
                found = [run[metric.name] for run in runs if metric.name in run]
                if sum(p < 1 for p in found) < seeds / 2:  # nothing that could differ
                    continue
                hits = [sum(p <= level for p in found) for level in LEVELS]
                worst = min(
                    float(binom.sf(hit - 1, len(found), level))
                    for hit, level in zip(hits, LEVELS, strict=True)
                )
                shares = tuple(hit / len(found) for hit in hits)
                tallies.append((pair, metric.name, len(found), shares, min(1.0, len(LEVELS) * worst)))
    adjusted = holm([p for *_, p in tallies])
    return [Null(*row, each) for row, each in zip(tallies, adjusted, strict=True)]


def page(rows: Sequence[Null]) -> Iterator[str]:
    """Yield the lines of the table for people: a row for each figure, both pairs in each cell."""
    yield f"| figure | {' | '.join(f'p <= {level:g}' for level in LEVELS)} | least p (Holm) |"
    yield "|---|" + "---|" * (len(LEVELS) + 1)
    for name in dict.fromkeys(row.figure for row in rows):
        here = [row for row in rows if row.figure == name]
        cells = [
            " / ".join(f"{100 * row.shares[at]:.1f}" for row in here) + " %" for at in range(len(LEVELS))
        ]
        yield f"| `{name}` | {' | '.join(cells)} | {min(row.adjusted for row in here):.3f} |"


def main() -> None:
    """Print the table; status 1 where a figure is found to differ too often."""
    given = arguments(__doc__ or "")
    rows = nulls(given.seeds, given.n, given.jobs)
    print("\n".join(page(rows)))
    if given.write_docs:
        write_page("nulls", page(rows))
    sys.exit(any(row.adjusted < LEVEL for row in rows))


if __name__ == "__main__":
    main()
