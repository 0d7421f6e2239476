"""The stages over a run folder: what each writes, what is done again and what is not, hand edits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opoi.errors import ArtefactError, EndpointError, PluginError, UsageError
from opoi.measures import Results
from opoi.pipeline import STAGES, check, run_all
from opoi.progress import Lines
from opoi.protocols import Suite
from opoi.run import Run
from opoi.settings import Settings, merge
from opoi.store import load_receipt, read
from opoi.types import Cleaned, Message, Outcome, Reply, Review, Scenario, Trace

Files = Callable[[Path], dict[str, bytes]]
SETTINGS: dict[str, Any] = {"suite": "echo", "n": 12, "runs": 2, "resamples": 200}


class Counting:
    """The echo stand-in, counting calls, failing when told to."""

    name = "counting"

    def __init__(self, echo: Suite) -> None:
        self.inner = echo.stand_in()
        self.calls = 0
        self.fails: Callable[[int], bool] = lambda _: False

    def complete(self, messages: Sequence[Message], tools: Sequence[Any], *, seed: int) -> Reply:
        self.calls += 1
        if self.fails(self.calls):
            raise EndpointError("the endpoint is down", why="refused")
        return self.inner.complete(messages, tools, seed=seed)


def settings(**changes: Any) -> Settings:
    return merge(SETTINGS, changes)


@pytest.fixture
def counting(echo: Suite) -> Counting:
    return Counting(echo)


@pytest.fixture
def start(tmp_path: Path, counting: Counting) -> Callable[..., Run]:
    """Open or create the run `r` with the counting model as its agent."""

    def opened(**changes: Any) -> Run:
        folder = tmp_path / "r"
        if (folder / "manifest.json").exists():
            run = Run.open(folder, changes)
        else:
            run = Run.create(folder, settings(**changes))
        run.cast.agent = counting
        check(run)
        run.save_manifest()
        return run

    return opened


def test_every_scenario_appears_in_every_artefact(start: Callable[..., Run]) -> None:
    run = start()
    run_all(run)
    ids = [scenario.id for scenario in read(run.file("scenarios.jsonl"), Scenario)]
    assert len(ids) == 12
    twice = [name for name in ids for _ in range(2)]
    assert [trace.scenario_id for trace in read(run.file("rollouts.jsonl"), Trace)] == twice
    assert [seen.scenario_id for seen in read(run.file("reviews.jsonl"), Review)] == ids
    for arm in ("opoi", "opcd"):
        assert [trace.scenario_id for trace in read(run.file("traces", f"{arm}.jsonl"), Trace)] == twice
    for arm in ("base", "opoi", "opcd"):
        assert [c.trace.scenario_id for c in read(run.file("cleaned", f"{arm}.jsonl"), Cleaned)] == twice
    results = msgspec.json.decode(run.file("measures.json").read_bytes(), type=Results)
    assert [arm.name for arm in results.arms] == ["base", "opoi", "opcd", "null", "random"]
    for arm in results.arms[:3]:
        assert arm.kept + sum(arm.drops.values()) == arm.attempted == 24


def test_a_finished_run_asks_nothing_when_taken_up(start: Callable[..., Run], counting: Counting) -> None:
    run_all(start())
    counting.calls = 0
    run_all(start())
    assert counting.calls == 0


@pytest.mark.parametrize("small", [{"n": 8}, {"runs": 1}, {"n": 5, "runs": 1}])
def test_growing_a_run_repeats_nothing(
    start: Callable[..., Run], counting: Counting, tmp_path: Path, files_of: Files, small: dict[str, int]
) -> None:
    run_all(start(**small))
    first, counting.calls = counting.calls, 0
    run_all(start(n=12, runs=2))
    more, counting.calls = counting.calls, 0
    fresh = Run.create(tmp_path / "fresh", settings())
    fresh.cast.agent = counting
    run_all(fresh)
    assert first + more == counting.calls
    assert files_of(tmp_path / "r") == files_of(tmp_path / "fresh")


def test_an_added_arm_leaves_the_others_alone(start: Callable[..., Run], counting: Counting) -> None:
    run_all(start())
    counting.calls = 0
    run_all(start(strategies=["opoi", "opcd", "opcd-informed"]))
    assert counting.calls == 24


def test_only_failures_of_the_endpoint_are_tried_again(
    start: Callable[..., Run], counting: Counting, tmp_path: Path, files_of: Files
) -> None:
    counting.fails = lambda call: call % 7 == 0
    run = start()
    run_all(run)
    failed = [
        t for t in read(run.file("rollouts.jsonl"), Trace) if t.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE
    ]
    assert failed
    assert all(trace.failure == "the endpoint is down - refused" for trace in failed)
    results = msgspec.json.decode(run.file("measures.json").read_bytes(), type=Results)
    assert results.arms[0].drops["infrastructure"] == len(failed)
    broken, counting.calls = counting.calls, 0
    counting.fails = lambda _: False
    run_all(start())
    assert 0 < counting.calls < broken / 2
    fresh = Run.create(tmp_path / "fresh", settings())
    fresh.cast.agent = counting
    run_all(fresh)
    assert files_of(tmp_path / "r") == files_of(tmp_path / "fresh")


def test_where_no_item_gets_an_answer_the_run_ends_with_an_error(
    start: Callable[..., Run], counting: Counting
) -> None:
    counting.fails = lambda _: True
    with pytest.raises(EndpointError, match="none of 4 items"):
        run_all(start(n=2))
    with pytest.raises(EndpointError, match="times in a row"):
        run_all(start(n=40))


def test_a_hand_edit_goes_on_downstream_and_is_not_overwritten(
    start: Callable[..., Run], counting: Counting
) -> None:
    run = start()
    run_all(run)
    path = run.file("reviews.jsonl")
    reviews = list(read(path, Review))
    assert reviews[0].verdict
    other = "hold" if reviews[0].verdict.action == "open" else "open"
    changed = msgspec.structs.replace(reviews[0].verdict, action=other, phrase=f"{other} it")
    reviews[0] = msgspec.structs.replace(reviews[0], verdict=changed)
    path.write_bytes(b"".join(msgspec.json.encode(seen) + b"\n" for seen in reviews))
    counting.calls = 0
    run_all(start())
    assert list(read(path, Review)) == reviews
    assert 0 < counting.calls <= 2 * (3 * 2 + 1)
    first = next(read(run.file("traces", "opoi.jsonl"), Trace))
    assert f"{other} it" in first.injections[0].text
    with pytest.raises(ArtefactError, match="edited by hand"):
        STAGES["review"](start(expert="careful"))


def test_an_artefact_put_there_by_hand_is_used(start: Callable[..., Run], echo: Suite) -> None:
    run = start()
    lines = [msgspec.json.encode(scenario) + b"\n" for scenario in echo.scenarios(3, 99)]
    run.file("scenarios.jsonl").write_bytes(b"".join(lines))
    run_all(run)
    assert len(list(read(run.file("rollouts.jsonl"), Trace))) == 6


def test_a_stage_before_its_input_says_what_to_do(start: Callable[..., Run]) -> None:
    with pytest.raises(ArtefactError, match=r"scenarios.jsonl is missing") as error:
        STAGES["rollout"](start())
    assert "--resume" in str(error.value)


def test_a_run_is_never_written_over_another(start: Callable[..., Run], tmp_path: Path) -> None:
    start()
    with pytest.raises(UsageError, match="exists already"):
        Run.create(tmp_path / "r", settings())


def test_the_manifest_holds_every_setting_and_survives(start: Callable[..., Run], tmp_path: Path) -> None:
    start(n=5)
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert set(manifest["settings"]) == set(Settings.__struct_fields__)
    assert manifest["settings"]["n"] == 5
    assert {"opoi", "python", "openai"} <= set(manifest["versions"])
    assert Run.open(tmp_path / "r").settings == settings(n=5)


@pytest.mark.parametrize("text", [None, "", "{}", '{"schema": 1}', "not json", b"\xff\xfe"])
def test_a_folder_without_a_readable_manifest_is_named(tmp_path: Path, text: str | bytes | None) -> None:
    if text is not None:
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(ArtefactError, match=r"no run in|cannot be read"):
        Run.open(tmp_path)


def test_a_strategy_that_breaks_its_contract_is_named(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("def none(case, cast):\n    return []\n")
    with pytest.raises(PluginError, match="broke its contract"):
        run_all(start(strategies=[f"{tmp_path}/none.py:none"]))


def test_a_strategy_of_ones_own_is_one_file(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import msgspec\n"
        "def unsteered(case, cast):\n"
        "    yield msgspec.structs.replace(case.base, arm=cast.arm, run=case.run,"
        " id=f'{case.scenario.id}/{cast.arm}/{case.run}')\n"
    )
    run = start(strategies=[f"{tmp_path}/mine.py:unsteered"])
    run_all(run)
    results = msgspec.json.decode(run.file("measures.json").read_bytes(), type=Results)
    assert [arm.name for arm in results.arms] == ["base", "unsteered", "null", "random"]


def test_a_strategy_may_make_several_traces_of_a_case(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(
        "from opoi.rollout import rollout\n"
        "def two(case, cast):\n"
        "    for attempt in range(2):\n"
        "        yield rollout(case.scenario, cast.suite, cast.agent, arm=cast.arm, run=case.run,"
        " seed=cast.seed, attempt=attempt)\n"
    )
    run = start(strategies=[f"{tmp_path}/two.py:two"], n=4)
    run_all(run)
    ids = [trace.id for trace in read(run.file("traces", "two.jsonl"), Trace)]
    assert len(set(ids)) == len(ids) == 16


def test_a_strategy_that_lets_an_endpoint_error_through_loses_that_case_alone(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "ask.py").write_text(
        "import msgspec\n"
        "from opoi.errors import EndpointError\n"
        "def ask(case, cast):\n"
        "    if case.scenario.id.endswith('2'):\n"
        "        raise EndpointError('refused', why='too long')\n"
        "    yield msgspec.structs.replace(case.base, arm=cast.arm, run=case.run)\n"
    )
    run = start(strategies=[f"{tmp_path}/ask.py:ask"], n=4)
    run_all(run)
    made = list(read(run.file("traces", "ask.jsonl"), Trace))
    assert [trace.failure for trace in made if trace.drop] == ["refused - too long"] * 2


def test_an_edited_suite_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = "from opoi_envs.echo import Echo\nclass Mine(Echo):\n    mark = 1\nsuite = Mine()\n"
    path.write_text(text)
    run = Run.create(tmp_path / "r", merge({**SETTINGS, "suite": f"{path}:suite", "n": 2}, {}))
    run_all(run)
    before = load_receipt(run.file("rollouts.jsonl"))
    path.write_text(text.replace("mark = 1", "mark = 2"))
    run_all(Run.open(tmp_path / "r"))
    after = load_receipt(run.file("rollouts.jsonl"))
    assert before
    assert after
    assert before.made_from != after.made_from


def test_a_stage_says_when_its_input_is_older_than_what_it_was_made_from(
    start: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run_all(start(n=3))
    STAGES["rollout"](start(turns=1))
    late = start()
    late.progress = Lines(sys.stderr)
    STAGES["measure"](late)
    assert "cleaned/base.jsonl was made from an earlier rollouts.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["openai", "trl"])
def test_data_sets_hold_each_kept_scenario_once_and_never_the_note(
    start: Callable[..., Run], form: str
) -> None:
    run = start(n=30)
    run_all(run)
    for arm in ("opoi", "opcd"):
        cleaned = list(read(run.file("cleaned", f"{arm}.jsonl"), Cleaned))
        lines = run.file("datasets", f"{arm}.{form}.jsonl").read_text().splitlines()
        assert len(lines) == len({entry.trace.scenario_id for entry in cleaned if entry.kept})
        assert not [line for line in lines if "REVIEW NOTE" in line]
        for injection in (i for entry in cleaned for i in entry.trace.injections if i.nonce):
            assert not [line for line in lines if injection.nonce in line]


def test_progress_is_told_in_plain_lines_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_all(Run.create(tmp_path / "r", settings(n=3), progress=Lines(sys.stderr)))
    said = capsys.readouterr().err
    assert "rollouts: 6/6" in said
    assert "traces opoi: 6/6" in said


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.create(tmp_path_factory.mktemp("done") / "r", merge({**SETTINGS, "suite": "ads"}, {}))
    run_all(run)
    return run


def test_on_the_ad_account_the_methods_differ_as_the_source_says(finished: Run) -> None:
    results = msgspec.json.decode(finished.file("measures.json").read_bytes(), type=Results)
    arms = {arm.name: {name: m.value for name, m in arm.measures.items()} for arm in results.arms}
    opoi, opcd = arms["opoi"], arms["opcd"]
    assert opoi["citation_precision"] > opcd["citation_precision"]
    assert opoi["js_excess"] < opcd["js_excess"]
    assert opcd["tool_calls"] == 0 < opoi["tool_calls"]
    assert opoi["hindsight_claims"] <= opcd["hindsight_claims"]
    assert opoi["residue"] == 0
    assert opoi["residue_before"] > arms["base"]["residue_before"] == 0
