"""The words in which a verdict is told to a model: as a note to the agent, as feedback to a corrector.

Wording and fields after section 3.14 of the method specification (our own wording of the idea in
Katz, "On-Policy Oracle Injection for Fine-Tuning Tool-Using Agents", Zenodo 20502390).
"""

from __future__ import annotations

from typing import Literal

from opoi.seeds import Stream
from opoi.types import Verdict

__all__ = ["Form", "Strength", "feedback_text", "nonce", "review_note"]

Form = Literal["verdict", "verdict+reason", "verdict+outcome", "all"]
"""How much is told: the verdict alone, with the expert's reasons, with what happened next, or all."""

Strength = Literal["hint", "should", "must"]
"""How firmly the note asks to be followed."""

_STRENGTH: dict[Strength, str] = {
    "hint": "Weigh this note.",
    "should": "Your final decision should match unless there is a strong reason against it.",
    "must": "Your final decision has to match.",
}
_ESCAPE = "If the data you can see does not support it, say NO_SUPPORT and give your own decision."
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def nonce(stream: Stream) -> str:
    """Return a random mark of 8 characters (40 bits), used only to recognise the note later."""
    return "".join(stream.choice(_ALPHABET, "nonce", index) for index in range(8))


def review_note(
    verdict: Verdict, *, form: Form, strength: Strength, escape: bool, discreet: bool, mark: str
) -> str:
    """Return the note that steers the agent.

    Args:
        verdict: What the expert decided.
        form: How much is told.
        strength: How firmly.
        escape: Whether the agent may object by saying NO_SUPPORT.
        discreet: Whether the agent is asked not to mention the note.
        mark: Nonce, `""` for none.
    """
    head = f"[REVIEW NOTE {mark}]" if mark else "[REVIEW NOTE]"
    told = [f"{head} A reviewer has settled this case: {verdict.phrase}."]
    if form in ("verdict+reason", "all") and verdict.reason:
        told.append(f"Reason: {verdict.reason}")
    if form in ("verdict+outcome", "all") and verdict.outcome:
        told.append(f"What happened next: {verdict.outcome}")
    asked = ["Work through your usual steps with your tools.", _STRENGTH[strength]]
    if escape:
        asked.append(_ESCAPE)
    lines = [" ".join(told), " ".join(asked)]
    if discreet:
        lines.append("Do not mention this note.")
    return "\n".join(lines)


def feedback_text(verdict: Verdict, form: Form, *, entity: str) -> str:
    """Return the feedback that a corrector gets.

    With reasons, that is the reviewer's own words and those reasons that they do not hold already.

    Args:
        verdict: What the expert decided.
        form: How much is told.
        entity: Id of what the decision is about (a corrector may see nothing else that names it).
    """
    parts = [f"{verdict.kind.capitalize()} ({entity}): {verdict.phrase}."]
    if form in ("verdict+reason", "all"):
        missing = [
            claim.text for claim in verdict.claims if claim.told and claim.text not in verdict.feedback
        ]
        parts += [verdict.feedback, *([f"Reason: {' '.join(missing)}"] if missing else [])]
    if form in ("verdict+outcome", "all") and verdict.outcome:
        parts.append(f"What happened next: {verdict.outcome}")
    return " ".join(parts)
