"""Training files in the formats that trainers read, one file per format, each line checked on writing."""

from __future__ import annotations

from collections.abc import Callable

from opoi.datasets.openai_chat import openai_line
from opoi.datasets.trl import trl_line
from opoi.types import Example

__all__ = ["FORMATS"]

FORMATS: dict[str, Callable[[Example], bytes]] = {"openai": openai_line, "trl": trl_line}
"""Format name -> function from an example to one checked line; raises `ValueError` where it cannot."""
