"""The smallest suite: one gauge, one tool, two actions. Copy this file to start your own.

A plant asks whether to open a valve. The gauge shows the pressure; above the limit the valve should be
opened. What no tool shows: tonight's delivery may push the pressure up, so that opening would have been
right although the gauge is low. The expert sometimes judges by that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from opoi.errors import UnknownNameError, UsageError
from opoi.protocols import Expert, Model
from opoi.seeds import Stream
from opoi.types import (
    Citation,
    Claim,
    Decision,
    Fact,
    Hidden,
    Message,
    Reply,
    Scenario,
    ToolCall,
    ToolSpec,
    Trace,
    Truth,
    Usage,
    Verdict,
)
from opoi.wire import characters, find_object, parse_action, schema_of

__all__ = ["Echo", "EchoEnv", "EchoModel", "Persona", "suite"]

LIMIT = 50
"""Pressure in bar above which the playbook says: open."""

PRESSURES = range(30, 71)
"""What the gauge can show in bar, each equally likely."""

DELIVERY_RISK = 0.2
"""Share of nights with a delivery that pushes the pressure over the limit."""

PLAYBOOK = f"""You watch a pressure vessel. Read the gauge with your tool before you decide.
Open the valve when the pressure is above {LIMIT} bar, otherwise hold.
Answer with one JSON object: {{"action": "open" or "hold", "entity": the gauge's id, "reasoning": one or
two sentences that name the pressure you read, "citations": [{{"metric": "pressure", "entity": the gauge's
id, "window": the day, "value": the number}}]}}."""


# ---------------------------------------------------------------- decisions


class Answer(Struct, forbid_unknown_fields=True):
    """The final answer as the model has to write it."""

    action: Literal["open", "hold"]
    entity: str
    reasoning: Annotated[str, Meta(min_length=1)]
    citations: tuple[Citation, ...] = ()


def decide(text: str) -> Decision:
    """Read a final answer; see `opoi.protocols.Suite.decide`."""
    span = find_object(text)
    if span is None:
        return Decision(problems=("no JSON object in the answer",))
    try:
        answer = msgspec.json.decode(text[slice(*span)], type=Answer)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        return Decision(problems=(str(error),))
    return Decision(
        action=answer.action,
        entity=answer.entity,
        reasoning=answer.reasoning,
        citations=answer.citations,
        payload=msgspec.to_builtins(answer),
    )


# ---------------------------------------------------------------- the world and its one tool


def pressure_of(seed: int) -> int:
    """Return the pressure in bar that the gauge shows, 30 to 70."""
    return Stream(seed, "echo").choice(PRESSURES, "pressure")


def delivery_of(seed: int) -> bool:
    """Return whether tonight's delivery pushes the pressure over the limit. No tool tells."""
    return Stream(seed, "echo").chance(DELIVERY_RISK, "delivery")


class ReadGauge(Struct, forbid_unknown_fields=True):
    """Arguments of `read_gauge`."""

    gauge: Annotated[str, Meta(description="Id of the gauge, as in the task.")]


class EchoEnv:
    """One vessel on one day. Satisfies `opoi.protocols.Env`."""

    tools: Sequence[ToolSpec] = (
        ToolSpec(name="read_gauge", description="Read the pressure in bar.", parameters=schema_of(ReadGauge)),
    )
    system_prompt = PLAYBOOK

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def reset(
        self,
        *,
        seed: int | None = None,  # noqa: ARG002 - the scenario fixes the world
        options: dict[str, Any] | None = None,  # noqa: ARG002 - there are none
    ) -> tuple[str, dict[str, Any]]:
        """Start the episode; return the task."""
        return self._scenario.task, {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Read the gauge or take the answer. The reward is the realised utility (0 or 1)."""
        scenario = self._scenario
        try:
            taken = parse_action(action)
            if taken.answer is not None:
                reward = scenario.truth.realised.get(decide(taken.answer).action, 0.0)
                return "", reward, True, False, {"facts": (), "error": False}
            if taken.tool != "read_gauge":
                raise ValueError(f"there is no tool {taken.tool!r}; there is only read_gauge")
            arguments = msgspec.json.decode(taken.arguments, type=ReadGauge)
            if arguments.gauge != scenario.entity:
                raise ValueError(f"there is no gauge {arguments.gauge!r}; the task names {scenario.entity}")
        except (ValueError, msgspec.MsgspecError) as error:
            text = json.dumps({"error": {"message": str(error)}})
            return text, 0.0, False, False, {"facts": (), "error": True}
        pressure = pressure_of(scenario.seed)
        fact = Fact(scenario.entity, "pressure", scenario.as_of, pressure, "bar")
        text = json.dumps({"gauge": scenario.entity, "day": scenario.as_of, "pressure": pressure})
        return text, 0.0, False, False, {"facts": (fact,), "error": False}


# ---------------------------------------------------------------- the expert


class Reviewer(Struct, frozen=True):
    """Judges by the gauge, or with probability `hindsight` by what the night brought."""

    name: str
    hindsight: float

    def __call__(self, scenario: Scenario, trace: Trace) -> Verdict:
        """Review one trace."""
        looks_back = Stream(scenario.seed, "echo", self.name).chance(self.hindsight, "looks back")
        truth = scenario.truth
        action = (truth.hindsight_actions if looks_back else truth.observable_actions)[0]
        pressure = pressure_of(scenario.seed)
        fact = Fact(scenario.entity, "pressure", scenario.as_of, pressure, "bar")
        claims = [Claim(text=f"The gauge stood at {pressure} bar.", origin="observable", facts=(fact,))]
        for hidden in truth.hidden if looks_back else ():
            claims.append(
                Claim(
                    text=f"A delivery of {hidden.fact.value} litres came.",
                    origin="hindsight",
                    facts=(hidden.fact,),
                )
            )
        agreed = trace.decision.action == action
        kind: Literal["approve", "decline", "correct"] = (
            "approve" if agreed else "decline" if action == "hold" else "correct"
        )
        phrase = "open the valve" if action == "open" else "hold"
        return Verdict(
            expert=self.name,
            kind=kind,
            action=action,
            phrase=phrase,
            feedback=f"{phrase.capitalize()}. " + " ".join(claim.text for claim in claims),
            claims=tuple(claims),
            outcome="The vessel was overfull by morning." if delivery_of(scenario.seed) else "A quiet night.",
            payload={"action": action, "entity": scenario.entity},
        )


# ---------------------------------------------------------------- the embedded model


Dial = Annotated[float, Meta(ge=0, le=1)]


class Persona(Struct, frozen=True, forbid_unknown_fields=True):
    """Dials of the stand-in: probabilities, each drawn for itself, per run where nothing else is said.

    Attributes:
        seed: Seed of its draws.
        obedience: Follows a note with a verdict.
        residue: Mentions the note when it follows it.
        flip: Takes the other action than the gauge asks for.
        bias: Takes the pressure for the opposite of what it says. Drawn per case: in every run the same.
        vague: Gives a reason without any number, and cites nothing.
        hidden_leak: Repeats from a note that it follows what its tools cannot show.
        invalid: Breaks the JSON of its answer.
        empty: Guesses without reading the gauge.
        fabricate: Invents a number: in its reason, or, as a corrector, as a citation.
    """

    seed: int = 0
    obedience: Dial = 0.9
    residue: Dial = 0.3
    flip: Dial = 0.2
    bias: Dial = 0.0
    vague: Dial = 0.0
    hidden_leak: Dial = 0.0
    invalid: Dial = 0.0
    empty: Dial = 0.0
    fabricate: Dial = 0.0


TOLD = re.compile(r"(?:REVIEW NOTE|Expert feedback:)(.*)", re.DOTALL)
"""What a note to the agent, or a reviewer's feedback to a corrector, says."""

UNSEEN = re.compile(r"A delivery of \d+ litres came\.")
"""What the reviewer knows and no tool shows."""


class EchoModel:
    """A stand-in that reads its request and nothing else. Satisfies `opoi.protocols.Model`."""

    def __init__(self, persona: Persona, name: str = "stand-in/default") -> None:
        self.persona = persona
        self.identity = persona
        self.name = name

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        """Read the gauge first, then decide by the limit or by a note."""
        text = "\n".join(message.content for message in messages if message.role in ("system", "user"))
        if messages[0].content.startswith("Rewrite"):
            sentence = messages[0].content.rpartition("\n")[2]
            return self._say(messages, tools, sentence.removeprefix("As the reviewer noted, ").capitalize())
        draws = Stream(self.persona.seed, seed)
        result = next((m.content for m in reversed(messages) if m.role == "tool" and not m.error), "")
        if tools and not result and not draws.chance(self.persona.empty, "empty"):
            gauge = text.partition("Decide about gauge ")[2].partition(" ")[0]
            call = ToolCall(id="call", name="read_gauge", arguments=json.dumps({"gauge": gauge}))
            return Reply(tool_calls=(call,), usage=self._usage(messages, tools, ""))
        read = msgspec.json.decode(result) if result.startswith("{") else {}
        reading = read if "pressure" in read else {}  # an error is no reading
        answer = self._decision(text, reading, draws, corrects=not tools)
        broken = draws.chance(self.persona.invalid, "invalid")
        return self._say(messages, tools, answer[:-1] if broken else answer)

    def _decision(self, text: str, reading: dict[str, Any], draws: Stream, *, corrects: bool) -> str:
        dials = self.persona
        found = TOLD.search(text)
        note = found[1] if found else ""
        named = re.search(r"\bg\d{5}\b", text)
        entity = reading.get("gauge") or (named.group() if named else "unknown")
        action, words, cited = self._own(reading, draws), ["The situation calls for it."], []
        follows = bool(note) and (corrects or draws.chance(dials.obedience, "obey"))
        if reading and not draws.chance(dials.vague, "vague"):
            words = [f"The gauge shows {reading['pressure']} bar, the limit is {LIMIT}."]
            cited = [(reading["day"], reading["pressure"])]
        if follows:
            action = "open" if "open the valve" in note.lower() else "hold"
            if not corrects and draws.chance(dials.residue, "residue"):
                words.insert(0, "As the reviewer noted, the case is clear.")
            if (unseen := UNSEEN.search(note)) and draws.chance(dials.hidden_leak, "hidden leak"):
                words.append(unseen.group())
        if draws.chance(dials.fabricate, "fabricate"):
            number = 301 + 2 * draws.below(300, "number")
            if corrects:
                cited.append(("", number))
            else:
                words.append(f"The pump moved {number} litres.")
        citations = [
            {"metric": "pressure", "entity": entity, "window": day, "value": value} for day, value in cited
        ]
        answer = {"action": action, "entity": entity, "reasoning": " ".join(words), "citations": citations}
        return json.dumps(answer)

    def _own(self, reading: dict[str, Any], draws: Stream) -> str:
        """Return what it would do by itself: by the gauge, or, where it has not looked, at random."""
        if not reading:
            return draws.choice(("open", "hold"), "guess")
        pressure = reading["pressure"]
        case = Stream(self.persona.seed, "case", reading["gauge"], pressure)
        wrong = draws.chance(self.persona.flip, "misread") != case.chance(self.persona.bias, "bias")
        return "open" if (pressure > LIMIT) != wrong else "hold"

    def _say(self, messages: Sequence[Message], tools: Sequence[ToolSpec], text: str) -> Reply:
        return Reply(content=text, finish_reason="stop", usage=self._usage(messages, tools, text))

    @staticmethod
    def _usage(messages: Sequence[Message], tools: Sequence[ToolSpec], text: str) -> Usage:
        shown = characters(messages, tools)
        return Usage(calls=1, prompt_tokens=shown // 4, completion_tokens=len(text) // 4)


# ---------------------------------------------------------------- the suite


class Echo:
    """The suite object. Satisfies `opoi.protocols.Suite`."""

    name = "echo"
    actions: tuple[str, ...] = ("open", "hold")
    null_action = "hold"
    decision_schema = schema_of(Answer)
    prose: tuple[str, ...] = ("reasoning",)
    experts: Mapping[str, Expert] = {
        "reviewer": Reviewer(name="reviewer", hindsight=0.5),
        "careful": Reviewer(name="careful", hindsight=0.0),
    }

    def scenarios(self, count: int, seed: int) -> Iterator[Scenario]:
        """Yield scenarios; the i-th depends on `seed` and i alone."""
        for index in range(count):
            world = Stream(seed, "echo", "scenario").seed31(index)
            gauge = f"g{index:05d}"
            high = pressure_of(world) > LIMIT
            filled = delivery_of(world)
            litres = 2000 + 2 * Stream(world, "echo").below(900, "litres") + 1
            hidden = Hidden(fact=Fact(gauge, "delivery", "2025-03-15", litres, "l"), channel="hidden")
            yield Scenario(
                id=f"echo-{index:05d}",
                suite=self.name,
                seed=world,
                kind="high" if high else "low",
                as_of="2025-03-14",
                task=f"It is 2025-03-14. Decide about gauge {gauge} now.",
                entity=gauge,
                truth=Truth(
                    expected={"open": 1.0, "hold": 0.0} if high else {"open": DELIVERY_RISK, "hold": 0.8},
                    realised={"open": float(high or filled), "hold": float(not (high or filled))},
                    observable_actions=("open",) if high else ("hold",),
                    hindsight_actions=("open",) if high or filled else ("hold",),
                    hidden=(hidden,) if filled else (),
                ),
            )

    def env(self, scenario: Scenario) -> EchoEnv:
        """Return a fresh environment."""
        return EchoEnv(scenario)

    def expected(self, scenario: Scenario, facts: Iterable[Fact]) -> dict[str, float]:
        """Return the expected utility of each action given facts: all hangs on the gauge."""
        read = [
            float(fact.value)
            for fact in facts
            if fact.metric == "pressure" and fact.entity == scenario.entity
        ]
        high = float(read[-1] > LIMIT) if read else sum(bar > LIMIT for bar in PRESSURES) / len(PRESSURES)
        filled = high + (1.0 - high) * DELIVERY_RISK
        return {"open": round(filled, 9), "hold": round(1.0 - filled, 9)}

    def decide(self, text: str) -> Decision:
        """Read a final answer strictly."""
        return decide(text)

    def stand_in(self, persona: str | Path = "default") -> Model:
        """Return the embedded model; `persona` is `default` or the path of a TOML file."""
        if str(persona) == "default":
            return EchoModel(Persona())
        path = Path(persona)
        if path.suffix != ".toml":
            raise UnknownNameError("persona", str(persona), ["default"], hint="or give a .toml file")
        try:
            dials = msgspec.toml.decode(path.read_bytes(), type=Persona)
        except (OSError, msgspec.MsgspecError) as error:
            raise UsageError(f"the persona file {str(path)!r} cannot be used", why=str(error)) from error
        return EchoModel(dials, name=f"stand-in/{path.stem}")


suite = Echo()
