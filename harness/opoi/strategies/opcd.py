"""Off-Policy Corrector Distillation: a bare model writes the corrected decision from the feedback.

The corrector has no system prompt, no tools and, unless `see_data` is set, none of the agent's data. The
record pairs its text with the student's real prompt. What the source (Katz, Zenodo 20502390) does not
report is a setting here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from opoi.errors import EndpointError
from opoi.protocols import Cast
from opoi.rollout import stop_of
from opoi.seeds import Stream
from opoi.strategies.filters import unusable
from opoi.strategies.note import Form, feedback_text
from opoi.types import Case, Decision, Fact, Injection, Message, StopReason, Trace, Usage
from opoi.wire import valid_text

__all__ = ["INFORMED", "OPCD"]


class OPCD(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The method and its settings.

    Attributes:
        see_original: Show the corrector the decision under review.
        see_schema: Show it the schema of a decision (without it, little of what it writes parses).
        see_data: Show it the tool results that the agent saw: the informed corrector.
        target_shape: `final_only` trains the corrected answer directly after the prompt; `splice` puts it
            in the place of the original answer, after the agent's own tool calls (which get no loss).
        form: What the feedback tells; see `opoi.strategies.note.Form`.
    """

    see_original: bool = True
    see_schema: bool = True
    see_data: bool = False
    target_shape: Literal["final_only", "splice"] = "final_only"
    form: Form = "verdict+reason"

    def __call__(self, case: Case, cast: Cast) -> Iterator[Trace]:
        """Yield one trace whose only text with loss is the corrector's."""
        feedback = feedback_text(case.verdict, self.form, entity=case.scenario.entity)
        request = Message(
            role="user",
            content=self._request(case, cast, feedback),
            author="suite",
            facts=_facts(case.base.messages) if self.see_data else (),
        )
        shown = (request,)
        seed = Stream(cast.seed, "opcd", case.scenario.id, cast.arm, case.run).seed31()
        trace = Trace(
            id=f"{case.scenario.id}/{cast.arm}/{case.run}",
            scenario_id=case.scenario.id,
            arm=cast.arm,
            run=case.run,
            as_of=case.scenario.as_of,
            model=cast.corrector.name,
            prompt=case.base.prompt,
            gen_prompt=shown,
            injections=(
                Injection(
                    text=feedback,
                    position="corrector_prompt",
                    form=self.form,
                    action=case.verdict.action,
                ),
            ),
            decision=Decision(problems=("no answer",)),
        )
        try:
            reply = cast.corrector.complete(shown, (), seed=seed)
        except EndpointError as error:
            yield msgspec.structs.replace(
                trace,
                stop=StopReason.ENDPOINT,
                failure=error.line,
                drop=StopReason.ENDPOINT.drop,
                usage=Usage(calls=1),
            )
            return
        content = valid_text(reply.content)
        answer = Message(
            role="assistant",
            content=content,
            author="corrector",
            loss_weight=1.0,
            logprobs=reply.logprobs,
        )
        before = _without_answer(case.base.messages) if self.target_shape == "splice" else ()
        stop, failure = stop_of(reply)
        answered = stop is StopReason.ANSWERED
        trace = msgspec.structs.replace(
            trace,
            messages=(*before, answer),
            decision=cast.suite.decide(content) if answered else trace.decision,
            stop=stop,
            failure=failure,
            usage=reply.usage,
        )
        drop = unusable(trace, case.scenario, wanted=case.verdict.action, acts=False)
        yield msgspec.structs.replace(trace, drop=drop)

    def _request(self, case: Case, cast: Cast, feedback: str) -> str:
        """Write the corrector's only message."""
        parts = ["An agent took a decision and a human expert reviewed it. Write the corrected decision."]
        if self.see_original:
            original = case.base.messages[-1].content if case.base.decision.valid else "(no valid decision)"
            parts.append(f"Decision under review:\n{original}")
        parts.append(f"Expert feedback:\n{feedback}")
        if self.see_data:
            parts.append("What the agent saw:\n" + "\n".join(_results(case.base.messages)))
        if self.see_schema:
            schema = msgspec.json.encode(cast.suite.decision_schema, order="deterministic").decode()
            parts.append(f"Answer with one JSON object that fits this schema, and nothing else:\n{schema}")
        else:
            parts.append("Answer with one JSON object and nothing else.")
        return "\n\n".join(parts)


INFORMED = OPCD(see_data=True)
"""The informed corrector: the control that separates missing data from being off-policy."""


def _facts(messages: Sequence[Message]) -> tuple[Fact, ...]:
    """Return what the tool results among the messages reveal, in order."""
    return tuple(fact for message in messages if message.role == "tool" for fact in message.facts)


def _results(messages: Sequence[Message]) -> Iterator[str]:
    """Yield each tool call with its result, as one line of text."""
    calls = {call.id: call for message in messages for call in message.tool_calls}
    for message in messages:
        if message.role == "tool" and not message.error:
            call = calls[message.tool_call_id]
            yield f"{call.name}({call.arguments}) -> {message.content}"


def _without_answer(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages up to the last tool result, none with loss or figures of its tokens."""
    last = max((i for i, message in enumerate(messages) if message.role == "tool"), default=-1)
    return tuple(
        msgspec.structs.replace(message, loss_weight=0.0, logprobs=()) for message in messages[: last + 1]
    )
