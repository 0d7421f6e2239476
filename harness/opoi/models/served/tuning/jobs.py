"""One fine-tuning job: its state, its events, its checkpoints."""

from __future__ import annotations

import base64
import threading
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from opoi.models.served.language import LanguageModel
from opoi.models.served.tuning.clock import Clock, digest
from opoi.models.served.tuning.request import JobRequest
from opoi.models.served.tuning.training import Plan, Step, Training
from opoi.types.base import Value

__all__ = ["Checkpoint", "Event", "Job", "Status", "results"]

Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]

OVER: tuple[Status, ...] = ("succeeded", "failed", "cancelled")
"""Where a job stays."""


class Event(Value, frozen=True, kw_only=True):
    """Something that happened to a job.

    Attributes:
        id: Its own id.
        created: Time of the server's clock.
        level: How bad it is.
        message: For people.
        data: The measurements of a step, empty for any other event.
    """

    id: str
    created: int
    level: Literal["info", "warn", "error"]
    message: str
    data: dict[str, float]

    def card(self) -> dict[str, Any]:
        """Return the event object of the API."""
        return {
            "id": self.id,
            "object": "fine_tuning.job.event",
            "created_at": self.created,
            "level": self.level,
            "message": self.message,
            "type": "metrics" if self.data else "message",
            "data": self.data,
        }


class Checkpoint(Value, frozen=True, kw_only=True):
    """The model after an epoch.

    Attributes:
        id: Its own id.
        job: Id of the job.
        created: Time of the server's clock.
        model: Name under which it answers.
        step: The last step of the epoch, with what was measured there.
    """

    id: str
    job: str
    created: int
    model: str
    step: Step

    def card(self) -> dict[str, Any]:
        """Return the checkpoint object of the API."""
        return {
            "id": self.id,
            "object": "fine_tuning.job.checkpoint",
            "created_at": self.created,
            "fine_tuned_model_checkpoint": self.model,
            "fine_tuning_job_id": self.job,
            "metrics": measurements(self.step),
            "step_number": self.step.step,
        }


def measurements(step: Step) -> dict[str, float]:
    """Return what a step measured, by the names of the API; what was not measured is left out."""
    return {key: value for key, value in msgspec.structs.asdict(step).items() if value is not None}


class Job:
    """A job. Its owner guards it with a lock; only `working` is the job's own.

    Args:
        request: What was asked for.
        base: Name of the model that the server started with: part of every tuned model's name.
        language: What to start from.
        size: Bytes of its files.
        clock: Gives the times.

    Attributes:
        working: Held while the job is moved on, so that two looks at it do not train at once.
        status: Where it stands; it only moves forwards.
        paused: Looks do not move it on.
        training: The training under way, from `queued` until the job is over.
    """

    def __init__(
        self, request: JobRequest, *, base: str, language: LanguageModel, size: int, clock: Clock
    ) -> None:
        self._clock = clock
        self.created = clock.tick()
        mark = digest(msgspec.json.encode(request, order="deterministic"), self.created)
        self.id = f"ftjob-{mark}"
        self.request = request
        self.language = language
        self.size = size
        self.seed = int(mark[8:15], 16) if request.seed is None else request.seed
        self.tuned_name = f"ft:{base}:{request.suffix or ''}:{mark[:8]}"
        self.working = threading.Lock()
        self.status: Status = "validating_files"
        self.paused = False
        self.plan: Plan | None = None
        self.training: Training | None = None
        self.steps: list[Step] = []
        self.events: list[Event] = []
        self.checkpoints: list[Checkpoint] = []
        self._error: dict[str, str] | None = None
        self._finished: int | None = None
        self._tokens: int | None = None
        self._results: list[str] = []
        self.tell(f"Created fine-tuning job: {self.id}")
        self.tell(f"Validating training file: {request.training_file}")

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in OVER

    @property
    def models(self) -> list[str]:
        """Names of its tuned models."""
        return [checkpoint.model for checkpoint in self.checkpoints]

    def tell(
        self,
        message: str,
        *,
        level: Literal["info", "warn", "error"] = "info",
        data: dict[str, float] | None = None,
    ) -> None:
        """Add an event."""
        self.events.append(
            Event(
                id=f"ftevent-{self.id[6:18]}{len(self.events):08d}",
                created=self._clock.tick(),
                level=level,
                message=message,
                data=data or {},
            )
        )

    # ------------------------------------------------------------ forwards

    def queue(self, training: Training, warnings: Sequence[str]) -> None:
        """Move on: the files are in order."""
        for warning in warnings:
            self.tell(warning, level="warn")
        self.training = training
        self.plan = training.plan
        self.status = "queued"
        self.tell("Files validated, moving job to queued state")

    def start(self) -> None:
        """Move on: the training begins."""
        self.status = "running"
        self.tell("Fine-tuning job started")

    def learned(self, training: Training, steps: Sequence[Step]) -> Checkpoint:
        """Take note of an epoch; return its checkpoint."""
        for step in steps:
            data = {"total_steps": training.total_steps, **measurements(step)}
            self.tell(
                f"Step {step.step}/{training.total_steps}: training loss={step.train_loss:.4f}", data=data
            )
        self.steps.extend(steps)
        last = steps[-1]
        name = self.tuned_name if training.done else f"{self.tuned_name}:ckpt-step-{last.step}"
        checkpoint = Checkpoint(
            id=f"ftckpt-{digest(self.id, last.step)}",
            job=self.id,
            created=self._clock.tick(),
            model=name,
            step=last,
        )
        self.checkpoints.append(checkpoint)
        self.tell(f"Checkpoint created at step {last.step}: {name}")
        return checkpoint

    def forget(self, keep: int) -> list[Checkpoint]:
        """Forget all checkpoints but the last `keep`, at least 1; return what is forgotten."""
        old = self.checkpoints[:-keep]
        self.checkpoints = self.checkpoints[-keep:]
        return old

    def succeed(self, tokens: int, results: str) -> None:
        """Move on: the tuned model is there.

        Args:
            tokens: Tokens that were read, over all epochs.
            results: Id of the file of results.
        """
        self._tokens = tokens
        self._results = [results]
        self.tell(f"New fine-tuned model created: {self.tuned_name}")
        self._end("succeeded", "The job has successfully completed")

    def fail(self, code: str, message: str, param: str) -> None:
        """End the job for what is wrong with one of its files."""
        self._error = {"code": code, "message": message, "param": param}
        self._end("failed", f"The job failed due to {param}: {message}", level="error")

    def cancel(self) -> None:
        """End the job because the caller wants it."""
        self._end("cancelled", "The job was cancelled")

    def _end(self, status: Status, message: str, *, level: Literal["info", "error"] = "info") -> None:
        self.status = status
        self.training = None
        self.language = LanguageModel()  # lets go of what it started from
        self.tell(message, level=level)
        self._finished = self._clock.tick()

    # ------------------------------------------------------------ as JSON

    def card(self) -> dict[str, Any]:
        """Return the job object of the API."""
        asked = self.request
        planned = msgspec.to_builtins(asked.hyperparameters if self.plan is None else self.plan)
        return {
            "id": self.id,
            "object": "fine_tuning.job",
            "created_at": self.created,
            "error": self._error,
            "estimated_finish": None,
            "fine_tuned_model": self.tuned_name if self.status == "succeeded" else None,
            "finished_at": self._finished,
            "hyperparameters": planned,
            "integrations": [],
            "metadata": asked.metadata,
            "method": {"type": "supervised", "supervised": {"hyperparameters": planned}},
            "model": asked.model,
            "organization_id": "org-opoi",
            "result_files": self._results,
            "seed": self.seed,
            "status": self.status,
            "trained_tokens": self._tokens,
            "training_file": asked.training_file,
            "user_provided_suffix": asked.suffix,
            "validation_file": asked.validation_file,
        }


def results(steps: Sequence[Step]) -> bytes:
    """Return the file of results: CSV in base64, as the API gives it."""
    rows = ["step,train_loss,valid_loss,full_valid_loss"]
    for step in steps:
        values = (step.step, step.train_loss, step.valid_loss, step.full_valid_loss)
        rows.append(",".join("" if value is None else str(value) for value in values))
    return base64.b64encode("".join(f"{row}\n" for row in rows).encode())
