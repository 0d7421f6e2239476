"""How fast is the cleaner, beside Python's `re` doing the same and beside the bare matching engine?

A corpus of OpenAI fine-tuning lines, about 6 kB each, a fifth of them with residue, and 200 rules. Three
ways, in one run, on the same corpus:

- `clean`: `opoi clean FILE --rules R --out OUT` in this process: read, fold, match, edit, count, write;
- `re`: the same 200 patterns with Python's `re`, pattern by pattern, on the same texts, and nothing else (on
  a part of the corpus, as it takes so long);
- `engine`: one RE2 set of the 200 patterns on the same texts, and nothing else.

MB count the bytes of the file for `clean`, and the bytes of the matched texts for all three.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import re2

from opoi.cleaning.library import load_rules
from opoi.cleaning.scanner import spaced
from opoi.formats import Record, open_sink, open_traces
from opoi.lab.clean import Bench, Tally, line_of
from opoi.lab.known import Background
from opoi.passages import passages
from opoi.seeds import Stream

NOUNS = [
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
    "outcome",
    "future",
    "answer",
    "signal",
    "hint",
    "lead",
    "manager",
    "senior",
    "decision",
    "brief",
]
VERBS = ["says", "said", "wants", "asks", "tells", "told", "flagged", "settled", "decided", "confirmed"]
FILLER = (
    "Cost per purchase over the last seven days is 39.19 against a target of 38.00.",
    "The level holds and is close to the target, so the budget stays where it is.",
    "Spend rose by 12 percent while purchases stayed flat at 56 a week.",
    "I check the settings first, then the daily rows, then the comparison with last week.",
    "Frequency is 1.8 and rising slowly; nothing in the rows points to fatigue yet.",
    "The dip on the weekend is what this account shows every week.",
)


def rules(count: int) -> list[tuple[str, str]]:
    """Return (id, pattern) of that many different rules."""
    made = []
    for index in range(count):
        noun, other = NOUNS[index % len(NOUNS)], NOUNS[(index * 7 + 3) % len(NOUNS)]
        verb = VERBS[(index // len(NOUNS)) % len(VERBS)]
        made.append((f"r{index}", rf"\b(?:the|this|that) {noun} (?:of the {other} )?{verb}\b"))
    return made


def rule_file(count: int) -> str:
    """Return a rule file of that many rules."""
    parts = ["version = 1\n"]
    parts += [
        f'[[rule]]\nid = "{name}"\nwhy = "residue"\nmatch.pattern = \'{pattern}\'\n'
        for name, pattern in rules(count)
    ]
    return "\n".join(parts)


def line(index: int, residue: bool) -> bytes:
    """Return one conversation of about 6 kB, half of it in tool results."""
    stream = Stream(index, "cleaning")
    said = [" ".join(stream.choice(FILLER, turn, n) for n in range(7)) for turn in range(6)]
    if residue:
        said[-1] += " As the note says, we keep it."
    messages: list[dict[str, object]] = [{"role": "user", "content": "Decide about the budget."}]
    rows = json.dumps([{"day": day, "spend": 288.66, "purchases": 9, "value": 952.54} for day in range(9)])
    for turn, text in enumerate(said[:-1]):
        call = {"id": f"c{turn}", "type": "function", "function": {"name": "rows", "arguments": "{}"}}
        messages.append({"role": "assistant", "content": text, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{turn}", "content": rows})
    answer = json.dumps({"action": "keep", "reasoning": said[-1]})
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


def bare_engine(patterns: list[str], texts: list[str]) -> Callable[[], None]:
    """Return the matching and nothing else."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 28
    engine = re2.Set.SearchSet(options)
    for pattern in patterns:
        engine.Add(f"(?i:{spaced(pattern)})")
    engine.Compile()

    def work() -> None:
        for text in texts:
            engine.Match(text)

    return work


def bare_re(patterns: list[str], texts: list[str]) -> Callable[[], None]:
    """Return the same with Python's `re`."""
    compiled = [re.compile(spaced(pattern), re.IGNORECASE | re.ASCII) for pattern in patterns]

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
    patterns = [pattern for _, pattern in rules(given.rules)]
    with tempfile.TemporaryDirectory() as folder:
        path, rule_path = Path(folder) / "corpus.jsonl", Path(folder) / "rules.toml"
        corpus(path, given.megabytes)
        rule_path.write_text(rule_file(given.rules))
        size = path.stat().st_size / 1e6
        texts = list(texts_of(path))
        matched = sum(map(len, texts)) / 1e6
        part = texts[: max(1, len(texts) // 50)]
        print(f"{size:.0f} MB of lines, {matched:.0f} MB of them texts to match, {given.rules} rules")
        alone = matched / seconds(bare_engine(patterns, texts))
        slow = sum(map(len, part)) / 1e6 / seconds(bare_re(patterns, part))
        reading = seconds(lambda: sum(1 for _ in open_traces(path)))
        tallies: list[Tally] = []
        took = seconds(lambda: tallies.append(clean(path, rule_path, Path(folder) / "out.jsonl")))
    (tally,) = tallies
    print(f"{tally.records} traces, {tally.changed} changed")
    print(f"  clean   {matched / took:8.1f} MB/s of texts, {size / took:8.1f} MB/s of the file")
    print(f"  reading {size / reading:8.1f} MB/s of the file, and nothing else")
    print(f"  re      {slow:8.2f} MB/s of texts; clean is {matched / took / slow:.0f} times as fast (aim 20)")
    print(f"  engine  {alone:8.1f} MB/s of texts; clean does {matched / took / alone:.2f} of it (aim 0.5)")


if __name__ == "__main__":
    main()
