"""docs/servers.md, made from what was found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from catalogue import SERVERS
from checks import CHECKS
from expected import EARLIER, differences, disagreements
from loops import tier_of

from opoi.preflight import needs
from opoi.types import Tier

__all__ = ["document", "write"]

Found = dict[str, Any]
"""What `found.json` of a server holds; see `matrix.measure`."""

HEAD = """\
# Real servers

What real OpenAI-compatible servers do with the requests of `opoi`, and which figures a run on each can
give. This page is written by a script, from its own measurements; run it to see what your versions do:

```sh
python benchmarks/servers/matrix.py llama.cpp vllm --write-docs
```

The script installs each server in an environment of its own under `.servers`, builds a tiny model
(`benchmarks/servers/tiny_model.py`: two layers of random weights, and an output layer that prefers some
phrases, so that it calls a tool, answers, and goes astray), starts the server on loopback with one thread,
runs `opoi probe` and three times `opoi run --suite echo`, and asks for every row of the matrix with the
official client. Nothing is downloaded but the packages. The model says nothing about any other model: the
page tells what *servers* do.
"""

ADVICE = {
    "tool_calls_in_stream": "calls come in pieces: join the arguments by index before reading them.",
    "named_tool": "a named tool may be ignored, and `finish_reason` may say `stop` although there is a call: "
    "look at `tool_calls`, never at the reason.",
    "required_tool": "a server that lets text stand before a required call may be cut off before the call.",
    "tool_choice_none": "calls may come nevertheless, as `<tool_call>` text. `opoi` reads such text only "
    "where tools were offered.",
    "parallel_calls": "expect several calls in an answer even where one was asked for.",
    "tool_not_offered": "a call of a tool that was not offered may come; a server whose grammar knows only "
    "those on offer may answer 500 to it.",
    "cut_call": "`max_tokens` can cut a call in the middle of its JSON.",
    "json_schema": "ignored in silence by some: check the answer, not the status.",
    "logprob_bytes": "a token can be part of a character; join bytes over tokens, and do without where they "
    "are empty.",
    "seed_repeats": "seeds repeat on one server and one version; they do not carry over to another.",
    "seeds_together": "a server may draw all answers from one stream: with several requests at once nothing "
    "repeats, and `--concurrency 1` is the way out.",
    "several_answers": "`n` may be ignored: count the choices. `opoi` sends one request per answer.",
    "stop_text": "a stop text may be left in the answer.",
    "streams_together": "a stream without a finish reason is not whole. One server ends the streams under "
    "way when another request comes; `--interrupt_requests false` stops that.",
    "stream_usage": "usage may come on the last choice's chunk, on one of its own, or not at all.",
    "completions_echo": "believe scores of given text only after a self-test against the server's own "
    "log-probabilities; `opoi probe` makes one.",
    "truncated_arguments": "a call that was cut off comes back in the history: some answer 500 to it, one "
    "closes the connection under the next request.",
    "wild_answers": "a server that cannot parse what its own model wrote answers 500: that is the model's "
    "failure, not the endpoint's.",
    "unknown_model": "a wrong model name may be accepted: look at the list.",
    "unknown_field": "a field that is not known may be refused, so send none without need.",
    "error_body": 'errors come as `{"error": {...}}`, as `{"detail": ...}` or as text.',
    "context_overflow": "an overlong prompt may be computed all the same: keep time limits.",
}
"""What follows from a row, for those who write clients."""

_SULK = "then refused everything for seconds"
_NOT_COMPARED = ("model", "models", "models_count", "tier")


def write(keep: Path, path: Path) -> Path:
    """Write the document from all results in the cache folder and return its path."""
    files = [keep / name / "found.json" for name in SERVERS]
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
    path.write_text(document(found), encoding="utf-8")
    return path


def document(found: Sequence[Found]) -> str:
    """Return the page for the results given, in their order."""
    sections = (_measured, _matrix, _probed, _loop, _figures, _earlier, _seen, _weak)
    return "\n".join([HEAD, *(part for section in sections for part in section(found))])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


# ---------------------------------------------------------------- what was measured


def _measured(found: Sequence[Found]) -> Iterator[str]:
    yield "## What was measured\n"
    head = ["server", "versions", "measured on", "seconds to ready"]
    yield table(
        head, ([one["title"], _built(one), one["date"], str(one["seconds to ready"])] for one in found)
    )
    yield "To start one by hand (`tiny_files.py DIR --format hf` or `gguf` builds a model):\n"
    for one in found:
        yield f"{one['title']}:\n\n```sh\n{SERVERS[one['server']].typed}\n```\n"
    there = {one["server"] for one in found}
    missing = [server.title for server in SERVERS.values() if server.id not in there]
    if missing:
        yield f"The script can do these too, and they were not measured: {', '.join(missing)}.\n"


def _built(one: Found) -> str:
    text = f"{_versions(one['versions'])}; Python {one['python']}"
    if "behind" in one:
        behind = one["behind"]
        text += f"; in front of {SERVERS[behind['server']].title} ({_versions(behind['versions'])})"
    return text


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


# ---------------------------------------------------------------- rows


def _matrix(found: Sequence[Found]) -> Iterator[str]:
    yield "## What each does\n"
    yield "Every cell was measured by the script; `found.json` of each server holds what it was read off.\n"
    values = [{check["id"]: check["value"] for check in one["checks"]} for one in found]
    rows = ([check.title, *(value.get(check.id, "-") for value in values)] for check in CHECKS)
    yield table(["", *(one["title"] for one in found)], rows)
    yield "What follows for a client:\n"
    titles = {check.id: check.title for check in CHECKS}
    yield "\n".join(f"- **{titles[row]}**: {advice}" for row, advice in ADVICE.items()) + "\n"
    sulks = list(_sulks(found))
    if sulks:
        yield "After these requests a server refused everything for a while:\n"
        yield "\n".join(sulks) + "\n"


def _sulks(found: Sequence[Found]) -> Iterator[str]:
    for one in found:
        for check in one["checks"]:
            if _SULK in check["detail"]:
                yield f"- {one['title']}, {check['title']}: {check['detail'][_SULK]:.0f} s"


# ---------------------------------------------------------------- probe and loop


def _probed(found: Sequence[Found]) -> Iterator[str]:
    yield "## What `opoi probe` finds out\n"
    yield "Tiers: T0 chat only; T1 log-probabilities of what it writes; T2 scores of given text too.\n"
    told = [one for one in found if "said" in one["probe"]]
    said = [one["probe"]["said"] for one in told]
    names = [name for name in (said[0] if said else ()) if name not in _NOT_COMPARED]
    rows = [["tier", *(tier_of(one) for one in said)]]
    rows += [[f"`{name}`", *(_word(one[name]) for one in said)] for name in names]
    rows += [["seconds", *(str(one["probe"]["seconds"]) for one in told)]]
    yield table(["", *(one["title"] for one in told)], rows)
    apart = [f"- {one['title']}, {line}" for one in told for line in disagreements(one)]
    yield "What the tiers allow:\n"
    methods, measures = needs()
    allowed = (
        [name, tier, *("yes" if Tier(tier_of(one)).covers(tier) else "no" for one in said)]
        for name, tier in {**methods, **measures}.items()
    )
    yield table(["method or measure", "needs", *(one["title"] for one in told)], allowed)
    yield "The rows above ask the same in other words, with other code. Where both tell different things:\n"
    yield ("\n".join(apart) if apart else "Nowhere.") + "\n"
    for one in found:
        if "said" not in one["probe"]:
            yield f"{one['title']}: the probe failed. {one['probe']['error']}\n"


def _word(value: object) -> str:
    if isinstance(value, dict) and "verdict" in value:
        return str(value["verdict"])
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_word(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not told" if value is None else str(value) or "-"


def _loop(found: Sequence[Found]) -> Iterator[str]:
    yield "## The loop\n"
    yield "`opoi run --suite echo --n 4 --runs 2 --max-tokens 200 --temperature 1`, to its report: with whole"
    yield "answers, with `--stream`, with `--tools text`. Every trace is kept, or dropped with a reason.\n"
    runs = [(one["title"], run) for one in found for run in one["runs"]]
    arms = next((list(run["arms"]) for _, run in runs if "arms" in run), [])
    rows = (
        [
            title,
            run["variant"],
            "yes" if run["report"] else "no",
            *(_end(run.get("arms", {}).get(arm)) for arm in arms),
            str(run["seconds"]),
        ]
        for title, run in runs
    )
    yield table(["server", "run", "report", *arms, "seconds"], rows)
    failures = ((title, run["variant"], why) for title, run in runs for why in run.get("failures", []))
    reasons = [f"- {title}, {variant}: {why}" for title, variant, why in failures]
    if reasons:
        yield "Failures, as they are recorded with the traces:\n"
        yield "\n".join(reasons) + "\n"


def _end(arm: Found | None) -> str:
    if arm is None:
        return "-"
    drops = ", ".join(f"{reason} {count}" for reason, count in arm["dropped"].items())
    return f"{arm['kept']} of {arm['attempted']} kept" + (f"; {drops}" if drops else "")


# ---------------------------------------------------------------- figures


def _figures(found: Sequence[Found]) -> Iterator[str]:
    yield "## Figures\n"
    yield "Which figures of `measures.json` had a value in at least one arm of one run. One without had"
    yield "nothing to measure: no kept trace, no citation, too little text.\n"
    every = sorted({name for one in found for name in (*_named(one, "figures"), *_named(one, _EMPTY))})
    valued = [_named(one, "figures") for one in found]
    common = [f"`{name}`" for name in every if all(name in names for names in valued)]
    yield f"On all servers: {', '.join(common) or 'none'}.\n"
    rest = [name for name in every if f"`{name}`" not in common]
    rows = ([f"`{name}`", *("yes" if name in names else "-" for names in valued)] for name in rest)
    if rest:
        yield table(["", *(one["title"] for one in found)], rows)


_EMPTY = "nothing to measure"


def _named(one: Found, kind: str) -> set[str]:
    arms = (arm for run in one["runs"] for arm in run.get("arms", {}).values())
    return {name for arm in arms for name in arm[kind]}


# ---------------------------------------------------------------- differences, and what is weak


def _earlier(found: Sequence[Found]) -> Iterator[str]:
    yield "## Where this differs from an earlier measurement\n"
    yield "The same servers were measured by hand in November 2026, with other models. What differs of what"
    yield "can be compared:\n"
    rows = [[one["title"], *row] for one in found for row in differences(one, EARLIER)]
    yield table(["server", "", "then", "now"], rows) if rows else "Nothing.\n"


SEEN = """\
## Seen on the way

Not measured by the script, but met while it was written (November 2026), with the versions above:

- vLLM on CPU ends altogether ("CPU Generator does not use offset") when a prompt of a request with a seed is
  split over batches, as happens to several at once: `--max-num-batched-tokens` at least the number of
  sequences times the length of the context avoids it. It has no attention heads of fewer than 32 numbers.
- litellm answers 429 to everything for some seconds after its server answered 404 once ("cooldown"), and
  tries a request that failed with 500 again by itself.
- llama-cpp-python loses tokens of more than 32 bytes from answers.
- transformers serve reads `<tool_call>` text as calls also where no tool was offered, so that a protocol of
  tools in text with these tags loses its text there; an error inside a stream may be no JSON.
"""


def _seen(_found: Sequence[Found]) -> Iterator[str]:
    yield SEEN


def _weak(found: Sequence[Found]) -> Iterator[str]:
    yield "## What this does not show\n"
    yield "- One model, one chat template, one tool: with others a server may do better or worse."
    yield "- So small a model is no measure of speed; the seconds are those of one thread on a busy machine."
    yield '- "Ignored" and "never" are read off a few dozen answers: what a server does rarely may be missed.'
    if any("behind" in one for one in found):
        yield "- A proxy shows what it passes on, and what the server behind it does with that."
    yield ""
