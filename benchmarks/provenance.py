"""What does it cost to find the source of every claim of a trace?

    python benchmarks/provenance.py [--traces 60] [--rounds 3]

Traces of several sizes are made from a seed: tool results that print and tag so many values, prose in
between, and a decision whose reasoning and citations restate some of them, compare others and make some up.
Each is traced by `opoi.provenance.tracing.trace_claims`, with a scenario of six hidden facts; no two traces
share a tool result. In every round all traces are new, so that nothing is remembered but the prompt. Wall
time by `time.perf_counter`, best of the rounds, in milliseconds and as a multiple of decoding the JSON of
the same traces with msgspec. The aim is under 2 ms for 6 kB of text with 500 observed values.

`restating` is the same where every claim restates a tool, so that no arithmetic is tried.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import msgspec

from opoi.provenance.privileged import Provenance
from opoi.provenance.tracing import trace_claims
from opoi.seeds import Stream
from opoi.types import Decision, Fact, Hidden, Message, Scenario, Trace, Truth

AS_OF = "2025-08-11"
METRICS = (
    ("spend", "USD"),
    ("views", "count"),
    ("clicks", "count"),
    ("ctr", "%"),
    ("cpm", "USD"),
    ("orders", "count"),
    ("revenue", "USD"),
    ("cpa", "USD"),
    ("yield", "x"),
)
RESULTS = 5
SIZES = (125, 250, 500, 1000)
PROMPT = Message(
    role="system",
    author="suite",
    content=(
        "You look after the daily budget of one line. Look at the days before you trust an average. A cpa "
        "within 15 % of the target of $45.00 is fine; one step is the budget x 1.2, never above $1,500. "
    )
    * 4,
)


def scenario() -> Scenario:
    hidden = tuple(
        Hidden(fact=Fact("line_1", f"later_{index}", "", 1000.37 + 731.19 * index, "USD"), channel="outcome")
        for index in range(6)
    )
    truth = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=(), hidden=hidden)
    return Scenario(
        id="s", suite="none", seed=0, kind="k", as_of=AS_OF, task="Decide.", entity="line_1", truth=truth
    )


def facts(stream: Stream, count: int) -> list[Fact]:
    """Return values of one line after the other, day by day, metric by metric."""
    found = []
    for index in range(count):
        metric, unit = METRICS[index % len(METRICS)]
        day, line = index // len(METRICS) % 10, index // (10 * len(METRICS))
        cents = stream.below(90_000, "value", index) + 10_000
        value = cents if unit == "count" else cents / 100
        found.append(Fact(f"line_{line}", metric, f"2025-08-{day + 1:02d}", value, unit))
    return found


def result(shown: Sequence[Fact], size: int) -> Message:
    """Return a tool result that prints the values, as rows without names, in about so many characters."""
    text = json.dumps({"rows": [fact.value for fact in shown]}, separators=(",", ":"))
    note = "complete to the day before " * (1 + max(0, size - len(text)) // 27)
    return Message(
        role="tool",
        author="env",
        content=f'{text[:-1]},"note":"{note[: size - len(text)]}"}}',
        facts=tuple(shown),
    )


def sentences(stream: Stream, known: Sequence[Fact], *, restating: bool) -> list[str]:
    """Return what an agent would say about the values."""
    picked = [known[stream.below(len(known), "told", index)] for index in range(6)]
    said = [f"{fact.metric} was {fact.value} on {fact.window} for {fact.entity}." for fact in picked]
    if restating:
        return said
    for index in range(2):
        change = stream.between(5, 60, "made up", index)
        said.append(f"That is {change:.1f}% more than before, or ${change * 17.31:.2f} in all.")
    return said


def trace(stream: Stream, values: int, size: int, *, restating: bool) -> Trace:
    known = facts(stream, values)
    said = sentences(stream, known, restating=restating)
    cited = [
        {"metric": fact.metric, "entity": fact.entity, "window": fact.window, "value": fact.value}
        for fact in known[-3:]
    ]
    answer = {"action": "hold", "entity": "line_1", "reasoning": " ".join(said), "citations": cited}
    part = values // RESULTS
    spare = (size - len(json.dumps(answer))) // RESULTS
    messages: list[Message] = []
    for index in range(RESULTS):
        messages += [
            Message(role="assistant", author="student", content="Next the days, one by one."),
            result(known[index * part : (index + 1) * part], max(spare, 0)),
        ]
    messages.append(Message(role="assistant", author="student", content=json.dumps(answer)))
    decision = Decision(action="hold", entity="line_1", reasoning=answer["reasoning"], payload=answer)
    return Trace(
        id="t",
        scenario_id="s",
        arm="x",
        run=0,
        as_of=AS_OF,
        prompt=(PROMPT,),
        messages=tuple(messages),
        decision=decision,
    )


def measure(traces: Sequence[Trace], provenance: Provenance) -> tuple[float, float, int]:
    """Return milliseconds a trace of tracing and of decoding, and the claims of all traces."""
    lines = [msgspec.json.encode(each) for each in traces]
    start = time.perf_counter()
    for line in lines:
        msgspec.json.decode(line, type=Trace)
    decoding = time.perf_counter() - start
    start = time.perf_counter()
    claims = sum(len(trace_claims(each, provenance)) for each in traces)
    tracing = time.perf_counter() - start
    return tracing / len(traces) * 1e3, decoding / len(traces) * 1e3, claims


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    provenance = Provenance(scenario())
    print(f"{options.traces} traces a row, best of {options.rounds} rounds\n")
    print(f"{'':12}{'values':>7}{'kB':>6}{'claims':>8}{'ms/trace':>10}{'decode ms':>11}{'ratio':>7}")
    for restating in (False, True):
        for values in SIZES:
            size = 6000 * values // 500
            rounds = []
            for turn in range(options.rounds):
                stream = Stream(turn, "benchmark", values, int(restating))
                made = [
                    trace(stream.at(index), values, size, restating=restating)
                    for index in range(options.traces)
                ]
                rounds.append(measure(made, provenance))
            cost, decoding, claims = min(rounds)
            text = sum(len(message.content) for message in made[0].messages) / 1000
            name = "restating" if restating else "mixed"
            shown = f"{name:12}{values:7}{text:6.1f}{claims / options.traces:8.1f}"
            print(f"{shown}{cost:10.2f}{decoding:11.3f}{cost / decoding:7.1f}")


if __name__ == "__main__":
    main()
