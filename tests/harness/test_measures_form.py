"""Form of the answer: counts by hand, and choices of a schema against jsonschema."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.measures.figures import form
from opoi.measures.figures.schemas import enums_hold
from opoi.rollout import rollout
from opoi.types import Arm, Cleaned, Decision, Group, Message, Scenario, StopReason, Trace, Truth
from opoi_envs.echo import EchoModel, Persona, suite

TRUTH = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=())
VALID = {"action": "open", "entity": "v1", "reasoning": "why"}


def group(name, *answers, arm="x", drop="", stop=StopReason.ANSWERED):
    scenario = Scenario(
        id=name, suite="echo", seed=0, kind="k", as_of="2025-03-14", task="decide", entity="v1", truth=TRUTH
    )
    traces = [
        Trace(
            id=f"{name}/{arm}/{run}",
            scenario_id=name,
            arm=arm,
            run=run,
            as_of="2025-03-14",
            messages=(Message(role="assistant", author="student", content=answer),),
            decision=Decision(action="open"),
            drop=drop,
            stop=stop,
        )
        for run, answer in enumerate(answers)
    ]
    return Group(scenario=scenario, cleaned=tuple(Cleaned(trace=trace, level="none") for trace in traces))


def measure(metric, echo, groups, base=None):
    reference = Arm("base", lambda: iter(base)) if base is not None else None
    return getattr(form, metric).of(echo)(Arm("x", lambda: iter(groups), base=reference), resamples=100)


def text(**keys):
    return json.dumps(keys or VALID)


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        (text(), 1),
        (f"So I decide:\n```json\n{text()}\n```", 1),
        ("open it", 0),
        (text()[:-1], 0),
        (text() + text(), 0),
        ('{"action": NaN}', 0),
    ],
)
def test_an_answer_is_valid_where_it_holds_exactly_one_object(echo, answer, share):
    assert measure("json_valid", echo, [group("s", answer)]).value == share


def test_a_run_that_did_not_end_has_no_valid_json_and_one_that_the_endpoint_failed_does_not_count(echo):
    cut = group("s", text(), stop=StopReason.TRUNCATED)
    failed = group("t", text(), stop=StopReason.ENDPOINT)
    assert measure("json_valid", echo, [cut, failed, group("u", text())]).value == 0.5


# ---------------------------------------------------------------- order of keys


def test_the_order_of_keys_is_compared_with_the_base_traces_of_the_same_scenario(echo):
    turned = dict(reversed(VALID.items()))
    base = [group("s", text(**VALID), text(**turned), arm="base"), group("t", text(**VALID), arm="base")]
    arm = [group("s", text(**turned), text(**VALID)), group("t", text(**turned), text(**VALID), "no answer")]
    found = measure("keys_in_order", echo, arm, base)
    assert (found.value, found.n) == (3 / 5, 2)


def test_another_set_of_keys_is_another_order(echo):
    base = [group("s", text(**VALID), arm="base")]
    assert measure("keys_in_order", echo, [group("s", text(action="open"))], base).value == 0


def test_only_the_top_level_of_the_last_object_counts(echo):
    base = [group("s", text(a={"x": 1, "y": 2}), arm="base")]
    assert measure("keys_in_order", echo, [group("s", text(b=1) + text(a={"y": 2, "x": 1}))], base).value == 1


def test_a_base_trace_is_compared_with_the_others_and_never_with_itself(echo):
    turned = dict(reversed(VALID.items()))
    assert measure("keys_in_order", echo, [group("s", text(), text())]).value == 1
    assert measure("keys_in_order", echo, [group("s", text(), text(**turned))]).value == 0
    assert measure("keys_in_order", echo, [group("s", text())]).value is None


def test_a_scenario_without_a_base_trace_does_not_count(echo):
    base = [group("s", text(), arm="base"), group("t", text(), arm="base", drop="residue")]
    arm = [group("s", text()), group("t", text()), group("u", text())]
    found = measure("keys_in_order", echo, arm, base)
    assert (found.value, found.n) == (1, 1)


keys = st.permutations(["action", "entity", "reasoning"]).map(lambda names: text(**dict.fromkeys(names, "x")))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.lists(keys, max_size=3), st.lists(keys, max_size=3)), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_order_names_and_copies_of_scenarios_do_not_matter(echo, rows, rng):
    def both(name, copies=1, shuffled=False):
        order = [(i, copy) for i in range(len(rows)) for copy in range(copies)]
        if shuffled:
            rng.shuffle(order)
        base = [group(name.format(i, copy), *rows[i][0], arm="base") for i, copy in order]
        return [group(name.format(i, copy), *rows[i][1]) for i, copy in reversed(order)], base

    for metric in ("keys_in_order", "json_valid", "enum_valid"):
        plain = measure(metric, echo, *both("s{}-{}")).value
        for other in (both("s{}-{}", shuffled=True), both("case {:04d} {}"), both("s{}-{}", copies=2)):
            assert measure(metric, echo, *other).value == (plain if plain is None else pytest.approx(plain))


# ---------------------------------------------------------------- choices


def test_a_value_outside_the_choices_is_counted_and_other_faults_are_not(echo):
    answers = [
        text(action="open", entity=3),
        text(action="shut", entity="v1", reasoning="why"),
        text(entity="v1"),
        "no answer",
    ]
    found = measure("enum_valid", echo, [group("s", *answers)])
    assert found.value == 2 / 4


SCHEMAS = [
    {"type": "object", "properties": {"a": {"enum": ["x", "y", 1, None]}}},
    {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/Kind"}},
        "$defs": {"Kind": {"enum": ["x", True]}},
    },
    {"properties": {"b": {"type": "array", "items": {"properties": {"a": {"const": "x"}}}}}},
    {
        "properties": {
            "a": {"anyOf": [{"type": "string", "enum": ["x"]}, {"type": "integer"}, {"type": "null"}]}
        }
    },
    {"additionalProperties": {"enum": ["x", 0, [1, "y"]]}},
    {"properties": {"b": {"prefixItems": [{"enum": ["x"]}], "items": {"enum": [1, 2]}}}},
    {"allOf": [{"properties": {"a": {"enum": ["x", "y"]}}}, {"properties": {"a": {"enum": ["y", 0]}}}]},
]

leaves = st.sampled_from(["x", "y", "z", 0, 1, 2, 1.0, True, False, None])
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


def choices_hold(value, schema):
    """Ask jsonschema, and look for a choice that was missed, in alternatives too where one has the type."""

    def missed(error):
        if error.validator in ("anyOf", "oneOf"):
            branches = {}
            for each in error.context:
                branches.setdefault(each.schema_path[0], []).append(each)
            fitting = [errors for errors in branches.values() if all(e.validator != "type" for e in errors)]
            return bool(fitting) and all(any(map(missed, errors)) for errors in fitting)
        return error.validator in ("enum", "const")

    return not any(missed(error) for error in jsonschema.Draft202012Validator(schema).iter_errors(value))


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from("ab"), values, max_size=2), st.sampled_from(SCHEMAS))
def test_choices_hold_exactly_where_jsonschema_finds_none_missed(value, schema):
    assert enums_hold(value, schema) == choices_hold(value, schema)


@pytest.mark.parametrize("name", ["echo", "ads"])
def test_the_suites_actions_are_choices_and_their_relabelling_is_not(name, request):
    suite = request.getfixturevalue(name)
    for action in suite.actions:
        value = {"action": action, "citations": [{"metric": "m", "value": 1}]}
        assert enums_hold(value, suite.decision_schema)
        assert choices_hold(value, suite.decision_schema)
        assert not enums_hold({"action": action.upper()}, suite.decision_schema)


# ---------------------------------------------------------------- broken JSON


def stand_in(dials, case=0):
    """Return what the stand-in of the suite answers in a scenario."""
    scenario = list(suite.scenarios(case + 1, 3))[case]
    return rollout(scenario, suite, EchoModel(Persona(**dials)), arm="x", run=0, seed=case)


def traces(*made):
    return [
        Group(
            scenario=next(suite.scenarios(1, 0)),
            cleaned=tuple(Cleaned(trace=trace, level="none") for trace in made),
        )
    ]


@pytest.mark.parametrize("name", ["json_valid", "enum_valid"])
def test_answers_that_the_stand_in_broke_are_not_valid_whatever_they_cite(echo, name):
    for vague in (0.0, 1.0):
        broken = [stand_in({"invalid": 1.0, "vague": vague}, case) for case in range(4)]
        assert all(('"citations": [{' in trace.messages[-1].content) != vague for trace in broken)
        assert measure(name, echo, traces(*broken)).value == 0


@pytest.mark.parametrize("name", ["json_valid", "enum_valid"])
def test_as_many_answers_are_valid_as_the_stand_in_does_not_break(echo, name):
    made = [stand_in({"invalid": 0.3, "vague": 0.3}, case) for case in range(40)]
    right = sum(trace.messages[-1].content.endswith("}") for trace in made)
    assert 0 < right < len(made)
    assert measure(name, echo, traces(*made)).value == pytest.approx(right / len(made))


def test_the_keys_of_a_citation_in_a_broken_answer_are_not_those_of_a_decision(echo):
    whole = text(**VALID, citations=[CITED])
    base = [group("s", whole[:-1], whole[:-1], arm="base")]
    assert measure("keys_in_order", echo, [group("s", whole[:-1])], base).value is None
    base = [group("s", whole, arm="base")]
    assert measure("keys_in_order", echo, [group("s", whole[:-1], whole)], base).value == 0.5


CITED = {"metric": "pressure", "value": 3}
NESTED = text(**VALID, citations=[CITED, {**CITED, "note": 'a "quoted" {} brace'}], limits={})


@given(st.integers(1, len(NESTED) - 1), st.sampled_from(["", "So:\n", "```json\n", 'I write {"this and ']))
def test_no_beginning_of_an_answer_is_valid_wherever_it_is_cut(echo, cut, before):
    for name in ("json_valid", "enum_valid"):
        assert measure(name, echo, [group("s", before + NESTED[:cut])]).value == 0
        assert measure(name, echo, [group("s", before + NESTED)]).value == 1


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        (NESTED.replace('"open"', "open"), 0),
        (NESTED.replace('"open"', "open")[:-1], 0),
        (text() + NESTED[:-1], 0),
        (f'Use {{"braces" here}}: {NESTED}', 1),
        (NESTED.replace('"open"', "open") + text(), 1),
        ('{"note": "an empty {} object', 0),
        ('{"note": "an empty {} object", oops}', 0),
    ],
)
def test_an_object_within_a_broken_one_is_no_answer_and_one_after_it_is(echo, answer, share):
    assert measure("json_valid", echo, [group("s", answer)]).value == share
