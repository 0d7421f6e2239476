"""The values that travel through the pipeline. All are frozen; all can be written as one JSON line.

In the order of the pipeline: `worlds`, `messages`, `traces`, `reviews`, `cleaned`, `findings`, `scores`,
`figures`;
`tiers` says what a method asks of a model.
Fields that hold their default are left out of the JSON; unknown fields are an error.
"""

from opoi.types.base import Value
from opoi.types.cleaned import Cleaned, Edit, Example, Reject
from opoi.types.figures import Arm, Group, Measure
from opoi.types.findings import Finding, Grade, Reading
from opoi.types.messages import (
    UNREADABLE,
    Author,
    Message,
    Reply,
    SubAgent,
    TokenLogprob,
    ToolCall,
    ToolSpec,
    Usage,
)
from opoi.types.reviews import Case, Claim, Origin, Review, Verdict
from opoi.types.scores import Scored, ScoredText
from opoi.types.tiers import Tier
from opoi.types.traces import Citation, Decision, Injection, Outcome, StopReason, Trace
from opoi.types.worlds import Channel, Fact, Hidden, Scenario, Truth

__all__ = [
    "UNREADABLE",
    "Arm",
    "Author",
    "Case",
    "Channel",
    "Citation",
    "Claim",
    "Cleaned",
    "Decision",
    "Edit",
    "Example",
    "Fact",
    "Finding",
    "Grade",
    "Group",
    "Hidden",
    "Injection",
    "Measure",
    "Message",
    "Origin",
    "Outcome",
    "Reading",
    "Reject",
    "Reply",
    "Review",
    "Scenario",
    "Scored",
    "ScoredText",
    "StopReason",
    "SubAgent",
    "Tier",
    "TokenLogprob",
    "ToolCall",
    "ToolSpec",
    "Trace",
    "Truth",
    "Usage",
    "Value",
    "Verdict",
]
