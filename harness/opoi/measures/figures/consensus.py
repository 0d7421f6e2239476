"""Do the runs of one scenario agree? Three readings of "fraction of runs that agree".

An invalid decision is an action of its own, and so is each action on another entity than the scenario's;
infrastructure failures are left out; scenarios with fewer than two runs contribute nothing. Read them next to
accuracy and to the sampling temperature: a constant policy has consensus 1, and so has every policy at
temperature 0.
"""

from __future__ import annotations

from collections import Counter

from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen

__all__ = ["consensus", "consensus_pair", "consensus_unanimous"]


@figure("consensus (majority)", policies=True)
def consensus(seen: Seen) -> Pair:
    """Share of a scenario's runs that take its most frequent action.

    Formula: mean over scenarios of max_a n_a / R
    Unit: share
    Range: 1/R to 1; by chance .750, .630, .563, .520 for 2, 3, 4, 5 actions at R = 3
    Source: methods specification 5.2; the likeliest reading of the seeds' "consensus"
    Needs: T0
    Not for: models that break their answers: an invalid one is an action of its own (see schema_valid);
        comparing different numbers of runs (see consensus_pair): it is too high, the more so for few
        runs
    """
    counts = Counter(seen.choices).values()
    runs = sum(counts)
    return (max(counts) / runs, 1) if runs > 1 else (0, 0)


@figure("consensus (pairs)", policies=True)
def consensus_pair(seen: Seen) -> Pair:
    """Share of pairs of runs that agree; unbiased for any number of runs.

    Formula: mean over scenarios of sum_a n_a (n_a - 1) / (R (R - 1))
    Unit: share
    Range: 0 to 1; by chance the sum of the squared shares of actions
    Source: methods specification 5.2
    Needs: T0
    Not for: models that break their answers (see consensus); comparing with the seeds' figures, which are of
        majorities
    """
    counts = Counter(seen.choices).values()
    runs = sum(counts)
    return (sum(n * (n - 1) for n in counts) / (runs * (runs - 1)), 1) if runs > 1 else (0, 0)


@figure("consensus (all)", policies=True)
def consensus_unanimous(seen: Seen) -> Pair:
    """Share of scenarios in which all runs take the same action.

    Formula: mean over scenarios of [all runs equal]
    Unit: share
    Range: 0 to 1; falls with the number of runs
    Source: methods specification 5.2
    Needs: T0
    Not for: models that break their answers (see consensus); comparing different numbers of runs
    """
    choices = set(seen.choices)
    return (float(len(choices) == 1), 1) if len(seen.choices) > 1 else (0, 0)
