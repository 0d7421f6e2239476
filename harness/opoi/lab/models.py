"""The models that the laboratory asks: an agent that writes a turn again, a judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from opoi.models.resolve import ModelSettings, resolve_model
from opoi.protocols import Model, Suite

__all__ = ["named_model"]


def named_model(reference: str, given: Mapping[str, Any], suite: Suite | None) -> Model:
    """Return the model that a command names.

    Args:
        reference: As for `opoi.models.resolve.resolve_model`.
        given: What was typed, by name of the option; None for what was not, `"none"` to send nothing.
        suite: Brings the stand-in.

    Raises:
        OpoiError: There is no such model, or it cannot be used.
    """
    known = {"name" if key == "model_name" else key: value for key, value in given.items()}
    chosen = {key: known[key] for key in ModelSettings.__struct_fields__ if known.get(key) is not None}
    cleared = {key: None if value == "none" else value for key, value in chosen.items()}
    return resolve_model(reference, suite=suite, settings=msgspec.convert(cleared, ModelSettings))
