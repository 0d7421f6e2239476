"""What several models give to the same texts: the confidence table, its intervals, what tuning changed.

The corpora are those of methods specification 5.3, each a fixed set of texts: what the agent wrote unsteered
(all of it, and where its action was the verdict's), and the texts that each arm would train on. Every figure
is a ratio of sums over scenarios, or made of such ratios; one set of resamples of scenarios serves all of
them, so that differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

import numpy as np
from msgspec import field
from msgspec.structs import replace

from opoi.intervals import Floats, rounded
from opoi.measures.define import define
from opoi.measures.definition import Definition
from opoi.measures.logprobs.confidence import avg_logprob, llr_per_token, perplexity, share_of_gap_closed
from opoi.measures.logprobs.tallies import Tally, forced_tallies, matched_tallies
from opoi.measures.statistics import affordable, bootstrap_sums, measure_of, on_grid, quotient, ratio_measure
from opoi.measures.text import action_of
from opoi.seeds import Stream
from opoi.types import Arm, Cleaned, Group, Measure, Scored, Tier
from opoi.types.base import Value

__all__ = ["FIGURES", "NEEDS_T2", "Confidence", "Corpus", "ScorerRow", "confidence_of"]

NEEDS_T2 = "needs T2"
"""Why there is no figure where nothing was scored."""

_SOURCE = "methods specification 5.3"
_LOGPROB = define(avg_logprob, "avg logprob")
_GAP = define(share_of_gap_closed, "gap closed")

FIGURES: Mapping[str, Definition] = {
    "logprob": _LOGPROB,
    "logprob_prose": replace(_LOGPROB, title="free text", doc="The same of free text."),
    "logprob_form": replace(_LOGPROB, title="template", doc="The same of JSON, action, citations."),
    "perplexity": define(perplexity, "perplexity"),
    "tokens": Definition(
        title="tokens",
        unit="count",
        doc="Tokens that were scored.",
        formula="tokens with a figure",
        source=_SOURCE,
    ),
    "form_share": Definition(
        title="template tokens",
        unit="share",
        doc="How far an average over all tokens is one over the template.",
        formula="tokens that are not free text / tokens",
        range="0 to 1",
        source=_SOURCE,
        needs=Tier.T2,
    ),
    "lost_share": Definition(
        title="not scorable",
        unit="share",
        doc="How much of the texts has no figure: it is cut into other tokens when it is read.",
        formula="characters whose tokens could not be scored / characters",
        range="0 to 1",
        source="methods specification 2",
        needs=Tier.T2,
    ),
    "llr": define(llr_per_token, "LLR per token"),
    "gap_log": replace(
        _GAP, title="gap closed, log", formula="(L - L_first) / (0 - L_first), L of tokens that both scored"
    ),
    "gap_probability": replace(
        _GAP, title="gap closed, probability", formula="(e^L - e^L_first) / (1 - e^L_first)"
    ),
}
"""Every figure of a row, and its definition; the first scorer is the base."""


class Corpus(Value, frozen=True, kw_only=True):
    """A fixed set of texts.

    Attributes:
        name: `agent` (unsteered traces), `agent, as the verdict` (those of them whose action is the
            verdict's), or the name of an arm.
        traces: How many traces were scored by at least one model.
    """

    name: str
    traces: int


class ScorerRow(Value, frozen=True, kw_only=True):
    """What one model gives to one corpus.

    Attributes:
        scorer: Name of the model.
        corpus: Name of the corpus.
        failed: Traces for which the endpoint failed.
        measures: Figures by name, see `FIGURES`.
    """

    scorer: str
    corpus: str
    failed: int = 0
    measures: dict[str, Measure] = field(default_factory=dict)


class Confidence(Value, frozen=True, kw_only=True):
    """The confidence table of a run.

    Attributes:
        scorers: Models in the order of the settings; the others are compared with the first. Empty where
            no endpoint could score.
        corpora: The sets of texts.
        rows: One for each scorer and corpus, by scorer; empty where nothing was scored.
        notes: What a reader has to know of a scorer, by its name.
    """

    scorers: tuple[str, ...] = ()
    corpora: tuple[Corpus, ...] = ()
    rows: tuple[ScorerRow, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)


def confidence_of(
    arms: Sequence[Arm],
    scorers: Sequence[str],
    *,
    prose_keys: Sequence[str],
    seed: int,
    resamples: int = 10_000,
    notes: Mapping[str, str] | None = None,
) -> Confidence:
    """Return what models give to the texts of arms, with 95 % bootstrap intervals over scenarios.

    Counts of what is there (`tokens`, `lost_share`) have none.

    Args:
        arms: Data arms, the unsteered one first; each is walked once.
        scorers: Names of models, as in `Scored.scorer`; the first is what the others are compared with.
        prose_keys: Keys of a decision object that hold free text, see `opoi.protocols.Suite`.
        seed: Seed of all draws.
        resamples: Resamples asked for; many scenarios get fewer.
        notes: What a reader has to know of a scorer, by its name.
    """
    sums = _Sums(scorers, prose_keys)
    for number, arm in enumerate(arms):
        for group in arm.groups():
            for corpus, cleaned in _corpora(arm, group, base=number == 0):
                sums.add(corpus, group, cleaned)
    corpora = tuple(Corpus(name=name, traces=count) for name, count in sums.traces.items())
    if not any(corpus.traces for corpus in corpora):
        return Confidence(corpora=corpora)
    return Confidence(
        scorers=tuple(scorers),
        corpora=corpora,
        rows=tuple(sums.rows(seed, resamples)),
        notes=dict(notes or {}),
    )


def _corpora(arm: Arm, group: Group, *, base: bool) -> Iterator[tuple[str, tuple[Cleaned, ...]]]:
    """Yield the corpora that traces of a scenario belong to."""
    if not base:
        yield arm.name, group.cleaned
        return
    wanted = group.verdict.action if group.verdict is not None else None
    yield "agent", group.cleaned
    yield (
        "agent, as the verdict",
        tuple(each for each in group.cleaned if wanted and action_of(each.trace, group.scenario) == wanted),
    )


# ---------------------------------------------------------------- sums over scenarios

_OWN = ("prose", "prose_n", "form", "form_n", "lost", "characters")
_MATCHED = ("first", "this", "matched_n")
_COLUMNS = (*_OWN, *_MATCHED)
"""What is summed of each scenario, for each scorer and corpus."""


class _Sums:
    """Sums by scenario of everything that the figures are made of."""

    def __init__(self, scorers: Sequence[str], prose_keys: Sequence[str]) -> None:
        self._scorers = tuple(scorers)
        self._prose = tuple(prose_keys)
        self._found: dict[tuple[str, str], dict[str, list[float]]] = {}
        self._failed: dict[tuple[str, str], int] = {}
        self._ids: set[str] = set()
        self.traces: dict[str, int] = {}

    def add(self, corpus: str, group: Group, cleaned: Sequence[Cleaned]) -> None:
        """Add the traces of a scenario that belong to a corpus."""
        self._ids.add(group.scenario.id)
        names = {each.trace.id for each in cleaned}
        scores = [each for each in group.scores if each.trace_id in names]
        scored = {each.trace_id for each in scores if each.texts}
        self.traces[corpus] = self.traces.get(corpus, 0) + len(scored)
        first = _of(scores, self._scorers[0]) if self._scorers else []
        for scorer in self._scorers:
            given = first if scorer == self._scorers[0] else _of(scores, scorer)
            failed = sum(bool(each.failure) for each in given)
            self._failed[scorer, corpus] = self._failed.get((scorer, corpus), 0) + failed
            own = _own_sums(list(forced_tallies(cleaned, given, self._prose)))
            pairs = list(matched_tallies(cleaned, first, given, self._prose)) if given is not first else []
            self._found.setdefault((scorer, corpus), {})[group.scenario.id] = [*own, *_matched_sums(pairs)]

    def rows(self, seed: int, resamples: int) -> Iterator[ScorerRow]:
        """Yield the rows, by scorer."""
        ids, keys = sorted(self._ids), list(product(self._scorers, self.traces))
        nothing = [0.0] * len(_COLUMNS)
        table = np.array([[self._found[key].get(name, nothing) for key in keys] for name in ids])
        columns = on_grid(table.reshape(len(ids), -1))
        drawn = bootstrap_sums(columns, Stream(seed, "measures", "scorers"), affordable(resamples, len(ids)))
        for number, (scorer, corpus) in enumerate(keys):
            here = slice(number * len(_COLUMNS), (number + 1) * len(_COLUMNS))
            yield ScorerRow(
                scorer=scorer,
                corpus=corpus,
                failed=self._failed[scorer, corpus],
                measures=_measures(columns[:, here], drawn[:, here], first=scorer == self._scorers[0]),
            )


def _of(scores: Sequence[Scored], scorer: str) -> list[Scored]:
    return [each for each in scores if each.scorer == scorer]


def _own_sums(tallies: Sequence[Tally]) -> list[float]:
    return [
        float(sum(each.prose.sum() for each in tallies)),
        float(sum(len(each.prose) for each in tallies)),
        float(sum(each.form.sum() for each in tallies)),
        float(sum(len(each.form) for each in tallies)),
        float(sum(each.lost for each in tallies)),
        float(sum(each.characters for each in tallies)),
    ]


def _matched_sums(pairs: Sequence[tuple[Tally, Tally]]) -> list[float]:
    return [
        float(sum(one.of("all").sum() for one, _ in pairs)),
        float(sum(other.of("all").sum() for _, other in pairs)),
        float(sum(len(one.of("all")) for one, _ in pairs)),
    ]


# ---------------------------------------------------------------- figures of a row

_Columns = Mapping[str, Floats]
"""Sums by name of the column: one number for each scenario, or for each resample."""

_Ratio = tuple[Callable[[_Columns], Floats], Callable[[_Columns], Floats]]
"""Numerator and denominator of a figure."""


def _tokens(sums: _Columns) -> Floats:
    return sums["prose_n"] + sums["form_n"]


def _first(sums: _Columns) -> Floats:
    return -sums["first"]


_RATIOS: Mapping[str, _Ratio] = {
    "logprob": (lambda sums: sums["prose"] + sums["form"], _tokens),
    "logprob_prose": (lambda sums: sums["prose"], lambda sums: sums["prose_n"]),
    "logprob_form": (lambda sums: sums["form"], lambda sums: sums["form_n"]),
    "form_share": (lambda sums: sums["form_n"], _tokens),
}
"""Figures that are a ratio of sums."""

_COMPARED: Mapping[str, _Ratio] = {
    "llr": (lambda sums: sums["first"] - sums["this"], lambda sums: sums["matched_n"]),
    "gap_log": (lambda sums: sums["this"] - sums["first"], _first),
}
"""The same of figures that compare a scorer with the first."""

_NO_MATCH = "no text that both scorers cut into the same tokens"
_CERTAIN = "the first scorer leaves no gap"


def _measures(columns: Floats, drawn: Floats, *, first: bool) -> dict[str, Measure]:
    """Return the figures of one scorer on one corpus; the first scorer has none that compare.

    Args:
        columns: Sums by scenario, shape `(scenarios, len(_COLUMNS))`.
        drawn: The same summed in every resample, shape `(resamples, len(_COLUMNS))`.
        first: Whether the others are compared with this one.
    """
    scenarios: _Columns = dict(zip(_COLUMNS, columns.T, strict=True))
    resamples: _Columns = dict(zip(_COLUMNS, drawn.T, strict=True))

    def ratio(name: str, parts: _Ratio, why: str) -> Measure:
        above, below = (part(scenarios) for part in parts)
        sums = parts[0](resamples), parts[1](resamples)
        unit = "x" if name == "form_share" else "nats"  # tokens are no trials, as shares are taken to have
        return ratio_measure(above, below, sums, unit=unit, note="" if below.any() else why)

    found = {name: ratio(name, parts, NEEDS_T2) for name, parts in _RATIOS.items()}
    found["perplexity"] = _perplexity(found["logprob"])
    found["tokens"] = _counted(_tokens(scenarios).sum(), _tokens(scenarios))
    lost = quotient(scenarios["lost"].sum(keepdims=True), scenarios["characters"].sum(keepdims=True))
    found["lost_share"] = _counted(lost[0], scenarios["characters"])
    if not first:
        why = _CERTAIN if scenarios["matched_n"].any() else _NO_MATCH
        found |= {name: ratio(name, parts, why) for name, parts in _COMPARED.items()}
        found["gap_probability"] = _gap_probability(scenarios, resamples, why)
    return {name: found[name] for name in FIGURES if name in found}


def _counted(value: float, counts: Floats) -> Measure:
    """Return what was counted, without an interval."""
    n = int(np.count_nonzero(counts))
    return Measure(value=float(value), n=n) if n else Measure(value=None, note=NEEDS_T2)


def _perplexity(logprob: Measure) -> Measure:
    """Return `exp(-L)`; the ends of the interval of L become those of its own."""
    if logprob.value is None or logprob.low is None or logprob.high is None:
        value = None if logprob.value is None else rounded(math.exp(-logprob.value))
        return replace(logprob, value=value)
    value, low, high = (rounded(math.exp(-each)) for each in (logprob.value, logprob.high, logprob.low))
    return replace(logprob, value=value, low=low, high=high)


def _gap_probability(scenarios: _Columns, resamples: _Columns, why: str) -> Measure:
    """Return the share of the gap closed in probability space."""

    def share(sums: _Columns) -> Floats:
        first, this = (np.expm1(quotient(sums[name], sums["matched_n"])) for name in ("first", "this"))
        return quotient(this - first, -first)

    value = float(share({name: column.sum(keepdims=True) for name, column in scenarios.items()})[0])
    if not math.isfinite(value):
        return Measure(value=None, note=why)
    return measure_of(value, share(resamples), n=int(np.count_nonzero(scenarios["matched_n"])))
