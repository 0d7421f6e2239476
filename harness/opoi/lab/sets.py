"""What the detectors that look at sets of traces say: L4, L5's excess, L7, L8 and L9."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from opoi.errors import ArtefactError
from opoi.intervals import fisher_p, rounded, wilson
from opoi.lab.known import Background
from opoi.lab.reading import traces_of
from opoi.leakage.behaviour import decoys, passcodes, presupposing
from opoi.leakage.classifier import classifier
from opoi.leakage.commitment import Commitment
from opoi.leakage.counterfactual import counterfactual
from opoi.leakage.detectors import find_all
from opoi.leakage.membership import membership
from opoi.progress import Progress
from opoi.report.tables import MISSING, Cell, Table, visible
from opoi.seeds import Stream
from opoi.types import Finding, Reading, Trace

__all__ = ["Beside", "readings", "readings_table"]


class Beside(Struct, frozen=True, kw_only=True):
    """Files beside the one that is looked at.

    Attributes:
        base: Unsteered traces of the same scenarios.
        inferior: Traces of the same scenarios, steered with an inferior verdict.
        training: What a student was trained on; the traces looked at are then its own, without an oracle.
        scores: Log-probabilities of trained and held-out traces: JSONL with `member` and `logprobs`.
    """

    base: Path | None = None
    inferior: Path | None = None
    training: Path | None = None
    scores: Path | None = None


class _Scored(Struct, frozen=True):
    member: bool
    logprobs: list[float]


def readings(
    source: Path, traces: Sequence[Trace], beside: Beside, background: Background, progress: Progress
) -> Iterator[Reading]:
    """Yield what each detector says that the files beside allow.

    Args:
        source: File or folder that is looked at.
        traces: Those of it that nobody dropped.
        beside: Files beside them.
        background: What is known about traces.
        progress: Where to show how far it is.

    Raises:
        OpoiError: A file cannot be read, or scikit-learn is not installed.
    """

    def load(path: Path | None, *, dropped: bool = False) -> list[Trace]:
        return [] if path is None else list(traces_of(path, background, progress, dropped=dropped))

    base = load(beside.base)
    if beside.base is not None:
        yield classifier(traces, base, prose=background.prose)
        yield _early(traces, base, background)
    if beside.inferior is not None:
        yield from counterfactual(
            load(source, dropped=True),
            load(beside.inferior, dropped=True),
            base,
            scenario_of=lambda trace: background.known(trace).scenario,
        )
    if beside.training is not None:
        codes = [note.nonce for trace in load(beside.training) for note in trace.injections if note.nonce]
        fake = decoys(codes, Stream(0, "leaks", "decoys")) if codes else ()
        yield presupposing(traces, _finder(background), before=base)
        yield passcodes(traces, codes, fake)
    if beside.scores is not None:
        scored = list(_scores(beside.scores))
        sides = [[one.logprobs for one in scored if one.member == member] for member in (True, False)]
        yield from membership(*sides)


def _finder(background: Background) -> Callable[[Trace], list[Finding]]:
    return lambda trace: find_all(trace, background.known(trace))


def _early(traces: Sequence[Trace], base: Sequence[Trace], background: Background) -> Reading:
    """Return how often traces commit before evidence; `null` is how often unsteered ones do."""

    def count(some: Sequence[Trace]) -> int:
        return sum(any(True for _ in Commitment()(trace, background.known(trace))) for trace in some)

    if not traces:
        return Reading(detector=Commitment.id, name="commits early", value=None, note="no trace")
    early, anyway = count(traces), count(base)
    low, high = map(rounded, wilson(early, len(traces)))
    return Reading(
        detector=Commitment.id,
        name="commits early",
        value=rounded(early / len(traces)),
        low=low,
        high=high,
        null=rounded(anyway / len(base)) if base else None,
        p=fisher_p(early, len(traces), anyway, len(base)) if base else None,
        n=len(traces),
        note=f"{early} of {len(traces)} traces, {anyway} of {len(base)} unsteered ones; p takes the runs of "
        "a scenario for independent",
    )


def _scores(path: Path) -> Iterator[_Scored]:
    decode = msgspec.json.Decoder(_Scored).decode
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise ArtefactError(
                        f"{path}, line {number} holds no scores",
                        why=str(error),
                        fix='write a line for each trace: {"member": true, "logprobs": [-0.1, ...]}',
                    ) from error
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is missing") from error


def readings_table(found: Sequence[Reading]) -> Table:
    """Return a row for each reading: the figure, what it is where nothing leaks, and how sure that is."""
    rows = tuple(
        (
            Cell(f"{each.detector}: {each.name}", marks=(index,) if each.note else ()),
            Cell(
                _number(each.value),
                "" if each.low is None else f"[{_number(each.low)}, {_number(each.high)}]",
            ),
            Cell(_number(each.null)),
            Cell(MISSING if each.p is None else f"{each.p:.3g}"),
            Cell(str(each.n)),
        )
        for index, each in enumerate(found, start=1)
    )
    notes = tuple(visible(each.note) for each in found)
    return Table("The set as a whole", ("figure", "value", "without a leak", "p", "n"), rows, notes)


def _interval(reading: Reading) -> str:
    return "" if reading.low is None else f"[{_number(reading.low)}, {_number(reading.high)}]"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"
