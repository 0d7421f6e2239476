"""How many scenarios a comparison of two arms needs, before anyone pays for calls.

    normal      from the variance of a difference to scenarios, and back to power
    spread      the variance of a scenario's figure over runs, and what two arms share of it
    discordant  exact power where a scenario is right or wrong, alike or not: McNemar's test
    question    what people ask, and what cannot be asked
    plan        the answers
    simulation  the same by brute force, on request

A plan draws nothing: its numbers are closed forms, finite sums, or integrals over one scenario's chances.
"""

from opoi.measures.power.discordant import Discordant, exact_power, exact_scenarios
from opoi.measures.power.normal import half_width, power_of, scenarios_for
from opoi.measures.power.plan import Choice, Plan, plan
from opoi.measures.power.question import Question
from opoi.measures.power.simulation import check_simulation, simulate
from opoi.measures.power.spread import Chances, covariance

__all__ = [
    "Chances",
    "Choice",
    "Discordant",
    "Plan",
    "Question",
    "check_simulation",
    "covariance",
    "exact_power",
    "exact_scenarios",
    "half_width",
    "plan",
    "power_of",
    "scenarios_for",
    "simulate",
]
