"""Does the text sound like the agent? What an arm says and calls, against the base arm on the same scenarios.

Numbers are masked and case is folded, so that the figures see wording and not data. Texts of at most
`JS_SCENARIOS` scenarios, the same in every arm, enter all but `oov_rate` and `length_ratio`. Definitions:
methods specification 5.7, V1, V2, V5, V8 and V9.
"""

from __future__ import annotations

import numpy as np

from opoi.intervals import Floats
from opoi.measures.statistics import NOTE_NO_DATA, measure_of, quotient, ratio_measure
from opoi.measures.words.comparison import Comparison, VocabularyMetric, compared
from opoi.measures.words.contrast import Parts
from opoi.measures.words.lexicon import JS_SCENARIOS, WIDTH, Lexicon, TextColumns, vocabulary_stream
from opoi.measures.words.views import CALL_PAIRS, WORD_PAIRS
from opoi.types import Measure

__all__ = [
    "JS_SCENARIOS",
    "WIDTH",
    "Comparison",
    "Lexicon",
    "TextColumns",
    "VocabularyMetric",
    "bigram_js_excess",
    "bigram_js_null",
    "compared",
    "js_excess",
    "js_null",
    "length_ratio",
    "mauve_lite",
    "mauve_lite_null",
    "oov_rate",
    "oov_types",
    "oov_types_null",
    "tool_js_excess",
    "tool_js_null",
    "vocabulary_stream",
]


@compared("JS excess", parts=lambda pair: pair.divergence.parts)
def js_excess(pair: Comparison) -> Measure:
    """How far the rationale's words are from the base arm's, beyond what chance gives at that length.

    Formula: JS(base[H1], arm[H2]) - JS(base[H1], base[H2]) in bits, random halves H1, H2 of the scenarios,
        the longer text of a scenario cut to the shorter one, mean of 20 splits; p: labels swapped within
        scenarios
    Unit: bits
    Range: about 0 to 1; 0 for the base arm
    Source: methods specification 5.7, V1 (Jensen-Shannon divergence; Lin 1991)
    Needs: T0
    Not for: facts: numbers are masked; runs with other numbers of scenarios or repetitions
    """
    return pair.divergence.excess


@compared("JS of base halves")
def js_null(pair: Comparison) -> Measure:
    """What was taken off: the divergence of two random halves of the base arm at that length.

    Formula: JS(base[H1], base[H2]) in bits, halves as in js_excess
    Unit: bits
    Range: 0 to 1; falls with the number of tokens
    Source: methods specification 5.7, V1
    Needs: T0
    Not for: comparing arms: it is the yardstick
    """
    return pair.divergence.null


@compared("JS excess, word pairs", parts=lambda pair: pair.of(WORD_PAIRS).parts)
def bigram_js_excess(pair: Comparison) -> Measure:
    """How far the rationale's pairs of neighbouring words are from the base arm's, beyond chance.

    Formula: as js_excess, of the pairs of neighbours within a passage
    Unit: bits
    Range: about 0 to 1; 0 for the base arm
    Source: methods specification 5.7, V1 (bigrams)
    Needs: T0
    Not for: short texts: nearly every pair is new, and little is left beyond chance
    """
    return pair.of(WORD_PAIRS).excess


@compared("JS of base halves, word pairs")
def bigram_js_null(pair: Comparison) -> Measure:
    """What was taken off: the divergence of the word pairs of two random halves of the base arm.

    Formula: as js_null, of the pairs of neighbours within a passage
    Unit: bits
    Range: 0 to 1; falls with the number of tokens
    Source: methods specification 5.7, V1 (bigrams)
    Needs: T0
    Not for: comparing arms: it is the yardstick
    """
    return pair.of(WORD_PAIRS).null


@compared("JS excess, tool calls", parts=lambda pair: pair.of(CALL_PAIRS).parts)
def tool_js_excess(pair: Comparison) -> Measure:
    """How far the order in which tools are called is from the base arm's, beyond chance.

    Formula: as js_excess, of the pairs of neighbours among the names of the tools that a kept trace calls,
        with a mark before the first and after the last
    Unit: bits
    Range: about 0 to 1; 0 for the base arm
    Source: methods specification 5.7, V8
    Needs: T0
    Not for: arguments of calls, and calls of sub-agents: neither is looked at
    """
    return pair.of(CALL_PAIRS).excess


@compared("JS of base halves, tool calls")
def tool_js_null(pair: Comparison) -> Measure:
    """What was taken off: the divergence of the tool calls of two random halves of the base arm.

    Formula: as js_null, of the pairs of tool_js_excess
    Unit: bits
    Range: 0 to 1; falls with the number of calls
    Source: methods specification 5.7, V8
    Needs: T0
    Not for: comparing arms: it is the yardstick
    """
    return pair.of(CALL_PAIRS).null


def _unknown(pair: Comparison) -> Parts:
    ids = sorted(pair.arm.ids)
    counts = pair.arm.aligned(ids)[:, 2:].tolist()
    return {name: (unknown, tested) for name, (unknown, tested) in zip(ids, counts, strict=True) if tested}


@compared("unknown words", parts=_unknown)
def oov_rate(pair: Comparison) -> Measure:
    """Share of the rationale's words that never occur in the base arm (numbers masked).

    Formula: word tokens absent from the base arm / word tokens; for the base arm, run 0 against its other
        runs
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.7, V2 (tokens)
    Needs: T0
    Not for: few base traces: they know few words; runs with other numbers of scenarios or repetitions
    """
    counts = pair.arm.aligned(sorted(pair.arm.ids))
    return ratio_measure(counts[:, 2], counts[:, 3], None, unit="share", note=pair.arm.note)


@compared("unknown distinct words")
def oov_types(pair: Comparison) -> Measure:
    """Share of the rationale's distinct words that the base arm does not have in other scenarios.

    Formula: distinct words of arm[H2] absent from base[H1] / distinct words of arm[H2], halves and lengths as
        in js_excess, both summed over 20 splits
    Unit: share
    Range: 0 to 1; above 0 for the base arm too, see oov_types_null
    Source: methods specification 5.7, V2 (word types)
    Needs: T0
    Not for: arms of runs with other numbers of scenarios: it falls with the text looked up in
    """
    return pair.novelty.share


@compared("unknown distinct words of base")
def oov_types_null(pair: Comparison) -> Measure:
    """What the base arm's own texts give in the place of oov_types, at that length.

    Formula: distinct words of base[H2] absent from base[H1] / distinct words of base[H2], halves and lengths
        as in js_excess
    Unit: share
    Range: 0 to 1; falls with the number of tokens
    Source: methods specification 5.7, V2 (word types)
    Needs: T0
    Not for: comparing arms: it is the yardstick
    """
    return pair.novelty.null


@compared("MAUVE-lite")
def mauve_lite(pair: Comparison) -> Measure:
    """How well arm and base cover the same kinds of rationale. No MAUVE, not comparable with published ones.

    Formula: area under the frontier (exp(-5 KL(q|r)), exp(-5 KL(p|r))), p of base[H1], q of arm[H2], halves
        as in js_excess; shares of k-means clusters of hashed TF-IDF, first kept trace of each scenario; the p
        of the test: labels swapped within scenarios
    Unit: share
    Range: 0 to 1; the base arm's is mauve_lite_null, not 1
    Source: methods specification 5.7, V5; the frontier: Pillutla et al. 2021
    Needs: T0
    Not for: fewer than some hundred scenarios; comparing runs: clusters are of one arm and its base
    """
    return pair.frontier.area


@compared("MAUVE-lite of base halves")
def mauve_lite_null(pair: Comparison) -> Measure:
    """What two random halves of the base arm give in the place of mauve_lite, in the same clusters.

    Formula: as mauve_lite, p of base[H1] and q of base[H2]
    Unit: share
    Range: 0 to 1; rises with the number of scenarios
    Source: methods specification 5.7, V5
    Needs: T0
    Not for: comparing arms: it is the yardstick
    """
    return pair.frontier.null


@compared("length vs base")
def length_ratio(pair: Comparison) -> Measure:
    """Words of rationale per kept trace, divided by the base arm's.

    Formula: (words / kept traces) / (words / kept traces of the base arm)
    Unit: x
    Range: 0 up; 1 for the base arm
    Source: methods specification 5.7, V9
    Needs: T0
    Not for: tokens with loss: decisions and calls are not counted
    """
    arm = quotient(pair.arm_sums[:, 1], pair.arm_sums[:, 0])
    base = quotient(pair.base_sums[:, 1], pair.base_sums[:, 0])
    return _quotient(arm, base, n=pair.arm.contributing(0))


def _quotient(above: Floats, below: Floats, *, n: int) -> Measure:
    """Return a quotient whose first row is the estimate and whose other rows are resamples."""
    values = quotient(above, np.nan_to_num(below))
    if n == 0 or not np.isfinite(values[0]):
        return Measure(value=None, note=NOTE_NO_DATA)
    return measure_of(float(values[0]), values[1:], n=n)
