"""What an endpoint can do, as `opoi.models.endpoint.probe` found it, and what follows from it for a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from opoi.errors import UsageError
from opoi.models.endpoint.dialect import Dialect
from opoi.types import Tier
from opoi.types.base import Value

__all__ = ["Capabilities", "Field", "OwnCheck", "Scorer", "Way"]

Way = Literal["prompt_logprobs", "echo"]
"""How a given text is scored: by chat completions with `prompt_logprobs`, or by completions with `echo`."""

Field = Literal["honoured", "ignored", "refused", "unknown"]
"""What becomes of a field of a request. `unknown`: the answers do not tell."""

OwnCheck = Literal["believed", "apart", "positive", "alike", "blind", "none"]
"""Whether what an endpoint gives for its own tokens can be log-probabilities of them.

`apart`: the tokens do not add up to the text. `positive`: a figure is above 0. `alike`: more than two tokens
all have the same figure. `blind`: the same figures come for the same text after another prompt. `none`:
there are no figures.
"""


class Scorer(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Whether one way of scoring given texts is to be believed.

    Attributes:
        verdict: `untested`: the endpoint gives no log-probabilities of what it generates to compare with,
            or none that can be (`OwnCheck`).
            `refused`: the request was. `absent`: the answer had no scores. `believed`: it gave the
            log-probabilities that it gave when it generated the same tokens. `shifted`: it gave them one
            token off. `wrong`: they differ. `blind`: they agree, and are the same after another prompt.
            `unclear`: too few tokens to compare, or so alike that a shift would not show.
        tokens: How many tokens were compared.
        dropped: How many tokens were generated that a reading of the text gives otherwise: they cannot
            be scored by text.
    """

    verdict: Literal["believed", "refused", "absent", "shifted", "wrong", "blind", "unclear", "untested"] = (
        "untested"
    )
    tokens: int = 0
    dropped: int = 0


class Capabilities(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What one model of one endpoint can do. Two probes of a deterministic endpoint are equal.

    Attributes:
        model: The model that was probed.
        models: Names of the first 50 models on offer, in the endpoint's order.
        models_count: How many there are.
        listing: The list of models: `ok`, `empty`, or `failed`.
        context: Most tokens of prompt and answer, as the list of models tells; None where it does not.
            It is never tried out: one server worked on an overlong prompt for minutes.
        tools: What becomes of offered tools. `parsed`: calls came back as `tool_calls`. `raw`: they came
            as `<tool_call>` text. `rendered`: no call, but the prompt grew by them, and grew more by
            longer ones. `ignored`: there is no sign of them. `refused`: the request was.
        tools_named: A `tool_choice` that names a tool. `broken`: the tool is called with arguments that
            are no JSON object.
        tools_named_finish: Finish reason of an answer with a call to such a request, `""` where there was
            none. It is no sign of a call: one server says `stop`.
        tools_none: `tool_choice: none`. `raw`: calls come nevertheless, as text.
        parallel: Several calls in one answer were seen; None where not even one call was.
        parallel_off: `parallel_tool_calls: false`; `unknown` where several calls were never seen.
        json_schema: `response_format` with a schema: `enforced`, `ignored` or `refused`.
        logprobs: Log-probabilities of generated tokens come on request, and can be what they are said to be.
        logprob_check: What was seen of that: `believed`, `none`, or why those that came are not.
        top_logprobs: How many alternatives to a token came, of the 20 that may be asked for.
        logprob_bytes: The `bytes` of tokens add up to the text (`right`), are `empty` or `null` somewhere,
            do not add up (`wrong`), or there are none to look at (`none`).
        seed: `honoured`: the same seed gave the same bytes twice at temperature 1.
        seed_matters: Another seed gave other bytes. Where not, runs that differ by seed alone are copies.
        temperature: Whether a temperature is taken or `refused`.
        n: Two choices asked for.
        stop: Stop texts. `kept`: they end an answer, but stand at its end.
        max_tokens: Whether the field bounds an answer.
        max_completion_tokens: The same of the newer field. `ignored` may mean answers without an end.
        unknown_fields: A field that no server knows.
        stream: Streaming: `ok`, `refused`, or `broken` where the stream could not be used.
        stream_usage: Where streams tell their usage: `given` on request, `never`, or `refused`.
        usage: Answers tell how many tokens they cost.
        errors: Form of error bodies: `openai` (`{"error": {...}}`), `detail` (`{"detail": ...}`), `text`,
            or `unknown` where no error was seen.
        scorers: For each way of scoring given texts, whether it is believed.
        calls: How many requests the probe sent, second tries after a broken connection not counted.
    """

    model: str
    models: tuple[str, ...] = ()
    models_count: int = 0
    listing: Literal["ok", "empty", "failed"] = "failed"
    context: int | None = None
    tools: Literal["parsed", "raw", "rendered", "ignored", "refused"] = "ignored"
    tools_named: Literal["honoured", "broken", "ignored", "refused", "unknown"] = "unknown"
    tools_named_finish: str = ""
    tools_none: Literal["honoured", "raw", "ignored", "refused", "unknown"] = "unknown"
    parallel: bool | None = None
    parallel_off: Field = "unknown"
    json_schema: Literal["enforced", "ignored", "refused"] = "ignored"
    logprobs: bool = False
    logprob_check: OwnCheck = "none"
    top_logprobs: int = 0
    logprob_bytes: Literal["right", "empty", "null", "wrong", "none"] = "none"
    seed: Field = "unknown"
    seed_matters: bool = False
    temperature: Literal["taken", "refused"] = "taken"
    n: Field = "unknown"
    stop: Literal["honoured", "kept", "ignored", "refused", "unknown"] = "unknown"
    max_tokens: Field = "unknown"
    max_completion_tokens: Field = "unknown"
    unknown_fields: Literal["ignored", "refused"] = "ignored"
    stream: Literal["ok", "refused", "broken"] = "refused"
    stream_usage: Literal["given", "never", "refused"] = "never"
    usage: bool = False
    errors: Literal["openai", "detail", "text", "unknown"] = "unknown"
    scorers: dict[Way, Scorer] = msgspec.field(default_factory=dict)
    calls: int = 0

    @property
    def scoring(self) -> Way | None:
        """The way to score given texts that is believed, None where there is none."""
        ways: tuple[Way, ...] = ("prompt_logprobs", "echo")
        believed = (way for way in ways if self.scorers.get(way, Scorer()).verdict == "believed")
        return next(believed, None)

    @property
    def tier(self) -> Tier:
        """The tier of access that the endpoint gives. `T3`, the weights, no endpoint does.

        Who can score any text can score its own: `T2` includes `T1` without log-probabilities in chat.
        """
        if self.scoring is not None:
            return Tier.T2
        return Tier.T1 if self.logprobs else Tier.T0

    def dialect(
        self,
        *,
        stream: bool = False,
        tools: Literal["auto", "native", "text"] = "auto",
        logprobs: Literal["auto", "off"] = "auto",
    ) -> Dialect:
        """Return the form of requests that makes the best of the endpoint.

        Args:
            stream: Ask for answers as streams.
            tools: `auto` offers tools natively where the model sees them, and as text where not.
            logprobs: `auto` asks for log-probabilities where those that come are believed. Not with streams:
                whether they come there was never asked, and one server refuses them there beside tools.

        Raises:
            UsageError: Streams, or native tools, are asked for and were not to be had.
        """
        if stream and self.stream != "ok":
            raise UsageError(
                f"the endpoint gives {self.model!r} no usable streams",
                why=f"probed: streaming is {self.stream}",
                fix="leave out streaming: whole answers hold the same",
            )
        if tools == "native" and self.tools == "refused":
            raise UsageError(
                f"the endpoint refuses tools for {self.model!r}",
                fix="use the text protocol (tools = text or auto), or serve the model with tool calling on",
            )
        shown = self.tools in ("parsed", "raw", "rendered")
        return Dialect(
            tools=("native" if shown else "text") if tools == "auto" else tools,
            seed=self.seed != "refused",
            limit=self.limit,
            stream=stream,
            stream_usage=self.stream_usage != "refused",
            logprobs=logprobs == "auto" and self.logprobs and not stream,
        )

    @property
    def limit(self) -> Literal["max_tokens", "max_completion_tokens"]:
        """The field that bounds an answer; the older one where both do, or neither is known to."""
        if self.max_tokens == "refused" or (
            self.max_tokens != "honoured" and self.max_completion_tokens == "honoured"
        ):
            return "max_completion_tokens"
        return "max_tokens"

    def lacking(self, needs: Mapping[str, Tier]) -> dict[str, Tier]:
        """Return those of several methods or measures that cannot be had here, with what each needs.

        Args:
            needs: Tier by name.
        """
        return {name: tier for name, tier in needs.items() if not self.tier.covers(tier)}
