"""Rows about log-probabilities: of what a server writes, and of text that it is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asking import ASK, SEEDS, Answer, Choice, Endpoint, Reply, tokens_of

__all__ = ["chat_prompt_logprobs", "completions_echo", "logprob_bytes", "logprobs"]

NEAR = 1e-3
"""Log-probabilities closer than this are the same."""


def logprobs(endpoint: Endpoint) -> Answer:
    """`logprobs` with `top_logprobs=5`: are there any, and do they make sense?"""
    tokens = [
        token
        for choice in endpoint.choices(SEEDS[:3], logprobs=True, top_logprobs=5)
        for token in tokens_of(choice)
    ]
    if not tokens:
        return "none", {}
    tops = {len(token.top_logprobs or ()) for token in tokens}
    sane = all(token.logprob <= NEAR for token in tokens)
    return ("yes" if sane else "positive"), {"tokens": len(tokens), "alternatives": sorted(tops)}


def logprob_bytes(endpoint: Endpoint) -> Answer:
    """Do the `bytes` of the tokens spell the text, and what are they for parts of a character?"""
    calm = endpoint.choices(SEEDS[:6], logprobs=True, top_logprobs=1)
    spelled = [_spells(choice) for choice in calm if tokens_of(choice) and _is_whole(choice)]
    if not spelled:
        return "none", {}
    if all(token.bytes is None for choice in calm for token in tokens_of(choice)):
        return "null", {"tokens": sum(len(tokens_of(choice)) for choice in calm)}
    wild = endpoint.choices(SEEDS[6:], temperature=2.0, max_tokens=40, logprobs=True, top_logprobs=20)
    parts = [part for choice in wild for part in _parts(choice)]
    forms = sorted({"null" if part.bytes is None else "right" if part.bytes else "empty" for part in parts})
    detail = {"spelled": sum(spelled), "of": len(spelled), "parts of characters": len(parts), "bytes": forms}
    whole = "right" if all(spelled) else "wrong"
    return (whole if forms in ([], ["right"]) else f"{whole}; {'/'.join(forms)} for partial UTF-8"), detail


def _parts(choice: Choice) -> list[Any]:
    """Return the tokens, written or weighed, that are part of a character (a last one may be the end)."""
    tokens = tokens_of(choice)
    others = [other for token in tokens for other in token.top_logprobs or ()]
    empty = [token for token in tokens[:-1] if token.token == ""]
    return [*empty, *(t for t in (*tokens, *others) if "\ufffd" in t.token or (t.token == "" and t.bytes))]


def _is_whole(choice: Choice) -> bool:
    """Tell whether a text has no part of a character in it: what it was made of is lost otherwise."""
    return "\ufffd" not in (choice.message.content or "")


def _spells(choice: Choice) -> bool:
    """Tell whether the bytes of the tokens are the answer, but for the token that ended it."""
    spelled = b"".join(bytes(token.bytes or ()) for token in tokens_of(choice))
    text = (choice.message.content or "").encode()
    return text == spelled or (spelled.startswith(text) and spelled[len(text) :].startswith(b"<|"))


def completions_echo(endpoint: Endpoint) -> Answer:
    """Completions with `echo` and `logprobs`: score what the server itself wrote and compare."""
    return _first_comparable(_echoed(endpoint, seed) for seed in SEEDS)


def _first_comparable(answers: Iterable[Answer]) -> Answer:
    """Return the first answer about a text that is made of the same tokens when it is read back."""
    answer: Answer = ("nothing written", {})
    for answer in answers:
        if answer[0] not in ("other tokens", "nothing written"):
            break
    return answer


def _echoed(endpoint: Endpoint, seed: int) -> Answer:
    prompt = "The gauge of the vessel\n"
    ask: dict[str, Any] = {"model": endpoint.model, "logprobs": 1, "temperature": 1.0, "seed": seed}
    with endpoint.client() as client:
        made = client.completions.create(prompt=prompt, max_tokens=8, **ask).choices[0]
        given = prompt + made.text
        scored = client.completions.create(prompt=given, max_tokens=1, echo=True, **ask).choices[0]
    detail = {"written": made.text[:80], "echoed": scored.text[:120]}
    if not scored.text.startswith(prompt):
        return "echo is ignored", detail
    if not all(part.logprobs and part.logprobs.token_logprobs for part in (made, scored)):
        return "echoes, no log-probabilities", detail
    return _compared(_visible(made.logprobs), _visible(scored.logprobs))


def _visible(logs: Choice) -> list[tuple[str, float | None]]:
    pairs = zip(logs.tokens, logs.token_logprobs, strict=True)
    return [pair for pair in pairs if not pair[0].startswith("<|")]


def _compared(made: list[tuple[str, float | None]], scored: list[tuple[str, float | None]]) -> Answer:
    """Compare the log-probabilities of generation with those of scoring, at their place and beside it."""
    if not made:
        return "nothing written", {}
    words = [token for token, _ in made]
    names = [token for token, _ in scored]
    starts = [i for i in range(len(names)) if names[i : i + len(words)] == words]
    if not starts:
        return "other tokens", {"made": words, "scored": names[-len(words) - 2 :]}
    gaps = {}
    for shift in (0, -1, 1):
        places = ((own, starts[-1] + shift + i) for i, (_, own) in enumerate(made))
        pairs = ((own, scored[at][1]) for own, at in places if 0 <= at < len(scored))
        known = [abs(own - given) for own, given in pairs if own is not None and given is not None]
        if len(known) >= max(2, len(words) - 1):  # one may lie outside, or have no score: the very first
            gaps[shift] = max(known)
    detail = {"tokens": len(words), "largest difference": {str(k): round(v, 7) for k, v in gaps.items()}}
    if gaps.get(0, 1.0) <= NEAR:
        return "exact", detail
    return ("off by one" if min(gaps.get(-1, 1.0), gaps.get(1, 1.0)) <= NEAR else "wrong"), detail


def chat_prompt_logprobs(endpoint: Endpoint) -> Answer:
    """Chat with `prompt_logprobs` (an addition of vLLM): score the server's own answer and compare."""
    return _first_comparable(_scored_in_chat(endpoint, seed) for seed in SEEDS)


def _scored_in_chat(endpoint: Endpoint, seed: int) -> Answer:
    made = endpoint.chat(seed=seed, logprobs=True, extra_body={"return_token_ids": True}).choices[0]
    generated = (made.model_extra or {}).get("token_ids")
    messages = [*ASK, {"role": "assistant", "content": made.message.content or ""}]
    extra = {"prompt_logprobs": 1, "add_generation_prompt": False, "return_token_ids": True}
    reply = endpoint.chat(messages=messages, max_tokens=1, extra_body=extra)
    told = (reply.model_extra or {}).get("prompt_logprobs")
    if not told:
        return "no", {}
    given = (reply.model_extra or {}).get("prompt_token_ids")
    if not generated or not given:
        return "without token ids", {"places": len(told)}
    scored = [(str(token), _told(place, token)) for token, place in zip(given, told, strict=True)]
    own = [(str(token), log.logprob) for token, log in zip(generated, tokens_of(made), strict=True)]
    return _compared(own, scored)


def _told(place: Reply, token: int) -> float | None:
    """Return the log-probability that one place of `prompt_logprobs` gives a token."""
    found: float | None = (place or {}).get(str(token), {}).get("logprob")
    return found
