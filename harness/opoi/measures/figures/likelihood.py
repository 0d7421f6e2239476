"""How probable are the texts, to the agent as it wrote them, and to the model that will be trained?

Own log-probabilities come with the traces (tier T1). Forced ones are those that the first scorer of the run
gives to the kept traces, given the student's prompt (tier T2); a run whose scorer is the agent before
training measures how far its data are off its own policy. What other scorers give stands in the confidence
table. Log-probabilities are natural (nats); a token counts once, whatever the length of its text.
"""

from __future__ import annotations

from opoi.measures.logprobs.confidence import sum_logprob, sum_p, sum_phi
from opoi.measures.logprobs.tallies import Tally, forced_tallies, own_tallies
from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen

__all__ = [
    "forced_logprob",
    "forced_logprob_form",
    "forced_logprob_prose",
    "forced_p",
    "forced_phi",
    "own_logprob",
    "own_logprob_form",
    "own_logprob_prose",
]


def _own(seen: Seen) -> list[Tally]:
    return list(own_tallies(seen.kept, seen.suite.prose))


def _forced(seen: Seen) -> list[Tally]:
    """Return what the first scorer of the run gives to the traces; nothing where it left the scenario out."""
    first = seen.group.reference or next((each.scorer for each in seen.scores), "")
    scored = [each for each in seen.scores if each.scorer == first]
    return list(forced_tallies(seen.kept, scored, seen.suite.prose))


@figure("avg logprob, own")
def own_logprob(seen: Seen) -> Pair:
    """Average log-probability of the tokens of kept traces to the model that wrote them, as it wrote them.

    Formula: sum of log p of sampled tokens / sampled tokens
    Unit: nats
    Range: up to 0
    Source: methods specification 5.3 (own); "avgLogprob" of the seeds, there per run
    Needs: T1
    Not for: comparing models without forced_logprob and the temperature: a model that says little, or always
        the same, is sure of it; arms whose author is not the agent
    """
    return sum_logprob(seen.once(_own), "all")


@figure("avg logprob, own, free text")
def own_logprob_prose(seen: Seen) -> Pair:
    """The same of free text alone.

    Formula: sum of log p of sampled tokens of prose / these tokens
    Unit: nats
    Range: up to 0
    Source: methods specification 5.3
    Needs: T1
    Not for: see own_logprob
    """
    return sum_logprob(seen.once(_own), "prose")


@figure("avg logprob, own, template")
def own_logprob_form(seen: Seen) -> Pair:
    """The same of everything else: JSON, action, citations, calls.

    Formula: sum of log p of sampled tokens that are not prose / these tokens
    Unit: nats
    Range: up to 0
    Source: methods specification 5.3
    Needs: T1
    Not for: see own_logprob; any fine-tuning learns the template first
    """
    return sum_logprob(seen.once(_own), "form")


@figure("avg logprob, forced")
def forced_logprob(seen: Seen) -> Pair:
    """Average log-probability of the texts with loss of kept traces under the first scorer.

    Its exponential, with the sign turned, is the perplexity.

    Formula: sum of log p(token | student's prompt, all before it) / scored tokens
    Unit: nats
    Range: up to 0
    Source: methods specification 5.3 (forced) and 5.7, V4
    Needs: T2
    Not for: models with different tokenizers
    """
    return sum_logprob(seen.once(_forced), "all")


@figure("avg logprob, forced, free text")
def forced_logprob_prose(seen: Seen) -> Pair:
    """The same of free text alone.

    Formula: sum of log p of tokens of prose / these tokens
    Unit: nats
    Range: up to 0
    Source: methods specification 5.3 and 5.7, V4
    Needs: T2
    Not for: see forced_logprob
    """
    return sum_logprob(seen.once(_forced), "prose")


@figure("avg logprob, forced, template")
def forced_logprob_form(seen: Seen) -> Pair:
    """The same of everything else: JSON, action, citations.

    Formula: sum of log p of tokens that are not prose / these tokens
    Unit: nats
    Range: up to 0
    Source: methods specification 5.3 and 5.7, V4
    Needs: T2
    Not for: see forced_logprob
    """
    return sum_logprob(seen.once(_forced), "form")


@figure("mean p")
def forced_p(seen: Seen) -> Pair:
    """Off-policyness: mean probability of a token of the texts with loss under the first scorer.

    Formula: sum of p(token | student's prompt, all before it) / scored tokens
    Unit: x
    Range: 0 (nothing the model would say) to 1 (all of it certain)
    Source: methods specification 3.12 and 5.7, V3
    Needs: T2
    Not for: models with different tokenizers
    """
    return sum_p(seen.once(_forced))


@figure("mean phi")
def forced_phi(seen: Seen) -> Pair:
    """Off-policyness: mean of p (1 - p) of a token, the weight that CHORD gives to it.

    Formula: sum of p (1 - p) / scored tokens
    Unit: x
    Range: 0 to 0.25; 0 both for what is certain and for what is impossible
    Source: methods specification 3.12 and 5.7, V3 (CHORD)
    Needs: T2
    Not for: reading alone: see forced_p for which of both ends it is
    """
    return sum_phi(seen.once(_forced))
