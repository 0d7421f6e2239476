"""Log-probabilities in a run: own ones on messages, given ones from the stage `score`. Over real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.measures.logprobs.confidence import sum_logprob
from opoi.measures.logprobs.scorers import confidence_of
from opoi.measures.logprobs.tallies import forced_tallies, own_tallies
from opoi.models.endpoint.capabilities import Capabilities
from opoi.models.endpoint.dialect import Dialect
from opoi.models.endpoint.faults import EndpointFaultError, Where
from opoi.models.endpoint.line import HttpLine
from opoi.models.endpoint.model import connect
from opoi.models.endpoint.scoring import conversation_text, score, score_texts
from opoi.models.meter import LimitReachedError
from opoi.models.scripted import ScriptedModel
from opoi.models.served.language import LanguageModel
from opoi.models.served.quirks import PROFILES, Quirks
from opoi.models.served.requests import RefusedError
from opoi.models.served.server import running
from opoi.models.served.template import rendered
from opoi.pipeline import carry_out
from opoi.protocols import Cast, Model, Suite
from opoi.rollout import rollout
from opoi.run import Run
from opoi.settings import merge
from opoi.stages.measure import arms_of
from opoi.stages.score import score_file, score_files, score_notes
from opoi.store import read
from opoi.strategies.opcd import OPCD
from opoi.types import Case, Cleaned, Message, Reply, Scored, TokenLogprob, ToolCall, ToolSpec, Trace

Command = Callable[..., tuple[int, str]]
Files = Callable[[Path], dict[str, bytes]]
SMALL = ("--suite", "echo", "--n", 3, "--runs", 2, "--resamples", 100, "-q")
TOOL = ToolSpec(name="look", description="Look.", parameters={"type": "object"})


def message(role: str, content: str, **more: Any) -> Message:
    return Message(role=role, content=content, author="suite", **more)  # type: ignore[arg-type]  # a chat role


# ---------------------------------------------------------------- own log-probabilities

TOLD = Capabilities(model="m", logprobs=True, logprob_check="believed", stream="ok", tools="parsed")


def test_they_are_asked_for_where_they_are_believed_and_not_switched_off() -> None:
    assert TOLD.dialect().logprobs
    assert not TOLD.dialect(logprobs="off").logprobs
    assert not TOLD.dialect(stream=True).logprobs  # nobody asked whether they come there
    assert not msgspec.structs.replace(TOLD, logprobs=False).dialect().logprobs
    assert not Dialect().logprobs


def test_a_rollout_keeps_those_of_the_agent_as_the_language_model_behind_the_server_gives_them(
    echo: Suite,
) -> None:
    model, scenario = echo.stand_in(), next(echo.scenarios(1, 0))
    with running(model, name="m") as url, connect(url, "m", api_key="none", dialect=TOLD.dialect()) as agent:
        trace = rollout(scenario, echo, agent, arm="base", run=0, seed=1)
    conversation = list(trace.prompt)
    tools = tuple(echo.env(scenario).tools)
    told = 0
    for each in trace.messages:
        if each.role == "assistant" and each.content:
            expected = LanguageModel().score(each.content, given=rendered(conversation, tools))
            assert [token.logprob for token in each.logprobs] == pytest.approx([s.logprob for s in expected])
            assert "".join(token.token for token in each.logprobs) == each.content
            told += 1
        conversation.append(each)
    assert told


@pytest.mark.parametrize("stream", [False, True])
def test_without_being_asked_none_come_and_streams_carry_them_too(echo: Suite, stream: bool) -> None:
    question = [message("user", "Decide.")]
    with running(ScriptedModel(["It is open."]), name="m") as url:
        replies = []
        for asked in (False, True):
            dialect = Dialect(logprobs=asked, stream=stream)
            with connect(url, "m", api_key="none", dialect=dialect) as model:
                replies.append(model.complete(question, (), seed=1))
    assert replies[0].logprobs == ()
    assert "".join(token.token for token in replies[1].logprobs) == "It is open."
    assert msgspec.structs.replace(replies[1], logprobs=()) == replies[0]


def test_a_server_that_refuses_them_for_one_request_still_answers_it(echo: Suite) -> None:
    class Short(Quirks, frozen=True, kw_only=True):
        def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            if body.get("logprobs") and "long" in body["messages"][0]["content"]:
                raise RefusedError("too long for log-probabilities")
            if "bad" in body["messages"][0]["content"]:
                raise RefusedError("too bad")
            return super().request(path, body)

    dialect = Dialect(logprobs=True)
    with (
        running(ScriptedModel(lambda *_: "It is open."), name="m", quirks=Short()) as url,
        connect(url, "m", api_key="none", dialect=dialect, retries=0) as model,
    ):
        short, long = (model.complete([message("user", text)], (), seed=1) for text in ("short", "long"))
        with pytest.raises(EndpointFaultError, match="too bad"):
            model.complete([message("user", "bad")], (), seed=1)
    assert short.content == long.content
    assert short.logprobs
    assert long.logprobs == ()


TOLD_TOKENS = (TokenLogprob(token="x", logprob=-1.0),)


class Sure:
    """A model that tells log-probabilities with whatever another one says."""

    name = "sure"

    def __init__(self, inner: Model) -> None:
        self._inner = inner

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        reply = self._inner.complete(messages, tools, seed=seed)
        return msgspec.structs.replace(reply, logprobs=TOLD_TOKENS)


def test_messages_without_text_keep_theirs_too_and_sub_agents_have_none(ads: Suite, echo: Suite) -> None:
    nested = bare = 0
    for suite in (ads, echo):
        for scenario in suite.scenarios(6, 0):
            trace = rollout(scenario, suite, Sure(suite.stand_in()), arm="base", run=0, seed=1)
            for each in trace.messages:
                assert each.logprobs == (TOLD_TOKENS if each.role == "assistant" else ())
                assert not any(inner.logprobs for inner in each.sub)
                nested += len(each.sub)
                bare += each.role == "assistant" and not each.content
    assert nested
    assert bare


@pytest.mark.parametrize("shape", ["final_only", "splice"])
def test_a_corrector_keeps_its_own_and_messages_of_others_have_none(
    shape: str, echo: Suite, case_of: Callable[..., Case]
) -> None:
    case = case_of()
    told = [msgspec.structs.replace(each, logprobs=TOLD_TOKENS) for each in case.base.messages]
    case = msgspec.structs.replace(case, base=msgspec.structs.replace(case.base, messages=tuple(told)))
    model = Sure(echo.stand_in())
    cast = Cast(suite=echo, agent=model, corrector=model, arm="opcd", seed=1)
    (trace,) = OPCD(target_shape=shape)(case, cast)  # type: ignore[arg-type]  # a parametrised literal
    assert [each.logprobs for each in trace.messages] == [
        *[()] * (len(trace.messages) - 1),
        TOLD_TOKENS,
    ]


# ---------------------------------------------------------------- several texts of one conversation

CALL = ToolCall(id="c1", name="look", arguments='{"n": 1}')
CONVERSATION = (
    message("system", "You watch."),
    message("user", "Decide."),
    message("assistant", "I look first.", tool_calls=(CALL,)),
    message("tool", "65 bar", tool_call_id="c1"),
    message("assistant", "Once more.", tool_calls=(CALL,)),
    message("tool", "66 bar", tool_call_id="c1"),
    message("assistant", '{"action": "open"}'),
    message("user", "Thanks."),
)
PLACES = (2, 4, 6)


class Counting:
    """A line that counts what it sends."""

    def __init__(self, line: HttpLine) -> None:
        self._line = line
        self.sent: list[dict[str, Any]] = []

    @property
    def where(self) -> Where:
        return self._line.where

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        self.sent.append(body)
        return self._line.post(path, body, label=label)

    def get(self, path: str) -> bytes:
        return self._line.get(path)

    def close(self) -> None:
        self._line.close()


@pytest.fixture(scope="module")
def line() -> Iterator[HttpLine]:
    with running(ScriptedModel(lambda *_: "no"), name="m") as url:
        line = HttpLine(url, "m", api_key="none", retries=0)
        yield line
        line.close()


def test_one_request_scores_all_texts_of_a_conversation_as_one_each_would(line: HttpLine) -> None:
    counting = Counting(line)
    found = score_texts(counting, "m", CONVERSATION, PLACES, "prompt_logprobs", tools=[TOOL])
    alone = [
        score(line, "m", CONVERSATION[:place], CONVERSATION[place].content, "prompt_logprobs", tools=[TOOL])
        for place in PLACES
    ]
    assert list(found) == alone
    assert [bool(body.get("prompt_logprobs")) for body in counting.sent] == [True, False, False, False]
    for place, tokens in zip(PLACES, found, strict=True):
        expected = LanguageModel().score(
            CONVERSATION[place].content, given=rendered(CONVERSATION[:place], [TOOL])
        )
        assert [token.logprob for token in tokens] == pytest.approx([each.logprob for each in expected])


def test_echo_scores_all_texts_with_one_request_given_the_conversation_as_plain_text(line: HttpLine) -> None:
    counting = Counting(line)
    found = score_texts(counting, "m", CONVERSATION, PLACES, "echo", tools=[TOOL])
    assert len(counting.sent) == 1
    for place, tokens in zip(PLACES, found, strict=True):
        given = conversation_text(CONVERSATION[:place], [TOOL]) + "assistant:\n"
        expected = LanguageModel().score(CONVERSATION[place].content, given=given)
        assert "".join(token.token for token in tokens) == CONVERSATION[place].content
        assert [token.logprob for token in tokens] == pytest.approx([each.logprob for each in expected])


def test_the_plain_text_of_a_conversation_is_as_documented() -> None:
    assert conversation_text(CONVERSATION[1:4], [TOOL]) == (
        'tools:\n{"name":"look","description":"Look.","parameters":{"type":"object"}}\n\n'
        "user:\nDecide.\n\n"
        'assistant:\nI look first.\n{"name":"look","arguments":"{\\"n\\": 1}"}\n\n'
        "tool:\n65 bar\n\n"
    )


def test_nothing_to_score_asks_nobody(line: HttpLine) -> None:
    counting = Counting(line)
    assert score_texts(counting, "m", CONVERSATION, [], "echo") == ()
    assert not counting.sent


class Forgetful(Counting):
    """A server whose template leaves the text of a message out where the message has calls."""

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        shown = [
            {**each, "content": "" if each.get("tool_calls") else each["content"]}
            for each in body["messages"]
        ]
        return super().post(path, {**body, "messages": shown}, label=label)


def test_a_text_that_the_template_leaves_out_later_on_is_scored_on_its_own(line: HttpLine) -> None:
    forgetful = Forgetful(line)
    found = score_texts(forgetful, "m", CONVERSATION, PLACES, "prompt_logprobs")
    assert all(token.logprob is not None for tokens in found for token in tokens)
    assert [bool(body.get("prompt_logprobs")) for body in forgetful.sent].count(True) == 3
    assert ["".join(token.token for token in tokens) for tokens in found] == [
        CONVERSATION[place].content for place in PLACES
    ]


def test_figures_that_stand_for_the_logarithm_of_zero_are_none(line: HttpLine) -> None:
    class Zeros(Counting):
        def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
            answer = json.loads(super().post(path, body, label=label))
            told = answer["choices"][0]["logprobs"]["token_logprobs"]
            told[-1], told[-2] = -9999.0, -3.4e38
            return json.dumps(answer).encode()

    (tokens,) = score_texts(Zeros(line), "m", CONVERSATION, [6], "echo")
    assert [token.logprob is None for token in tokens] == [*[False] * (len(tokens) - 2), True, True]


# ---------------------------------------------------------------- the stage


UP_TO_SCORES = ("scenarios", "rollout", "review", "generate", "clean", "score")


def made(folder: Path, url: str, **values: object) -> Run:
    """Carry out a small run up to its scores."""
    changes = {"suite": "echo", "n": 3, "runs": 2, "resamples": 100, "model": url, **values}
    if (folder / "manifest.json").exists():
        this = Run.open(folder, values)
    else:
        this = Run.create(folder, merge({}, changes))
    with closing(this):
        carry_out(this, UP_TO_SCORES)
    return this


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "scores").glob("*.jsonl"))


def scores_of(folder: Path, arm: str) -> list[Scored]:
    run = Run.open(folder)
    return [each for file in score_files(run, arm) for each in read(file, Scored)]


def kept(folder: Path, arm: str) -> list[Trace]:
    return [each.trace for each in read(folder / f"cleaned/{arm}.jsonl", Cleaned) if each.kept]


def test_a_run_scores_its_kept_traces_and_a_model_that_was_tuned_on_them_finds_them_likelier(
    echo: Suite, tmp_path: Path, opoi: Command
) -> None:
    folder = tmp_path / "r"
    with running(echo.stand_in(), name="base") as url:
        code, said = opoi("run", *SMALL, "--n", 10, "--runs", 1, "--model", url, "--out", folder)
        assert code == 0, said
        assert files_in(folder) == ["base.base.jsonl", "base.opcd.jsonl", "base.opoi.jsonl"]
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            data = (folder / "datasets/opoi.openai.jsonl").read_bytes()
            file = client.files.create(file=("opoi.jsonl", data), purpose="fine-tune")
            job = client.fine_tuning.jobs.create(model="base", training_file=file.id, suffix="v1.0")
            while job.status not in ("succeeded", "failed", "cancelled"):
                job = client.fine_tuning.jobs.retrieve(job.id)
        tuned = job.fine_tuned_model
        assert tuned is not None, job.error
        before = (folder / "scores/base.opoi.jsonl").read_bytes()
        code, said = opoi("score", folder, "-q", "--scorers", f"base,{tuned}")
        assert code == 0, said
        assert (folder / "scores/base.opoi.jsonl").read_bytes() == before
        assert opoi("measure", folder, "-q")[0] == 0  # reads them all
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["settings"]["scorers"] == ["base", tuned]
    assert {found["model"] for found in manifest["endpoints"].values()} == {"base", tuned}

    for arm in ("base", "opoi", "opcd"):
        traces = kept(folder, arm)
        scores = scores_of(folder, arm)
        assert [each.trace_id for each in scores] == [trace.id for trace in traces] * 2
        for trace, each in zip(traces * 2, scores, strict=True):
            texts = ["".join(token.token for token in text.tokens) for text in each.texts]
            assert texts == [m.content for m in trace.messages if m.loss_weight and m.content]
    run = Run.open(folder)
    arms = arms_of(run)
    found = confidence_of(arms, ["base", tuned], prose_keys=echo.prose, seed=0, resamples=200)
    rows = {(row.scorer, row.corpus): row.measures for row in found.rows}
    ratio = rows[tuned, "opoi"]["llr"]
    assert ratio.high is not None
    assert ratio.high < -0.5  # on its own training texts, in nats per token
    for name, measure in rows[tuned, "opoi"].items():
        if name.startswith("logprob"):
            assert measure.value is not None
            assert measure.value > (rows["base", "opoi"][name].value or 0)
    closed = {row.corpus: row.measures["gap_log"].value or 0 for row in found.rows if row.scorer == tuned}
    assert closed["opoi"] > closed["opcd"]  # the corrector's words are not the agent's

    group = next(arms[0].groups())
    own = sum_logprob(own_tallies(group.cleaned, echo.prose))
    given = sum_logprob(
        forced_tallies(group.cleaned, [s for s in group.scores if s.scorer == "base"], echo.prose)
    )
    assert own == pytest.approx(given)  # the same model, the same tokens, the same prompts
    assert own[1] > 0


def test_scores_are_given_the_students_prompt_and_never_the_note(echo: Suite, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    class Listening(Quirks, frozen=True, kw_only=True):
        def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            asked.append(body)
            return super().request(path, body)

    with running(echo.stand_in(), name="base", quirks=Listening()) as url:
        made(tmp_path / "r", url)
    notes = [inj.text for trace in read(tmp_path / "r/traces/opoi.jsonl", Trace) for inj in trace.injections]
    assert notes
    scoring = [body for body in asked if "return_token_ids" in body]
    assert sum("prompt_logprobs" in body for body in scoring) >= 18
    assert not [
        note for note, body in product(notes, scoring) if note in json.dumps(body, ensure_ascii=False)
    ]


def test_a_stop_pays_no_score_twice_and_changes_no_byte(echo: Suite, tmp_path: Path, files_of: Files) -> None:
    def spent(folder: Path, *, scoring: bool) -> int:
        stages = json.loads((folder / "spending.json").read_text())["stages"]
        told = (models for name, models in stages.items() if name.startswith("scores") == scoring)
        return sum(each["calls"] for models in told for each in models.values())

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    with running(echo.stand_in(), name="base") as url:
        made(whole, url)
        before = spent(whole, scoring=False)
        with pytest.raises(LimitReachedError):
            made(stopped, url, max_calls=before + 9)
        assert spent(stopped, scoring=True) == 9
        made(stopped, url, max_calls=0)
    assert spent(stopped, scoring=True) <= spent(whole, scoring=True)  # equal requests are sent once
    left, right = files_of(whole), files_of(stopped)
    names = [name for name in left if name.startswith("scores")]
    assert len(names) >= 6
    assert [left[name] for name in names] == [right[name] for name in names]


def test_what_failed_is_recorded_and_tried_again(echo: Suite, tmp_path: Path) -> None:
    broken = ["g00001"]

    class Breaking(Quirks, frozen=True, kw_only=True):
        def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            if "prompt_logprobs" in body and any(word in json.dumps(body) for word in broken):
                raise RefusedError("too long")
            return super().request(path, body)

    with running(echo.stand_in(), name="base", quirks=Breaking()) as url:
        made(tmp_path / "r", url)
        scores = scores_of(tmp_path / "r", "opoi")
        failed = [each for each in scores if each.failure]
        assert {each.scenario_id for each in failed} == {"echo-00001"}
        assert all("too long" in each.failure and not each.texts for each in failed)
        broken.clear()
        made(tmp_path / "r", url)
    mended = scores_of(tmp_path / "r", "opoi")
    assert not [each for each in mended if each.failure]
    assert [each for each in mended if each.scenario_id != "echo-00001"] == [
        each for each in scores if not each.failure
    ]


def test_where_an_endpoint_cannot_nothing_is_scored_unless_it_was_asked_for(
    echo: Suite, tmp_path: Path, opoi: Command
) -> None:
    folder = tmp_path / "r"
    with running(echo.stand_in(), name="base", quirks=PROFILES["llama.cpp"]) as url:
        made(folder, url, model_name="base")
        assert not (folder / "scores").exists()
        code, said = opoi("score", folder, "--scorers", "base")
        assert code == 2
        for word in ("base", url, "T2", "prompt_logprobs", "--scorers none"):
            assert word in said
        late = ("run", *SMALL, "--model", url, "--scorers", "base", "--out", tmp_path / "s")
        assert opoi(*late)[0] == 2
    assert not (tmp_path / "s").exists()  # said before anything was paid for


def test_an_endpoint_that_scores_plain_text_only_scores_it_and_it_is_said_so(
    echo: Suite, tmp_path: Path
) -> None:
    class OnlyEcho(Quirks, frozen=True, kw_only=True):
        def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            if "prompt_logprobs" in body:
                raise RefusedError("unknown field")
            return super().request(path, body)

    with running(echo.stand_in(), name="base", quirks=OnlyEcho()) as url:
        made(tmp_path / "r", url)
    scores = scores_of(tmp_path / "r", "base")
    assert scores
    assert not [each for each in scores if each.failure or not each.texts]
    assert "plain text" in score_notes(Run.open(tmp_path / "r"))["base"]


def test_scores_of_models_elsewhere_stand_beside_those_of_a_run_without_an_endpoint(
    echo: Suite, tmp_path: Path, opoi: Command
) -> None:
    folder = tmp_path / "r"
    made(folder, "stand-in")
    assert not (folder / "scores").exists()
    code, said = opoi("score", folder)
    assert code == 0
    assert "--scorers NAME@URL" in said
    with running(echo.stand_in(), name="judge/v1.0") as url:
        assert opoi("score", folder, "-q", "--scorers", f"judge/v1.0@{url}")[0] == 0
    assert files_in(folder) == [f"judge%2Fv1%2E0.{arm}.jsonl" for arm in ("base", "opcd", "opoi")]
    assert {each.scorer for each in scores_of(folder, "base")} == {"judge/v1.0"}
    assert opoi("measure", folder, "-q")[0] == 0  # nobody is asked
    assert opoi("score", folder, "-q", "--scorers", "none")[0] == 0
    assert scores_of(folder, "base") == []


@pytest.mark.parametrize(
    ("scorers", "words"),
    [
        ("judge", "process"),
        ("http://127.0.0.1:9/v1", "without a model"),
        ("none,judge@http://127.0.0.1:9/v1", "stands alone"),
        ("a@http://127.0.0.1:9/v1,a@http://127.0.0.1:8/v1", "twice"),
    ],
)
def test_scorers_that_cannot_be_are_refused_with_a_reason(
    scorers: str, words: str, tmp_path: Path, opoi: Command
) -> None:
    code, said = opoi("run", *SMALL, "--scorers", scorers, "--out", tmp_path / "r")
    assert code == 2
    assert words in said
    assert "fix:" in said
    assert not (tmp_path / "r").exists()


names = st.text("ab.%/:@_-2EF", min_size=1, max_size=8)


@given(pairs=st.lists(st.tuples(names, st.text("ab.%2E-_", min_size=1, max_size=6).map("a".__add__))))
def test_no_two_scorers_and_arms_share_a_file(pairs: list[tuple[str, str]]) -> None:
    files = {(scorer, arm): score_file(scorer, arm) for scorer, arm in pairs}
    assert len(set(files.values())) == len(files)
    assert not [name for name in files.values() if "/" in name or name.startswith(".")]


def test_logprobs_off_changes_no_text_and_asks_for_nothing_again(echo: Suite, tmp_path: Path) -> None:
    with running(echo.stand_in(), name="base") as url:
        made(tmp_path / "on", url, scorers=["none"])
        made(tmp_path / "off", url, scorers=["none"], endpoint={"logprobs": "off"})
        before = (tmp_path / "on/rollouts.jsonl").read_bytes()
        made(tmp_path / "on", url, endpoint={"logprobs": "off"})
    assert (tmp_path / "on/rollouts.jsonl").read_bytes() == before
    on, off = (list(read(tmp_path / name / "rollouts.jsonl", Trace)) for name in ("on", "off"))
    assert any(each.logprobs for trace in on for each in trace.messages)
    bare = [
        msgspec.structs.replace(
            trace, messages=tuple(msgspec.structs.replace(each, logprobs=()) for each in trace.messages)
        )
        for trace in on
    ]
    assert bare == off
