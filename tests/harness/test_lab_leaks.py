"""`opoi leaks`: a gate that says what leaks, where and why, to people and to machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.leakage.detectors import DETECTORS
from opoi.report.findings import Checked, as_json, as_junit, as_sarif
from opoi.store import encode, read
from opoi.types import Finding, Trace

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def run(leaky_run: Path) -> Path:
    return leaky_run


def test_steered_traces_leak_before_cleaning_and_unsteered_ones_do_not(run: Path, opoi: Call) -> None:
    code, said = opoi("leaks", run / "traces/opoi.jsonl", "-q")
    assert code == 1
    assert "above --max-rate 0 %" in said
    code, said = opoi("leaks", run / "rollouts.jsonl", "-q")
    assert code == 0, said
    assert "0 of 24 traces leak" in said


def test_the_gate_opens_at_the_rate_that_is_measured(run: Path, tmp_path: Path, opoi: Call) -> None:
    found = tmp_path / "found.json"
    opoi("leaks", run / "traces/opoi.jsonl", "-q", "--json", found)
    summary = json.loads(found.read_text())["summary"]
    rate = 100 * summary["leaking"] / summary["traces"]
    assert 0 < rate < 100
    assert opoi("leaks", run / "traces/opoi.jsonl", "-q", "--max-rate", rate + 0.01)[0] == 0
    assert opoi("leaks", run / "traces/opoi.jsonl", "-q", "--max-rate", rate - 0.01)[0] == 1


def test_every_find_stands_where_it_is_said_to(run: Path, tmp_path: Path, opoi: Call) -> None:
    found = tmp_path / "found.json"
    opoi("leaks", run, "-q", "--json", found)
    traces = {
        trace.id: trace for name in ("opoi", "opcd") for trace in read(run / f"traces/{name}.jsonl", Trace)
    }
    seen = 0
    from opoi.passages import passages

    for one in json.loads(found.read_text())["traces"]:
        texts = {
            (passage.message, passage.field): passage.text
            for passage in passages(
                traces[one["trace"]].messages, ("reasoning",), roles=("assistant", "user")
            )
        }
        for finding in one["findings"]:
            if finding.get("field"):
                text = texts[tuple(finding["message"]), finding["field"]]
                assert text[finding.get("start", 0) : finding["end"]] == finding["text"]
                assert finding["why"]
                seen += 1
    assert seen


def test_foreign_traces_of_unknown_origin_are_looked_at_too(run: Path, tmp_path: Path, opoi: Call) -> None:
    line = json.loads((run / "datasets/opoi.openai.jsonl").read_text().splitlines()[0])
    decision = json.loads(line["messages"][-1]["content"])
    decision["reasoning"] += " As the reviewer said, that is the way."
    line["messages"][-1]["content"] = json.dumps(decision)
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(line))
    code, said = opoi("leaks", source, "-q")
    assert code == 1
    assert "in.jsonl:1" in said
    assert "reviewer" in said


def test_what_is_not_there_is_told_with_a_way_out(run: Path, tmp_path: Path, opoi: Call) -> None:
    assert opoi("leaks")[0] == 2
    code, said = opoi("leaks", run / "traces/opoi.jsonl", "--detectors", "residu", "-q")
    assert code == 2
    assert "did you mean 'residue'" in said
    code, said = opoi("leaks", tmp_path / "nothing.jsonl", "-q")
    assert code != 0
    assert "nothing.jsonl" in said
    code, said = opoi("leaks", "--list")
    assert code == 0
    assert all(detector.id in said for detector in DETECTORS)


FINDINGS = st.builds(
    Finding,
    detector=st.sampled_from(["residue", "provenance"]),
    kind=st.text(max_size=8),
    trace=st.text(max_size=8),
    message=st.tuples(st.integers(0, 9)),
    field=st.text(max_size=8),
    text=st.text(max_size=20),
    why=st.text(max_size=20),
    grade=st.sampled_from(["leak", "suspect"]),
)
CHECKED = st.lists(
    st.builds(
        Checked,
        file=st.sampled_from(["a.jsonl", "b&<.jsonl"]),
        line=st.integers(0, 9),
        trace=st.text(max_size=8),
        findings=st.lists(FINDINGS, max_size=3).map(tuple),
    ),
    max_size=5,
)


@given(checked=CHECKED, strict=st.booleans())
def test_machines_can_read_every_report_whatever_models_wrote(checked: list[Checked], strict: bool) -> None:
    everything = json.loads(as_json(checked, (), {"n": len(checked)}))
    assert [one["trace"] for one in everything["traces"]] == [one.trace for one in checked if one.findings]
    root = ET.fromstring(as_junit(checked, strict=strict, bad=[("a.jsonl", 3, "cut \x00 off")]))
    cases = root.findall("testsuite/testcase")
    assert len(cases) == len(checked) + 1
    failures = root.findall("testsuite/testcase/failure")
    assert len(failures) == sum(bool(one.leaks(strict=strict)) for one in checked)
    for suite in root:
        assert int(suite.attrib["tests"]) == len(suite)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
    log = json.loads(as_sarif(checked, {"residue": "Words.", "provenance": "Claims."}, version="1"))
    results = log["runs"][0]["results"]
    assert len(results) == sum(len(one.findings) for one in checked)
    assert {result["level"] for result in results} <= {"error", "warning"}
    assert all(result["locations"][0]["physicalLocation"]["region"]["startLine"] >= 1 for result in results)


def test_a_detector_that_lacks_what_it_needs_is_named(run: Path, tmp_path: Path, opoi: Call) -> None:
    trace = next(read(run / "traces/opoi.jsonl", Trace))
    lonely = tmp_path / "lonely.jsonl"
    lonely.write_bytes(encode(msgspec.structs.replace(trace, scenario_id="gone")) + b"\n")
    code, said = opoi("leaks", lonely, "-q")
    assert code in (0, 1)
    for detector in DETECTORS:
        if set(detector.needs) & {"scenario", "verdict", "base", "suite"}:
            assert f"the detector {detector.id} says nothing here" in said


def test_lines_that_could_not_be_read_close_the_gate(run: Path, tmp_path: Path, opoi: Call) -> None:
    source, sarif = tmp_path / "in.jsonl", tmp_path / "out.sarif"
    good = (run / "rollouts.jsonl").read_bytes().splitlines()[0]
    source.write_bytes(good + b'\n{"id": 3\n')
    code, said = opoi("leaks", source, "-q", "--sarif", sarif)
    assert code == 3
    assert "1 lines could not be read" in said
    (notified,) = json.loads(sarif.read_text())["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    assert notified["locations"][0]["physicalLocation"]["region"]["startLine"] == 2
    assert opoi("leaks", source, "-q", "--allow-unreadable", 1)[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--max-rate", "nan"],
        ["--run", "nowhere"],
        ["--json", "SOURCE"],
        ["--sarif", "/dev/null"],
        ["--calibrate", "--junit", "x.xml"],
    ],
)
def test_what_makes_no_sense_is_refused_and_is_not_what_the_gate_says(
    words: list[str], run: Path, tmp_path: Path, opoi: Call
) -> None:
    source = tmp_path / "in.jsonl"
    body = (run / "rollouts.jsonl").read_bytes()
    source.write_bytes(body)
    code, said = opoi("leaks", source, "-q", *(str(source) if word == "SOURCE" else word for word in words))
    assert code == 2, said
    assert source.read_bytes() == body


def test_every_field_of_a_find_is_in_the_json(run: Path, tmp_path: Path, opoi: Call) -> None:
    found = tmp_path / "found.json"
    opoi("leaks", run / "traces/opoi.jsonl", "-q", "--json", found)
    for one in json.loads(found.read_text())["traces"]:
        for finding in one["findings"]:
            assert set(finding) == set(Finding.__struct_fields__)
