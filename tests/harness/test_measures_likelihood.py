"""Confidence and off-policyness as figures of an arm, against the plain functions and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.measures import Seen
from opoi.measures.figures import likelihood
from opoi.registry import load_suite
from opoi.types import (
    Arm,
    Cleaned,
    Decision,
    Group,
    Message,
    Scored,
    ScoredText,
    TokenLogprob,
    Trace,
)

ECHO = load_suite("echo")
SCENARIO = next(ECHO.scenarios(1, 1))
WORDS = ['{"action": "hold", ', '"reasoning": "', "the gauge", " is low", '"}']
PROSE = {2, 3}


def group(values, own=None, *, scorers=("first",)):
    """Make a scenario with a trace for each row of log-probabilities of `WORDS`."""
    cleaned, scores = [], []
    for run, row in enumerate(values):
        tokens = [TokenLogprob(token=word, logprob=value) for word, value in zip(WORDS, row, strict=True)]
        said = Message(
            role="assistant",
            author="student",
            content="".join(WORDS),
            loss_weight=1.0,
            logprobs=tuple(tokens) if own else (),
        )
        trace = Trace(
            id=f"{SCENARIO.id}/x/{run}",
            scenario_id=SCENARIO.id,
            arm="x",
            run=run,
            as_of=SCENARIO.as_of,
            messages=(said,),
            decision=Decision(action="hold", entity=SCENARIO.entity, reasoning="the gauge is low"),
        )
        cleaned.append(Cleaned(trace=trace, level="C0"))
        for number, scorer in enumerate(scorers):
            shifted = tuple(
                TokenLogprob(token=t.token, logprob=None if t.logprob is None else t.logprob - number)
                for t in tokens
            )
            text = ScoredText(message=0, tokens=shifted)
            scores.append(Scored(trace_id=trace.id, scenario_id=SCENARIO.id, scorer=scorer, texts=(text,)))
    return Group(scenario=SCENARIO, cleaned=tuple(cleaned), scores=tuple(scores))


logprobs = st.lists(
    st.lists(st.one_of(st.none(), st.floats(-20, 0)), min_size=len(WORDS), max_size=len(WORDS)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@given(logprobs)
def test_forced_figures_are_means_over_the_tokens_of_their_part_by_the_first_scorer(rows):
    one = group(rows, scorers=("first", "second"))
    flat = [(place, value) for row in rows for place, value in enumerate(row) if value is not None]
    parts = {
        "forced_logprob": [value for _, value in flat],
        "forced_logprob_prose": [value for place, value in flat if place in PROSE],
        "forced_logprob_form": [value for place, value in flat if place not in PROSE],
        "forced_p": [math.exp(value) for _, value in flat],
        "forced_phi": [math.exp(value) * (1 - math.exp(value)) for _, value in flat],
    }
    for name, values in parts.items():
        above, below = getattr(likelihood, name).count(Seen(one, ECHO))
        assert below == len(values), name
        assert above == pytest.approx(float(np.sum(values)), abs=1e-9), name


@settings(max_examples=40)
@given(logprobs)
def test_who_scores_what_it_wrote_gives_own_and_forced_alike(rows):
    seen = Seen(group(rows, own=True), ECHO)
    for end in ("", "_prose", "_form"):
        own, forced = (getattr(likelihood, f"{kind}_logprob{end}").count(seen) for kind in ("own", "forced"))
        assert own == pytest.approx(forced)


@pytest.mark.parametrize("name", likelihood.__all__)
def test_without_log_probabilities_the_figure_says_what_it_needs_and_is_no_number(name):
    metric = getattr(likelihood, name)
    bare = Group(scenario=SCENARIO, cleaned=group([[None] * len(WORDS)]).cleaned)
    measure = metric.of(ECHO)(Arm("x", lambda: iter([bare])))
    assert measure.value is None
    assert measure.note == f"needs {metric.needs}"
    assert metric.needs == ("T1" if name.startswith("own") else "T2")


def test_an_arm_that_kept_nothing_needs_nothing():
    nothing = Group(scenario=SCENARIO)
    measure = likelihood.forced_logprob.of(ECHO)(Arm("x", lambda: iter([nothing])))
    assert measure.note == "nothing to measure"
