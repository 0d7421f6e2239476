"""A tiny language model of random weights: its vocabulary and its numbers. `tiny_files.py` writes it.

Two Llama layers, a vocabulary of bytes, a few pairs and some phrases; half a megabyte. Nothing is
downloaded and nothing is trained: every weight depends on its name alone. So that it does more than babble,
its output layer prefers some phrases after others (`SCRIPT`), and its first layer looks up in the prompt what
to put into them (`LOOKED_UP`): on the suite `echo` it calls the tool that is on offer, answers about the
gauge of the task, and now and then goes astray, as a small real model would. All else that it is told moves
its probabilities only a little, and at random. It is good for asking what a *server* does; it says nothing
about models.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

__all__ = [
    "CONTEXT",
    "END",
    "HEADS",
    "INNER",
    "LAYERS",
    "LOOKED_UP",
    "MERGES",
    "NAME",
    "SCRIPT",
    "SPECIAL",
    "WIDTH",
    "ids",
    "phrases",
    "tensors",
    "vocabulary",
]

NAME = "tiny"
CONTEXT = 8192
"""Tokens, about one for a byte."""

WIDTH, HEADS, LAYERS, INNER = 64, 2, 2, 128  # heads of 32: vLLM on CPU has no smaller ones
STEPS = 48
"""Coordinates of the residual stream kept for the phrases; the rest is for everything else."""

MERGES = ("t h", "h e", "i n", "e r", "a n", "r e", "th e", "in g")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END = "<|im_end|>"
START = "\n"
"""The last character before the answer, as the template writes it."""

_READ, _LEFT, _RIGHT = (f'\n{{"name": "{name}", ' for name in ("read_gauge", "left", "right"))
_OF, _BY = '"arguments": {"gauge": "g0000', '"arguments": {"n": '
_CALLED = {f'{i}"}}}}\n': 0.25 for i in range(4)}
_STEPS = {"1}}\n": 0.5, "2}}\n": 0.5}
_ANSWER = '{"action": "'
_OPEN, _HOLD = 'open", "entity": "g0000', 'hold", "entity": "g0000'
_ENTITY = {f'{i}", "reasoning": "': 0.25 for i in range(4)}
_PLAIN, _CASE, _UNICODE = "The gauge decides.", "the case is clear.", "Druck fällt: 圧力 🙂."
_LEAK = "As the reviewer noted, "

SCRIPT: dict[str, dict[str, float]] = {
    START: {"<tool_call>": 0.65, _ANSWER: 0.35},
    "<tool_call>": {_READ: 0.6, _LEFT: 0.2, _RIGHT: 0.2},
    _READ: {_OF: 1.0},
    _LEFT: {_BY: 1.0},
    _RIGHT: {_BY: 1.0},
    _OF: _CALLED,
    _BY: _STEPS,
    **{called: {"</tool_call>": 1.0} for called in (*_CALLED, *_STEPS)},
    "</tool_call>": {END: 0.6, START: 0.4},
    _ANSWER: {_OPEN: 0.5, _HOLD: 0.5},
    _OPEN: _ENTITY,
    _HOLD: _ENTITY,
    **{entity: {_PLAIN: 0.7, _LEAK: 0.2, _UNICODE: 0.1} for entity in _ENTITY},
    _LEAK: {_CASE: 1.0},
    **{reason: {'"}': 1.0} for reason in (_PLAIN, _CASE, _UNICODE)},
    '"}': {END: 1.0},
}
"""After each token, the tokens that mostly follow, with their shares. No token has over 32 bytes: one server
loses longer ones."""

GAUGES = [f"g{i:05d}" for i in range(4)]
LOOKED_UP: tuple[dict[str, dict[str, str]], ...] = (
    {"<tool_call>": {"read_gauge": _READ, "left": _LEFT, "right": _RIGHT}},
    {
        _OF: dict(zip(GAUGES, _CALLED, strict=True)),
        _OPEN: dict(zip(GAUGES, _ENTITY, strict=True)),
        _HOLD: dict(zip(GAUGES, _ENTITY, strict=True)),
    },
    {_ANSWER: {"case: open the valve": _OPEN, "case: hold": _HOLD}},
)
"""What the first layer looks up: after a token, what follows if another stands in the prompt.

So the tool that is called is the one on offer, the gauge is that of the task, and a reviewer's note is
followed. `left` and `right` are the tools that `opoi probe` offers.
"""

# ---------------------------------------------------------------- words


def byte_letters() -> list[str]:
    """Return one letter for each byte: those that byte-level BPE writes bytes with."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = (byte for byte in range(256) if byte not in plain)
    letters = {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(other)}
    return [letters[byte] for byte in range(256)]


def _sought() -> list[str]:
    """Return the tokens that are looked for in the prompt, each once, in order."""
    return list(dict.fromkeys(token for asked in LOOKED_UP for after in asked.values() for token in after))


def phrases() -> list[str]:
    """Return the tokens of `SCRIPT` that stand for more than a byte, in order, each once."""
    named = [*SCRIPT, *(token for after in SCRIPT.values() for token in after), *_sought()]
    return [token for token in dict.fromkeys(named) if token not in (START, *SPECIAL)]


def vocabulary() -> list[str]:
    """Return all tokens by id: bytes, pairs, phrases, special ones."""
    return [*byte_letters(), *(pair.replace(" ", "") for pair in MERGES), *phrases(), *SPECIAL]


def ids() -> dict[str, int]:
    """Return the ids of the tokens that `SCRIPT` names, the line break included."""
    index = {token: place for place, token in enumerate(vocabulary())}
    return {START: index[byte_letters()[ord(START)]]} | {name: index[name] for name in (*phrases(), *SPECIAL)}


# ---------------------------------------------------------------- weights


def draws(name: str, *shape: int) -> np.ndarray:
    """Return numbers in [-0.5, 0.5) that depend on the name alone."""
    raw = np.frombuffer(hashlib.shake_128(name.encode()).digest(2 * math.prod(shape)), dtype="<u2")
    return (raw.astype(np.float32) / 65536 - 0.5).reshape(shape)


_RANDOM = 0.12
"""Scale of the layers: what came before moves the next token a little."""

_PREFERENCE = 11.0
"""Logits by which a scripted token stands over the others: about one token in a hundred goes astray."""

_LOUD = 4.0
"""Length of an embedding; after normalisation its coordinate is the square root of the width."""


def _coordinates() -> dict[str, int]:
    """Return the coordinate of each token that has one: the steps of the script, and what is looked for."""
    return {token: place for place, token in enumerate(dict.fromkeys((*SCRIPT, *_sought())))}


def _found() -> dict[str, int]:
    """Return the coordinate that tells that a token was found in the prompt."""
    return {token: len(_coordinates()) + place for place, token in enumerate(_sought())}


def embeddings() -> np.ndarray:
    """Return the embeddings: a coordinate of their own for the script, random ones for the rest."""
    size = len(vocabulary())
    table = np.zeros((size, WIDTH), dtype=np.float32)
    spread = draws("embedding", size, WIDTH - STEPS)
    table[:, STEPS:] = spread * (_LOUD / np.linalg.norm(spread, axis=1, keepdims=True))
    for token, place in _coordinates().items():
        table[ids()[token]] = 0.0
        table[ids()[token], place] = _LOUD
    return table


def outputs() -> np.ndarray:
    """Return the output layer: the script where there is one, small random preferences elsewhere."""
    table = 0.4 * draws("output", len(vocabulary()), WIDTH)
    height = math.sqrt(WIDTH)
    for token, after in SCRIPT.items():
        for follower, share in after.items():
            table[ids()[follower], _coordinates()[token]] = (_PREFERENCE + math.log(share)) / height
    for asked in LOOKED_UP:
        for answers in asked.values():
            for sought, answer in answers.items():
                table[ids()[answer], _found()[sought]] = 1.0
    return table


def _look_up(named: dict[str, np.ndarray]) -> None:
    """Let the first layer find in the prompt what `LOOKED_UP` asks for.

    The query of a step and the keys of what it looks for meet in a pair of coordinates that turns slowly
    with distance, another one for each question; the value says which it was.
    """
    query, key, value, out = (named[f"model.layers.0.self_attn.{part}_proj.weight"] for part in "qkvo")
    size = WIDTH // HEADS
    lanes = [head * size for head in range(HEADS)]
    for question, asked in enumerate(LOOKED_UP):
        head, pair = question % HEADS, size // 2 - 1 - question // HEADS
        slow = head * size + pair
        for rows in (query, key):
            rows[[slow, slow + size // 2]] = 0.0
        query[slow, [_coordinates()[token] for token in asked]] = 2.0
        for token in dict.fromkeys(name for after in asked.values() for name in after):
            key[slow, _coordinates()[token]] = 2.0
            value[lanes[head]] = 0.0
            value[lanes[head], _coordinates()[token]] = 1.0
            out[:, lanes[head]] = 0.0
            out[_found()[token], lanes[head]] = 0.5
            lanes[head] += 1


def tensors() -> dict[str, np.ndarray]:
    """Return all weights (float32) by the names that Hugging Face gives them."""
    found = {
        "model.embed_tokens.weight": embeddings(),
        "model.norm.weight": np.ones(WIDTH, dtype=np.float32),
        "lm_head.weight": outputs(),
    }
    for layer in range(LAYERS):
        block = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"{block}.{norm}.weight"] = np.ones(WIDTH, dtype=np.float32)
        shapes = {f"self_attn.{part}_proj": (WIDTH, WIDTH) for part in "qkvo"} | {
            "mlp.gate_proj": (INNER, WIDTH),
            "mlp.up_proj": (INNER, WIDTH),
            "mlp.down_proj": (WIDTH, INNER),
        }
        for part, shape in shapes.items():
            found[f"{block}.{part}.weight"] = _RANDOM * draws(f"{block}.{part}", *shape)
    _look_up(found)
    return found
