"""`opoi leaderboard`: what is paid for, what kills, failures and hand edits leave, what the board says."""

import fcntl
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from rich.console import Console

from opoi.across.grid import read_grid
from opoi.across.leaderboard import leaderboard
from opoi.across.taking import take_over
from opoi.cli.leaderboard import leaderboard as command
from opoi.errors import ArtefactError, EndpointError, OpoiError, UnknownNameError, UsageError
from opoi.intervals import wilson
from opoi.measures.figures.standard import STANDARD
from opoi.measures.paired.board import FIGURES, HIGHER, LOWER, Board, BoardRow, Column, Standing, better
from opoi.measures.paired.inference import holm
from opoi.measures.paired.standing import in_order, standings
from opoi.measures.results import Definition, Results
from opoi.models.meter import Spent
from opoi.models.served.server import running
from opoi.pipeline import run_all
from opoi.report.board_page import render
from opoi.report.leaderboard import about_lines, print_board
from opoi.run import Run
from opoi.seeds import Stream
from opoi.settings import merge, read_table
from opoi.store import load_receipt, publish, receipt_path
from opoi.store.receipts import Receipt
from opoi.types import Measure

AGENT = """
import os, signal
from pathlib import Path
from opoi.errors import EndpointError
from opoi_envs.echo import EchoModel, Persona

HERE = Path(__file__).parent

class _Agent:
    def __init__(self):
        self.inner = EchoModel(self.persona)

    def complete(self, messages, tools, *, seed):
        with (HERE / "calls").open("a") as calls:
            calls.write(self.name[0])
        if (HERE / "trouble").exists():
            what, who, after = (HERE / "trouble").read_text().split()
            if who == self.name and (HERE / "calls").read_text().count(who[0]) > int(after):
                if what == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if what == "interrupt":
                    raise KeyboardInterrupt
                raise EndpointError("the endpoint is down", why="refused")
        return self.inner.complete(messages, tools, seed=seed)

class Sloppy(_Agent):
    name = "sloppy"
    persona = Persona(obedience=0.8, residue=0.9, flip=0.3)

class Neat(_Agent):
    name = "neat"
    persona = Persona(obedience=1.0, residue=0.2)
"""
SETTINGS = 'suite = "echo"\nn = 6\nruns = 2\nresamples = 200\n'


class Bench:
    """A folder with two models that count their calls, and a board made of them."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "agent.py").write_text(AGENT)
        self.file = folder / "settings.toml"
        self.out = folder / "board"

    def write(
        self,
        *,
        models=("Sloppy", "Neat"),
        cleaners=("C1", "C2"),
        strategies=("opoi", "opcd"),
        more="",
        top="",
    ):
        named = ", ".join(f'"{self.folder / "agent.py"}:{model}"' for model in models)
        table = f"[leaderboard]\nmodels = [{named}]\ncleaners = {json.dumps(list(cleaners))}\n"
        table += f"strategies = {json.dumps(list(strategies))}\n{more}"
        self.file.write_text(SETTINGS + top + table)
        return self

    def make(self, *words):
        """Call the command, as a user types it; return its exit status and everything that it said."""
        done = CliRunner().invoke(command, [str(self.file), "--out", str(self.out), "-q", *words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    def trouble(self, text=""):
        place = self.folder / "trouble"
        place.unlink(missing_ok=True)
        if text:
            place.write_text(text)

    @property
    def calls(self):
        place = self.folder / "calls"
        return place.read_text() if place.exists() else ""

    @property
    def board(self):
        return msgspec.json.decode((self.out / "leaderboard.json").read_bytes(), type=Board)

    @property
    def pages(self):
        return {name: (self.out / f"leaderboard.{name}").read_bytes() for name in ("json", "txt", "html")}

    def cell(self, model, cleaner):
        return self.out / "runs" / model / cleaner


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "a")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two models, two cleaners, two strategies; for reading only."""
    bench = Bench(tmp_path_factory.mktemp("made") / "a").write()
    assert bench.make()[0] == 0
    return bench


# ---------------------------------------------------------------- what is paid for


def test_generation_is_paid_once_however_many_cleaners_there_are(bench, tmp_path):
    small = {"models": ["Sloppy"], "strategies": ["opoi"]}
    (bench.folder / "mine.toml").write_text('version = 1\nname = "mine"\nextends = ["residue"]\n')
    bench.write(cleaners=["C1"], **small).make()
    several = Bench(tmp_path / "b").write(cleaners=["C1", "C3", str(bench.folder / "mine.toml")], **small)
    assert several.make()[0] == 0
    assert several.calls == bench.calls
    assert len(bench.calls) > 0
    assert {row.cleaner for row in several.board.rows} == {"C1", "C3", "mine"}


def test_a_finished_board_does_nothing_and_says_the_same(made):
    before, pages = made.calls, made.pages
    kept = {
        path: path.stat().st_mtime_ns for path in made.out.rglob("*.jsonl") if path.name != "timings.jsonl"
    }
    assert made.make()[0] == 0
    assert made.calls == before
    assert made.pages == pages
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize(
    ("start", "asks"),
    [
        ({"models": ["Neat"]}, "s"),
        ({"cleaners": ["C2"]}, ""),
        ({"strategies": ["opcd"]}, "ns"),
        ({"models": ["Sloppy"], "cleaners": ["C2"], "strategies": ["opoi"]}, "ns"),
    ],
)
def test_what_is_added_to_the_file_is_all_that_is_done(bench, made, start, asks):
    bench.write(**start).make()
    before = bench.calls
    assert bench.write().make()[0] == 0
    assert {*bench.calls[len(before) :]} == {*asks}
    assert sorted(bench.calls) == sorted(made.calls)
    assert [row.measures for row in bench.board.rows] == [row.measures for row in made.board.rows]
    assert bench.pages == made.pages


def test_more_scenarios_ask_for_the_new_ones_alone(bench, made):
    bench.write()
    asked = bench.file.read_text()
    bench.file.write_text(asked.replace("n = 6", "n = 4"))
    bench.make()
    assert bench.board.scenarios == 4
    assert len(bench.calls) < len(made.calls)
    bench.file.write_text(asked)
    assert bench.make()[0] == 0
    assert sorted(bench.calls) == sorted(made.calls)
    assert bench.pages == made.pages


def test_a_cell_is_a_run_like_any_other_and_up_to_date(made):
    for model, cleaner in itertools.product(("Sloppy", "Neat"), ("C1", "C2")):
        before = made.calls
        run = Run.open(made.cell(model, cleaner))
        run_all(run)
        assert made.calls == before
        run.close()


def test_the_home_of_a_model_stays_where_its_traces_were_made(bench):
    one = {"strategies": ["opoi"]}
    bench.write(models=["Neat"], cleaners=["C2"], **one).make()
    before = bench.calls
    bench.write(models=["Neat"], cleaners=["C1"], **one).make()
    assert bench.calls == before
    assert {row.cleaner for row in bench.board.rows} == {"C1"}
    bench.write(models=["Neat"], cleaners=["C1", "C2"], **one).make()
    assert bench.calls == before
    assert {row.cleaner for row in bench.board.rows} == {"C1", "C2"}


def test_of_an_endpoint_another_cleaner_asks_for_the_scores_of_other_texts_alone(bench, echo, tmp_path):
    """Not for generation, not for a probe, and not for scores of texts that both cleaners keep."""
    (bench.folder / "leaky.toml").write_text("residue = 0.5")
    agent = echo.stand_in(bench.folder / "leaky.toml")
    with running(agent, name="m") as url:
        table = f'[leaderboard]\nmodels = [{{ name = "M", model = "{url}" }}]\ncleaners = ["C1", "C2"]\n'
        bench.file.write_text(SETTINGS.replace("6", "3") + 'strategies = ["opoi"]\nclean = "C2"\n' + table)
        code, said = bench.make()
        assert code == 0, said
        whole = Run.create(tmp_path / "whole", merge(read_settings_of(bench.file), {"model": url}))
        with closing(whole):
            run_all(whole, ask=True)
        pages = bench.pages
        assert bench.make()[0] == 0  # with the name that only the endpoint told
    spent = {
        cleaner: json.loads((bench.cell("M", cleaner) / "spending.json").read_text())["stages"]
        for cleaner in ("C1", "C2")
    }
    assert {stage.split()[0] for stage in spent["C1"]} == {"probe", "rollouts", "traces", "scores"}
    assert {stage.split()[0] for stage in spent["C2"]} == {"probe", "scores"}
    assert calls(spent["C2"], "probe") == 1 < calls(spent["C1"], "probe")  # whether it is still there
    assert 0 < calls(spent["C2"], "scores") < calls(spent["C1"], "scores")
    assert bench.pages == pages
    for name in ("scores/m.opoi.jsonl", "scores/m.base.jsonl", "measures.json"):
        assert (bench.cell("M", "C2") / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def read_settings_of(file):
    return {key: value for key, value in read_table(file).items() if key != "leaderboard"}


def calls(stages, head):
    """Return how many requests the stages took whose name begins like that."""
    models = [models for stage, models in stages.items() if stage.split()[0] == head]
    return sum(msgspec.convert(spent, Spent).calls for one in models for spent in one.values())


# ---------------------------------------------------------------- kills, interrupts, failures


def test_a_board_that_was_killed_goes_on_and_comes_out_the_same(bench, made):
    bench.write().trouble("kill neat 30")
    code = "from opoi.cli.leaderboard import leaderboard; leaderboard()"
    words = [sys.executable, "-c", code, str(bench.file), "--out", str(bench.out), "-q"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(words, check=False, env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (bench.out / "leaderboard.json").exists()
    before = bench.calls
    bench.trouble()
    assert bench.make()[0] == 0
    assert len(before) < len(bench.calls) <= len(made.calls) + 2  # the item under way is asked for twice
    assert bench.pages == made.pages


def test_an_interrupt_keeps_what_is_finished(bench, made):
    bench.write().trouble("interrupt sloppy 20")
    with pytest.raises(KeyboardInterrupt):
        leaderboard(bench.file, bench.out)
    bench.trouble()
    assert bench.make()[0] == 0
    assert bench.pages == made.pages


def test_a_model_that_fails_for_good_leaves_the_others_on_the_board(bench, made):
    bench.write().trouble("down sloppy 0")
    code, said = bench.make()
    assert code == 1
    assert {row.model for row in bench.board.rows} == {"Neat"}
    assert [(cell.model, cell.cleaner) for cell in bench.board.absent] == [("Sloppy", "C1"), ("Sloppy", "C2")]
    assert "refused" in bench.board.absent[0].why
    for page in (said, bench.pages["txt"].decode()):
        assert "Missing rows" in page
        assert "refused" in page
    before = bench.calls
    bench.trouble()
    assert bench.make()[0] == 0
    assert {*bench.calls[len(before) :]} == {"s"}
    assert not bench.board.absent
    assert bench.pages == made.pages


def test_a_board_without_one_row_is_an_error(bench):
    bench.write(models=["Sloppy"]).trouble("down sloppy 0")
    with pytest.raises(EndpointError, match="not one cell"):
        leaderboard(bench.file, bench.out)


def test_two_processes_do_not_work_on_one_board(made):
    with (made.out / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(UsageError, match="another opoi works"):
            leaderboard(made.file, made.out)


def test_progress_says_which_cell_of_how_many(bench):
    said = []

    class Says:
        def start(self, stage, total):
            said.append(stage)
            return self

        def say(self, line):
            said.append(line)

        def advance(self, notes=()):
            pass

        def close(self):
            pass

    bench.write(strategies=["opoi"])
    leaderboard(bench.file, bench.out, progress=Says())
    heads = [line.partition("]")[0] + "]" for line in said]
    assert list(dict.fromkeys(heads)) == [
        "[1/4 Sloppy C1]",
        "[2/4 Sloppy C2]",
        "[3/4 Neat C1]",
        "[4/4 Neat C2]",
    ]


# ---------------------------------------------------------------- hand edits


def edit(path):
    """Change the text of one trace, as a person would; return the new bytes."""
    text = path.read_text()
    assert "The gauge shows" in text
    path.write_text(text.replace("The gauge shows", "The gauge clearly shows", 1))
    return path.read_bytes()


def test_an_edit_of_generated_traces_is_kept_and_reaches_every_cleaner(bench):
    bench.write(models=["Neat"], strategies=["opoi"]).make()
    before = bench.calls
    edited = edit(bench.cell("Neat", "C1") / "traces/opoi.jsonl")
    assert bench.make()[0] == 0
    assert bench.calls == before
    for cleaner in ("C1", "C2"):
        assert (bench.cell("Neat", cleaner) / "traces/opoi.jsonl").read_bytes() == edited
        assert b"clearly" in (bench.cell("Neat", cleaner) / "cleaned/opoi.jsonl").read_bytes()
    assert bench.make()[0] == 0


def test_an_edit_of_one_copy_is_kept_and_stays_there(bench):
    bench.write(models=["Neat"], strategies=["opoi"]).make()
    edited = edit(bench.cell("Neat", "C2") / "traces/opoi.jsonl")
    for _ in range(2):
        assert bench.make()[0] == 0
        assert (bench.cell("Neat", "C2") / "traces/opoi.jsonl").read_bytes() == edited
    assert b"clearly" in (bench.cell("Neat", "C2") / "cleaned/opoi.jsonl").read_bytes()
    assert b"clearly" not in (bench.cell("Neat", "C1") / "cleaned/opoi.jsonl").read_bytes()


def test_a_copy_that_was_edited_is_not_overwritten_when_its_source_changes(bench):
    bench.write(models=["Neat"], strategies=["opoi"]).make()
    edited = edit(bench.cell("Neat", "C2") / "traces/opoi.jsonl")
    bench.file.write_text(bench.file.read_text().replace("n = 6", "n = 7"))
    code, said = bench.make()
    assert code == 1
    assert "edited by hand" in said
    assert (bench.cell("Neat", "C2") / "traces/opoi.jsonl").read_bytes() == edited
    assert {row.cleaner for row in bench.board.rows} == {"C1"}
    (bench.cell("Neat", "C2") / "traces/opoi.jsonl").unlink()
    assert bench.make()[0] == 0
    assert {row.cleaner for row in bench.board.rows} == {"C1", "C2"}


def test_rows_of_a_run_that_a_person_edited_are_marked(bench, made):
    bench.write(models=["Neat"], strategies=["opoi"]).make()
    edit(bench.cell("Neat", "C2") / "traces/opoi.jsonl")
    assert bench.make()[0] == 0
    assert {row.cleaner: row.edited for row in bench.board.rows} == {"C1": (), "C2": ("traces/opoi.jsonl",)}
    for page in (bench.pages["txt"].decode(), bench.pages["html"].decode()):
        said = " ".join(page.split())
        assert re.search(r"Neat C2 opoi \(\d+\)", said)
        assert "a person edited or put there: traces/opoi.jsonl" in said
        assert not re.search(r"Neat C1 opoi \(\d+\)", said)
    assert all(row.edited == () for row in made.board.rows)
    assert "a person edited" not in made.pages["txt"].decode()


def test_a_run_whose_figures_were_edited_has_no_rows_and_the_others_stay(bench):
    bench.write(models=["Neat"], strategies=["opoi"]).make()
    figures = bench.cell("Neat", "C2") / "measures.json"
    figures.write_text(figures.read_text() + "\n")
    code, said = bench.make()
    assert code == 1
    assert "edited by hand" in said
    assert {row.cleaner for row in bench.board.rows} == {"C1"}
    assert [(cell.model, cell.cleaner) for cell in bench.board.absent] == [("Neat", "C2")]


# ---------------------------------------------------------------- taking over


def sealed(folder, content, made_from="x"):
    path = folder / "a.jsonl"
    publish(path, [content], lambda sha256: Receipt(made_from, {}, sha256, 1, 1))
    receipt = load_receipt(path)
    receipt_path(path, f".{receipt.sha256[:16]}.keys").write_bytes(b"key . 1\n")
    return path


def test_what_is_taken_over_comes_with_its_receipt_and_its_keys(tmp_path):
    path = sealed(tmp_path / "one", b"1\n")
    assert take_over(tmp_path / "one", tmp_path / "two", "a.jsonl") is False
    copy = tmp_path / "two/a.jsonl"
    assert copy.read_bytes() == b"1\n"
    assert load_receipt(copy) == load_receipt(path)
    sealed(tmp_path / "one", b"2\n", "y")
    take_over(tmp_path / "one", tmp_path / "two", "a.jsonl")
    assert copy.read_bytes() == b"2\n"
    keys = [place.name for place in (tmp_path / "two/.receipts").glob("*.keys")]
    assert keys == [f"a.jsonl.{load_receipt(copy).sha256[:16]}.keys"]


def test_a_kill_while_it_is_taken_over_leaves_no_edit_of_nobody(tmp_path, monkeypatch):
    """Die at every write and rename in turn; the next try always ends with the new copy."""
    real = Path.replace
    for step in range(20):
        home, copy = tmp_path / f"{step}/one", tmp_path / f"{step}/two/a.jsonl"
        sealed(home, b"1\n")
        take_over(home, copy.parent, "a.jsonl")
        sealed(home, b"2\n", "y")
        left = [step]

        def dying(self, target, left=left):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dying)
            try:
                take_over(home, copy.parent, "a.jsonl")
            except KeyboardInterrupt:
                ended = False
            else:
                ended = True
        assert take_over(home, copy.parent, "a.jsonl") is False
        assert copy.read_bytes() == b"2\n"
        assert load_receipt(copy) == load_receipt(home / "a.jsonl")
        sealed(home, b"3\n", "z")
        assert take_over(home, copy.parent, "a.jsonl") is False
        assert copy.read_bytes() == b"3\n"
        if ended:
            assert step >= 4
            return
    pytest.fail("it never ended")


def test_what_was_put_there_by_hand_without_a_receipt_is_taken_over_as_it_is(tmp_path):
    home = tmp_path / "one"
    home.mkdir()
    (home / "a.jsonl").write_bytes(b"1\n")
    for content in (b"1\n", b"2\n"):
        (home / "a.jsonl").write_bytes(content)
        assert take_over(home, tmp_path / "two", "a.jsonl") is False
        assert (tmp_path / "two/a.jsonl").read_bytes() == content
        assert load_receipt(tmp_path / "two/a.jsonl") is None


def test_nothing_to_take_over_is_said(tmp_path):
    with pytest.raises(ArtefactError, match="missing"):
        take_over(tmp_path / "one", tmp_path / "two", "a.jsonl")


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("modles = []", "did you mean 'models'"),
        ("strategys = []", "did you mean 'strategies'"),
        ('models = [{ modl = "x" }]', "did you mean 'model'"),
        ('models = [{ name = "x" }]', "missing required field `model`"),
        ("models = []", "without models"),
        ("cleaners = []", "without cleaners"),
        ("figures = []", "without figures"),
        ('cleaners = ["C9"]', "C9"),
        ('cleaners = ["C2", "C2"]', "named twice"),
        ('cleaners = ["a/x.toml", "b/x.toml"]', "named twice"),
        ('models = ["stand-in", "stand-in"]', "named twice"),
        ('models = [{ name = "A b", model = "x:y" }, { name = "a-b", model = "x:y" }]', "named twice"),
        ('models = [{ name = "..", model = "stand-in" }]', "name of a folder"),
        ('figures = ["yeild"]', "did you mean 'yield'"),
        ('figures = ["yield", "-yield"]', "named twice"),
        ('by = "acuracy_observable"', "did you mean 'accuracy_observable'"),
        ("by = 3", "Expected `str`"),
    ],
)
def test_what_does_not_fit_in_the_file_is_refused(tmp_path, table, message):
    file = tmp_path / "settings.toml"
    file.write_text(f"{SETTINGS}[leaderboard]\n{table}\n")
    with pytest.raises(UsageError) as caught:
        read_grid(file)
    assert message in str(caught.value)


def test_the_other_keys_are_those_of_a_run(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("suit = 'echo'\n[leaderboard]\n")
    with pytest.raises(UnknownNameError, match="suit"):
        read_grid(file)


def test_without_a_table_the_board_is_what_the_settings_say(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(SETTINGS + 'clean = "C3"\nstrategies = ["opcd"]\n')
    grid = read_grid(file)
    assert [player.name for player in grid.models] == ["stand-in"]
    assert [cleaner.name for cleaner in grid.cleaners] == ["C3"]
    assert grid.models[0].settings.strategies == ("opcd",)
    assert [name for name, _ in grid.figures] == [*FIGURES]


def test_a_model_differs_from_the_rest_of_the_file_in_what_its_table_says(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(
        SETTINGS
        + "[endpoint]\ntemperature = 0.1\nretries = 9\n[leaderboard]\n"
        + 'models = ["stand-in:x/careless.toml", "http://127.0.0.1:9/v1",\n'
        + '  { model = "http://127.0.0.1:9/v1", model_name = "org/m", '
        + 'endpoint = { temperature = "none" } }]\n'
    )
    one, two, three = read_grid(file).models
    assert (one.name, two.name, three.name) == ("careless", "127.0.0.1:9/v1", "org/m")
    assert (two.folder, three.folder) == ("127.0.0.1-9-v1", "org-m")
    assert two.settings.endpoint.temperature == 0.1
    assert three.settings.endpoint.temperature is None
    assert three.settings.endpoint.retries == 9
    assert one.settings.n == 6


@pytest.mark.parametrize(
    "what", [{"cleaners": ["C1", "nowhere.toml"]}, {"models": ["Neat", "Nobody"]}, {"strategies": ["opoy"]}]
)
def test_what_cannot_be_had_is_told_before_anyone_is_asked(bench, what):
    bench.write(**what)
    with pytest.raises(OpoiError):
        leaderboard(bench.file, bench.out)
    assert not bench.calls
    assert not bench.out.exists()


def test_a_run_folder_is_not_taken_for_a_board(made):
    with pytest.raises(UsageError, match="folder of a run"):
        leaderboard(made.file, made.cell("Neat", "C1"))


# ---------------------------------------------------------------- what the board says


def test_a_row_for_each_cell_and_strategy_and_the_unsteered_agent_once(made):
    rows = [(row.model, row.cleaner, row.strategy) for row in made.board.rows]
    cells = itertools.product(("Sloppy", "Neat"), ("C1", "C2"), ("opoi", "opcd"))
    assert sorted(rows) == sorted([*cells, ("Sloppy", "C1", "base"), ("Neat", "C1", "base")])


def test_every_figure_of_every_row_is_that_of_its_run(made):
    for row in made.board.rows:
        results = msgspec.json.decode(
            (made.cell(row.model, row.cleaner) / "measures.json").read_bytes(), type=Results
        )
        (arm,) = [arm for arm in results.arms if arm.name == row.strategy]
        assert (row.measures, row.attempted, row.kept, row.drops) == (
            arm.measures,
            arm.attempted,
            arm.kept,
            arm.drops,
        )
        assert made.board.definitions == results.definitions


def test_the_yield_on_the_board_is_counted_from_the_data(made):
    for row in made.board.rows:
        path = made.cell(row.model, row.cleaner) / "cleaned" / f"{row.strategy}.jsonl"
        drops = [json.loads(line)["trace"].get("drop", "") for line in path.read_text().splitlines()]
        assert row.measures["yield"].value == pytest.approx(drops.count("") / len(drops))
        assert row.attempted == len(drops) == 12


def test_rows_are_sorted_better_first_and_the_file_may_turn_it_round(made, bench):
    values = [row.measures["accuracy_observable"].value for row in made.board.rows]
    assert values == sorted(values, reverse=True)
    bench.write(
        cleaners=["C1"], more='figures = ["-accuracy_observable", "yield", "tool_calls"]\nby = "residue"\n'
    ).make()
    values = [row.measures["residue"].value for row in bench.board.rows]
    assert values == sorted(values)
    ways = {column.name: column.better for column in bench.board.columns}
    assert ways == {"accuracy_observable": "lower", "yield": "higher", "tool_calls": "neither"}
    for row in bench.board.rows:
        assert row.standings["tool_calls"].mark == ""
        if row.standings["accuracy_observable"].mark == "best":
            least = min(other.measures["accuracy_observable"].value for other in bench.board.rows)
            assert row.measures["accuracy_observable"].value == least


def test_the_pages_say_what_every_column_is_and_ask_for_nothing(made):
    text, page = made.pages["txt"].decode(), made.pages["html"].decode()
    squeezed = " ".join(text.split())
    for column in made.board.columns:
        told = made.board.definitions[column.name]
        assert told.title.split()[0] in squeezed
        assert told.formula.split()[0] in squeezed
        assert column.better == "neither" or f"{column.better} is better" in squeezed
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert str(made.folder) not in text + page + made.pages["json"].decode()


def test_every_standard_figure_has_one_way_or_none():
    assert not {*HIGHER} & {*LOWER}
    assert {*FIGURES} <= {metric.name for metric in STANDARD}
    assert all(better(name) != "neither" for name in FIGURES)


def board_of(*models):
    """Return a board with one figure whose rows are called as given."""
    rows = tuple(
        BoardRow(
            model=name,
            played="m",
            simulated=False,
            cleaner="C1",
            strategy="opoi",
            attempted=2,
            kept=2,
            drops={},
            measures={"x": Measure(value=0.5, low=0.2, high=0.8, n=2, note=name)},
            standings={"x": Standing(mark="best")},
        )
        for name in models
    )
    return Board(
        suite="s",
        scenarios=2,
        runs=1,
        seed=0,
        resamples=100,
        alpha=0.05,
        by="x",
        columns=(Column(name="x", better="higher"),),
        rows=rows,
        absent=(),
        definitions={"x": Definition(title="x", unit="share", doc="X.", formula="a / b")},
    )


@pytest.mark.parametrize("name", ["\x1b[2Jm", "<b>m</b>", "a\u202eb"])
def test_names_can_steer_neither_a_terminal_nor_a_page(name):
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device
        console = Console(file=nowhere, record=True, width=100)
        print_board(board_of(name), console)
        text, page = console.export_text(), render(board_of(name))
    assert "\x1b" not in text + page
    assert "\u202e" not in text + page
    assert "<b>" not in page


# ---------------------------------------------------------------- marks


def columns(seed, chances, n):
    """Return numerators and denominators of one row per chance of success, three runs of each scenario."""
    rows = []
    for at, chance in enumerate(chances):
        above = [
            float(sum(Stream(seed, at, i).chance(chance, "run", run) for run in range(3))) for i in range(n)
        ]
        rows.append((np.array(above), np.full(n, 3.0)))
    return rows


def marks(rows, way="higher", seed=0, resamples=999):
    values = [float(above.sum() / below.sum()) for above, below in rows]
    return standings("x", values, rows, way=way, seed=seed, resamples=resamples)


def exact_p(one, other):
    """Return p by trying every exchange of two rows of equal denominators."""
    apart = other[0] - one[0]
    totals = [abs(float(np.dot(signs, apart))) for signs in itertools.product((1, -1), repeat=len(apart))]
    return float(np.mean(np.array(totals) >= abs(apart.sum()) - 1e-9))


@pytest.mark.parametrize("seed", range(5))
def test_a_mark_is_that_of_every_exchange_tried_and_corrected_for_all_pairs(seed):
    rows = columns(seed, (0.95, 0.2, 0.5, 0.9), 10)
    column, found = marks(rows)
    best = max(range(4), key=lambda at: rows[at][0].sum())
    others = [at for at in range(4) if at != best]
    ps = [exact_p(rows[best], rows[at]) for at in others]
    assert [found[at].p for at in others] == pytest.approx(ps)
    assert found[best].mark == "best"
    assert column.tested == 3
    for at, adjusted in zip(others, holm(ps), strict=True):
        assert found[at].p_adjusted == pytest.approx(min(1.0, adjusted * 2))
        assert found[at].mark == ("apart" if adjusted * 2 <= 0.05 else "same")


def test_equal_rows_are_told_apart_from_the_best_no_more_often_than_declared():
    wrong, tries = 0, 200
    for seed in range(tries):
        _, found = marks(columns(seed, [0.6] * 7, 30), seed=seed, resamples=300)
        wrong += any(one.mark == "apart" for one in found)
    assert wilson(wrong, tries)[0] <= 0.05


def test_a_row_that_is_far_worse_is_told_apart():
    _, found = marks(columns(1, (0.9, 0.88, 0.3), 60))
    assert [one.mark for one in found] in (["best", "same", "apart"], ["same", "best", "apart"])


def test_rows_that_are_alike_count_as_one():
    (one, worse) = columns(3, (0.9, 0.5), 40)
    _, two = marks([one, worse])
    column, many = marks([one, worse, one, one, one])
    assert column.tested == 1
    assert many[1] == two[1]
    assert [many[at].mark for at in (0, 2, 3, 4)] == ["best", "same", "same", "same"]


@given(order=st.permutations(range(5)), turned=st.permutations(range(20)), seed=st.integers(0, 99))
@examples(max_examples=25, deadline=None)
def test_marks_do_not_depend_on_the_order_of_rows_or_scenarios(order, turned, seed):
    rows = columns(seed, (0.9, 0.7, 0.5, 0.3, 0.6), 20)
    sums = [row[0].sum() for row in rows]
    if sums.count(max(sums)) > 1:
        return
    column, found = marks(rows)
    again, moved = marks([tuple(part[list(turned)] for part in rows[at]) for at in order])
    assert again == column
    assert [moved[order.index(at)] for at in range(5)] == found


@given(seed=st.integers(0, 99))
@examples(max_examples=15, deadline=None)
def test_less_being_better_is_more_being_better_of_what_is_left(seed):
    rows = columns(seed, (0.9, 0.4, 0.6), 15)
    turned = [(below - above, below) for above, below in rows]
    sums = [row[0].sum() for row in rows]
    if sums.count(max(sums)) > 1:
        return
    assert [one.mark for one in marks(rows)[1]] == [one.mark for one in marks(turned, "lower")[1]]


def lacking(row, where):
    """Return a row that has no value where the flags say so."""
    return tuple(np.where(where, 0.0, part) for part in row)


@given(seed=st.integers(0, 99))
@examples(max_examples=15, deadline=None)
def test_scenarios_that_one_row_alone_has_bear_on_no_mark(seed):
    """The other row has no value in the last third; whatever the best one does there changes nothing."""
    best, other = columns(seed, (0.9, 0.6), 36)
    last = np.arange(36) >= 24
    other = lacking(other, last)
    high = (np.where(last, 3.0, best[0]), best[1])
    if not sum(lacking(best, last)[0]) / 72 > sum(other[0]) / 72:
        return
    _, with_third = marks([high, other])
    _, without = marks([lacking(best, last), other])
    assert with_third == without
    assert with_third[1].n == 24


def test_a_row_is_not_told_from_the_best_by_what_the_best_alone_was_asked():
    same = columns(2, (0.5,), 40)[0]
    hard = np.arange(40) >= 20
    first = (np.where(hard, 3.0, same[0]), same[1])
    _, found = marks([first, lacking(same, hard)])
    assert [one.mark for one in found] == ["best", "same"]
    assert found[1].p == 1


def test_a_row_that_is_better_where_both_have_a_value_is_not_told_from_the_best():
    n, both = 60, np.arange(60) < 30
    best = (np.where(both, 1.0, 3.0), np.full(n, 3.0))  # 2/3 in all, 1/3 where both have a value
    other = lacking((np.full(n, 1.8), np.full(n, 3.0)), ~both)  # 0.6
    _, found = marks([best, other])
    assert found[1].p_adjusted <= 0.05
    assert [one.mark for one in found] == ["best", "same"]


def test_a_row_that_shares_no_scenario_with_the_best_is_not_compared():
    one, two = columns(1, (0.9, 0.2), 20)
    half = np.arange(20) < 10
    column, found = marks([lacking(one, half), lacking(two, ~half)])
    assert [(row.mark, row.p) for row in found] == [("best", None), ("", None)]
    assert column.tested == 0


def test_one_scenario_on_the_board_is_one():
    (line, *_) = about_lines(msgspec.structs.replace(board_of("m"), scenarios=1))
    assert "1 scenario," in line
    (line, *_) = about_lines(board_of("m"))
    assert "2 scenarios," in line


def test_many_rows_get_as_many_draws_as_their_correction_asks_for():
    rows = columns(0, [0.95, *[0.1] * 30], 15)
    column, found = marks(rows, resamples=200)
    assert column.draws >= 31 * 30 / 0.05
    assert all(one.mark == "apart" for one in found[1:])


def test_rows_without_a_value_come_last_and_get_no_mark():
    rows = [(np.zeros(3), np.zeros(3)), (np.ones(3), np.ones(3))]
    assert in_order([None, 0.5, 0.7], "higher") == [2, 1, 0]
    assert in_order([None, 0.5, 0.7], "lower") == [1, 2, 0]
    _, found = standings("x", [None, 1.0], rows, way="higher", seed=0, resamples=100)
    assert [one.mark for one in found] == ["", "best"]
