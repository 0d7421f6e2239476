"""What an endpoint can do, and which methods and measures that is enough for, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from opoi.models.endpoint.capabilities import Capabilities, Scorer, Way
from opoi.report.tables import MISSING, Cell, Table, visible
from opoi.types import Tier

__all__ = ["capability_table", "tier_table"]

_SHOWN = 60
"""Most characters of one name or word of a server."""

_NAMED = 5
"""Names of models that are listed."""

_TIERS = {
    Tier.T0: "chat only",
    Tier.T1: "log-probabilities of the model's own tokens",
    Tier.T2: "log-probabilities of given texts",
    Tier.T3: "the weights",
}

_TOOLS = {
    "raw": "calls come as <tool_call> text, which is read here",
    "rendered": "tools reach the prompt; no call was seen, which may be the model's choice",
    "ignored": "tools do not reach the model: they are offered as text instead",
    "refused": "the server refuses tools: they are offered as text instead",
}

_SCORES = {
    "shifted": "one token off: not used",
    "wrong": "disagrees with what the endpoint gives as it generates: not used",
    "unclear": "too few tokens could be compared, or too like ones: not used",
    "blind": "the same figures after another prompt: not used",
    "untested": "there are no log-probabilities of generated tokens to compare with: not used",
}


_OWN = {
    "apart": "the tokens do not add up to the text: not used",
    "positive": "figures above 0: not used",
    "alike": "all figures are the same: not used",
    "blind": _SCORES["blind"],
}


def capability_table(found: Capabilities) -> Table:
    """Return what a probe found, one capability per row. What a server wrote cannot steer a terminal."""
    notes = _Notes()
    rows = tuple((Cell(label), notes.cell(value, note)) for label, value, note in _rows(found))
    return Table(f"What {_shown(found.model)} can do ({found.calls} calls)", ("", "found"), rows, notes.texts)


def tier_table(found: Capabilities, methods: Mapping[str, Tier], measures: Mapping[str, Tier]) -> Table:
    """Return which methods and measures run on an endpoint, one per row.

    Args:
        found: What it can do.
        methods: What each strategy needs, by name.
        measures: What each measure needs, by name.
    """
    notes = _Notes()
    rows = tuple(
        (
            Cell(f"{kind} {_shown(name)}"),
            notes.cell(need.value, _TIERS[need]),
            Cell("yes" if found.tier.covers(need) else "no"),
        )
        for kind, needs in (("method", methods), ("measure", measures))
        for name, need in sorted(needs.items(), key=lambda item: item[1].value)
    )
    title = f"Tier {found.tier}: {_TIERS[found.tier]}"
    return Table(title, ("", "needs", "runs here"), rows, notes.texts)


Row = tuple[str, str, str]
"""Label, what was found, and what it means (`""` where that is plain)."""


def _rows(found: Capabilities) -> Iterator[Row]:
    yield "models", _models(found), ""
    yield (
        "context length",
        str(found.context or MISSING),
        "" if found.context else "the list of models does not tell",
    )
    yield from _tool_rows(found)
    yield "JSON schema", found.json_schema, ""
    yield from _sampling_rows(found)
    yield from _limit_rows(found)
    yield from _stream_rows(found)
    yield from _score_rows(found)
    yield "unknown fields", found.unknown_fields, ""
    yield "errors", found.errors, ""


def _models(found: Capabilities) -> str:
    if found.listing != "ok":
        return found.listing
    names = ", ".join(_shown(name) for name in found.models[:_NAMED])
    more = found.models_count - len(found.models[:_NAMED])
    return (f"{names} and {more} more" if more > 0 else names) or MISSING


def _tool_rows(found: Capabilities) -> Iterator[Row]:
    yield "tools", found.tools, _TOOLS.get(found.tools, "")
    finish = f"finish reason {_shown(found.tools_named_finish)!r}" if found.tools_named_finish else ""
    odd = finish and found.tools_named_finish != "tool_calls"
    yield "named tool_choice", found.tools_named, f"{finish}: calls are read whatever it says" if odd else ""
    yield (
        "tool_choice none",
        found.tools_none,
        "" if found.tools_none != "unknown" else "no call was seen to forbid",
    )
    seen = {True: "seen", False: "one at a time", None: "unknown"}[found.parallel]
    yield "parallel calls", seen, ""
    yield "parallel_tool_calls false", found.parallel_off, ""


def _sampling_rows(found: Capabilities) -> Iterator[Row]:
    copies = "" if found.seed_matters else "another seed gave the same text: runs may be copies of each other"
    yield "seed", found.seed, {"ignored": "answers do not repeat", "honoured": copies}.get(found.seed, "")
    yield "temperature", found.temperature, ""
    yield "n", found.n, ""
    yield "stop", found.stop, ""


def _limit_rows(found: Capabilities) -> Iterator[Row]:
    yield "max_tokens", found.max_tokens, ""
    endless = "alone it may give answers without an end" if found.max_completion_tokens == "ignored" else ""
    yield "max_completion_tokens", found.max_completion_tokens, endless


def _stream_rows(found: Capabilities) -> Iterator[Row]:
    yield "streams", found.stream, ""
    if found.stream == "ok":
        uncounted = "" if found.stream_usage == "given" else "tokens are not counted in streams"
        yield "usage in streams", found.stream_usage, uncounted
    yield "usage", "given" if found.usage else "never", "" if found.usage else "tokens are not counted"


def _score_rows(found: Capabilities) -> Iterator[Row]:
    check = found.logprob_check
    found_so = check if check in _OWN else "none"
    top = f"with up to {found.top_logprobs} alternatives" if found.logprobs else found_so
    yield "log-probabilities", top, _OWN.get(check, "")
    if found.logprobs:
        yield "bytes of tokens", found.logprob_bytes, ""
    ways: tuple[tuple[Way, str], ...] = (
        ("prompt_logprobs", "scores by prompt_logprobs"),
        ("echo", "scores by echo"),
    )
    for way, label in ways:
        scorer = found.scorers.get(way, Scorer())
        yield label, scorer.verdict, _SCORES.get(scorer.verdict, "")


class _Notes:
    """Footnotes in the order of first use."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def cell(self, text: str, note: str) -> Cell:
        """Return a cell, with the mark of its footnote where it has one."""
        marks = (self._numbers.setdefault(note, len(self._numbers) + 1),) if note else ()
        return Cell(text, marks=marks)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._numbers)


def _shown(text: str) -> str:
    """Return words of a server on one line, shortened, with nothing in them that steers a terminal."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."
