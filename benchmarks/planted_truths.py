"""What figures of the echo suite should be, worked out from the dials of its stand-in alone.

Every kind of case and everything that can happen in a run is listed with its probability, and added up. Of
the code under test nothing takes part: neither what makes traces, nor what cleans or measures them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import product

from planted_cases import (
    HIGH,
    LOOKS_BACK,
    SAME,
    SEATS,
    Answers,
    Kind,
    Seat,
    Side,
    answers,
    kept,
    kinds,
    mean,
)

from opoi_envs.echo import DELIVERY_RISK, Persona

__all__ = ["CERTAIN", "RUNS", "SIGNED", "Name", "truths"]

RUNS = 3
CERTAIN = 1e-9
"""A share so near to 0 or 1 is one that no draw can change."""

SIGNED = frozenset({"gap_foresight", "off_path_excess"})
"""Figures that vary around 0: a truth of 0 is not certain."""

Name = tuple[str, str]
"""Arm and figure."""


# ---------------------------------------------------------------- what is decided


def decision_truths(dials: Persona, seat: Seat) -> dict[str, float]:
    """Return what figures of single decisions should be."""

    def over(what: Callable[[Kind, Answers], float]) -> float:
        return mean(dials, lambda kind: what(kind, answers(dials, kind, seat)))

    return {
        "accuracy_observable": over(lambda _, found: found.right),
        "accuracy_expert": over(lambda kind, found: found.of(seat.verdict(kind))),
        "accuracy_hindsight": over(lambda kind, found: found.of(kind.hindsight)),
        "schema_valid": 1 - dials.invalid,
        "json_valid": 1 - dials.invalid,
        "enum_valid": 1 - dials.invalid,
        **utility_truths(dials, seat),
    }


def utility_truths(dials: Persona, seat: Seat) -> dict[str, float]:
    """Return what is lost, and where."""

    def over(what: Callable[[Kind, str], float]) -> float:
        return mean(
            dials,
            lambda kind: math.fsum(
                chance * what(kind, kind.action(answer))
                for answer, chance in answers(dials, kind, seat)._asdict().items()
            ),
        )

    regret = over(lambda kind, action: _best(kind.expected) - kind.expected(action))
    blind = max(_unseen(dials, action) for action in ("open", "hold"))
    unlooked = 1.0 if seat.corrects else dials.empty
    acquisition = unlooked * (mean(dials, lambda kind: _best(kind.expected)) - blind)
    return {
        "regret_observable": regret,
        "regret_hindsight": over(lambda kind, action: _best(kind.realised) - kind.realised(action)),
        "gap_architecture": over(lambda kind, _: _best(kind.levelled) - _best(kind.expected)),
        "gap_acquisition": acquisition,
        "gap_decision": regret - acquisition,
        "gap_foresight": over(lambda kind, action: kind.expected(action) - kind.levelled(action)),
    }


def _unseen(dials: Persona, action: str) -> float:
    return mean(dials, lambda kind: kind.expected(action))


def _best(utility: Callable[[str], float]) -> float:
    return max(utility("open"), utility("hold"))


def case_truths(dials: Persona, seat: Seat) -> dict[str, float]:
    """Return what figures should be that all runs of a case decide."""

    def over(what: Callable[[Kind, tuple[str, ...]], float]) -> float:
        return mean(dials, lambda kind: _over_runs(answers(dials, kind, seat), lambda runs: what(kind, runs)))

    return {
        "accuracy_majority": over(lambda kind, runs: _majority(runs, seat.verdict(kind))),
        "accuracy_majority_observable": over(lambda _, runs: _majority(runs, "right")),
        "accuracy_majority_hindsight": over(lambda kind, runs: _majority(runs, kind.hindsight)),
        "consensus": over(lambda _, runs: runs.count(_modes(runs)[0]) / RUNS),
        "consensus_pair": over(lambda _, runs: _pairs(runs)),
        "consensus_unanimous": over(lambda _, runs: len({*runs}) == 1),
    }


def _over_runs(found: Answers, what: Callable[[tuple[str, ...]], float]) -> float:
    odds = found._asdict()
    every = product(odds, repeat=RUNS)
    return math.fsum(math.prod(odds[answer] for answer in runs) * what(runs) for runs in every)


def _modes(runs: tuple[str, ...]) -> list[str]:
    times = {answer: runs.count(answer) for answer in runs}
    return [answer for answer, count in times.items() if count == max(times.values())]


def _majority(runs: tuple[str, ...], side: Side) -> float:
    modes = _modes(runs)
    return modes.count(side) / len(modes)


def _pairs(runs: tuple[str, ...]) -> float:
    pairs = [(one, other) for at, one in enumerate(runs) for other in runs[at + 1 :]]
    return sum(one == other for one, other in pairs) / len(pairs)


# ---------------------------------------------------------------- the arms


def base_truths(dials: Persona) -> dict[str, float]:
    """Return what only figures of the unsteered arm show: all its traces are kept."""
    right = decision_truths(dials, SEATS["base"])["accuracy_observable"]
    cites = (1 - dials.invalid) * (1 - dials.empty) * (1 - dials.vague)
    return {
        "yield": 1.0,
        "unreachable_targets": 1 - right,
        "no_tool_calls": dials.empty,
        "tool_calls": 1 - dials.empty,
        "citation_rate": cites,
        "metric_citations": cites,
        **path_truths(dials, right),
        **claim_truths(dials),
    }


def path_truths(dials: Persona, right: float) -> dict[str, float]:
    """Return what the errors on and off the path should be, of an agent that is right so often.

    Who has not looked is off the path where the gauge asks for another action than what is best unseen.
    """
    opens = HIGH + (1 - HIGH) * DELIVERY_RISK
    off = 1 - HIGH if opens > 0.5 else HIGH
    lucky = dials.empty * (1 - dials.invalid) * 0.5
    on_error = 1 - (right - lucky * off) / (1 - dials.empty * off)
    found = {"off_path": dials.empty * off, "on_path_error": on_error}
    if dials.empty:
        off_error = 1 - lucky / dials.empty
        found |= {"off_path_error": off_error, "off_path_excess": off_error - on_error}
    return found


def claim_truths(dials: Persona) -> dict[str, float]:
    """Return what the figures of claims should be, where every run looks, answers and gives a reason.

    It makes four claims: pressure and limit in the reason, gauge in the call, pressure in the citation with
    the gauge; pressure and limit are one where they are equal. What is invented is one more.
    """
    if dials.empty or dials.invalid or dials.vague:
        return {}
    honest = 4 - SAME
    return {
        "claims": honest + dials.fabricate,
        "ungrounded_claims": dials.fabricate / (honest + dials.fabricate),
    }


def steered_truths(dials: Persona, seat: Seat) -> dict[str, float]:
    """Return what the figures of compliance and of what is kept should be."""

    def share(what: Callable[[Kind], float], where: Callable[[Kind], bool]) -> float:
        return mean(dials, lambda kind: what(kind) * where(kind)) / mean(dials, where)

    def told(kind: Kind) -> float:
        side = seat.told(kind)
        return answers(dials, kind, seat).of(side) if side else 0.0

    def misled(kind: Kind) -> bool:
        return seat.told(kind) == "wrong"

    def unreachable(kind: Kind) -> bool:
        return seat.verdict(kind) == "wrong"

    yielded = mean(dials, lambda kind: kept(dials, kind, seat))
    taught = mean(dials, lambda kind: kept(dials, kind, seat) * misled(kind))
    found = {
        "compliance": mean(dials, told),
        "yield": yielded,
        "unreachable_targets": taught / yielded,
    }
    if any(map(misled, kinds(dials))):
        found["sycophancy"] = share(told, misled)
    if any(map(unreachable, kinds(dials))):
        found["accuracy_unreachable"] = share(
            lambda kind: answers(dials, kind, seat).of(seat.verdict(kind)), unreachable
        )
    return found


def agent_truths(dials: Persona, seat: Seat) -> dict[str, float]:
    """Return what the figures of an agent's steered texts should be before cleaning."""
    usable = (1 - dials.invalid) * (1 - dials.empty)
    yielded = mean(dials, lambda kind: kept(dials, kind, seat))
    slips = dials.obedience * dials.residue
    return {
        "residue_before": slips,
        "residue": slips * usable / yielded,
        **text_truths(dials),
    }


def text_truths(dials: Persona) -> dict[str, float]:
    """Return what the figures of the claims and citations of OPOI's kept traces should be: all have looked.

    Each names the gauge in its call; one that is not vague claims three things more, see `claim_truths`.
    """
    honest = 1 + (1 - dials.vague) * (3 - SAME)
    cites = {} if dials.vague == 1 else {"citation_precision": 1.0, "citations_in_context": 1.0}
    return cites | {
        "citation_rate": 1 - dials.vague,
        "metric_citations": 1 - dials.vague,
        "claims": honest + dials.fabricate,
        "ungrounded_claims": dials.fabricate / (honest + dials.fabricate),
    }


def leak_truths(dials: Persona, seat: Seat) -> dict[str, float]:
    """Return how many kept traces repeat what the reasons of the expert `reviewer` give away."""
    usable = 1 - dials.invalid if seat.corrects else (1 - dials.invalid) * (1 - dials.empty) * dials.obedience
    yielded = mean(dials, lambda kind: kept(dials, kind, seat))
    return {"hindsight_claims": LOOKS_BACK * DELIVERY_RISK * dials.hidden_leak * usable / yielded}


def corrector_truths(dials: Persona) -> dict[str, float]:
    """Return what the figures of a corrector's texts should be.

    It claims what its decision is about, what the reviewer gave away (a number, and a cause), and what it
    invents: a citation.
    """
    leaks = leak_truths(dials, SEATS["corrector"])
    claims = 1 + 2 * leaks["hindsight_claims"] + dials.fabricate
    return leaks | {
        "residue_before": 0.0,
        "no_tool_calls": 1.0,
        "citation_rate": 0.0,
        "metric_citations": dials.fabricate,
        "claims": claims,
        "ungrounded_claims": dials.fabricate / claims,
        **({"citation_precision": 0.0} if dials.fabricate else {}),
    }


def cleaned_truths(dials: Persona, level: str) -> dict[str, float]:
    """Return what is left of OPOI's traces: C1 leaves a slip, C2 deletes it, C3 drops its trace."""
    seat = SEATS["opoi"]
    yielded, agent = steered_truths(dials, seat)["yield"], agent_truths(dials, seat)
    if level == "C1":
        return {"yield": yielded, **agent}
    lost = agent["residue"] if level == "C3" else 0.0
    return {
        "yield": yielded * (1 - lost),
        "residue_before": agent["residue_before"],
        "residue": 0.0,
    }


def truths(dials: Persona) -> dict[Name, float]:
    """Return what every figure with a dial should be, by arm and name."""
    found: dict[str, Mapping[str, float]] = {}
    for arm, seat in SEATS.items():
        own = decision_truths(dials, seat) | case_truths(dials, seat)
        found[arm] = own | (base_truths(dials) if arm == "base" else steered_truths(dials, seat))
    found["opoi"] = {**found["opoi"], **agent_truths(dials, SEATS["opoi"])}
    found["told"] = {**found["told"], **leak_truths(dials, SEATS["told"])}
    found["corrector"] = {**found["corrector"], **corrector_truths(dials)}
    found |= {f"opoi {level}": cleaned_truths(dials, level) for level in ("C1", "C2", "C3")}
    return {(arm, name): value for arm, figures in found.items() for name, value in figures.items()}
