"""Base URLs of endpoints, checked before anything is written or sent. No HTTP library is imported here."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from opoi.errors import UsageError

__all__ = ["checked_url", "is_loopback"]

_FIX = "give something like http://127.0.0.1:8000/v1"


def checked_url(text: str) -> str:
    """Return a base URL without a slash at the end.

    Raises:
        UsageError: It is not a URL, or holds what must not be written down.
    """
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:  # its words may quote a password
        raise UsageError(
            "the base URL is not a URL", why="its host or port cannot be read", fix=_FIX
        ) from None
    if url.scheme not in ("http", "https") or not host:
        raise UsageError("the base URL must start with http:// or https:// and name a host", fix=_FIX)
    if "@" in url.netloc or url.query or url.fragment or "?" in text or "#" in text:
        raise UsageError(
            "the base URL must hold no user, password, query or fragment",
            why="it is written to manifests and logs",
            fix="put the key into the environment variable named by `api_key_env`",
        )
    if url.path.rstrip("/").endswith("/chat/completions"):
        raise UsageError("the base URL must end before /chat/completions", fix=_FIX)
    return text.rstrip("/")


def is_loopback(url: str) -> bool:
    """Return whether a URL points at this machine by name or address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
