"""The report: complete, escaped, self-contained, the same bytes every time."""

import base64
import hashlib
import io
import re
import time
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from opoi.measures.results import ArmResult, Definition, Results
from opoi.report import Sample, print_report, render, report_tables
from opoi.report.html import SIMULATED
from opoi.report.svg import Dot, interval_plot
from opoi.report.tables import figure, visible
from opoi.report.trace_view import spans
from opoi.types import (
    Claim,
    Cleaned,
    Decision,
    Edit,
    Fact,
    Hidden,
    Injection,
    Measure,
    Message,
    Scenario,
    ToolCall,
    Trace,
    Truth,
    Verdict,
)

EVIL = "<script>alert(1)</script> [bold]x[/bold] \x1b[31mred\x1b[0m \u202eover {{ 7*7 }} &amp; \"'"
UNITS = {
    "accuracy_expert": "share",
    "accuracy_observable": "share",
    "consensus": "share",
    "regret_observable": "utility",
    "yield": "share",
    "hindsight_claims": "share",
    "js_excess": "bits",
    "tool_calls": "count",
    "length_ratio": "x",
    "own_figure": "count",
}


def results(names=("base", "opoi")):
    definitions = {
        name: Definition(title=name.replace("_", " "), unit=unit, doc="A line.", formula=f"{name} / all")
        for name, unit in UNITS.items()
    }
    figures = dict.fromkeys(UNITS, Measure(value=0.719, low=0.661, high=0.772, n=60))
    missing = figures | {
        "js_excess": Measure(value=None, note="no text"),
        "yield": Measure(value=None, note="no text"),
    }
    unseen = figures | {"hindsight_claims": Measure(value=None, note="needs T2")}
    arms = [
        ArmResult(
            name=name,
            kind="data",
            attempted=9,
            kept=7,
            drops={"noncompliant": 1, f"odd {index}": 1},
            measures=unseen,
        )
        for index, name in enumerate(names)
    ]
    arms.append(ArmResult(name="null", kind="policy", attempted=9, kept=9, drops={}, measures=missing))
    return Results(
        schema="opoi.measures/3",
        suite="t",
        scenarios=60,
        common=58,
        resamples=10_000,
        seed=7,
        arms=tuple(arms),
        definitions=definitions,
    )


def sample(text="As advised, hold.", cleaned_text="Hold.", words="plain"):
    hidden = Hidden(fact=Fact("c1", "cpa", "", 47.13, words), channel="outcome")
    truth = Truth(
        expected={}, realised={}, observable_actions=("hold",), hindsight_actions=("hold",), hidden=(hidden,)
    )
    scenario = Scenario(
        id="s", suite="t", seed=0, kind=words, as_of="2025-03-14", task=words, entity="c1", truth=truth
    )
    inner = (Message(role="assistant", author="student", content=words),)
    call = ToolCall(id="call_0", name="look", arguments=words)

    def trace(answer):
        return Trace(
            id="s/opoi/0",
            scenario_id="s",
            arm="opoi",
            run=0,
            as_of="2025-03-14",
            prompt=(Message(role="system", author="suite", content=words),),
            messages=(
                Message(role="assistant", author="student", content=words, tool_calls=(call,), loss_weight=1),
                Message(role="tool", author="env", tool_call_id="call_0", content=words, sub=inner),
                Message(role="assistant", author="student", content=answer, loss_weight=1),
            ),
            injections=(Injection(text=words),),
            decision=Decision(action=words, reasoning=words, problems=(words,)),
            drop=words,
        )

    verdict = Verdict(
        expert=words,
        kind="correct",
        action="hold",
        phrase=words,
        feedback=words,
        outcome=words,
        claims=(Claim(text=words, origin="hindsight"),),
    )
    after = Cleaned(
        trace=trace(cleaned_text),
        level="C2",
        edits=(Edit(rule=words, message=(2,), text=words, removed=words),),
    )
    return Sample("opoi", scenario, verdict, trace(text), after)


def page(**more):
    options = {"settings": {"model": "stand-in"}, "samples": [sample()], "simulated": True} | more
    return render(results(), **options)


def printed(width, **more):
    out = io.StringIO()
    print_report(results(**more), Console(file=out, width=width), simulated=False)
    return out.getvalue()


class Reader(HTMLParser):
    """Collects tags, checks that they nest, and keeps attributes."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("measure", "unit", "text"),
    [
        (Measure(value=0.719, low=0.661, high=0.772), "share", ("71.9\u00a0%", "[66.1, 77.2]")),
        (Measure(value=0.0123, low=-0.0001, high=0.02), "bits", ("0.012", "[0.000, 0.020]")),
        (Measure(value=-0.001), "count", ("0.00", "")),
        (Measure(value=1.5), "x", ("1.50\u00a0x", "")),
        (Measure(value=None, note="no text"), "share", ("\u2013", "")),
    ],
)
def test_a_figure_is_printed_with_its_interval_and_unit(measure, unit, text):
    assert figure(measure, unit) == text


def test_every_figure_stands_in_a_table_and_every_missing_one_has_a_reason():
    tables = report_tables(results())
    heads = {head for table in tables for head in (*table.columns, *(row[0].text for row in table.rows))}
    assert {definition.title for definition in results().definitions.values()} <= heads
    for table in tables:
        for row in table.rows:
            assert len(row) == len(table.columns)
            for cell in row:
                assert cell.text != "\u2013" or cell.marks
                assert all(1 <= mark <= len(table.footnotes) for mark in cell.marks)


def test_drop_reasons_add_up_in_every_column():
    (table,) = [table for table in report_tables(results()) if table.title.startswith("Drop")]
    numbers = [[int(cell.text) for cell in row[1:]] for row in table.rows]
    for attempted, *parts in zip(*numbers, strict=True):
        assert attempted == sum(parts)


def test_how_intervals_are_made_is_said():
    assert "Wilson" in page()
    assert "Wilson" in printed(100)


def test_what_an_endpoint_cannot_give_is_said_in_the_cell_and_is_no_number():
    (table,) = [table for table in report_tables(results()) if table.title == "Data quality"]
    cells = [row[table.columns.index("hindsight claims")] for row in table.rows]
    assert {cell.full for cell in cells} == {"needs T2"}
    assert "needs T2" in printed(100)
    assert "needs T2" in page()


def test_every_percentage_has_its_definition_in_the_same_table():
    tables = report_tables(results())
    for table in tables:
        heads = [*table.columns[1:], *(row[0].text for row in table.rows)]
        figures = [head for head in heads if head.replace(" ", "_") in UNITS]
        if table.title == "Confidence":
            figures = list(table.columns[1:])
        assert [name for name, _ in table.legend] == figures
    for text in (re.sub(r"\s+", "", printed(100)), re.sub(r"\s+", "", page())):
        assert all(f"{name}/all" in text for name in UNITS)


# ---------------------------------------------------------------- terminal


@pytest.mark.parametrize("width", [20, 40, 80, 100, 120, 200])
def test_no_figure_is_lost_at_any_width(width):
    text = printed(width)
    flat = re.sub(r"\s+", "", text)
    assert all(len(line) <= width for line in text.splitlines())
    assert "\u2026" not in text
    for table in report_tables(results()):
        for row in table.rows:
            for cell in row:
                for part in (cell.text, cell.interval):
                    assert re.sub(r"\s+", "", part) in flat
        for note in table.footnotes:
            assert re.sub(r"\s+", "", note) in flat


@pytest.mark.parametrize("width", range(40, 140, 7))
def test_no_figure_is_broken_over_lines(width):
    text = printed(width)
    for table in report_tables(results()):
        for row in table.rows:
            for cell in row[1:]:
                assert cell.text in text
                assert cell.interval in text


@pytest.mark.parametrize("width", [30, 120])
def test_names_cannot_steer_the_terminal(width):
    text = printed(width, names=(EVIL,))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]x[/bold]" in re.sub(r"\n\s*", "", text) or "[bold]" in text


@given(st.text(alphabet=st.characters(), max_size=60))
def test_visible_text_has_no_control_characters_and_can_be_encoded(text):
    shown = visible(text)
    shown.encode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert visible(shown) == shown


# ---------------------------------------------------------------- HTML


def test_the_page_is_well_formed_and_the_same_every_time():
    assert page() == page()
    assert "svg" in read(page()).tags


def test_the_page_asks_for_nothing_and_runs_nothing():
    reader = read(page())
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & {*reader.tags}
    names = {name for _, name, _ in reader.attributes}
    assert not names & {"src", "srcset", "style", "background", "action", "poster", "data"}
    assert not [name for name in names if name.startswith("on")]
    assert {value for _, name, value in reader.attributes if name == "href"} <= {"#definitions"}
    assert "http://" not in page()
    assert "https://" not in page()
    assert "url(" not in page()
    assert "@import" not in page()


def test_the_policy_allows_the_pages_own_style_by_hash_and_nothing_else():
    html = page()
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    policy = next(
        v for tag, name, v in read(html).attributes if tag == "meta" and name == "content" and "src" in v
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_everything_that_a_model_wrote_is_escaped():
    evil = render(
        results(names=(EVIL,)),
        settings={EVIL: EVIL, "list": [EVIL]},
        samples=[sample(EVIL, f"{EVIL} more", EVIL)],
        simulated=False,
    )
    reader = read(evil)
    assert "script" not in reader.tags
    assert "\x1b" not in evil
    assert "\u202e" not in evil
    assert "&lt;script&gt;" in evil
    assert "49" not in re.findall(r"over (.{1,12})", evil)[0]
    assert {*reader.tags} == {*read(page()).tags} | {"ins"}


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_can_change_the_structure_of_the_page(before, after):
    plain = read(render(results(), settings={}, samples=[sample("a b", "a b", "w")], simulated=True)).tags
    found = read(render(results(), settings={}, samples=[sample(before, after, "w")], simulated=True)).tags
    drop = {"del", "ins", "pre"}
    assert [tag for tag in found if tag not in drop] == [tag for tag in plain if tag not in drop]


def test_the_page_says_when_the_model_was_simulated_and_only_then():
    assert SIMULATED in page(simulated=True)
    assert SIMULATED not in page(simulated=False)


def test_settings_definitions_and_drop_reasons_stand_on_the_page():
    html = page(settings={"model": "stand-in", "runs": 3, "strategies": ["opoi", "opcd"]})
    for text in ("stand-in", "<dd>3</dd>", "opcd", "own figure", "A line.", "noncompliant", "odd 1"):
        assert text in html


def test_neither_the_order_of_definitions_in_the_file_nor_a_second_seed_shows():
    found = results()
    turned = Results(
        **{f: getattr(found, f) for f in found.__struct_fields__}
        | {"definitions": dict(reversed(found.definitions.items()))}
    )
    pages = [render(one, settings={"seed": 7}, samples=[], simulated=True) for one in (found, turned)]
    assert pages[0] == pages[1]
    assert pages[0].count("<dt>seed</dt>") == 1


def test_a_sample_shows_what_cleaning_struck():
    html = page()
    assert "<del>As advised, hold</del><ins>Hold</ins>." in html
    assert "injected note" in html


def test_a_message_that_cleaning_took_out_is_shown_as_removed():
    one = sample()
    note = Message(role="user", author="oracle", content="whispered")
    before = Trace(
        **{f: getattr(one.before, f) for f in one.before.__struct_fields__}
        | {"messages": (note, *one.before.messages)}
    )
    html = page(samples=[Sample(one.arm, one.scenario, None, before, one.after)])
    assert "removed by cleaning" in html
    assert "whispered" in html


@given(st.text(max_size=60), st.text(max_size=60))
def test_spans_give_back_both_texts(before, after):
    found = spans(before, after)
    assert "".join(span.text for span in found if span.kind != "ins") == before
    assert "".join(span.text for span in found if span.kind != "del") == after


# ---------------------------------------------------------------- plots


def test_a_plot_puts_dots_and_whiskers_where_the_figures_are():
    dots = [Dot("a", 0.5, 0.25, 1.0, "50 %"), Dot("b<i>", None, None, None, "\u2013", faint=True)]
    root = ET.fromstring(str(interval_plot("p&q", dots)))
    circle, whisker = root.find(".//circle"), root.find(".//line[@class='whisker']")
    ticks = [line for line in root.findall("line") if line.get("class") == "grid"]
    left, _, middle, _, right = (float(line.get("x1")) for line in ticks)
    assert float(circle.get("cx")) == pytest.approx(middle)
    assert float(whisker.get("x2")) == pytest.approx(right)
    assert float(whisker.get("x1")) == pytest.approx((left + middle) / 2)
    assert len(root.findall(".//circle")) == 1
    assert root.get("aria-label") == "p&q"


@pytest.mark.parametrize("words", [2_000, 100_000])
def test_a_text_without_end_is_compared_and_shown_in_time(words):
    looped = "the level holds and falls " * words
    begun = time.process_time()
    html = page(samples=[sample(f"As advised, hold. {looped}", looped.replace("falls", "rises", 3))])
    assert time.process_time() - begun < 6
    assert len(html) < 400_000
    assert "more characters]" in html
