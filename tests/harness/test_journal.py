"""Calls that were paid for are not made again, whatever happens to the process in between."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.models.endpoint.faults import EndpointFaultError, Where
from opoi.models.journal import Journal, JournalLine, Shelf

ENTRIES = st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.text()), max_size=8)


class Counting:
    """A line that answers with a count of the calls, or fails."""

    def __init__(self, *, broken: bool = False) -> None:
        self.where = Where("http://127.0.0.1:1/v1", "m", secret="")
        self.asked: list[str] = []
        self._broken = broken

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        self.asked.append(label)
        if self._broken:
            raise EndpointFaultError("down")
        return f'{{"answer": "{path} {label} {len(self.asked)}"}}'.encode()

    def get(self, path: str) -> bytes:
        self.asked.append(path)
        return b"{}"

    def close(self) -> None: ...


@given(entries=ENTRIES, cut=st.integers(0, 4000))
def test_a_journal_cut_anywhere_holds_the_answers_before_the_cut(
    entries: list[tuple[bytes, str]], cut: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        ends = [0]
        with Journal(path) as journal:
            for key, answer in entries:
                journal.add(key, "m", answer.encode())
                ends.append(path.stat().st_size)
        with path.open("rb+") as file:
            file.truncate(min(cut, ends[-1]))
        whole = sum(end <= min(cut, ends[-1]) for end in ends) - 1
        with Journal(path) as journal:
            kept = dict(entries[:whole])
            assert journal.entries == whole
            assert {key: journal.find(key) for key, _ in entries} == {
                key: kept[key].encode() if key in kept else None for key, _ in entries
            }
            assert [paid.answer for paid in journal] == [answer for _, answer in entries[:whole]]
            journal.add(b"x" * 16, "m", b"after")
        with Journal(path) as journal:
            assert journal.find(b"x" * 16) == b"after"
            assert journal.entries == whole + 1


def test_what_an_earlier_sitting_paid_for_is_not_asked_again(tmp_path: Path) -> None:
    shelf, line = Shelf(), Counting()
    taped = JournalLine(line, shelf)
    with Journal(tmp_path / "j") as shelf.journal:
        first = [taped.post("/p", {"a": 1}, label=label) for label in ("1", "2")]
    with Journal(tmp_path / "j") as shelf.journal:
        again = [taped.post("/p", {"a": 1}, label=label) for label in ("1", "2")]
        other = taped.post("/p", {"a": 2}, label="1")
    assert again == first
    assert other not in first
    assert line.asked == ["1", "2", "1"]


def test_requests_without_a_label_are_asked_each_time(tmp_path: Path) -> None:
    shelf, line = Shelf(), Counting()
    taped = JournalLine(line, shelf)
    for _ in range(2):
        with Journal(tmp_path / "j") as shelf.journal:
            taped.post("/p", {})
            taped.get("/models")
    assert line.asked == ["", "/models", "", "/models"]


def test_failures_are_not_kept(tmp_path: Path) -> None:
    shelf = Shelf()
    with Journal(tmp_path / "j") as shelf.journal:
        with pytest.raises(EndpointFaultError):
            JournalLine(Counting(broken=True), shelf).post("/p", {}, label="1")
        assert shelf.journal.entries == 0


def test_a_write_that_fails_midway_spoils_no_later_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) <= 20:
            raise OSError(28, "No space left on device")
        return write(descriptor, bytes(data)[:-20])

    with Journal(tmp_path / "j") as journal:
        journal.add(b"a" * 16, "m", b"first")
        monkeypatch.setattr("opoi.models.journal.os.write", full)
        with pytest.raises(OSError, match="No space"):
            journal.add(b"b" * 16, "m", b"lost")
        monkeypatch.undo()
        journal.add(b"c" * 16, "m", b"third")
    with Journal(tmp_path / "j") as journal:
        assert [paid.answer for paid in journal] == ["first", "third"]


def test_the_same_server_elsewhere_is_the_same_server(tmp_path: Path) -> None:
    shelf, here, there = Shelf(), Counting(), Counting()
    there.where = Where("http://127.0.0.1:2/v1", "m", secret="")
    with Journal(tmp_path / "j") as shelf.journal:
        JournalLine(here, shelf).post("/p", {}, label="1")
    with Journal(tmp_path / "j") as shelf.journal:
        JournalLine(there, shelf).post("/p", {}, label="1")
    assert there.asked == []
