"""From the cleaned traces to what models give to their texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from opoi.errors import EndpointError
from opoi.executor import Result
from opoi.models.endpoint.capabilities import Way
from opoi.models.endpoint.model import EndpointModel
from opoi.run import Run
from opoi.stages.common import trace_files
from opoi.store import Index, encode, read
from opoi.types import Cleaned, Message, Scenario, Scored, ScoredText, TokenLogprob, ToolSpec
from opoi.types.base import Value

__all__ = ["score", "score_file", "score_files", "score_notes"]

_PLAIN = (
    "scored as plain text (`echo`), not with the template that the server gives conversations: its figures "
    "compare with each other, and with no others"
)


def score(run: Run) -> None:
    """Let each scorer give log-probabilities to the texts of the kept traces: `scores/SCORER.ARM.jsonl`.

    A scorer whose endpoint cannot score given texts has no file.
    """
    for name, model in run.cast.scoring.items():
        way = run.cast.way_of(name)
        if way is None:
            run.progress.say(f"scores {name}: its endpoint scores no given texts (needs T2), left out")
            continue
        assert isinstance(model, EndpointModel)  # scorers are models of endpoints
        for arm, _ in trace_files(run):
            _score(run, model, way, arm)


def score_files(run: Run, arm: str) -> list[Path]:
    """Return the files that hold the scores of an arm, as far as they are there, in the order of scorers."""
    files = [run.file("scores", score_file(name, arm)) for _, name in run.cast.scorers]
    return [file for file in files if file.exists()]


def score_notes(run: Run) -> dict[str, str]:
    """Return what a reader of scores has to know, by name of the scorer."""
    return {name: _PLAIN for _, name in run.cast.scorers if run.cast.way_of(name) == "echo"}


def score_file(scorer: str, arm: str) -> str:
    """Return the name of the file of a scorer and an arm; two pairs never share one, whatever their names."""
    return f"{quote(scorer, safe='').replace('.', '%2E')}.{arm}.jsonl"


class _Item(Value, frozen=True, kw_only=True):
    """What the scores of a trace depend on.

    Attributes:
        trace_id: The trace.
        scenario_id: Its scenario.
        conversation: The student's prompt and all messages, as far as a model is shown them.
        first: How many of these are the prompt.
        places: Indices into the conversation of the texts that are scored.
        tools: What was on offer.
    """

    trace_id: str
    scenario_id: str
    conversation: tuple[Message, ...]
    first: int
    places: tuple[int, ...]
    tools: tuple[ToolSpec, ...]


def _score(run: Run, model: EndpointModel, way: Way, arm: str) -> None:
    source = run.file("cleaned", f"{arm}.jsonl")
    worlds = run.file("scenarios.jsonl")

    def items() -> Iterator[_Item]:
        scenarios = Index(worlds, Scenario, key="id")

        @lru_cache(maxsize=1)  # the traces of a scenario stand together
        def tools_of(scenario: str) -> tuple[ToolSpec, ...]:
            return tuple(run.suite.env(scenarios.one(scenario)).tools)

        for cleaned in read(source, Cleaned):
            if cleaned.kept:
                yield _item(cleaned, tools_of(cleaned.trace.scenario_id))

    def apply(item: _Item) -> Result:
        found: Sequence[tuple[TokenLogprob, ...]] = ()
        failure = ""
        try:
            found = model.score(item.conversation, item.places, item.tools, way)
        except EndpointError as error:
            failure = error.line
        texts = zip(item.places, found, strict=not failure)
        scored = Scored(
            trace_id=item.trace_id,
            scenario_id=item.scenario_id,
            scorer=model.name,
            texts=tuple(ScoredText(message=place - item.first, tokens=tokens) for place, tokens in texts),
            failure=failure,
        )
        return Result((encode(scored),), failure=failure, notes=("failed" if failure else "scored",))

    run.work(
        f"scores {model.name} {arm}",
        run.file("scores", score_file(model.name, arm)),
        inputs=[source, worlds],
        depends=[run.cast.suite_identity, model.name, way, model.dialect.tools],
        extent=None,
        items=items,
        total=lambda: sum(cleaned.kept for cleaned in read(source, Cleaned)),
        do=apply,
        models=lambda: [model],
    )


def _item(cleaned: Cleaned, tools: Sequence[ToolSpec]) -> _Item:
    trace = cleaned.trace
    shown = tuple(_shown(message) for message in (*trace.prompt, *trace.messages))
    first = len(trace.prompt)
    places = [
        first + index
        for index, message in enumerate(trace.messages)
        if message.role == "assistant" and message.loss_weight > 0 and message.content
    ]
    return _Item(
        trace_id=trace.id,
        scenario_id=trace.scenario_id,
        conversation=shown,
        first=first,
        places=tuple(places),
        tools=tuple(tools),
    )


def _shown(message: Message) -> Message:
    """Return a message with nothing but what a model is shown."""
    return Message(
        role=message.role,
        content=message.content,
        tool_calls=message.tool_calls,
        tool_call_id=message.tool_call_id,
        author=message.author,
    )
