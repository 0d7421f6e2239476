"""Does the 95 % interval of a figure hold what was planted, 95 times in 100?

    python benchmarks/coverage.py [--seeds 200] [--n 60] [--jobs 2]

The stand-in of the echo suite has dials: how often it leaks, obeys, errs in every run of a case, errs in one
run, is vague, invents, breaks its answer. For each seed new scenarios are drawn and the real pipeline of
rollouts, reviews, strategies and cleaning is run with the dials set; each figure that a dial drives is
measured, and its interval looked at. What the figure should be is worked out from the dials alone
(`planted_truths.py`), by adding up the probabilities of everything that can happen: none of the code that
makes, cleans or measures traces takes part in that.

A figure passes where an exact two-sided binomial test does not tell its rate of covering from 95 %, at a
level of 5 % shared by all cells (Holm); a figure that the dials make certain has to be that on every seed.
The exit status is 1 where any does not pass, covering too often included.

Few events: an interval of a rare thing is discrete. How many events a cell rests on is n / kurtosis of what
the n scenarios add to the error of the figure, over all seeds: n times the chance of a rare thing, n / 3 of
something normal. Cells with fewer than 10 are marked with a star. A share (Wilson's interval) is then tested
for covering too seldom only; other figures (a bootstrap, which knows no values but those it saw) are not.
Two stars mark cells with less than one event a seed. They are not tested: there Wilson's interval is known to
cover as seldom as 84 % (Brown, Cai and DasGupta 2001).

Not here, although a dial drives them, are figures whose true value no sum over the dials gives:

- `js_excess`, `bigram_js_excess`, `tool_js_excess`, `mauve_lite` and their nulls, `oov_rate`, `oov_types`,
  `length_ratio`: they depend on how many words were drawn, and on random halves and clusters;
- `edited_share`: characters of sentences, numbers and quotes, weighted by how long the rest is;
- `justification_overlap`: a mean over those cases alone in which runs disagree and cite;
- `citation_recall`: of a tenth of the scenarios, drawn by id, the same for every seed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from planted_truths import CERTAIN, RUNS, SIGNED, Name, truths

from opoi.cleaning.levels import cleaner
from opoi.intervals import Floats
from opoi.measures import RatioMetric
from opoi.measures.excess import ExcessMetric
from opoi.measures.figures.standard import STANDARD
from opoi.measures.paired.inference import holm
from opoi.measures.ratio import Columns, bootstrap_stream
from opoi.measures.statistics import affordable, bootstrap_sums, on_grid, ratio_measure
from opoi.measures.walks import count_arm
from opoi.protocols import Cast, Strategy, Suite
from opoi.registry import load_suite
from opoi.rollout import rollout
from opoi.strategies.inferior import Inferior
from opoi.strategies.opcd import OPCD
from opoi.strategies.opoi import OPOI
from opoi.types import Arm, Case, Cleaned, Group, Measure, Scenario, Verdict
from opoi_envs.echo import EchoModel, Persona

PAGE = Path(__file__).parents[1] / "docs" / "measures.md"
LEVEL = 0.05
FEW = 10
SCARCE = 1
"""Events below which an interval cannot be expected to cover as often as it says."""

PERSONAS = {
    "mild": Persona(
        obedience=0.9, residue=0.1, flip=0.05, bias=0.1, vague=0.1, hidden_leak=0.3, invalid=0.03, empty=0.12
    ),
    "strong": Persona(
        obedience=0.6, residue=0.5, flip=0.3, bias=0.2, vague=0.5, hidden_leak=0.8, invalid=0.1, empty=0.2
    ),
    "inventive": Persona(obedience=0.8, residue=0.3, flip=0.1, fabricate=0.3),
    "one-sided": Persona(
        obedience=1.0, residue=0.9, flip=0.0, bias=0.4, vague=0.9, hidden_leak=1.0, invalid=0.0, empty=0.0
    ),
}

# ---------------------------------------------------------------- what is measured


class Made(NamedTuple):
    """How an arm is made."""

    strategy: Strategy
    expert: str = "careful"
    level: str = "C0"


STEERED = {
    "opoi": Made(OPOI(attempts=1)),
    "inferior": Made(Inferior(attempts=1)),
    "told": Made(OPOI(attempts=1, form="verdict+reason"), expert="reviewer"),
    "corrector": Made(OPCD(), expert="reviewer"),
    **{f"opoi {level}": Made(OPOI(attempts=1), level=level) for level in ("C1", "C2", "C3")},
}
METRICS = {metric.name: metric for metric in STANDARD if isinstance(metric, RatioMetric | ExcessMetric)}
RESAMPLES = 2_000


def arms_of(dials: Persona, seed: int, n: int) -> dict[str, Arm]:
    """Run the pipeline in memory: unsteered arm, and the steered ones."""
    suite, model = load_suite("echo"), EchoModel(replace(dials, seed=seed))
    groups: dict[str, list[Group]] = {name: [] for name in ("base", *STEERED)}
    tidy = {
        level: cleaner(level, suite=suite, agent=lambda: model, tools=(), seed=seed)
        for level in {made.level: None for made in STEERED.values()}
    }
    for scenario in suite.scenarios(n, seed):
        base = [rollout(scenario, suite, model, arm="base", run=run, seed=seed) for run in range(RUNS)]
        careful = suite.experts["careful"](scenario, base[0])
        groups["base"].append(_group(scenario, careful, map(tidy["C0"], base)))
        for arm, (strategy, expert, level) in STEERED.items():
            cast = Cast(suite=suite, agent=model, corrector=model, arm=arm, seed=seed)
            verdict = suite.experts[expert](scenario, base[0])
            case = partial(Case, scenario=scenario, base=base[0], verdict=verdict)
            written = (tidy[level](trace) for run in range(RUNS) for trace in strategy(case(run=run), cast))
            groups[arm].append(_group(scenario, verdict, written))
    found: dict[str, Arm] = {}
    for name, listed in groups.items():
        found[name] = Arm(name, partial(iter, listed), base=found.get("base"))
    return found


def _group(scenario: Scenario, verdict: Verdict, cleaned: Iterator[Cleaned]) -> Group:
    return Group(scenario=scenario, verdict=verdict, cleaned=tuple(cleaned))


class Look(NamedTuple):
    """One figure on one seed.

    Attributes:
        value: The figure.
        holds: Whether its interval holds what was planted; of a certain figure, whether it is that.
        squares: Sum over scenarios of the squared distance from the figure, what counts as its events.
        fourths: The same of its fourth power.
    """

    value: float
    holds: bool
    squares: float
    fourths: float


def looked(persona: str, n: int, seed: int) -> dict[Name, Look]:
    """Return for every figure with a dial what it is, and whether its interval holds what was planted."""
    dials, suite = PERSONAS[persona], load_suite("echo")
    wanted = truths(dials)
    found: dict[Name, Look] = {}
    for arm_name, arm in arms_of(dials, seed, n).items():
        named = {name: truth for (where, name), truth in wanted.items() if where == arm_name}
        for name, (measure, moments) in measured(arm, list(named), suite, seed).items():
            value, truth = measure.value, named[name]
            low, high = (value, value) if certain(name, truth) else (measure.low, measure.high)
            if value is not None and low is not None and high is not None:
                holds = low - CERTAIN <= truth <= high + CERTAIN
                found[arm_name, name] = Look(value, holds, *moments)
    return found


def certain(name: str, truth: float) -> bool:
    """Return whether the dials leave nothing to chance."""
    return name not in SIGNED and min(abs(truth), abs(1 - truth)) < CERTAIN


Moments = tuple[float, float]
"""Sums over scenarios of the second and the fourth power of what they add to the error of a figure."""


def measured(arm: Arm, names: list[str], suite: Suite, seed: int) -> dict[str, tuple[Measure, Moments]]:
    """Measure figures of an arm as `opoi report` does, with what counts as their events."""
    chosen = [METRICS[name] for name in names]
    ratios = [metric for metric in chosen if isinstance(metric, RatioMetric)]
    columns = Columns(ratios)
    count_arm(columns, arm, suite)
    ids = sorted(columns.ids)
    pairs = [on_grid(np.column_stack(columns.aligned(metric.name, ids))) for metric in ratios]
    drawn = bootstrap_sums(np.hstack(pairs), bootstrap_stream(seed), affordable(RESAMPLES, len(ids)))
    found = {}
    for at, (metric, pair) in enumerate(zip(ratios, pairs, strict=True)):
        sums = drawn[:, 2 * at], drawn[:, 2 * at + 1]
        found[metric.name] = ratio_measure(pair[:, 0], pair[:, 1], sums, unit=metric.unit), _moments(pair)
    for excess in (metric for metric in chosen if isinstance(metric, ExcessMetric)):
        rarer = found[excess.more.name][1]  # fewer decisions are off the path than on it
        found[excess.name] = excess.of(suite)(arm, seed=seed, resamples=RESAMPLES), rarer
    return found


def _moments(pair: Floats) -> Moments:
    above, below = pair.sum(axis=0)
    squares = (pair[:, 0] - (above / below if below else 0.0) * pair[:, 1]) ** 2
    return float(squares.sum()), float((squares**2).sum())


class Coverage(NamedTuple):
    """How often the interval of a figure held what was planted.

    Attributes:
        few: Whether there are too few events for its interval to cover as often as it says.
        scarce: Whether there is less than one a seed.
        certain: Whether the dials leave nothing to chance: then it has to be as planted each time.
        z: How many standard errors the mean over seeds is from what was planted.
    """

    persona: str
    arm: str
    figure: str
    truth: float
    seeds: int
    hits: int
    few: bool
    scarce: bool
    certain: bool
    z: float
    p: float
    adjusted: float


def coverage(
    seeds: int, n: int, jobs: int = 1, personas: tuple[str, ...] = tuple(PERSONAS)
) -> list[Coverage]:
    """Measure all figures with dials on so many seeds each."""
    rows: list[Coverage] = []
    with ProcessPoolExecutor(jobs) as pool:
        for persona in personas:
            runs = list(pool.map(partial(looked, persona, n), range(seeds), chunksize=5))
            for name, truth in truths(PERSONAS[persona]).items():
                looks = [run[name] for run in runs if name in run]
                if looks:
                    rows.append(_row(persona, name, truth, looks))
    tested = [row for row in rows if _tested(row)]
    adjusted = dict(zip(map(id, tested), holm([row.p for row in tested]), strict=True))
    return [row._replace(adjusted=adjusted.get(id(row), row.p if row.certain else 1.0)) for row in rows]


def _tested(row: Coverage) -> bool:
    share = METRICS[row.figure].unit == "share"
    return not row.certain and (not row.few or (share and not row.scarce))


def _row(persona: str, name: Name, truth: float, looks: Sequence[Look]) -> Coverage:
    from scipy.stats import binomtest

    seeds, hits = len(looks), sum(look.holds for look in looks)
    squares, fourths = (sum(part) for part in zip(*(look[2:] for look in looks), strict=True))
    few, scarce = (squares**2 < least * seeds * fourths for least in (FEW, SCARCE))
    p = binomtest(hits, seeds, 1 - LEVEL, alternative="less" if few else "two-sided").pvalue
    values = np.array([look.value for look in looks])
    still = squares < CERTAIN**2 and bool((abs(values - truth) < CERTAIN).all())  # nothing ever varied
    sure = certain(name[1], truth) or still
    spread = float(values.std(ddof=1)) / math.sqrt(seeds) if seeds > 1 else 0.0
    z = (float(values.mean()) - truth) / spread if spread else 0.0
    chance = float(hits == seeds) if sure else float(p)
    return Coverage(persona, *name, truth, seeds, hits, few, scarce, sure, z, chance, 1.0)


def page(rows: Sequence[Coverage]) -> Iterator[str]:
    """Yield the lines of the table: a row for each figure, a column for each setting of the dials."""
    shown = [row for row in rows if not row.certain]
    found = {(row.persona, row.arm, row.figure): row for row in shown}
    personas = [name for name in PERSONAS if any(row.persona == name for row in shown)]
    yield f"| arm | figure | {' | '.join(personas)} | least p (Holm) |"
    yield "|---|---|" + "---|" * (len(personas) + 1)
    for arm, name in dict.fromkeys((row.arm, row.figure) for row in shown):
        here = [found.get((persona, arm, name)) for persona in personas]
        tested = [row.adjusted for row in here if row and _tested(row)]
        least = f"{min(tested):.3f}" if tested else "-"
        yield f"| {arm} | `{name}` | {' | '.join(map(_cell, here))} | {least} |"


def _cell(row: Coverage | None) -> str:
    if row is None:
        return ""
    stars = " **" if row.scarce else " *" if row.few else ""
    return f"{round(row.truth, 3) + 0.0:.3f}: {100 * row.hits / row.seeds:.1f} %{stars}"


def write_page(mark: str, lines: Iterable[str]) -> None:
    """Put a table between its marks in the documentation."""
    text = PAGE.read_text(encoding="utf-8")
    head, begin, rest = text.partition(f"<!-- {mark} -->\n")
    _, end, tail = rest.partition("<!-- end -->")
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no marks for {mark}")
    table = "\n".join(lines)
    PAGE.write_text(f"{head}{begin}{table}\n{end}{tail}", encoding="utf-8")


def arguments(doc: str) -> argparse.Namespace:
    """Read the options of a proof."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--n", type=int, default=60, help="scenarios of each seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/measures.md")
    return parser.parse_args()


def main() -> None:
    """Print the table; status 1 where a figure covers more or less often than it says."""
    given = arguments(__doc__ or "")
    rows = coverage(given.seeds, given.n, given.jobs)
    print("\n".join(page(rows)))
    if given.write_docs:
        write_page("coverage", page(rows))
    for row in rows:
        if row.certain and row.p < LEVEL:
            print(f"{row.persona}, {row.arm}: {row.figure} is not {row.truth:g} each time")
    sys.exit(any(row.adjusted < LEVEL for row in rows))


if __name__ == "__main__":
    main()
