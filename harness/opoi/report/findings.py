"""Findings of leakage detectors for machines: JSON, JUnit XML and SARIF 2.1.0."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote
from xml.etree import ElementTree as ET

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from opoi.types import Finding, Reading

__all__ = ["Checked", "as_json", "as_junit", "as_sarif"]

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


class Checked(Struct, frozen=True):
    """One trace, looked at by the detectors.

    Attributes:
        file: The file that it stands in, as it was named.
        line: Line or number in it, from 1.
        trace: Id of the trace.
        findings: What was found.
    """

    file: str
    line: int
    trace: str
    findings: tuple[Finding, ...] = ()

    def leaks(self, *, strict: bool) -> list[Finding]:
        """Return the findings that count: leaks, and suspects too if `strict`."""
        return [finding for finding in self.findings if strict or finding.grade == "leak"]


def as_json(checked: Sequence[Checked], readings: Sequence[Reading], summary: Mapping[str, object]) -> bytes:
    """Return everything as one JSON document: `summary`, `readings`, and `traces` with findings.

    Every field is there, those that hold their default too.
    """
    found = [
        {**asdict(one), "findings": [asdict(finding) for finding in one.findings]}
        for one in checked
        if one.findings
    ]
    whole = {"summary": summary, "readings": [asdict(each) for each in readings], "traces": found}
    return msgspec.json.format(msgspec.json.encode(whole, order="sorted"), indent=1)


def as_junit(checked: Sequence[Checked], *, strict: bool, bad: Iterable[tuple[str, int, str]] = ()) -> bytes:
    """Return a JUnit report: a suite for each file, a case for each trace, a failure for each that leaks.

    Args:
        checked: All traces.
        strict: Suspects are failures too; else they stand in the case's output.
        bad: File, line and reason of what could not be read: errors.
    """
    root = ET.Element("testsuites", name="opoi leaks")
    suites: dict[str, list[ET.Element]] = {}
    for one in checked:
        case = ET.Element("testcase", classname=_xml(one.file), name=_xml(f"{one.trace} (line {one.line})"))
        leaks = one.leaks(strict=strict)
        if leaks:
            kinds = sorted({f"{finding.detector}/{finding.kind}" for finding in leaks})
            failure = ET.SubElement(case, "failure", type="leak", message=_xml(", ".join(kinds)))
            failure.text = _xml("\n".join(map(_told, leaks)))
        rest = [finding for finding in one.findings if finding not in leaks]
        if rest:
            ET.SubElement(case, "system-out").text = _xml("\n".join(map(_told, rest)))
        suites.setdefault(one.file, []).append(case)
    for file, line, why in bad:
        case = ET.Element("testcase", classname=_xml(file), name=_xml(f"line {line}"))
        ET.SubElement(case, "error", type="unreadable", message=_xml(why))
        suites.setdefault(file, []).append(case)
    for file, cases in suites.items():
        counts = {kind: sum(case.find(tag) is not None for case in cases) for kind, tag in _COUNTED.items()}
        suite = ET.SubElement(root, "testsuite", name=_xml(file), tests=str(len(cases)))
        suite.attrib.update({kind: str(n) for kind, n in counts.items()})
        suite.extend(cases)
    ET.indent(root)
    body: bytes = ET.tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + body + b"\n"


_COUNTED = {"failures": "failure", "errors": "error"}


def as_sarif(
    checked: Sequence[Checked],
    rules: Mapping[str, str],
    *,
    version: str,
    strict: bool = False,
    bad: Iterable[tuple[str, int, str]] = (),
) -> bytes:
    """Return a SARIF log: a result for each finding, `error` for leaks and `warning` for suspects.

    A place in a conversation is told as a logical location, the line of the file as the physical one.

    Args:
        checked: All traces.
        rules: Detector id -> what a finding of it says.
        version: Of this tool.
        strict: Suspects are errors too.
        bad: File, line and reason of what could not be read: notifications.
    """
    results = [
        {
            "ruleId": finding.detector,
            "level": "error" if strict or finding.grade == "leak" else "warning",
            "message": {"text": f"{finding.kind}: {finding.text!r} ({finding.why})"},
            "locations": [
                {
                    "physicalLocation": _physical(one.file, one.line),
                    "logicalLocations": [{"fullyQualifiedName": _place(finding), "kind": "member"}],
                }
            ],
        }
        for one in checked
        for finding in one.findings
    ]
    driver = {
        "name": "opoi leaks",
        "version": version,
        "rules": [{"id": name, "shortDescription": {"text": doc}} for name, doc in rules.items()],
    }
    unread = [
        {
            "level": "error",
            "message": {"text": why},
            "locations": [{"physicalLocation": _physical(file, line)}],
        }
        for file, line, why in bad
    ]
    invocation = {"executionSuccessful": not unread, "toolExecutionNotifications": unread}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": results,
    }
    log = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(log), indent=1)


def _physical(file: str, line: int) -> dict[str, object]:
    """Return the place of a record; only in files of lines does its number stand for one."""
    place: dict[str, object] = {"artifactLocation": {"uri": quote(file.replace("\\", "/"))}}
    return {**place, "region": {"startLine": max(1, line)}} if file.endswith(".jsonl") else place


def _place(finding: Finding) -> str:
    message = ".".join(map(str, finding.message))
    return "/".join(
        part for part in (finding.trace, f"message {message}" if message else "", finding.field) if part
    )


def _told(finding: Finding) -> str:
    kind = f"{finding.grade} {finding.detector}/{finding.kind}"
    return f"{kind} at {_place(finding)}: {finding.text!r} {finding.why}"


def _xml(text: str) -> str:
    """Return a text with what XML cannot hold replaced."""
    return _NOT_IN_XML.sub("\ufffd", text)
