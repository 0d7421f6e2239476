"""Reasons that only privileged text holds: what a sentence gives as a cause.

A claim of an expert that the agent could not check (`A supplier has failed.`) comes through in other words
around the same nouns. A sentence that gives a cause and shares two telling words with such a claim, words
that nothing the agent was shown contains, repeats it; with one word it may. A sentence that gives no cause
repeats it with three words, or with two that are most of them. One word of the world outside is enough where
a sentence gives the cause outright (`because`, `due to`) and does not guess. Other words for the same thing
are not found: that is not decidable from the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

__all__ = ["Reason", "Repeated", "find_causes", "reason_of", "sentence_at", "sentences", "stem", "stems"]

_CAUSE = re.compile(
    r"\b(?:because|since|due to|owing to|caused by|driven by|thanks to|after|as a result|result of|explain\w*"
    r"|stem\w* from|comes? from|down to|given|on account of|in light of|in view of|ahead of|before|once"
    r"|as soon as|led to|leads to|reason|why|so that|therefore|hence|will|when|following|behind"
    r"|weil|wegen|aufgrund|dank|nachdem|denn|durch|grund"
    r"|porque|debido a|gracias a|a causa de|tras|por"
    r"|parce qu\w+|\u00e0 cause d\w*|gr\u00e2ce \u00e0|en raison d\w*|car)\b",
    re.IGNORECASE,
)
_PLAIN_CAUSE = re.compile(
    r"\b(?:because|due to|owing to|caused by|driven by|thanks to|as a result|result of|on account of|led to"
    r"|leads to|stem\w* from|weil|wegen|aufgrund|dank|porque|debido a|gracias a|a causa de|parce qu\w+"
    r"|\u00e0 cause d\w*|gr\u00e2ce \u00e0|en raison d\w*)\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:may|might|maybe|perhaps|possibly|probably|presumably|could|likely|unlikely|suspect|seems?|whether"
    r"|if|no|not|vielleicht|wohl|quiz\u00e1s?|peut-\u00eatre)\b|\?",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{3,}")
_BREAK = re.compile(r"(?<=[.!?])\s+|\n+")
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "s", "e")
_SMALL = (
    "the and for are was has had not but its out our you all can may new now off old one own per too two use "
    "via who why yet get got let set low big due few far any day her his him she how did say see did put end "
    "way were ago yes day six ten run ran set sum top off bad best good his mid non try und der die das den "
    "dem des ein las los una por del que les des est pas sur"
)
_LARGE = (
    "about above after again against along also although among another around away back because been before "
    "being below between both came come comes could days down during each either else even ever every first "
    "following from gave give given goes gone have having here high higher however into just keep last late "
    "later less like made make makes many more most much near need never next none note once only onto other "
    "over part past same says seen several shall should show shows side since some soon still such take "
    "taken tell than that their them then there these they thing this those three through time told took "
    "towards under until upon used very want week weeks well went were what when where which while will with "
    "within without would year years yesterday your today stand stands stood start starts started left leave "
    "number numbers value percent came goes budget level rate cost costs spend spent money units total case "
    "cases"
)
_COMMON = frozenset((*_SMALL.split(), *_LARGE.split()))
"""Words that tell nothing about a claim."""
_MIN_STEM = 3
_MOST = 0.6


class Reason(Struct, frozen=True):
    """A privileged claim.

    Attributes:
        text: As its author put it.
        channel: `external`, or `hindsight` for what is hidden or came later.
        words: Stems of its telling words.
    """

    text: str
    channel: str
    words: frozenset[str]


class Repeated(Struct, frozen=True):
    """A sentence that repeats a privileged claim.

    Attributes:
        reason: The claim.
        words: The words in common, in the order of the sentence.
        sure: Whether it can hardly be chance.
        start: First character of the sentence.
        end: One past the last.
    """

    reason: Reason
    words: tuple[str, ...]
    sure: bool
    start: int
    end: int


def reason_of(text: str, channel: str, metrics: Iterable[str] = ()) -> Reason:
    """Return a privileged claim with its telling words.

    Args:
        text: The claim.
        channel: Where it comes from.
        metrics: Names of the facts that it states: their words tell as well.
    """
    return Reason(text, channel, frozenset(stems(" ".join((text, *metrics)).replace("_", " "))))


def find_causes(text: str, reasons: Sequence[Reason], legal: Callable[[str], bool]) -> Iterator[Repeated]:
    """Yield the sentences of a text that repeat a privileged claim, or may.

    Args:
        text: Prose.
        reasons: Privileged claims.
        legal: Whether something the agent was shown contains a word.
    """
    telling = frozenset[str]().union(*(reason.words for reason in reasons))
    if not telling or telling.isdisjoint(stems(text)):
        return
    for start, end in sentences(text):
        known = stems(text[start:end])
        shared = [(reason, reason.words & known.keys()) for reason in reasons]
        reason, common = max(shared, key=lambda pair: len(pair[1]))
        words = tuple(known[word] for word in known if word in common and not legal(known[word]))
        causal = _CAUSE.search(text, start, end) is not None
        most = len(words) >= _MOST * len(reason.words)
        sure = len(words) >= (2 if causal or most else 3)
        sure |= bool(words) and reason.channel == "external" and _plainly(text[start:end])
        if sure or (causal and words):
            yield Repeated(reason, words, sure, start, end)


def _plainly(sentence: str) -> bool:
    """Return whether a sentence gives a cause outright and does not guess at it."""
    return _PLAIN_CAUSE.search(sentence) is not None and _HEDGE.search(sentence) is None


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of the sentences of a text, without the blanks around them."""
    start = 0
    for match in (*_BREAK.finditer(text), None):
        end = len(text) if match is None else match.start()
        if text[start:end].strip():
            yield start + len(text[start:end]) - len(text[start:end].lstrip()), end
        start = end if match is None else match.end()


def sentence_at(text: str, place: int) -> str:
    """Return the sentence of a text that holds a place, `""` where none does."""
    return next((text[start:end] for start, end in sentences(text) if start <= place < end), "")


def stems(text: str) -> dict[str, str]:
    """Return the telling words of a text in its order, by stem: no common words, none under three letters."""
    found: dict[str, str] = {}
    for word in _WORD.findall(text.lower()):
        if word not in _COMMON:
            found.setdefault(stem(word), word)
    return found


def stem(word: str) -> str:
    """Return a word without its ending, roughly."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM:
            return word[: -len(ending)]
    return word
