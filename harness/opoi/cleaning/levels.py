"""The cleaning levels C0 to C5 of section 3.3 of the method specification, and rule files as levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from opoi.cleaning.book import Book, Finder
from opoi.cleaning.engine import clean
from opoi.cleaning.library import load_rules
from opoi.cleaning.rules import RejectResidue, RemoveNote, Resampler, ResampleTurn, RewriteSentence
from opoi.errors import UnknownNameError
from opoi.protocols import Model, Rule, Suite
from opoi.rollout import POSITIONS
from opoi.types import Cleaned, Message, Reply, ToolSpec, Trace, Usage

__all__ = ["LEVELS", "Cleaner", "cleaner"]

LEVELS = {
    "C0": "nothing is cleaned, the note stays in the prompt (positive control)",
    "C1": "the note is removed, the text is left as it is",
    "C2": "C1, and every sentence with residue is deleted; dropped if residue stays",
    "C3": "C1, and a trace with any residue is dropped",
    "C4": "C1, and a model rewrites every sentence with residue; dropped if residue stays",
    "C5": "C1, and the agent writes every turn with residue again without the note; dropped if it cannot",
}


class Cleaner:
    """Cleans traces at one level, one at a time; safe to call from several threads.

    Attributes:
        identity: What its results depend on, besides suite, agent and seed.
        asks: Whether it may ask a model.
    """

    def __init__(self, level: str, suite: Suite, agent: Callable[[], Model], rules: _Rules) -> None:
        self.identity, self.asks = rules.identity, rules.asks
        self._level, self._suite, self._agent, self._rules = level, suite, agent, rules

    def __call__(self, trace: Trace) -> Cleaned:
        """Return the cleaned trace, with an account of what was done."""
        metered = _Metered(self._agent)
        shown = _as_generated(trace) if self._level == "C0" else trace
        cleaned = clean(shown, self._rules.given(metered), level=self._level, suite=self._suite)
        return msgspec.structs.replace(cleaned, usage=metered.usage) if metered.usage.calls else cleaned


def cleaner(
    level: str,
    *,
    suite: Suite,
    agent: Callable[[], Model],
    tools: Sequence[ToolSpec],
    seed: int,
    finders: Mapping[str, Finder] | None = None,
) -> Cleaner:
    """Return what cleans traces at a level.

    Args:
        level: Key of `LEVELS`, or the path of a rule file.
        suite: The suite of the traces.
        agent: Called for the model that rewrites (C4) or resamples (C5, rules that resample).
        tools: What the agent may call when it resamples.
        seed: Seed of the run.
        finders: How rules find claims by their source, and words of the oracle; see `Book`.

    Raises:
        UnknownNameError: There is no such level.
        OpoiError: The rule file is not there, or does not fit.
    """
    if level in LEVELS:
        rules = _of_level(level, suite, tuple(tools), seed)
    elif level.endswith(".toml"):
        rules = _of_file(level, suite, tuple(tools), seed, finders)
    else:
        raise UnknownNameError("cleaning level", level, LEVELS, hint="or name a rule file that ends in .toml")
    return Cleaner(level, suite, agent, rules)


class _Rules(NamedTuple):
    """The rules of a level, once the model that some of them need is given."""

    given: Callable[[Model], tuple[Rule, ...]]
    identity: object
    asks: bool = False


def _of_level(level: str, suite: Suite, tools: tuple[ToolSpec, ...], seed: int) -> _Rules:
    prose = tuple(suite.prose)
    # the note goes last, so that every edit names messages by their place in the trace as it was made
    last = (RejectResidue(), RemoveNote())
    if level == "C2":
        book = Book(load_rules(["residue"]).named, prose=prose)
        return _Rules(lambda _: (book, *last), level)
    if level == "C4":
        return _Rules(
            lambda model: (RewriteSentence(prose=prose, model=model, seed=seed), *last), level, True
        )
    if level == "C5":
        return _Rules(
            lambda model: (ResampleTurn(Resampler(suite, tools, model, seed)), *last), level, asks=True
        )
    fixed: dict[str, tuple[Rule, ...]] = {"C0": (), "C1": (RemoveNote(),), "C3": last}
    return _Rules(lambda _: fixed[level], level)


def _of_file(
    path: str, suite: Suite, tools: tuple[ToolSpec, ...], seed: int, finders: Mapping[str, Finder] | None
) -> _Rules:
    library = load_rules([path])
    book = Book(library.named, prose=tuple(suite.prose), finders=finders, id=library.name)

    def given(model: Model) -> tuple[Rule, ...]:
        resampler = Resampler(suite, tools, model, seed)
        return book.written_by(resampler.again), *library.python, RemoveNote()

    return _Rules(given, library.identity, library.asks)


class _Metered:
    """A model, fetched when it is first asked, that adds up what the calls for one trace cost."""

    name = "metered"

    def __init__(self, model: Callable[[], Model]) -> None:
        self._model = model
        self.usage = Usage()

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        reply = self._model().complete(messages, tools, seed=seed)
        self.usage += reply.usage
        return reply


def _as_generated(trace: Trace) -> Trace:
    """Return the trace with the prompt that its generator saw, where that was the agent's own prompt."""
    if any(injection.position in POSITIONS for injection in trace.injections):
        return msgspec.structs.replace(trace, prompt=trace.gen_prompt)
    return trace
