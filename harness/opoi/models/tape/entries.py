"""What lies on a tape: one line for each request, with the answer or the failure that it met.

A request is known by its key: a digest of URL, method, path, label and canonical JSON, in which the order
of fields does not matter, and 1, 1.0 and true are three values. Secrets are hidden first, so a request that
holds a key itself is found again only where that key is known.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import Raw, field

from opoi.models.endpoint.faults import EndpointFaultError, Form, Kind
from opoi.types.base import Value

__all__ = ["SCHEMA", "Entry", "Fault", "Method", "Outcome", "Request", "make_entry", "request_key"]

SCHEMA = "opoi.tape/1"
"""Stands in the first line of a tape."""

Method = Literal["GET", "POST"]


class Fault(Value, frozen=True, kw_only=True):
    """A failure as it is recorded; fields as in `EndpointFaultError`."""

    kind: Kind
    what: str
    why: str = ""
    fix: str = ""
    fatal: bool = False
    again: bool = False
    form: Form = ""

    @classmethod
    def of(cls, error: EndpointFaultError) -> Fault:
        """Return what is recorded of an error."""
        return cls(**{name: getattr(error, name) for name in cls.__struct_fields__})

    def error(self) -> EndpointFaultError:
        """Return the error that was recorded, to be raised again."""
        return EndpointFaultError(
            self.what,
            kind=self.kind,
            why=self.why,
            fix=self.fix,
            fatal=self.fatal,
            again=self.again,
            form=self.form,
        )


Outcome = bytes | Fault
"""What came of a request: the body of the answer, or the failure."""


class Request(Value, frozen=True, kw_only=True):
    """A request as it is recorded, secrets hidden.

    Attributes:
        key: Digest of all else, as hex.
        url: Base URL of the endpoint.
        method: Of HTTP.
        path: Below the base URL.
        label: What tells it from requests with the same body.
        request: The body as canonical JSON, `null` where there is none. Where hiding a secret would break
            the JSON, a string that holds what is left of its text.
    """

    key: str
    url: str
    method: Method
    path: str
    label: str = ""
    request: Raw


class Entry(Request, frozen=True, kw_only=True):
    """One line of a tape: a request and, in one of three fields, what came of it.

    Attributes:
        text: Body of the answer, where it is UTF-8 (`answer` in the file).
        binary: Body of the answer, where it is not (`answer_base64` in the file).
        fault: The failure.
    """

    text: str | None = field(default=None, name="answer")
    binary: bytes | None = field(default=None, name="answer_base64")
    fault: Fault | None = None

    def __post_init__(self) -> None:
        if (self.text, self.binary, self.fault).count(None) != 2:
            raise ValueError("it holds not exactly one of `answer`, `answer_base64` and `fault`")

    @property
    def outcome(self) -> Outcome:
        """What came of the request."""
        if self.fault is not None:
            return self.fault
        return self.text.encode() if self.text is not None else self.binary or b""


_encode = msgspec.json.Encoder().encode


def request_key(url: str, method: str, path: str, label: str, request: bytes) -> str:
    """Return the key of a request with this canonical body."""
    return blake2b(_encode((url, method, path, label, Raw(request))), digest_size=16).hexdigest()


def make_entry(request: Request, outcome: Outcome) -> Entry:
    """Return the line of a tape for a request and what came of it."""
    named = {name: getattr(request, name) for name in Request.__struct_fields__}
    if isinstance(outcome, Fault):
        return Entry(**named, fault=outcome)
    try:
        return Entry(**named, text=outcome.decode())
    except UnicodeDecodeError:
        return Entry(**named, binary=outcome)
