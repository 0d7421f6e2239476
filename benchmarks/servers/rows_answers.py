"""Rows about the shape of answers: schema, seeds, number, length, streams, many at once."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
from asking import ASK, SEEDS, TOOL, Answer, Choice, Endpoint, is_json, said_in, tokens_of

__all__ = [
    "json_schema",
    "seed_repeats",
    "seeds_together",
    "several_answers",
    "stop_text",
    "stream_usage",
    "streams_together",
    "together",
    "token_limit",
    "wild_answers",
]

COLOUR = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "green"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


def json_schema(endpoint: Endpoint) -> Answer:
    """`response_format` with a schema that the model would not meet of its own accord."""
    wanted = {"type": "json_schema", "json_schema": {"name": "colour", "strict": True, "schema": COLOUR}}
    choices = endpoint.choices(SEEDS[:6], response_format=wanted)
    texts = [choice.message.content or "" for choice in choices]
    met = sum(is_json(text) and set(json.loads(text)) == {"colour"} for text in texts)
    cut = sum(choice.finish_reason == "length" for choice in choices)
    value = "enforced" if met + cut == len(texts) and met else "partly" if met else "ignored"
    return value, {"met": met, "cut off": cut, "of": len(texts), "first": texts[0][:120]}


def seed_repeats(endpoint: Endpoint) -> Answer:
    """The same seed twice, and several seeds."""
    first = [said_in(choice) for choice in endpoint.choices(SEEDS[:6])]
    again = [said_in(choice) for choice in endpoint.choices(SEEDS[:6])]
    differing = len(set(first))
    value = "no" if first != again else "yes" if differing > 1 else "all seeds alike"
    return value, {
        "same": sum(a == b for a, b in zip(first, again, strict=True)),
        "different answers": differing,
    }


def seeds_together(endpoint: Endpoint) -> Answer:
    """Seeded answers one by one, and the same four at once."""

    def answer(seed: int) -> str:
        try:
            return said_in(endpoint.chat(seed=seed).choices[0])
        except openai.InternalServerError:
            return "500"

    alone = [answer(seed) for seed in SEEDS]
    with ThreadPoolExecutor(4) as pool:
        crowd = list(pool.map(answer, SEEDS))
    same = sum(a == b for a, b in zip(alone, crowd, strict=True))
    return ("yes" if same == len(alone) else "no"), {"same": same, "of": len(alone)}


def several_answers(endpoint: Endpoint) -> Answer:
    """`n=2`."""
    got = len(endpoint.chat(n=2).choices)
    return ("yes" if got == 2 else f"returns {got}"), {"choices": got}


def stop_text(endpoint: Endpoint) -> Answer:
    """`stop` with a text that the model usually writes: does it end the answer, and is it left out?"""
    stop = '"reasoning"'
    texts = [choice.message.content or "" for choice in endpoint.choices(stop=[stop])]
    reached = [text for text in texts if '"action"' in text]
    kept = [text for text in reached if stop in text]
    beyond = sum("}" in text for text in kept)
    detail = {"answers that reach it": len(reached), "that keep it": len(kept), "that go on": beyond}
    if not reached:
        return "not reached", detail
    return ("ignored" if beyond else "ends, text kept" if kept else "yes"), detail


def token_limit(endpoint: Endpoint) -> Answer:
    """`max_completion_tokens` in place of `max_tokens`."""
    choices = endpoint.choices(SEEDS[:6], max_tokens=None, max_completion_tokens=2)
    reasons = sorted({str(choice.finish_reason) for choice in choices})
    cut = sum(choice.finish_reason == "length" for choice in choices)
    return ("yes" if cut == len(choices) else "ignored"), {"answers": len(choices), "finish_reason": reasons}


def stream_usage(endpoint: Endpoint) -> Answer:
    """Where token counts of a stream come, with `stream_options={"include_usage": true}`."""
    chunks = endpoint.chunks(stream_options={"include_usage": True})
    told = [chunk for chunk in chunks if chunk.usage]
    detail = {"chunks": len(chunks), "with usage": len(told)}
    if not told:
        return "never", detail
    if len(told) > 1:
        return "in many chunks", detail
    return ("last choice's chunk" if told[0].choices else "chunk of its own"), detail


def together(endpoint: Endpoint) -> Answer:
    """Greedy answers with log-probabilities, one by one against four at once."""
    asks = [[ASK[0], {"role": "user", "content": f"Decide about gauge g{i:05d} now."}] for i in range(8)]

    def answer(messages: list[dict[str, str]]) -> Choice:
        return endpoint.chat(messages=messages, temperature=0.0, logprobs=True, top_logprobs=1).choices[0]

    alone = [answer(messages) for messages in asks]
    with ThreadPoolExecutor(4) as pool:
        crowd = list(pool.map(answer, asks))
    same = sum(said_in(a) == said_in(b) for a, b in zip(alone, crowd, strict=True))
    gaps = [
        abs(a.logprob - b.logprob)
        for one, other in zip(alone, crowd, strict=True)
        for a, b in zip(tokens_of(one), tokens_of(other), strict=False)
    ]
    detail = {"same text": same, "of": len(asks), "largest difference": max(gaps, default=None)}
    return ("same text" if same == len(asks) else "differs"), detail


def streams_together(endpoint: Endpoint) -> Answer:
    """Four streams at once: does each come to its end, with a finish reason or an error?"""

    def end(seed: int) -> str:
        try:
            chunks = endpoint.chunks(seed=seed)
        except json.JSONDecodeError:
            return "an error that is not JSON"
        except (openai.APIError, httpx.TransportError):
            return "an error"
        ended = any(choice.finish_reason for chunk in chunks for choice in chunk.choices)
        return "whole" if ended else "cut"

    with ThreadPoolExecutor(4) as pool:
        ends = Counter(pool.map(end, range(16)))
    return ("some are cut" if ends["cut"] else "whole"), {"ends": dict(sorted(ends.items()))}


def wild_answers(endpoint: Endpoint) -> Answer:
    """Answers at temperature 2, full of broken calls and broken characters: does the server stand them?"""
    wild = {"tools": [TOOL], "temperature": 2.0, "max_tokens": 80}
    statuses = [endpoint.raw_chat(**wild, seed=seed).status_code for seed in range(24)]
    broken = sum(status != 200 for status in statuses)
    detail = {"answers": len(statuses), "refused": broken, "statuses": sorted(set(statuses))}
    return (f"{max(statuses)} for some" if broken else "yes"), detail
