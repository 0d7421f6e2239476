"""Which metrics a trace names, and whether those that decide are among them.

To find out what decides takes one call of `Suite.expected` for each metric that was fetched. So only some
scenarios are asked about, drawn by their id, and one trace of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from opoi.measures.ratio import Pair
from opoi.measures.seen import Seen
from opoi.provenance.causes import sentences
from opoi.provenance.claims import find_numbers
from opoi.provenance.decisive import decisive_metrics
from opoi.provenance.texts import rationale, shown
from opoi.seeds import Stream
from opoi.types import Cleaned, Trace

__all__ = ["ONE_IN", "cites_metric", "recalled", "sampled"]

ONE_IN = 10
"""One scenario in so many is asked about."""


def sampled(scenario_id: str) -> bool:
    """Return whether a scenario is asked about: the same in every arm and every run."""
    return Stream(0, "measures", "recall").below(ONE_IN, scenario_id) == 0


def recalled(seen: Seen) -> Pair:
    """Return named decisive metrics and decisive metrics of the first kept trace that saw facts."""
    if not sampled(seen.scenario.id):
        return 0, 0
    for cleaned in seen.kept:
        facts = tuple(shown(cleaned.trace))
        if facts:
            decisive = decisive_metrics(seen.suite, seen.scenario, facts)
            return sum(_named(cleaned.trace, metric) for metric in decisive), len(decisive)
    return 0, 0


def cites_metric(seen: Seen) -> list[bool]:
    """Return for each kept trace whether it names a metric with a value, in a citation or a sentence."""
    if all(map(_has_citation, seen.kept)):
        return [True] * len(seen.kept)
    names = _names(seen)
    return [_has_citation(cleaned) or _states(cleaned.trace, names) for cleaned in seen.kept]


def _named(trace: Trace, metric: str) -> bool:
    """Return whether a trace names one metric with a value, in a citation or a sentence."""
    cited = {_plain(citation.metric) for citation in trace.decision.citations}
    return _plain(metric) in cited or _states(trace, frozenset([metric]))


def _has_citation(cleaned: Cleaned) -> bool:
    citations = cleaned.trace.decision.citations
    return any(citation.metric.strip() and str(citation.value).strip() for citation in citations)


def _names(seen: Seen) -> frozenset[str]:
    """Return the metrics that the traces of a scenario saw, in this arm and in its base."""
    arms = (seen, seen.base) if seen.base is not None else (seen,)
    return frozenset(fact.metric for arm in arms for each in arm.kept for fact in shown(each.trace))


def _states(trace: Trace, names: frozenset[str]) -> bool:
    """Return whether a sentence of the rationale holds the name of a metric and a number that is no date."""
    if not names:
        return False
    pattern = _pattern(tuple(sorted(names)))
    for _, text in rationale(trace):
        for start, end in sentences(text):
            name = pattern.search(text, start, end)
            if name is not None and _has_number(text[start : name.start()], text[name.end() : end]):
                return True
    return False


def _has_number(*texts: str) -> bool:
    return any(True for text in texts for _ in find_numbers(text))


@lru_cache(maxsize=256)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern for any of the names, read as words."""
    spelled: Iterable[str] = (r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", name))) for name in names)
    return re.compile(rf"\b(?:{'|'.join(spelled)})\b", re.IGNORECASE)


def _plain(text: str) -> str:
    return text.strip().casefold()
