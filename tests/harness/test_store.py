from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from opoi.errors import ArtefactError
from opoi.store import (
    Index,
    Log,
    Receipt,
    digest,
    fingerprint,
    item_key,
    load_receipt,
    publish,
    read,
    receipt_path,
    write_atomic,
)


class Row(Struct):
    id: str
    value: int = 0


def fill(log: Log, keys: list[bytes], *, failed: set[bytes] = frozenset()) -> None:  # type: ignore[assignment]
    for key in keys:
        log.append(key, [b'{"id":"%b"}' % key], failed=key in failed)


KEYS = [item_key(index) for index in range(12)]


@settings(deadline=None)
@given(order=st.permutations(KEYS))
def test_the_sealed_bytes_do_not_depend_on_the_order_of_completion(
    tmp_path_factory: pytest.TempPathFactory, order: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("log") / "a.jsonl"
    with Log(path) as log:
        fill(log, order)
        receipt = log.seal(KEYS, "x", {})
    assert path.read_bytes() == b"".join(b'{"id":"%b"}\n' % key for key in KEYS)
    assert (receipt.items, receipt.records, receipt.failures) == (12, 12, 0)
    assert receipt.sha256 == digest(path)
    assert not log.part.exists()


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, 700), count=st.integers(0, 12))
def test_a_part_cut_anywhere_is_taken_up_without_loss_or_repetition(
    tmp_path_factory: pytest.TempPathFactory, cut: int, count: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "a.jsonl"
    with Log(path) as log:
        fill(log, KEYS[:count])
    whole = log.part.read_bytes()
    log.part.write_bytes(whole[:cut])
    with Log(path) as again:
        done = whole[:cut].count(b"\n")
        assert len(again) == done
        assert all(key in again for key in KEYS[:done])
        fill(again, [key for key in KEYS if key not in again])
        again.seal(KEYS, "x", {})
    assert [row.id.encode() for row in read(path, Row)] == KEYS


def test_an_item_may_have_several_records_and_tabs_in_its_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [Row("a\tb\n", 1), Row("c", 2)]
    with Log(path) as log:
        log.append(KEYS[0], [msgspec.json.encode(row) for row in rows])
        log.seal(KEYS[:1], "x", {})
    assert list(read(path, Row)) == rows


def test_a_failure_is_sealed_and_tried_again_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Log(path) as log:
        fill(log, KEYS[:3], failed={KEYS[1]})
        assert log.seal(KEYS[:3], "x", {}).failures == 1
    with Log(path) as again:
        assert [key in again for key in KEYS[:3]] == [True, False, True]
        again.append(KEYS[1], [b'{"id":"mended"}'])
        assert again.seal(KEYS[:3], "x", {}).failures == 0
    assert [row.id for row in read(path, Row)] == [KEYS[0].decode(), "mended", KEYS[2].decode()]


def test_sealed_results_serve_a_stage_that_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Log(path) as log:
        fill(log, KEYS[:3])
        log.seal(KEYS[:3], "x", {})
    with Log(path) as again:
        fill(again, [key for key in KEYS[:5] if key not in again])
        assert again.part.read_bytes().count(b"\n") == 2
        again.seal(KEYS[:5], "y", {})
    assert [row.id.encode() for row in read(path, Row)] == KEYS[:5]


def test_results_of_an_artefact_that_was_edited_are_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Log(path) as log:
        fill(log, KEYS[:2])
        log.seal(KEYS[:2], "x", {})
    path.write_bytes(path.read_bytes().replace(b"}", b' ,"value":7}', 1))
    with Log(path) as again:
        assert len(again) == 0


def test_sealing_with_an_item_missing_is_refused_and_leaves_the_part(tmp_path: Path) -> None:
    with Log(tmp_path / "a.jsonl") as log:
        fill(log, KEYS[:1])
        with pytest.raises(ArtefactError, match="lacks an item"):
            log.seal(KEYS[:2], "x", {})
    assert log.part.exists()
    assert load_receipt(log.path) is None


def test_a_damaged_file_of_keys_or_part_costs_work_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Log(path) as log:
        fill(log, KEYS[:3])
        log.seal(KEYS[:3], "x", {})
    (keys,) = receipt_path(path).parent.glob("*.keys")
    whole = keys.read_bytes()
    for damaged in (b"garbage", whole[:-10], b"", b"\xff\xfe\n" + whole):
        keys.write_bytes(damaged)
        with Log(path) as again:
            assert all(key in KEYS[:3] for key in again._results)
    part = path.with_name("a.jsonl.part")
    part.write_bytes(b"%b\t.\t{}\nnonsense\n%b\t.\t{}\n" % (KEYS[5], KEYS[6]))
    with Log(path) as again:
        assert KEYS[5] in again
        assert KEYS[6] not in again


def test_throwing_earlier_results_away_throws_the_part_away_too(tmp_path: Path) -> None:
    with Log(tmp_path / "a.jsonl") as log:
        fill(log, KEYS[:3])
    with Log(tmp_path / "a.jsonl", reuse=False) as again:
        assert len(again) == 0
        assert not again.part.read_bytes()


@pytest.mark.parametrize("moment", ["before the receipt", "before the artefact", "after the artefact"])
def test_a_kill_while_publishing_leaves_an_artefact_and_a_receipt_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    def receipt(made_from: str) -> Callable[[str], Receipt]:
        return lambda sha256: Receipt(made_from, {}, sha256)

    path = tmp_path / "a.jsonl"
    publish(path, [b"old\n"], receipt("old"))
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        name = Path(target).name
        if moment == "before the receipt" and name == "a.jsonl.next.json":
            raise Killed
        if moment == "before the artefact" and name == "a.jsonl":
            raise Killed
        if moment == "after the artefact" and name == "a.jsonl.json":
            raise Killed
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(Killed):
        publish(path, [b"new\n"], receipt("new"))
    monkeypatch.undo()
    found = load_receipt(path)
    assert found
    assert found.sha256 == digest(path)
    assert found.made_from == path.read_text().strip() == ("new" if moment == "after the artefact" else "old")


def test_reading_names_the_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id":"a"}\n{"id":7}\n')
    with pytest.raises(ArtefactError, match="line 2") as error:
        list(read(path, Row))
    assert "$.id" in str(error.value)
    with pytest.raises(ArtefactError, match="missing"):
        list(read(tmp_path / "none.jsonl", Row))
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(ArtefactError, match="line 1"):
        list(read(path, Row))


@given(rows=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 99)), max_size=12))
def test_the_index_finds_what_a_walk_finds(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("index") / "a.jsonl"
    write_atomic(path, (msgspec.json.encode(Row(*row)) + b"\n" for row in rows))
    index = Index(path, Row, key="id")
    for name in "abcde":
        assert [row.value for row in index.get(name)] == [value for key, value in rows if key == name]
        assert (name in index) == any(key == name for key, _ in rows)


def test_the_index_reads_a_field_of_a_field_and_asks_for_exactly_one(tmp_path: Path) -> None:
    class Outer(Struct):
        row: Row

    path = tmp_path / "a.jsonl"
    write_atomic(path, (msgspec.json.encode(Outer(Row(name))) + b"\n" for name in "aab"))
    index = Index(path, Outer, key="row.id")
    assert index.one("b").row.id == "b"
    for name in ("a", "c"):
        with pytest.raises(ArtefactError, match="not one"):
            index.one(name)


def test_a_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, [b"old"])

    def broken() -> object:
        yield b"new"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomic(path, broken())  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"


def test_fingerprints_depend_on_content_and_not_on_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert item_key("a", "b") != item_key("ab")


def test_one_record_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = []
    real = os.write
    monkeypatch.setattr(
        "opoi.store.log.os.write", lambda fd, data: (writes.append(len(data)), real(fd, data))[1]
    )
    with Log(tmp_path / "a.jsonl") as log:
        log.append(KEYS[0], [b"x" * 100_000])
    assert len(writes) == 1
