"""Confidence and off-policyness as figures of an arm, against the plain functions and by hand."""

import math
from contextlib import closing

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from opoi.measures import Results, Seen
from opoi.measures.figures import likelihood
from opoi.models.served.quirks import PROFILES
from opoi.models.served.server import running
from opoi.pipeline import carry_out
from opoi.registry import load_suite
from opoi.run import Run
from opoi.settings import merge
from opoi.stages.arms import arms_of
from opoi.stages.common import trace_files
from opoi.store import encode, read
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


# ---------------------------------------------------------------- the first scorer of the run


def test_where_the_first_scorer_of_the_run_left_a_scenario_out_no_other_one_steps_in():
    both = structs.replace(group([[-1.0] * len(WORDS)], scorers=("first", "second")), reference="first")
    left = structs.replace(both, scores=tuple(each for each in both.scores if each.scorer == "second"))
    turned = structs.replace(both, scores=both.scores[::-1])
    for name in likelihood.__all__:
        if name.startswith("forced"):
            count = getattr(likelihood, name).count
            assert count(Seen(left, ECHO)) == (0, 0)
            assert count(Seen(turned, ECHO)) == count(Seen(both, ECHO)) != (0, 0)


def run_of(folder, url, **values):
    """Carry out a small run up to its scores."""
    changes = {"suite": "echo", "n": 4, "runs": 1, "resamples": 100, "strategies": ["opcd"], "model": url}
    with closing(Run.create(folder, merge({}, {**changes, "model_name": "one", **values}))) as run:
        carry_out(run, ("scenarios", "rollout", "review", "generate", "clean", "score"))
    return run


def measured(folder, **values):
    """Measure a run, and return the figures of its unsteered arm."""
    with closing(Run.open(folder, values)) as run:
        carry_out(run, ("measure",))
    return msgspec.json.decode((folder / "measures.json").read_bytes(), type=Results).arms[0].measures


def test_a_run_whose_first_scorer_lacks_a_line_or_a_file_has_no_figure_from_the_second(tmp_path):
    with running(ECHO.stand_in(), name="one") as url, running(ECHO.stand_in(), name="two") as other:
        run = run_of(tmp_path / "r", url, scorers=["one", f"two@{other}"])
    file = tmp_path / "r/scores/one.base.jsonl"
    whole = likelihood.forced_logprob.of(ECHO)(arms_of(run)[0], resamples=50)
    assert whole.n == 4
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[1:]))
    assert {group.reference for group in arms_of(run)[0].groups()} == {"one"}
    assert likelihood.forced_logprob.of(ECHO)(arms_of(run)[0], resamples=50).n == 3
    file.unlink()
    assert likelihood.forced_logprob.of(ECHO)(arms_of(run)[0], resamples=50).note == "needs T2"


def test_what_was_switched_off_is_not_said_to_be_beyond_the_endpoint(tmp_path):
    with running(ECHO.stand_in(), name="one") as url:
        run_of(tmp_path / "r", url, scorers=["none"], endpoint={"logprobs": "off"})
    found = measured(tmp_path / "r")
    assert found["forced_p"].note == "not scored (--scorers none)"
    assert found["own_logprob"].note == "not asked for (--logprobs off)"


def test_an_endpoint_that_cannot_score_and_one_that_failed_are_told_apart(tmp_path):
    with running(ECHO.stand_in(), name="one", quirks=PROFILES["llama.cpp"]) as url:
        run_of(tmp_path / "cannot", url)
    assert measured(tmp_path / "cannot")["forced_p"].note == "needs T2"
    with running(ECHO.stand_in(), name="one") as url:
        run = run_of(tmp_path / "failed", url)
    for arm, _ in trace_files(run):
        file = tmp_path / f"failed/scores/one.{arm}.jsonl"
        lines = [structs.replace(each, texts=(), failure="busy") for each in read(file, Scored)]
        file.write_bytes(b"".join(encode(each) + b"\n" for each in lines))
    assert measured(tmp_path / "failed")["forced_p"].note == "not scored: the scorer gave no figures"
