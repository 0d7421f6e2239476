"""What an endpoint is to everything above the network: requests by path, answers as bytes."""

from __future__ import annotations

from typing import Any, Protocol

from opoi.models.endpoint.faults import Where

__all__ = ["Line"]


class Line(Protocol):
    """Requests to one endpoint. Safe to use from several threads.

    Attributes:
        where: Its URL and the words of its failures.
    """

    @property
    def where(self) -> Where:
        """The endpoint's URL and the words of its failures."""
        ...

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        """Send a JSON object and return the body of the answer.

        With `"stream": True` in the body the stream is read to its end, and the answer is the completion
        that it adds up to.

        Args:
            path: Below the base URL, e.g. `/chat/completions`.
            body: The request.
            label: What tells this request from others with the same body, e.g. its sampling seed where
                the endpoint takes none. Never sent.

        Raises:
            EndpointFaultError: There is no usable answer.
            HaltedError: The run is being stopped.
        """
        ...

    def get(self, path: str) -> bytes:
        """Return what lies at a path; raises as `post` does."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...
