"""Several requests in one: order, names, and values taken from earlier answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import structs

from opoi_envs.ads.graph.errors import ApiError, invalid, trace_id
from opoi_envs.ads.graph.forms import place_of, query
from opoi_envs.ads.graph.params import Params, flag, structure
from opoi_envs.ads.graph.site import Call, Reply

__all__ = ["MOST", "Unanswered", "run_batch"]

MOST = 50
_REFERENCE = re.compile(r"\{result=([^:{}]+):(\$[^{}]*)\}")
_STEP = re.compile(r"\.([A-Za-z0-9_]+)|\[([0-9]{1,6})\]|(\.\*|\[\*\])")
_METHODS = ("GET", "POST", "DELETE")


class Unanswered(Exception):  # noqa: N818 - what became of an item
    """An item was not run; its place in the answer is null."""


def run_batch(
    call: Call, handle: Callable[[Call], Reply], refuse: Callable[[Call, ApiError], Reply]
) -> tuple[list[Any], float]:
    """Answer `POST /` with `batch`.

    Args:
        call: The outer request; its token serves all items.
        handle: Runs one item.
        refuse: Answers an item that cannot be read.

    Returns:
        The answer, and the seconds that it is held back: as long as the slowest item.

    Raises:
        ApiError: `batch` itself cannot be read; no item was run.
    """
    items = structure(call.params, "batch", list)
    if len(items) > MOST:
        raise invalid(f"Too many requests in batch message. Maximum batch size is {MOST}", "batch")
    if not items:
        raise invalid("batch must hold at least one request", "batch")
    with_headers = flag(call.params, "include_headers", default=True)
    answers: dict[str, Any] = {}
    results: list[Any] = []
    delay = 0.0
    for number, item in enumerate(items):
        reply: Reply | None
        try:
            reply = handle(_call(call, item, answers))
        except Unanswered:
            reply = None
        except ApiError as error:
            reply = refuse(structs.replace(call, trace=trace_id(call.trace, str(number))), error)
        name = item.get("name") if isinstance(item, dict) else None
        if isinstance(name, str):
            answers[name] = reply.body if reply is not None and reply.status == 200 else None
        silent = isinstance(item, dict) and item.get("omit_response_on_success") in (True, "true", 1)
        omitted = reply is None or (silent and reply.status == 200)
        results.append(None if reply is None or omitted else _entry(reply, with_headers))
        delay = max(delay, reply.delay if reply is not None else 0.0)
    return results, delay


def _entry(reply: Reply, with_headers: bool) -> dict[str, Any]:
    """Return an item's answer as it stands in the answer to the batch."""
    entry: dict[str, Any] = {"code": reply.status}
    if with_headers:
        headers = [("Content-Type", "application/json"), *reply.headers]
        entry["headers"] = [{"name": name, "value": value} for name, value in headers]
    entry["body"] = msgspec.json.encode(reply.body).decode()
    return entry


def _call(call: Call, item: object, answers: dict[str, Any]) -> Call:
    """Return the request that an item describes.

    Raises:
        ApiError: It describes none.
    """
    if not isinstance(item, dict):
        raise invalid("Each element of batch must be an object", "batch")
    method, url, body = item.get("method"), item.get("relative_url"), item.get("body", "")
    if method not in _METHODS:
        raise invalid(f"batch[method] must be one of the following values: {', '.join(_METHODS)}", "batch")
    if not isinstance(url, str) or not isinstance(body, str):
        raise invalid("batch: relative_url and body must be strings", "batch")
    path, _, rest = url.partition("?")
    place = place_of(_filled(unquote(path), answers))
    params = query(rest) | (query(body) if method == "POST" else {})
    if "batch" in params:
        raise invalid("A batch cannot hold a batch", "batch")
    params = {name: _filled(text, answers) for name, text in params.items()}
    root = call.root if place.version is None else _sibling(call, place.root)
    return structs.replace(
        call,
        method=method,
        path=place.path,
        version=place.version or call.version,
        params=params,
        root=root,
        token=params.get("access_token", call.token),
        trace="",
    )


def _sibling(call: Call, root: str) -> str:
    """Return the root of links of an item that names a version of its own."""
    scheme, _, rest = call.root.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}{root}"


def _filled(text: str, answers: Params | dict[str, Any]) -> str:
    """Put values of earlier answers in the place of `{result=name:$.path}`.

    Raises:
        ApiError: There is no such answer or value.
    """
    return _REFERENCE.sub(lambda found: _found(found[1], found[2], answers), text)


def _found(name: str, path: str, answers: Params | dict[str, Any]) -> str:
    if answers.get(name) is None:
        raise invalid(f"batch: there is no result of {name!r}", "batch")
    values = [answers[name]]
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise invalid(f"batch: {path!r} is no path", "batch")
        values = [inner for value in values for inner in _inside(value, step)]
        at = step.end()
    plain = [str(value) for value in values if isinstance(value, str | int | float)]
    if not plain:
        raise invalid(f"batch: the result of {name!r} has no {path!r}", "batch")
    return ",".join(plain)


def _inside(value: Any, step: re.Match[str]) -> list[Any]:  # noqa: ANN401 - any JSON value
    if step[1] is not None:
        return [value[step[1]]] if isinstance(value, dict) and step[1] in value else []
    if step[2] is not None:
        place = int(step[2])
        return [value[place]] if isinstance(value, list) and place < len(value) else []
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []
