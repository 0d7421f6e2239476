"""A run: its folder, its manifest, its cast, and the way in which a stage is carried out."""

from __future__ import annotations

import fcntl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from opoi.casting import Casting
from opoi.errors import ArtefactError, EndpointError, UsageError
from opoi.executor import Result, work_through
from opoi.halting import Halt
from opoi.ledger import Ledger
from opoi.manifest import SCHEMA, Manifest, versions
from opoi.models.endpoint.capabilities import Capabilities
from opoi.models.meter import Meter
from opoi.models.session import Session
from opoi.progress import Progress, Quiet
from opoi.protocols import Model, Suite
from opoi.settings import Settings, merge
from opoi.store import (
    Log,
    Receipt,
    digest,
    encode,
    fingerprint,
    item_key,
    load_receipt,
    publish,
)

__all__ = ["Run"]

T = TypeVar("T")

_COMMAND = {
    "scenarios": "scenarios",
    "rollouts": "rollout",
    "reviews": "review",
    "traces": "generate",
    "cleaned": "clean",
    "data": "export",
    "scores": "score",
    "measures": "measure",
    "report.txt": "report",
    "report.html": "report",
}
"""First word of a stage's name -> the command that carries it out."""


class Run:
    """A run folder and everything that its stages need.

    Args:
        path: The folder.
        settings: The settings of the run.
        progress: Where to show how far a stage is.
        force: Do a stage again even if its artefact is up to date or was edited by hand.
        record: Tape on which every request to an endpoint and its answer is kept.
        replay: Tape that stands for the endpoints.
        endpoints: What is known of endpoints.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        *,
        progress: Progress | None = None,
        force: bool = False,
        record: Path | None = None,
        replay: Path | None = None,
        endpoints: Mapping[str, Capabilities] | None = None,
    ) -> None:
        if (record or replay) and not settings.endpoints:
            raise UsageError(
                "there is nothing to record or replay: the models of this run are in its process",
                fix="name an endpoint with --model URL; in replay the one that was recorded",
            )
        self.path = path
        self.ledger = Ledger(path)
        meter = Meter(
            Halt(),
            most_calls=settings.max_calls,
            most_tokens=settings.max_tokens_total,
            before=self.ledger.spending,
            note=self.ledger.note,
        )
        self.session = Session(most=settings.workers, meter=meter, record=record, replay=replay)
        self.endpoints = dict(endpoints or {})
        self.settings = settings
        self.opened: Settings | None = None
        self.progress = progress or Quiet()
        self.force = force
        self._checked: list[Model] = []
        self._digests: dict[tuple[Path, int, int], str] = {}

    # ------------------------------------------------------------ opening

    @classmethod
    def create(cls, path: Path, settings: Settings, **options: Any) -> Run:
        """Start a run in a new folder. Nothing is written before `save_manifest`.

        Raises:
            UsageError: The folder holds something already.
        """
        if path.exists() and (not path.is_dir() or any(_is_content(entry) for entry in path.iterdir())):
            raise UsageError(
                f"{path} exists already",
                why="a run is never written over another",
                fix=f"take it up again with: opoi run --resume --out {path}\n       or choose another --out",
            )
        return cls(path, settings, **options)

    @classmethod
    def open(cls, path: Path, changes: dict[str, Any] | None = None, **options: Any) -> Run:
        """Take up a run from its manifest.

        Args:
            path: The run folder.
            changes: Settings to change; `save_manifest` keeps the manifest true.
            **options: As for `Run`.

        Raises:
            ArtefactError: There is no run in the folder, or its manifest cannot be read.
        """
        manifest = Manifest.load(path)
        settings = merge(msgspec.to_builtins(manifest.settings), changes or {}, taken_up=True)
        run = cls(path, settings, endpoints=manifest.endpoints, **options)
        run.opened = manifest.settings
        return run

    def save_manifest(self) -> None:
        """Write the manifest."""
        manifest = Manifest(
            schema=SCHEMA,
            settings=self.settings,
            resolved=self.cast.resolved(),
            versions=versions(),
            endpoints=self.endpoints,
        )
        manifest.save(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from working on this run at the same time.

        Raises:
            UsageError: Another one does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(
                    f"another opoi works on {self.path}",
                    fix="wait until it has ended, or choose another --out",
                ) from error
            yield

    # ------------------------------------------------------------ cast

    @property
    def settings(self) -> Settings:
        """The settings; setting them casts the run anew."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        self.cast = Casting(settings, self.session, self.endpoints)

    @property
    def suite(self) -> Suite:
        """The suite of the run."""
        return self.cast.suite

    # ------------------------------------------------------------ stages

    def file(self, *parts: str) -> Path:
        """Return the path of an artefact."""
        return self.path.joinpath(*parts)

    def work(
        self,
        stage: str,
        output: Path,
        *,
        inputs: Sequence[Path],
        depends: object,
        extent: object,
        items: Callable[[], Iterable[T]],
        total: Callable[[], int],
        do: Callable[[T], Result],
        models: Callable[[], Iterable[Model]],
    ) -> None:
        """Carry out a stage that calls models: item by item, several at once, resumable.

        Args:
            stage: Its name, for people.
            output: The artefact that it writes.
            inputs: The artefacts that it reads.
            depends: The settings on which the result of an item depends.
            extent: The settings on which it depends what items there are.
            items: Called for a fresh walk over the items; each must be all that its result depends on.
            total: Called for their number (for the progress bar).
            do: Works on one item.
            models: Called for the models that it asks; those that can are checked before the first item.

        Raises:
            EndpointError: No item at all got an answer, or the endpoint failed many times in a row.
        """
        read = self._inputs(inputs)
        made_from = fingerprint({"stage": stage, "inputs": read, "settings": [depends, extent]})
        if self._up_to_date(stage, output, made_from):
            return
        asked = list(models())
        self.check(asked)
        keyed = ((item_key(stage, depends, item), item) for item in items())
        with self._timed(stage), self._booked(stage, output), Log(output, reuse=not self.force) as log:
            watch = self.progress.start(stage, total())
            failures: Counter[str] = Counter()

            def seen(result: Result | None) -> None:
                watch.advance(result.notes if result else ("kept from before",))
                if result and result.failure:
                    failures[result.failure] += 1

            try:
                order = work_through(
                    keyed,
                    do,
                    log,
                    concurrency=self.settings.workers,
                    seen=seen,
                    probe=(lambda: self.check(asked, again=True)) if _can_be_checked(asked) else None,
                    say=self.progress.say,
                    halt=self.session.halt if self.settings.endpoints else None,
                )
            finally:
                watch.close()
            receipt = log.seal(order, made_from, read)
        if not receipt.failures:  # what failed may need its earlier calls when it is tried again
            self.ledger.drop_journal(output)
        if receipt.failures == receipt.items > 0:
            raise EndpointError(
                f"{stage}: the endpoint answered for none of {receipt.items} items",
                why=f"most often: {failures.most_common(1)[0][0]} (each is recorded in {output})",
                fix=f"mend the endpoint, then: opoi run --resume --out {self.path}",
            )
        if receipt.failures:
            self.progress.say(
                f"{stage}: the endpoint failed for {receipt.failures} of {receipt.items} items; "
                f"opoi run --resume --out {self.path} tries only these again"
            )

    @contextmanager
    def _booked(self, stage: str, output: Path) -> Iterator[None]:
        """Book the calls of a stage, and keep their answers until it is done."""
        if not self.settings.endpoints or self.session.replaying:
            yield
            return
        if self.force:
            self.ledger.drop_journal(output)
        try:
            with self.session.stage(stage, self.ledger.journal(output), counted=self.ledger.counted(output)):
                yield
        finally:
            self.ledger.save(self.session.meter.spending, output, self.session.journalled)

    def save_costs(self) -> None:
        """Write down what was spent so far."""
        if self.settings.endpoints and not self.session.replaying:
            self.ledger.save(self.session.meter.spending)

    def close(self) -> None:
        """Close what is open: lines to endpoints, tapes, the ledger."""
        self.session.close()
        self.ledger.close()

    def check(self, models: Iterable[Model], *, again: bool = False) -> None:
        """Make sure that endpoints answer: once per model before work is begun, or again.

        Raises:
            EndpointError: One does not.
        """
        if not again:
            self.session.meter.stage = "probe"
        for model in models:
            check = getattr(model, "check", None)
            if check is not None and (again or model not in self._checked):
                check()
                self._checked.append(model)

    def write(
        self,
        stage: str,
        output: Path,
        *,
        inputs: Sequence[Path],
        depends: object,
        chunks: Callable[[], Iterable[bytes]],
    ) -> None:
        """Carry out a stage that calls no model: its output is written in one go, or not at all.

        Args:
            stage: Its name, for people.
            output: The artefact that it writes.
            inputs: The artefacts that it reads.
            depends: The settings on which its output depends.
            chunks: Called for the bytes of the output, a record at a time.
        """
        read = self._inputs(inputs)
        made_from = fingerprint({"stage": stage, "inputs": read, "settings": depends})
        if self._up_to_date(stage, output, made_from):
            return
        written = 0

        def counted() -> Iterator[bytes]:
            nonlocal written
            for chunk in chunks():
                written += 1
                yield chunk

        with self._timed(stage):
            publish(
                output, counted(), lambda sha256: Receipt(made_from, dict(read), sha256, written, written)
            )
        many = f"{written} " if output.suffix == ".jsonl" else ""
        self.progress.say(f"{stage}: {many}written")

    def _inputs(self, inputs: Sequence[Path]) -> dict[str, str]:
        """Return the digest of each input; warn of one that is older than what it was made from."""
        for path in inputs:
            receipt = load_receipt(path)
            for name, sha256 in receipt.inputs.items() if receipt else ():
                source = self.path / name
                if source.exists() and self._digest(source) != sha256:
                    self.progress.say(
                        f"note: {path.relative_to(self.path)} was made from an earlier {name}; "
                        f"bring all up to date with: opoi run --resume --out {self.path}"
                    )
        return {str(path.relative_to(self.path)): self._digest(path) for path in inputs}

    def _digest(self, path: Path) -> str:
        try:
            state = path.stat()
        except FileNotFoundError as error:
            raise ArtefactError(
                f"{path} is missing",
                why="the stage that writes it has not run",
                fix=f"run all that is missing with: opoi run --resume --out {self.path}",
            ) from error
        key = (path, state.st_mtime_ns, state.st_size)
        if key not in self._digests:
            self._digests[key] = digest(path)
        return self._digests[key]

    def _up_to_date(self, stage: str, output: Path, made_from: str) -> bool:
        """Decide whether a stage has to run; refuse to overwrite what a person edited."""
        if self.force or not output.exists():
            return False
        receipt = load_receipt(output)
        if receipt is None:
            self.progress.say(f"{stage}: {output.name} was put here by hand, kept")
            return True
        edited = receipt.sha256 != self._digest(output)
        if receipt.made_from == made_from:
            if receipt.failures and not edited:
                self.progress.say(f"{stage}: trying {receipt.failures} failed items again")
                return False
            self.progress.say(f"{stage}: {output.name} is up to date{' (edited by hand)' if edited else ''}")
            output.with_name(output.name + ".part").unlink(missing_ok=True)  # of a kill after the last step
            return True
        if edited:
            command = _COMMAND[stage.partition(" ")[0]]
            raise ArtefactError(
                f"{output} was edited by hand, and what it was made from has changed since",
                fix=f"keep a copy of it, then write this one anew: opoi {command} {self.path} --force",
            )
        return False

    def _timed(self, stage: str) -> _Timer:
        return _Timer(self.path / "timings.jsonl", stage)


class _Timer:
    """Appends how long a stage took to a file beside the artefacts, which stay free of clocks."""

    def __init__(self, path: Path, stage: str) -> None:
        self._path, self._stage = path, stage

    def __enter__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def __exit__(self, *problem: object) -> None:
        record = {
            "stage": self._stage,
            "finished": problem[0] is None,
            "wall_s": round(time.monotonic() - self._wall, 3),
            "cpu_s": round(time.process_time() - self._cpu, 3),
        }
        with self._path.open("ab") as file:
            file.write(encode(record) + b"\n")


def _is_content(entry: Path) -> bool:
    """Tell artefacts from what a start that was cut short leaves behind."""
    return not (entry.name.startswith(".") or entry.name.endswith(".tmp"))


def _can_be_checked(models: Iterable[Model]) -> bool:
    return any(hasattr(model, "check") for model in models)
