"""Keeping an API key out of everything that is written: answers, messages, logs, tracebacks.

A server may echo the key that it was sent, as it is or as JSON, URLs, HTML, Python or base64 spell it, and
in several layers of them (tool arguments are JSON within JSON). `Hider` finds it in all of these. Not in a
text that somebody turned around or wrote in parts: what only a server that means to can do.
"""

from __future__ import annotations

import html
import json
import logging
import re
from base64 import b64encode
from functools import cached_property
from typing import Any, NoReturn

__all__ = ["HIDDEN", "Hider", "Key", "LogFilter"]

HIDDEN = "[key]"
"""What stands in place of a key."""

_SHORTEST = 8
_SHORTEST_WORD = 20
"""Shorter keys, and shorter ones without a digit ("lm-studio", "anything"), are placeholders: to hide them
would only garble what models write."""


class Key:
    """An API key that shows itself to nobody: its repr, which tracebacks with locals print, does not hold it.

    Args:
        text: The key; blanks around it are taken away.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text.strip()

    def __repr__(self) -> str:
        return f"Key({HIDDEN})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not to be pickled")

    @property
    def sendable(self) -> bool:
        """Whether the key can stand in a header: not empty, and ASCII signs without blanks."""
        return bool(self._text) and all("!" <= char <= "~" for char in self._text)

    def reveal(self) -> str:
        """Return the text."""
        return self._text


class Hider:
    """Hides a secret in texts, however it is spelled there. Doing it twice changes nothing more.

    Args:
        secret: What to hide; a placeholder, of under 8 characters or of under 20 without a digit, is not.
    """

    def __init__(self, secret: str) -> None:
        self._secret = b"" if _is_placeholder(secret) else secret.encode()
        self._needle = _longest_word(self._secret).lower()
        self._needles = [_longest_word(core) for core in _in_base64(self._secret)] if self._secret else []
        first = [str(byte).encode() for byte in self._secret[:2]]
        self._bytes = [b",".join(first), b", ".join(first)]

    def __repr__(self) -> str:
        return "Hider()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("what knows a key is not to be pickled")

    @property
    def active(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._secret)

    def text(self, text: str) -> str:
        """Return a text with the secret hidden."""
        return self.body(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def body(self, body: bytes) -> bytes:
        """Return the body of an answer with the secret hidden; JSON stays JSON."""
        if not self._secret or not self._suspicious(body):
            return body
        hidden = self._spelled.sub(HIDDEN.encode(), body)
        if hidden == body:
            return body
        return hidden if _is_json(hidden) else self._rewritten(body) or hidden

    def _suspicious(self, body: bytes) -> bool:
        """Return whether the secret may be in it: quick, and wrong in one direction only."""
        low = body.lower()
        return (
            self._needle in low
            or (
                any(mark in low for mark in (b"\\u00", b"\\x", b"%", b"&"))
                and _ESCAPES.search(low) is not None
            )
            or any(needle in body for needle in self._needles)
            or any(first in body for first in self._bytes)
        )

    @cached_property
    def _spelled(self) -> re.Pattern[bytes]:
        """The secret in all its spellings; compiled only where it may have been met."""
        numbers = b", ?".join(str(byte).encode() for byte in self._secret)
        cores = (re.sub(rb"[+/]", _either, core) for core in _in_base64(self._secret))
        return re.compile(b"|".join([b"(?i:%b)" % _escaped(self._secret), *cores, rb"\b%b\b" % numbers]))

    def _rewritten(self, body: bytes) -> bytes:
        """Return JSON written anew with its texts hidden one by one; nothing where that is not to be had.

        For secrets with signs of JSON in them, whose replacement broke it.
        """
        try:
            whole = json.dumps(self._within(json.loads(body))).encode()
        except (ValueError, RecursionError):
            return b""
        return b"" if self._spelled.search(whole) else whole

    def _within(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, str):
            spelled = value.encode("utf-8", "surrogatepass")
            return self._spelled.sub(HIDDEN.encode(), spelled).decode("utf-8", "surrogatepass")
        if isinstance(value, dict):
            return {self._within(key): self._within(item) for key, item in value.items()}
        if isinstance(value, list):
            numbers = ",".join(map(str, value)).encode() if all(type(item) is int for item in value) else b""
            return [] if self._spelled.search(numbers) else [self._within(item) for item in value]
        return value


def _is_placeholder(key: str) -> bool:
    word = not any(char.isdigit() for char in key)
    return len(key) < (_SHORTEST_WORD if word else _SHORTEST)


# ---------------------------------------------------------------- spellings

_ESCAPES = re.compile(rb"\\(?:u00|x)[2-7]|%(?:25)*+[2-7]|&(?:amp;)*+\#")
"""What letters and digits look like where they are escaped."""

_RUNS = re.compile(rb"\\+|[^\\]", re.DOTALL)


def _escaped(secret: bytes) -> bytes:
    """Return a pattern of a secret in which each sign may be escaped, several times over.

    Backslashes double with each layer of JSON, so a run of them goes for any number; `%` becomes `%25` with
    each layer of URL encoding, `&` becomes `&amp;`. All runs are bounded: the search stays linear.
    """
    return b"".join(_spellings(run) for run in _RUNS.findall(secret))


def _spellings(run: bytes) -> bytes:
    sign, count = run[:1], len(run)
    code = b"%02x" % sign[0]
    ways = [
        rb"%(?:25){0,3}" + code,
        rb"&(?:amp;){0,3}\#(?:0*+%d|x0*+%b);" % (sign[0], code),
    ]
    name = html.escape(sign.decode("latin-1")).encode("latin-1")
    if name != sign:
        ways.append(b"&(?:amp;){0,3}" + name[1:])
    if sign == b"\\":
        ways.append(rb"\\{1,16}+(?:u00|x)5c")
        return rb"(?:\\{%d,%d}+|(?:%b){%d})" % (count, 16 * count, b"|".join(ways), count)
    ways.append(rb"\\{0,15}+(?:%b|u00%b|x%b)" % (re.escape(sign), code, code))
    return b"(?:%b)" % b"|".join(ways)


def _in_base64(secret: bytes) -> list[bytes]:
    """Return the part of its base64 that does not depend on what stands around it, for each alignment."""
    cores = []
    for offset, first in enumerate((0, 2, 3)):
        last = (offset + len(secret)) * 8 // 6
        cores.append(b64encode(b"\0" * offset + secret)[first:last])
    return cores


def _either(sign: re.Match[bytes]) -> bytes:
    """Return a pattern of one of the two signs of base64 that differ in URLs, and may be escaped."""
    return rb"(?:\+|-|%(?:25){0,3}2[Bb])" if sign[0] == b"+" else rb"(?:\\{0,15}+/|_|%(?:25){0,3}2[Ff])"


def _longest_word(text: bytes) -> bytes:
    """Return the longest run of letters and digits, which only few spellings touch."""
    return max(re.findall(rb"[A-Za-z0-9]+", text), key=len, default=b"")


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


# ---------------------------------------------------------------- logs

_TALKATIVE = (
    *("openai", "openai._base_client", "openai._response", "openai._legacy_response"),
    *(
        f"{library}{version}{part}"
        for version in ("", "2")
        for library, parts in (
            ("httpx", ("",)),
            ("httpcore", (".connection", ".http11", ".http2", ".proxy", ".socks")),
        )
        for part in parts
    ),
)
"""Loggers through which the client tells of answers: their headers and reason phrases as well."""


class LogFilter(logging.Filter):
    """Hides a key in what the HTTP libraries log, at any level, while a connection with that key is open.

    Args:
        hider: Knows the key.
    """

    def __init__(self, hider: Hider) -> None:
        super().__init__()
        self._hider = hider

    def open(self) -> None:
        """Listen to the loggers, if there is anything to hide."""
        for name in _TALKATIVE if self._hider.active else ():
            logging.getLogger(name).addFilter(self)

    def close(self) -> None:
        """Listen no more."""
        for name in _TALKATIVE:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without the key."""
        said = record.getMessage()
        hidden = self._hider.text(said)
        if hidden != said:
            record.msg, record.args = hidden, ()
        if record.exc_info:
            said = logging.Formatter().formatException(record.exc_info)
            hidden = self._hider.text(said)
            if hidden != said:
                record.exc_info, record.exc_text = None, hidden
        return True
