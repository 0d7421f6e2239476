"""`opoi compare`: pairing of scenarios, the page, the gate, and figures against the runs they come from."""

import json
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.across import PRIMARY, compare
from opoi.across.reading import flat, read_run, source_of
from opoi.cli.across import compare as command
from opoi.errors import ArtefactError, UnknownNameError, UsageError
from opoi.measures.logprobs.scorers import Confidence
from opoi.measures.results import ArmResult, Definition, Results
from opoi.measures.units import UnitRow
from opoi.pipeline import run_all
from opoi.run import Run
from opoi.seeds import Stream
from opoi.settings import merge
from opoi.stages.clean import clean
from opoi.stages.measure import measure
from opoi.store import encode, load_receipt, receipt_path
from opoi.types import Measure

DEFINITIONS = {
    "accuracy_observable": Definition(
        title="accuracy vs observable",
        unit="share",
        doc="Share of runs that are right.",
        formula="right runs / runs",
        parts=True,
    ),
    "consensus_pair": Definition(
        title="consensus (pairs)",
        unit="share",
        doc="Pairs that agree.",
        formula="sum of pairs / n",
        parts=True,
    ),
    "consensus_unanimous": Definition(
        title="consensus (all)", unit="share", doc="All agree.", formula="unanimous / n", parts=True
    ),
    "hindsight_claims": Definition(
        title="hindsight claims", unit="share", doc="Claims.", formula="hindsight / claims", parts=True
    ),
    "regret_observable": Definition(title="expected utility lost", unit="utility", doc="Lost.", parts=True),
    "forced_logprob": Definition(title="forced logprob", unit="nats", doc="Mean.", formula="x", parts=True),
    "js_excess": Definition(title="JS excess", unit="bits", doc="Excess."),
}


def pairs_of(stream, skill):
    """Return the figures of one scenario of one arm with three runs."""
    right = sum(stream.chance(skill, "run", run) for run in range(3))
    agree = {0: 3, 1: 1, 2: 1, 3: 3}[right]
    claims = 5 + stream.below(10, "claims")
    return {
        "accuracy_observable": (right, 3),
        "consensus_pair": (agree / 3, 1),
        "consensus_unanimous": (float(agree == 3), 1),
        "hindsight_claims": (0, claims),
        "regret_observable": ((3 - right) * stream.between(0, 400, "lost"), 3),
    }


def rows_of(seed, arms, n, start=0):
    return [
        UnitRow(
            scenario_id=f"s{i:04}",
            world=f"w{seed}/{i}",
            kind="k",
            arms={
                arm: pairs_of(Stream(seed, "arm", salt, i), 0.2 + 0.6 * Stream(seed, i).uniform() + lift)
                for arm, (salt, lift) in arms.items()
            },
        )
        for i in range(start, start + n)
    ]


def write_run(folder, rows, *, changes=None, definitions=DEFINITIONS, notes=None, scorer="", strategies=None):
    """Write what a comparison reads of a run."""
    folder.mkdir(parents=True)
    arms = list(dict.fromkeys(arm for row in rows for arm in row.arms))
    results = Results(
        schema=get_args(get_type_hints(Results)["schema"])[0],
        suite="t",
        scenarios=len(rows),
        common=len(rows),
        resamples=100,
        seed=0,
        arms=tuple(
            ArmResult(
                name=arm,
                kind="policy" if arm == "random" else "data",
                attempted=3,
                kept=3,
                drops={},
                measures={name: total(rows, arm, name, notes or {}) for name in definitions},
            )
            for arm in arms
        ),
        definitions=definitions,
        confidence=Confidence(scorers=(scorer, "tuned")) if scorer else None,
    )
    base = {"suite": "t", "seed": 0, "n": len(rows), "model": "m", "strategies": arms[1:], "concurrency": 4}
    made = {arm: {"form": arm, "strength": "must"} for arm in arms[1:]} | (strategies or {})
    manifest = {
        "schema": "opoi.manifest/1",
        "settings": {**base, **(changes or {})},
        "resolved": {"agent": ["m", {"flip": 0.1}], "strategies": made},
        "versions": {"opoi": "0.1.0"},
        "endpoints": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "measures.json").write_bytes(encode(results))
    (folder / "units.jsonl").write_bytes(b"".join(encode(row) + b"\n" for row in rows))
    return str(folder)


def total(rows, arm, name, notes):
    if name == "js_excess":
        return Measure(value=0.1, n=len(rows))
    pairs = [row.arms[arm][name] for row in rows if arm in row.arms and name in row.arms[arm]]
    below = sum(pair[1] for pair in pairs)
    if not below:
        return Measure(value=None, note=notes.get(name, ""))
    return Measure(value=sum(pair[0] for pair in pairs) / below, n=len(pairs))


ARMS = {"base": (0, 0.0), "opoi": (1, 0.15)}


@pytest.fixture
def two(tmp_path):
    """Two runs: the arm `opoi` of the second is better."""
    a = write_run(
        tmp_path / "a",
        rows_of(0, {"base": (0, 0.0), "opoi": (1, 0.0)}, 200),
        notes={"forced_logprob": "needs T2"},
    )
    b = write_run(
        tmp_path / "b",
        rows_of(0, {"base": (2, 0.0), "opoi": (3, 0.18)}, 220),
        changes={"model": "other", "clean": "C3"},
        notes={"forced_logprob": "needs T2"},
    )
    return a, b


# ---------------------------------------------------------------- which arms, which scenarios


def test_arms_of_one_name_are_compared_and_reference_policies_are_not(tmp_path):
    arms = {**ARMS, "random": (9, 0.0)}
    a = write_run(tmp_path / "a", rows_of(0, arms, 12))
    b = write_run(tmp_path / "b", rows_of(0, {**arms, "extra": (4, 0.0)}, 12))
    found = compare([a, b], resamples=100)
    assert [(one.a, one.b) for one in found.compared] == [
        (f"{a}:{arm}", f"{b}:{arm}") for arm in ("base", "opoi")
    ]


def test_arms_can_be_named_on_either_side(two):
    a, b = two
    for sources in ([f"{a}:opoi", f"{b}:base"], [f"{a}:opoi", b], [a, f"{b}:opoi"]):
        found = compare(sources, resamples=100, figures=["consensus_pair"])
        arm = "base" if sources[1].endswith(":base") else "opoi"
        assert [(one.a, one.b) for one in found.compared] == [(f"{a}:opoi", f"{b}:{arm}")]


def test_each_run_is_compared_with_the_first(two, tmp_path):
    c = write_run(tmp_path / "c", rows_of(0, ARMS, 50))
    found = compare([f"{two[0]}:opoi", f"{two[1]}:opoi", f"{c}:opoi"], resamples=100)
    assert found.runs == (*two, c)
    assert [one.a for one in found.compared] == [f"{two[0]}:opoi"] * 2
    assert [one.scenarios for one in found.compared] == [200, 50]
    assert found.tests == 4  # two primary figures that differ somewhere, in two comparisons


def test_two_arms_of_one_run_are_compared_and_their_strategies_told_apart(two):
    found = compare([f"{two[0]}:base", f"{two[0]}:opoi"], resamples=100)
    (one,) = found.compared
    assert found.settings == ()
    assert {row.name: row.values for row in one.contrasts} == {
        "strategy.use": ("", "opoi"),
        "strategy.form": ("", "opoi"),
        "strategy.strength": ("", "must"),
    }


def test_a_colon_in_the_name_of_a_folder_is_no_arm(tmp_path):
    folder = write_run(tmp_path / "x:y", rows_of(0, ARMS, 3))
    assert source_of(folder) == (Path(folder), "")
    assert source_of(f"{folder}:opoi") == (Path(folder), "opoi")
    assert source_of("plain") == (Path("plain"), "")


def test_scenarios_pair_by_id_and_world_and_the_others_are_counted(tmp_path):
    rows = rows_of(0, ARMS, 30)
    moved = [msgspec.structs.replace(row, world="other") for row in rows[:4]]
    a = write_run(tmp_path / "a", rows[:25])
    b = write_run(tmp_path / "b", [*moved, *rows[4:10], *rows[15:]])
    for one in compare([a, b], resamples=100).compared:
        assert (one.scenarios, one.only_a, one.only_b, one.other_world) == (16, 5, 5, 4)


@pytest.mark.parametrize(
    ("rows", "changes", "why"),
    [
        (rows_of(1, ARMS, 5), {"seed": 1}, "seed is 0 and 1"),
        (rows_of(1, ARMS, 5), {"suite": "u", "seed": 1}, "suite is t and u; seed is 0 and 1"),
        (rows_of(1, ARMS, 5), {}, "5 have the same id, but their worlds differ"),
        (rows_of(0, ARMS, 5, start=50), {}, "no id is in both"),
    ],
)
def test_runs_without_a_common_scenario_are_refused_with_the_reason(tmp_path, rows, changes, why):
    a = write_run(tmp_path / "a", rows_of(0, ARMS, 5))
    b = write_run(tmp_path / "b", rows, changes=changes)
    with pytest.raises(UsageError) as error:
        compare([a, b])
    assert why in error.value.why
    assert "same suite and the same seed" in error.value.fix


def test_mistakes_say_what_to_do(two, tmp_path):
    a, b = two
    for sources, said in [
        ([a], "RUN:opoi RUN:opcd"),
        ([a, a], f"{a}:base {a}:opoi"),
        ([f"{a}:opoi", f"{a}:opoi"], f"{a}:base {a}:opoi"),
    ]:
        with pytest.raises(UsageError) as error:
            compare(sources)
        assert said in error.value.fix
    with pytest.raises(UnknownNameError, match=r"(?s)arm of .*opio.*did you mean 'opoi'"):
        compare([f"{a}:opio", b])
    other = write_run(tmp_path / "o", rows_of(0, {"x": (0, 0.0), "y": (1, 0.0)}, 5))
    with pytest.raises(UsageError, match="no arm of the same name"):
        compare([a, other])


def test_folders_that_cannot_be_compared_say_which_stage_is_missing(two, tmp_path):
    a, _ = two
    with pytest.raises(ArtefactError, match="there is no run in it"):
        compare([a, str(tmp_path / "none")])
    for name, fix in [("units.jsonl", "--force"), ("measures.json", "opoi measure")]:
        folder = Path(write_run(tmp_path / name, rows_of(0, ARMS, 3)))
        (folder / name).unlink()
        with pytest.raises(ArtefactError, match=fix):
            compare([a, str(folder)])


def test_damaged_artefacts_are_refused_with_their_place(two, tmp_path):
    a, _ = two
    rows = rows_of(0, ARMS, 3)
    with pytest.raises(ArtefactError, match=r"'s0000' twice"):
        compare([a, write_run(tmp_path / "twice", [*rows, rows[0]])])
    torn = Path(write_run(tmp_path / "torn", rows))
    with (torn / "units.jsonl").open("a") as file:
        file.write('{"scenario_id":')
    with pytest.raises(ArtefactError, match="line 4"):
        compare([a, str(torn)])
    (torn / "measures.json").write_text("{}")
    with pytest.raises(ArtefactError, match=r"(?s)measures\.json cannot be read.*opoi measure .* --force"):
        compare([a, str(torn)])


# ---------------------------------------------------------------- figures that are not those of the run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of six scenarios; copy it before changing anything."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with closing(Run.create(folder, merge({}, {"suite": "echo", "n": 6, "resamples": 100}))) as run:
        run_all(run)
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


def refused(folder):
    with pytest.raises(ArtefactError) as error:
        compare([f"{folder}:base", f"{folder}:opoi"], resamples=100)
    return error.value


def test_a_run_that_was_cleaned_anew_and_not_measured_is_refused(copied):
    with closing(Run.open(copied, {"clean": "C3"})) as run:
        run.save_manifest()
        clean(run)
    error = refused(copied)
    assert "measures.json was made from another cleaned/" in error.what
    assert error.fix == f"opoi measure {copied}"
    with closing(Run.open(copied)) as run:
        measure(run)
    assert compare([f"{copied}:base", f"{copied}:opoi"], resamples=100).compared


@pytest.mark.parametrize("name", ["measures.json", "units.jsonl"])
def test_figures_that_were_edited_or_put_there_by_hand_are_refused(copied, name):
    text = (copied / name).read_text()
    (copied / name).write_text(text + "\n")
    error = refused(copied)
    assert f"{name} was edited by hand" in error.what
    assert error.fix == f"opoi measure {copied} --force"
    (copied / name).write_text(text)
    receipt_path(copied / name).unlink()
    assert f"{name} was edited by hand, or put there" in refused(copied).what


def test_figures_of_two_walks_are_refused(copied):
    receipt = load_receipt(copied / "units.jsonl")
    del receipt.inputs["reviews.jsonl"]
    receipt_path(copied / "units.jsonl").write_bytes(encode(receipt))
    assert "not of one walk" in refused(copied).what


def test_traces_that_were_made_anew_and_not_cleaned_are_refused(copied):
    with (copied / "traces/opoi.jsonl").open("a") as file:
        file.write(" ")
    error = refused(copied)
    assert "cleaned/opoi.jsonl was made from another traces/opoi.jsonl" in error.what
    assert error.fix == f"opoi run --resume --out {copied}"


def test_figures_that_were_handed_on_without_their_traces_can_be_compared(finished, copied, tmp_path):
    for name in ("cleaned", "traces"):
        shutil.rmtree(copied / name)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("manifest.json", "measures.json", "units.jsonl"):
        shutil.copy(finished / name, alone / name)
    for folder in (copied, alone):
        assert compare([f"{folder}:base", f"{folder}:opoi"], resamples=100).compared


@pytest.mark.parametrize(
    ("figure", "parts", "said"),
    [
        ("accuracy_observable", (3.1, 3), "3.1 / 3 as accuracy_observable of opoi in scenario 's0001'"),
        ("accuracy_observable", (-0.1, 3), "-0.1 / 3"),
        ("consensus_pair", (1, 0), "1 / 0"),
        ("regret_observable", (5, -1), "5 / -1"),
    ],
)
def test_numbers_that_cannot_be_are_refused(tmp_path, figure, parts, said):
    rows = rows_of(0, ARMS, 4)
    rows[1].arms["opoi"][figure] = parts
    error = refused(write_run(tmp_path / "a", rows))
    assert said in error.what
    assert error.fix.startswith("opoi measure")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    folder = Path(write_run(tmp_path / "a", rows_of(0, ARMS, 4)))
    text = (folder / "units.jsonl").read_text()
    (folder / "units.jsonl").write_text(
        re.sub(r'("regret_observable":\[)[^,]*', r"\g<1>1e999", text, count=1)
    )
    refused(folder)


def test_a_share_may_leave_its_range_by_rounding(tmp_path):
    rows = rows_of(0, ARMS, 4)
    rows[1].arms["opoi"]["accuracy_observable"] = (3 + 1e-12, 3)
    rows[2].arms["opoi"]["accuracy_observable"] = (-1e-12, 3)
    assert read_run(Path(write_run(tmp_path / "a", rows))).worlds


def test_another_number_of_scenarios_or_another_value_is_of_another_walk(tmp_path):
    rows = rows_of(0, ARMS, 6)
    folder = Path(write_run(tmp_path / "a", rows))
    lines = (folder / "units.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "units.jsonl").write_bytes(b"".join(lines[:1]))
    assert "has 1 scenario in units.jsonl, and 6 by measures.json" in refused(folder).what
    rows[0].arms["opoi"]["regret_observable"] = (1e6, 3)
    (folder / "units.jsonl").write_bytes(b"".join(encode(row) + b"\n" for row in rows))
    assert "as regret_observable of opoi in measures.json" in refused(folder).what


# ---------------------------------------------------------------- figures


def test_scenarios_that_one_arm_alone_has_are_no_difference(tmp_path):
    """The arms are the same wherever both have a value; B lacks the hard ones: nothing differs."""
    rows = rows_of(0, {"base": (0, 0.0), "opoi": (0, 0.0)}, 60)
    for row in rows:
        if row.arms["base"]["accuracy_observable"][0] == 0:
            del row.arms["opoi"]["accuracy_observable"]
    folder = write_run(tmp_path / "a", rows)
    (one,) = compare([f"{folder}:base", f"{folder}:opoi"], resamples=200).compared
    figure = one.figures["accuracy_observable"]
    assert (figure.verdict, figure.difference, figure.p, figure.needed) == ("undecided", 0, 1, None)
    assert figure.one_sided == figure.only_a == 60 - figure.n > 0
    assert f"left out: {figure.only_a} scenarios in which A alone has a value" in " ".join(
        page([f"{folder}:base", f"{folder}:opoi"], width=200).split()
    )


def with_scores(rows):
    scores = {"forced_logprob": (-3.0, 5)}
    return [
        msgspec.structs.replace(row, arms={arm: {**own, **scores} for arm, own in row.arms.items()})
        for row in rows
    ]


def test_scores_of_other_scorers_are_not_compared(tmp_path):
    rows = with_scores(rows_of(0, ARMS, 20))
    a, b, c = (
        write_run(tmp_path / name, rows, scorer=scorer)
        for name, scorer in (("a", "x"), ("b", "y"), ("c", "x"))
    )
    (_, other), (_, same) = (compare([a, run], resamples=100).compared for run in (b, c))
    assert other.missing["forced_logprob"] == "other scorers: x for A, y for B"
    assert "forced_logprob" in same.figures
    assert "forced_logprob" in compare([f"{a}:base", f"{a}:opoi"], resamples=100).compared[0].figures


def test_accuracy_on_the_scenarios_that_all_arms_kept_is_compared_within_a_run_alone(tmp_path):
    name = "accuracy_observable_common"
    told = {**DEFINITIONS, name: DEFINITIONS["accuracy_observable"]}
    rows = [
        msgspec.structs.replace(row, arms={arm: {**own, name: (1, 3)} for arm, own in row.arms.items()})
        for row in rows_of(0, ARMS, 20)
    ]
    a, b = (write_run(tmp_path / run, rows, definitions=told) for run in "ab")
    assert "scenarios of its own" in compare([a, b], resamples=100).compared[0].missing[name]
    assert name in compare([f"{a}:base", f"{a}:opoi"], resamples=100).compared[0].figures


def without_names(found):
    return [(one.figures, one.missing) for one in found.compared]


def test_neither_the_order_of_lines_nor_the_names_of_scenarios_matter(tmp_path):
    one, two_ = rows_of(0, ARMS, 40), rows_of(0, {"base": (5, 0.0), "opoi": (6, 0.1)}, 40)

    def run(name, rows, rename=lambda text: text):
        return write_run(
            tmp_path / name,
            [msgspec.structs.replace(row, scenario_id=rename(row.scenario_id)) for row in rows],
        )

    plain = without_names(compare([run("a", one), run("b", two_)], resamples=300))
    mixed = Stream(1, "order").shuffled(two_)
    assert without_names(compare([run("a2", one), run("b2", mixed)], resamples=300)) == plain
    renamed = [run(name, rows, lambda text: f"zz{text}") for name, rows in (("a3", one), ("b3", two_))]
    assert without_names(compare(renamed, resamples=300)) == plain


def test_a_planted_difference_is_found_and_one_that_is_not_there_is_not(two):
    base, opoi = compare(two, resamples=2_000).compared
    assert opoi.figures["accuracy_observable"].verdict == "B higher"
    assert opoi.figures["accuracy_observable"].p_adjusted < 0.01
    assert {one.verdict for one in base.figures.values()} == {"undecided"}
    assert base.figures["accuracy_observable"].needed > 200


def test_values_are_those_of_the_paired_scenarios_alone(two):
    a, b = map(read_run, map(Path, two))
    ids = sorted(a.worlds)
    above, below = b.column("opoi", "accuracy_observable", ids)
    found = compare(two, resamples=100).compared[1].figures["accuracy_observable"]
    assert found.b == pytest.approx(above.sum() / below.sum())
    assert found.b != pytest.approx(b.arm("opoi").measures["accuracy_observable"].value)


def test_scenarios_that_an_arm_or_a_figure_lacks_contribute_nothing(tmp_path):
    rows = rows_of(0, ARMS, 8)
    for lacking in (0, 1, 4):
        del rows[lacking].arms["opoi"]["accuracy_observable"]
    del rows[2].arms["opoi"]
    run = read_run(Path(write_run(tmp_path / "a", rows)))
    ids = [row.scenario_id for row in reversed(rows)]
    above, below = run.column("opoi", "accuracy_observable", ids)
    expected = [row.arms.get("opoi", {}).get("accuracy_observable", (0, 0)) for row in reversed(rows)]
    assert list(zip(above, below, strict=True)) == expected
    assert not run.column("opoi", "forced_logprob", ids)[1].any()


def test_unanimity_gets_mcnemars_test_and_other_figures_do_not(two):
    figures = compare(two, resamples=100).compared[1].figures
    assert figures["consensus_unanimous"].test == "McNemar, exact"
    assert figures["consensus_pair"].test == "permutation"


def test_what_is_not_compared_is_named_with_the_reason(two):
    (one, _) = compare(two, resamples=100).compared
    assert "no ratio of sums" in one.missing["js_excess"]
    assert one.missing["forced_logprob"] == "A: needs T2; B: needs T2"
    assert {*one.figures, *one.missing} == {*DEFINITIONS}


def test_a_figure_that_one_run_alone_has_is_not_compared(two, tmp_path):
    rows = [
        msgspec.structs.replace(
            row, arms={arm: {**figures, "forced_logprob": (-3.0, 5)} for arm, figures in row.arms.items()}
        )
        for row in rows_of(0, ARMS, 30)
    ]
    c = write_run(tmp_path / "c", rows)
    (_, opoi) = compare([two[0], c], resamples=100).compared
    assert opoi.missing["forced_logprob"] == "A: needs T2"


def test_the_default_family_is_what_was_measured_of_it(two):
    found = compare(two, resamples=100)
    assert found.primary == PRIMARY
    assert found.tests == 4  # accuracy and consensus of two arms; no claim is of hindsight anywhere
    assert [one.figures["hindsight_claims"].p_adjusted for one in found.compared] == [1.0, 1.0]


def test_showing_fewer_figures_does_not_make_the_family_smaller(two):
    every, one = compare(two, resamples=300), compare(two, resamples=300, figures=["accuracy_observable"])
    assert one.tests == every.tests
    for whole, part in zip(every.compared, one.compared, strict=True):
        assert part.figures == {"accuracy_observable": whole.figures["accuracy_observable"]}


def test_another_family_can_be_declared_and_a_misspelt_one_is_refused(two):
    found = compare(two, primary=["regret_observable"], resamples=100)
    assert (found.primary, found.tests) == (("regret_observable",), 2)
    assert found.compared[0].figures["accuracy_observable"].p_adjusted is None
    for names in ({"primary": ["acuracy_observable"]}, {"figures": ["acuracy_observable"]}):
        with pytest.raises(UnknownNameError, match="did you mean 'accuracy_observable'"):
            compare(two, **names)


def test_a_figure_that_two_runs_define_in_two_ways_is_marked(two, tmp_path):
    changed = msgspec.structs.replace(DEFINITIONS["consensus_pair"], formula="something else")
    c = write_run(
        tmp_path / "c", rows_of(0, ARMS, 30), definitions={**DEFINITIONS, "consensus_pair": changed}
    )
    figures = compare([f"{two[0]}:opoi", f"{c}:opoi"], resamples=100).compared[0].figures
    assert "something else" in figures["consensus_pair"].note
    assert "two ways" not in figures["accuracy_observable"].note


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_a_run_against_itself_under_another_name_differs_in_nothing(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("same")
    rows = rows_of(seed, ARMS, 15)
    found = compare([write_run(folder / "a", rows), write_run(folder / "b", rows)], resamples=100)
    for one in found.compared:
        assert {figure.difference for figure in one.figures.values()} == {0.0}
        assert {figure.p for figure in one.figures.values()} == {1.0}


def test_values_of_a_real_run_are_those_that_its_report_prints(tmp_path):
    folder = tmp_path / "run"
    this = Run.create(folder, merge({}, {"suite": "echo", "n": 12, "resamples": 100}))
    with closing(this):
        run_all(this)
    (one,) = compare([f"{folder}:base", f"{folder}:opoi"], resamples=100).compared
    run = read_run(folder)
    assert {name for name, told in run.results.definitions.items() if told.parts} >= {*one.figures}
    assert "accuracy_observable" in one.figures
    assert {"js_excess", "bigram_js_excess", "tool_js_excess", "oov_rate"} <= {*one.figures}
    for name, figure in one.figures.items():
        printed = [run.arm(arm).measures[name].value for arm in ("base", "opoi")]
        assert [figure.a, figure.b] == pytest.approx(printed, rel=1e-9), name


# ---------------------------------------------------------------- what made the runs


def test_settings_that_differ_are_listed_and_idle_ones_are_not(two):
    found = compare(two, resamples=100)
    assert {row.name: row.values for row in found.settings} == {
        "n": ("200", "220"),
        "model": ("m", "other"),
        "clean": ("", "C3"),
    }


def test_strategies_of_arms_that_are_not_compared_are_no_difference_between_runs(tmp_path):
    arms = {**ARMS, "opcd": (7, 0.0)}
    a = write_run(tmp_path / "a", rows_of(0, arms, 20))
    changed = {"opcd": {"form": "other"}, "opoi": {"form": "mine", "strength": "must"}}
    b = write_run(
        tmp_path / "b",
        rows_of(0, {**arms, "more": (8, 0.0)}, 20),
        strategies=changed,
        changes={"strategy": {"opcd": {"form": "other"}}},
    )

    def told(*sources):
        return {row.name for row in compare(sources, resamples=100).settings}

    assert told(f"{a}:opoi", f"{b}:opoi") == {"resolved.strategies.opoi.form"}
    assert told(f"{a}:base", f"{b}:base") == set()
    assert "strategy.opcd.form" in told(a, b)
    assert not any("more" in name for name in told(a, b))


def test_nested_values_are_told_by_their_path():
    assert flat({"a": {"b": 1}, "c": ["x", "y"], "d": ["m", {"e": True}], "f": [], "g": None}) == {
        "a.b": "1",
        "c": "x, y",
        "d": "m",
        "d.e": "true",
        "f": "",
        "g": "null",
    }


# ---------------------------------------------------------------- the page


def page(sources, *options, width=110):
    done = CliRunner().invoke(
        command, [*sources, "-q", "--resamples", "300", *options], env={"COLUMNS": str(width)}
    )
    assert done.exit_code == 0, done.exception
    return done.output


def test_more_than_one_setting_that_differs_is_a_warning(two, tmp_path):
    assert "differ in 2 settings at once" in " ".join(page(two).split())
    c = write_run(tmp_path / "c", rows_of(0, ARMS, 210), changes={"model": "other"})
    alone = page([two[0], c])
    assert "run 2" in alone.replace("\u00a0", " ")
    assert "at once" not in alone


def test_figures_of_an_embedded_model_are_called_simulated(two, tmp_path):
    simulated = "these figures validate the harness"
    assert simulated not in page(two)
    c = Path(write_run(tmp_path / "c", rows_of(0, ARMS, 10)))
    text = (c / "manifest.json").read_text()
    (c / "manifest.json").write_text(text.replace('"agent": ["m"', '"agent": ["stand-in:careless"'))
    assert simulated in page([two[0], str(c)])


@pytest.mark.parametrize("width", [80, 110])
def test_the_page_has_primary_figures_first_and_every_formula(two, width):
    text = page(two, width=width)
    assert max(map(len, text.splitlines())) <= width
    flowing = " ".join(text.split())
    assert flowing.index("Primary figures") < flowing.index("Other figures") < flowing.index("Not compared")
    for definition in DEFINITIONS.values():
        if definition.title in ("JS excess", "forced logprob"):
            continue
        assert (
            f"{definition.title} = {definition.formula}" in flowing or definition.doc.rstrip(".") in flowing
        )
    for said in ("200 scenarios in both; left out: 20 in B alone", "B higher", "undecided", "not adjusted"):
        assert said in flowing


def test_the_primary_table_is_whole_at_80_columns(two):
    lines = page(two, width=80).splitlines()
    row = next(line for line in lines if line.startswith("accuracy_observable"))
    assert len(row.split()) >= 7
    assert any(word in row for word in ("undecided", "higher"))


def test_what_runs_call_themselves_cannot_steer_the_terminal(two, tmp_path):
    c = write_run(tmp_path / "c\x1b[31m", rows_of(0, ARMS, 10), changes={"model": "\x1b]0;x\x07"})
    assert "\x1b" not in page([two[0], c])


def test_json_holds_everything_that_is_printed(two, tmp_path):
    out = CliRunner().invoke(command, [*two, "--json", "-", "--resamples", "300"]).output
    found = json.loads(out)
    assert found == json.loads(msgspec.json.encode(compare(two, resamples=300)))
    page(two, "--json", str(tmp_path / "x.json"))
    assert json.loads((tmp_path / "x.json").read_text()) == found
    assert {"verdict", "needed", "p_adjusted"} <= {*found["compared"][0]["figures"]["accuracy_observable"]}


def test_what_is_alike_is_said_above_the_table_and_once(two):
    text = " ".join(page(two, width=200).split())
    assert (
        text.count("Alike in every scenario, 95 % sure that fewer than 1.5 % differ: hindsight_claims") == 2
    )
    assert "Here: alike" not in text


def test_one_scenario_is_one(tmp_path):
    rows = rows_of(0, ARMS, 2)
    a, b = write_run(tmp_path / "a", rows[:1]), write_run(tmp_path / "b", rows)
    text = " ".join(page([a, b]).split())
    assert "1 scenario in both; left out: 1 in B alone" in text
    assert "1 scenarios" not in text


@pytest.mark.parametrize("place", ["", "none/x.json", "file/x.json"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("opoi.across.compare", lambda *_, **__: pytest.fail("worked"))
    done = CliRunner().invoke(command, ["a", "b", "-q", "--json", str(tmp_path / place)])
    assert isinstance(done.exception, UsageError)
    assert done.exception.why
    assert done.exception.fix
    assert sorted(tmp_path.rglob("*")) == before


def test_a_device_is_no_place_for_json():
    done = CliRunner().invoke(command, ["a", "b", "-q", "--json", "/dev/null"])
    assert isinstance(done.exception, UsageError)
    assert "--json -" in done.exception.fix


def test_a_disk_that_fails_leaves_nothing_behind(two, tmp_path, monkeypatch):
    def full(_self, _target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    done = CliRunner().invoke(command, [*two, "-q", "--resamples", "100", "--json", str(tmp_path / "x.json")])
    assert isinstance(done.exception, UsageError)
    assert "No space left" in done.exception.why
    assert not list(tmp_path.glob("x.json*"))


def test_the_same_call_prints_the_same(two):
    assert page(two) == page(two)
    assert page(two, "--seed", "3") != page(two)


# ---------------------------------------------------------------- the gate


def gate(sources, *options):
    words = [*sources, "-q", "--resamples", "300"]
    for option in options:
        words += ["--fail-on", option]
    return CliRunner().invoke(command, words)


def test_the_gate_fails_on_a_figure_that_is_worse_and_names_it(two):
    a, b = (f"{folder}:opoi" for folder in two)
    done = gate([b, a], "accuracy_observable:lower")
    assert done.exit_code == 1
    assert f"accuracy_observable of {a} is significantly lower than that of {b}" in done.output


@pytest.mark.parametrize("option", ["accuracy_observable:lower", "hindsight_claims:higher"])
def test_the_gate_holds_where_nothing_is_worse(two, option):
    assert gate([f"{folder}:opoi" for folder in two], option).exit_code == 0


@pytest.mark.parametrize(
    "option", ["accuracy_observable", "accuracy_observable:worse", "nothing:lower", "forced_logprob:lower"]
)
def test_a_gate_that_cannot_be_told_never_passes(two, option):
    done = gate(two, option)
    assert isinstance(done.exception, UsageError)
    assert done.exception.exit_code == 2


def test_a_run_that_cannot_be_read_is_no_verdict_of_the_gate(two, tmp_path):
    assert gate([two[0], str(tmp_path / "none")], "accuracy_observable:lower").exception.exit_code == 2


def test_the_command_imports_nothing_heavy_until_it_runs():
    code = (
        "import sys, opoi.cli.across\n"
        "heavy = {'numpy', 'rich', 'msgspec', 'httpx'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
