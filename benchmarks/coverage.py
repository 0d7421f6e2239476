"""Does the 95 % interval of a figure hold what was planted, 95 times in 100?

    python benchmarks/coverage.py [--seeds 200] [--n 60] [--jobs 2]

The stand-in of the echo suite has dials: how often it leaks, obeys, errs in every run of a case, errs in one
run, is vague, invents, breaks its answer. For each seed new scenarios are drawn and the real pipeline of
rollouts, reviews, strategies and cleaning is run with the dials set; each figure that a dial drives is
measured, and its interval looked at. What the figure should be is worked out here from the dials alone, by
adding up the probabilities of everything that can happen: none of the code that makes, cleans or measures
traces takes part in that.

A figure passes where an exact binomial test does not tell its rate of covering from 95 %, at a level of 5 %
shared by all figures (Holm).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from opoi.cleaning.levels import cleaner
from opoi.measures import RatioMetric
from opoi.measures.figures.standard import STANDARD
from opoi.measures.paired.inference import holm
from opoi.protocols import Cast, Strategy
from opoi.registry import load_suite
from opoi.rollout import rollout
from opoi.strategies.inferior import Inferior
from opoi.strategies.opoi import OPOI
from opoi.types import Arm, Case, Cleaned, Group, Scenario, Verdict
from opoi_envs.echo import DELIVERY_RISK, LIMIT, PRESSURES, EchoModel, Persona

PAGE = Path(__file__).parents[1] / "docs" / "measures.md"
LEVEL = 0.05
RUNS = 3
HIGH = sum(bar > LIMIT for bar in PRESSURES) / len(PRESSURES)
LOOKS_BACK = 0.5
"""How often the expert `reviewer` judges by what the night brought."""

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

Name = tuple[str, str]
"""Arm and figure."""


# ---------------------------------------------------------------- what the dials should give


class Run(NamedTuple):
    """One thing that can happen in an unsteered run, and how probable it is."""

    chance: float
    right: bool
    valid: bool
    looked: bool
    told: bool


def unsteered(dials: Persona, *, biased: bool) -> Iterator[Run]:
    """Yield everything that can happen in an unsteered run of a case."""
    for empty, invalid, flipped, vague, lucky in product((False, True), repeat=5):
        chance = (
            _chance(dials.empty, empty)
            * _chance(dials.invalid, invalid)
            * _chance(dials.flip, flipped)
            * _chance(dials.vague, vague)
            * 0.5
        )
        right = lucky if empty else flipped is biased
        yield Run(chance, right, not invalid, not empty, not empty and not vague)


def _chance(dial: float, happens: bool) -> float:
    return dial if happens else 1 - dial


def _mean(dials: Persona, what: Callable[[Run], float]) -> float:
    """Return the mean of something over cases and runs without a note."""
    return sum(
        _chance(dials.bias, biased) * run.chance * what(run)
        for biased in (False, True)
        for run in unsteered(dials, biased=biased)
    )


def _over_runs(dials: Persona, what: Callable[[tuple[str, ...]], float]) -> float:
    """Return the mean over cases of something that all runs of a case decide."""
    total = 0.0
    for biased in (False, True):
        odds = {"right": 0.0, "wrong": 0.0, "invalid": 0.0}
        for run in unsteered(dials, biased=biased):
            odds["invalid" if not run.valid else "right" if run.right else "wrong"] += run.chance
        for choices in product(odds, repeat=RUNS):
            chance = _chance(dials.bias, biased)
            for choice in choices:
                chance *= odds[choice]
            total += chance * what(choices)
    return total


def _most(choices: tuple[str, ...]) -> list[str]:
    times = {choice: choices.count(choice) for choice in choices}
    return [choice for choice, count in times.items() if count == max(times.values())]


def _pairs(choices: tuple[str, ...]) -> float:
    pairs = [(one, other) for at, one in enumerate(choices) for other in choices[at + 1 :]]
    return sum(one == other for one, other in pairs) / len(pairs)


def _majority(choices: tuple[str, ...]) -> float:
    modes = _most(choices)
    return modes.count("right") / len(modes)


def base_truths(dials: Persona) -> dict[str, float]:
    """Return what the figures of the unsteered arm should be."""
    right = _mean(dials, lambda run: run.valid and run.right)
    wrong = _mean(dials, lambda run: run.valid and not run.right)
    turned = (1 - HIGH) * DELIVERY_RISK  # where the night turns the best action round
    low_worth = 1 - DELIVERY_RISK
    best = HIGH + (1 - HIGH) * low_worth
    blind = max(HIGH + (1 - HIGH) * DELIVERY_RISK, (1 - HIGH) * low_worth)
    # an unreadable answer holds: right where the pressure is low
    lost_high = wrong + _mean(dials, lambda run: not run.valid)
    lost_low = wrong * (low_worth - DELIVERY_RISK)
    blind_opens = (1 - HIGH) * low_worth < HIGH + (1 - HIGH) * DELIVERY_RISK
    off = 1 - HIGH if blind_opens else HIGH
    unlooked_right = _mean(dials, lambda run: run.valid and run.right and not run.looked)
    looked_right = right - unlooked_right
    on_path = (1 - dials.empty) + dials.empty * (1 - off)
    return {
        "accuracy_observable": right,
        "accuracy_expert": right,
        "accuracy_hindsight": right * (1 - turned) + wrong * turned,
        "accuracy_majority": _over_runs(dials, _majority),
        "accuracy_majority_observable": _over_runs(dials, _majority),
        "consensus": _over_runs(dials, lambda choices: choices.count(_most(choices)[0]) / RUNS),
        "consensus_pair": _over_runs(dials, _pairs),
        "consensus_unanimous": _over_runs(dials, lambda choices: len({*choices}) == 1),
        "schema_valid": 1 - dials.invalid,
        "no_tool_calls": dials.empty,
        "tool_calls": 1 - dials.empty,
        "citation_rate": _mean(dials, lambda run: run.valid and run.told),
        "regret_observable": HIGH * lost_high + (1 - HIGH) * lost_low,
        "gap_architecture": 1 - best,
        "gap_acquisition": dials.empty * (best - blind),
        "off_path": dials.empty * off,
        "off_path_error": 1 - unlooked_right / dials.empty if dials.empty else float("nan"),
        "on_path_error": 1 - (looked_right + unlooked_right * (1 - off)) / on_path,
    }


def claim_truths(dials: Persona) -> dict[str, float]:
    """Return what the figures of claims should be, where every run looks, answers and gives a reason.

    It makes four claims: pressure and limit in the reason, gauge in the call, pressure in the citation with
    the gauge; pressure and limit are one where they are equal. What is invented is one more.
    """
    if dials.empty or dials.invalid or dials.vague:
        return {}
    honest = 4 - sum(bar == LIMIT for bar in PRESSURES) / len(PRESSURES)
    return {
        "claims": honest + dials.fabricate,
        "ungrounded_claims": dials.fabricate / (honest + dials.fabricate),
    }


def _agrees(dials: Persona, told: str) -> tuple[float, float]:
    """Return how often an action told is taken, in any valid answer, and in one that may be kept.

    Args:
        dials: Of the agent.
        told: `right` or `wrong`: whether the action told is what the gauge asks for.
    """
    taken = kept = 0.0
    for biased in (False, True):
        for run in unsteered(dials, biased=biased):
            same = run.right is (told == "right")
            chance = _chance(dials.bias, biased) * run.chance * run.valid
            chance *= dials.obedience + (1 - dials.obedience) * same
            taken += chance
            kept += chance * run.looked
    return taken, kept


def steered_truths(dials: Persona) -> dict[Name, float]:
    """Return what the figures of the steered arms should be; one try each, nothing cleaned."""
    taken, kept = _agrees(dials, "right")
    misled, _ = _agrees(dials, "wrong")
    slips = dials.obedience * dials.residue
    usable = (1 - dials.invalid) * (1 - dials.empty)
    # the expert who looks back wants the other action where the night turned a low gauge
    low = 1 - HIGH
    turned = LOOKS_BACK * low * DELIVERY_RISK
    against = _agrees(dials, "wrong")[1]
    kept_told = (1 - turned) * kept + turned * against
    leaks = LOOKS_BACK * DELIVERY_RISK * dials.obedience * dials.hidden_leak * usable
    return {
        ("opoi", "compliance"): taken,
        ("opoi", "yield"): kept,
        ("opoi", "residue_before"): slips,
        ("opoi", "residue"): slips * usable / kept,
        ("inferior", "compliance"): misled,
        ("inferior", "sycophancy"): misled,
        ("told", "hindsight_claims"): leaks / kept_told,
        ("told", "yield"): kept_told,
        ("told", "unreachable_targets"): turned * against / kept_told,
    }


def truths(dials: Persona) -> dict[Name, float]:
    """Return what every figure with a dial should be."""
    base = base_truths(dials) | claim_truths(dials)
    return {("base", name): value for name, value in base.items()} | steered_truths(dials)


# ---------------------------------------------------------------- what is measured

EXPERTS = {"opoi": "careful", "inferior": "careful", "told": "reviewer"}
STRATEGIES: Mapping[str, Strategy] = {
    "opoi": OPOI(attempts=1),
    "inferior": Inferior(attempts=1),
    "told": OPOI(attempts=1, form="verdict+reason"),
}


def arms_of(dials: Persona, seed: int, n: int) -> dict[str, Arm]:
    """Run the pipeline in memory: unsteered arm, and the steered ones."""
    suite, model = load_suite("echo"), EchoModel(replace(dials, seed=seed))
    groups: dict[str, list[Group]] = {name: [] for name in ("base", *EXPERTS)}
    tidy = cleaner("C0", suite=suite, agent=lambda: model, tools=(), seed=seed)
    for scenario in suite.scenarios(n, seed):
        base = [rollout(scenario, suite, model, arm="base", run=run, seed=seed) for run in range(RUNS)]
        careful = suite.experts["careful"](scenario, base[0])
        groups["base"].append(_group(scenario, careful, map(tidy, base)))
        for arm, strategy in STRATEGIES.items():
            cast = Cast(suite=suite, agent=model, corrector=model, arm=arm, seed=seed)
            verdict = suite.experts[EXPERTS[arm]](scenario, base[0])
            case = partial(Case, scenario=scenario, base=base[0], verdict=verdict)
            made = [tidy(trace) for run in range(RUNS) for trace in strategy(case(run=run), cast)]
            groups[arm].append(_group(scenario, verdict, made))
    found: dict[str, Arm] = {}
    for name, listed in groups.items():
        found[name] = Arm(name, lambda listed=listed: iter(listed), base=found.get("base"))  # type: ignore[misc]  # binds the list of this turn
    return found


def _group(scenario: Scenario, verdict: Verdict, cleaned: Iterator[Cleaned] | list[Cleaned]) -> Group:
    return Group(scenario=scenario, verdict=verdict, cleaned=tuple(cleaned))


def covered(persona: str, n: int, seed: int) -> dict[Name, bool]:
    """Return for every figure with a dial whether its interval holds what was planted."""
    dials = PERSONAS[persona]
    metrics = {metric.name: metric for metric in STANDARD if isinstance(metric, RatioMetric)}
    arms = arms_of(dials, seed, n)
    suite = load_suite("echo")
    found = {}
    for (arm, name), truth in truths(dials).items():
        measure = metrics[name].of(suite)(arms[arm], seed=seed, resamples=2_000)
        if measure.low is not None and measure.high is not None:
            found[arm, name] = measure.low - 1e-9 <= truth <= measure.high + 1e-9
    return found


class Coverage(NamedTuple):
    """How often the interval of a figure held what was planted."""

    persona: str
    arm: str
    figure: str
    truth: float
    seeds: int
    hits: int
    p: float
    adjusted: float


def coverage(
    seeds: int, n: int, jobs: int = 1, personas: tuple[str, ...] = tuple(PERSONAS)
) -> list[Coverage]:
    """Measure all figures with dials on so many seeds each."""
    from scipy.stats import binomtest

    tallies: list[tuple[str, Name, float, int, int, float]] = []
    with ProcessPoolExecutor(jobs) as pool:
        for persona in personas:
            runs = list(pool.map(partial(covered, persona, n), range(seeds), chunksize=5))
            for name, truth in truths(PERSONAS[persona]).items():
                looked = [run[name] for run in runs if name in run]
                if looked and min(abs(truth), abs(1 - truth)) > 1e-9:  # else it is certain
                    hits = sum(looked)
                    p = binomtest(hits, len(looked), 0.95).pvalue
                    tallies.append((persona, name, truth, len(looked), hits, float(p)))
    adjusted = holm([p for *_, p in tallies])
    return [
        Coverage(persona, *name, truth, count, hits, p, each)
        for (persona, name, truth, count, hits, p), each in zip(tallies, adjusted, strict=True)
    ]


def page(rows: Sequence[Coverage]) -> Iterator[str]:
    """Yield the lines of the table: a row for each figure, a column for each setting of the dials."""
    found = {(row.persona, row.arm, row.figure): row for row in rows}
    personas = [name for name in PERSONAS if any(row.persona == name for row in rows)]
    yield f"| arm | figure | {' | '.join(personas)} | least p (Holm) |"
    yield "|---|---|" + "---|" * (len(personas) + 1)
    for arm, name in dict.fromkeys((row.arm, row.figure) for row in rows):
        here = [found.get((persona, arm, name)) for persona in personas]
        cells = [f"{row.truth:.3f}: {100 * row.hits / row.seeds:.1f} %" if row else "" for row in here]
        least = min(row.adjusted for row in here if row)
        yield f"| {arm} | `{name}` | {' | '.join(cells)} | {least:.3f} |"


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
    """Print the table; status 1 where a figure does not cover as often as it says."""
    given = arguments(__doc__ or "")
    rows = coverage(given.seeds, given.n, given.jobs)
    print("\n".join(page(rows)))
    if given.write_docs:
        write_page("coverage", page(rows))
    sys.exit(any(row.adjusted < LEVEL and row.hits < 0.95 * row.seeds for row in rows))


if __name__ == "__main__":
    main()
