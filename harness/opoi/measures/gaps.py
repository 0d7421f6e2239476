"""Where is utility lost against hindsight: what nobody could see, what was not fetched, what was misjudged?

    V_hind  = mean of max_a U(a)
    V_obs   = mean of max_a E[U(a) | all that tools reveal]
    V_fetch = mean of max_a E[U(a) | facts fetched]
    V_taken = mean of E[U(action taken) | all that tools reveal]
    V_agent = mean of U(action taken)

    V_hind - V_agent = architecture (V_hind - V_obs) + acquisition (V_obs - V_fetch)
                       + decision (V_fetch - V_taken) + foresight (V_taken - V_agent)

Means are over the attempted traces that the endpoint did not fail. The conditional expectations are the
suite's (`Suite.expected`). Realised utilities enter as what they differ by from doing nothing, plus the
expected utility of doing nothing: the same mean, with less noise. The last gap is 0 but for chance where
actions rest on what tools reveal (then V_taken is V_agent, and the first three are the whole); it is negative
where they rest on more, such as an injected verdict by hindsight.
Definition: methods specification 5.9.
"""

from __future__ import annotations

from collections.abc import Mapping

from opoi.measures.ratio import Pair, RatioMetric
from opoi.measures.text import action_of, judged
from opoi.protocols import Suite
from opoi.provenance.texts import observed
from opoi.types import Group

__all__ = ["gap_metrics"]


def gap_metrics(suite: Suite) -> tuple[RatioMetric, ...]:
    """Return the figures of this module.

    Args:
        suite: Gives the conditional expectations, and the action that an unreadable decision amounts to.
    """

    def tally(group: Group) -> Mapping[str, Pair]:
        totals = dict.fromkeys(("architecture", "acquisition", "decision", "foresight"), 0.0)
        traces = list(judged(group))
        truth, null = group.scenario.truth, suite.null_action
        luck = truth.realised[null] - truth.expected[null]
        best, observable = max(truth.realised.values()) - luck, max(truth.expected.values())
        for trace in traces:
            fetched = max(suite.expected(group.scenario, observed(trace.messages)).values())
            action = action_of(trace, group.scenario) or null
            totals["architecture"] += best - observable
            totals["acquisition"] += observable - fetched
            totals["decision"] += fetched - truth.expected[action]
            totals["foresight"] += truth.expected[action] - (truth.realised[action] - luck)
        return {f"gap_{name}": (total, len(traces)) for name, total in totals.items()}

    return (
        RatioMetric(
            "gap_architecture",
            "lost: unseeable",
            "utility",
            "Mean utility between the best action in hindsight and the best given all that tools reveal.",
            tally,
        ),
        RatioMetric(
            "gap_acquisition",
            "lost: not fetched",
            "utility",
            "Mean utility between the best action given all that tools reveal and the best given the facts "
            "that the trace fetched.",
            tally,
        ),
        RatioMetric(
            "gap_decision",
            "lost: misjudged",
            "utility",
            "Mean expected utility between the best action given the facts that the trace fetched and the "
            "action taken.",
            tally,
        ),
        RatioMetric(
            "gap_foresight",
            "lost: no foresight",
            "utility",
            "Mean expected utility of the actions taken less what they realised: about 0 for who knows what "
            "tools reveal, negative for who knew more.",
            tally,
        ),
    )
