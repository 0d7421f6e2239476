"""The log-probabilities of the tokens of traces, taken apart into free text and everything else.

Tokens of a text are `prose` (free text: what stands around the decision object, and the values of the suite's
prose keys) or `form` (the rest: JSON, action, citations, marks of the chat template).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from opoi.intervals import Floats
from opoi.measures.text import drop_reason
from opoi.models.endpoint.alignment import is_partial
from opoi.passages import prose_spans
from opoi.types import Cleaned, Message, Scored, TokenLogprob

__all__ = ["Part", "Tally", "forced_tallies", "matched_tallies", "own_tallies", "parts"]

Flags = npt.NDArray[np.bool_]

Part = Literal["all", "prose", "form"]
"""Which tokens: all, free text, or everything else."""

# ---------------------------------------------------------------- prose and form

_MARK = re.compile(r"<[^<>\s]{1,40}>")
"""A mark of a chat template, such as `<|im_end|>`: form, wherever it stands."""


def parts(
    content: str, tokens: Sequence[TokenLogprob], prose_keys: Sequence[str]
) -> dict[str, list[TokenLogprob]]:
    """Return the tokens of a message that are free text, and those that are not, in order.

    A token across a border belongs to the part that has more of its characters, and to the form if both have
    as many. Tokens that are not together the content (what a model sampled before its text was cleaned) are
    taken for a text of their own.

    Args:
        content: The message.
        tokens: Its tokens; together they are the content.
        prose_keys: Keys of the decision object that hold prose, see `opoi.protocols.Suite`.

    Returns:
        `{"prose": [...], "form": [...]}`; tokens without a figure included.
    """
    free = _free(content, [token.token for token in tokens], prose_keys)
    found: dict[str, list[TokenLogprob]] = {"prose": [], "form": []}
    for token, is_free in zip(tokens, free.tolist(), strict=True):
        found["prose" if is_free else "form"].append(token)
    return found


def _free(content: str, pieces: Sequence[str], prose_keys: Sequence[str]) -> Flags:
    """Return for each token of a message whether it is free text."""
    text = "".join(pieces)
    if text != content:  # parts of characters are spelled in many ways
        pieces = ["\ufffd" if is_partial(piece) else piece for piece in pieces]
        text = "".join(pieces)
    borders = np.zeros(len(pieces) + 1, dtype=np.int64)
    np.cumsum([len(piece) for piece in pieces], out=borders[1:])
    inside = np.zeros(len(text) + 1, dtype=np.int64)
    for start, end in prose_spans(text, prose_keys):
        inside[start + 1 : end + 1] = 1
    within = np.diff(np.cumsum(inside)[borders])
    free = 2 * within > np.diff(borders)
    if "<" in text:
        free &= np.array([_MARK.fullmatch(piece.strip()) is None for piece in pieces], dtype=bool)
    return np.asarray(free)


# ---------------------------------------------------------------- of one run


class Tally(NamedTuple):
    """The tokens of one run: their log-probabilities, where each is told, by part.

    Attributes:
        prose: Log-probabilities of free text, in nats.
        form: Those of everything else.
        lost: Characters of tokens without a figure.
        characters: Characters of all tokens.
    """

    prose: Floats
    form: Floats
    lost: int
    characters: int

    def of(self, part: Part) -> Floats:
        """Return the log-probabilities of a part."""
        if part == "all":
            return np.concatenate([self.prose, self.form])
        return self.prose if part == "prose" else self.form


_Text = tuple[str, Sequence[TokenLogprob]]
"""The content of a message, and its tokens."""


def _tally(texts: Iterable[_Text], prose_keys: Sequence[str]) -> Tally:
    """Return the tally of the texts of a run."""
    return _together([(text, _figures(text[1])) for text in texts], prose_keys)


def _figures(tokens: Sequence[TokenLogprob]) -> Floats:
    """Return the log-probabilities of tokens, NaN where there is none."""
    return np.array([token.logprob for token in tokens], dtype=np.float64)


def _together(texts: Iterable[tuple[_Text, Floats]], prose_keys: Sequence[str]) -> Tally:
    """Return the tally of texts with the figures of their tokens."""
    prose: list[Floats] = []
    form: list[Floats] = []
    lost = characters = 0
    for (content, tokens), values in texts:
        pieces = [token.token for token in tokens]
        free, told = _free(content, pieces, prose_keys), ~np.isnan(values)
        prose.append(values[free & told])
        form.append(values[~free & told])
        lengths = [len(piece) for piece in pieces]
        characters += sum(lengths)
        lost += sum(compress(lengths, ~told)) if not told.all() else 0
    return Tally(_joined(prose), _joined(form), lost, characters)


def _joined(values: Sequence[Floats]) -> Floats:
    return np.concatenate(values) if values else np.zeros(0)


def own_tallies(cleaned: Iterable[Cleaned], prose_keys: Sequence[str]) -> Iterator[Tally]:
    """Yield a tally for each kept trace whose texts with loss came with log-probabilities (tier T1)."""
    for each in cleaned:
        if drop_reason(each):
            continue
        told = [message for message in each.trace.messages if _carries_loss(message) and message.logprobs]
        if told:
            yield _tally(((_spelled(message), message.logprobs) for message in told), prose_keys)


def _carries_loss(message: Message) -> bool:
    return message.role == "assistant" and message.loss_weight > 0


def _spelled(message: Message) -> str:
    """Return what the tokens of a message spell: as it was sampled, before cleaning."""
    return "".join(token.token for token in message.logprobs)


def forced_tallies(
    cleaned: Iterable[Cleaned], scored: Iterable[Scored], prose_keys: Sequence[str]
) -> Iterator[Tally]:
    """Yield a tally for each kept trace that was scored.

    Args:
        cleaned: Traces of one scenario.
        scored: What one model gave to them.
        prose_keys: Keys of the decision object that hold prose.
    """
    found = {each.trace_id: each for each in scored}
    for each in cleaned:
        given = found.get(each.trace.id)
        if given is None or not given.texts or drop_reason(each):
            continue
        messages = each.trace.messages
        yield _tally(((messages[text.message].content, text.tokens) for text in given.texts), prose_keys)


def matched_tallies(
    cleaned: Iterable[Cleaned], base: Iterable[Scored], ft: Iterable[Scored], prose_keys: Sequence[str]
) -> Iterator[tuple[Tally, Tally]]:
    """Yield tallies of the same tokens under two models, for each kept trace that both scored.

    Tokens that one of them gives no figure to are left out of both, and texts that they cut into different
    tokens are, too: no token of one is a token of the other.

    Args:
        cleaned: Traces of one scenario.
        base: What one model gave to them.
        ft: What the other did.
        prose_keys: Keys of the decision object that hold prose.
    """
    ones, others = ({each.trace_id: each for each in scored} for scored in (base, ft))
    for each in cleaned:
        one, other = ones.get(each.trace.id), others.get(each.trace.id)
        if one is None or other is None or drop_reason(each):
            continue
        messages = each.trace.messages
        both = [
            ((messages[text.message].content, text.tokens), _figures(text.tokens), _figures(twin.tokens))
            for text, twin in zip(one.texts, other.texts, strict=False)
            if text.message == twin.message
            and [token.token for token in text.tokens] == [token.token for token in twin.tokens]
        ]
        if both:  # a figure that one lacks is none in the sums of both
            yield (
                _together([(text, first + 0 * second) for text, first, second in both], prose_keys),
                _together([(text, second + 0 * first) for text, first, second in both], prose_keys),
            )
