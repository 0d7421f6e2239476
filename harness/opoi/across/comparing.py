"""Arms of one run or of several, side by side on the scenarios that they share.

The first is the reference; every other one is compared with it. A scenario pairs with itself: by id, and by
the digest of its world, so that worlds of other seeds are never taken for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from opoi.across.reading import MeasuredRun, read_run, source_of
from opoi.errors import UnknownNameError, UsageError
from opoi.measures.paired.differences import (
    Compared,
    Comparisons,
    Contrast,
    Difference,
    closed_share,
    decide,
    differences,
)
from opoi.measures.paired.inference import ALPHA, POWER
from opoi.measures.paired.pairing import Paired
from opoi.measures.results import Definition
from opoi.types import Measure

__all__ = ["PRIMARY", "compare"]

PRIMARY = ("accuracy_observable", "consensus_pair", "forced_logprob", "hindsight_claims")
"""The figures on which a comparison is judged, unless others are declared."""

_LOST = "regret_observable"

_COMMON = "accuracy_observable_common"

_OF_ALL_TEXTS = ("js_excess", "bigram_js_excess", "tool_js_excess", "oov_rate")
"""Figures whose size depends on how much text the arm and its base arm have."""

_SCORED = "forced_"
"""How figures begin that are log-probabilities of the first scorer."""

OTHER_SCENARIOS = "each run has it on scenarios of its own: those of which all its arms kept a trace"

OTHER_TEXTS = (
    "its size depends on how many scenarios and traces the base arm of each run has; here they differ"
)

NOT_PAIRED = "no ratio of sums or mean over scenarios: they have no parts of their own in it to be paired"


@dataclass(frozen=True, slots=True)
class _Arm:
    """One arm of one run."""

    run: MeasuredRun
    name: str

    @property
    def label(self) -> str:
        return f"{self.run.name}:{self.name}"


@dataclass(frozen=True, slots=True)
class _Pairing:
    """The scenarios of two runs."""

    ids: list[str]
    only_a: int
    only_b: int
    other_world: int


def compare(
    sources: Sequence[str],
    *,
    primary: Sequence[str] | None = None,
    figures: Sequence[str] = (),
    resamples: int = 10_000,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Comparisons:
    """Compare arms with the first one, on the scenarios that they share.

    Args:
        sources: Run folders, or `FOLDER:ARM`, at least two. Of folders without an arm, all arms with traces
            are compared that both have; of one with and one without, the arm of that name.
        primary: Figures for which p is adjusted, together; None for `PRIMARY` as far as they exist.
        figures: Which figures to return, none for all. p of primary ones is adjusted as if all were returned.
        resamples: Of the bootstrap and of the permutation.
        seed: Seed of all draws.
        progress: Told what is being done.

    Raises:
        UsageError: There is nothing to compare, or a figure that is named does not exist.
        ArtefactError: A run cannot be read.
    """
    runs, pairs = _resolve(sources, progress or _quiet)
    definitions = _definitions(runs)
    _known([*(primary or ()), *figures], definitions)
    declared = tuple(primary) if primary is not None else tuple(n for n in PRIMARY if n in definitions)
    wanted = list(dict.fromkeys([*declared, *figures])) if figures else list(definitions)
    scenarios = [_pair(a.run, b.run) for a, b in pairs]
    columns = [_columns(a, b, found.ids, wanted) for (a, b), found in zip(pairs, scenarios, strict=True)]
    tested = []
    for (a, b), one in zip(pairs, columns, strict=True):
        (progress or _quiet)(f"{b.label} against {a.label}")
        tested.append(differences(one, seed=seed, resamples=resamples))
    judged, tests = decide(tested, columns, declared)
    shown = [name for name in definitions if not figures or name in figures]
    return Comparisons(
        schema="opoi.comparison/1",
        runs=tuple(run.name for run in runs),
        simulated=any(run.simulated for run in runs),
        settings=_contrasts([run.facts(_shared_arms(pairs)) for run in runs]),
        primary=declared,
        tests=tests,
        alpha=ALPHA,
        power=POWER,
        resamples=resamples,
        seed=seed,
        definitions={name: definitions[name] for name in shown},
        compared=tuple(
            msgspec.structs.replace(
                _compared(a, b, found, one, shown),
                closed=_closed(figures.get(_LOST), seed, resamples),
            )
            for (a, b), found, one, figures in zip(pairs, scenarios, judged, columns, strict=True)
        ),
    )


def _closed(lost: Paired | None, seed: int, resamples: int) -> Measure | None:
    return None if lost is None else closed_share(lost, seed=seed, resamples=resamples)


def _quiet(_message: str) -> None:
    """Tell nobody."""


# ---------------------------------------------------------------- which arms


def _resolve(
    sources: Sequence[str], tell: Callable[[str], None]
) -> tuple[list[MeasuredRun], list[tuple[_Arm, _Arm]]]:
    """Read the runs, each once, and return them with the pairs of arms to compare."""
    if len(sources) < 2:
        raise UsageError(
            "there is nothing to compare with",
            why="a comparison takes two runs, or two arms",
            fix="opoi compare RUN_A RUN_B, or for two arms of one run: opoi compare RUN:opoi RUN:opcd",
        )
    named = [source_of(text) for text in sources]
    runs: dict[Path, MeasuredRun] = {}
    for folder, _ in named:
        if folder.resolve() not in runs:
            tell(f"read {folder}")
            runs[folder.resolve()] = read_run(folder)
    (first, first_arm), *others = [(runs[folder.resolve()], arm) for folder, arm in named]
    pairs = [pair for other, arm in others for pair in _arms(first, first_arm, other, arm)]
    return list(runs.values()), pairs


def _arms(a: MeasuredRun, arm_a: str, b: MeasuredRun, arm_b: str) -> list[tuple[_Arm, _Arm]]:
    if arm_a or arm_b:
        names = [(arm_a or arm_b, arm_b or arm_a)]
    else:
        names = [(name, name) for name in a.data_arms if name in b.data_arms]
    for one, other in names:
        a.arm(one)
        b.arm(other)
    if a is b and all(one == other for one, other in names):
        raise UsageError(
            f"{a.name} is compared with itself",
            why="both names mean the same arms of the same run",
            fix=f"name two of its arms, e.g. {a.name}:{a.data_arms[0]} {a.name}:{a.data_arms[-1]}",
        )
    if not names:
        raise UsageError(
            f"{a.name} and {b.name} have no arm of the same name",
            why=f"the first has {', '.join(a.data_arms)}; the other {', '.join(b.data_arms)}",
            fix="name one of each: FOLDER:ARM FOLDER:ARM",
        )
    return [(_Arm(a, one), _Arm(b, other)) for one, other in names]


def _shared_arms(pairs: Sequence[tuple[_Arm, _Arm]]) -> set[str]:
    """Return the arms that are compared with one of the same name; the others tell how they are made."""
    return {a.name for a, b in pairs if a.name == b.name}


# ---------------------------------------------------------------- which scenarios


def _pair(a: MeasuredRun, b: MeasuredRun) -> _Pairing:
    """Return the scenarios that two runs share, sorted by id.

    Raises:
        UsageError: There are none.
    """
    shared = sorted(a.worlds.keys() & b.worlds.keys())
    ids = [name for name in shared if a.worlds[name] == b.worlds[name]]
    found = _Pairing(ids, len(a.worlds) - len(shared), len(b.worlds) - len(shared), len(shared) - len(ids))
    if not ids:
        raise UsageError(
            f"{a.name} and {b.name} share no scenario",
            why=_why_apart(a, b, found),
            fix="make both runs with the same suite and the same seed; then scenarios pair, whatever else "
            "differs",
        )
    return found


def _why_apart(a: MeasuredRun, b: MeasuredRun, found: _Pairing) -> str:
    facts = {contrast.name: contrast.values for contrast in _contrasts([a.facts(), b.facts()])}
    differ = [f"{key} is {' and '.join(facts[key])}" for key in ("suite", "seed") if key in facts]
    if not differ and found.other_world:
        have = "has" if found.other_world == 1 else "have"
        differ = [f"{found.other_world} {have} the same id, but their worlds differ: made by other versions?"]
    if not differ:
        differ = [f"no id is in both: one run has {len(a.worlds)} of them, the other {len(b.worlds)}"]
    return "; ".join(differ)


# ---------------------------------------------------------------- which figures


def _definitions(runs: Sequence[MeasuredRun]) -> dict[str, Definition]:
    """Return all definitions, those of the first run winning."""
    found: dict[str, Definition] = {}
    for run in runs:
        for name, definition in run.results.definitions.items():
            found.setdefault(name, definition)
    return found


def _known(names: Sequence[str], definitions: dict[str, Definition]) -> None:
    for name in names:
        if name not in definitions:
            raise UnknownNameError("figure", name, definitions)


def _columns(a: _Arm, b: _Arm, ids: list[str], wanted: Sequence[str]) -> dict[str, Paired]:
    """Return the figures to which some scenario of either arm contributes and that mean one thing in both."""
    present = {*a.run.figures(a.name), *b.run.figures(b.name)}
    return {
        name: Paired(*a.run.column(a.name, name, ids), *b.run.column(b.name, name, ids))
        for name in wanted
        if name in present and not _why_apart_in(a, b, name)
    }


def _why_apart_in(a: _Arm, b: _Arm, name: str) -> str:
    """Say why a figure is of two things in two runs, `""` where it is not or where one lacks it."""
    if a.run is b.run or any(name not in one.run.figures(one.name) for one in (a, b)):
        return ""
    if name == _COMMON:
        return OTHER_SCENARIOS
    if name in _OF_ALL_TEXTS and a.run.base_size != b.run.base_size:
        return OTHER_TEXTS
    if name.startswith(_SCORED) and a.run.scorer != b.run.scorer:
        return f"other scorers: {a.run.scorer or 'unknown'} for A, {b.run.scorer or 'unknown'} for B"
    return ""


def _compared(
    a: _Arm, b: _Arm, found: _Pairing, judged: dict[str, Difference], shown: Sequence[str]
) -> Compared:
    with_p = {
        name: _with_definition(judged[name], a.run, b.run, name)
        for name in shown
        if name in judged and judged[name].p is not None
    }
    same = a.name == b.name
    return Compared(
        a=a.label,
        b=b.label,
        scenarios=len(found.ids),
        only_a=found.only_a,
        only_b=found.only_b,
        other_world=found.other_world,
        contrasts=() if same else _contrasts([one.run.strategy(one.name) for one in (a, b)]),
        figures=with_p,
        missing={name: _why_missing(a, b, name, judged.get(name)) for name in shown if name not in with_p},
    )


def _with_definition(found: Difference, a: MeasuredRun, b: MeasuredRun, name: str) -> Difference:
    """Say so where two runs define a figure in two ways."""
    one, other = a.results.definitions.get(name), b.results.definitions.get(name)
    if one is None or other is None or (one.formula, one.unit) == (other.formula, other.unit):
        return found
    said = f"the runs define it in two ways; B: {other.formula or other.doc} ({other.unit})"
    return msgspec.structs.replace(found, note="; ".join(filter(None, (found.note, said))))


def _why_missing(a: _Arm, b: _Arm, name: str, found: Difference | None) -> str:
    if apart := _why_apart_in(a, b, name):
        return apart
    if found is not None and found.note:
        return found.note
    measures = [one.run.arm(one.name).measures.get(name) for one in (a, b)]
    if found is None and any(one is not None and one.value is not None for one in measures):
        return NOT_PAIRED
    alone = (found.only_a, found.only_b) if found is not None else (0, 0)
    reasons = [
        f"{letter}: {(one.note if one is not None else 'not measured') or 'nothing to measure'}"
        for letter, one, count in zip("AB", measures, alone, strict=True)
        if not count
    ]
    return "; ".join(reasons)


# ---------------------------------------------------------------- what else differs


def _contrasts(facts: Sequence[dict[str, str]]) -> tuple[Contrast, ...]:
    names = dict.fromkeys(name for one in facts for name in one)
    rows = ((name, tuple(one.get(name, "") for one in facts)) for name in names)
    return tuple(Contrast(name=name, values=values) for name, values in rows if len({*values}) > 1)
