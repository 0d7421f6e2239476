"""What a model or a server wrote steers no terminal and becomes no part of a page."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from rich.console import Console

from opoi.cleaning.pieces import Change, Piece
from opoi.cleaning.rulefile import Examples, Match, RuleSpec
from opoi.errors import EndpointError, OpoiError, UnknownNameError, visible
from opoi.lab.sets import readings_table
from opoi.lab.suggest import Suggestion, as_toml
from opoi.measures.results import ArmResult, Definition, Results
from opoi.models.endpoint.capabilities import Capabilities
from opoi.models.endpoint.faults import Where
from opoi.models.meter import Spent
from opoi.models.tape.entries import Request, request_key
from opoi.models.tape.miss import explain
from opoi.progress import Bars, Lines
from opoi.report import Sample, print_report, render
from opoi.report.capabilities import capability_table, tier_table
from opoi.report.costs import cost_table
from opoi.report.diff_page import Shown, render_diffs
from opoi.report.findings import Checked, as_json, as_junit, as_sarif
from opoi.report.tables import Cell, Table
from opoi.report.terminal import print_table
from opoi.report.word_diff import explained
from opoi.store import encode, read
from opoi.types import (
    Claim,
    Cleaned,
    Decision,
    Edit,
    Fact,
    Finding,
    Hidden,
    Injection,
    Measure,
    Message,
    Reading,
    Scenario,
    Tier,
    ToolCall,
    Trace,
    Truth,
    Verdict,
)

Command = Callable[..., tuple[int, str]]

STEERING = (
    "\x1b[41;5m",  # colours
    "\x1b[3J\x1b[7;7H",  # clears, and moves the cursor
    "\x1b]0;owned\x07",  # title of the window
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",  # link
    "\x1bP1;1|pwn\x1b\\",  # a string for the device
    "\x9b41m\x9d0;owned\x9c",  # the same in C1
    "\x08\x08\x0b\x0c\x7f\x00",
    "\rerror: none\r",
    "\u202eesrever\u202c\u2066\u2069\u200f\u061c",  # the order of signs
)
MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</style></script></title></pre></textarea>-->",
    "<a href='javascript:alert(1)'>x</a>",
    '\'" onmouseover="alert(1)',
    "<!-- ]]> &amp; &#x3c;",
    "{{7*7}}{% raw %}{# #}",
    "[red]x[/red][/][link=http://evil.example]y[/link]",
    "[/nothing]\\[",
)
HOSTILE = " ".join((*STEERING, *MARKUP))
ONE_LINE = HOSTILE.replace("\x0b", "").replace("\x0c", "").replace("\r", "")

TEXTS = st.lists(
    st.sampled_from((*STEERING, *MARKUP))
    | st.text(max_size=4)
    | st.sampled_from(["\n", "\t", "as advised "]),
    max_size=6,
).map("".join)
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Signs that a terminal obeys, or that change the order of others; tabs and line breaks do neither."""


def safe(text: str) -> bool:
    return UNSAFE.search(text) is None


def flat(text: str) -> str:
    """Return a text without blanks: tables fold lines where they have to."""
    return re.sub(r"\s+", "", text)


def printed(show: Callable[[Console], None], width: int = 500) -> str:
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False))
    return out.getvalue()


def test_the_samples_of_these_tests_do_what_they_are_for() -> None:
    assert not any(safe(text) for text in STEERING)
    assert all(safe(text) and safe(visible(HOSTILE)) for text in MARKUP)
    for text in MARKUP[:2]:
        assert structure(f"<p title='{text}'>{text}</p>") != structure("<p title='x'>x</p>"), text


# ---------------------------------------------------------------- pages


class Reader(HTMLParser):
    """Tags with the names of their attributes, what leads elsewhere, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[tuple[str, tuple[str, ...]]] = set()
        self.counts: Counter[str] = Counter()
        self.leads: set[str | None] = set()
        self.policies: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add((tag, tuple(sorted(given))))
        self.counts[tag] += tag in ("script", "style", "meta", "title", "main", "body", "h1", "svg")
        self.leads |= {given[name] for name in ("href", "src", "action", "style") if name in given}
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(given.get("content") or "")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read_page(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def structure(page: str) -> tuple[object, ...]:
    """Return what a page is made of, apart from its texts."""
    reader = read_page(page)
    return reader.tags, +reader.counts, reader.leads


def check_page(page: str, harmless: str, text: str) -> None:
    """Hold a page with a hostile text to one with a harmless one, and to its policy."""
    reader = read_page(page)
    assert structure(page) == structure(harmless)
    assert safe(page)
    assert flat(visible(text)) in flat(reader.text)  # escaped, not dropped
    (policy,) = reader.policies
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("; base-uri 'none'; form-action 'none'")
    hashes = []
    for tag in ("style", "script"):
        for body in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
            hashes.append(f"{tag}-src 'sha256-{digest}'")
    assert [part for part in policy.split("; ") if "sha256" in part] == hashes


def check_foreign(page: str, text: str, *, scripts: int) -> None:
    """Look into a page of texts that are not known one by one."""
    reader = read_page(page)
    assert reader.counts["script"] == scripts
    assert not {tag for tag, _ in reader.tags} & {
        "img",
        "iframe",
        "form",
        "link",
        "base",
        "object",
        "textarea",
    }
    names = {name for _, names in reader.tags for name in names}
    assert not [name for name in names if name.startswith("on") or name in ("src", "style", "action")]
    assert reader.leads <= {"#definitions"}
    check_page(page, page, text)


def trace_with(text: str, *, before: str = "") -> Trace:
    """Return a trace that holds a text wherever a model, a tool or a suite can put one."""
    call = ToolCall(id=text, name=text, arguments=text)
    inner = (Message(role="assistant", author="student", content=text, tool_calls=(call,)),)
    return Trace(
        id=text,
        scenario_id=text,
        arm=text,
        run=0,
        as_of=text,
        model=text,
        prompt=(Message(role="system", author="suite", content=text),),
        messages=(
            Message(role="assistant", author="student", content=text, tool_calls=(call,), loss_weight=1),
            Message(role="tool", author="env", tool_call_id=text, content=text, sub=inner, error=True),
            Message(role="assistant", author="student", content=f"{before}{text}", loss_weight=1),
        ),
        injections=(Injection(text=text),),
        decision=Decision(action=text, entity=text, reasoning=text, problems=(text,)),
        failure=text,
        drop=text,
    )


def cleaned_with(text: str) -> Cleaned:
    edit = Edit(rule=text, message=(2,), region=text, text=text, removed=text)
    return Cleaned(
        trace=trace_with(text), level="C2", edits=(edit,), dropped_by=text, dropped_for=text, dropped_at=text
    )


def changes_with(text: str) -> tuple[Change, ...]:
    kept, cut, put = Piece("kept", text), Piece("cut", text, text), Piece("put", text, text)
    return (Change(2, text, [kept, cut, put, kept]),)


def sample_with(text: str) -> Sample:
    truth = Truth(
        expected={},
        realised={},
        observable_actions=(text,),
        hindsight_actions=(text,),
        hidden=(Hidden(fact=Fact(text, text, text, 1.5, text), channel="hidden"),),
    )
    scenario = Scenario(
        id=text, suite=text, seed=0, kind=text, as_of=text, task=text, entity=text, truth=truth
    )
    verdict = Verdict(
        expert=text,
        kind="correct",
        action=text,
        phrase=text,
        feedback=text,
        outcome=text,
        claims=(Claim(text=text, origin="hindsight"),),
    )
    return Sample(text, scenario, verdict, trace_with(text, before="As advised, "), cleaned_with(text))


def results_with(text: str) -> Results:
    measure = Measure(value=0.5, low=0.4, high=0.6, n=9, note=f"n {text}")
    names = ("accuracy_expert", "yield", "own")
    return Results(
        schema="opoi.measures/1",
        suite=text,
        scenarios=9,
        common=9,
        resamples=100,
        seed=1,
        arms=tuple(
            ArmResult(
                name=f"{name}{text}",
                kind="data",
                attempted=9,
                kept=8,
                drops={f"d{text}": 1},
                measures=dict.fromkeys(names, measure),
            )
            for name in "ab"
        ),
        definitions={name: Definition(title=f"t{text}", unit="share", doc=f"d{text}") for name in names},
    )


@settings(max_examples=25, deadline=None)
@given(TEXTS)
@example(HOSTILE)
@example("&lt;script&gt;")
def test_no_text_becomes_a_part_of_the_report(text: str) -> None:
    def page(text: str) -> str:
        return render(
            results_with(text),
            settings={"model_name": text, f"k{text}": [text]},
            samples=[sample_with(text)],
            simulated=False,
        )

    check_page(page(f"x{text}"), page("x"), f"x{text}")


@settings(max_examples=25, deadline=None)
@given(TEXTS)
@example(HOSTILE)
def test_no_text_becomes_a_part_of_the_page_of_changes(text: str) -> None:
    def page(text: str) -> str:
        shown = [Shown(text, cleaned_with(text), changes_with(text))]
        return render_diffs(shown, title=text, tables=[], left_out=1)

    check_page(page(f"x{text}"), page("x"), f"x{text}")


# ---------------------------------------------------------------- terminals


def table_with(text: str) -> Table:
    return Table(text, (text, text), ((Cell(text, text, (1,)), Cell(text)),), (text,))


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.sampled_from([20, 80, 500]))
@example(HOSTILE, 80)
def test_no_table_steers_the_terminal(text: str, width: int) -> None:
    found = Capabilities(
        model=text, models=(text, text), models_count=9, listing="ok", tools_named_finish=text
    )
    reading = Reading(detector=text, name=text, value=0.5, note=text, details=(text,))
    tables = [
        table_with(text),
        capability_table(found),
        tier_table(found, {text: Tier.T2}, {text: Tier.T0}),
        cost_table({text: {text: Spent(calls=1)}}, {}),
        readings_table([reading]),
    ]
    for table in tables:
        shown = printed(lambda console, table=table: print_table(table, console), width)
        assert safe(shown)
    assert flat(visible(text)) in flat(printed(lambda console: print_table(tables[0], console)))
    results = results_with(text)
    assert safe(printed(lambda console: print_report(results, console, simulated=True), width))


@settings(max_examples=60)
@given(TEXTS, st.booleans())
@example(HOSTILE, True)
def test_no_word_diff_steers_the_terminal(text: str, colour: bool) -> None:
    lines = explained(text, cleaned_with(text), changes_with(text), colour=colour)

    def show(console: Console) -> None:
        for line in lines:
            console.print(line, soft_wrap=True)

    shown = printed(show)
    assert safe(shown)
    assert flat(visible(text[:60])) in flat(shown)


@settings(max_examples=100)
@given(TEXTS)
@example(HOSTILE)
def test_no_error_steers_the_terminal(text: str) -> None:
    where = Where("http://127.0.0.1:1/v1", text, secret="")
    faults = [
        where.status(code, text.encode("utf-8", "replace"), text) for code in (302, 400, 401, 404, 429, 500)
    ]
    faults += [where.broken(text), where.torn(text), where.garbage(text, text.encode("utf-8", "replace"))]
    errors: list[OpoiError] = [
        *faults,
        EndpointError(text, why=text, fix=text),
        UnknownNameError(text, text, [text, f"{text}x"], hint=text),
    ]
    for error in errors:
        assert safe(str(error)), type(error)
    assert flat(visible(text)) in flat(str(errors[-2]))


@settings(max_examples=60)
@given(TEXTS, TEXTS)
@example(HOSTILE, "x")
@example("x", HOSTILE)
def test_no_diff_of_a_replay_steers_the_terminal(old: str, new: str) -> None:
    def request(text: str) -> Request:
        text = text.encode("utf-8", "replace").decode()
        message = {"role": text, "content": text, text: text}
        body = msgspec.json.encode({"model": text, "messages": [message, message], text: [text]})
        key = request_key("u", "POST", "p", "l", body)
        return Request(key=key, url=text, method="POST", path=text, label=text, request=Raw(body))

    miss = explain(request(new), [(2, request(old))], Path("tape"))
    assert safe(str(miss))
    assert all(safe(line) and "\n" not in line for line in miss.diff)


@settings(max_examples=60)
@given(TEXTS)
@example(HOSTILE)
def test_no_line_of_progress_steers_the_terminal(text: str) -> None:
    out = io.StringIO()
    lines = Lines(out, every=0)
    lines.say(text)
    watch = lines.start(f"probe {text}", 2)
    watch.advance((text,))
    watch.close()
    assert safe(out.getvalue())
    assert out.getvalue().startswith(visible(text))
    assert len(out.getvalue().splitlines()) <= 2 + len((visible(text) + "x").splitlines())


@pytest.mark.parametrize("text", [*STEERING, *MARKUP, HOSTILE])
def test_no_bar_of_progress_steers_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    bars.say(text)
    watch = bars.start(text, 1)
    watch.advance((text,))
    watch.close()
    shown = capsys.readouterr().err
    assert safe(shown)
    assert flat(visible(text)) in flat(shown)  # markup is shown, not obeyed


# ---------------------------------------------------------------- files for machines


@settings(max_examples=60)
@given(TEXTS)
@example(HOSTILE)
@example("\x00\ufffe\ud800")
def test_reports_for_machines_are_well_formed_and_hold_the_text(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    find = Finding(detector=text, kind=text, trace=text, message=(1,), field=text, text=text, why=text)
    checked = [Checked(f"f{text}", 1, text, (find,))]
    bad = [(f"f{text}", 2, text)]
    root = ET.fromstring(as_junit(checked, strict=True, bad=bad))
    assert [element.tag for element in root.iter()] == [
        "testsuites",
        "testsuite",
        *["testcase", "failure"],
        "testcase",
        "error",
    ]
    log = json.loads(as_sarif(checked, {text: text}, version="1", bad=bad))
    assert log["runs"][0]["results"][0]["ruleId"] == text
    assert re.fullmatch(
        r"[A-Za-z0-9%/_.~-]*",
        log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
    )
    assert json.loads(as_json(checked, [], {text: text}))["traces"][0]["findings"][0]["why"] == text


@settings(max_examples=60)
@given(TEXTS)
@example(HOSTILE)
def test_a_suggested_rule_is_toml_that_can_be_looked_at_in_a_terminal(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    rule = RuleSpec(
        id="one",
        why=text or "x",
        match=Match(literals=(text or "x",)),
        do="delete span",
        examples=Examples(match=(text,)),
    )
    numbers = dict.fromkeys(("traces", "of_traces", "sentences", "of_sentences"), 1)
    zeros = dict.fromkeys(("base_traces", "of_base_traces", "base_sentences", "of_base_sentences"), 0)
    file = as_toml([Suggestion(rule=rule, origins=(), examples=(text,), p=None, **numbers, **zeros)])
    assert safe(file)
    (read_back,) = tomllib.loads(file)["rule"]
    assert read_back["why"] == (text or "x")
    assert read_back["examples"]["match"] == [text]


# ---------------------------------------------------------------- the command, as a terminal shows it


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have click leave in what it would take out of the output of a pipe."""
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)


class Asked(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # else each answer waits for 40 ms
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        status, answer = self.server.answer(self.path, body)
        raw = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST  # noqa: N815 - the contract of http.server


Answer = Callable[[str, dict[str, Any]], tuple[int, object]]


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # else connections wait for a second
    daemon_threads = True


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Asked)
    server.answer = answer
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hostile(
    path: str, body: dict[str, Any], *, names: Sequence[str] = (f"m {HOSTILE}",)
) -> tuple[int, object]:
    """Answer as an agent of the echo suite that writes hostile text wherever there is room."""
    if path.endswith("/models"):
        return 200, {"data": [{"id": name} for name in names]}
    if not path.endswith("/chat/completions"):
        return 404, {"error": {"message": HOSTILE, "type": HOSTILE, "code": HOSTILE}}
    messages = body.get("messages", [])
    gauge = (re.findall(r"\bg\d{5}\b", json.dumps(messages)) or ["g00000"])[0]
    if body.get("tools") and not any(message["role"] == "tool" for message in messages):
        calls = [("read_gauge", json.dumps({"gauge": gauge})), ("read_gauge", json.dumps({"gauge": HOSTILE}))]
        calls.append((HOSTILE, HOSTILE))
        message: dict[str, Any] = {
            "content": HOSTILE,
            "tool_calls": [
                {
                    "id": f"{n}{HOSTILE}",
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }
                for n, (name, arguments) in enumerate(calls)
            ],
        }
    else:
        reasoning = f"As the reviewer noted, {HOSTILE} the case is clear. The gauge {HOSTILE} shows 20 bar."
        message = {"content": json.dumps({"action": "open", "entity": gauge, "reasoning": reasoning})}
    return 200, {
        "choices": [{"message": message, "finish_reason": HOSTILE}],
        "usage": {"completion_tokens": 3},
    }


def in_toml(text: str) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")


SMALL = ("--suite", "echo", "--n", 2, "--runs", 1, "--resamples", 100, "--turns", 3, "--retries", 0)


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """Make a run whose model writes hostile texts; yields its folder, its tape's folder and what was said."""
    folder = tmp_path_factory.mktemp("hostile")
    with serving(hostile) as url:
        words = [
            "run",
            *map(str, SMALL),
            "--model",
            url,
            "--record",
            str(folder / "tape"),
            "--out",
            str(folder / "r"),
        ]
        yield folder, url, in_a_terminal(words)


def in_a_terminal(words: Sequence[str]) -> str:
    """Return what the command shows in a terminal, its bars included; it has to succeed."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from opoi.cli import main; main()", *words]
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "160"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not more:
                break
            shown += more
    os.close(ours)
    text = shown.decode()
    assert process.returncode == 0, text
    return text


def test_a_run_in_a_terminal_shows_its_own_colours_and_nothing_of_the_models(
    hostile_run: tuple[Path, str, str],
) -> None:
    shown = hostile_run[2]
    assert "\x1b[" in shown  # bars, heads of tables
    for text in STEERING:
        assert text not in shown
    ours = re.sub(r"\x1b\[(?:\?25[lh]|2K|1A|[0-9;]*m|\d*[ABJ])|\r(?=\n|\x1b|$)|\r", "", shown)
    assert safe(ours), UNSAFE.findall(ours)
    assert "probe m \u241b[41;5m" in shown  # the name of the model, made visible


@pytest.mark.usefixtures("terminal")
def test_commands_on_a_hostile_run_steer_no_terminal(
    hostile_run: tuple[Path, str, str], tmp_path: Path, opoi: Command
) -> None:
    run = hostile_run[0] / "r"
    traces = run / "traces/opoi.jsonl"
    made = next(read(traces, Trace))
    assert "\x1b]0;owned" in made.messages[-1].content + made.messages[0].content
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(
        encode({"id": HOSTILE, HOSTILE: 1}) + b"\n" + f"{HOSTILE}\n".encode() + traces.read_bytes()
    )
    rules = tmp_path / "rules.toml"
    rules.write_text(
        'version = 1\nname = "mine"\n[[rule]]\nid = "clear"\nwhy = "said"\ndo = "delete span"\n'
        'match = { literals = ["the case is clear"] }\n'
        "[rule.examples]\n"
        f"match = [{in_toml(f'{ONE_LINE} the case is clear')}]\n"
        f"pass = [{in_toml(ONE_LINE)}]\n"
    )
    files = [word for kind in ("json", "junit", "sarif") for word in (f"--{kind}", tmp_path / kind)]
    for expected, *words in (
        (0, "report", run),
        (0, "costs", run),
        (0, "costs", run, "--json"),
        (0, "list"),
        (1, "leaks", traces, "--run", run, "--limit", 0, *files),
        (1, "leaks", broken, "--format", "opoi", "--suite", "echo", "--limit", 0),
        (0, "clean", traces, "--explain", "--html", tmp_path / "page.html"),
        (0, "clean", broken, "--format", "opoi", "--explain", "--suite", "echo"),
        (0, "clean", traces, "--compare", "residue", rules),
        (0, "rules", "test", "-v", rules),
        (0, "rules", "show"),
        (0, "rules", "suggest", traces, "--base", run / "rollouts.jsonl", "--suite", "echo"),
        (0, "run", "--resume", "--out", run),
    ):
        code, said = opoi(*words)
        assert code == expected, said
        assert safe(said), (words, UNSAFE.findall(said))
    page = (tmp_path / "page.html").read_text()
    check_foreign(page, "[red]x[/red]", scripts=1)
    ET.fromstring((tmp_path / "junit").read_bytes())
    json.loads((tmp_path / "sarif").read_text())


def test_the_report_of_a_hostile_run_holds_its_texts_as_texts(hostile_run: tuple[Path, str, str]) -> None:
    run = hostile_run[0] / "r"
    check_foreign((run / "report.html").read_text(), HOSTILE, scripts=0)
    assert safe((run / "report.txt").read_text())


@pytest.mark.usefixtures("terminal")
def test_a_probe_of_a_hostile_server_steers_no_terminal(opoi: Command) -> None:
    with serving(lambda path, body: hostile(path, body, names=(HOSTILE, f"b {HOSTILE}"))) as url:
        code, said = opoi("probe", url)
        assert code == 2
        assert "it offers" in said
        assert safe(said)
        for words in ((), ("--json",)):
            code, said = opoi("probe", url, "--model-name", "m", "--retries", 0, *words)
            assert code == 0, said
            assert safe(said)
            assert "41;5m" in said
    assert json.loads(said)["models"] == [
        HOSTILE,
        f"b {HOSTILE}",
    ]  # as the server told, escaped for show only


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500])
@pytest.mark.usefixtures("terminal")
def test_an_error_of_a_hostile_server_steers_no_terminal(status: int, tmp_path: Path, opoi: Command) -> None:
    with serving(lambda *_: (status, {"error": {"message": HOSTILE}})) as url:
        for words in ((), ("--debug",)):
            code, said = opoi(
                "run", *SMALL, "--model", url, "--model-name", HOSTILE, "--out", tmp_path / "r", *words
            )
            assert code == 1
            assert safe(said)
            assert "alert(1)" in said


@pytest.mark.usefixtures("terminal")
def test_a_miss_of_a_replay_steers_no_terminal(
    hostile_run: tuple[Path, str, str], tmp_path: Path, opoi: Command
) -> None:
    folder, url, _ = hostile_run
    words = (
        "run",
        *SMALL,
        "--model",
        url,
        "--replay",
        folder / "tape",
        "--out",
        tmp_path / "r",
        "--max-tokens",
        7,
    )
    code, said = opoi(*words)
    assert code == 1
    assert "is not on the tape" in said
    assert safe(said)


@pytest.mark.usefixtures("terminal")
def test_names_of_a_hostile_suite_and_its_crashes_steer_no_terminal(tmp_path: Path, opoi: Command) -> None:
    (tmp_path / "odd.py").write_text(
        "import msgspec\n"
        "from opoi_envs.echo import Echo\n\n"
        f"HOSTILE = {HOSTILE!r}\n\n\n"
        "class Odd(Echo):\n"
        "    def scenarios(self, count, seed):\n"
        "        for one in super().scenarios(count, seed):\n"
        "            yield msgspec.structs.replace(one, id=one.id + HOSTILE, kind=HOSTILE)\n\n\n"
        "def crash(case, cast):\n"
        "    raise RuntimeError(case.scenario.id)\n\n\n"
        "def empty(case, cast):\n"
        "    return []\n\n\n"
        "suite = Odd()\n"
    )
    file, run = tmp_path / "odd.py", tmp_path / "r"
    words = ("run", "--suite", f"{file}:suite", "--n", 2, "--runs", 1, "--resamples", 100)
    steps = [
        (0, (*words, "--out", run)),
        (1, (*words, "--strategies", f"{file}:crash", "--debug", "--out", tmp_path / "s")),
        (1, (*words, "--strategies", f"{file}:empty", "--out", tmp_path / "t")),
        (None, ("leaks", run, "--limit", 0)),
        (0, ("clean", run / "traces/opoi.jsonl", "--explain", "--html", tmp_path / "page.html")),
    ]
    for expected, step in steps:
        code, said = opoi(*step)
        assert code == expected or expected is None, said
        assert safe(said), (step, UNSAFE.findall(said))
    check_foreign((run / "report.html").read_text(), HOSTILE, scripts=0)
    check_foreign((tmp_path / "page.html").read_text(), "", scripts=1)
