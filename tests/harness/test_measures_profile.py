"""Calls per trace: counted by hand, whatever the order, names and copies of scenarios."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.measures.figures import profile
from opoi.types import Arm, Cleaned, Group, Message, Scenario, ToolCall, Trace, Truth

TRUTH = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=())


def asking(count, sub=()):
    """One message with so many calls, and the answer of a sub-agent that made some itself."""
    calls = tuple(ToolCall(id=f"c{i}", name="look", arguments="{}") for i in range(count))
    own = Message(role="assistant", author="student", tool_calls=calls)
    return own, Message(role="tool", author="env", content="{}", sub=sub)


def group(name, traces):
    scenario = Scenario(
        id=name, suite="t", seed=0, kind="k", as_of="2025-03-14", task="decide", entity="c1", truth=TRUTH
    )
    made = [
        Trace(
            id=f"{name}/x/{run}",
            scenario_id=name,
            arm="x",
            run=run,
            as_of="2025-03-14",
            messages=asking(own, asking(inner)),
            drop=drop,
        )
        for run, (own, inner, drop) in enumerate(traces)
    ]
    return Group(scenario=scenario, cleaned=tuple(Cleaned(trace=trace, level="none") for trace in made))


traces = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(["", "residue"])), min_size=1, max_size=3
)


@settings(max_examples=40, deadline=None)
@given(st.lists(traces, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_calls_are_counted_in_kept_traces_whatever_order_names_and_copies_of_scenarios(rows, rng):
    kept = [(own, inner) for row in rows for own, inner, drop in row if not drop]
    by_hand = {
        "tool_calls": sum(own for own, _ in kept),
        "nested_tool_calls": sum(inner for _, inner in kept),
        "no_tool_calls": sum(own == 0 for own, _ in kept),
    }
    order = list(range(len(rows)))
    rng.shuffle(order)
    arms = (
        [group(f"s{i}", row) for i, row in enumerate(rows)],
        [group(f"s{i}", rows[i]) for i in order],
        [group(f"case {i:04d}", row) for i, row in enumerate(rows)],
        [group(f"s{i}-{copy}", row) for i, row in enumerate(rows) for copy in range(2)],
    )
    for name, above in by_hand.items():
        expected = pytest.approx(above / len(kept)) if kept else None
        for groups in arms:
            found = getattr(profile, name)(Arm("x", lambda groups=groups: iter(groups)), resamples=100)
            assert found.value == expected
