"""How fast is the cleaner, beside Python's `re` doing the same and beside the bare matching engine?

A corpus of OpenAI fine-tuning lines, about 7 kB each: a fifth of them with residue, a third of them with
typographic quotes and dashes, as models write them. And 200 rules as people write them: phrases,
alternatives, optional words. In one run, on the same corpus:

- `clean`: `opoi clean FILE --rules R --out OUT` in this process: read, fold, match, edit, count, write;
- `reading`: reading the file into traces, and nothing else;
- `re`: the same 200 patterns with Python's `re`, pattern by pattern, on the texts that the cleaner matches
  (prose of the assistant; no reading, no writing; on a part of the corpus, as it takes so long);
- `engine`: one RE2 set of the 200 patterns, once on these texts and once on the lines of the file as they
  are. It says which patterns match in a text, and not where.

All are MB of the corpus (the bytes of the file) by second of CPU time in one process. So the ratios are those
of the times, and what matches the texts only is measured by the file that they are from.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import re2

from opoi.cleaning.library import load_rules
from opoi.cleaning.scanner import literal_pattern, spaced
from opoi.formats import Record, open_sink, open_traces
from opoi.lab.clean import Bench, Tally, line_of
from opoi.lab.known import Background
from opoi.passages import passages
from opoi.seeds import Stream

NOUNS = (
    *(
        "note",
        "guidance",
        "verdict",
        "oracle",
        "expert",
        "memo",
        "briefing",
        "instruction",
        "advice",
        "ruling",
    ),
    *("outcome", "future", "answer", "signal", "hint", "lead", "manager", "senior", "decision", "brief"),
)
VERBS = ("says", "said", "wants", "asks", "tells", "told", "flagged", "settled", "decided", "confirmed")
DONE = (
    "told",
    "asked",
    "advised",
    "flagged",
    "settled",
    "decided",
    "confirmed",
    "shown",
    "warned",
    "briefed",
)
FILLER = (
    "Cost per purchase over the last seven days is 39.19 against a target of 38.00.",
    "The level holds and is close to the target, so the limit stays where it is.",
    "Spend rose by 12 percent while purchases stayed flat at 56 a week.",
    "I check the settings first, then the daily rows, then the comparison with last week.",
    "Frequency is 1.8 and rising slowly; nothing in the rows points to fatigue yet.",
    "The dip on the weekend is what this account shows every week.",
    "Before deciding anything I want to see whether the change of Tuesday explains the drop.",
    "Two of the five groups carry most of the volume, and both are within their usual range.",
    "The outcome of the last test was unclear, so I would not lean on it.",
    "Nothing asked for here needs a decision today; a look at the next rows is cheap.",
    "Seen over four weeks, the trend is flat, and the noise of a single day says little.",
    "If the value stays above 41 for three more days, that is the signal to act.",
)
TYPOGRAPHIC = (
    "It\u2019s a small sample \u2014 9 purchases a day \u2014 so I don\u2019t read much into it.",
    "What they call \u201cfatigue\u201d would show as a rising frequency \u2013 it doesn\u2019t.",
)


def match_of(index: int) -> dict[str, str | list[str]]:
    """Return what a rule matches, one of four kinds in turn."""
    noun, other = NOUNS[index // 4 % 20], NOUNS[(index * 7 + 3) % 20]
    verb, done = VERBS[(index // 20) % 10], DONE[(index * 3 + index // 20) % 10]
    return (
        {"literals": [f"as the {noun} {verb}", f"per {noun} of the {other}", f"the {noun}'s {other} {verb}"]},
        {"pattern": rf"\b(?:the|this|that|your) {noun}s? (?:{verb}|{done}|states|notes) (?:so|that|to)\b"},
        {"pattern": rf"\bas (?:I (?:was|am) )?(?:clearly |already )?{done} (?:by|in) (?:the )?{noun}s?\b"},
        {"pattern": rf"\b(?:according to|based on|given) (?:the |this |your )?(?:{other} )?{noun} {verb}\b"},
    )[index % 4]


def rule_file(count: int) -> str:
    """Return a rule file of that many rules; JSON strings are strings of TOML, too."""
    parts = ["version = 1\n"]
    for index in range(count):
        ((kind, value),) = match_of(index).items()
        parts.append(f'[[rule]]\nid = "r{index}"\nwhy = "residue"\nmatch.{kind} = {json.dumps(value)}\n')
    return "\n".join(parts)


def patterns_of(count: int) -> list[str]:
    """Return the patterns that these rules come to, in the syntax that `re` and RE2 share."""
    patterns = []
    for index in range(count):
        ((_, value),) = match_of(index).items()
        patterns.append(spaced(value if isinstance(value, str) else literal_pattern(value)))
    return patterns


def line(index: int, residue: bool) -> bytes:
    """Return one conversation of about 7 kB, half of it in tool results."""
    stream = Stream(index, "cleaning")
    bank = FILLER if index % 3 else FILLER + TYPOGRAPHIC
    said = [" ".join(stream.choice(bank, turn, n) for n in range(7)) for turn in range(6)]
    if residue:
        said[-1] += " As the note says, we keep it."
    messages: list[dict[str, object]] = [{"role": "user", "content": "Decide about the limit."}]
    rows = json.dumps([{"day": day, "spend": 288.66, "purchases": 9, "value": 952.54} for day in range(9)])
    for turn, text in enumerate(said[:-1]):
        call = {"id": f"c{turn}", "type": "function", "function": {"name": "rows", "arguments": "{}"}}
        messages.append({"role": "assistant", "content": text, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{turn}", "content": rows})
    answer = json.dumps({"action": "keep", "reasoning": said[-1]}, ensure_ascii=False)
    messages.append({"role": "assistant", "content": answer})
    return json.dumps({"messages": messages}).encode()


def corpus(path: Path, megabytes: float) -> None:
    """Write the corpus."""
    pool = [line(index, index % 5 == 0) for index in range(200)]
    with path.open("wb") as file:
        for index in range(int(megabytes * 1e6 / (sum(map(len, pool)) / len(pool)))):
            file.write(pool[index % len(pool)] + b"\n")


def texts_of(path: Path) -> Iterator[str]:
    """Yield the texts that the cleaner matches."""
    for item in open_traces(path):
        assert isinstance(item, Record)
        for passage in passages(item.trace.messages, ("reasoning",), kinds=("prose",)):
            yield passage.text


def clean(path: Path, rule_path: Path, out: Path) -> Tally:
    """Clean the corpus as the command does."""
    library = load_rules([str(rule_path)])
    bench, tally, source = Bench(library, Background()), Tally(library), open_traces(path)
    with open_sink(out, source) as sink:
        for item in source:
            assert isinstance(item, Record)
            outcome = bench.clean(item)
            tally.add(outcome)
            sink.write(item, line_of(outcome))
    return tally


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of some work."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def bare_engine(patterns: Sequence[str], texts: Sequence[str | bytes]) -> Callable[[], None]:
    """Return the matching and nothing else."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 28
    engine = re2.Set.SearchSet(options)
    for pattern in patterns:
        engine.Add(f"(?i:{pattern})")
    engine.Compile()

    def work() -> None:
        for text in texts:
            engine.Match(text)

    return work


def bare_re(patterns: Sequence[str], texts: Sequence[str]) -> Callable[[], None]:
    """Return the same with Python's `re`."""
    compiled = [re.compile(pattern, re.IGNORECASE | re.ASCII) for pattern in patterns]

    def work() -> None:
        for text in texts:
            for pattern in compiled:
                pattern.search(text)

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=50.0)
    parser.add_argument("--rules", type=int, default=200)
    given = parser.parse_args()
    patterns = patterns_of(given.rules)
    with tempfile.TemporaryDirectory() as folder:
        path, rule_path = Path(folder) / "corpus.jsonl", Path(folder) / "rules.toml"
        corpus(path, given.megabytes)
        rule_path.write_text(rule_file(given.rules))
        tallies: list[Tally] = []
        took = seconds(lambda: tallies.append(clean(path, rule_path, Path(folder) / "out.jsonl")))
        reading = seconds(lambda: sum(1 for _ in open_traces(path)))
        texts, lines = list(texts_of(path)), path.read_bytes().splitlines()
    size = sum(map(len, lines)) / 1e6
    share = sum(len(text.encode()) for text in texts) / 1e6 / size
    on_texts = seconds(bare_engine(patterns, texts))
    on_lines = seconds(bare_engine(patterns, lines))
    part = texts[: max(1, len(texts) // 50)]
    slow = seconds(bare_re(patterns, part)) * sum(map(len, texts)) / sum(map(len, part))
    (tally,) = tallies
    print(f"{size:.0f} MB of lines, {share:.0%} of them texts to match, {given.rules} rules")
    print(f"{tally.records} traces, {tally.changed} changed; MB of the corpus by second:")
    print(f"  clean             {size / took:8.1f}")
    print(f"  reading           {size / reading:8.1f}")
    print(f"  re                {size / slow:8.2f}   clean is {slow / took:.0f} times as fast (aim 20)")
    print(f"  engine on lines   {size / on_lines:8.1f}   clean does {on_lines / took:.2f} of it (aim 0.5)")
    print(f"  engine on texts   {size / on_texts:8.1f}   clean does {on_texts / took:.2f} of it")


if __name__ == "__main__":
    main()
