"""Where is utility lost against hindsight: what nobody could see, what was not fetched, what was misjudged?

    V_hind  = mean of max_a U(a)
    V_obs   = mean of max_a E[U(a) | all that tools reveal]
    V_fetch = mean of max_a E[U(a) | facts fetched]
    V_taken = mean of E[U(action taken) | all that tools reveal]
    V_agent = mean of U(action taken)

    V_hind - V_agent = architecture (V_hind - V_obs) + acquisition (V_obs - V_fetch)
                       + decision (V_fetch - V_taken) + foresight (V_taken - V_agent)

Means are over the attempts that the endpoint did not fail. The conditional expectations are the
suite's (`Suite.expected`). Realised utilities enter as what they differ by from doing nothing, plus the
expected utility of doing nothing: the same mean, with less noise. The last gap is 0 but for chance where
actions rest on what tools reveal (then V_taken is V_agent, and the first three are the whole); it is negative
where they rest on more, such as an injected verdict by hindsight.

The same conditional expectations say where a trace stands when it decides: on the path of an expert who has
looked up what the decision hangs on, or off it (`off_path_error`).
"""

from __future__ import annotations

from opoi.measures.excess import excess_of
from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen
from opoi.provenance.texts import observed

__all__ = [
    "gap_acquisition",
    "gap_architecture",
    "gap_decision",
    "gap_foresight",
    "off_path",
    "off_path_error",
    "off_path_excess",
    "on_path_error",
]

_EPSILON = 1e-9


def _fetched(seen: Seen) -> list[dict[str, float]]:
    """Return the expected utilities of all actions given what each judged trace fetched."""
    return [seen.suite.expected(seen.scenario, observed(trace.messages)) for trace in seen.judged]


def _taken(seen: Seen) -> list[str]:
    return [action or seen.suite.null_action for action in seen.actions]


def _luck(seen: Seen) -> float:
    """Return what doing nothing brought, less what it was expected to."""
    null = seen.suite.null_action
    return seen.truth.realised[null] - seen.truth.expected[null]


@figure("lost: unseeable")
def gap_architecture(seen: Seen) -> Pair:
    """Mean utility between the best action in hindsight and the best given all that tools reveal.

    Formula: V_hind - V_obs, realised utilities less what doing nothing brought beyond its expectation
    Unit: utility
    Range: 0 up, but for chance
    Source: methods specification 5.9; "architecture gap" of the seeds
    Needs: T0
    Not for: suites without exact expectations
    """
    lost = max(seen.truth.realised.values()) - _luck(seen) - max(seen.truth.expected.values())
    return lost * len(seen.judged), len(seen.judged)


@figure("lost: not fetched")
def gap_acquisition(seen: Seen) -> Pair:
    """Mean utility between the best action given all that tools reveal and the best given what was fetched.

    Formula: V_obs - V_fetch
    Unit: utility
    Range: 0 up on average; a single scenario may be below
    Source: methods specification 5.9
    Needs: T0
    Not for: suites without exact expectations
    """
    best = max(seen.truth.expected.values())
    return sum(best - max(given.values()) for given in seen.once(_fetched)), len(seen.judged)


@figure("lost: misjudged")
def gap_decision(seen: Seen) -> Pair:
    """Mean expected utility between the best action given what was fetched and the action taken.

    Formula: V_fetch - V_taken
    Unit: utility
    Range: 0 up on average; below where the actions rest on more than was fetched
    Source: methods specification 5.9; with gap_acquisition the "performance gap" of the seeds
    Needs: T0
    Not for: arms that were told the verdict: they did not judge
    """
    pairs = zip(seen.once(_fetched), _taken(seen), strict=True)
    lost = sum(max(given.values()) - seen.truth.expected[action] for given, action in pairs)
    return lost, len(seen.judged)


@figure("lost: no foresight")
def gap_foresight(seen: Seen) -> Pair:
    """Mean expected utility of the actions taken less what they realised.

    Formula: V_taken - V_agent, realised utilities less what doing nothing brought beyond its expectation
    Unit: utility
    Range: about 0 for who knows what tools reveal, negative for who knew more
    Source: methods specification 5.9 (the part that its three gaps leave over)
    Needs: T0
    Not for: few scenarios: it is luck of rare large values, and its interval covers too seldom (87 % of seeds
        at 60 scenarios where 95 % are said)
    """
    truth, luck = seen.truth, _luck(seen)
    lost = sum(truth.expected[action] - (truth.realised[action] - luck) for action in _taken(seen))
    return lost, len(seen.judged)


# ---------------------------------------------------------------- on and off the expert's path


def _on_path(seen: Seen) -> list[bool]:
    """Return for each judged trace whether what it fetched supports what all that tools reveal supports."""
    best = set(seen.truth.observable_actions)
    return [
        any(given[action] >= max(given.values()) - _EPSILON for action in best)
        for given in seen.once(_fetched)
    ]


def _errors(seen: Seen, *, on_path: bool) -> Pair:
    best = seen.truth.observable_actions
    wrong = [
        action not in best
        for action, on in zip(seen.actions, seen.once(_on_path), strict=True)
        if on is on_path
    ]
    return sum(wrong), len(wrong)


@figure("off the path")
def off_path(seen: Seen) -> Pair:
    """Share of decisions taken in a state that is off the expert's path.

    The state is what was fetched. It is on the path if it supports the action that all facts support: an
    expert who looks up what the decision hangs on stands there.

    Formula: traces with no best observable action among argmax_a E[U(a) | fetched] / judged traces
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.9 (OFFPATH), with the state defined by what was fetched
    Needs: T0
    Not for: methods whose expert acts in the world: there the visited states themselves can be compared
    """
    on = seen.once(_on_path)
    return len(on) - sum(on), len(on)


@figure("errors off the path")
def off_path_error(seen: Seen) -> Pair:
    """Share of wrong decisions among those taken off the expert's path.

    Formula: E[action is not best given observables | state off the path]
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.9 (OFFPATH)
    Needs: T0
    Not for: arms that are nearly always on the path: look at n; blame: here the facts fetched speak for
        another action, and who obeys them errs
    """
    return _errors(seen, on_path=False)


@figure("errors on the path")
def on_path_error(seen: Seen) -> Pair:
    """Share of wrong decisions among those taken on the expert's path.

    Formula: E[action is not best given observables | state on the path]
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.9 (OFFPATH)
    Needs: T0
    Not for: what it costs (see gap_decision)
    """
    return _errors(seen, on_path=True)


@excess_of("OFFPATH", off_path_error, on_path_error)
def off_path_excess() -> None:
    """How much more often decisions are wrong off the expert's path than on it.

    Formula: off_path_error - on_path_error
    Unit: share
    Range: -1 to 1; an agent that obeys what it fetched is far above 0, one that acts without looking may be
        on either side
    Source: methods specification 5.9 (OFFPATH)
    Needs: T0
    Not for: agents that do not look at what they fetch: the path is told by the facts, and its truth bears on
        both errors
    """
