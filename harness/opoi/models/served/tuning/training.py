"""The training of one job: epochs of steps in which a language model learns what the assistant said."""

from __future__ import annotations

import math
from collections.abc import Sequence

from opoi.models.served.language import LanguageModel
from opoi.models.served.tuning.examples import ANSWER, Dialogue
from opoi.models.served.tuning.request import Hyperparameters
from opoi.seeds import Stream
from opoi.types.base import Value

__all__ = ["Plan", "Step", "Training", "plan"]

_DIGITS = 6
"""Decimals of a loss."""


class Plan(Value, frozen=True, kw_only=True):
    """The hyperparameters with nothing left to `auto`.

    Attributes:
        n_epochs: Passes over the file; 3 by default.
        batch_size: Examples of a step; by default as many as give about 200 steps an epoch.
        learning_rate_multiplier: Each answer counts `max(1, round(...))` times; 1 by default. What is
            learned here are counts, which have no learning rate of their own.
    """

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float

    def steps(self, examples: int) -> int:
        """Return the number of steps that so many examples take."""
        return self.n_epochs * -(-examples // self.batch_size)


def plan(asked: Hyperparameters, examples: int) -> Plan:
    """Fill in what a request left to `auto`."""
    return Plan(
        n_epochs=3 if asked.n_epochs == "auto" else asked.n_epochs,
        batch_size=-(-examples // 200) if asked.batch_size == "auto" else asked.batch_size,
        learning_rate_multiplier=1.0
        if asked.learning_rate_multiplier == "auto"
        else asked.learning_rate_multiplier,
    )


class Step(Value, frozen=True, kw_only=True):
    """What one step measured: losses in nats per token.

    Attributes:
        step: Its number, from 1.
        train_loss: Of the batch, before it was learned.
        valid_loss: Of a batch of the validation file, after; None without such a file.
        full_valid_loss: Of the whole validation file, on the last step of an epoch.
    """

    step: int
    train_loss: float
    valid_loss: float | None = None
    full_valid_loss: float | None = None


class Training:
    """A language model on its way.

    Args:
        language: Where it starts from; it is copied.
        train: What is learned.
        valid: What is measured beside it; may be empty.
        planned: How.
        seed: Decides the order of the examples in each epoch.
    """

    def __init__(
        self,
        language: LanguageModel,
        train: Sequence[Dialogue],
        valid: Sequence[Dialogue],
        planned: Plan,
        seed: int,
    ) -> None:
        self._language = language.copy()
        self._train = train
        self._valid = valid
        self.plan = planned
        self._stream = Stream(seed, "tuning")
        self._epochs = 0
        self._steps = 0
        self.total_steps = planned.steps(len(train))
        self.tokens = planned.n_epochs * sum(len(language.tokens(dialogue.text)) for dialogue in train)

    @property
    def done(self) -> bool:
        """Whether all epochs are over."""
        return self._epochs == self.plan.n_epochs

    def epoch(self) -> tuple[list[Step], LanguageModel]:
        """Go once over the examples; return what each step measured, and the model as it is now."""
        order = self._stream.shuffled(self._train, "epoch", self._epochs)
        size = self.plan.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        steps = [self._step(batch, last=batch is batches[-1]) for batch in batches]
        self._epochs += 1
        return steps, self._language.copy()

    def _step(self, batch: Sequence[Dialogue], *, last: bool) -> Step:
        train_loss = measured(self._language, batch)
        passes = max(1, round(self.plan.learning_rate_multiplier))
        for dialogue in batch:
            for text, learned in dialogue.pieces:
                if learned:  # as an answer and as a text on its own: chats and completions both know it
                    self._language.learn(ANSWER + text, passes=passes)
                    self._language.learn(text, passes=passes)
        valid = self._valid_batch()
        self._steps += 1
        return Step(
            step=self._steps,
            train_loss=train_loss,
            valid_loss=measured(self._language, valid) if valid else None,
            full_valid_loss=measured(self._language, self._valid) if last and self._valid else None,
        )

    def _valid_batch(self) -> list[Dialogue]:
        """Return the next batch of the validation file, from the start again after its end."""
        start = self._steps * self.plan.batch_size
        count = min(self.plan.batch_size, len(self._valid))
        return [self._valid[(start + index) % len(self._valid)] for index in range(count)]


def measured(language: LanguageModel, dialogues: Sequence[Dialogue]) -> float:
    """Return the mean negative log-likelihood of the learned tokens of conversations, in nats per token.

    Each conversation is scored as a whole, so that the assistant's tokens are judged in their context.

    Args:
        language: What is measured.
        dialogues: At least one; each has something to learn.
    """
    losses: list[float] = []
    for dialogue in dialogues:
        spans = _spans(dialogue)
        end = 0
        for score in language.score(dialogue.text):
            start, end = end, end + len(score.token)
            if any(low <= start < high for low, high in spans):
                losses.append(-score.logprob)
    return round(math.fsum(losses) / len(losses), _DIGITS)


def _spans(dialogue: Dialogue) -> list[tuple[int, int]]:
    """Return where the learned pieces lie in the conversation, in bytes."""
    spans: list[tuple[int, int]] = []
    end = 0
    for text, learned in dialogue.pieces:
        start, end = end, end + len(text.encode())
        if learned:
            spans.append((start, end))
    return spans
