"""Uploaded files, kept in memory."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from opoi.models.served.requests import RefusedError
from opoi.models.served.tuning.clock import Clock, digest
from opoi.models.served.tuning.limits import Limits
from opoi.types.base import Value

__all__ = ["FileStore", "StoredFile", "read_body", "read_upload"]

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
"""What a file may be uploaded for. Only `fine-tune` has a use here."""


class StoredFile(Value, frozen=True, kw_only=True):
    """One file.

    Attributes:
        id: `file-` and a digest of content and number.
        name: File name as uploaded.
        purpose: One of `PURPOSES`, or `fine-tune-results` for what a job wrote.
        created: Time of the server's clock.
        content: The bytes.
    """

    id: str
    name: str
    purpose: str
    created: int
    content: bytes

    def card(self) -> dict[str, Any]:
        """Return the file object of the API."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created,
            "expires_at": None,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class FileStore:
    """The files of one server. Thread-safe.

    Args:
        clock: Gives the times of creation.
        limits: How much is kept.
    """

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._files: dict[str, StoredFile] = {}
        self._lock = threading.Lock()

    def add(self, name: str, purpose: str, content: bytes, *, bounded: bool = True) -> StoredFile:
        """Keep a file.

        Args:
            name: File name.
            purpose: As for `StoredFile`.
            content: The bytes.
            bounded: Refuse it where the store is full; what the server itself writes is kept in any case.

        Raises:
            RefusedError: The store is full (413).
        """
        with self._lock:
            used = sum(len(file.content) for file in self._files.values())
            most = self._limits
            if bounded and (len(self._files) >= most.files or used + len(content) > most.bytes):
                raise RefusedError(
                    f"the server keeps at most {most.files} files of {most.bytes} bytes in all: delete some",
                    status=413,
                    param="file",
                    code="file_limit_exceeded",
                )
            created = self._clock.tick()
            file = StoredFile(
                id=f"file-{digest(content, created)}",
                name=name,
                purpose=purpose,
                created=created,
                content=content,
            )
            self._files[file.id] = file
        return file

    def get(self, id: str) -> StoredFile | None:
        """Return a file, None where there is none of this id."""
        with self._lock:
            return self._files.get(id)

    def named(self, id: str) -> StoredFile:
        """Return a file.

        Raises:
            RefusedError: There is none of this id (404).
        """
        file = self.get(id)
        if file is None:
            raise _unknown(id)
        return file

    def delete(self, id: str) -> None:
        """Forget a file.

        Raises:
            RefusedError: There is none of this id (404).
        """
        with self._lock:
            if self._files.pop(id, None) is None:
                raise _unknown(id)

    def all(self, *, purpose: str | None, order: str) -> list[StoredFile]:
        """Return the files, newest first.

        Args:
            purpose: Only files of this purpose; None for all.
            order: `desc`, or `asc` for oldest first.

        Raises:
            RefusedError: There is no such order.
        """
        if order not in ("asc", "desc"):
            raise RefusedError("`order` must be 'asc' or 'desc'", param="order", code="invalid_value")
        with self._lock:
            files = [file for file in self._files.values() if purpose in (None, file.purpose)]
        return files if order == "asc" else files[::-1]


def _unknown(id: str) -> RefusedError:
    return RefusedError(f"there is no file {id!r}", status=404, param="id")  # the API gives no code


# ---------------------------------------------------------------- uploads


async def read_body(request: Request, most: int) -> bytes:
    """Return the body of a request.

    Raises:
        RefusedError: It is longer than `most` bytes (413). The rest is read all the same and forgotten: a
            client that is still sending would see a broken connection instead of the refusal.
    """
    body = bytearray()
    length = 0
    async for piece in request.stream():
        length += len(piece)
        if length <= most:
            body += piece
    if length > most:
        raise RefusedError(f"the body is longer than {most} bytes", status=413, code="request_too_large")
    return bytes(body)


async def read_upload(headers: Headers, body: bytes) -> tuple[str, str, bytes]:
    """Return name, purpose and content of an uploaded file.

    Args:
        headers: Of the request; its content type names the boundary.
        body: As received: multipart/form-data with the fields `file` and `purpose`.

    Raises:
        RefusedError: The form is malformed, or asks for what is not done.
    """
    kind = headers.get("content-type", "")
    if not kind.startswith("multipart/form-data") or "boundary=" not in kind:
        raise RefusedError("files are uploaded as multipart/form-data", code="invalid_content_type")

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(headers, pieces(), max_files=2, max_fields=16)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RefusedError(f"not a form: {error.message}", code="invalid_form") from error
    try:
        unknown = sorted({key for key in form if key not in ("file", "purpose")})
        if unknown:
            raise RefusedError(f"`{unknown[0]}` is not supported", param=unknown[0], code="unsupported_value")
        purpose = _purpose(form.getlist("purpose"))
        file = form.getlist("file")
        if len(file) != 1 or not isinstance(file[0], UploadFile):
            raise RefusedError("`file` must be one file", param="file", code="missing_required_parameter")
        return _checked(file[0].filename or "", purpose, await file[0].read())
    finally:
        await form.close()


def _purpose(given: list[Any]) -> str:
    if len(given) == 1 and given[0] in PURPOSES:
        return str(given[0])
    names = ", ".join(PURPOSES)
    raise RefusedError(f"`purpose` must be one of {names}", param="purpose", code="invalid_value")


def _checked(name: str, purpose: str, content: bytes) -> tuple[str, str, bytes]:
    if not content:
        raise RefusedError("the file is empty", param="file", code="empty_file")
    if purpose == "fine-tune" and not name.endswith(".jsonl"):
        raise RefusedError(
            f"a file to tune on must be named *.jsonl, not {name!r}",
            param="file",
            code="invalid_file_format",
        )
    return name, purpose, content
