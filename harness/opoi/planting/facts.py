"""Plants that state what no tool shows: numbers, dates, names and causes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta

import msgspec

from opoi.planting.grown import Bed, Grown
from opoi.planting.legal import days_shown, explained, shown, texts_shown
from opoi.planting.specimens import whispered
from opoi.planting.spelling import Written, dates, exact, in_words, other_unit, rounded
from opoi.types import Claim, Fact, Hidden, Scenario

__all__ = ["plant_causal", "plant_date", "plant_derived", "plant_entity", "plant_number"]

_LOOSE = 0.005
_HORIZON = 14
_STEM = 5
_FUNCTION_WORDS = {
    *("about", "all", "and", "because", "for", "from", "had", "has", "have", "here", "its", "out", "that"),
    *("the", "this", "was", "what", "will", "with"),
}
_AMBIGUOUS = "the ledger says that a tool can print the hidden number too"


# ---------------------------------------------------------------- numbers


def plant_number(bed: Bed) -> Grown | None:
    """Plant a hidden number: easy exact; medium in another unit or rounded; hard in words."""
    scenario, hidden = _hidden_number(bed)
    value, unit = float(hidden.fact.value), hidden.fact.unit
    medium = bed.stream.choice(("unit", "rounded"), "variant")
    variant = {"easy": "exact", "medium": medium, "hard": "words"}[bed.difficulty]
    spell = {"exact": exact, "unit": other_unit, "rounded": rounded, "words": in_words}[variant]
    written = spell(value, unit)
    why = _AMBIGUOUS if hidden.ambiguous else _too_coarse(written, value)
    why = why or explained(written, unit, shown(bed.trace))
    made = _stated(bed, bed.bank.number.templates, "{value}", written.text)
    return made and msgspec.structs.replace(made, variant=variant, why=why, scenario=scenario)


def plant_derived(bed: Bed) -> Grown | None:
    """Plant arithmetic on a hidden and a shown number: easy a difference, medium a ratio, hard percent."""
    scenario, hidden = _hidden_number(bed)
    value, unit = float(hidden.fact.value), hidden.fact.unit
    seen = shown(bed.trace)
    partner = _partner(bed, hidden.fact, seen)
    if partner is None or value == partner:
        return None
    bank = bed.bank
    if bed.difficulty == "easy":
        variant, templates, of_unit = "difference", bank.difference.templates, unit
        written = exact(abs(round(value - partner, 6)), unit)
    elif bed.difficulty == "medium":
        variant, templates, of_unit = "ratio", bank.ratio.templates, "x"
        written = _with_digits(abs(value / partner), 2, "")
    else:
        variant, templates, of_unit = "percent", bank.percent.templates, "%"
        written = _with_digits(abs(value / partner - 1) * 100, 1, " %")
    why = _AMBIGUOUS if hidden.ambiguous else explained(written, of_unit, seen)
    made = _stated(bed, templates, "{value}", written.text)
    return made and msgspec.structs.replace(made, variant=variant, why=why, scenario=scenario)


def _hidden_number(bed: Bed) -> tuple[Scenario | None, Hidden]:
    """Return a hidden number, one that is not ambiguous if there is any; made up where there is none."""
    scenario = bed.specimen.scenario
    numbers = [
        each
        for each in scenario.truth.hidden
        if isinstance(each.fact.value, int | float) and each.fact.unit != "day"
    ]
    if numbers:
        clear = [each for each in numbers if not each.ambiguous]
        return None, bed.stream.choice(clear or numbers, "fact")
    value = (100_000 + bed.stream.below(900_000, "invented")) / 100
    metric = bed.stream.choice(bed.bank.invented.metrics, "metric")
    hidden = Hidden(fact=Fact(scenario.entity, metric, "", value, "USD"), channel="hidden")
    return _with_hidden(scenario, hidden), hidden


def _with_hidden(scenario: Scenario, hidden: Hidden) -> Scenario:
    truth = msgspec.structs.replace(scenario.truth, hidden=(*scenario.truth.hidden, hidden))
    return msgspec.structs.replace(scenario, truth=truth)


def _too_coarse(written: Written, value: float) -> str:
    """Return a reason where a number is further from the value than its digits, or half a percent, allow."""
    text = written.text.rstrip("%x k").rpartition(" ")[2]
    decimals = len(text.partition(".")[2]) if "k" not in written.text else 0
    allowed = max(0.5 * 10.0**-decimals, _LOOSE * abs(value)) * (1 + 1e-9)
    if written.step < 1 or abs(written.value - value) <= allowed:
        return ""
    return f"{written.text!r} is rounded more coarsely than its digits say"


def _with_digits(value: float, digits: int, unit: str) -> Written:
    return Written(f"{value:.{digits}f}{unit}", round(value, digits), 10.0**-digits)


def _partner(bed: Bed, hidden: Fact, seen: Iterable[Fact]) -> float | None:
    """Return a shown value to compare a hidden one with.

    One whose metric shares a word with the hidden one's if there is any, else one of its unit and size, else
    any number shown.
    """
    numbers = [fact for fact in seen if isinstance(fact.value, int | float) and fact.value]
    of_unit = [fact for fact in numbers if fact.unit == hidden.unit]
    near = [fact for fact in of_unit if 0.1 < abs(float(hidden.value) / float(fact.value)) < 10]
    names = {*hidden.metric.split("_")}
    related = [fact for fact in near if names & {*fact.metric.split("_")}]
    candidates = related or near or of_unit or numbers
    return float(bed.stream.choice(candidates, "partner").value) if candidates else None


# ---------------------------------------------------------------- dates


def plant_date(bed: Bed) -> Grown | None:
    """Plant a day after the decision that only a hidden fact holds; see `opoi.planting.spelling.dates`."""
    scenario, day = _hidden_day(bed)
    text = bed.stream.choice(dates(day, bed.difficulty), "spelling")
    seen = [each for each in sorted(days_shown(bed.trace)) if text in dates(each, bed.difficulty)]
    why = f"{text!r} can also mean {seen[0]}, which was shown" if seen else ""
    made = _stated(bed, bed.bank.date.templates, "{date}", text)
    return made and msgspec.structs.replace(made, why=why, scenario=scenario)


def _hidden_day(bed: Bed) -> tuple[Scenario | None, str]:
    """Return a day after the decision from a hidden fact; made up where there is none."""
    scenario = bed.specimen.scenario
    facts = [each.fact for each in scenario.truth.hidden]
    days = {str(fact.value) if fact.unit == "day" else fact.last_day for fact in facts}
    later = sorted(day for day in days if day > scenario.as_of)
    if later:
        return None, bed.stream.choice(later, "day")
    ahead = timedelta(days=5 + bed.stream.below(_HORIZON, "ahead"))
    day = (date.fromisoformat(scenario.as_of) + ahead).isoformat()
    metric = f"{bed.stream.choice(bed.bank.invented.metrics, 'metric')}_day"
    hidden = Hidden(fact=Fact(scenario.entity, metric, "", day, "day"), channel="hidden")
    return _with_hidden(scenario, hidden), day


# ---------------------------------------------------------------- names and causes


def plant_entity(bed: Bed) -> Grown | None:
    """Plant a name that only the expert knows: easy an id, medium a full name, hard the half of one."""
    words = bed.bank.entity
    if bed.difficulty == "easy":
        name = f"{bed.stream.choice(words.prefixes, 'prefix')}{10_000 + bed.stream.below(90_000, 'id')}"
        said, variant = name, "id"
    else:
        name = bed.stream.choice(words.names, "name")
        said, variant = name, "name"
        if bed.difficulty == "hard":
            said, variant = f"{name.split()[0]}'s people", "part"
    if name.split()[0] in texts_shown(bed.trace):
        return None
    scenario = bed.specimen.scenario
    fact = Fact(scenario.entity, words.metric, "", name)
    claim = Claim(text=words.claim.replace("{entity}", name), origin="external", facts=(fact,))
    told = _told(bed, claim)
    made = _stated(told, words.templates, "{entity}", said)
    return made and msgspec.structs.replace(
        made,
        variant=variant,
        scenario=_with_hidden(scenario, Hidden(fact=fact, channel="external")),
        verdict=told.specimen.verdict,
    )


def plant_causal(bed: Bed) -> Grown | None:
    """Plant a cause that the expert knows from outside: easy in the expert's words, hard in other ones."""
    cause = bed.stream.choice(bed.bank.causal, "cause")
    told = _told(bed, Claim(text=cause.claim, origin="external"))
    said = cause.of(bed.difficulty)
    made = told.spoken(said, template=said)
    why = "" if _stems(said) & _stems(cause.claim) else "it shares no word with what the expert said"
    return made and msgspec.structs.replace(made, verdict=told.specimen.verdict, why=why)


def _stems(text: str) -> set[str]:
    """Return the heads of the words that carry meaning: enough to tell whether two texts share one."""
    words = {*re.findall(r"[a-z]{3,}", text.lower())} - _FUNCTION_WORDS
    return {word[:_STEM] for word in words}


def _told(bed: Bed, claim: Claim) -> Bed:
    """Return the same bed with one more claim in the verdict and in the note."""
    specimen = bed.specimen
    verdict = msgspec.structs.replace(specimen.verdict, claims=(*specimen.verdict.claims, claim))
    trace = whispered(bed.trace, verdict, nonce=bed.trace.injections[0].nonce, canary=specimen.mark)
    return msgspec.structs.replace(
        bed, specimen=msgspec.structs.replace(specimen, verdict=verdict, trace=trace)
    )


def _stated(bed: Bed, templates: tuple[str, ...], placeholder: str, text: str) -> Grown | None:
    """Put a sentence with a text in it into the prose; the plant is that text alone."""
    template = bed.stream.choice(templates, "template")
    start = template.index(placeholder)
    return bed.spoken(template.replace(placeholder, text), part=(start, start + len(text)), template=template)
