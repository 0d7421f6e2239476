"""The pytest plugin, in pytest runs of its own: record at a real server, stop it, replay."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opoi.errors import EndpointError
from opoi.models.resolve import ModelSettings, resolve_model
from opoi.models.scripted import ScriptedModel
from opoi.models.served.server import running
from opoi.models.tape import Tape
from opoi.types import Message

pytest_plugins = ["pytester"]

CANARY = "sk-canary-5f1e8d77c0ffee"
URL = "http://127.0.0.1:{}/v1"

PRELUDE = """
    import pathlib
    import pytest
    from opoi.types import Message

    def ask(model, text, seed=1):
        return model.complete([Message(role="user", content=text, author="suite")], (), seed=seed).content

    def port():
        return pathlib.Path("port").read_text()

    def tiny(tape, **settings):
        return tape.model("http://127.0.0.1:" + port() + "/v1", "tiny", **settings)
"""


class Bench:
    """A folder with a test module, and a server that can be stopped."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.file = pytester.path / "test_inner.py"
        self.tapes = pytester.path / "tapes" / "test_inner"
        self.write_port(9)

    def write_port(self, port: int | str) -> None:
        (self.pytester.path / "port").write_text(str(port))

    def module(self, text: str) -> None:
        """Write the test module; nothing of an earlier one is left in memory or on disk."""
        self.file.write_text(textwrap.dedent(PRELUDE) + textwrap.dedent(text))

    @contextmanager
    def serving(self, *says: str, token: str | None = None) -> Iterator[ScriptedModel]:
        """Serve a model that answers with the text it was asked, behind each of the given words in turn."""
        model = ScriptedModel(lambda messages, _, seed: f"{says[0]} {messages[-1].content} {seed}")
        with running(model, name="tiny", token=token) as url:
            self.write_port(url.split(":")[2].split("/")[0])
            yield model

    def run(self, *options: str, **kwargs: bool) -> pytest.RunResult:
        with warnings.catch_warnings():
            warnings.resetwarnings()  # what is an error in this run is none in the run inside
            return self.pytester.runpytest_inprocess(
                "-p",
                "opoi.pytest_plugin",
                "-p",
                "no:cacheprovider",
                "--import-mode=importlib",
                *options,
                **kwargs,
            )

    def tape(self, name: str = "test_it") -> Path:
        return self.tapes / f"{name}.jsonl"


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import what a call imports: an inner run forgets its imports, and openai takes a second."""
    with running(ScriptedModel(["yes"]), name="tiny") as url:
        model = resolve_model(url, suite=None, settings=ModelSettings())
        model.complete([Message(role="user", content="?", author="suite")], (), seed=1)


@pytest.fixture
def bench(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(
        sys, "dont_write_bytecode", True
    )  # a module of the same second is not mistaken for its heir
    return Bench(pytester)


ECHO = """
    def test_it(opoi_tape):
        model = tiny(opoi_tape)
        assert ask(model, "a") == "hear a 1"
        assert ask(model, "b", seed=2) == "hear b 2"
"""


def test_a_recorded_test_passes_without_its_server(bench: Bench) -> None:
    bench.module(ECHO)
    with bench.serving("hear") as model:
        bench.run("--opoi-record=once").assert_outcomes(passed=1)
        assert model.calls == 2
    recorded = bench.tape().read_bytes()
    bench.run().assert_outcomes(passed=1)
    bench.run("--opoi-record=none").assert_outcomes(passed=1)
    assert bench.tape().read_bytes() == recorded
    assert [path.name for path in bench.tapes.iterdir()] == ["test_it.jsonl"]


def test_replay_gives_the_recorded_answers_and_asks_no_server(bench: Bench) -> None:
    bench.module(ECHO)
    with bench.serving("hear"):
        bench.run("--opoi-record=once").assert_outcomes(passed=1)
        with bench.serving("never") as other:
            bench.write_port(json.loads(bench.tape().read_bytes().splitlines()[1])["url"].split(":")[2][:-3])
            bench.run().assert_outcomes(passed=1)
            assert other.calls == 0


def test_replay_opens_no_socket_needs_no_key_and_imports_no_client(bench: Bench) -> None:
    bench.module("""
        import socket, sys

        def test_it(opoi_tape):
            model = opoi_tape.model("https://models.example/v1", "tiny")
            assert ask(model, "a") == "yes"
            assert not {"openai", "httpx", "httpx2"} & set(sys.modules)

        @pytest.fixture(autouse=True)
        def no_sockets(monkeypatch):
            monkeypatch.setattr(socket, "socket", None)
    """)
    with Tape.open(bench.tape(), write=True) as tape:
        body = {
            "model": "tiny",
            "messages": [{"role": "user", "content": "a"}],
            "seed": 1,
            "temperature": 0.7,
            "max_tokens": 1024,
        }
        answer = b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'
        url = "https://models.example/v1"
        tape.add(tape.request("POST", url, "/chat/completions", body, label="1"), answer)
    done = bench.pytester.runpytest_subprocess("-p", "opoi.pytest_plugin", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)


def test_a_missing_tape_fails_the_test_and_says_how_to_record(bench: Bench) -> None:
    bench.module(ECHO)
    done = bench.run()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([f"*no tape for this test: {bench.tape()}", "*--opoi-record=once*"])


def test_a_changed_request_fails_with_a_diff(bench: Bench) -> None:
    bench.module(ECHO)
    with bench.serving("hear") as model:
        bench.run("--opoi-record=once").assert_outcomes(passed=1)
        bench.module(ECHO.replace('"b"', '"quite b"'))
        done = bench.run()
        done.assert_outcomes(failed=1)
        assert model.calls == 2
    done.stdout.fnmatch_lines(
        [
            f"*ReplayMissError*{bench.tape()}*",
            "*nearest recorded request (line 3)*message 1 of 1 (user)*",
            '*- *"content": "b"*',
            '*+ *"content": "quite b"*',
            "*--opoi-record=all*",
        ]
    )


def test_a_miss_that_the_code_swallows_fails_the_test_all_the_same(bench: Bench) -> None:
    bench.module(ECHO)
    with bench.serving("hear"):
        bench.run("--opoi-record=once").assert_outcomes(passed=1)
    bench.module("""
        def test_it(opoi_tape):
            try:
                ask(tiny(opoi_tape), "c")
            except Exception:
                pass
    """)
    done = bench.run()
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*went on after a request failed*", '*+ *"content": "c"*'])


def test_once_records_what_has_no_tape_and_all_records_anew(bench: Bench) -> None:
    bench.module("""
        def test_it(opoi_tape):
            print("said", ask(tiny(opoi_tape), "a"))

        def test_other(opoi_tape):
            print("said", ask(tiny(opoi_tape), "a"))
    """)

    def said(*options: str) -> list[str]:
        done = bench.run("-s", *options)
        done.assert_outcomes(passed=2)
        return [line.split("said ")[1] for line in done.outlines if "said " in line]

    with bench.serving("old") as model:
        assert said("--opoi-record=once") == ["old a 1"] * 2
        model._script = lambda *_: "new"
        bench.tape("test_other").unlink()
        assert said("--opoi-record=once") == ["old a 1", "new"]
        assert said() == ["old a 1", "new"]
        assert said("--opoi-record=all") == ["new", "new"]
    assert said() == ["new", "new"]


def test_requests_that_are_no_longer_made_are_told_when_the_test_passes(bench: Bench) -> None:
    bench.module(ECHO)
    with bench.serving("hear"):
        bench.run("--opoi-record=once").assert_outcomes(passed=1)
    bench.module(ECHO.replace('assert ask(model, "b"', 'assert 1 or ask(model, "b"'))
    done = bench.run()
    done.assert_outcomes(passed=1, warnings=1)
    done.stdout.fnmatch_lines(["*StaleTapeWarning: *holds 1 request*--opoi-record=all*"])
    bench.module(ECHO.replace('== "hear a 1"', '== "else"'))
    bench.run().assert_outcomes(failed=1, warnings=0)
    bench.run("--opoi-record=none", "-W", "error").assert_outcomes(failed=1)


def test_each_test_has_a_tape_of_its_own_whatever_its_name(bench: Bench) -> None:
    bench.module("""
        @pytest.mark.parametrize("text", ["a/b", "a:b", "../../up", "x" * 300, "é", "plain"])
        def test_it(opoi_tape, text):
            assert ask(tiny(opoi_tape), text).startswith("hear " + text)

        class TestGroup:
            def test_it(self, opoi_tape):
                ask(tiny(opoi_tape), "in a class")
    """)
    with bench.serving("hear"):
        bench.run("--opoi-record=once").assert_outcomes(passed=7)
    bench.run().assert_outcomes(passed=7)
    names = sorted(path.name for path in (bench.pytester.path / "tapes").rglob("*.jsonl"))
    assert [path.parent for path in bench.pytester.path.rglob("*.jsonl")] == [bench.tapes] * 7
    assert "test_it[plain].jsonl" in names
    assert "TestGroup.test_it.jsonl" in names
    assert all(len(name) < 150 and name.isascii() for name in names)


def test_a_failed_assertion_keeps_the_recording_a_failed_call_does_not(bench: Bench) -> None:
    bench.module(ECHO.replace('"hear a 1"', '"else"'))
    with bench.serving("hear") as model:
        bench.run("--opoi-record=once").assert_outcomes(failed=1)
        kept = bench.tape().read_bytes()
        assert kept.count(b"\n") == 2
        model._script = lambda *_: EndpointError("down")
        bench.module(ECHO.replace("tiny(opoi_tape)", "tiny(opoi_tape, retries=0)"))
        bench.run("--opoi-record=all").assert_outcomes(failed=1)
    assert bench.tape().read_bytes() == kept, "the old tape stays"
    assert [path.name for path in bench.tapes.iterdir()] == ["test_it.jsonl"]


def test_a_failure_that_the_test_expects_is_recorded_and_replayed(bench: Bench) -> None:
    bench.module("""
        from opoi.errors import EndpointError

        def test_it(opoi_tape):
            with pytest.raises(EndpointError, match="HTTP 502"):
                ask(tiny(opoi_tape, retries=0), "a")
    """)
    with bench.serving("hear") as model:
        model._script = lambda *_: EndpointError("down")
        bench.run("--opoi-record=once").assert_outcomes(passed=1)
    bench.run().assert_outcomes(passed=1)


def test_an_interrupted_recording_is_not_kept(bench: Bench) -> None:
    bench.module("""
        def test_it(opoi_tape):
            ask(tiny(opoi_tape), "a")
            raise KeyboardInterrupt
    """)
    with bench.serving("hear") as model:
        done = bench.run("--opoi-record=once", no_reraise_ctrlc=True)
        assert model.calls == 1
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert list(bench.tapes.iterdir()) == []


def test_a_key_is_nowhere_on_the_tape(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.module(
        """
        def test_it(opoi_tape):
            assert ask(tiny(opoi_tape, api_key_env="MY_KEY"), "a") == "your key is [key] a 1"

        def test_slip(opoi_tape):
            ask(tiny(opoi_tape, api_key_env="MY_KEY"), "my key is " + "CANARY"[:9] + "CANARY"[9:])
    """.replace('"CANARY"', f'"{CANARY[:5]}" "{CANARY[5:]}"')
    )
    monkeypatch.setenv("MY_KEY", CANARY)
    with bench.serving(f"your key is {CANARY}", token=CANARY):
        bench.run("--opoi-record=once").assert_outcomes(passed=2)
    files = [path for path in bench.pytester.path.rglob("*") if path.is_file()]
    assert bench.tape("test_slip") in files
    assert bench.tape("test_slip").read_bytes().count(b"[key]") >= 2
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    monkeypatch.delenv("MY_KEY")
    bench.run("-k", "test_it").assert_outcomes(passed=1, deselected=1)


def test_several_models_share_the_tape_of_a_test(bench: Bench) -> None:
    bench.module("""
        def test_it(opoi_tape):
            one, other = tiny(opoi_tape), tiny(opoi_tape, temperature=0.0)
            assert ask(one, "a") == ask(other, "a") == "hear a 1"
    """)
    with bench.serving("hear") as model:
        bench.run("--opoi-record=once").assert_outcomes(passed=1)
        assert model.calls == 2
    bench.run().assert_outcomes(passed=1)


def test_the_only_model_of_a_server_needs_no_name(bench: Bench) -> None:
    bench.module("""
        def test_it(opoi_tape):
            model = opoi_tape.model("http://127.0.0.1:" + port() + "/v1")
            assert (model.name, ask(model, "a")) == ("tiny", "hear a 1")
    """)
    with bench.serving("hear"):
        bench.run("--opoi-record=once").assert_outcomes(passed=1)
    bench.run().assert_outcomes(passed=1)


@pytest.mark.parametrize("setting", ["temprature=1", "temperature='hot'", "retries=-1"])
def test_a_setting_that_does_not_exist_is_told(bench: Bench, setting: str) -> None:
    bench.module(f"""
        def test_it(opoi_tape):
            tiny(opoi_tape, {setting})
    """)
    done = bench.run("--opoi-record=once")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*UsageError*no settings*", f"*{setting.split('=', maxsplit=1)[0]}*"])


def test_a_test_that_asks_nothing_leaves_no_tape(bench: Bench) -> None:
    bench.module("def test_it(opoi_tape): pass")
    bench.run("--opoi-record=all").assert_outcomes(passed=1)
    bench.run().assert_outcomes(passed=1)
    assert not bench.tapes.exists()


def test_the_plugin_is_light() -> None:
    """Every pytest run of everybody who has the package installed pays for it."""
    code = (
        "import sys, pytest, hashlib, warnings\n"
        "before = set(sys.modules)\n"
        "import opoi.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["opoi", "opoi.pytest_plugin"]
