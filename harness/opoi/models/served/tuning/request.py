"""The body of a request for a fine-tuning job, read strictly: what is not done is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from opoi.models.served.requests import RefusedError, decode_body, read_into
from opoi.types.base import Value

__all__ = ["Hyperparameters", "JobRequest", "read_job"]


class Hyperparameters(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What a request says about how to train; `auto` leaves it to the server."""

    n_epochs: Annotated[int, Meta(ge=1, le=50)] | Literal["auto"] = "auto"
    batch_size: Annotated[int, Meta(ge=1, le=256)] | Literal["auto"] = "auto"
    learning_rate_multiplier: Annotated[float, Meta(gt=0, le=100)] | Literal["auto"] = "auto"


class JobRequest(Value, frozen=True, kw_only=True):
    """A request for a job that can be done.

    Attributes:
        model: What to start from.
        training_file: Id of the file to learn.
        validation_file: Id of the file to measure on.
        suffix: Part of the tuned model's name.
        seed: Of the order of the examples; None where the server is to choose.
        hyperparameters: As asked for.
        metadata: The caller's own notes.
    """

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    seed: int | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    metadata: dict[str, str] | None = None


class _Supervised(Struct, forbid_unknown_fields=True):
    hyperparameters: Hyperparameters | None = None


class _Method(Struct, forbid_unknown_fields=True):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: _Supervised | None = None
    dpo: Any = None
    reinforcement: Any = None


_Key = Annotated[str, Meta(max_length=64)]
_Note = Annotated[str, Meta(max_length=512)]


class _Body(Struct, forbid_unknown_fields=True):
    model: str
    training_file: str
    validation_file: str | None = None
    suffix: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]*\Z")] | None = None
    seed: Annotated[int, Meta(ge=0, lt=2**31)] | None = None
    hyperparameters: Hyperparameters | None = None
    method: _Method | None = None
    integrations: list[Any] | None = None
    metadata: Annotated[dict[_Key, _Note], Meta(max_length=16)] | None = None


def read_job(body: bytes) -> JobRequest:
    """Read the body of a request for a job.

    Args:
        body: As received.

    Raises:
        RefusedError: It is malformed, or asks for something that is not done.
    """
    raw = read_into(_Body, decode_body(body))
    _refuse_undone(raw)
    return JobRequest(
        model=raw.model,
        training_file=raw.training_file,
        validation_file=raw.validation_file,
        suffix=raw.suffix,
        seed=raw.seed,
        hyperparameters=_hyperparameters(raw),
        metadata=raw.metadata,
    )


def _refuse_undone(raw: _Body) -> None:
    if raw.integrations:
        raise RefusedError("`integrations` are not supported", param="integrations", code="unsupported_value")
    method = raw.method
    if method is None:
        return
    if method.type != "supervised" or method.dpo is not None or method.reinforcement is not None:
        raise RefusedError(
            "only the method 'supervised' is supported: what is served learns texts, not preferences",
            param="method",
            code="unsupported_value",
        )


def _hyperparameters(raw: _Body) -> Hyperparameters:
    supervised = raw.method.supervised if raw.method is not None else None
    inner = supervised.hyperparameters if supervised is not None else None
    if inner is not None and raw.hyperparameters is not None:
        raise RefusedError(
            "`hyperparameters` stand twice: leave out the outer ones, which are deprecated",
            param="hyperparameters",
            code="invalid_value",
        )
    return inner or raw.hyperparameters or Hyperparameters()
