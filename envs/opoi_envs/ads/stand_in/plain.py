"""The stand-in without tools: a corrector who has never seen the account, and a copy editor."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from opoi.seeds import Stream
from opoi_envs.ads.decision import decide
from opoi_envs.ads.stand_in.persona import Persona
from opoi_envs.ads.stand_in.reading import Evidence, Value, action_in, campaign_in, dollars_in, sentences
from opoi_envs.ads.stand_in.writing import decision_text, evidence_sentences, new_budget

__all__ = ["CLEANING", "CORRECTING", "clean", "correct"]

CORRECTING = "An agent took a decision and a human expert reviewed it."
"""How a request to a corrector begins."""

CLEANING = "Rewrite the sentence below"
"""How a request to the copy editor begins."""

_DECISION = "Decision under review:"
_FEEDBACK = "Expert feedback:"
_DATA = "What the agent saw:"
_SCHEMA = "Answer with one JSON object"

_VAGUE = {
    "scale_up": (
        "Given the strong momentum, budget allocation should be expanded to capture additional upside.",
        "Performance has been promising, which warrants leaning in with incremental investment.",
    ),
    "maintain": (
        "The most prudent course is to preserve the current allocation and monitor developments.",
        "There is insufficient justification for altering the spend level at this juncture.",
    ),
    "scale_down": (
        "Recent performance was disappointing, so the investment was curtailed to mitigate risk.",
        "In light of the deteriorating results, a more conservative allocation is appropriate.",
    ),
    "pause": (
        "The initiative is not delivering sufficient value and should therefore be discontinued for now.",
        "Continued investment cannot be justified, so activity is suspended pending reassessment.",
    ),
}
_FACTORS = {"scale_up": 1.2, "maintain": 1.0, "scale_down": 0.8}
_LOOKED_UP = re.compile(r'"campaign_id":\s*"(cmp_\d+)"')


def correct(request: str, persona: Persona, draws: Stream) -> str:
    """Write the decision that a reviewer's feedback asks for, about the campaign that it names.

    Where the feedback names none, the campaign of the decision under review counts, else the one that the
    agent looked up.

    Args:
        request: The corrector's only message; the sections for decision, data and schema may be missing.
        persona: Dials.
        draws: Random draws of this call.
    """
    original = _section(request, _DECISION)
    feedback = _section(request, _FEEDBACK)
    data = _section(request, _DATA)
    action = action_in(feedback) or "maintain"
    before = decide(original)
    entity = campaign_in(feedback) or before.entity or _looked_up(data) or campaign_in(request)
    evidence = Evidence(campaign=entity)
    for line in data.splitlines():
        evidence.add(line[max(line.find("-> {") + 3, 0) :])
    words, values = _grounds(evidence, action, feedback, persona, draws)
    budget = dollars_in(feedback)
    if action == "pause":
        budget = 0.0
    elif budget is None:
        present = evidence.budget or _present(before.action, before.payload) or 100.0
        budget = new_budget(present, action)
    shown = bool(original.startswith("{")) or '"properties"' in _section(request, _SCHEMA)
    if shown:
        return decision_text(action, entity or "unknown", budget, words, values)
    loose = {"decision": action.replace("_", " "), "campaign": entity, "budget": budget, "rationale": words}
    return msgspec.json.encode(loose).decode()


def _section(request: str, head: str) -> str:
    """Return the text under a heading, up to the next heading."""
    body = request.partition(f"\n{head}")[2]
    for other in (_DECISION, _FEEDBACK, _DATA, _SCHEMA):
        body = body.partition(f"\n\n{other}")[0]
    return body.strip()


def _looked_up(data: str) -> str:
    """Return the campaign that the agent asked its tools about (a list of campaigns names them all)."""
    match = _LOOKED_UP.search(data)
    return match.group(1) if match else ""


def _present(action: str, payload: dict[str, Any]) -> float | None:
    """Work out the present budget from the decision under review."""
    factor, budget = _FACTORS.get(action), payload.get("new_daily_budget")
    return round(budget / factor, 2) if factor and budget else None


def _grounds(
    evidence: Evidence, action: str, feedback: str, persona: Persona, draws: Stream
) -> tuple[str, list[Value]]:
    """Return reasons and citations: real ones from data, else vague, borrowed or made up."""
    words = [draws.choice(_VAGUE[action], "vague")]
    values: list[Value] = []
    if evidence.week():
        for text, named in evidence_sentences(evidence, "level", 2, draws):
            words.append(text)
            values += named
    elif draws.chance(persona.fabricate, "fabricate"):
        made_up = round(draws.between(20.0, 120.0, "made up"), 2)
        values.append(Value("cpa", evidence.campaign or "unknown", "last_7d", made_up))
        words.append(f"The observed acquisition cost of ${made_up:.2f} is consistent with this assessment.")
    if draws.chance(persona.parrot, "parrot"):
        words += [said.removeprefix("Reason: ") for said in sentences(feedback)[1:]][:3]
    return " ".join(words), values


# ---------------------------------------------------------------- the copy editor

_OFFENDING = re.compile(
    r"review|expert|\bnote\b|oracle|verdict|settled|already (?:decided|determined)|"
    r"as (?:advised|instructed|directed|recommended|requested)|been told|right (?:call|decision)|"
    r"guidance|what happened next|no_support",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"(?:,|;|:)\s+|\s+-\s+")
_FIGURE = re.compile(r"-?\$?\d+(?:[.\-]\d+)*(?:\s?%)?")


def clean(request: str, persona: Persona, draws: Stream) -> str:
    """Rewrite the sentence of a cleaning request without its reference to a note."""
    sentence = request.partition("\n\n")[2].strip()
    if not sentence or not _OFFENDING.search(sentence):
        return sentence or "There is no sentence."
    if not draws.chance(persona.clean_skill, "clean"):
        return sentence.replace("As the reviewer noted", "As noted in the review")
    kept = [clause for clause in _CLAUSE.split(sentence.rstrip(".")) if not _OFFENDING.search(clause)]
    text = ", ".join(kept) or "The numbers support this step"
    lost = [figure for figure in _FIGURE.findall(sentence) if figure not in text]
    if lost:
        text += f" ({', '.join(lost)})"
    return f"{text[0].upper()}{text[1:]}."
