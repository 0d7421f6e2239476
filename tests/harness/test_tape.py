"""Tapes: what is recorded is replayed byte for byte, nothing is sent in replay, no key is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opoi.errors import ArtefactError, EndpointError, OpoiError
from opoi.halting import Halt, HaltedError
from opoi.models.endpoint.faults import EndpointFaultError, Form, Kind, Where
from opoi.models.endpoint.lines import Line
from opoi.models.tape import Entry, Fault, RecordingLine, ReplayLine, ReplayMissError, Tape

URL = "http://127.0.0.1:9/v1"
CHAT = "/chat/completions"
CANARY = "sk-canary-5f1e8d77c0ffee"
HEAD = b'{"schema":"opoi.tape/1"}\n'
PLAIN = Where(URL, "tiny", secret="")


class Parrot(Line):
    """A line that says what it is told to say, one thing after the other, and counts."""

    def __init__(self, *says: bytes | Exception, where: Where = PLAIN) -> None:
        self._where = where
        self._says = list(says)
        self.asked = 0

    @property
    def where(self) -> Where:
        return self._where

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        return self.get(path)

    def get(self, path: str) -> bytes:
        self.asked += 1
        said = self._says.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def close(self) -> None:
        self.asked = -1


@contextmanager
def fresh() -> Iterator[Path]:
    """Give a path in a folder that is gone afterwards, one for each example."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "calls.tape"


def record(path: Path, *calls: tuple[dict[str, Any], bytes | Exception]) -> None:
    """Record answers to requests, in one sitting."""
    with Tape.open(path, write=True) as tape:
        for body, said in calls:
            line = RecordingLine(Parrot(said), tape)
            try:
                line.post(CHAT, body)
            except EndpointFaultError:
                assert isinstance(said, EndpointFaultError)


@contextmanager
def replaying(path: Path, where: Where = PLAIN) -> Iterator[ReplayLine]:
    with Tape.open(path, write=False) as tape:
        yield ReplayLine(tape, where)


def chat(*texts: str, **fields: object) -> dict[str, Any]:
    roles = ("system", "user", "assistant")
    messages = [{"role": roles[i and 2 - i % 2], "content": text} for i, text in enumerate(texts)]
    return {"model": "tiny", "messages": messages, **fields}


numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(texts, values, max_size=4)
faults = st.builds(
    EndpointFaultError,
    texts,
    kind=st.sampled_from(get_args(Kind)),
    why=texts,
    fix=texts,
    fatal=st.booleans(),
    again=st.booleans(),
    form=st.sampled_from(get_args(Form)),
)
parts = ("what", "kind", "why", "fix", "fatal", "again", "form")


# ---------------------------------------------------------------- what is recorded is replayed


@settings(max_examples=60)
@given(bodies, st.binary(max_size=60), texts, texts)
@example({}, b"", "", "")
@example(chat("one\ntwo\u2028three"), b'{"broken": "\xff\xfe\n"}\r\n', "/x", "7")
def test_any_answer_to_any_request_is_replayed_byte_for_byte(
    body: dict[str, Any], answer: bytes, path: str, label: str
) -> None:
    with fresh() as file:
        with Tape.open(file, write=True) as tape:
            assert RecordingLine(Parrot(answer), tape).post(path, body, label=label) == answer
            assert RecordingLine(Parrot(answer + b"?"), tape).get(path) == answer + b"?"
        assert file.read_bytes().count(b"\n") == 3
        with replaying(file) as line:
            assert line.post(path, body, label=label) == answer
            assert line.get(path) == answer + b"?"


@settings(max_examples=40)
@given(faults)
def test_a_fault_is_raised_again_as_it_was(fault: EndpointFaultError) -> None:
    with fresh() as file:
        with Tape.open(file, write=True) as tape, pytest.raises(EndpointFaultError) as live:
            RecordingLine(Parrot(fault), tape).post(CHAT, chat("?"))
        with replaying(file) as line, pytest.raises(EndpointFaultError) as replayed:
            line.post(CHAT, chat("?"))
    for raised in (live.value, replayed.value):
        assert [getattr(raised, part) for part in parts] == [getattr(fault, part) for part in parts]
        assert str(raised) == str(fault)


def test_every_part_of_a_fault_is_recorded() -> None:
    """A new attribute of the error has to be added to the record."""
    assert set(vars(EndpointFaultError("x"))) == set(Fault.__struct_fields__) == set(parts)


def test_equal_requests_get_the_recorded_outcomes_in_turn_and_then_the_last(tmp_path: Path) -> None:
    file = tmp_path / "t"
    busy = PLAIN.status(429, b"{}")
    record(file, (chat("?"), busy), (chat("?"), b"queued"), (chat("!"), b"else"), (chat("?"), b"done"))
    with replaying(file) as line:
        with pytest.raises(EndpointFaultError, match="limiting"):
            line.post(CHAT, chat("?"))
        assert [line.post(CHAT, chat("?")) for _ in range(4)] == [b"queued", b"done", b"done", b"done"]


def test_a_later_sitting_replaces_what_an_earlier_one_recorded(tmp_path: Path) -> None:
    file = tmp_path / "t"
    record(file, (chat("?"), b"old"), (chat("?"), b"older"), (chat("!"), b"kept"))
    record(file, (chat("?"), b"new"))
    with replaying(file) as line:
        assert [line.post(CHAT, chat("?")) for _ in range(2)] == [b"new", b"new"]
        assert line.post(CHAT, chat("!")) == b"kept"


def test_two_tapes_in_one_file_are_a_tape(tmp_path: Path) -> None:
    record(tmp_path / "a", (chat("?"), b"first"), (chat("!"), b"alone"))
    record(tmp_path / "b", (chat("?"), b"second"))
    both = tmp_path / "both"
    both.write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    with replaying(both) as line:
        assert (line.post(CHAT, chat("?")), line.post(CHAT, chat("!"))) == (b"second", b"alone")


def test_what_was_not_played_is_known(tmp_path: Path) -> None:
    file = tmp_path / "t"
    record(file, (chat("a"), b"replaced"))
    record(file, (chat("a"), b"1"), (chat("b"), b"2"), (chat("a"), b"3"), (chat("c"), b"4"))
    with Tape.open(file, write=False) as tape:
        line = ReplayLine(tape, PLAIN)
        assert [entry.outcome for entry in tape.unplayed()] == [b"1", b"2", b"3", b"4"]
        line.post(CHAT, chat("a"))
        line.post(CHAT, chat("c"))
        line.post(CHAT, chat("c"))
        assert [entry.outcome for entry in tape.unplayed()] == [b"2", b"3"]


def test_text_that_cannot_be_sent_fails_alike_in_recording_and_replay(tmp_path: Path) -> None:
    half = chat("\ud800")
    parrot = Parrot()
    with Tape.open(tmp_path / "t", write=True) as tape, pytest.raises(EndpointFaultError) as live:
        RecordingLine(parrot, tape).post(CHAT, half)
    with replaying(tmp_path / "t") as line, pytest.raises(EndpointFaultError) as replayed:
        line.post(CHAT, half)
    assert str(live.value) == str(replayed.value)
    assert live.value.kind == "request"
    assert parrot.asked == 0


def test_a_call_that_was_stopped_is_not_recorded(tmp_path: Path) -> None:
    with Tape.open(tmp_path / "t", write=True) as tape:
        line = RecordingLine(Parrot(HaltedError("stop")), tape)
        with pytest.raises(HaltedError):
            line.post(CHAT, chat("?"))
        assert list(tape) == []


def test_replay_stops_with_the_run(tmp_path: Path) -> None:
    record(tmp_path / "t", (chat("?"), b"yes"))
    halt = Halt()
    with Tape.open(tmp_path / "t", write=False) as tape:
        line = ReplayLine(tape, PLAIN, halt=halt)
        assert line.post(CHAT, chat("?")) == b"yes"
        halt.set()
        with pytest.raises(HaltedError):
            line.post(CHAT, chat("?"))


def test_closing_a_recording_line_closes_the_line_that_asks_and_leaves_the_tape_open(tmp_path: Path) -> None:
    parrot = Parrot(b"1")
    with Tape.open(tmp_path / "t", write=True) as tape:
        RecordingLine(parrot, tape).close()
        assert parrot.asked == -1
        assert RecordingLine(Parrot(b"2"), tape).get("/models") == b"2"


def test_replay_imports_no_client() -> None:
    code = (
        "import sys, opoi.models.tape\n"
        "sys.exit(str({'openai', 'httpx', 'httpx2', 'httpcore'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


# ---------------------------------------------------------------- which requests are equal


def canonical(body: object) -> str:
    """Write JSON canonically, by other means than the code under test."""
    return json.dumps(body, sort_keys=True)


@settings(max_examples=40)
@given(st.data(), bodies)
def test_the_order_of_fields_does_not_matter(data: st.DataObject, body: dict[str, Any]) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            names = data.draw(st.permutations(sorted(value)))
            return {name: shuffled(value[name]) for name in names}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    tape = Tape(Path("none"), -1)
    assert tape.request("POST", URL, CHAT, shuffled(body)) == tape.request("POST", URL, CHAT, body)


close = st.sampled_from([0, 1, 1.0, 0.0, -0.0, True, False, None, "1", "", [], {}, [1], {"a": 1}, {"a": 1.0}])


@given(st.dictionaries(st.sampled_from("ab"), close), st.dictionaries(st.sampled_from("ab"), close))
@example({"a": 1}, {"a": 1.0})
@example({"a": 1}, {"a": True})
def test_requests_are_equal_exactly_when_their_canonical_json_is(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    tape = Tape(Path("none"), -1)
    keys = {tape.request("POST", URL, CHAT, body).key for body in (one, other)}
    assert len(keys) == len({canonical(one), canonical(other)})


def test_url_path_method_label_and_body_all_count() -> None:
    tape = Tape(Path("none"), -1)
    asked = [
        tape.request("POST", URL, CHAT, {}),
        tape.request("POST", URL, CHAT, {}, label="1"),
        tape.request("POST", URL + "/", CHAT, {}),
        tape.request("POST", URL, CHAT + "/", {}),
        tape.request("POST", URL, CHAT, {"a": 1}),
        tape.request("POST", URL, CHAT),
        tape.request("GET", URL, CHAT),
        tape.request("POST", URL + CHAT, "", {}),
    ]
    assert len({request.key for request in asked}) == len(asked)


# ---------------------------------------------------------------- kills, threads, damage


@settings(max_examples=60)
@given(st.lists(st.tuples(texts, st.binary(max_size=10)), max_size=4), st.data())
def test_a_tape_cut_at_any_byte_holds_the_entries_before_and_can_be_continued(
    calls: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    with fresh() as file:
        record(file, *((chat(text), answer) for text, answer in calls))
        whole = file.read_bytes()
        at = data.draw(st.integers(0, len(whole)))
        left = max(whole[:at].count(b"\n") - 1, 0)
        file.write_bytes(whole[:at])
        with Tape.open(file, write=False) as tape:
            assert [entry.outcome for entry in tape] == [answer for _, answer in calls[:left]]
        assert file.read_bytes() == whole[:at], "reading changes nothing"
        record(file, (chat("after"), b"more"))
        with Tape.open(file, write=False) as tape:
            assert [entry.outcome for entry in tape] == [*(said for _, said in calls[:left]), b"more"]


def test_adding_from_many_threads_loses_nothing(tmp_path: Path) -> None:
    bodies = [chat("x" * (i % 97), number=i) for i in range(400)]
    with Tape.open(tmp_path / "t", write=True) as tape, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda b: RecordingLine(Parrot(canonical(b).encode()), tape).post(CHAT, b), bodies))
        assert len(list(tape)) == 400
    with replaying(tmp_path / "t") as line, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda b: line.post(CHAT, b), bodies)) == [canonical(b).encode() for b in bodies]


def test_what_many_threads_added_can_be_found_at_once(tmp_path: Path, often: None) -> None:
    with Tape.open(tmp_path / "t", write=True) as tape, ThreadPoolExecutor(8) as pool:
        asked = [tape.request("POST", URL, CHAT, chat("x" * (i % 89), number=i)) for i in range(500)]
        list(pool.map(lambda request: tape.add(request, request.key.encode()), asked))
        assert [tape.play(request.key) for request in asked] == [request.key.encode() for request in asked]


@pytest.fixture
def often() -> Iterator[None]:
    """Let threads take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_each_entry_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, text: written.append(bytes(text)) or write(fd, text))
    record(tmp_path / "t", (chat("a"), b"1"), (chat("b" * 100_000), b"2"))
    assert [text.count(b"\n") for text in written] == [1, 1, 1]
    assert b"".join(written) == (tmp_path / "t").read_bytes()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_entry_that_cannot_be_written_whole_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    write = os.write
    left = [50]

    def torn(descriptor: int, text: bytes) -> int:
        if not left:
            raise error
        return write(descriptor, text[: left.pop()])

    with Tape.open(tmp_path / "t", write=True) as tape:
        tape.add(tape.request("POST", URL, CHAT, chat("a")), b"1")
        monkeypatch.setattr(os, "write", torn)
        with pytest.raises(ArtefactError if isinstance(error, OSError) else KeyboardInterrupt):
            tape.add(tape.request("POST", URL, CHAT, chat("b")), b"2")
        monkeypatch.setattr(os, "write", write)
        tape.add(tape.request("POST", URL, CHAT, chat("c")), b"3")
    with Tape.open(tmp_path / "t", write=False) as tape:
        assert [entry.outcome for entry in tape] == [b"1", b"3"]


def test_one_tape_is_recorded_onto_by_one_only(tmp_path: Path) -> None:
    with Tape.open(tmp_path / "t", write=True), pytest.raises(ArtefactError, match="already"):
        Tape.open(tmp_path / "t", write=True)
    Tape.open(tmp_path / "t", write=True).close()


def test_opening_without_adding_changes_nothing(tmp_path: Path) -> None:
    record(tmp_path / "t", (chat("a"), b"1"))
    before = (tmp_path / "t").read_bytes()
    Tape.open(tmp_path / "t", write=True).close()
    assert (tmp_path / "t").read_bytes() == before


def good_lines(folder: Path) -> list[bytes]:
    record(folder / "good", (chat("a"), b"1"), (chat("b"), b"2"), (chat("c"), b"3"))
    return (folder / "good").read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line[:-9] + b"\n",
        lambda line: b"\n",
        lambda line: b'{"schema": 3}\n',
        lambda line: line.replace(b'"answer":"2"', b'"answer":2'),
        lambda line: line.replace(b'"answer":"2"', b'"answer":"2","answer_base64":"Mg=="'),
        lambda line: line.replace(b',"answer":"2"', b""),
        lambda line: line.replace(b'"answer":"2"', b'"answer":"2","header":"x"'),
        lambda line: line.replace(b'"answer":"2"', b'"fault":{"kind":"odd","what":"x"}'),
        lambda line: line.replace(b'"content":"b"', b'"content":"B"'),
        lambda line: line.replace(b'"content":"b"', b'"content":"\xff"'),
        lambda line: line.replace(b'"key":"', b'"key":"0'),
        lambda line: line.replace(b'"POST"', b'"GET"'),
        lambda line: b"[" * 100_000 + b"\n",
        lambda line: b"\x00" * 40 + b"\n",
    ],
)
@pytest.mark.parametrize("write", [False, True])
def test_damage_amid_a_tape_is_told_with_the_number_of_the_line(
    tmp_path: Path, spoil: Callable[[bytes], bytes], write: bool
) -> None:
    lines = good_lines(tmp_path)
    assert spoil(lines[2]) != lines[2]
    lines[2] = spoil(lines[2])
    file = tmp_path / "bad"
    file.write_bytes(b"".join(lines) + b'{"torn')
    with pytest.raises(ArtefactError, match=r"line 3\b"):
        Tape.open(file, write=write)
    assert file.read_bytes() == b"".join(lines) + b'{"torn', "a damaged tape is left as it is"


@pytest.mark.parametrize(
    "text", [b"# Notes\nof mine", b"# Notes", b"\n", b'{"schema":"opoi.tape/2"}\n', b'{"key":"00"}\n{"torn']
)
@pytest.mark.parametrize("write", [False, True])
def test_a_file_that_is_no_tape_is_refused_and_left_as_it_is(
    tmp_path: Path, text: bytes, write: bool
) -> None:
    file = tmp_path / "notes"
    file.write_bytes(text)
    with pytest.raises(ArtefactError, match="is no tape"):
        Tape.open(file, write=write)
    assert file.read_bytes() == text


def test_answers_may_be_edited_and_lines_spaced_anew(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in good_lines(tmp_path)]
    lines[1]["answer"] = "by hand"
    lines[2]["request"] = dict(reversed(lines[2]["request"].items()))
    file = tmp_path / "edited"
    file.write_text("".join(json.dumps(line) + "\r\n" for line in lines))
    with replaying(file) as line:
        assert [line.post(CHAT, chat(text)) for text in "abc"] == [b"by hand", b"2", b"3"]


@pytest.mark.parametrize("write", [False, True])
def test_what_cannot_be_opened_is_told(tmp_path: Path, write: bool) -> None:
    with pytest.raises(ArtefactError, match="cannot be opened"):
        Tape.open(tmp_path, write=write)
    with pytest.raises(ArtefactError, match="there is no tape"):
        Tape.open(tmp_path / "none", write=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtefactError, match="cannot be opened"):
        Tape.open(tmp_path / "file" / "t", write=write)


def test_a_tape_that_is_closed_or_open_for_replay_takes_nothing(tmp_path: Path) -> None:
    record(tmp_path / "t", (chat("a"), b"1"))
    before = (tmp_path / "t").read_bytes()
    for write in (False, True):
        tape = Tape.open(tmp_path / "t", write=write)
        asked = tape.request("POST", URL, CHAT, chat("a"))
        if write:
            tape.close()
        with pytest.raises(ArtefactError, match="not open for recording"):
            tape.add(asked, b"2")
        tape.close()
        with pytest.raises(ArtefactError, match="cannot be read"):
            tape.play(asked.key)
    assert (tmp_path / "t").read_bytes() == before


def test_an_empty_file_is_an_empty_tape(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"")
    record(tmp_path / "t", (chat("a"), b"1"))
    assert (tmp_path / "t").read_bytes().startswith(HEAD)
    assert (tmp_path / "t").read_bytes().count(HEAD) == 1


# ---------------------------------------------------------------- misses

LONG = tuple(f"{i}: {'lorem ipsum ' * 30}" for i in range(6))


def miss(file: Path, body: dict[str, Any], *, where: Where = PLAIN, **options: str) -> ReplayMissError:
    with replaying(file, where) as line:
        with pytest.raises(ReplayMissError) as raised:
            line.post(CHAT, body, **options)
        assert line.tape.missed is raised.value
    return raised.value


@pytest.fixture
def long_tape(tmp_path: Path) -> Path:
    file = tmp_path / "long.tape"
    other = chat(*LONG[:3], temperature=0.7)
    record(file, (chat("something else"), b"1"), (chat(*LONG, temperature=0.7), b"2"), (other, b"3"))
    return file


def test_a_miss_is_no_failure_of_an_endpoint_and_says_what_to_do(long_tape: Path) -> None:
    error = miss(long_tape, chat(*LONG, temperature=0.8))
    assert isinstance(error, OpoiError)
    assert not isinstance(error, EndpointError), "else a run would count it as a passing failure"
    shown = str(error)
    assert str(long_tape) in shown
    assert "--record" in shown
    assert shown.index("why:") < shown.index("+ 0.8") < shown.index("fix:")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"temperature": 0.8}, "`temperature`"),
        ({"temperature": 0.7, "seed": 1}, "`seed` is new"),
        ({}, "`temperature` is gone"),
        ({"temperature": 0.7, "model": "big"}, "`model`"),
        ({"temperature": 0.7, "messages": chat(*LONG[:1])["messages"]}, "message 2 of 3 (user) is gone"),
        ({"temperature": 0.7, "messages": "text"}, "`messages`"),
    ],
)
def test_a_changed_field_is_named(long_tape: Path, fields: dict[str, Any], said: str) -> None:
    error = miss(long_tape, chat(*LONG) | fields)
    assert said in error.why
    assert any(line.startswith(("+ ", "- ")) for line in error.diff)


def test_true_and_one_are_told_apart_in_a_miss(tmp_path: Path) -> None:
    record(tmp_path / "t", (chat("a", logprobs=True), b"1"))
    error = miss(tmp_path / "t", chat("a", logprobs=1))
    assert error.diff == ("@ `logprobs`", "- true", "+ 1")
    assert miss(tmp_path / "t", chat("a", logprobs=1.0)).diff[-1] == "+ 1.0"


def test_another_place_is_named(long_tape: Path) -> None:
    body = chat(*LONG, temperature=0.7)
    where = Where("http://127.0.0.1:8/v1", "tiny", secret="")
    error = miss(long_tape, body, where=where)
    assert error.why.endswith("changed: the URL")
    assert error.diff == ("@ the URL", f"- {URL}", "+ http://127.0.0.1:8/v1")
    assert miss(long_tape, body, label="7").why.endswith("(line 3) there changed: the label")
    with replaying(long_tape) as line, pytest.raises(ReplayMissError, match="the method"):
        line.get(CHAT)


@settings(max_examples=40)
@given(st.data())
def test_the_message_that_changed_is_named_and_shown_where_it_changed(data: st.DataObject) -> None:
    conversations = [tuple(f"{name} {text}" for text in LONG) for name in ("north", "south", "east")]
    which = data.draw(st.integers(0, 2))
    number = data.draw(st.integers(0, 5))
    said = list(conversations[which])
    at = data.draw(st.integers(0, len(said[number])))
    said[number] = said[number][:at] + "CHANGED" + said[number][at:]
    with fresh() as file:
        record(file, *((chat(*texts), b"") for texts in conversations))
        error = miss(file, chat(*said))
    role = ("system", "user", "assistant", "user", "assistant", "user")[number]
    assert error.why.endswith(f"(line {which + 2}) there changed: message {number + 1} of 6 ({role})")
    assert sum("CHANGED" in line for line in error.diff) == 1


@pytest.mark.parametrize(("cut", "said"), [(slice(0, 5), "6 of 6 (user) is gone"), (slice(0, 6), "7 of 7")])
def test_a_message_more_or_less_is_named(tmp_path: Path, cut: slice, said: str) -> None:
    record(tmp_path / "t", (chat(*LONG), b""))
    error = miss(tmp_path / "t", chat(*LONG[cut], *(["extra"] if cut.stop == 6 else [])))
    assert f"there changed: message {said}" in error.why
    assert error.why.count("message") == 1


def test_one_change_among_messages_that_are_all_alike_is_one_change(tmp_path: Path) -> None:
    def alike(*texts: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text} for text in texts]}

    same = ["again"] * 10
    record(tmp_path / "t", (alike(*same), b""))
    changed = miss(tmp_path / "t", alike(*same[:3], "x", *same[4:]))
    assert changed.why.endswith("changed: message 4 of 10 (user)")
    assert miss(tmp_path / "t", alike(*same[:9])).why.endswith("changed: message 10 of 10 (user) is gone")


def test_a_message_put_before_the_others_does_not_hide_the_nearest_request(tmp_path: Path) -> None:
    others = (chat(*(f"{text[::-1]}{i}" for text in LONG)) for i in range(3))
    own = {"model": "tiny", "messages": chat("", *LONG)["messages"][1:]}
    record(tmp_path / "t", *((body, b"") for body in (*others, own)))
    error = miss(tmp_path / "t", chat("a new system message", *LONG))
    assert error.why.endswith("(line 5) there changed: message 1 of 7 (system) is new")


anything = st.text(max_size=300)


@settings(max_examples=60)
@given(
    st.lists(anything, min_size=1, max_size=8),
    st.lists(anything, min_size=1, max_size=8),
    st.dictionaries(anything, values, max_size=3),
)
@example(["\x1b[31m\u202e\x9b\r\x00"], ["\x1b]0;x\x07\u2028\n" * 100], {"\x1b[2J": "\x7f\u200f"})
def test_a_miss_is_short_and_cannot_steer_a_terminal(
    old: list[str], new: list[str], fields: dict[str, Any]
) -> None:
    def sent(value: str) -> str:
        return value.encode("utf-8", "replace").decode()

    one = chat(*map(sent, old))
    other = chat(*map(sent, new), extra="x") | {sent(name): value for name, value in fields.items()}
    with fresh() as file:
        record(file, (one, b""))
        error = miss(file, other)
    assert 0 < len(error.diff) <= 40
    assert all(line.isprintable() for line in error.diff)
    assert all(len(line) < 120 or "\\u" in line for line in error.diff)
    assert all(line.isprintable() for line in (error.what, error.why, error.fix, error.line))
    assert "`extra` is new" in error.why or "more" in error.why


def test_a_diff_of_very_long_texts_is_made_at_once(tmp_path: Path) -> None:
    lines = [f"row {i % 7}" for i in range(40_000)]
    changed = [*lines[:20_000], "CHANGED", *lines[20_001:]]
    record(tmp_path / "t", (chat("\n".join(lines)), b""))
    error = miss(tmp_path / "t", chat("\n".join(changed)))
    assert any("CHANGED" in line for line in error.diff)


def test_once_a_run_is_stopped_by_a_miss_no_other_miss_is_explained(
    long_tape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halt = Halt()
    with Tape.open(long_tape, write=False) as tape:
        line = ReplayLine(tape, PLAIN, halt=halt)
        explained = tape.miss
        monkeypatch.setattr(tape, "miss", lambda request: (halt.set(), explained(request))[1])
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(line.post, CHAT, chat(str(i))) for i in range(8)]
        kinds = [type(future.exception()) for future in asked]
    assert kinds.count(ReplayMissError) == 1
    assert kinds.count(HaltedError) == 7


def test_an_empty_tape_says_so(tmp_path: Path) -> None:
    record(tmp_path / "t")
    assert "no requests" in str(miss(tmp_path / "t", chat("?")))


# ---------------------------------------------------------------- secrets

SPELLINGS = [CANARY, json.dumps(CANARY).replace("s", "\\u0073"), CANARY.replace("-", "%2d"), CANARY.upper()]


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_a_key_is_nowhere_on_a_tape(tmp_path: Path, spelled: str) -> None:
    where = Where(f"http://127.0.0.1:9/{CANARY}/v1", "tiny", CANARY)
    fault = EndpointFaultError(f"no {spelled}", why=f"{spelled}!", fix=f"use {spelled}")
    body = chat("?", extra={f"a {spelled}": [f"b{spelled}"]})
    file = tmp_path / "t"
    with Tape.open(file, write=True) as tape:
        line = RecordingLine(Parrot(spelled.encode(), fault, b"\xff" + spelled.encode(), where=where), tape)
        assert line.post(f"/{spelled}", body, label=spelled).strip(b'"') == b"[key]"
        with pytest.raises(EndpointFaultError) as raised:
            line.post("/x", body, label=spelled)
        line.get(f"/{spelled}")
    assert CANARY.lower() not in str(raised.value).lower()
    text = file.read_bytes()
    assert where.scrub(text) == text
    assert CANARY.encode() not in text
    assert text.count(b"[key]") >= 12
    with Tape.open(file, write=False) as tape:
        assert [type(entry.outcome) for entry in tape] == [bytes, Fault, bytes]


def test_a_key_of_one_line_is_hidden_from_what_another_line_records(tmp_path: Path) -> None:
    with Tape.open(tmp_path / "t", write=True) as tape:
        RecordingLine(Parrot(b"", where=Where(URL, "one", CANARY)), tape).get("/models")
        RecordingLine(Parrot(CANARY.encode()), tape).post(CHAT, chat(CANARY))
    assert CANARY.encode() not in (tmp_path / "t").read_bytes()


@settings(max_examples=60)
@given(st.text(st.sampled_from('"\\abc0,:{}[]'), min_size=8, max_size=12), st.integers(0, 3))
@example('\\"}\\"}\\"}', 0)
@example("00000000", 0)
def test_hiding_any_key_leaves_a_tape_that_can_be_replayed(secret: str, slashes: int) -> None:
    where = Where(URL, "tiny", secret)
    body = chat("\\" * slashes + secret, secret=int(secret) if secret.isdigit() else secret)
    with fresh() as file:
        with Tape.open(file, write=True) as tape:
            RecordingLine(Parrot(b"yes", where=where), tape).post(CHAT, body)
        with replaying(file, where) as line:
            assert line.post(CHAT, body) == b"yes"


def test_further_secrets_are_hidden_on_request(tmp_path: Path) -> None:
    with Tape.open(tmp_path / "t", write=True, scrub=lambda text: text.replace(b"Ms Miller", b"N")) as tape:
        line = RecordingLine(Parrot(b"Dear Ms Miller"), tape)
        assert line.post(CHAT, chat("to Ms Miller")) == b"Dear N"
    assert b"Miller" not in (tmp_path / "t").read_bytes()


def test_no_header_has_a_place_on_a_tape() -> None:
    assert set(Entry.__struct_encode_fields__) == {
        "key",
        "url",
        "method",
        "path",
        "label",
        "request",
        "answer",
        "answer_base64",
        "fault",
    }
