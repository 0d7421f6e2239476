"""The agent's prose: sentences built from values that it has seen, and the decision that carries them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from opoi.seeds import Stream
from opoi_envs.ads.stand_in.judging import Opinion
from opoi_envs.ads.stand_in.reading import Evidence, Value

__all__ = ["Said", "decision_text", "evidence_sentences", "new_budget", "reasoning"]

Said = tuple[str, tuple[Value, ...]]
"""A sentence and the values that stand in it."""

_FACTORS = {"scale_up": 1.2, "maintain": 1.0, "scale_down": 0.8, "pause": 0.0}


def new_budget(budget: float | None, action: str) -> float:
    """Return the daily budget in USD after an action; 0 where the present one is unknown."""
    return round((budget or 0.0) * _FACTORS[action], 2)


# ---------------------------------------------------------------- evidence, sentence by sentence


def _span(window: str) -> str:
    return window.replace("..", " to ")


def _week(evidence: Evidence) -> str:
    days = evidence.week()
    return f"{days[0].date}..{days[-1].date}" if len(days) > 1 else ""


def _week_cpa(evidence: Evidence, draws: Stream) -> Said | None:
    cpa, target = evidence.value("cpa", _week(evidence)), evidence.setting("target_cpa")
    if cpa is None or target is None:
        return None
    shape = draws.choice(
        (
            "CPA over the last 7 days is ${0:.2f} against a target of ${1:.2f}.",
            "The 7-day CPA stands at ${0:.2f}, the target is ${1:.2f}.",
            "Over the week the campaign bought purchases at ${0:.2f} each (target ${1:.2f}).",
        ),
        "week_cpa",
    )
    return shape.format(cpa.value, target.value), (cpa, target)


def _week_roas(evidence: Evidence, draws: Stream) -> Said | None:
    roas, floor = evidence.value("roas", _week(evidence)), evidence.setting("break_even_roas")
    if roas is None or floor is None:
        return None
    shape = draws.choice(
        (
            "ROAS for the 7 days is {0:.2f} with break-even at {1:.2f}.",
            "7-day ROAS of {0:.2f} compares with a break-even of {1:.2f}.",
        ),
        "week_roas",
    )
    return shape.format(roas.value, floor.value), (roas, floor)


def _yesterday(evidence: Evidence, draws: Stream) -> Said | None:
    days = evidence.week()
    cpa = evidence.value("cpa", days[-1].date or days[-1].window) if days else None
    target = evidence.setting("target_cpa")
    if cpa is None or target is None:
        return None
    shape = draws.choice(
        (
            "Yesterday's CPA was ${0:.2f} against a target of ${1:.2f}.",
            "Yesterday came in at a CPA of ${0:.2f} (target ${1:.2f}).",
        ),
        "yesterday",
    )
    return shape.format(cpa.value, target.value), (cpa, target)


def _days(evidence: Evidence, draws: Stream) -> Said | None:
    """Compare the oldest of the last three days' forerunners with the day before yesterday."""
    days = evidence.week()
    if len(days) < 5:
        return None
    old, new = (evidence.value("cpa", days[at].date) for at in (-5, -2))
    if old is None or new is None:
        return None
    shape = draws.choice(
        (
            "By day, CPA went from ${0:.2f} on {1} to ${2:.2f} on {3}.",
            "CPA stood at ${0:.2f} on {1} and at ${2:.2f} on {3}.",
        ),
        "days",
    )
    return shape.format(old.value, old.window, new.value, new.window), (old, new)


def _compared(evidence: Evidence, draws: Stream) -> Said | None:
    """Use a comparison of two windows of the same length, if one was made."""
    pairs = sorted(window for window in evidence.windows if window != _week(evidence))
    if len(pairs) < 2:
        return None
    before, now = (evidence.value("cpa", window) for window in pairs[-2:])
    if before is None or now is None:
        return None
    shape = draws.choice(
        (
            "CPA for {3} is ${2:.2f}, compared with ${0:.2f} for {1}.",
            "Between {1} and {3} CPA moved from ${0:.2f} to ${2:.2f}.",
        ),
        "compared",
    )
    text = shape.format(before.value, _span(before.window), now.value, _span(now.window))
    return text, (before, now)


def _frequency(evidence: Evidence, draws: Stream) -> Said | None:
    frequency = evidence.value("frequency", _week(evidence))
    if frequency is None:
        return None
    shape = draws.choice(
        ("Frequency over the 7 days is {0:.2f}.", "The audience saw the ads {0:.2f} times in 7 days."), "freq"
    )
    return shape.format(frequency.value), (frequency,)


def _ctr(evidence: Evidence, draws: Stream) -> Said | None:
    days = evidence.week()
    if len(days) < 5:
        return None
    old, new = (evidence.value("ctr", days[at].date) for at in (0, -1))
    if old is None or new is None:
        return None
    shape = draws.choice(
        (
            "CTR moved from {0:.2f} % on {1} to {2:.2f} % on {3}.",
            "Click-through was {0:.2f} % on {1} and {2:.2f} % on {3}.",
        ),
        "ctr",
    )
    return shape.format(old.value, old.window, new.value, new.window), (old, new)


def _delivery(evidence: Evidence, draws: Stream) -> Said | None:
    delivery = evidence.setting("delivery")
    if delivery is None:
        return None
    shape = draws.choice(("Delivery is {0}.", "The delivery state reads {0}."), "delivery")
    return shape.format(delivery.value), (delivery,)


def _raised(evidence: Evidence, _: Stream) -> Said | None:
    if not evidence.raises:
        return None
    day, old, new = evidence.raises[-1]
    values = tuple(
        Value(f"budget_{name}", evidence.campaign, day, value)
        for name, value in (("before", old), ("after", new))
    )
    return f"The budget went from ${old:.2f} to ${new:.2f} on {day}.", values


def _funnel(evidence: Evidence, draws: Stream) -> Said | None:
    """Compare what becomes of clicks now and before, if the funnel was looked at."""
    if evidence.funnel is None:
        return None
    now, before = evidence.funnel
    stage = "checkouts_per_click" if draws.chance(0.3, "stage") else "landing_page_views_per_click"
    shares = [
        (window.window, share) for window in (before, now) if (share := getattr(window, stage)) is not None
    ]
    if len(shares) < 2:
        return None
    values = tuple(Value(stage, evidence.campaign, window, share) for window, share in shares)
    what = "Checkouts" if stage.startswith("checkouts") else "Landing-page views"
    text = f"{what} per click went from {shares[0][1]} % to {shares[1][1]} %."
    return text, values


def _price(evidence: Evidence, _: Stream) -> Said | None:
    days = evidence.week()
    if len(days) < 5:
        return None
    old, new = (evidence.value("cpm", days[at].date) for at in (0, -1))
    if old is None or new is None:
        return None
    text = f"CPM went from ${old.value:.2f} on {old.window} to ${new.value:.2f} on {new.window}."
    return text, (old, new)


_SENTENCES: dict[str, Callable[[Evidence, Stream], Said | None]] = {
    "week_cpa": _week_cpa,
    "week_roas": _week_roas,
    "yesterday": _yesterday,
    "days": _days,
    "compared": _compared,
    "frequency": _frequency,
    "ctr": _ctr,
    "delivery": _delivery,
    "raised": _raised,
    "funnel": _funnel,
    "price": _price,
}

_STRIKING = {
    "level": ("week_cpa", "week_roas", "compared"),
    "fall": ("days", "week_cpa", "compared"),
    "recovery": ("days", "week_cpa", "compared"),
    "learning": ("delivery", "raised", "week_cpa"),
    "fatigue": ("frequency", "ctr", "week_cpa"),
    "yesterday": ("yesterday", "week_cpa", "compared"),
    "dark": ("funnel", "days", "week_cpa"),
    "weekend": ("days", "week_cpa", "compared"),
    "renewed": ("days", "week_cpa", "compared"),
    "price": ("price", "ctr", "week_cpa"),
    "target": ("week_roas", "week_cpa", "compared"),
    "decline": ("compared", "week_cpa", "days"),
    "nothing": (),
}
"""What is told first, by what struck the agent."""


def evidence_sentences(evidence: Evidence, pattern: str, count: int, draws: Stream) -> list[Said]:
    """Return up to `count` sentences about the evidence, the striking ones first."""
    said: list[Said] = []
    for name in (*_STRIKING[pattern], "week_roas", "frequency"):
        sentence = _SENTENCES[name](evidence, draws)
        if sentence is not None and sentence not in said:
            said.append(sentence)
        if len(said) == count:
            break
    return said


# ---------------------------------------------------------------- conclusions

_WHY = {
    "level": {
        "scale_up": "That leaves room under the target.",
        "maintain": "The level holds and is close to the target.",
        "scale_down": "That is too expensive at the present spend.",
        "pause": "Every order loses money at this level.",
    },
    "fall": {
        "scale_down": "The last days have dropped well below the level before, so the average flatters.",
    },
    "recovery": {"maintain": "The last days are clearly better than the week as a whole."},
    "learning": {"maintain": "The raise explains the higher cost of the last days."},
    "fatigue": {"scale_down": "The audience is wearing out."},
    "yesterday": {"scale_down": "Yesterday was far too expensive."},
    "dark": {"maintain": "Records are missing here, not sales."},
    "weekend": {"maintain": "The dip is the weekend and nothing more."},
    "renewed": {"scale_up": "The new creative has brought the old level back."},
    "price": {"maintain": "Impressions have become dear, and that tends to pass."},
    "target": {"scale_down": "The target is met and still hardly anything is earned."},
    "decline": {"scale_down": "The week was dearer than the one before, and dear already."},
}
_GENERAL = {
    "scale_up": "Efficiency allows for more spend.",
    "maintain": "I see no clear case for a change.",
    "scale_down": "Efficiency does not carry the present spend.",
    "pause": "The spend does not earn its money back.",
}
_CLOSING = {
    "scale_up": (
        "I scale up by one step.",
        "One step up is justified.",
        "I raise the daily budget by one step and watch the next days.",
    ),
    "maintain": (
        "I keep the daily budget where it is.",
        "I hold the budget.",
        "The budget stays unchanged for now.",
    ),
    "scale_down": (
        "I scale down by one step.",
        "One step down limits the cost.",
        "I take the daily budget down by one step.",
    ),
    "pause": ("I pause the campaign.", "Pausing stops the loss.", "The campaign should be paused."),
}


def reasoning(
    evidence: Evidence, opinion: Opinion, action: str, draws: Stream, *, vague: bool = False
) -> tuple[list[str], list[Value]]:
    """Return the sentences that justify an action, and the values in them.

    Where the action is not what the evidence suggested, the words are general; the numbers are still the
    real ones.

    Args:
        evidence: What the tools have shown.
        opinion: What it suggests.
        action: What is to be justified.
        draws: Random draws of this call.
        vague: Say what follows, and nothing of the values that it follows from.
    """
    count = 2 + draws.below(2, "length")
    said = [] if vague else evidence_sentences(evidence, opinion.pattern, count, draws)
    why = _GENERAL[action]
    if action == opinion.action:
        why = _WHY.get(opinion.pattern, {}).get(action, why)
    words = [text for text, _ in said]
    words += [why, draws.choice(_CLOSING[action], "closing")]
    return words, [value for _, values in said for value in values]


def decision_text(action: str, entity: str, budget: float, words: str, values: Sequence[Value]) -> str:
    """Write a decision as JSON; at most five different values are cited."""
    cited: list[Value] = []
    for value in values:
        if value not in cited:
            cited.append(value)
    body: dict[str, Any] = {
        "action": action,
        "entity": entity,
        "new_daily_budget": budget,
        "reasoning": words,
        "citations": cited[:5],
    }
    return msgspec.json.encode(body).decode()
