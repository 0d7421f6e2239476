"""References: every form gives the model it names, and every mistake is told with the forms that work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import openai
import pytest
import respx

from opoi.errors import PluginError, UsageError
from opoi.models.endpoint.model import EndpointModel
from opoi.models.resolve import ModelSettings, resolve_model
from opoi.models.scripted import ScriptedModel
from opoi.protocols import Model
from opoi.types import Message
from opoi_envs.echo import Echo, suite

LOCAL = "http://127.0.0.1:9/v1"
FAR = "https://models.example/v1"
CANARY = "sk-canary-5f1e8d77c0ffee"
ONE = {"choices": [{"message": {"content": "hi"}}]}


class _Core2(respx.mocks.HTTPCoreMocker):
    """Intercepts the client that openai 3 is made of, as respx intercepts httpx."""

    name = "httpcore2"
    targets = [target.replace("httpcore", "httpcore2") for target in respx.mocks.HTTPCoreMocker.targets]  # noqa: RUF012 - as respx has it


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    using = "httpcore" if issubclass(openai.DefaultHttpxClient, httpx.Client) else _Core2.name
    with respx.mock(assert_all_called=False, using=using) as router:
        yield router


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def resolve(reference: str, **settings: object) -> Model:
    return resolve_model(reference, suite=suite, settings=ModelSettings(**settings))


class Recorder(Echo):
    """A suite that says which persona it was asked for."""

    def stand_in(self, persona: str | Path = "default") -> Model:
        return ScriptedModel("hi", name=repr(persona))


@pytest.mark.parametrize(
    ("reference", "persona"),
    [
        ("stand-in", "default"),
        ("stand-in:careful", "careful"),
        ("stand-in:lab/mine.toml", Path("lab/mine.toml")),
    ],
)
def test_the_stand_in_is_that_of_the_suite(reference: str, persona: str | Path) -> None:
    model = resolve_model(reference, suite=Recorder(), settings=ModelSettings())
    assert model.name == repr(persona)


@pytest.mark.parametrize(
    "reference", ["", "gpt-4o", "stand-in:", "standin", ":", "a:", ":b", "no_such_module:x"]
)
def test_what_names_no_model_is_a_usage_error(reference: str) -> None:
    with pytest.raises(UsageError):
        resolve(reference)


def test_a_bare_name_is_answered_with_the_forms_that_work() -> None:
    with pytest.raises(UsageError, match="stand-in:PERSONA"):
        resolve("gpt-4o")


# ---------------------------------------------------------------- endpoints


def test_an_endpoint_gets_all_settings(server: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    route = server.post(f"{FAR}/chat/completions").respond(json=ONE)
    model = resolve(FAR, name="big", api_key_env="MY_KEY", temperature=None, max_tokens=5)
    assert isinstance(model, EndpointModel)
    model.complete([Message(role="user", content="?", author="suite")], (), seed=1)
    request = route.calls[0].request
    assert msgspec.json.decode(request.content) == {
        "model": "big",
        "messages": [{"role": "user", "content": "?"}],
        "seed": 1,
        "max_tokens": 5,
    }
    assert request.headers["authorization"] == f"Bearer {CANARY}"


def test_the_only_model_is_taken_and_a_choice_is_asked_for(server: respx.MockRouter) -> None:
    route = server.get(f"{LOCAL}/models")
    route.respond(json={"data": [{"id": "tiny"}]})
    assert resolve(LOCAL).name == "tiny"
    route.respond(json={"data": [{"id": "one"}, {"id": "two"}]})
    with pytest.raises(UsageError, match="it offers: one, two"):
        resolve(LOCAL)
    route.respond(json={"data": []})
    with pytest.raises(UsageError, match="it lists none"):
        resolve(LOCAL)


def test_a_key_is_needed_beyond_loopback_only(
    server: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve(LOCAL, name="tiny").name == "tiny"
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        resolve(FAR, name="big")
    monkeypatch.setenv("OPENAI_API_KEY", f"{CANARY} with blanks")
    with pytest.raises(UsageError) as caught:
        resolve(FAR, name="big")
    assert CANARY not in str(caught.value)


# ---------------------------------------------------------------- plug-ins

PLUGIN = """
from opoi.errors import UsageError
from opoi.types import Reply

class Constant:
    name = "constant"
    def complete(self, messages, tools, *, seed):
        return Reply(content="same")

model = Constant()
broken = 7

def make():
    return Constant()

def fails():
    raise LookupError("no weights")

def refuses():
    raise UsageError("set a folder")

def wrong():
    return 7
"""


@pytest.mark.parametrize("attribute", ["model", "Constant", "make"])
def test_a_file_brings_a_model_a_class_or_a_maker(attribute: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    model = resolve(f"{tmp_path / 'mine.py'}:{attribute}")
    assert model.complete([], (), seed=0).content == "same"


@pytest.mark.parametrize(
    ("attribute", "error", "words"),
    [
        ("broken", PluginError, "lacks `name` or `complete`"),
        ("wrong", PluginError, "it is 'int'"),
        ("fails", PluginError, "LookupError: no weights"),
        ("refuses", UsageError, "set a folder"),
        ("absent", UsageError, "absent"),
    ],
)
def test_a_plugin_that_is_no_model_is_told_why(
    attribute: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    with pytest.raises(error, match=words):
        resolve(f"{tmp_path / 'mine.py'}:{attribute}")


@pytest.mark.parametrize(
    "bad", [{"retries": -1}, {"timeout": 0}, {"max_tokens": 0}, {"key": "x"}, {"retries": True}]
)
def test_settings_are_strict(bad: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, ModelSettings)
