"""Where there is no difference, how often does a comparison find one?

    python benchmarks/nulls.py [--seeds 200] [--n 60] [--jobs 2]

Two arms that differ in nothing but their random draws are compared as `opoi compare` does, on new scenarios
for each seed:

- `seeds`: OPOI against OPOI with other draws;
- `seat`: OPOI against OPOI whose agent is played by the corrector: with the agent's prompt, tools and note;
- `corrector`: OPCD with a corrector model of its own against OPCD whose corrector is the agent.

The p of every figure has to be at most x in at most a share x of the seeds, for every x: a permutation test
of figures with few values is on the safe side, and never on the other one. Shown are the shares at or below
1, 5, 10, 25 and 50 %, and the smallest p, over the x, of an exact one-sided binomial test of too many. For
the pair `seeds` the p that stand beside the divergences of words are looked at, too: one arm is the base of
the other.

A figure that differs in fewer than half of the seeds of a pair says next to nothing there; how many these are
stands below the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from coverage import LEVEL, arguments, write_page
from msgspec.structs import replace

from opoi.cleaning.levels import cleaner
from opoi.measures.figures.standard import STANDARD
from opoi.measures.figures.vocabulary import bigram_js_excess, js_excess, mauve_lite, tool_js_excess
from opoi.measures.paired.differences import differences
from opoi.measures.paired.inference import holm
from opoi.measures.paired.pairing import Paired
from opoi.measures.run import measured
from opoi.protocols import Cast, Strategy
from opoi.registry import load_suite
from opoi.rollout import rollout
from opoi.strategies.opcd import OPCD
from opoi.strategies.opoi import OPOI
from opoi.types import Arm, Case, Group, Trace
from opoi_envs.echo import EchoModel, Persona

RUNS = 3
OTHER = 1_000_003
"""Sets the seed of a corrector of its own apart from that of every agent."""

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


def _fields(cast: Cast) -> dict[str, Any]:
    return {name: getattr(cast, name) for name in cast.__struct_fields__}


OPTIONS: dict[str, Any] = {"attempts": 1, "form": "verdict+reason"}
OPCD_OPTIONS = OPCD(form="verdict+reason")


class Side(NamedTuple):
    """One side of a pair: a strategy, and whether its corrector is the agent or a model of its own."""

    strategy: Strategy
    own: bool = True


PAIRS: dict[str, dict[str, Side]] = {
    "seeds": {"opoi": Side(OPOI(**OPTIONS)), "again": Side(OPOI(**OPTIONS))},
    "seat": {"agent": Side(OPOI(**OPTIONS)), "seat": Side(InTheSeat(**OPTIONS))},
    "corrector": {"own": Side(OPCD_OPTIONS), "agent": Side(OPCD_OPTIONS, own=False)},
}
"""Sides by arm; the name of an arm is part of the seed of its draws."""

FIGURES = tuple(metric.name for metric in STANDARD if metric.definition.parts)
NOTHING = (0.0, 0.0)
OWN_P = "p beside "
WORDS = (js_excess, bigram_js_excess, tool_js_excess, mauve_lite)
"""Figures of words with a p."""


def sides_of(pair: str, n: int, seed: int) -> tuple[list[Group], dict[str, list[Group]]]:
    """Return what the unsteered agent and both sides of a pair made of so many scenarios."""
    suite, model = load_suite("echo"), EchoModel(replace(DIALS, seed=seed))
    other = EchoModel(replace(DIALS, seed=seed + OTHER), name="stand-in/corrector")
    tidy = cleaner("C0", suite=suite, agent=lambda: model, tools=(), seed=seed)
    unsteered: list[Group] = []
    made: dict[str, list[Group]] = {arm: [] for arm in PAIRS[pair]}
    for scenario in suite.scenarios(n, seed):
        base = [rollout(scenario, suite, model, arm="base", run=run, seed=seed) for run in range(RUNS)]
        verdict = suite.experts["reviewer"](scenario, base[0])
        group = partial(Group, scenario=scenario, verdict=verdict)
        unsteered.append(group(cleaned=tuple(map(tidy, base))))
        case = partial(Case, scenario=scenario, base=base[0], verdict=verdict)
        for arm, (strategy, own) in PAIRS[pair].items():
            corrector = other if own and pair == "corrector" else model
            cast = Cast(suite=suite, agent=model, corrector=corrector, arm=arm, seed=seed)
            traces = (tidy(trace) for run in range(RUNS) for trace in strategy(case(run=run), cast))
            made[arm].append(group(cleaned=tuple(traces)))
    return unsteered, made


def p_values(pair: str, n: int, seed: int) -> dict[str, float]:
    """Return p of every figure by name, 1 where the arms do not differ in it."""
    unsteered, made = sides_of(pair, n, seed)
    base = Arm("base", partial(iter, unsteered))
    arms = [base, *(Arm(name, partial(iter, groups), base=base) for name, groups in made.items())]
    rows = list(measured(arms, suite=load_suite("echo"), seed=seed, resamples=1).table.rows())
    figures = {
        name: _paired([[row[arm].get(name, NOTHING) for arm in made] for row in rows]) for name in FIGURES
    }
    found = {
        name: each.p if each.p is not None and each.differing else 1.0
        for name, each in differences(figures, seed=seed, resamples=2_000).items()
        if each.difference is not None
    }
    return found | (word_ps(made, seed) if pair == "seeds" else {})


def _paired(rows: Sequence[Sequence[tuple[float, float]]]) -> Paired:
    table = np.array(rows, dtype=np.float64)
    return Paired(table[:, 0, 0], table[:, 0, 1], table[:, 1, 0], table[:, 1, 1])


def word_ps(made: Mapping[str, list[Group]], seed: int) -> dict[str, float]:
    """Return p of the figures that compare the words of the second arm with those of the first."""
    (first, groups), (second, others) = made.items()
    arm = Arm(second, partial(iter, others), base=Arm(first, partial(iter, groups)))
    measures = {metric.name: metric(arm, seed=seed, resamples=1) for metric in WORDS}
    return {OWN_P + name: measure.p for name, measure in measures.items() if measure.p is not None}


class Null(NamedTuple):
    """How p of one figure is distributed where there is no difference."""

    pair: str
    figure: str
    seeds: int
    shares: tuple[float, ...]
    p: float
    adjusted: float


class Nulls(NamedTuple):
    """What was found, and the names of the figures, by pair, that differ too seldom to be shown."""

    rows: list[Null]
    left_out: dict[str, list[str]]


def nulls(seeds: int, n: int, jobs: int = 1, pairs: tuple[str, ...] = tuple(PAIRS)) -> Nulls:
    """Compare arms without a difference on so many seeds each."""
    tallies: list[Null] = []
    left_out: dict[str, list[str]] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for pair in pairs:
            runs = list(pool.map(partial(p_values, pair, n), range(seeds), chunksize=5))
            left_out[pair] = []
            for name in (*FIGURES, *(OWN_P + metric.name for metric in WORDS)):
                found = [run[name] for run in runs if name in run]
                if sum(p < 1 for p in found) >= seeds / 2:
                    tallies.append(_null(pair, name, found))
                elif found:
                    left_out[pair].append(name)
    adjusted = holm([row.p for row in tallies])
    rows = [row._replace(adjusted=each) for row, each in zip(tallies, adjusted, strict=True)]
    return Nulls(rows, left_out)


def _null(pair: str, name: str, found: Sequence[float]) -> Null:
    from scipy.stats import binom

    hits = [sum(p <= level for p in found) for level in LEVELS]
    worst = min(float(binom.sf(hit - 1, len(found), level)) for hit, level in zip(hits, LEVELS, strict=True))
    shares = tuple(hit / len(found) for hit in hits)
    return Null(pair, name, len(found), shares, min(1.0, len(LEVELS) * worst), 1.0)


def page(found: Nulls) -> Iterator[str]:
    """Yield the lines of the table for people: a row for each figure, all pairs in each cell."""
    rows, pairs = found.rows, tuple(found.left_out)
    yield f"| figure | {' | '.join(f'p <= {level:g}' for level in LEVELS)} | least p (Holm) |"
    yield "|---|" + "---|" * (len(LEVELS) + 1)
    for name in dict.fromkeys(row.figure for row in rows):
        here = {row.pair: row for row in rows if row.figure == name}
        cells = [" / ".join(_cell(here.get(pair), at) for pair in pairs) + " %" for at in range(len(LEVELS))]
        yield f"| `{name}` | {' | '.join(cells)} | {min(row.adjusted for row in here.values()):.3f} |"
    counts = " / ".join(str(len(names)) for names in found.left_out.values())
    yield ""
    named = " / ".join(f"`{pair}`" for pair in pairs)
    yield f"Cells: {named}, a dash where a figure is left out or has no value."
    yield f"Left out, as they differ in fewer than half of the seeds: {counts} figures."


def _cell(row: Null | None, at: int) -> str:
    return "-" if row is None else f"{100 * row.shares[at]:.1f}"


def main() -> None:
    """Print the table; status 1 where a figure is found to differ too often."""
    given = arguments(__doc__ or "")
    found = nulls(given.seeds, given.n, given.jobs)
    print("\n".join(page(found)))
    if given.write_docs:
        write_page("nulls", page(found))
    sys.exit(any(row.adjusted < LEVEL for row in found.rows))


if __name__ == "__main__":
    main()
