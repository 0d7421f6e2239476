"""Do rules match what their examples say they must, and let pass what they must?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from opoi.cleaning.book import Book, Named
from opoi.cleaning.library import Library
from opoi.cleaning.rulefile import Example, Examples, RuleSpec
from opoi.errors import PluginError
from opoi.lab.known import PROSE
from opoi.leakage.finders import check_detectors, finders
from opoi.leakage.known import Known
from opoi.passages import Kind
from opoi.protocols import Rule
from opoi.types import Hidden, Injection, Message, Scenario, ToolCall, Trace, Truth

__all__ = ["Checked", "check_examples"]


class Checked(NamedTuple):
    """One example, tried.

    Attributes:
        rule: Full id of the rule.
        text: The example.
        wanted: Whether the rule is to match it or to let it pass.
        matched: What of the text it matches; empty where nothing does.
        place: Where the text was put, for rules that look into more than one place.
    """

    rule: str
    text: str
    wanted: Literal["match", "pass"]
    matched: tuple[str, ...]
    place: str

    @property
    def right(self) -> bool:
        """Whether the rule does what the example says."""
        return bool(self.matched) == (self.wanted == "match")


def check_examples(library: Library) -> Iterator[Checked]:
    """Try every example of every rule, in each place where the rule looks.

    Raises:
        PluginError: The examples of a rule in Python are no examples.
        UnknownNameError: A rule asks for a detector that does not exist.
    """
    check_detectors(library.named)
    for rule in library.named:
        for wanted, example in _all(rule.spec.examples):
            for role, kind, nested in _places(rule.spec):
                trace, known = _staged(example, role, kind, nested=nested)
                label = " ".join([role, kind, *(["of a sub-agent"] if nested else [])])
                yield Checked(rule.id, example.text, wanted, _matches(rule, trace, known), label)
    for plain in library.python:
        for wanted, example in _all(_examples_of(plain)):
            trace, _ = _staged(example, "assistant", "prose", nested=False)
            asked = tuple(type(wish).__name__.lower() for wish in plain(trace))
            yield Checked(plain.id, example.text, wanted, asked, "assistant prose")


def _all(examples: Examples) -> Iterator[tuple[Literal["match", "pass"], Example]]:
    for example in examples.match:
        yield "match", example if isinstance(example, Example) else Example(text=example)
    for example in examples.passed:
        yield "pass", example if isinstance(example, Example) else Example(text=example)


def _examples_of(rule: Rule) -> Examples:
    given = getattr(rule, "examples", None)
    if not given:
        return Examples()
    try:
        return msgspec.convert(given, Examples)
    except msgspec.ValidationError as error:
        raise PluginError(
            f"the examples of the rule {rule.id!r} are none",
            why=str(error),
            fix='write examples = {"match": [...], "pass": [...]}',
        ) from error


def _places(spec: RuleSpec) -> Iterator[tuple[str, Kind, bool]]:
    """Yield the places of a rule that an example is tried in: each field, of each role, of each agent.

    Claims, the oracle's words and what detectors find are looked for in what models wrote only.
    """
    where, written = spec.where, spec.match.kinds[0] in ("source", "overlap", "detector")
    nested = {"main": (False,), "sub": (True,), "all": (False, True)}[where.agents]
    for role in ("assistant",) if written else where.roles:
        for kind in where.fields if role == "assistant" else ("prose",):
            for sub in nested:
                yield role, kind, sub


def _matches(rule: Named, trace: Trace, known: Known) -> tuple[str, ...]:
    spec = msgspec.structs.replace(rule.spec, where=msgspec.structs.replace(rule.spec.where, turns=()))
    book = Book([Named(rule.id, spec)], prose=PROSE, finders=finders(lambda _: known))
    return tuple(found.passage.text[found.start : found.end] for found in book.find(trace))


def _staged(example: Example, role: str, kind: Kind, *, nested: bool) -> tuple[Trace, Known]:
    """Return a trace in which an agent says the text, and what is known about it."""
    message = _message(example.text, role, kind)
    seen: tuple[Message, ...] = ()
    if example.observed:
        seen = (Message(role="tool", author="env", tool_call_id="seen", facts=example.observed),)
    if nested:
        outer = Message(role="tool", author="env", tool_call_id="asked", sub=(*seen, message))
        messages: Sequence[Message] = (outer,)
    else:
        messages = (*seen, message)
    trace = Trace(
        id="example",
        scenario_id="example",
        arm="",
        run=0,
        as_of="",
        messages=tuple(messages),
        injections=(Injection(text=example.oracle, nonce=example.nonce),)
        if example.oracle or example.nonce
        else (),
    )
    hidden = tuple(Hidden(fact=fact, channel="hidden") for fact in example.hidden)
    scenario = Scenario(
        id="example",
        suite="",
        seed=0,
        kind="",
        as_of="",
        task="",
        entity="",
        truth=Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=(), hidden=hidden),
    )
    return trace, Known(scenario=scenario, prose=PROSE)


def _message(text: str, role: str, kind: Kind) -> Message:
    quoted = msgspec.json.encode({"text": text}).decode()
    if kind == "name":
        call = ToolCall(id="asked", name=text, arguments="{}")
        return Message(role="assistant", author="student", tool_calls=(call,), loss_weight=1.0)
    if kind == "argument":
        call = ToolCall(id="asked", name="tool", arguments=quoted)
        return Message(role="assistant", author="student", tool_calls=(call,), loss_weight=1.0)
    content = quoted if kind == "json" else text
    if role == "assistant":
        return Message(role="assistant", author="student", content=content, loss_weight=1.0)
    author = "env" if role == "tool" else "suite"
    return Message(role=role, author=author, content=content)  # type: ignore[arg-type]  # roles of the schema
