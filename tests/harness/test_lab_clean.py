"""`opoi clean` on files: every format in, the same format out, everything accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from opoi.cleaning.levels import cleaner
from opoi.protocols import Suite
from opoi.registry import load_suite
from opoi.store import read
from opoi.types import Cleaned, Trace

PLANTED = "Per the note, we open it. "


@pytest.fixture
def run(leaky_run: Path) -> Path:
    return leaky_run


Call = Callable[..., tuple[int, str]]


def test_a_file_of_our_traces_comes_out_as_the_stage_would_clean_it(
    run: Path, tmp_path: Path, opoi: Call
) -> None:
    out = tmp_path / "out.jsonl"
    code, said = opoi("clean", run / "traces/opoi.jsonl", "--out", out, "-q")
    assert code == 0, said
    stage = [cleaned for cleaned in read(run / "cleaned/opoi.jsonl", Cleaned) if cleaned.kept]
    assert list(read(out, Trace)) == [cleaned.trace for cleaned in stage]
    dropped = [json.loads(line) for line in (tmp_path / "out.dropped.jsonl").read_text().splitlines()]
    attempted = len(list(read(run / "traces/opoi.jsonl", Trace)))
    assert len(stage) + len(dropped) == attempted
    assert all(one["reason"] and json.loads(one["record"])["id"] for one in dropped)


def sharegpt(line: dict[str, object]) -> dict[str, object]:
    names = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    turns = [
        {"from": names[message["role"]], "value": message["content"]}
        for message in line["messages"]
        if message["content"]
    ]
    return {"id": "x", "conversations": turns}


def planted(run: Path, form: str) -> list[dict[str, object]]:
    """Return exported lines with residue put into the reasoning of every second one."""
    lines = [json.loads(line) for line in (run / f"datasets/opoi.{form}.jsonl").read_text().splitlines()]
    for line in lines[::2]:
        last = line["messages"][-1]
        decision = json.loads(last["content"])
        decision["reasoning"] = PLANTED + decision["reasoning"]
        last["content"] = json.dumps(decision)
    return lines


@pytest.mark.parametrize("form", ["openai", "trl", "sharegpt", "array"])
def test_foreign_files_keep_their_format_and_lose_their_residue(
    form: str, run: Path, tmp_path: Path, opoi: Call
) -> None:
    lines = planted(run, "trl" if form == "trl" else "openai")
    if form in ("sharegpt", "array"):
        lines = [sharegpt(line) for line in lines]
    source, out = tmp_path / "in.json", tmp_path / "out.json"
    if form == "array":
        source.write_text(json.dumps(lines))
    else:
        source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, said = opoi("clean", source, "--out", out, "-q", "--json", tmp_path / "counts.json")
    assert code == 0, said
    text = out.read_text()
    after = json.loads(text) if form == "array" else [json.loads(line) for line in text.splitlines()]
    wanted = json.loads(json.dumps(lines))
    for line in wanted[::2]:
        turns = line.get("messages") or line["conversations"]
        key = "content" if "content" in turns[-1] else "value"
        decision = json.loads(turns[-1][key])
        decision["reasoning"] = decision["reasoning"].removeprefix(PLANTED)
        turns[-1][key] = json.dumps(decision)
    for one in (*wanted, *after):
        turns = one.get("messages") or one["conversations"]
        key = "content" if "content" in turns[-1] else "value"
        turns[-1][key] = json.loads(turns[-1][key])
    assert after == wanted
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["by_rule"]["residue/per-note"]["traces"] == len(lines[::2])
    assert counts["kept"] == counts["traces"] == len(lines)
    assert 0 < counts["edit_fraction"] < 1


def test_bad_lines_are_told_counted_and_kept_aside(run: Path, tmp_path: Path, opoi: Call) -> None:
    good = (run / "datasets/opoi.openai.jsonl").read_bytes().splitlines()
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"\n".join([good[0], b'{"messages": [', good[1], b"\xff\xfe", good[2][:50]]))
    code, said = opoi("clean", source, "--out", out, "-q")
    assert code == 0, said
    for line in (2, 4, 5):
        assert f"in.jsonl:{line}:" in said
    bad = [json.loads(line) for line in (tmp_path / "out.bad.jsonl").read_text().splitlines()]
    assert [one["line"] for one in bad] == [2, 4, 5]
    assert out.read_bytes().splitlines() == good[:2]


def test_what_stands_is_not_overwritten_unasked(run: Path, tmp_path: Path, opoi: Call) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    code, said = opoi("clean", run / "traces/opoi.jsonl", "--out", out, "-q")
    assert code == 2
    assert "--force" in said
    assert out.read_text() == "mine"
    assert opoi("clean", run / "traces/opoi.jsonl", "--out", out, "-q", "--force")[0] == 0
    assert out.read_text() != "mine"


def test_a_run_folder_means_its_traces_and_a_folder_its_files(run: Path, tmp_path: Path, opoi: Call) -> None:
    code, said = opoi("clean", run, "--rules", "residue", "--out", tmp_path / "out", "-q")
    assert code == 0, said
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"opoi.jsonl", "opcd.jsonl"}
    code, said = opoi("clean", tmp_path / "out", "-q", "--explain")
    assert code == 0
    assert "edited text" in said
    empty = tmp_path / "empty"
    empty.mkdir()
    code, said = opoi("clean", empty, "-q")
    assert code == 2
    assert "there are no traces" in said


def test_explain_shows_a_word_diff_with_the_rule_on_every_span(run: Path, tmp_path: Path, opoi: Call) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in planted(run, "openai")))
    code, said = opoi("clean", source, "--explain", "--limit", "1", "-q")
    assert code == 0
    assert f"[-{PLANTED}-]<residue/per-note>" in said
    assert said.count("[-") == 1
    assert "--limit 0" in said
    page = tmp_path / "page.html"
    assert opoi("clean", source, "--html", page, "-q")[0] == 0
    text = page.read_text()
    assert text.count("<article") == len(planted(run, "openai")[::2])
    assert f'<del>{PLANTED}</del><span class="tag">residue/per-note</span>' in text
    assert "default-src 'none'" in text


def test_the_page_escapes_what_models_wrote(tmp_path: Path, opoi: Call) -> None:
    evil = "<script>alert(1)</script>\u202e\x1b[31m per the note we go."
    line = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": evil + " Yes."}]}
    source, page = tmp_path / "<b>.jsonl", tmp_path / "page.html"
    source.write_text(json.dumps(line))
    code, said = opoi("clean", source, "--html", page, "--explain", "-q")
    assert code == 0
    assert "\x1b" not in said
    text = page.read_text()
    assert "<script>alert" not in text
    assert "<b>.jsonl" not in text
    assert "\u202e" not in text


def test_two_rule_sets_are_compared_trace_by_trace(run: Path, tmp_path: Path, opoi: Call) -> None:
    source, other = tmp_path / "in.jsonl", tmp_path / "strict.toml"
    lines = planted(run, "openai")
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    other.write_text(
        'version = 1\n[[rule]]\nid = "a"\nwhy = "x"\nmatch.pattern = "per the note"\ndo = "reject trace"\n'
    )
    code, said = opoi("clean", source, "--compare", "residue", other, "-q")
    assert code == 0, said
    assert f"{len(lines[::2])} of {len(lines)} traces differ" in said
    assert "A residue  in.jsonl:1" in said
    assert "B strict  in.jsonl:1" in said
    assert "dropped: strict/a" in said
    assert "kept with a leak" in said


def test_watching_cleans_again_when_the_rules_are_saved(run: Path, tmp_path: Path) -> None:
    rules, source = tmp_path / "r.toml", run / "datasets/opoi.openai.jsonl"
    rules.write_text('version = 1\n[[rule]]\nid = "one"\nwhy = "x"\nmatch.pattern = "target"\n')
    command = ["clean", str(source), "--rules", str(rules), "--watch", "-q"]
    log = tmp_path / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-c", "from opoi.cli import main; main()", *command], stdout=file, stderr=file
        ) as process,
    ):
        try:
            _until(log, "r/one")
            rules.write_text("version = 1\n[[rule]\n")
            _until(log, "is not TOML")
            rules.write_text('version = 1\n[[rule]]\nid = "two"\nwhy = "x"\nmatch.pattern = "target"\n')
            _until(log, "r/two")
        finally:
            process.terminate()


def _until(log: Path, words: str) -> None:
    for _ in range(200):
        if words in log.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{words!r} never came: {log.read_text()}")


def test_a_run_can_be_cleaned_by_a_rule_file(tmp_path: Path, opoi: Call) -> None:
    rules, folder = tmp_path / "mine.toml", tmp_path / "r"
    rules.write_text(
        'version = 1\nname = "mine"\nextends = ["residue"]\n'
        '[[rule]]\nid = "level"\nwhy = "x"\nmatch.pattern = "level"\n'
    )
    words = ["run", "-q", "--suite", "ads", "--n", "4", "--runs", "1", "--resamples", "100", "--clean", rules]
    code, said = opoi(*words, "--out", folder)
    assert code == 0, said
    edits = [edit.rule for one in read(folder / "cleaned/opoi.jsonl", Cleaned) for edit in one.edits]
    assert "mine/level" in edits
    rules.write_text(rules.read_text().replace('pattern = "level"', 'pattern = "no such word"'))
    code, said = opoi("run", "-q", "--resume", "--out", folder, "--clean", rules)
    assert code == 0, said
    edits = [edit.rule for one in read(folder / "cleaned/opoi.jsonl", Cleaned) for edit in one.edits]
    assert "mine/level" not in edits


def test_the_level_c2_is_the_built_in_rule_file(ads: Suite, run: Path, tmp_path: Path) -> None:
    rules = tmp_path / "same.toml"
    rules.write_text('version = 1\nextends = ["residue"]\n')

    def clean_with(level: str) -> list[tuple[Trace, tuple[str, ...]]]:
        tidy = cleaner(level, suite=load_suite("ads"), agent=ads.stand_in, tools=(), seed=0)
        every = [tidy(trace) for trace in read(run / "traces/opoi.jsonl", Trace)]
        return [(one.trace, tuple(edit.rule for edit in one.edits)) for one in every]

    assert clean_with("C2") == clean_with(str(rules))


def test_watching_never_writes_over_what_it_reads(run: Path, tmp_path: Path, opoi: Call) -> None:
    source = tmp_path / "in.jsonl"
    body = (run / "datasets/opoi.openai.jsonl").read_bytes()
    source.write_bytes(body)
    code, said = opoi("clean", source, "--out", source, "-q")
    assert code == 2
    assert "--force" in said
    beside = tmp_path / "x.dropped.jsonl"
    beside.write_bytes(body)
    for words in (["--out", tmp_path / "x.jsonl", "--force"], ["--json", beside], ["--html", "/dev/null"]):
        code, said = opoi("clean", beside, "-q", *words)
        assert code == 2, said
    assert beside.read_bytes() == source.read_bytes() == body


@pytest.mark.parametrize(
    "words",
    [
        ["--compare", "residue", "leaks", "--html", "x.html"],
        ["--calibrate", "--explain"],
        ["--run", "nowhere"],
    ],
)
def test_options_that_would_be_ignored_are_refused(words: list[str], run: Path, opoi: Call) -> None:
    code, said = opoi("clean", run / "traces/opoi.jsonl", "-q", *words)
    assert code == 2, said
