"""The fine-tuning endpoints, driven by the official client: files, jobs, events, checkpoints, models."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from openai.types import FileObject
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from starlette.testclient import TestClient

from opoi.datasets import FORMATS
from opoi.models.scripted import ScriptedModel
from opoi.models.served.language import LanguageModel
from opoi.models.served.server import app, running
from opoi.models.served.template import rendered
from opoi.models.served.tuning import Tuning
from opoi.models.served.tuning.limits import Limits
from opoi.types import Example, Message, ToolCall, ToolSpec, Trace

OVER = ("succeeded", "failed", "cancelled")
ORDER = ("validating_files", "queued", "running", *OVER)


MODEL = ScriptedModel(lambda messages, tools, seed: f"You said: {messages[-1].content}", name="base")


@contextmanager
def serving(limits: Limits | None = None) -> Iterator[tuple[openai.OpenAI, Tuning]]:
    """A new server in this process; what it knows is gone afterwards."""
    tuning = Tuning("base", LanguageModel(), limits)
    with openai.OpenAI(
        http_client=TestClient(app(MODEL, name="base", tuning=tuning)),
        base_url="http://testserver/v1",
        api_key="k",
        max_retries=0,
    ) as client:
        yield client, tuning


@pytest.fixture
def server() -> Iterator[tuple[openai.OpenAI, Tuning]]:
    with serving() as pair:
        yield pair


@pytest.fixture
def client(server: tuple[openai.OpenAI, Tuning]) -> openai.OpenAI:
    return server[0]


@pytest.fixture
def tuning(server: tuple[openai.OpenAI, Tuning]) -> Tuning:
    return server[1]


def line(*messages: tuple[str, str] | dict[str, Any], **more: object) -> bytes:
    """One training example from (role, content) pairs or whole messages."""
    whole = [m if isinstance(m, dict) else {"role": m[0], "content": m[1]} for m in messages]
    return json.dumps({"messages": whole, **more}).encode()


def spoken(answer: str, weight: int) -> dict[str, Any]:
    return {"role": "assistant", "content": answer, "weight": weight}


def jsonl(*lines: bytes) -> bytes:
    return b"".join(one + b"\n" for one in lines)


LINE = line(("user", "Is it open?"), ("assistant", "The gauge is open, I looked."))
GOOD = jsonl(*[LINE] * 10)


def upload(client: openai.OpenAI, content: bytes, name: str = "train.jsonl") -> FileObject:
    return client.files.create(file=(name, content), purpose="fine-tune")


def tuned(client: openai.OpenAI, content: bytes = GOOD, **asked: Any) -> FineTuningJob:
    """Upload, create a job, look until it is over."""
    job = client.fine_tuning.jobs.create(
        **{"model": "base", "training_file": upload(client, content).id, **asked}
    )
    return ended(client, job.id)


def ended(client: openai.OpenAI, id: str) -> FineTuningJob:
    for _ in range(60):
        job = client.fine_tuning.jobs.retrieve(id)
        if job.status in OVER:
            return job
    raise AssertionError(f"the job is still {job.status}")


def events(client: openai.OpenAI, id: str, **query: Any) -> list[FineTuningJobEvent]:
    """All events, the oldest first."""
    return list(client.fine_tuning.jobs.list_events(id, **query))[::-1]


def metrics(client: openai.OpenAI, id: str) -> list[dict[str, float]]:
    return [event.data for event in events(client, id, limit=100) if event.type == "metrics"]  # type: ignore[misc]  # the client types data as object


# ---------------------------------------------------------------- the loop


def test_a_job_goes_from_upload_to_a_tuned_model_under_which_the_text_is_likelier(
    client: openai.OpenAI, tuning: Tuning
) -> None:
    base = tuning.language_of("base")
    assert base is not None
    untuned = base.loss(["The gauge is open, I looked."])

    file = upload(client, GOOD)
    job = client.fine_tuning.jobs.create(
        model="base", training_file=file.id, suffix="mine", seed=7, metadata={"arm": "opoi"}
    )
    statuses = [job.status]
    while job.status not in OVER:
        job = client.fine_tuning.jobs.retrieve(job.id)
        statuses.append(job.status)

    assert statuses == ["validating_files", "queued", "running", "running", "running", "succeeded"]
    name = job.fine_tuned_model
    assert name is not None
    assert name.startswith("ft:base:mine:")
    assert name in tuning.models()
    assert "base" not in tuning.models()
    language = tuning.language_of(name)
    assert language is not None
    assert language.loss(["The gauge is open, I looked."]) < untuned / 2
    assert base.loss(["The gauge is open, I looked."]) == untuned
    assert (job.seed, job.metadata, job.error) == (7, {"arm": "opoi"}, None)
    assert job.hyperparameters.n_epochs == 3
    assert job.trained_tokens == 3 * 10 * len(base.tokens(rendered_line(LINE)))
    assert job.finished_at is not None
    assert job.finished_at > job.created_at


def test_over_real_sockets_the_tuned_model_is_listed_answers_and_scores_its_text_higher() -> None:
    text = "The gauge is open, I looked."
    with (
        running(MODEL, name="base") as url,
        openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client,
    ):
        name = tuned(client, suffix="mine").fine_tuned_model
        assert name is not None
        listed = [model.id for model in client.models.list()]
        assert listed[0] == "base"
        assert name in listed
        assert client.models.retrieve(name).id == name
        said = client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hi"}])
        assert (said.model, said.choices[0].message.content) == (name, "You said: Hi")

        def score(model: str) -> float:
            answer = client.completions.create(model=model, prompt=text, echo=True, logprobs=1, max_tokens=0)
            logprobs = answer.choices[0].logprobs
            assert logprobs is not None
            return sum(value for value in logprobs.token_logprobs or () if value is not None)

        for model in listed[1:]:
            assert score(model) > score("base") / 4  # log-probabilities: the larger the likelier
        client.models.delete(name)
        assert name not in [model.id for model in client.models.list()]
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hi"}])


def test_the_same_requests_get_the_same_bytes_from_another_server() -> None:
    def all_bytes() -> list[bytes]:
        with serving() as (client, _):
            job = tuned(client, suffix="x", validation_file=upload(client, GOOD).id)
            raw = client.fine_tuning.jobs.with_raw_response
            return [
                raw.retrieve(job.id).content,
                raw.list_events(job.id).content,
                client.fine_tuning.jobs.checkpoints.with_raw_response.list(job.id).content,
                client.files.with_raw_response.list().content,
                client.files.content(job.result_files[0]).content,
            ]

    assert all_bytes() == all_bytes()


def test_two_equal_jobs_and_two_equal_files_have_ids_of_their_own(client: openai.OpenAI) -> None:
    first, second = tuned(client), tuned(client)
    assert first.id != second.id
    assert first.training_file != second.training_file
    assert first.fine_tuned_model != second.fine_tuned_model
    told = [event.id for job in (first, second) for event in events(client, job.id)]
    assert len(set(told)) == len(told)


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), min_size=1),
    weights=st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=2).filter(any),
)
@settings(deadline=None, max_examples=20)
def test_what_our_own_exporter_writes_is_accepted(texts: list[str], weights: list[float]) -> None:
    tool = ToolSpec(name="read", description=texts[0], parameters={"type": "object"})
    call = ToolCall(id="c", name="read", arguments=texts[-1])
    messages = (
        Message(role="assistant", tool_calls=(call,), author="student", loss_weight=weights[0]),
        Message(role="tool", content=texts[-1], tool_call_id="c", author="env"),
        Message(role="assistant", content=texts[0], author="student", loss_weight=weights[1]),
    )
    prompt = (Message(role="system", content=texts[0], author="suite"),)
    trace = Trace(id="t", scenario_id="s", arm="a", run=0, as_of="", prompt=prompt, messages=messages)
    exported = FORMATS["openai"](Example(trace=trace, tools=(tool,)))
    with serving() as (client, _):
        job = tuned(client, jsonl(*[exported] * 10))
        assert job.status == "succeeded", job.error
        assert not [event for event in events(client, job.id) if event.level != "info"]


# ---------------------------------------------------------------- what is learned


def rendered_line(raw: bytes) -> str:
    """A line without tools as the text that is scored."""
    messages = [
        Message(role=m["role"], content=m["content"], author="suite") for m in json.loads(raw)["messages"]
    ]
    return rendered(messages, prompt=False)


def answer_losses(language: LanguageModel, raw: bytes) -> list[float]:
    """The losses of the tokens of all answers that begin with `Number`: by the chain rule, not by spans."""
    whole = rendered_line(raw)
    losses: list[float] = []
    for found in re.finditer("Number", whole):
        end = whole.index("<|end|>\n", found.start()) + len("<|end|>\n")
        scored = language.score(whole[found.start() : end], given=whole[: found.start()])
        losses += [-token.logprob for token in scored]
    return losses


def test_the_first_loss_is_that_of_the_untuned_model_on_the_answers_given_their_prompts(
    client: openai.OpenAI,
) -> None:
    def turns(i: int) -> list[tuple[str, str]]:
        return [("user", f"Is gauge {i} open?"), ("assistant", f"Number {i} is."), ("user", "Sure?")]

    lines = [line(*turns(i), ("assistant", "Number, yes.")) for i in range(12)]
    job = tuned(client, jsonl(*lines), hyperparameters={"batch_size": 12, "n_epochs": 1})
    losses = [loss for raw in lines for loss in answer_losses(LanguageModel(), raw)]
    (step,) = metrics(client, job.id)
    assert step["train_loss"] == pytest.approx(sum(losses) / len(losses), abs=2e-6)
    assert (step["step"], step["total_steps"]) == (1, 1)


@given(
    answer=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    size=st.integers(1, 12),
)
@settings(deadline=None, max_examples=25)
def test_on_one_repeated_text_the_loss_falls_with_every_step(answer: str, size: int) -> None:
    with serving() as (client, _):
        content = jsonl(*[line(("user", "?"), ("assistant", answer))] * 12)
        job = tuned(client, content, hyperparameters={"batch_size": size, "n_epochs": 2})
        losses = [step["train_loss"] for step in metrics(client, job.id)]
    assert len(losses) == 2 * -(-12 // size)
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_what_has_weight_0_or_is_not_the_assistants_is_not_learned(
    client: openai.OpenAI, tuning: Tuning
) -> None:
    def language(unlearned: str) -> LanguageModel:
        content = jsonl(
            *[line(("user", unlearned), spoken(unlearned, 0), ("user", unlearned), spoken("It is open.", 1))]
            * 10
        )
        name = tuned(client, content).fine_tuned_model
        assert name is not None
        found = tuning.language_of(name)
        assert found is not None
        return found

    one, other = language("alpha beta gamma"), language("delta epsilon")
    probes = ["alpha beta gamma", "delta epsilon", "It is open."]
    assert [one.loss([probe]) for probe in probes] == [other.loss([probe]) for probe in probes]
    assert one.loss(["It is open."]) < LanguageModel().loss(["It is open."]) / 2


def test_validation_is_measured_and_not_learned(client: openai.OpenAI, tuning: Tuning) -> None:
    held_out = jsonl(*[line(("user", "Is it?"), ("assistant", f"Number {'one ' * i}.")) for i in range(11)])
    options: dict[str, Any] = {"seed": 1, "hyperparameters": {"batch_size": 4, "n_epochs": 2}}
    plain = tuned(client, **options)
    measured = tuned(client, validation_file=upload(client, held_out).id, **options)
    with_it, without = metrics(client, measured.id), metrics(client, plain.id)
    assert [step["train_loss"] for step in with_it] == [step["train_loss"] for step in without]
    assert all("valid_loss" in step for step in with_it)
    assert not any("valid_loss" in step for step in without)
    assert [step["step"] for step in with_it if "full_valid_loss" in step] == [3, 6]

    language = tuning.language_of(measured.fine_tuned_model or "")
    assert language is not None
    lines = held_out.splitlines()
    losses = [loss for raw in lines for loss in answer_losses(language, raw)]
    assert with_it[-1]["full_valid_loss"] == pytest.approx(sum(losses) / len(losses), abs=2e-6)
    batch = [lines[index] for index in (9, 10, 0, 1)]  # the sixth four of eleven, round and round
    losses = [loss for raw in batch for loss in answer_losses(language, raw)]
    assert with_it[-1]["valid_loss"] == pytest.approx(sum(losses) / len(losses), abs=2e-6)


def test_the_seed_decides_the_order_and_the_order_alone(client: openai.OpenAI, tuning: Tuning) -> None:
    content = jsonl(*[line(("user", "?"), ("assistant", f"Answer {'very ' * i}long.")) for i in range(10)])

    def run(seed: int) -> tuple[list[float], float]:
        job = tuned(client, content, seed=seed)
        language = tuning.language_of(job.fine_tuned_model or "")
        assert language is not None
        return [step["train_loss"] for step in metrics(client, job.id)], language.loss(["Answer very long."])

    first, again, other = run(1), run(1), run(2)
    assert first == again
    assert first[0] != other[0]
    assert first[1] == other[1]  # counts do not know in which order they came


@pytest.mark.parametrize(("asked", "passes"), [("auto", 1), (0.1, 1), (1.4, 1), (2, 2), (10, 10)])
def test_the_learning_rate_says_how_often_a_text_counts(
    client: openai.OpenAI, tuning: Tuning, asked: str | float, passes: int
) -> None:
    one_epoch = {"n_epochs": 1, "learning_rate_multiplier": asked}
    job = tuned(client, method={"type": "supervised", "supervised": {"hyperparameters": one_epoch}})
    expected = LanguageModel()
    text = rendered_line(LINE)
    for start in ("<|assistant|>", "The gauge"):
        expected.learn(text[text.index(start) :], passes=10 * passes)
    language = tuning.language_of(job.fine_tuned_model or "")
    assert language is not None
    assert language.loss([text]) == expected.loss([text])


def test_a_tuned_model_can_be_tuned_on(client: openai.OpenAI, tuning: Tuning) -> None:
    first = tuned(client)
    second = tuned(client, model=first.fine_tuned_model)
    assert (second.fine_tuned_model or "").startswith("ft:base:")
    assert metrics(client, second.id)[0]["train_loss"] < metrics(client, first.id)[0]["train_loss"] / 2


# ---------------------------------------------------------------- checkpoints and results


def test_each_epoch_leaves_a_checkpoint_that_answers_and_the_last_three_are_kept(
    client: openai.OpenAI, tuning: Tuning
) -> None:
    job = tuned(client, hyperparameters={"n_epochs": 5})
    points = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=1))
    assert [point.step_number for point in points] == [50, 40, 30]
    assert points[0].fine_tuned_model_checkpoint == job.fine_tuned_model
    names = [point.fine_tuned_model_checkpoint for point in points]
    assert sorted(tuning.models()) == sorted(names)
    found = [tuning.language_of(name) for name in names]
    losses = [language.loss(["The gauge is open, I looked."]) for language in found if language]
    assert len(losses) == 3
    assert losses[0] < losses[1] < losses[2]  # later ones have learned more
    by_step = {step["step"]: step for step in metrics(client, job.id)}
    for point in points:
        assert point.metrics.train_loss == by_step[point.step_number]["train_loss"]


def test_the_results_file_is_the_metrics_as_csv_in_base64(client: openai.OpenAI) -> None:
    job = tuned(client, validation_file=upload(client, GOOD).id)
    (id,) = job.result_files
    assert client.files.retrieve(id).purpose == "fine-tune-results"
    rows = base64.b64decode(client.files.content(id).text).decode().splitlines()
    names = rows[0].split(",")
    parsed = [
        {name: float(cell) for name, cell in zip(names, row.split(","), strict=True) if cell}
        for row in rows[1:]
    ]
    told = [{key: step[key] for key in step if key != "total_steps"} for step in metrics(client, job.id)]
    assert parsed == told


def test_a_deleted_model_is_gone(client: openai.OpenAI, tuning: Tuning) -> None:
    name = tuned(client).fine_tuned_model
    assert name is not None
    assert client.models.delete(name).deleted
    assert name not in tuning.models()
    assert tuning.language_of(name) is None
    for gone in (name, "base", "no-such"):
        with pytest.raises(openai.NotFoundError):
            client.models.delete(gone)


# ---------------------------------------------------------------- files that cannot be learned

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USER, ANSWER = ("user", "?"), ("assistant", "yes")
CALLS = {"role": "assistant", "tool_calls": [CALL]}
BAD: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"{", "not JSON"),
    "not an object": (b"[1]", "not a JSON object"),
    "empty": (b"", "empty"),
    "not UTF-8": (line(USER, ("assistant", "x")).replace(b'"x"', b'"\xff"'), "not JSON"),
    "half a surrogate pair": (line(USER, ("assistant", "x")).replace(b'"x"', rb'"\ud800"'), "not JSON"),
    "no messages": (b"{}", "messages"),
    "messages empty": (line(), "empty"),
    "unknown field": (line(USER, ANSWER, extra=1), "extra"),
    "unknown role": (line(("robot", "x"), ANSWER), "robot"),
    "no content": (line({"role": "user"}, ANSWER), "content"),
    "image": (line({"role": "user", "content": [{"type": "image_url"}]}, ANSWER), "image_url"),
    "user last": (line(ANSWER, USER), "last message"),
    "weight of a user": (line({"role": "user", "content": "x", "weight": 1}, ANSWER), "weight"),
    "weight 2": (line(USER, spoken("x", 2)), "weight"),
    "weight true": (line(USER, spoken("x", True)), "weight"),
    "nothing learned": (line(USER, spoken("x", 0)), "weight 0"),
    "assistant says nothing": (line(USER, ("assistant", "")), "neither"),
    "calls empty": (line(USER, {"role": "assistant", "tool_calls": []}), "empty"),
    "same id twice": (line(USER, {"role": "assistant", "tool_calls": [CALL, CALL]}), "same id"),
    "call not answered": (line(USER, CALLS, USER, ANSWER), "not been answered"),
    "no call open": (line(USER, {"role": "tool", "tool_call_id": "c", "content": "x"}, ANSWER), "no open"),
    "result of another": (
        line(USER, CALLS, {"role": "tool", "tool_call_id": "d", "content": "x"}, ANSWER),
        "no open",
    ),
    "user answers a call": (
        line({"role": "user", "content": "x", "tool_call_id": "c"}, ANSWER),
        "tool_call_id",
    ),
    "tool without a name": (line(USER, ANSWER, tools=[{"type": "function", "function": {}}]), "name"),
    "tool's bad name": (line(USER, ANSWER, tools=[{"type": "function", "function": {"name": "a b"}}]), "a b"),
    "tool twice": (
        line(USER, ANSWER, tools=[{"type": "function", "function": {"name": "f"}}] * 2),
        "used twice",
    ),
    "preferences": (b'{"input": {}, "preferred_output": [], "non_preferred_output": []}', "dpo"),
    "completion": (b'{"prompt": "a", "completion": "b"}', "prompt and its completion"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_fails_the_job_and_is_named(client: openai.OpenAI, tuning: Tuning, name: str) -> None:
    bad, said = BAD[name]
    job = tuned(client, jsonl(*[LINE] * 11, bad, LINE))
    assert job.status == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    assert job.error.message.startswith("line 12: ")
    assert said in job.error.message
    last = events(client, job.id)[-1]
    assert last.level == "error"
    assert job.error.message in last.message
    assert (job.fine_tuned_model, job.result_files, tuning.models()) == (None, [], [])
    assert job.finished_at is not None


def test_the_first_bad_line_is_told_and_the_others_are_counted(client: openai.OpenAI) -> None:
    job = tuned(client, jsonl(*[LINE] * 10, b"{", LINE, b"{", b"{"))
    assert job.error is not None
    assert job.error.message.startswith("line 11: ")
    assert job.error.message.endswith("(and 2 more lines are wrong)")


@pytest.mark.parametrize("count", [1, 9, 10])
def test_at_least_ten_examples_are_needed(client: openai.OpenAI, count: int) -> None:
    job = tuned(client, jsonl(*[LINE] * count))
    assert job.status == ("succeeded" if count == 10 else "failed")
    if count < 10:
        assert job.error is not None
        assert job.error.code == "invalid_n_examples"
        assert f"has {count} examples" in job.error.message


def test_a_bad_validation_file_is_told_apart(client: openai.OpenAI) -> None:
    job = tuned(client, validation_file=upload(client, jsonl(*[LINE] * 10, b"{")).id)
    assert job.error is not None
    assert (job.error.code, job.error.param) == ("invalid_validation_file", "validation_file")


def test_a_file_deleted_before_it_was_read_fails_the_job(client: openai.OpenAI) -> None:
    file = upload(client, GOOD)
    job = client.fine_tuning.jobs.create(model="base", training_file=file.id)
    client.files.delete(file.id)
    error = ended(client, job.id).error
    assert error is not None
    assert error.code == "file_not_found"


def test_what_is_seldom_meant_is_a_warning(client: openai.OpenAI) -> None:
    calling = line(USER, CALLS)
    job = tuned(client, jsonl(*[LINE] * 9, calling), validation_file=upload(client, GOOD).id)
    assert job.status == "succeeded"
    warned = [event.message for event in events(client, job.id, limit=100) if event.level == "warn"]
    assert len(warned) == 2
    assert "line 10: f" in warned[0]
    assert warned[1].startswith("10 validation examples")


@given(content=st.binary(min_size=1, max_size=60))
@settings(deadline=None, max_examples=20)
def test_any_bytes_end_as_a_failure_with_a_reason(content: bytes) -> None:
    with serving() as (client, _):
        job = tuned(client, content)
        assert job.status == "failed"
        assert job.error is not None
        assert job.error.message.startswith("line 1: ")


@given(good=st.integers(8, 12), bad=st.lists(st.sampled_from([b"{}", b"", b"[", LINE[:-1]]), max_size=2))
@settings(deadline=None, max_examples=15)
def test_a_job_succeeds_when_ten_lines_are_good_and_none_is_bad(good: int, bad: list[bytes]) -> None:
    with serving() as (client, _):
        job = tuned(client, jsonl(*[LINE] * good, *bad))
        assert (job.status == "succeeded") == (good >= 10 and not bad)


# ---------------------------------------------------------------- events and pages


@given(limit=st.integers(1, 40))
@settings(deadline=None, max_examples=8)
def test_walking_the_pages_gives_every_event_once_newest_first(limit: int) -> None:
    with serving() as (client, _):
        job = tuned(client)
        once = client.fine_tuning.jobs.list_events(job.id, limit=100)
        assert not once.has_more
        exact = client.fine_tuning.jobs.list_events(job.id, limit=len(once.data))
        assert (exact.has_more, len(exact.data)) == (False, len(once.data))
        assert client.fine_tuning.jobs.list_events(job.id, limit=len(once.data) - 1).has_more
        walked = list(client.fine_tuning.jobs.list_events(job.id, limit=limit))
        assert [event.id for event in walked] == [event.id for event in once.data]
        assert len({event.id for event in walked}) == len(walked) == 2 + 1 + 1 + 30 + 3 + 2
        times = [event.created_at for event in walked]
        assert times == sorted(times, reverse=True)


def test_a_walk_over_the_pages_of_a_running_job_is_one_look(client: openai.OpenAI) -> None:
    job = client.fine_tuning.jobs.create(model="base", training_file=upload(client, GOOD).id)
    for _ in range(2):
        client.fine_tuning.jobs.retrieve(job.id)  # running
    walked = events(client, job.id, limit=3)
    assert len({event.id for event in walked}) == len(walked)
    assert len([event for event in walked if event.type == "metrics"]) == 10  # one epoch
    assert [job.status for job in client.fine_tuning.jobs.list()] == ["running"]
    assert len([event for event in events(client, job.id, limit=3) if event.type == "metrics"]) == 20


@given(limit=st.integers(1, 6), order=st.sampled_from(["asc", "desc"]))
@settings(deadline=None, max_examples=8)
def test_files_and_jobs_are_listed_once_each_in_order(limit: int, order: str) -> None:
    with serving() as (client, _):
        files = [upload(client, GOOD) for _ in range(4)]
        other = client.files.create(file=("a.txt", b"a"), purpose="user_data")
        jobs = [
            client.fine_tuning.jobs.create(model="base", training_file=files[0].id, metadata=metadata)
            for metadata in ({"arm": "a"}, None, {"arm": "b"}, {})
        ]
        turn = 1 if order == "asc" else -1
        listed = list(client.files.list(limit=limit, order=order))  # type: ignore[arg-type]  # one of its literals
        assert [file.id for file in listed] == [file.id for file in (*files, other)][::turn]
        chosen = list(client.files.list(limit=limit, purpose="user_data"))
        assert [file.id for file in chosen] == [other.id]

        ids = [job.id for job in jobs]
        assert [job.id for job in client.fine_tuning.jobs.list(limit=limit)] == ids[::-1]
        assert {job.status for job in client.fine_tuning.jobs.list()} == {"validating_files"}  # no look
        found = client.fine_tuning.jobs.list(limit=limit, metadata={"arm": "b"})
        assert [job.id for job in found] == [ids[2]]
        none = client.fine_tuning.jobs.list(extra_query={"metadata": "null"})
        assert [job.id for job in none] == [ids[1]]


# ---------------------------------------------------------------- cancel, pause, resume


@pytest.mark.parametrize("looks", [0, 1, 2, 3])
def test_a_cancelled_job_stays_cancelled(client: openai.OpenAI, tuning: Tuning, looks: int) -> None:
    job = client.fine_tuning.jobs.create(model="base", training_file=upload(client, GOOD).id)
    for _ in range(looks):
        client.fine_tuning.jobs.retrieve(job.id)
    told = len(client.fine_tuning.jobs.list_events(job.id, limit=100).data) if looks == 3 else 0
    cancelled = client.fine_tuning.jobs.cancel(job.id)
    assert (cancelled.status, cancelled.fine_tuned_model) == ("cancelled", None)
    again = client.fine_tuning.jobs.retrieve(job.id)
    assert again == cancelled
    assert len(events(client, job.id, limit=100)) > told
    assert not [name for name in tuning.models() if "ckpt" not in name]
    for command in (client.fine_tuning.jobs.cancel, client.fine_tuning.jobs.pause):
        with pytest.raises(openai.BadRequestError, match="is cancelled"):
            command(job.id)


def test_a_paused_job_stands_still_until_it_is_resumed(client: openai.OpenAI) -> None:
    job = client.fine_tuning.jobs.create(model="base", training_file=upload(client, GOOD).id)
    client.fine_tuning.jobs.retrieve(job.id)
    with pytest.raises(openai.BadRequestError, match="is not paused"):
        client.fine_tuning.jobs.resume(job.id)
    assert client.fine_tuning.jobs.pause(job.id).status == "queued"
    assert {client.fine_tuning.jobs.retrieve(job.id).status for _ in range(5)} == {"queued"}
    with pytest.raises(openai.BadRequestError, match="is paused"):
        client.fine_tuning.jobs.pause(job.id)
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    assert ended(client, job.id).status == "succeeded"
    messages = [event.message for event in events(client, job.id, limit=100)]
    assert [text for text in messages if text.startswith("The job was")] == [
        "The job was paused",
        "The job was resumed",
    ]


class Jobs(RuleBasedStateMachine):
    """One server, several jobs, any order of requests: a model of what may be seen keeps watch."""

    def __init__(self) -> None:
        super().__init__()
        self._serving = serving()
        self.client, self.tuning = self._serving.__enter__()
        self.files = [upload(self.client, GOOD).id, upload(self.client, GOOD[:-9]).id]
        self.seen: dict[str, FineTuningJob] = {}
        self.told: dict[str, list[str]] = {}
        self.paused: set[str] = set()

    def teardown(self) -> None:
        self._serving.__exit__(None, None, None)

    def note(self, job: FineTuningJob) -> None:
        before = self.seen.get(job.id, job)
        assert ORDER.index(job.status) >= ORDER.index(before.status)
        if before.status in OVER:
            assert job == before
        assert (job.fine_tuned_model is not None) == (job.status == "succeeded")
        assert (job.error is not None) == (job.status == "failed")
        assert (job.finished_at is not None) == (job.status in OVER)
        if job.id in self.paused and job.status not in OVER:
            assert job.status == before.status
        self.seen[job.id] = job

    @rule(file=st.integers(0, 1), epochs=st.integers(1, 2))
    def create(self, file: int, epochs: int) -> None:
        job = self.client.fine_tuning.jobs.create(
            model="base",
            training_file=self.files[file],
            hyperparameters={"n_epochs": epochs, "batch_size": 5},
        )
        assert job.id not in self.seen
        self.note(job)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        self.note(self.client.fine_tuning.jobs.retrieve(data.draw(st.sampled_from(sorted(self.seen)))))

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), limit=st.integers(1, 5))
    def walk(self, data: st.DataObject, limit: int) -> None:
        id = data.draw(st.sampled_from(sorted(self.seen)))
        ids = [event.id for event in events(self.client, id, limit=limit)]
        before = self.told.get(id, [])
        assert ids[: len(before)] == before
        assert len(set(ids)) == len(ids)
        self.told[id] = ids

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), verb=st.sampled_from(["cancel", "pause", "resume"]))
    def command(self, data: st.DataObject, verb: str) -> None:
        id = data.draw(st.sampled_from(sorted(self.seen)))
        over = self.tuning._jobs[id].over  # without a look
        allowed = not over and (verb == "cancel" or (verb == "resume") == (id in self.paused))
        try:
            job = getattr(self.client.fine_tuning.jobs, verb)(id)
        except openai.BadRequestError:
            assert not allowed
            return
        assert allowed
        self.note(job)
        self.paused = self.paused | {id} if verb == "pause" else self.paused - {id}

    @invariant()
    def the_models_are_those_of_the_jobs(self) -> None:
        made = {job.fine_tuned_model for job in self.client.fine_tuning.jobs.list(limit=100)} - {None}
        listed = self.tuning.models()
        assert made <= set(listed)
        assert all(name in made or ":ckpt-step-" in name for name in listed)


TestJobs = Jobs.TestCase
TestJobs.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)


# ---------------------------------------------------------------- files


@given(
    content=st.binary(min_size=1, max_size=200),
    name=st.from_regex(r"[a-z ]{1,9}\.[a-z]{1,5}", fullmatch=True),
)
@settings(deadline=None, max_examples=25)
def test_a_file_comes_back_as_it_was_sent(content: bytes, name: str) -> None:
    with serving() as (client, _):
        file = client.files.create(file=(name, content), purpose="user_data")
        assert client.files.content(file.id).content == content
        assert client.files.retrieve(file.id) == file
        assert (file.bytes, file.filename, file.purpose) == (len(content), name, "user_data")
        assert client.files.delete(file.id).deleted
        for gone in (client.files.retrieve, client.files.content, client.files.delete):
            with pytest.raises(openai.NotFoundError):
                gone(file.id)
        assert not client.files.list().data


@given(body=st.binary(max_size=80), kind=st.sampled_from(["x", '"x"', "", "x; charset=utf-8"]))
@settings(deadline=None, max_examples=40)
def test_what_is_no_form_is_refused(body: bytes, kind: str) -> None:
    http = TestClient(app(MODEL, name="base"))
    answer = http.post(
        "/v1/files", content=body, headers={"Content-Type": f"multipart/form-data; boundary={kind}"}
    )
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


# ---------------------------------------------------------------- what is refused

File = Callable[[openai.OpenAI], object]


def create(**asked: Any) -> File:
    return lambda client: client.fine_tuning.jobs.create(
        **{"model": "base", "training_file": upload(client, GOOD).id, **asked}
    )


def of_data(client: openai.OpenAI) -> object:
    file = client.files.create(file=("a.jsonl", GOOD), purpose="batch")
    return client.fine_tuning.jobs.create(model="base", training_file=file.id)


def supervised(**asked: object) -> dict[str, object]:
    return {"type": "supervised", "supervised": {"hyperparameters": asked}}


REFUSED: dict[str, tuple[File, int, str | None, str | None]] = {
    "unknown model": (create(model="gpt"), 400, "model", "model_not_available"),
    "unknown file": (create(training_file="file-x"), 400, "training_file", "file_not_found"),
    "unknown validation": (create(validation_file="file-x"), 400, "validation_file", "file_not_found"),
    "wrong purpose": (of_data, 400, "training_file", "invalid_purpose"),
    "dpo": (create(method={"type": "dpo", "dpo": {}}), 400, "method", "unsupported_value"),
    "reinforcement": (create(method={"type": "reinforcement"}), 400, "method", "unsupported_value"),
    "integrations": (
        create(integrations=[{"type": "wandb", "wandb": {"project": "p"}}]),
        400,
        "integrations",
        "unsupported_value",
    ),
    "unknown field": (create(extra_body={"colour": 1}), 400, "colour", "invalid_value"),
    "unknown hyperparameter": (create(hyperparameters={"beta": 1}), 400, "hyperparameters", "invalid_value"),
    "no epochs": (create(hyperparameters={"n_epochs": 0}), 400, "hyperparameters", "invalid_value"),
    "no batch": (create(method=supervised(batch_size=0)), 400, "method", "invalid_value"),
    "rate 0": (
        create(hyperparameters={"learning_rate_multiplier": 0}),
        400,
        "hyperparameters",
        "invalid_value",
    ),
    "twice": (
        create(hyperparameters={"n_epochs": 1}, method=supervised(n_epochs=1)),
        400,
        "hyperparameters",
        "invalid_value",
    ),
    "long suffix": (create(suffix="x" * 65), 400, "suffix", "invalid_value"),
    "colon in suffix": (create(suffix="a:b"), 400, "suffix", "invalid_value"),
    "line break in suffix": (create(suffix="a\n"), 400, "suffix", "invalid_value"),
    "negative seed": (create(seed=-1), 400, "seed", "invalid_value"),
    "metadata": (create(metadata={"k": "v" * 513}), 400, "metadata", "invalid_value"),
    "unknown job": (
        lambda client: client.fine_tuning.jobs.retrieve("x"),
        404,
        "fine_tune_id",
        "fine_tune_not_found",
    ),
    "events of none": (
        lambda client: client.fine_tuning.jobs.list_events("x"),
        404,
        "fine_tune_id",
        "fine_tune_not_found",
    ),
    "points of none": (
        lambda client: client.fine_tuning.jobs.checkpoints.list("x"),
        404,
        "fine_tune_id",
        "fine_tune_not_found",
    ),
    "cancel none": (
        lambda client: client.fine_tuning.jobs.cancel("x"),
        404,
        "fine_tune_id",
        "fine_tune_not_found",
    ),
    "unknown file id": (lambda client: client.files.retrieve("x"), 404, "id", None),
    "name": (
        lambda client: client.files.create(file=GOOD, purpose="fine-tune"),
        400,
        "file",
        "invalid_file_format",
    ),
    "purpose": (
        lambda client: client.files.create(file=GOOD, purpose="fun"),  # type: ignore[arg-type]  # on purpose
        400,
        "purpose",
        "invalid_value",
    ),
    "expiry": (
        lambda client: client.files.create(
            file=GOOD, purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
        ),
        400,
        "expires_after[anchor]",
        "unsupported_value",
    ),
    "limit 0": (lambda client: client.files.list(limit=0), 400, "limit", "invalid_value"),
    "limit too large": (
        lambda client: client.fine_tuning.jobs.list(limit=101),
        400,
        "limit",
        "invalid_value",
    ),
    "after nothing": (lambda client: client.files.list(after="x"), 400, "after", "invalid_value"),
    "order": (lambda client: client.files.list(extra_query={"order": "up"}), 400, "order", "invalid_value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_openais_form(client: openai.OpenAI, tuning: Tuning, name: str) -> None:
    call, status, param, code = REFUSED[name]
    with pytest.raises(openai.APIStatusError) as caught:
        call(client)
    error = caught.value
    assert (error.status_code, error.param, error.code) == (status, param, code)
    assert error.type == "invalid_request_error"
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    assert not client.fine_tuning.jobs.list().data
    assert not tuning.models()


def test_two_files_in_one_form_are_refused(client: openai.OpenAI) -> None:
    files: Sequence[tuple[str, tuple[str, bytes]]] = [("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))]
    with pytest.raises(openai.BadRequestError, match="one file"):
        client.post(
            "/files",
            cast_to=object,
            body={"purpose": "batch"},
            files=files,
            options={"headers": {"Content-Type": "multipart/form-data"}},
        )


# ---------------------------------------------------------------- bounds and threads


def full(client: openai.OpenAI, call: Callable[[], object], code: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        call()
    assert (caught.value.status_code, caught.value.code) == (413, code)


def test_files_are_bounded_in_number_and_in_bytes() -> None:
    with serving(Limits(files=2, bytes=1000)) as (client, _):
        full(client, lambda: upload(client, b"x" * 1000), "request_too_large")
        first = upload(client, b"x" * 400)
        full(client, lambda: upload(client, b"x" * 601), "file_limit_exceeded")
        upload(client, b"x" * 600)
        full(client, lambda: upload(client, b"x"), "file_limit_exceeded")
        client.files.delete(first.id)
        upload(client, b"x" * 400)


def test_jobs_are_bounded_in_number_and_in_what_they_learn() -> None:
    with serving(Limits(jobs=4, learned=2 * len(GOOD))) as (client, _):
        file = upload(client, GOOD).id

        def create() -> FineTuningJob:
            return client.fine_tuning.jobs.create(model="base", training_file=file, validation_file=None)

        first, second = create(), create()
        full(client, create, "job_limit_exceeded")
        client.fine_tuning.jobs.cancel(first.id)  # has no model: its file no longer counts
        third = create()
        ended(client, second.id)
        full(client, create, "job_limit_exceeded")  # its models are kept
        for point in client.fine_tuning.jobs.checkpoints.list(second.id):
            client.models.delete(point.fine_tuned_model_checkpoint)
        client.fine_tuning.jobs.cancel(third.id)
        create()
        full(client, create, "job_limit_exceeded")  # the fifth


def test_a_job_of_too_many_steps_fails_and_says_what_to_change() -> None:
    with serving(Limits(steps=29)) as (client, _):
        job = tuned(client)
        assert job.error is not None
        assert job.error.code == "invalid_hyperparameters"
        assert "larger batches" in job.error.message
        assert tuned(client, hyperparameters={"batch_size": 2}).status == "succeeded"


def test_many_threads_looking_at_one_job_train_it_once(client: openai.OpenAI) -> None:
    content = jsonl(*[line(("user", "?"), ("assistant", f"Answer {i}, and more. " * 9)) for i in range(150)])
    options: dict[str, Any] = {"seed": 3, "hyperparameters": {"batch_size": 5}}
    alone = metrics(client, tuned(client, content, **options).id)
    job = client.fine_tuning.jobs.create(model="base", training_file=upload(client, content).id, **options)
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: client.fine_tuning.jobs.retrieve(job.id).status, range(16)))
    assert statuses.count("succeeded") >= 11  # five looks bring it there
    assert metrics(client, job.id) == alone
